/*
** Shutting down: what it reports, what it refuses, tasks that do not come back, handles that stay.
*/
#include "unit.h"

#include <string.h>

static mp_shutdown_report shut_down(world *w, uint64_t timeout_ns, mp_shutdown_mode mode) {
  mp_shutdown_report report = {99, 99, 99};
  assert_ok(mp_pool_shutdown(w->pool, timeout_ns, mode, &report));
  return report;
}

static void assert_report(mp_shutdown_report report, uint64_t done, uint64_t cancelled,
                          unsigned stuck) {
  assert_int_equal(report.done, done);
  assert_int_equal(report.cancelled, cancelled);
  assert_int_equal(report.stuck, stuck);
}

static void test_shutdown_lets_everything_run(void **state) {
  world w;
  enum { N = 500 };
  static probe probes[N];
  (void)state;
  memset(probes, 0, sizeof probes);
  world_open(&w, 2);
  mp_task_desc desc = probe_desc(probes);
  assert_ok(mp_submit_batch(w.pool, &desc, N, sizeof *probes, NULL));
  assert_report(shut_down(&w, MP_FOREVER, MP_SHUTDOWN_FINISH), N, 0, 0);
  for (int i = 0; i < N; i++) assert_int_equal(probes[i].ran, 1);
  world_assert_settled(&w);
  assert_report(shut_down(&w, 0, MP_SHUTDOWN_CANCEL_PENDING), N, 0, 0); /* again is harmless */
  world_close(&w);
}

/* Lifts a blockade once the pool is shutting down. */
typedef struct lifter {
  world *w;
  tally *hold;
} lifter;

static void *lifter_main(void *arg) {
  lifter *l = arg;
  while (mp_pool_status(l->w->pool) == MP_OK) usleep(100);
  tally_add(l->hold);
  return NULL;
}

static void test_shutdown_cancels_what_has_not_started(void **state) {
  world w;
  enum { N = 60 };
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe probes[N + 1] = {{.entered = &entered, .hold = &hold}};
  mp_task *tasks[N + 1];
  lifter l = {&w, &hold};
  pthread_t thread;
  (void)state;
  world_open(&w, 1);
  tasks[0] = probe_submit(&w, &probes[0]);
  tally_await(&entered, 1);
  for (int i = 1; i <= N; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.priority = i % 3 - 1;
    assert_ok(mp_submit(w.pool, &desc, &tasks[i]));
  }
  assert_int_equal(pthread_create(&thread, NULL, lifter_main, &l), 0);
  assert_report(shut_down(&w, MP_FOREVER, MP_SHUTDOWN_CANCEL_PENDING), 1, N, 0);
  pthread_join(thread, NULL);
  for (int i = 0; i <= N; i++) {
    assert_int_equal(mp_task_state(tasks[i]), i == 0 ? MP_STATE_DONE : MP_STATE_CANCELLED);
    mp_task_release(tasks[i]);
  }
  assert_dropped_once(probes, N + 1);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_shutdown_cancel_all_asks_the_running_at_once(void **state) {
  world w;
  tally entered = TALLY_INIT;
  probe running = {.entered = &entered, .until_cancelled = true, .outcome = MP_CANCELLED},
        queued = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *first = probe_submit(&w, &running), *second = probe_submit(&w, &queued);
  tally_await(&entered, 1);
  assert_report(shut_down(&w, MP_FOREVER, MP_SHUTDOWN_CANCEL_ALL), 0, 2, 0);
  assert_ends_and_release(first, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_ends_and_release(second, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_int_equal(queued.ran, 0);
  assert_dropped_once(&queued, 1);
  world_close(&w);
}

static void test_shutdown_ends_what_waits_for_dependencies(void **state) {
  world w;
  tally entered = TALLY_INIT;
  probe parent = {.entered = &entered, .until_cancelled = true, .outcome = MP_CANCELLED},
        child = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *first = probe_submit(&w, &parent), *second = probe_submit_after(&w, &child, &first, 1);
  tally_await(&entered, 1);
  shut_down(&w, MILLISECOND, MP_SHUTDOWN_CANCEL_PENDING);
  assert_ends_and_release(first, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_ends_and_release(second, MP_STATE_FAILED, MP_DEPENDENCY);
  assert_dropped_once(&child, 1);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_shutdown_deadline_asks_the_running_to_stop(void **state) {
  world w;
  tally entered = TALLY_INIT;
  probe p = {.entered = &entered, .until_cancelled = true, .outcome = MP_CANCELLED};
  (void)state;
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  tally_await(&entered, 1);
  mp_shutdown_report report = shut_down(&w, MILLISECOND, MP_SHUTDOWN_FINISH);
  /* 1 on a machine so slow that the task's time to come back is over too */
  assert_true(report.stuck <= 1);
  assert_report(report, 0, 1, report.stuck);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_close(&w);
}

/*
** Returns when the body runs and, if it has a deadline, that has ended the task. A deadline before
** the start is tried again, later.
*/
static mp_task *submit_and_start(world *w, mp_task_desc *desc, probe *p) {
  for (;; desc->timeout_ns *= 2) {
    mp_task *task;
    assert_ok(mp_submit(w->pool, desc, &task));
    if (desc->timeout_ns == 0) tally_await(p->entered, 1);
    if (desc->timeout_ns != 0) assert_ok(mp_wait(task, MP_FOREVER));
    if (p->ran == 1) return task;
    p->dropped = 0;
    mp_task_release(task);
  }
}

/* A body that nothing can stop, until the test lets it go. */
static void shut_down_stuck(uint64_t task_timeout_ns, mp_state end, mp_status status) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe p = {.entered = &entered, .hold = &hold}, child = {0};
  mp_task_desc desc = probe_desc(&p);
  world_open(&w, 1);
  desc.timeout_ns = task_timeout_ns;
  mp_task *task = submit_and_start(&w, &desc, &p),
          *after = probe_submit_after(&w, &child, &task, 1);
  assert_int_equal(shut_down(&w, MILLISECOND, MP_SHUTDOWN_FINISH).stuck, 1);
  assert_int_equal(mp_task_state(task), end);
  assert_status(mp_task_status(task), status);
  assert_int_equal(mp_task_state(after), MP_STATE_FAILED);
  assert_int_equal(p.dropped, 0); /* the body may still look at it */
  mp_task_release(task);
  mp_task_release(after);
  mp_pool_destroy(w.pool);
  assert_true(fault_live_bytes(&w.memory) > 0);
  tally_add(&hold);
  /* the thread lets go of everything on its way out */
  while (!fault_is_clean(&w.memory)) usleep(1000);
  assert_dropped_once(&p, 1);
  assert_dropped_once(&child, 1);
  assert_int_equal(child.ran, 0);
}

static void test_shutdown_body_stuck_what_is_queued_behind_it_is_cancelled(void **state) {
  world w;
  blockade b;
  probe probes[6];
  mp_task *tasks[LENGTH(probes)];
  (void)state;
  memset(probes, 0, sizeof probes);
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  for (size_t i = 0; i < LENGTH(probes); i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.priority = (int)i % 3 - 1;
    assert_ok(mp_submit(w.pool, &desc, &tasks[i]));
  }
  assert_int_equal(shut_down(&w, MILLISECOND, MP_SHUTDOWN_FINISH).stuck, 1);
  for (size_t i = 0; i < LENGTH(probes); i++) {
    assert_int_equal(mp_task_state(tasks[i]), MP_STATE_CANCELLED);
    mp_task_release(tasks[i]);
  }
  assert_dropped_once(probes, LENGTH(probes));
  mp_pool_destroy(w.pool);
  blockade_lift(&b);
  while (!fault_is_clean(&w.memory)) usleep(1000);
}

static void test_shutdown_body_stuck_its_task_is_cancelled_and_memory_follows(void **state) {
  (void)state;
  shut_down_stuck(0, MP_STATE_CANCELLED, MP_CANCELLED);
}

static void test_shutdown_body_stuck_past_its_own_deadline_does_not_hold_it_up(void **state) {
  (void)state;
  shut_down_stuck(20 * MILLISECOND, MP_STATE_TIMED_OUT, MP_TIMEOUT);
}

static void test_shutdown_afterwards_everything_is_refused(void **state) {
  world w;
  probe p = {0};
  mp_task *none = NULL;
  (void)state;
  world_open(&w, 1);
  mp_task *ended = probe_submit(&w, &p);
  shut_down(&w, MP_FOREVER, MP_SHUTDOWN_FINISH);
  const mp_task_desc desc = probe_desc(&p);
  assert_status(mp_pool_status(w.pool), MP_SHUTDOWN);
  assert_status(mp_submit(w.pool, &desc, &none), MP_SHUTDOWN);
  assert_status(mp_submit_batch(w.pool, &desc, 10, 0, NULL), MP_SHUTDOWN);
  assert_null(none);
  assert_int_equal(world_info(&w).submitted, 1);
  assert_ok(mp_pool_drain(w.pool, MP_FOREVER));
  assert_ends_and_release(ended, MP_STATE_DONE, MP_OK); /* handles can be read */
  assert_dropped_once(&p, 1);
  world_close(&w);
}

static mp_status submit_child(mp_worker *worker, void *arg) {
  tally *t = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  tally_add(t);
  while (mp_pool_status(mp_worker_pool(worker)) == MP_OK) continue;
  desc.run = run_nothing;
  return mp_submit(mp_worker_pool(worker), &desc, NULL);
}

static void test_shutdown_a_running_task_cannot_submit_any_more(void **state) {
  world w;
  tally entered = TALLY_INIT;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = submit_child;
  desc.arg = &entered;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&entered, 1);
  shut_down(&w, MP_FOREVER, MP_SHUTDOWN_FINISH);
  assert_ends_and_release(task, MP_STATE_FAILED, MP_SHUTDOWN);
  world_close(&w);
}

static void test_destroy_with_live_handles_keeps_them_readable(void **state) {
  world w;
  blockade b;
  enum { N = 100 };
  static probe probes[N];
  mp_task *tasks[N];
  (void)state;
  memset(probes, 0, sizeof probes);
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  for (int i = 0; i < N; i++) tasks[i] = probe_submit(&w, &probes[i]);
  blockade_lift(&b);
  mp_pool_destroy(w.pool);
  assert_true(fault_live_bytes(&w.memory) > 0);
  for (int i = 0; i < N; i++) {
    mp_state end = mp_task_state(tasks[i]);
    assert_true(end == MP_STATE_DONE || end == MP_STATE_CANCELLED);
    assert_int_equal(probes[i].ran, end == MP_STATE_DONE);
    assert_ok(mp_wait(tasks[i], MP_FOREVER));
    mp_cancel(tasks[i]);
    assert_int_equal(mp_task_state(tasks[i]), end);
    mp_task_release(tasks[i]);
  }
  assert_dropped_once(probes, N);
  assert_true(fault_is_clean(&w.memory));
}

/*
** {======================================================
** Jobs that somebody waits for
** =======================================================
*/

typedef struct slow_for {
  world *w;
  tally entered, hold;
  _Atomic size_t covered;
  mp_status status;
} slow_for;

static void slow_body(mp_worker *worker, size_t begin, size_t end, void *arg) {
  slow_for *s = arg;
  (void)worker;
  tally_add(&s->entered);
  tally_await(&s->hold, 1);
  mp_add_relaxed(&s->covered, end - begin);
}

static void *slow_main(void *arg) {
  slow_for *s = arg;
  s->status = mp_for(s->w->pool, 0, 1000, 1, slow_body, s);
  return NULL;
}

/* One worker is busy, so a part of the loop stays in the queue when the deadline passes. */
static void test_shutdown_while_a_loop_runs_the_loop_ends_and_says_what_was_left_out(void **state) {
  world w;
  slow_for s = {&w, TALLY_INIT, TALLY_INIT, 0, MP_FAILED};
  blockade b;
  pthread_t thread;
  (void)state;
  world_open(&w, 2);
  blockade_raise(&b, &w, 1);
  assert_int_equal(pthread_create(&thread, NULL, slow_main, &s), 0);
  tally_await(&s.entered, 1);
  assert_int_equal(shut_down(&w, MILLISECOND, MP_SHUTDOWN_CANCEL_PENDING).stuck, 2);
  blockade_lift(&b);
  tally_add(&s.hold);
  pthread_join(thread, NULL);
  assert_status(s.status, MP_SHUTDOWN);
  assert_in_range(s.covered, 1, 999);
  mp_pool_destroy(w.pool);
  while (!fault_is_clean(&w.memory)) usleep(1000);
}

typedef struct forker {
  mp_job jobs[20];
  tally entered;
  _Atomic int runs;
} forker;

static forker forked;

static void count_job(mp_worker *worker, mp_job *job) {
  (void)worker, (void)job;
  mp_add_relaxed(&forked.runs, 1);
}

static mp_status fork_then_wait_for_shutdown(mp_worker *worker, void *arg) {
  (void)arg;
  for (size_t i = 0; i < LENGTH(forked.jobs); i++) mp_fork(worker, &forked.jobs[i], count_job);
  tally_add(&forked.entered);
  while (mp_worker_sleep(worker, SECOND) == MP_OK) continue;
  for (size_t i = LENGTH(forked.jobs); i-- > 0;) mp_join(worker, &forked.jobs[i]);
  return MP_OK;
}

static void test_shutdown_while_jobs_are_forked_they_still_run(void **state) {
  world w;
  blockade b;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  forked = (forker){.entered = TALLY_INIT};
  world_open(&w, 2);
  blockade_raise(&b, &w, 1); /* nobody steals */
  desc.run = fork_then_wait_for_shutdown;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&forked.entered, 1);
  /* the blockade; the joins if they are slow */
  assert_in_range(shut_down(&w, MILLISECOND, MP_SHUTDOWN_FINISH).stuck, 1, 2);
  assert_true(mp_state_is_terminal(mp_task_state(task)));
  mp_task_release(task);
  blockade_lift(&b);
  mp_pool_destroy(w.pool);
  while (!fault_is_clean(&w.memory)) usleep(1000);
  assert_int_equal(forked.runs, LENGTH(forked.jobs));
}

/* A thread that waits for as long as it takes, beside one that does not. */
static void *shut_down_patiently(void *arg) {
  world *w = arg;
  return mp_pool_shutdown(w->pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL) == MP_OK ? w : NULL;
}

static void test_shutdown_the_less_patient_does_not_wait_for_the_patient(void **state) {
  world w;
  tally entered = TALLY_INIT;
  probe p = {.entered = &entered, .until_cancelled = true, .outcome = MP_CANCELLED};
  pthread_t thread;
  void *returned;
  (void)state;
  world_open(&w, 2);
  mp_task *task = probe_submit(&w, &p);
  tally_await(&entered, 1);
  assert_int_equal(pthread_create(&thread, NULL, shut_down_patiently, &w), 0);
  while (mp_pool_status(w.pool) == MP_OK) usleep(100);
  /* it raises what the other began, and both come back: the body would wait for ever */
  assert_report(shut_down(&w, 10 * MILLISECOND, MP_SHUTDOWN_CANCEL_ALL), 0, 1, 0);
  pthread_join(thread, &returned);
  assert_ptr_equal(returned, &w);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_close(&w);
}

/* A body that nothing can stop: who has time waits for it, who has none does not. */
static void test_shutdown_the_less_patient_comes_back_though_a_body_does_not(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe p = {.entered = &entered, .hold = &hold};
  pthread_t thread;
  (void)state;
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  tally_await(&entered, 1);
  assert_int_equal(pthread_create(&thread, NULL, shut_down_patiently, &w), 0);
  while (mp_pool_status(w.pool) == MP_OK) usleep(100);
  assert_report(shut_down(&w, MILLISECOND, MP_SHUTDOWN_FINISH), 0, 1, 1);
  pthread_join(thread, NULL); /* there is nothing left to wait for */
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  tally_add(&hold);
  mp_pool_destroy(w.pool);
  while (!fault_is_clean(&w.memory)) usleep(1000);
}

/* Graphs and loops from outside, beside a shutdown that has no time: they come back. */
typedef struct outsider {
  mp_pool *pool;
  mp_graph *graph;
  tally ready;
  _Atomic bool over;
} outsider;

static void empty_node(mp_worker *worker, void *arg) { (void)worker, (void)arg; }
static void empty_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker, (void)begin, (void)end, (void)arg;
}

static void *loop_outside(void *arg) {
  outsider *o = arg;
  mp_status status = MP_OK;
  tally_add(&o->ready);
  while (status == MP_OK) {
    status = mp_for(o->pool, 0, 100, 1, empty_piece, NULL);
    if (status == MP_OK) status = mp_graph_run(o->graph);
  }
  return status == MP_SHUTDOWN ? o : NULL;
}

static void test_shutdown_loops_and_graphs_from_outside_come_back(void **state) {
  (void)state;
  for (int round = 0; round < 200; round++) {
    world w;
    outsider o = {.ready = TALLY_INIT};
    uint32_t node;
    pthread_t thread;
    void *returned;
    world_open(&w, 1 + round % 2);
    o.pool = w.pool;
    assert_ok(mp_graph_create(w.pool, &o.graph));
    for (int i = 0; i < 5; i++) assert_ok(mp_graph_add(o.graph, NULL, empty_node, NULL, &node));
    assert_int_equal(pthread_create(&thread, NULL, loop_outside, &o), 0);
    tally_await(&o.ready, 1);
    if (round % 3) usleep(50);
    assert_int_equal(shut_down(&w, HANG_SECONDS * SECOND, MP_SHUTDOWN_CANCEL_ALL).stuck, 0);
    pthread_join(thread, &returned);
    assert_ptr_equal(returned, &o);
    mp_graph_destroy(o.graph);
    world_close(&w);
  }
}

/* What was accepted runs, with the loop that it makes after the shutdown has begun. */
static mp_status loop_when_shut_down(mp_worker *worker, void *arg) {
  mp_pool *pool = mp_worker_pool(worker);
  tally_add(arg);
  while (mp_pool_status(pool) == MP_OK) usleep(100);
  return mp_for(pool, 0, 10, 1, empty_piece, NULL);
}

static void test_shutdown_finish_an_accepted_task_may_still_loop(void **state) {
  world w;
  tally entered = TALLY_INIT;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 2);
  desc.run = loop_when_shut_down;
  desc.arg = &entered;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&entered, 1);
  assert_report(shut_down(&w, MP_FOREVER, MP_SHUTDOWN_FINISH), 1, 0, 0);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

/*
** {======================================================
** What the host's hooks take their time for
** =======================================================
*/

typedef enum slow_place { IN_START, IN_IDLE, IN_STOP, IN_DROP } slow_place;

typedef struct slow_hook {
  slow_place place;
  tally inside, hold;
} slow_hook;

static void pass(slow_hook *h, slow_place place) {
  if (h->place != place) return;
  tally_add(&h->inside);
  tally_await(&h->hold, 1);
}

static void *slow_start(mp_worker *worker, void *ud) {
  (void)worker;
  pass(ud, IN_START);
  return NULL;
}

static int slow_idle(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local;
  pass(ud, IN_IDLE);
  return 0;
}

static void slow_stop(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local;
  pass(ud, IN_STOP);
}

static void slow_drop(void *arg) { pass(arg, IN_DROP); }

static void open_with_slow_hook(world *w, slow_hook *h, unsigned workers) {
  mp_pool_config config = world_config(w, workers);
  config.worker_start = slow_start;
  config.worker_idle = slow_idle;
  config.worker_stop = slow_stop;
  config.worker_ud = h;
  config.idle_after_ns = MILLISECOND;
  world_open_with(w, config);
}

/* The hook, which only the test ends, is inside still when the shutdown is over. */
static void shut_down_beside(slow_place place, mp_state end) {
  world w;
  slow_hook h = {place, TALLY_INIT, TALLY_INIT};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  open_with_slow_hook(&w, &h, 1);
  desc.run = run_nothing;
  desc.arg = &h;
  desc.drop = slow_drop;
  assert_ok(mp_submit(w.pool, &desc, &task));
  if (place == IN_STOP)
    assert_ok(mp_wait(task, MP_FOREVER));
  else
    tally_await(&h.inside, 1);
  assert_int_equal(shut_down(&w, MILLISECOND, MP_SHUTDOWN_CANCEL_ALL).stuck, 1);
  assert_int_equal(mp_task_state(task), end);
  assert_ok(mp_wait(task, MP_FOREVER));
  mp_task_release(task);
  mp_pool_destroy(w.pool);
  tally_add(&h.hold);
  while (!fault_is_clean(&w.memory)) usleep(1000);
}

static void test_shutdown_beside_a_slow_drop_does_not_wait_and_the_task_is_over(void **state) {
  (void)state;
  shut_down_beside(IN_DROP, MP_STATE_CANCELLED);
}

static void test_shutdown_beside_a_slow_worker_stop_does_not_wait(void **state) {
  (void)state;
  shut_down_beside(IN_STOP, MP_STATE_DONE);
}

static void test_shutdown_beside_a_slow_worker_idle_does_not_wait(void **state) {
  (void)state;
  shut_down_beside(IN_IDLE, MP_STATE_DONE);
}

static void test_shutdown_beside_a_slow_worker_start_does_not_wait(void **state) {
  (void)state;
  shut_down_beside(IN_START, MP_STATE_CANCELLED);
}

/* One that has time waits for the threads, so there is no report yet that it could share. */
static void test_shutdown_the_less_patient_reports_what_there_is(void **state) {
  enum { N = 100 };
  world w;
  slow_hook h = {IN_STOP, TALLY_INIT, TALLY_INIT};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  pthread_t thread;
  (void)state;
  open_with_slow_hook(&w, &h, 2);
  desc.run = run_nothing;
  assert_ok(mp_submit_batch(w.pool, &desc, N, 0, NULL));
  assert_int_equal(pthread_create(&thread, NULL, shut_down_patiently, &w), 0);
  tally_await(&h.inside, 2);
  assert_report(shut_down(&w, MILLISECOND, MP_SHUTDOWN_CANCEL_ALL), N, 0, 2);
  pthread_join(thread, NULL);
  mp_pool_destroy(w.pool);
  tally_add(&h.hold);
  while (!fault_is_clean(&w.memory)) usleep(1000);
}

/* }====================================================== */

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shutdown_lets_everything_run),
      cmocka_unit_test(test_shutdown_cancels_what_has_not_started),
      cmocka_unit_test(test_shutdown_cancel_all_asks_the_running_at_once),
      cmocka_unit_test(test_shutdown_ends_what_waits_for_dependencies),
      cmocka_unit_test(test_shutdown_deadline_asks_the_running_to_stop),
      cmocka_unit_test(test_shutdown_body_stuck_what_is_queued_behind_it_is_cancelled),
      cmocka_unit_test(test_shutdown_body_stuck_its_task_is_cancelled_and_memory_follows),
      cmocka_unit_test(test_shutdown_body_stuck_past_its_own_deadline_does_not_hold_it_up),
      cmocka_unit_test(test_shutdown_afterwards_everything_is_refused),
      cmocka_unit_test(test_shutdown_a_running_task_cannot_submit_any_more),
      cmocka_unit_test(test_destroy_with_live_handles_keeps_them_readable),
      cmocka_unit_test(test_shutdown_while_a_loop_runs_the_loop_ends_and_says_what_was_left_out),
      cmocka_unit_test(test_shutdown_while_jobs_are_forked_they_still_run),
      cmocka_unit_test(test_shutdown_the_less_patient_does_not_wait_for_the_patient),
      cmocka_unit_test(test_shutdown_the_less_patient_comes_back_though_a_body_does_not),
      cmocka_unit_test(test_shutdown_loops_and_graphs_from_outside_come_back),
      cmocka_unit_test(test_shutdown_finish_an_accepted_task_may_still_loop),
      cmocka_unit_test(test_shutdown_beside_a_slow_drop_does_not_wait_and_the_task_is_over),
      cmocka_unit_test(test_shutdown_beside_a_slow_worker_stop_does_not_wait),
      cmocka_unit_test(test_shutdown_beside_a_slow_worker_idle_does_not_wait),
      cmocka_unit_test(test_shutdown_beside_a_slow_worker_start_does_not_wait),
      cmocka_unit_test(test_shutdown_the_less_patient_reports_what_there_is),
  };
  return unit_main(tests);
}
