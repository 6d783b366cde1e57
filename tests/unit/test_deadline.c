/* Deadlines: queued, waiting for dependencies, running, and those that are never reached. */
#include "unit.h"

#include <string.h>

static mp_task *submit_timed(world *w, probe *p, uint64_t timeout_ns, mp_task *const *after) {
  mp_task_desc desc = probe_desc(p);
  mp_task *task;
  desc.timeout_ns = timeout_ns;
  desc.after = after;
  desc.after_count = after != NULL;
  assert_ok(mp_submit(w->pool, &desc, &task));
  return task;
}

static void test_deadline_queued_ends_without_running(void **state) {
  world w;
  blockade b;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *task = submit_timed(&w, &p, MILLISECOND, NULL);
  assert_ends(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  world_info(&w);
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(p.ran, 0);
  assert_dropped_once(&p, 1);
  assert_int_equal(world_info(&w).timed_out, 1);
  mp_task_release(task);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_deadline_waiting_for_dependencies_ends_and_fails_its_own(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe probes[3] = {{.hold = &hold}, {0}, {0}};
  (void)state;
  world_open(&w, 1);
  mp_task *parent = probe_submit(&w, &probes[0]);
  mp_task *timed = submit_timed(&w, &probes[1], MILLISECOND, &parent);
  mp_task *child = probe_submit_after(&w, &probes[2], &timed, 1);
  assert_ends(timed, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_ends(child, MP_STATE_FAILED, MP_DEPENDENCY);
  assert_ptr_equal(mp_task_cause(child), timed);
  tally_add(&hold);
  assert_ends_and_release(parent, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_int_equal(probes[1].ran + probes[2].ran, 0);
  assert_dropped_once(probes, 3);
  mp_task_release(timed);
  mp_task_release(child);
  world_close(&w);
}

static void test_deadline_running_ends_at_once_and_asks_to_stop(void **state) {
  world w;
  probe p = {.until_cancelled = true, .outcome = MP_OK};
  (void)state;
  world_open(&w, 1);
  mp_task *task = submit_timed(&w, &p, MILLISECOND, NULL);
  assert_ends_and_release(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  /* the body has come back after this */
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  assert_dropped_once(&p, 1);
  world_assert_settled(&w);
  world_close(&w);
}

static _Atomic int results_dropped;
static void drop_result(void *result) { (void)result, mp_add_relaxed(&results_dropped, 1); }

static mp_status result_then_hold(mp_worker *worker, void *arg) {
  mp_worker_set_result(worker, arg, drop_result);
  tally_await(arg, 1);
  mp_worker_set_result(worker, arg, drop_result);
  return MP_OK;
}

static void test_deadline_that_passed_before_a_full_pool_had_room_ends_it_at_once(void **state) {
  world w;
  blockade b;
  probe p = {0};
  mp_task_desc desc = probe_desc(&p);
  mp_task *task;
  (void)state;
  desc.timeout_ns = 1000 * SECOND;
  desc.waited_ns = 2000 * SECOND;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_int_equal(mp_task_timeout(task), 1000 * SECOND);
  blockade_lift(&b);
  world_drain(&w);
  mp_task_release(task);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_deadline_running_late_result_is_dropped_not_shown(void **state) {
  world w;
  tally hold = TALLY_INIT;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  mp_store_relaxed(&results_dropped, 0);
  world_open(&w, 1);
  desc.run = result_then_hold;
  desc.arg = &hold;
  desc.timeout_ns = 5 * MILLISECOND;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_null(mp_task_result(task));
  tally_add(&hold);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  assert_null(mp_task_result(task));
  assert_int_equal(mp_task_state(task), MP_STATE_TIMED_OUT);
  mp_task_release(task);
  world_close(&w);
  assert_int_not_equal(mp_load_relaxed(&results_dropped), 1); /* 2, or 0 if it never started */
}

static void test_deadline_not_reached_changes_nothing(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  const uint64_t timeouts[] = {1000 * SECOND, MP_FOREVER - 1, MP_FOREVER, (uint64_t)INT64_MAX};
  for (size_t i = 0; i < 400; i++) {
    probe p = {0};
    assert_ends_and_release(submit_timed(&w, &p, timeouts[i % LENGTH(timeouts)], NULL),
                            MP_STATE_DONE, MP_OK);
    assert_dropped_once(&p, 1);
  }
  assert_int_equal(world_info(&w).timed_out, 0);
  world_close(&w);
}

static void test_deadline_least_possible_ends_each_task_exactly_once(void **state) {
  world w;
  enum { N = 2000 };
  static probe probes[N];
  static mp_task *tasks[N];
  (void)state;
  memset(probes, 0, sizeof probes);
  world_open(&w, 2);
  for (size_t i = 0; i < N; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.timeout_ns = 1 + i * 100 % 50000;
    desc.done = i % 2 ? probe_done : NULL;
    assert_ok(mp_submit(w.pool, &desc, i % 3 ? &tasks[i] : NULL));
  }
  for (size_t i = 0; i < N; i++) {
    if (i % 3 == 0) continue;
    assert_ok(mp_wait(tasks[i], MP_FOREVER));
    mp_state end = mp_task_state(tasks[i]);
    assert_true(end == MP_STATE_DONE || end == MP_STATE_TIMED_OUT);
    mp_task_release(tasks[i]);
  }
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  mp_poll(w.pool, MP_FOREVER, 0);
  for (size_t i = 0; i < N; i++) assert_int_equal(probes[i].told, i % 2);
  assert_dropped_once(probes, N);
  world_assert_settled(&w);
  assert_int_equal(world_info(&w).submitted, N);
  world_close(&w);
}

static void test_deadline_cancelled_before_is_not_timed_out(void **state) {
  world w;
  blockade b;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *task = submit_timed(&w, &p, 1000 * SECOND, NULL);
  assert_int_equal(mp_cancel(task), 1);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  blockade_lift(&b);
  world_close(&w);
}

static void test_deadline_timed_out_then_cancel_is_false(void **state) {
  world w;
  blockade b;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *task = submit_timed(&w, &p, 1, NULL);
  assert_ends(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_int_equal(mp_cancel(task), 0);
  assert_ends_and_release(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  blockade_lift(&b);
  world_close(&w);
}

static void test_deadline_earlier_than_those_armed_does_not_wait_for_them(void **state) {
  world w;
  blockade b;
  probe later = {0}, sooner = {0};
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *behind = submit_timed(&w, &later, 1000 * SECOND, NULL);
  for (int i = 0; i < 10; i++) /* from the second on the timer sleeps until `later` */
    assert_ends_and_release(submit_timed(&w, &sooner, MILLISECOND, NULL), MP_STATE_TIMED_OUT,
                            MP_TIMEOUT);
  blockade_lift(&b);
  assert_ends_and_release(behind, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static mp_status until_asked(mp_worker *worker, void *arg) {
  (void)arg;
  while (!mp_worker_cancelled(worker)) mp_pause();
  return MP_CANCELLED;
}

/* A body that ends the moment it is asked has timed out all the same: nobody cancelled it. */
static void test_deadline_is_never_taken_for_a_cancel(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  for (int i = 0; i < 2000; i++) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *task;
    desc.run = until_asked;
    desc.timeout_ns = 1 + (uint64_t)(i * 7919 % 200) * 1000;
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ends_and_release(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  }
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_deadline_queued_ends_without_running),
      cmocka_unit_test(test_deadline_waiting_for_dependencies_ends_and_fails_its_own),
      cmocka_unit_test(test_deadline_running_ends_at_once_and_asks_to_stop),
      cmocka_unit_test(test_deadline_that_passed_before_a_full_pool_had_room_ends_it_at_once),
      cmocka_unit_test(test_deadline_running_late_result_is_dropped_not_shown),
      cmocka_unit_test(test_deadline_not_reached_changes_nothing),
      cmocka_unit_test(test_deadline_least_possible_ends_each_task_exactly_once),
      cmocka_unit_test(test_deadline_cancelled_before_is_not_timed_out),
      cmocka_unit_test(test_deadline_timed_out_then_cancel_is_false),
      cmocka_unit_test(test_deadline_earlier_than_those_armed_does_not_wait_for_them),
      cmocka_unit_test(test_deadline_is_never_taken_for_a_cancel),
  };
  return unit_main(tests);
}
