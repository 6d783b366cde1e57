/* The pairing heap against a sorted model. */
#include "heap.h"
#include "unit.h"

#define NODES 2000

typedef struct item {
  mp_heap_node node;
  bool in;
} item;

static uint32_t next_random(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

static void assert_links_consistent(const mp_heap_node *node) {
  for (const mp_heap_node *child = node->child, *prev = node; child != NULL;
       prev = child, child = child->next) {
    assert_ptr_equal(child->prev, prev);
    assert_true(child->key >= node->key);
    assert_links_consistent(child);
  }
}

static void test_heap_pop_empty_is_null(void **state) {
  mp_heap heap = {NULL, 0, 0};
  (void)state;
  assert_null(mp_heap_pop(&heap));
  assert_null(mp_heap_peek(&heap));
}

static void test_heap_pop_gives_smallest_first(void **state) {
  mp_heap heap = {NULL, 0, 0};
  static mp_heap_node nodes[NODES];
  uint32_t seed = 1;
  (void)state;
  for (int i = 0; i < NODES; i++)
    mp_heap_push(&heap, &nodes[i], (int64_t)(next_random(&seed) >> 20) - 2048);
  assert_int_equal(heap.count, NODES);
  int64_t last = INT64_MIN;
  for (int i = 0; i < NODES; i++) {
    const mp_heap_node *top = mp_heap_peek(&heap);
    assert_ptr_equal(mp_heap_pop(&heap), top);
    assert_true(top->key >= last);
    last = top->key;
  }
  assert_null(mp_heap_pop(&heap));
  assert_int_equal(heap.count, 0);
}

static void test_heap_pop_equal_keys_are_fifo(void **state) {
  mp_heap heap = {NULL, 0, 0};
  static mp_heap_node nodes[NODES];
  (void)state;
  for (int i = 0; i < NODES; i++) mp_heap_push(&heap, &nodes[i], i % 3);
  for (int key = 0; key < 3; key++)
    for (int i = key; i < NODES; i += 3) assert_ptr_equal(mp_heap_pop(&heap), &nodes[i]);
}

static void test_heap_pop_pushed_again_goes_last_among_equals(void **state) {
  mp_heap heap = {NULL, 0, 0};
  mp_heap_node a, b;
  (void)state;
  mp_heap_push(&heap, &a, 7);
  mp_heap_push(&heap, &b, 7);
  assert_ptr_equal(mp_heap_pop(&heap), &a);
  mp_heap_push(&heap, &a, 7);
  assert_ptr_equal(mp_heap_pop(&heap), &b);
  assert_ptr_equal(mp_heap_pop(&heap), &a);
}

static void test_heap_push_extreme_keys_are_ordered(void **state) {
  mp_heap heap = {NULL, 0, 0};
  mp_heap_node low, zero, high;
  (void)state;
  mp_heap_push(&heap, &high, INT64_MAX);
  mp_heap_push(&heap, &zero, 0);
  mp_heap_push(&heap, &low, INT64_MIN);
  assert_ptr_equal(mp_heap_pop(&heap), &low);
  assert_ptr_equal(mp_heap_pop(&heap), &zero);
  assert_ptr_equal(mp_heap_pop(&heap), &high);
}

static void test_heap_remove_root_middle_and_last_leave_the_rest(void **state) {
  (void)state;
  for (int victim = 0; victim < 9; victim++) {
    mp_heap heap = {NULL, 0, 0};
    mp_heap_node nodes[9];
    for (int i = 0; i < 9; i++) mp_heap_push(&heap, &nodes[i], i);
    assert_ptr_equal(mp_heap_pop(&heap), &nodes[0]); /* gives the heap depth */
    if (victim != 0) mp_heap_remove(&heap, &nodes[victim]);
    for (int i = 1; i < 9; i++)
      if (i != victim) assert_ptr_equal(mp_heap_pop(&heap), &nodes[i]);
    assert_null(heap.root);
  }
}

/* The item that must come next: smallest key, then first pushed. */
static item *model_first(item *items) {
  item *first = NULL;
  for (int i = 0; i < 200; i++) {
    if (!items[i].in) continue;
    if (first == NULL || items[i].node.key < first->node.key ||
        (items[i].node.key == first->node.key && items[i].node.sequence < first->node.sequence))
      first = &items[i];
  }
  return first;
}

static void test_heap_random_operations_agree_with_a_model(void **state) {
  mp_heap heap = {NULL, 0, 0};
  static item items[200];
  uint32_t seed = 42;
  (void)state;
  for (int step = 0; step < 20000; step++) {
    item *chosen = &items[next_random(&seed) % 200];
    if (!chosen->in) {
      mp_heap_push(&heap, &chosen->node, next_random(&seed) % 50);
      chosen->in = true;
    } else if (next_random(&seed) & 0x10000) {
      mp_heap_remove(&heap, &chosen->node);
      chosen->in = false;
    } else {
      item *expected = model_first(items);
      assert_ptr_equal(mp_heap_pop(&heap), &expected->node);
      expected->in = false;
    }
    if (step % 500 == 0 && heap.root != NULL) assert_links_consistent(heap.root);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_heap_pop_empty_is_null),
      cmocka_unit_test(test_heap_pop_gives_smallest_first),
      cmocka_unit_test(test_heap_pop_equal_keys_are_fifo),
      cmocka_unit_test(test_heap_pop_pushed_again_goes_last_among_equals),
      cmocka_unit_test(test_heap_push_extreme_keys_are_ordered),
      cmocka_unit_test(test_heap_remove_root_middle_and_last_leave_the_rest),
      cmocka_unit_test(test_heap_random_operations_agree_with_a_model),
  };
  return unit_main(tests);
}
