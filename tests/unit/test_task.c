/* One task: submitting, its accessors, its argument and result, its order among others. */
#include "unit.h"

#include <string.h>

static void test_submit_invalid_description_is_refused(void **state) {
  world w;
  probe p = {0};
  mp_task *task = (mp_task *)&task, *none = NULL;
  (void)state;
  world_open(&w, 1);
  const mp_task_desc good = probe_desc(&p);
  mp_task_desc bad[] = {good, good, good, good, good, good};
  bad[0].size = 0;
  bad[1].run = NULL;
  bad[2].after_count = 1; /* with after NULL */
  bad[3].after_count = 1;
  bad[3].after = &none;
  bad[4].arg_size = (size_t)INT32_MAX + 1;
  bad[5].arg = NULL;
  bad[5].arg_size = 8; /* nothing to copy from */
  for (size_t i = 0; i < LENGTH(bad); i++)
    assert_status(mp_submit(w.pool, &bad[i], &task), MP_INVALID);
  assert_ptr_equal(task, &task);
  assert_int_equal(p.ran + p.dropped, 0);
  assert_int_equal(world_info(&w).submitted, 0);
  world_close(&w);
}

static void test_submit_without_handle_runs_and_drops(void **state) {
  world w;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  const mp_task_desc desc = probe_desc(&p);
  assert_ok(mp_submit(w.pool, &desc, NULL));
  world_drain(&w);
  assert_int_equal(p.ran, 1);
  assert_dropped_once(&p, 1);
  world_close(&w);
}

static void test_task_accessors_report_what_was_given(void **state) {
  world w;
  probe p = {0};
  mp_task *first, *second;
  (void)state;
  world_open(&w, 1);
  mp_task_desc desc = probe_desc(&p);
  desc.priority = -3;
  desc.timeout_ns = 1000 * SECOND;
  assert_ok(mp_submit(w.pool, &desc, &first));
  assert_int_equal(mp_task_id(first), 1);
  assert_int_equal(mp_task_priority(first), -3);
  assert_true(mp_task_timeout(first) == 1000 * SECOND);
  assert_ptr_equal(mp_task_arg(first), &p);
  assert_ptr_equal(mp_task_pool(first), w.pool);
  assert_null(mp_task_cause(first));
  assert_int_equal(mp_task_cancel_requested(first), 0);
  assert_ends(first, MP_STATE_DONE, MP_OK);
  second = probe_submit(&w, &(probe){0});
  assert_int_equal(mp_task_id(second), 2);
  assert_ends_and_release(second, MP_STATE_DONE, MP_OK);
  mp_task_release(first);
  mp_task_release(NULL);
  world_close(&w);
}

static void test_task_status_each_body_status_decides_the_state(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  for (int status = 0; status < MP_STATUS_COUNT; status++) {
    probe p = {.outcome = (mp_status)status};
    mp_state expected = status == MP_OK          ? MP_STATE_DONE
                        : status == MP_CANCELLED ? MP_STATE_CANCELLED
                                                 : MP_STATE_FAILED;
    assert_ends_and_release(probe_submit(&w, &p), expected, (mp_status)status);
    assert_dropped_once(&p, 1);
  }
  world_close(&w);
}

static void test_task_status_that_is_none_is_a_failure(void **state) {
  const int strange[] = {256, 65536, MP_STATUS_COUNT, -1};
  world w;
  (void)state;
  world_open(&w, 1);
  for (size_t i = 0; i < LENGTH(strange); i++) {
    probe p = {.outcome = (mp_status)strange[i]};
    assert_ends_and_release(probe_submit(&w, &p), MP_STATE_FAILED, MP_FAILED);
  }
  world_close(&w);
}

static void test_task_drop_comes_before_the_end_is_seen(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  for (int i = 0; i < 500; i++) {
    probe p = {0};
    mp_task *task = probe_submit(&w, &p);
    assert_ends(task, MP_STATE_DONE, MP_OK);
    assert_dropped_once(&p, 1); /* the handle is still held */
    mp_task_release(task);
  }
  world_close(&w);
}

/* Copied arguments: every byte arrives, whatever the size. */
static mp_status sum_bytes(mp_worker *worker, void *arg) {
  const unsigned char *bytes = arg;
  size_t size, sum = 0;
  memcpy(&size, bytes, sizeof size);
  for (size_t i = sizeof size; i < size; i++) sum += bytes[i];
  mp_worker_set_result(worker, (void *)(uintptr_t)sum, NULL);
  return (uintptr_t)arg % 16 == 0 ? MP_OK : MP_FAILED;
}

static void test_submit_copied_argument_of_any_size_arrives(void **state) {
  world w;
  static unsigned char bytes[100000];
  const size_t sizes[] = {sizeof(size_t), 17, 100, 128, 129, 1000, sizeof bytes};
  (void)state;
  world_open(&w, 1);
  for (size_t i = 0; i < LENGTH(sizes); i++) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *task;
    memset(bytes, 3, sizeof bytes);
    memcpy(bytes, &sizes[i], sizeof(size_t));
    desc.run = sum_bytes;
    desc.arg = bytes;
    desc.arg_size = sizes[i];
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ptr_not_equal(mp_task_arg(task), bytes);
    memset(bytes, 0xFF, sizeof bytes); /* the caller's copy is its own again */
    assert_ends(task, MP_STATE_DONE, MP_OK);
    assert_int_equal((uintptr_t)mp_task_result(task), 3 * (sizes[i] - sizeof(size_t)));
    mp_task_release(task);
  }
  world_close(&w);
}

/* A result that lies where the argument did. */
static mp_status answer_in_place(mp_worker *worker, void *arg) {
  memset(arg, 7, 100);
  mp_worker_set_result(worker, arg, NULL);
  return MP_OK;
}

static _Atomic int arguments_dropped;

static void drop_argument(void *arg) {
  (void)arg;
  mp_add_relaxed(&arguments_dropped, 1);
}

static void test_task_result_in_a_copied_argument_outlives_its_drop(void **state) {
  world w;
  static unsigned char bytes[5000];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = answer_in_place;
  desc.drop = drop_argument;
  desc.arg = bytes;
  for (size_t size = 100; size <= sizeof bytes; size *= 7) {
    int before = mp_load_relaxed(&arguments_dropped);
    desc.arg_size = size;
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ends(task, MP_STATE_DONE, MP_OK);
    assert_int_equal(mp_load_relaxed(&arguments_dropped), before + 1);
    const unsigned char *result = mp_task_result(task);
    for (int i = 0; i < 100; i++) assert_int_equal(result[i], 7);
    mp_task_release(task);
  }
  world_close(&w);
}

typedef struct outcome {
  _Atomic int dropped;
  mp_status status;
} outcome;

static void drop_result(void *result) { mp_add_relaxed(&((outcome *)result)->dropped, 1); }

static mp_status set_result_twice(mp_worker *worker, void *arg) {
  outcome *results = arg;
  mp_worker_set_result(worker, &results[0], drop_result);
  mp_worker_set_result(worker, &results[1], drop_result);
  return results[1].status;
}

static void run_with_results(mp_status status, bool readable) {
  world w;
  outcome results[2] = {{0, MP_OK}, {0, status}};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  world_open(&w, 1);
  desc.run = set_result_twice;
  desc.arg = results;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_ptr_equal(mp_task_result(task), readable ? &results[1] : NULL);
  assert_int_equal(results[0].dropped, 1); /* replaced */
  assert_int_equal(results[1].dropped, 0);
  mp_task_retain(task);
  mp_task_release(task);
  assert_int_equal(results[1].dropped, 0);
  mp_task_release(task);
  world_close(&w);
  assert_int_equal(results[1].dropped, 1);
  assert_int_equal(results[0].dropped, 1);
}

static void test_task_result_replaced_and_freed_with_the_last_reference(void **state) {
  (void)state;
  run_with_results(MP_OK, true);
  run_with_results(MP_FAILED, true);
  run_with_results(MP_CANCELLED, false);
}

static void test_task_times_only_when_asked_for(void **state) {
  world w;
  probe p = {0};
  uint64_t queued = 1, ran = 1;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  task = probe_submit(&w, &p);
  assert_ends(task, MP_STATE_DONE, MP_OK);
  mp_task_times(task, &queued, &ran);
  assert_int_equal(queued + ran, 0);
  mp_task_release(task);

  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe held = {.entered = &entered, .hold = &hold};
  mp_task_desc desc = probe_desc(&held);
  desc.flags = MP_TASK_TIMED;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&entered, 1);
  tally_add(&hold);
  assert_ends(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  uint64_t queued_again, ran_again;
  mp_task_times(task, &queued, &ran);
  mp_task_times(task, &queued_again, &ran_again);
  assert_true(ran > 0 && queued > 0);
  assert_true(queued == queued_again && ran == ran_again);
  mp_task_release(task);
  world_close(&w);
}

/*
** {======================================================
** Batches and order
** =======================================================
*/

static void test_submit_batch_strides_and_hands_out_all(void **state) {
  world w;
  enum { N = 1000 };
  static probe probes[N];
  static mp_task *tasks[N];
  (void)state;
  memset(probes, 0, sizeof probes);
  world_open(&w, 2);
  mp_task_desc desc = probe_desc(&probes[0]);
  assert_ok(mp_submit_batch(w.pool, &desc, N, sizeof probes[0], tasks));
  for (size_t i = 0; i < N; i++) {
    assert_ptr_equal(mp_task_arg(tasks[i]), &probes[i]);
    assert_int_equal(mp_task_id(tasks[i]), i + 1);
    assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    assert_int_equal(probes[i].ran, 1);
  }
  assert_dropped_once(probes, N);
  world_close(&w);
}

static void test_submit_batch_what_it_cannot_do_is_invalid(void **state) {
  world w;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *parent = probe_submit(&w, &(probe){0});
  mp_task_desc after = probe_desc(&p), timed = after, telling = after, empty = after;
  after.after = &parent;
  after.after_count = 1;
  timed.timeout_ns = SECOND;
  telling.done = probe_done;
  empty.run = NULL;
  assert_status(mp_submit_batch(w.pool, &after, 2, 0, NULL), MP_INVALID);
  assert_status(mp_submit_batch(w.pool, &timed, 2, 0, NULL), MP_INVALID);
  assert_status(mp_submit_batch(w.pool, &telling, 2, 0, NULL), MP_INVALID);
  assert_status(mp_submit_batch(w.pool, &empty, 2, 0, NULL), MP_INVALID);
  assert_ok(mp_submit_batch(w.pool, &timed, 0, 0, NULL));
  assert_ends_and_release(parent, MP_STATE_DONE, MP_OK);
  assert_int_equal(world_info(&w).submitted, 1);
  world_close(&w);
}

#define ORDERED 1000

/*
** Queues ORDERED tasks behind a busy worker, `priority(i)` each, and returns the probes in `order`.
*/
static void run_ordered(probe *probes, int (*priority)(int i), bool batch) {
  world w;
  blockade b;
  _Atomic uint32_t sequence = 0;
  memset(probes, 0, ORDERED * sizeof *probes);
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  for (int i = 0; i < ORDERED; i++) probes[i].sequence = &sequence;
  for (int i = 0; i < ORDERED && !batch; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.priority = priority(i);
    assert_ok(mp_submit(w.pool, &desc, NULL));
  }
  if (batch) {
    mp_task_desc desc = probe_desc(&probes[0]);
    desc.priority = priority(0);
    assert_ok(mp_submit_batch(w.pool, &desc, ORDERED, sizeof *probes, NULL));
  }
  blockade_lift(&b);
  world_drain(&w);
  world_close(&w);
  assert_dropped_once(probes, ORDERED);
}

static probe ordered[ORDERED];

static void assert_fifo(int first, int step, uint32_t from) {
  for (int i = first; i < ORDERED; i += step) assert_int_equal(ordered[i].order, from++);
}

static int normal(int i) { return (void)i, 0; }
static int high(int i) { return (void)i, 5; }
static int low(int i) { return (void)i, -5; }
static int high_or_normal(int i) { return i % 2; }
static int two_high(int i) { return i % 2 ? 2 : 1; }

static void test_submit_equal_priority_one_worker_runs_fifo(void **state) {
  (void)state;
  int (*const priorities[])(int) = {normal, high, low};
  for (size_t k = 0; k < LENGTH(priorities); k++)
    for (int batch = 0; batch < 2; batch++) {
      run_ordered(ordered, priorities[k], batch);
      assert_fifo(0, 1, 1);
    }
}

static void test_submit_higher_priority_runs_first(void **state) {
  (void)state;
  run_ordered(ordered, two_high, false);
  assert_fifo(1, 2, 1);
  assert_fifo(0, 2, ORDERED / 2 + 1);
}

/* High before normal, but for the fair pick: every 64th goes to the lowest level that waits. */
static void test_submit_normal_beside_high_is_served_but_rarely(void **state) {
  (void)state;
  run_ordered(ordered, high_or_normal, false);
  int early = 0;
  for (int i = 0; i < ORDERED; i += 2) early += ordered[i].order <= ORDERED / 2;
  assert_in_range(early, 1, ORDERED / 2 / 64 + 2);
}

/*
** A failure that nobody asked about is told once, when the last reference to it goes.
*/

static void count_unseen(mp_task *task, void *ud) {
  tally *told = ud;
  assert_int_not_equal(mp_task_id(task), 0);
  tally_add(told);
}

typedef enum look { NOT, STATUS, RESULT, CAUSE, CANCEL, CANCEL_NOW } look;

static void test_task_failure_unseen_is_told(void **state) {
  world w;
  tally told = TALLY_INIT;
  unsigned expected = 0;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.task_unseen = count_unseen;
  config.task_unseen_ud = &told;
  world_open_with(&w, config);
  for (look how = NOT; how <= CANCEL_NOW; how++) {
    probe p = {.outcome = MP_FAILED};
    mp_task *task = probe_submit(&w, &p);
    assert_ok(mp_wait(task, MP_FOREVER));
    if (how == STATUS) assert_status(mp_task_status(task), MP_FAILED);
    if (how == RESULT) (void)mp_task_result(task);
    if (how == CAUSE) assert_null(mp_task_cause(task));
    if (how == CANCEL) assert_int_equal(mp_cancel(task), 0);
    if (how == CANCEL_NOW) assert_int_equal(mp_cancel_now(task), 0);
    mp_task_retain(task);
    mp_task_release(task);
    world_drain(&w);
    assert_int_equal(tally_read(&told), expected);
    mp_task_release(task);
    if (how == NOT) expected++;
    world_drain(&w);
    assert_int_equal(tally_read(&told), expected);
  }
  probe fire = {.outcome = MP_FAILED}, done = {0};
  mp_task_desc desc = probe_desc(&fire);
  assert_ok(mp_submit(w.pool, &desc, NULL));
  mp_task_release(probe_submit(&w, &done));
  world_drain(&w);
  tally_await(&told, ++expected);
  desc.timeout_ns = 1;
  desc.flags = MP_TASK_TIMED;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  tally_await(&told, ++expected);
  world_close(&w);
  assert_int_equal(tally_read(&told), expected);
}

static void test_task_failure_unseen_is_told_by_the_last_that_failed_with_it(void **state) {
  world w;
  tally told = TALLY_INIT;
  probe probes[3] = {{.outcome = MP_FAILED}, {0}, {0}};
  mp_task *tasks[3];
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.task_unseen = count_unseen;
  config.task_unseen_ud = &told;
  world_open_with(&w, config);
  tasks[0] = probe_submit(&w, &probes[0]);
  tasks[1] = probe_submit_after(&w, &probes[1], tasks, 1);
  tasks[2] = probe_submit_after(&w, &probes[2], tasks + 1, 1);
  world_drain(&w);
  for (int i = 0; i < 3; i++) mp_task_release(tasks[i]);
  assert_int_equal(tally_read(&told), 1);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_submit_invalid_description_is_refused),
      cmocka_unit_test(test_submit_without_handle_runs_and_drops),
      cmocka_unit_test(test_task_accessors_report_what_was_given),
      cmocka_unit_test(test_task_status_each_body_status_decides_the_state),
      cmocka_unit_test(test_task_status_that_is_none_is_a_failure),
      cmocka_unit_test(test_task_drop_comes_before_the_end_is_seen),
      cmocka_unit_test(test_submit_copied_argument_of_any_size_arrives),
      cmocka_unit_test(test_task_result_in_a_copied_argument_outlives_its_drop),
      cmocka_unit_test(test_task_result_replaced_and_freed_with_the_last_reference),
      cmocka_unit_test(test_task_times_only_when_asked_for),
      cmocka_unit_test(test_submit_batch_strides_and_hands_out_all),
      cmocka_unit_test(test_submit_batch_what_it_cannot_do_is_invalid),
      cmocka_unit_test(test_submit_equal_priority_one_worker_runs_fifo),
      cmocka_unit_test(test_submit_higher_priority_runs_first),
      cmocka_unit_test(test_submit_normal_beside_high_is_served_but_rarely),
      cmocka_unit_test(test_task_failure_unseen_is_told),
      cmocka_unit_test(test_task_failure_unseen_is_told_by_the_last_that_failed_with_it),
  };
  return unit_main(tests);
}
