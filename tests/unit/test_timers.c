/* Deadlines on made-up times. */
#include "timers.h"
#include "unit.h"

static void test_timers_next_none_armed_is_never(void **state) {
  mp_timers timers = {.heap = {0}};
  (void)state;
  assert_true(mp_timers_next(&timers) == UINT64_MAX);
  assert_null(mp_timers_expire(&timers, UINT64_MAX - 1));
}

static void test_timers_expire_before_at_and_after_the_deadline(void **state) {
  mp_timers timers = {.heap = {0}};
  mp_heap_node node;
  (void)state;
  mp_timers_arm(&timers, &node, 1000);
  assert_int_equal(mp_timers_next(&timers), 1000);
  assert_null(mp_timers_expire(&timers, 0));
  assert_null(mp_timers_expire(&timers, 999));
  assert_ptr_equal(mp_timers_expire(&timers, 1000), &node);
  assert_null(mp_timers_expire(&timers, 1001));
}

static void test_timers_expire_late_gives_all_due_earliest_first(void **state) {
  mp_timers timers = {.heap = {0}};
  mp_heap_node nodes[4];
  const uint64_t deadlines[] = {300, 100, 400, 200};
  (void)state;
  for (int i = 0; i < 4; i++) mp_timers_arm(&timers, &nodes[i], deadlines[i]);
  assert_ptr_equal(mp_timers_expire(&timers, 350), &nodes[1]);
  assert_ptr_equal(mp_timers_expire(&timers, 350), &nodes[3]);
  assert_ptr_equal(mp_timers_expire(&timers, 350), &nodes[0]);
  assert_null(mp_timers_expire(&timers, 350));
  assert_int_equal(mp_timers_next(&timers), 400);
}

static void test_timers_arm_equal_deadlines_are_fifo(void **state) {
  mp_timers timers = {.heap = {0}};
  mp_heap_node nodes[20];
  (void)state;
  for (int i = 0; i < 20; i++) mp_timers_arm(&timers, &nodes[i], 5);
  for (int i = 0; i < 20; i++) assert_ptr_equal(mp_timers_expire(&timers, 5), &nodes[i]);
}

static void test_timers_disarm_first_uncovers_the_next(void **state) {
  mp_timers timers = {.heap = {0}};
  mp_heap_node a, b, c;
  (void)state;
  mp_timers_arm(&timers, &a, 10);
  mp_timers_arm(&timers, &b, 20);
  mp_timers_arm(&timers, &c, 30);
  mp_timers_disarm(&timers, &a);
  assert_int_equal(mp_timers_next(&timers), 20);
  mp_timers_disarm(&timers, &c);
  assert_ptr_equal(mp_timers_expire(&timers, 100), &b);
  assert_true(mp_timers_next(&timers) == UINT64_MAX);
}

static void test_timers_arm_huge_deadline_never_comes_before_a_small_one(void **state) {
  mp_timers timers = {.heap = {0}};
  mp_heap_node forever, soon;
  (void)state;
  mp_timers_arm(&timers, &forever, UINT64_MAX);
  mp_timers_arm(&timers, &soon, 1);
  assert_int_equal(mp_timers_next(&timers), 1);
  assert_ptr_equal(mp_timers_expire(&timers, 1), &soon);
  assert_null(mp_timers_expire(&timers, (uint64_t)INT64_MAX - 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_timers_next_none_armed_is_never),
      cmocka_unit_test(test_timers_expire_before_at_and_after_the_deadline),
      cmocka_unit_test(test_timers_expire_late_gives_all_due_earliest_first),
      cmocka_unit_test(test_timers_arm_equal_deadlines_are_fifo),
      cmocka_unit_test(test_timers_disarm_first_uncovers_the_next),
      cmocka_unit_test(test_timers_arm_huge_deadline_never_comes_before_a_small_one),
  };
  return unit_main(tests);
}
