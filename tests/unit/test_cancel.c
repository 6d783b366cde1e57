/* Cancelling in every state, and what it says. */
#include "unit.h"

static void test_cancel_queued_never_runs_and_is_true(void **state) {
  world w;
  blockade b;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *task = probe_submit(&w, &p);
  assert_int_equal(mp_cancel(task), 1);
  assert_int_equal(mp_task_state(task), MP_STATE_CANCELLED);
  assert_dropped_once(&p, 1);
  assert_int_equal(mp_cancel(task), 1); /* an earlier call did it */
  assert_int_equal(mp_task_cancel_requested(task), 1);
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(p.ran, 0);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_cancel_at_any_priority_leaves_the_others(void **state) {
  world w;
  blockade b;
  probe probes[30] = {{0}};
  mp_task *tasks[30];
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  for (int i = 0; i < 30; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.priority = i % 3 - 1;
    assert_ok(mp_submit(w.pool, &desc, &tasks[i]));
  }
  for (int i = 0; i < 30; i += 2) assert_int_equal(mp_cancel(tasks[i]), 1);
  blockade_lift(&b);
  world_drain(&w);
  for (int i = 0; i < 30; i++) {
    assert_int_equal(probes[i].ran, i % 2);
    mp_task_release(tasks[i]);
  }
  assert_dropped_once(probes, 30);
  world_close(&w);
}

static void test_cancel_waiting_for_dependencies_never_runs(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe parent = {.hold = &hold}, child = {0};
  (void)state;
  world_open(&w, 2);
  mp_task *first = probe_submit(&w, &parent), *second = probe_submit_after(&w, &child, &first, 1);
  assert_int_equal(mp_cancel(second), 1);
  assert_dropped_once(&child, 1);
  tally_add(&hold);
  assert_ends_and_release(first, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(second, MP_STATE_CANCELLED, MP_CANCELLED);
  world_drain(&w);
  assert_int_equal(child.ran, 0);
  assert_dropped_once(&child, 1);
  world_close(&w);
}

static void cancel_running(mp_status outcome, mp_state end) {
  world w;
  tally entered = TALLY_INIT;
  probe p = {.entered = &entered, .until_cancelled = true, .outcome = outcome};
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  tally_await(&entered, 1);
  assert_int_equal(mp_task_cancel_requested(task), 0);
  int said = mp_cancel(task); /* asked; the outcome is its own */
  /* it may be as quick as to have ended so already */
  assert_true(said == 0 || outcome == MP_CANCELLED);
  assert_int_equal(mp_task_cancel_requested(task), 1);
  assert_ends_and_release(task, end, outcome);
  assert_dropped_once(&p, 1);
  world_close(&w);
}

static void test_cancel_running_is_asked_and_decides_itself(void **state) {
  (void)state;
  cancel_running(MP_CANCELLED, MP_STATE_CANCELLED);
  cancel_running(MP_OK, MP_STATE_DONE);
  cancel_running(MP_FAILED, MP_STATE_FAILED);
}

static mp_status spin_until_cancelled(mp_worker *worker, void *arg) {
  tally_add(arg);
  while (!mp_worker_cancelled(worker)) continue;
  return MP_CANCELLED;
}

static void test_cancel_running_is_seen_without_sleeping(void **state) {
  world w;
  tally entered = TALLY_INIT;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = spin_until_cancelled;
  desc.arg = &entered;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&entered, 1);
  mp_cancel(task);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_close(&w);
}

static void test_cancel_ended_changes_nothing(void **state) {
  world w;
  probe ok = {0}, failing = {.outcome = MP_FAILED};
  (void)state;
  world_open(&w, 1);
  mp_task *done = probe_submit(&w, &ok), *failed = probe_submit(&w, &failing);
  assert_ends(done, MP_STATE_DONE, MP_OK);
  assert_ends(failed, MP_STATE_FAILED, MP_FAILED);
  assert_int_equal(mp_cancel(done), 0);
  assert_int_equal(mp_cancel(failed), 0);
  assert_ends_and_release(done, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(failed, MP_STATE_FAILED, MP_FAILED);
  world_close(&w);
}

static void test_cancel_of_one_task_is_not_seen_by_another(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe asked = {.entered = &entered, .until_cancelled = true, .outcome = MP_CANCELLED};
  probe other = {.entered = &entered, .hold = &hold};
  (void)state;
  world_open(&w, 2);
  mp_task *first = probe_submit(&w, &asked), *second = probe_submit(&w, &other);
  tally_await(&entered, 2);
  mp_cancel(first);
  assert_ends_and_release(first, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_int_equal(mp_task_cancel_requested(second), 0);
  tally_add(&hold);
  assert_ends_and_release(second, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static mp_status cancel_itself(mp_worker *worker, void *arg) {
  (void)arg;
  if (mp_cancel(mp_worker_task(worker)) != 0) return MP_FAILED;
  if (!mp_worker_cancelled(worker)) return MP_INVALID;
  return mp_worker_sleep(worker, 1000 * SECOND);
}

static void test_cancel_by_the_task_itself_is_seen_by_it(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = cancel_itself;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_close(&w);
}

/* Its memory is not the queue's until a worker comes by. */
static void test_cancel_queued_gives_its_memory_back_at_once(void **state) {
  world w;
  blockade b;
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  size_t most = 0;
  for (int i = 0; i < 30000; i++) {
    probe p = {0};
    mp_task_desc desc = probe_desc(&p);
    mp_task *task;
    desc.priority = i % 3 - 1;
    desc.timeout_ns = i % 2 ? 1000 * SECOND : 0;
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_int_equal(mp_cancel(task), 1);
    mp_task_release(task);
    assert_int_equal(p.dropped, 1);
    if (i == 1000) most = world_info(&w).bytes;
  }
  assert_true(world_info(&w).bytes <= most);
  blockade_lift(&b);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cancel_queued_never_runs_and_is_true),
      cmocka_unit_test(test_cancel_at_any_priority_leaves_the_others),
      cmocka_unit_test(test_cancel_waiting_for_dependencies_never_runs),
      cmocka_unit_test(test_cancel_running_is_asked_and_decides_itself),
      cmocka_unit_test(test_cancel_running_is_seen_without_sleeping),
      cmocka_unit_test(test_cancel_ended_changes_nothing),
      cmocka_unit_test(test_cancel_of_one_task_is_not_seen_by_another),
      cmocka_unit_test(test_cancel_by_the_task_itself_is_seen_by_it),
      cmocka_unit_test(test_cancel_queued_gives_its_memory_back_at_once),
  };
  return unit_main(tests);
}
