/* The heap against a sorted model, and how many steps it takes. */
static unsigned long steps;
#define MP_HEAP_STEP() steps++
/* beside the library's, under other names: this one counts */
#define mp_heap_push counted_push
#define mp_heap_peek counted_peek
#define mp_heap_pop counted_pop
#define mp_heap_remove counted_remove
#include "heap.c"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define NODES 2000

typedef struct item {
  mp_heap_node node;
  bool in;
} item;

static uint32_t next_random(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

/* The followers behind `head`; the links among them. */
static size_t assert_train(const mp_heap_node *head) {
  size_t n = 0;
  for (const mp_heap_node *at = head; leads(at); at = at->child, n++) {
    assert_true(is_follower(at->child));
    assert_ptr_equal(at->child->prev, at);
    assert_true(at->child->key >= at->key && at->child->order >> 7 > at->order >> 7);
    if (at != head) assert_null(at->child->next);
  }
  return n;
}

/* All nodes of the tree. */
static size_t assert_tree(mp_heap_node *head, unsigned rank) {
  size_t n = 1 + assert_train(head);
  const mp_heap_node *before_it = leads(head) ? head->child : head;
  assert_int_equal(rank_of(head), rank);
  for (mp_heap_node *child = *children_of(head); child != NULL; child = child->next) {
    assert_ptr_equal(child->prev, before_it);
    assert_true(before(head, child));
    n += assert_tree(child, --rank);
    before_it = child;
  }
  assert_int_equal(rank, 0);
  return n;
}

static void assert_consistent(mp_heap *heap) {
  size_t n = 0;
  for (unsigned rank = 0; rank < 8 * sizeof heap->heads; rank++) {
    mp_heap_node *root = heap->roots[rank];
    assert_int_equal(root != NULL, heap->heads >> rank & 1);
    if (root == NULL) continue;
    assert_true(root->prev == NULL && root->next == NULL);
    assert_true(root == heap->first || before(heap->first, root));
    n += assert_tree(root, rank);
  }
  assert_int_equal(n, heap->count);
  assert_int_equal(heap->first == NULL, n == 0);
}

static void test_heap_pop_empty_is_null(void **state) {
  mp_heap heap = {0};
  (void)state;
  assert_null(mp_heap_pop(&heap));
  assert_null(mp_heap_peek(&heap));
}

static void test_heap_pop_gives_smallest_first(void **state) {
  mp_heap heap = {0};
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
  mp_heap heap = {0};
  static mp_heap_node nodes[NODES];
  (void)state;
  for (int i = 0; i < NODES; i++) mp_heap_push(&heap, &nodes[i], i % 3);
  for (int key = 0; key < 3; key++)
    for (int i = key; i < NODES; i += 3) assert_ptr_equal(mp_heap_pop(&heap), &nodes[i]);
}

static void test_heap_pop_pushed_again_goes_last_among_equals(void **state) {
  mp_heap heap = {0};
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
  mp_heap heap = {0};
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
    mp_heap heap = {0};
    mp_heap_node nodes[9];
    for (int i = 0; i < 9; i++) mp_heap_push(&heap, &nodes[i], i);
    assert_ptr_equal(mp_heap_pop(&heap), &nodes[0]); /* gives the heap depth */
    if (victim != 0) mp_heap_remove(&heap, &nodes[victim]);
    for (int i = 1; i < 9; i++)
      if (i != victim) assert_ptr_equal(mp_heap_pop(&heap), &nodes[i]);
    assert_null(heap.first);
  }
}

/*
** The model: what is in the heap, in the order in which it must come out. A new item goes behind
** its equals.
*/
#define MODEL_MAX 300

typedef struct model {
  item *items[MODEL_MAX];
  size_t count;
} model;

static void model_put(model *m, item *added) {
  size_t low = 0, high = m->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (m->items[middle]->node.key <= added->node.key)
      low = middle + 1;
    else
      high = middle;
  }
  memmove(&m->items[low + 1], &m->items[low], (m->count - low) * sizeof *m->items);
  m->items[low] = added;
  m->count++;
}

static void model_take(model *m, size_t at) {
  m->count--;
  memmove(&m->items[at], &m->items[at + 1], (m->count - at) * sizeof *m->items);
}

/* How keys come: at random, few different ones, equal, rising, falling, and by turns. */
static int64_t key_of(unsigned pattern, uint32_t *seed, int64_t step) {
  switch (pattern) {
    case 0: return next_random(seed) >> 8;
    case 1: return (next_random(seed) >> 16) % 3;
    case 2: return 0;
    case 3: return step;
    case 4: return -step;
    case 5: return step + (int64_t)(next_random(seed) >> 16) % 100;
    default: return key_of((unsigned)(step / 64 % 6), seed, step);
  }
}

#define PATTERNS 7
#define OPERATIONS 400000

static void test_heap_millions_of_mixed_operations_agree_with_a_model(void **state) {
  static item items[MODEL_MAX];
  (void)state;
  for (unsigned pattern = 0; pattern < PATTERNS; pattern++) {
    mp_heap heap = {0};
    model m = {.count = 0};
    uint32_t seed = 42 + pattern;
    memset(items, 0, sizeof items);
    for (int step = 0; step < OPERATIONS; step++) {
      /* it grows and shrinks: now pushes are more frequent, now the others */
      bool grows = next_random(&seed) >> 16 & 7 ? (step >> 10 & 1) : !(step >> 10 & 1);
      item *chosen = &items[(next_random(&seed) >> 8) % MODEL_MAX];
      if (grows && !chosen->in) {
        mp_heap_push(&heap, &chosen->node, key_of(pattern, &seed, step));
        model_put(&m, chosen);
        chosen->in = true;
      } else if (m.count > 0) {
        size_t at = next_random(&seed) >> 16 & 1 ? 0 : (next_random(&seed) >> 8) % m.count;
        item *out = m.items[at];
        if (at == 0)
          assert_ptr_equal(mp_heap_pop(&heap), &out->node);
        else
          mp_heap_remove(&heap, &out->node);
        model_take(&m, at);
        out->in = false;
      }
      assert_true(mp_heap_peek(&heap) == (m.count > 0 ? &m.items[0]->node : NULL));
      if (step % 1000 == 0) assert_consistent(&heap);
    }
    for (size_t i = 0; i < m.count; i++) assert_ptr_equal(mp_heap_pop(&heap), &m.items[i]->node);
    assert_consistent(&heap);
  }
}

/* A few steps for each bit of the number of nodes: there are no more heads than nodes. */
static unsigned long steps_max(size_t n) {
  unsigned bits = 0;
  for (; n != 0; n >>= 1) bits++;
  return 4 * (bits + 1);
}

#define MANY 200000

static void test_heap_no_single_operation_takes_long(void **state) {
  item *items = calloc(MANY, sizeof *items);
  (void)state;
  assert_non_null(items);
  for (unsigned pattern = 0; pattern < PATTERNS; pattern++) {
    mp_heap heap = {0};
    uint32_t seed = 7;
    for (int i = 0; i < MANY; i++) {
      steps = 0;
      mp_heap_push(&heap, &items[i].node, key_of(pattern, &seed, i));
      items[i].in = true;
      assert_true(steps <= steps_max(heap.count));
    }
    for (int i = 0; i < MANY / 2; i++) {
      item *chosen = &items[(next_random(&seed) >> 8) % MANY];
      size_t n = heap.count;
      steps = 0;
      if (i % 2 && chosen->in)
        mp_heap_remove(&heap, &chosen->node);
      else
        chosen = (item *)mp_heap_pop(&heap);
      chosen->in = false;
      assert_true(steps <= steps_max(n));
    }
    assert_consistent(&heap);
    while (heap.count > 0) {
      size_t n = heap.count;
      steps = 0;
      mp_heap_pop(&heap);
      assert_true(steps <= steps_max(n));
    }
  }
  free(items);
}

static void test_heap_equal_and_rising_keys_cost_a_step_each(void **state) {
  static mp_heap_node nodes[NODES];
  (void)state;
  for (int rising = 0; rising <= 1; rising++) {
    mp_heap heap = {0};
    steps = 0;
    for (int i = 0; i < NODES; i++) mp_heap_push(&heap, &nodes[i], rising ? i : 0);
    for (int i = NODES / 2; i < NODES / 2 + 100; i++) mp_heap_remove(&heap, &nodes[i]);
    while (mp_heap_pop(&heap) != NULL) continue;
    assert_true(steps < NODES);
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
      cmocka_unit_test(test_heap_millions_of_mixed_operations_agree_with_a_model),
      cmocka_unit_test(test_heap_no_single_operation_takes_long),
      cmocka_unit_test(test_heap_equal_and_rising_keys_cost_a_step_each),
  };
  return unit_main(tests);
}
