/* The inbox: FIFO at the normal level, priority then FIFO beside it, fair shares. */
#include "inbox.h"
#include "unit.h"

#include <limits.h>

#define JOBS 100

static void open_inbox(mp_inbox *inbox) { assert_ok(mp_inbox_init(inbox)); }

static void test_inbox_fresh_has_nothing(void **state) {
  mp_inbox inbox;
  mp_entry *job;
  (void)state;
  open_inbox(&inbox);
  assert_int_equal(mp_inbox_grab(&inbox, &job, 1, 1), 0);
  for (int level = 0; level < MP_LEVELS; level++) {
    assert_int_equal(mp_inbox_count(&inbox, (mp_level)level), 0);
    assert_true(mp_inbox_seems_empty(&inbox, (mp_level)level));
  }
  assert_null(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, INT_MIN));
  assert_null(mp_inbox_pop_ordered(&inbox, MP_LEVEL_LOW, INT_MIN));
  mp_inbox_close(&inbox);
}

static void test_inbox_grab_oldest_first_over_pushes_and_chains(void **state) {
  mp_inbox inbox;
  mp_entry jobs[JOBS], *got[MP_GRAB_MAX];
  (void)state;
  open_inbox(&inbox);
  mp_inbox_push(&inbox, &jobs[0], &jobs[0], 1);
  for (int i = 1; i < JOBS - 1; i++) jobs[i].next = &jobs[i + 1];
  jobs[JOBS - 2].next = &jobs[0]; /* the last one's next is ignored */
  mp_inbox_push(&inbox, &jobs[1], &jobs[JOBS - 2], JOBS - 2);
  mp_inbox_push(&inbox, &jobs[JOBS - 1], &jobs[JOBS - 1], 1);
  assert_int_equal(mp_inbox_count(&inbox, MP_LEVEL_NORMAL), JOBS);
  size_t at = 0;
  for (size_t n; (n = mp_inbox_grab(&inbox, got, 7, 1)) > 0; at += n)
    for (size_t i = 0; i < n; i++) assert_ptr_equal(got[i], &jobs[at + i]);
  assert_int_equal(at, JOBS);
  mp_inbox_push(&inbox, &jobs[5], &jobs[5], 1); /* an emptied inbox takes again */
  assert_int_equal(mp_inbox_grab(&inbox, got, 7, 1), 1);
  assert_ptr_equal(got[0], &jobs[5]);
  mp_inbox_close(&inbox);
}

static void test_inbox_grab_leaves_a_share_for_the_other_workers(void **state) {
  mp_inbox inbox;
  mp_entry jobs[10], *got[MP_GRAB_MAX];
  (void)state;
  open_inbox(&inbox);
  for (int i = 0; i < 10; i++) mp_inbox_push(&inbox, &jobs[i], &jobs[i], 1);
  assert_int_equal(mp_inbox_grab(&inbox, got, MP_GRAB_MAX, 5), 3);
  assert_int_equal(mp_inbox_grab(&inbox, got, 2, 1), 2);
  assert_int_equal(mp_inbox_grab(&inbox, got, MP_GRAB_MAX, 1000), 1);
  assert_int_equal(mp_inbox_count(&inbox, MP_LEVEL_NORMAL), 4);
  assert_int_equal(mp_inbox_grab(&inbox, got, MP_GRAB_MAX, 1), 4);
  mp_inbox_close(&inbox);
}

static void test_inbox_pop_ordered_by_priority_then_fifo(void **state) {
  mp_inbox inbox;
  mp_entry jobs[JOBS];
  mp_order orders[JOBS];
  (void)state;
  open_inbox(&inbox);
  for (int i = 0; i < JOBS; i++) mp_inbox_push_ordered(&inbox, &jobs[i], &orders[i], i % 4 + 1);
  assert_int_equal(mp_inbox_count(&inbox, MP_LEVEL_HIGH), JOBS);
  assert_int_equal(mp_inbox_count(&inbox, MP_LEVEL_LOW), 0);
  for (int priority = 4; priority >= 1; priority--)
    for (int i = priority - 1; i < JOBS; i += 4)
      assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, INT_MIN), &jobs[i]);
  assert_null(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, INT_MIN));
  mp_inbox_close(&inbox);
}

static void test_inbox_push_ordered_extreme_priorities_keep_their_level(void **state) {
  mp_inbox inbox;
  mp_entry least, low, high, most;
  mp_order orders[4];
  (void)state;
  open_inbox(&inbox);
  mp_inbox_push_ordered(&inbox, &low, &orders[0], -1);
  mp_inbox_push_ordered(&inbox, &least, &orders[1], INT32_MIN);
  mp_inbox_push_ordered(&inbox, &high, &orders[2], 1);
  mp_inbox_push_ordered(&inbox, &most, &orders[3], INT32_MAX);
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, INT_MIN), &most);
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, INT_MIN), &high);
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_LOW, INT_MIN), &low);
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_LOW, INT_MIN), &least);
  mp_inbox_close(&inbox);
}

static void test_inbox_pop_ordered_leaves_what_is_below_the_floor(void **state) {
  mp_inbox inbox;
  mp_entry high, low;
  mp_order orders[2];
  (void)state;
  open_inbox(&inbox);
  mp_inbox_push_ordered(&inbox, &high, &orders[0], 3);
  mp_inbox_push_ordered(&inbox, &low, &orders[1], -2);
  assert_false(mp_inbox_has_at_least(&inbox, MP_LEVEL_HIGH, 4));
  assert_null(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, 4));
  assert_true(mp_inbox_has_at_least(&inbox, MP_LEVEL_HIGH, 3));
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, 3), &high);
  assert_null(mp_inbox_pop_ordered(&inbox, MP_LEVEL_LOW, -1));
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_LOW, -2), &low);
  assert_false(mp_inbox_has_at_least(&inbox, MP_LEVEL_LOW, INT_MIN));
  mp_inbox_close(&inbox);
}

static void test_inbox_remove_from_the_middle_once(void **state) {
  mp_inbox inbox;
  mp_entry jobs[5] = {{0}}, other = {0}, *got[MP_GRAB_MAX];
  mp_order orders[2] = {{.entry = NULL}};
  (void)state;
  open_inbox(&inbox);
  assert_false(mp_inbox_remove(&inbox, &other, NULL));
  for (int i = 1; i < 5; i++) mp_inbox_push(&inbox, &jobs[i], &jobs[i], 1);
  mp_inbox_push_front(&inbox, &jobs[0], &jobs[0], 1);
  assert_true(mp_inbox_remove(&inbox, &jobs[2], NULL));
  assert_false(mp_inbox_remove(&inbox, &jobs[2], NULL));
  assert_true(mp_inbox_remove(&inbox, &jobs[4], NULL));
  assert_true(mp_inbox_remove(&inbox, &jobs[0], NULL));
  assert_int_equal(mp_inbox_grab(&inbox, got, MP_GRAB_MAX, 1), 2);
  assert_ptr_equal(got[0], &jobs[1]);
  assert_ptr_equal(got[1], &jobs[3]);
  assert_false(mp_inbox_remove(&inbox, &jobs[1], NULL)); /* somebody has it */
  mp_inbox_push_ordered(&inbox, &jobs[0], &orders[0], 1);
  mp_inbox_push_ordered(&inbox, &jobs[1], &orders[1], 2);
  assert_true(mp_inbox_remove(&inbox, &jobs[1], &orders[1]));
  assert_false(mp_inbox_remove(&inbox, &jobs[1], &orders[1]));
  assert_ptr_equal(mp_inbox_pop_ordered(&inbox, MP_LEVEL_HIGH, INT_MIN), &jobs[0]);
  assert_false(mp_inbox_remove(&inbox, &jobs[0], &orders[0]));
  mp_inbox_close(&inbox);
}

#define PUSHERS 2
#define PUSHES 20000

typedef struct pusher {
  mp_inbox *inbox;
  mp_entry jobs[PUSHES];
} pusher;

static void *pusher_main(void *arg) {
  pusher *p = arg;
  for (int i = 0; i < PUSHES; i++) mp_inbox_push(p->inbox, &p->jobs[i], &p->jobs[i], 1);
  return NULL;
}

static void test_inbox_several_pushers_each_ones_order_is_kept(void **state) {
  static mp_inbox inbox;
  static pusher pushers[PUSHERS];
  pthread_t threads[PUSHERS];
  size_t next[PUSHERS] = {0}, total = 0;
  mp_entry *got[MP_GRAB_MAX];
  (void)state;
  open_inbox(&inbox);
  for (int p = 0; p < PUSHERS; p++) {
    pushers[p].inbox = &inbox;
    assert_int_equal(pthread_create(&threads[p], NULL, pusher_main, &pushers[p]), 0);
  }
  while (total < PUSHERS * PUSHES) {
    size_t n = mp_inbox_grab(&inbox, got, MP_GRAB_MAX, 2);
    for (size_t i = 0; i < n; i++) {
      int p = got[i] >= pushers[1].jobs && got[i] < pushers[1].jobs + PUSHES;
      assert_ptr_equal(got[i], &pushers[p].jobs[next[p]++]);
    }
    total += n;
  }
  for (int p = 0; p < PUSHERS; p++) pthread_join(threads[p], NULL);
  assert_int_equal(mp_inbox_count(&inbox, MP_LEVEL_NORMAL), 0);
  mp_inbox_close(&inbox);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_inbox_fresh_has_nothing),
      cmocka_unit_test(test_inbox_grab_oldest_first_over_pushes_and_chains),
      cmocka_unit_test(test_inbox_grab_leaves_a_share_for_the_other_workers),
      cmocka_unit_test(test_inbox_pop_ordered_by_priority_then_fifo),
      cmocka_unit_test(test_inbox_push_ordered_extreme_priorities_keep_their_level),
      cmocka_unit_test(test_inbox_pop_ordered_leaves_what_is_below_the_floor),
      cmocka_unit_test(test_inbox_remove_from_the_middle_once),
      cmocka_unit_test(test_inbox_several_pushers_each_ones_order_is_kept),
  };
  return unit_main(tests);
}
