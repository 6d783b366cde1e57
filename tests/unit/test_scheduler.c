/* The scheduler: continuations, fair picks, replacements of blocked workers, sleep and wake. */
#include "scheduler.h"
#include "unit.h"

#include <string.h>

/*
** A parent ends; its first child becomes the worker's continuation; then a discarded notice calls
** the host, which waits for work that only this very worker can do. The continuation must survive
** that.
*/
typedef struct rescue {
  world *w;
  probe behind, last;
  mp_status status;
} rescue;

static void on_discarded(mp_task *task, mp_state state, void *ud) {
  rescue *r = ud;
  (void)state;
  if (task != NULL) return;
  mp_task_desc desc = probe_desc(&r->behind);
  mp_task *first = NULL, *second = NULL;
  desc.priority = -1;
  r->status = mp_submit(r->w->pool, &desc, &first);
  if (r->status != MP_OK) return;
  desc.arg = &r->last;
  desc.after = &first;
  desc.after_count = 1;
  r->status = mp_submit(r->w->pool, &desc, &second);
  if (r->status == MP_OK) r->status = mp_wait(second, MP_FOREVER);
  mp_task_release(second);
  mp_task_release(first);
}

static void test_finish_host_waits_inside_no_continuation_is_lost(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe parent = {.hold = &hold}, child = {0};
  rescue r = {.w = &w, .status = MP_FAILED};
  mp_mailbox *mailbox;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.workers_extra = 0;
  world_open_with(&w, config);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  mp_task *first = probe_submit(&w, &parent), *second = probe_submit_after(&w, &child, &first, 1);
  assert_ok(mp_task_notify(first, mailbox, on_discarded, &r));
  mp_mailbox_close(mailbox);
  tally_add(&hold);
  assert_ends_and_release(second, MP_STATE_DONE, MP_OK);
  mp_task_release(first);
  world_drain(&w);
  assert_ok(r.status);
  assert_int_equal(r.behind.ran + r.last.ran, 2);
  world_close(&w);
}

/*
** A task that submits its successor for ever, until a task from outside or of low priority stops
** it: nobody is shut out.
*/
typedef struct relay {
  _Atomic bool stop;
  _Atomic unsigned runs;
  int priority;
} relay;

static mp_status run_relay(mp_worker *worker, void *arg) {
  relay *r = arg;
  mp_add_relaxed(&r->runs, 1);
  if (mp_load_relaxed(&r->stop)) return MP_OK;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_relay;
  desc.arg = r;
  desc.priority = r->priority;
  return mp_submit(mp_worker_pool(worker), &desc, NULL);
}

static mp_status stop_relay(mp_worker *worker, void *arg) {
  (void)worker;
  mp_store_relaxed(&((relay *)arg)->stop, true);
  return MP_OK;
}

static void starve(int relay_priority, int stopper_priority) {
  world w;
  relay r = {.priority = relay_priority};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  world_open(&w, 1);
  desc.run = run_relay;
  desc.arg = &r;
  desc.priority = relay_priority;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  while (mp_load_relaxed(&r.runs) < 10) usleep(100);
  desc.run = stop_relay;
  desc.priority = stopper_priority;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  world_drain(&w);
  world_close(&w);
}

static void test_find_endless_work_shuts_out_no_level(void **state) {
  (void)state;
  starve(0, 0); /* a worker's own work against the inbox */
  starve(0, -1);
  starve(1, 0);
  starve(1, -1);
}

/* A continuation chain, the other way to go on for ever. */
static void test_run_long_chain_lets_high_and_low_in(void **state) {
  world w;
  blockade b;
  enum { N = 2000 };
  static probe probes[N];
  probe high = {0}, low = {0};
  _Atomic uint32_t sequence = 0;
  (void)state;
  memset(probes, 0, sizeof probes);
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *last = NULL;
  for (int i = 0; i < N; i++) {
    probes[i].sequence = &sequence;
    mp_task *next = probe_submit_after(&w, &probes[i], &last, i > 0);
    mp_task_release(last);
    last = next;
  }
  high.sequence = low.sequence = &sequence;
  mp_task_desc desc = probe_desc(&high);
  desc.priority = 1;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  desc.arg = &low;
  desc.priority = -1;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  blockade_lift(&b);
  assert_ends_and_release(last, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_in_range(high.order, 1, 2); /* the low one may have been the fair pick */
  assert_in_range(low.order, 1, 64 + 3);
  world_close(&w);
}

static mp_status wait_for_gate(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(arg, MP_FOREVER);
}

static void test_block_all_workers_replacements_take_over_and_step_aside(void **state) {
  world w;
  enum { N = 20 };
  tally hold = TALLY_INIT;
  probe held = {.hold = &hold}, after = {0};
  mp_task *tasks[N];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  world_open(&w, 2);
  mp_task *gate = probe_submit(&w, &held);
  desc.run = wait_for_gate;
  desc.arg = gate;
  assert_ok(mp_submit_batch(w.pool, &desc, N, 0, tasks));
  mp_task *free_task = probe_submit(&w, &after);
  assert_ends_and_release(free_task, MP_STATE_DONE, MP_OK); /* behind twenty that wait */
  assert_in_range(world_info(&w).workers_extra, 1, N + 1);
  tally_add(&hold);
  for (int i = 0; i < N; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
  mp_task_release(gate);
  unsigned extra = world_info(&w).workers_extra;
  for (int round = 0; round < 50; round++) { /* what there is is used again */
    probe p = {0};
    assert_ends_and_release(probe_submit(&w, &p), MP_STATE_DONE, MP_OK);
  }
  assert_int_equal(world_info(&w).workers_extra, extra);
  world_close(&w);
}

static void test_idle_workers_wake_for_each_task(void **state) {
  world w;
  (void)state;
  mp_pool_config config = world_config(&w, 3);
  config.spin_ns = 0; /* straight to sleep */
  world_open_with(&w, config);
  for (int i = 0; i < 2000; i++) {
    probe p = {0};
    mp_task *task = probe_submit(&w, &p);
    if (i % 100 == 0) usleep(1000);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  }
  assert_true(world_info(&w).parks > 0);
  world_close(&w);
}

static mp_status use_lock(mp_worker *worker, void *arg) {
  int *shared = arg;
  mp_worker_lock(worker);
  mp_worker_lock(worker); /* recursive */
  int seen = *shared;
  mp_pause();
  *shared = seen + 1;
  mp_worker_unlock(worker);
  mp_worker_unlock(worker);
  return MP_OK;
}

static void test_worker_lock_excludes_and_recurses(void **state) {
  world w;
  int shared = 0;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  world_open(&w, 3);
  desc.run = use_lock;
  desc.arg = &shared;
  assert_ok(mp_submit_batch(w.pool, &desc, 5000, 0, NULL));
  world_drain(&w);
  assert_int_equal(shared, 5000);
  world_close(&w);
}

static mp_status check_worker(mp_worker *worker, void *arg) {
  bool right = mp_worker_pool(worker) == arg && mp_worker_task(worker) != NULL &&
               !mp_worker_cancelled(worker) && mp_worker_index(worker) < 2 &&
               mp_worker_stack_left(worker) > 512 * 1024 && mp_worker_local(worker) == NULL &&
               mp_task_state(mp_worker_task(worker)) == MP_STATE_RUNNING &&
               mp_worker_sleep(worker, 0) == MP_OK;
  return right ? MP_OK : MP_FAILED;
}

static void test_worker_accessors_inside_a_task(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *tasks[100];
  (void)state;
  world_open(&w, 2);
  desc.run = check_worker;
  desc.arg = w.pool;
  assert_ok(mp_submit_batch(w.pool, &desc, LENGTH(tasks), 0, tasks));
  for (size_t i = 0; i < LENGTH(tasks); i++)
    assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_finish_host_waits_inside_no_continuation_is_lost),
      cmocka_unit_test(test_find_endless_work_shuts_out_no_level),
      cmocka_unit_test(test_run_long_chain_lets_high_and_low_in),
      cmocka_unit_test(test_block_all_workers_replacements_take_over_and_step_aside),
      cmocka_unit_test(test_idle_workers_wake_for_each_task),
      cmocka_unit_test(test_worker_lock_excludes_and_recurses),
      cmocka_unit_test(test_worker_accessors_inside_a_task),
  };
  return unit_main(tests);
}
