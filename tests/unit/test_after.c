/*
** Dependencies: order, diamonds, duplicates, failures handed down, other pools, long chains and
** wide fans.
*/
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define MANY 100000

static void release_all(mp_task **tasks, size_t n) {
  for (size_t i = 0; i < n; i++) mp_task_release(tasks[i]);
}

static void test_after_parent_done_already_child_runs(void **state) {
  world w;
  probe probes[2] = {{0}};
  mp_task *tasks[2];
  (void)state;
  world_open(&w, 1);
  tasks[0] = probe_submit(&w, &probes[0]);
  assert_ends(tasks[0], MP_STATE_DONE, MP_OK);
  tasks[1] = probe_submit_after(&w, &probes[1], tasks, 1);
  assert_ends(tasks[1], MP_STATE_DONE, MP_OK);
  release_all(tasks, 2);
  assert_dropped_once(probes, 2);
  world_close(&w);
}

static void test_after_parent_held_child_waits(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe probes[2] = {{.entered = &entered, .hold = &hold}, {0}};
  mp_task *tasks[2];
  (void)state;
  world_open(&w, 2);
  tasks[0] = probe_submit(&w, &probes[0]);
  tally_await(&entered, 1);
  tasks[1] = probe_submit_after(&w, &probes[1], tasks, 1);
  assert_int_equal(mp_task_state(tasks[1]), MP_STATE_WAITING);
  assert_status(mp_wait(tasks[1], MILLISECOND), MP_TIMEOUT);
  assert_int_equal(probes[1].ran, 0);
  tally_add(&hold);
  assert_ends(tasks[1], MP_STATE_DONE, MP_OK);
  release_all(tasks, 2);
  world_close(&w);
}

static void test_after_diamond_runs_in_order(void **state) {
  (void)state;
  for (int round = 0; round < 300; round++) {
    world w;
    _Atomic uint32_t sequence = 0;
    probe probes[4];
    mp_task *tasks[4];
    for (int i = 0; i < 4; i++) probes[i] = (probe){.sequence = &sequence};
    world_open(&w, 2);
    tasks[0] = probe_submit(&w, &probes[0]);
    tasks[1] = probe_submit_after(&w, &probes[1], tasks, 1);
    tasks[2] = probe_submit_after(&w, &probes[2], tasks, 1);
    tasks[3] = probe_submit_after(&w, &probes[3], tasks + 1, 2);
    assert_ends(tasks[3], MP_STATE_DONE, MP_OK);
    assert_int_equal(probes[0].order, 1);
    assert_int_equal(probes[3].order, 4);
    release_all(tasks, 4);
    world_close(&w);
  }
}

static void test_after_duplicates_count_once(void **state) {
  world w;
  blockade b;
  probe probes[2] = {{0}};
  mp_task *parent, *child;
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  parent = probe_submit(&w, &probes[0]);
  mp_task *const same[] = {parent, parent, parent, parent};
  child = probe_submit_after(&w, &probes[1], same, LENGTH(same));
  blockade_lift(&b);
  assert_ends_and_release(child, MP_STATE_DONE, MP_OK);
  mp_task_release(parent);
  assert_dropped_once(probes, 2);
  world_close(&w);
}

static void test_after_task_of_another_pool_is_foreign(void **state) {
  world a, b;
  probe p = {0}, q = {0};
  mp_task *none = NULL;
  (void)state;
  world_open(&a, 1);
  world_open(&b, 1);
  mp_task *foreign = probe_submit(&a, &p);
  mp_task_desc desc = probe_desc(&q);
  desc.after = &foreign;
  desc.after_count = 1;
  assert_status(mp_submit(b.pool, &desc, &none), MP_FOREIGN);
  assert_null(none);
  assert_int_equal(q.ran + q.dropped, 0);
  assert_ends_and_release(foreign, MP_STATE_DONE, MP_OK);
  world_close(&b);
  world_close(&a);
}

static void test_submit_mailbox_of_another_pool_is_foreign(void **state) {
  world a, b;
  probe p = {0};
  (void)state;
  world_open(&a, 1);
  world_open(&b, 1);
  mp_task_desc desc = probe_desc(&p);
  desc.done = probe_done;
  desc.mailbox = mp_pool_mailbox(a.pool);
  assert_status(mp_submit(b.pool, &desc, NULL), MP_FOREIGN);
  world_close(&b);
  world_close(&a);
}

/* A parent that ends badly, before or after its child is submitted. */
static void assert_failure_is_handed_down(mp_status outcome, mp_state parent_state, bool late) {
  world w;
  tally hold = TALLY_INIT;
  probe probes[3] = {{.hold = &hold, .outcome = outcome}, {0}, {0}};
  mp_task *tasks[3];
  world_open(&w, 1);
  tasks[0] = probe_submit(&w, &probes[0]);
  if (late) {
    tally_add(&hold);
    assert_ok(mp_wait(tasks[0], MP_FOREVER));
  }
  tasks[1] = probe_submit_after(&w, &probes[1], &tasks[0], 1);
  tasks[2] = probe_submit_after(&w, &probes[2], &tasks[1], 1);
  if (!late) tally_add(&hold);
  assert_ends(tasks[2], MP_STATE_FAILED, MP_DEPENDENCY);
  assert_ends(tasks[1], MP_STATE_FAILED, MP_DEPENDENCY);
  assert_int_equal(mp_task_state(tasks[0]), parent_state);
  assert_ptr_equal(mp_task_cause(tasks[1]), tasks[0]);
  assert_ptr_equal(mp_task_cause(tasks[2]), tasks[1]);
  assert_null(mp_task_cause(tasks[0]));
  assert_int_equal(probes[1].ran + probes[2].ran, 0);
  world_drain(&w);
  assert_dropped_once(probes, 3);
  release_all(tasks, 3);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_after_parent_fails_all_descendants_fail_and_name_it(void **state) {
  (void)state;
  for (int late = 0; late < 2; late++) {
    assert_failure_is_handed_down(MP_FAILED, MP_STATE_FAILED, late);
    assert_failure_is_handed_down(MP_CANCELLED, MP_STATE_CANCELLED, late);
  }
}

static void test_after_parent_cancelled_queued_descendants_fail(void **state) {
  world w;
  blockade b;
  probe probes[2] = {{0}};
  mp_task *tasks[2];
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  tasks[0] = probe_submit(&w, &probes[0]);
  tasks[1] = probe_submit_after(&w, &probes[1], tasks, 1);
  assert_int_equal(mp_cancel(tasks[0]), 1);
  assert_ends(tasks[1], MP_STATE_FAILED, MP_DEPENDENCY); /* though the worker is still busy */
  assert_ptr_equal(mp_task_cause(tasks[1]), tasks[0]);
  assert_dropped_once(probes, 2);
  blockade_lift(&b);
  release_all(tasks, 2);
  world_close(&w);
}

static void test_after_one_of_many_parents_fails_child_fails_at_once(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe held = {.hold = &hold}, failing = {.outcome = MP_FAILED}, child = {0};
  mp_task *parents[2];
  (void)state;
  world_open(&w, 2);
  parents[0] = probe_submit(&w, &held);
  parents[1] = probe_submit(&w, &failing);
  mp_task *task = probe_submit_after(&w, &child, parents, 2);
  assert_ends(task, MP_STATE_FAILED, MP_DEPENDENCY);
  assert_ptr_equal(mp_task_cause(task), parents[1]);
  tally_add(&hold);
  mp_task_release(task);
  release_all(parents, 2);
  world_drain(&w);
  assert_dropped_once(&child, 1);
  world_close(&w);
}

static void test_cause_outlives_the_other_handles(void **state) {
  world w;
  probe probes[2] = {{.outcome = MP_INVALID}, {0}};
  (void)state;
  world_open(&w, 1);
  mp_task *parent = probe_submit(&w, &probes[0]),
          *child = probe_submit_after(&w, &probes[1], &parent, 1);
  mp_task_release(parent);
  assert_ends(child, MP_STATE_FAILED, MP_DEPENDENCY);
  assert_status(mp_task_status(mp_task_cause(child)), MP_INVALID);
  mp_task_release(child);
  world_close(&w);
}

/*
** {======================================================
** In numbers
** =======================================================
*/

static probe *many_probes(void) {
  probe *probes = calloc(MANY, sizeof *probes);
  assert_non_null(probes);
  return probes;
}

static void assert_all_ran(const probe *probes, unsigned times) {
  for (size_t i = 0; i < MANY; i++) assert_int_equal(probes[i].ran, times);
  assert_dropped_once(probes, MANY);
}

/* probes[i + 1] after probes[i]; only the last handle is kept. */
static mp_task *submit_chain(world *w, probe *probes) {
  mp_task *last = probe_submit(w, &probes[0]);
  for (size_t i = 1; i < MANY; i++) {
    mp_task *next = probe_submit_after(w, &probes[i], &last, 1);
    mp_task_release(last);
    last = next;
  }
  return last;
}

static void run_chain(mp_status first_outcome, mp_state last_state, mp_status last_status) {
  world w;
  blockade b;
  _Atomic uint32_t sequence = 0;
  probe *probes = many_probes();
  for (size_t i = 0; i < MANY; i++) probes[i].sequence = &sequence;
  probes[0].outcome = first_outcome;
  world_open(&w, 2);
  blockade_raise(&b, &w, 2);
  mp_task *last = submit_chain(&w, probes);
  blockade_lift(&b);
  assert_ends_and_release(last, last_state, last_status);
  world_drain(&w);
  for (size_t i = 0; i < MANY && first_outcome == MP_OK; i++)
    assert_int_equal(probes[i].order, i + 1);
  assert_dropped_once(probes, MANY);
  world_assert_settled(&w);
  world_close(&w);
  free(probes);
}

static void test_after_chain_of_100000_runs_in_order(void **state) {
  (void)state;
  run_chain(MP_OK, MP_STATE_DONE, MP_OK);
}

static void test_after_chain_of_100000_fails_to_the_end(void **state) {
  (void)state;
  run_chain(MP_FAILED, MP_STATE_FAILED, MP_DEPENDENCY);
}

static void test_after_fan_in_of_100000_waits_for_all(void **state) {
  world w;
  probe *probes = many_probes(), joint = {0};
  mp_task **tasks = calloc(MANY, sizeof *tasks);
  (void)state;
  world_open(&w, 2);
  mp_task_desc desc = probe_desc(probes);
  assert_ok(mp_submit_batch(w.pool, &desc, MANY, sizeof *probes, tasks));
  mp_task *last = probe_submit_after(&w, &joint, tasks, MANY);
  assert_ends_and_release(last, MP_STATE_DONE, MP_OK);
  assert_all_ran(probes, 1);
  release_all(tasks, MANY);
  world_close(&w);
  free(tasks);
  free(probes);
}

static void run_fan_out(mp_status outcome, unsigned runs) {
  world w;
  blockade b;
  probe *probes = many_probes(), root = {.outcome = outcome};
  world_open(&w, 2);
  blockade_raise(&b, &w, 2);
  mp_task *first = probe_submit(&w, &root);
  for (size_t i = 0; i < MANY; i++) mp_task_release(probe_submit_after(&w, &probes[i], &first, 1));
  blockade_lift(&b);
  world_drain(&w);
  assert_all_ran(probes, runs);
  mp_task_release(first);
  world_assert_settled(&w);
  world_close(&w);
  free(probes);
}

static void test_after_fan_out_of_100000_all_run_or_all_fail(void **state) {
  (void)state;
  run_fan_out(MP_OK, 1);
  run_fan_out(MP_FAILED, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_after_parent_done_already_child_runs),
      cmocka_unit_test(test_after_parent_held_child_waits),
      cmocka_unit_test(test_after_diamond_runs_in_order),
      cmocka_unit_test(test_after_duplicates_count_once),
      cmocka_unit_test(test_after_task_of_another_pool_is_foreign),
      cmocka_unit_test(test_submit_mailbox_of_another_pool_is_foreign),
      cmocka_unit_test(test_after_parent_fails_all_descendants_fail_and_name_it),
      cmocka_unit_test(test_after_parent_cancelled_queued_descendants_fail),
      cmocka_unit_test(test_after_one_of_many_parents_fails_child_fails_at_once),
      cmocka_unit_test(test_cause_outlives_the_other_handles),
      cmocka_unit_test(test_after_chain_of_100000_runs_in_order),
      cmocka_unit_test(test_after_chain_of_100000_fails_to_the_end),
      cmocka_unit_test(test_after_fan_in_of_100000_waits_for_all),
      cmocka_unit_test(test_after_fan_out_of_100000_all_run_or_all_fail),
  };
  return unit_main(tests);
}
