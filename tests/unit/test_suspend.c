/* Suspending: bodies that return while they wait, and are called again. */
#include "unit.h"

#include <stdlib.h>

/* A body that suspends once, for what it is told to, and notes how it went on. */
typedef struct sleeper {
  mp_task *const *tasks;
  size_t n;
  mp_mailbox *mailbox;
  uint64_t timeout;
  tally *asleep; /* raised before it suspends; may be NULL */
  bool again;    /* suspends again as long as what it waits for is not there */
  mp_status outcome;
  _Atomic unsigned calls, dropped;
  _Atomic int resumed, refused; /* mp_status */
} sleeper;

#define SLEEPER(ns, ...) \
  { .timeout = (ns), __VA_ARGS__ }

static bool is_there(const sleeper *s) {
  for (size_t i = 0; i < s->n; i++)
    if (s->tasks[i] != NULL && mp_state_is_terminal(mp_task_state(s->tasks[i]))) return true;
  return s->mailbox != NULL && mp_mailbox_count(s->mailbox) > 0;
}

static mp_status sleep_once(mp_worker *worker, void *arg) {
  sleeper *s = arg;
  mp_add_relaxed(&s->calls, 1);
  mp_status resumed = mp_worker_resumed(worker);
  bool first = resumed == MP_INVALID;
  if (!first) mp_store_relaxed(&s->resumed, (int)resumed);
  if (first || (s->again && resumed == MP_OK && !is_there(s))) {
    mp_status status = mp_suspend(worker, s->tasks, s->n, s->mailbox, s->timeout);
    mp_store_relaxed(&s->refused, (int)status);
    if (status != MP_OK) return status;
    if (first && s->asleep != NULL) tally_add(s->asleep);
    return MP_SUSPENDED;
  }
  return resumed == MP_CANCELLED ? MP_CANCELLED : s->outcome;
}

static void on_drop(void *arg) { mp_add_relaxed(&((sleeper *)arg)->dropped, 1); }

static mp_task *submit_sleeper(world *w, sleeper *s, int priority) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = sleep_once;
  desc.drop = on_drop;
  desc.arg = s;
  desc.priority = priority;
  assert_ok(mp_submit(w->pool, &desc, &task));
  return task;
}

static void await_suspended(world *w, uint64_t n) {
  while (world_info(w).suspended < n) usleep(100);
}

static void test_suspend_until_a_task_ends(void **state) {
  (void)state;
  for (int priority = -1; priority <= 1; priority++) {
    world w;
    tally hold = TALLY_INIT;
    probe p = {.hold = &hold};
    world_open(&w, 2);
    mp_task *awaited[2] = {NULL, probe_submit(&w, &p)};
    sleeper s = SLEEPER(MP_FOREVER, .tasks = awaited, .n = 2);
    mp_task *task = submit_sleeper(&w, &s, priority);
    await_suspended(&w, 1);
    assert_int_equal(mp_task_state(task), MP_STATE_RUNNING);
    assert_int_equal(world_info(&w).running, 2);
    assert_int_equal(s.dropped, 0);
    tally_add(&hold);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    assert_int_equal(s.calls, 2);
    assert_int_equal(s.resumed, MP_OK);
    assert_int_equal(s.dropped, 1);
    mp_task_release(awaited[1]);
    world_assert_settled(&w);
    assert_int_equal(world_info(&w).suspended, 0);
    world_close(&w);
  }
}

static void test_suspend_for_what_has_ended_goes_on_at_once(void **state) {
  world w;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *awaited = probe_submit(&w, &p);
  assert_ends(awaited, MP_STATE_DONE, MP_OK);
  sleeper s = SLEEPER(MP_FOREVER, .tasks = &awaited, .n = 1);
  assert_ends_and_release(submit_sleeper(&w, &s, 0), MP_STATE_DONE, MP_OK);
  assert_int_equal(s.resumed, MP_OK);
  mp_task_release(awaited);
  world_close(&w);
}

static void test_suspend_with_a_time_goes_on_when_it_has_passed(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  for (uint64_t timeout = 0; timeout <= 20 * MILLISECOND; timeout += 10 * MILLISECOND) {
    sleeper s = SLEEPER(timeout, .outcome = MP_FAILED);
    uint64_t begun = mp_now();
    assert_ends_and_release(submit_sleeper(&w, &s, 0), MP_STATE_FAILED, MP_FAILED);
    assert_int_equal(s.resumed, MP_TIMEOUT);
    assert_true(mp_now() - begun >= timeout);
  }
  world_close(&w);
}

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }

static void test_suspend_until_a_message_comes(void **state) {
  world w;
  mp_mailbox *mailbox;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  sleeper s = SLEEPER(MP_FOREVER, .mailbox = mailbox);
  mp_task *task = submit_sleeper(&w, &s, 0);
  await_suspended(&w, 1);
  assert_ok(mp_mailbox_send(mailbox, on_letter, NULL, "x", 1));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

static void test_suspend_cancel_calls_the_body_again(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  (void)state;
  world_open(&w, 2);
  mp_task *awaited = probe_submit(&w, &p);
  sleeper s = SLEEPER(MP_FOREVER, .tasks = &awaited, .n = 1);
  mp_task *task = submit_sleeper(&w, &s, 0);
  await_suspended(&w, 1);
  assert_false(mp_cancel(task));
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_int_equal(s.calls, 2);
  assert_int_equal(s.resumed, MP_CANCELLED);
  tally_add(&hold);
  mp_task_release(awaited);
  world_close(&w);
}

static void test_suspend_past_the_deadline_is_timed_out_and_cleans_up(void **state) {
  world w;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  sleeper s = SLEEPER(MP_FOREVER, .outcome = MP_OK);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = sleep_once;
  desc.drop = on_drop;
  desc.arg = &s;
  desc.timeout_ns = 20 * MILLISECOND;
  do { /* on a loaded machine it may be over before it began */
    s.calls = s.dropped = 0;
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ends_and_release(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
    while (mp_load_acquire(&s.dropped) == 0) usleep(100);
  } while (s.calls == 0);
  assert_int_equal(s.calls, 2);
  assert_int_equal(s.resumed, MP_CANCELLED);
  assert_int_equal(s.dropped, 1);
  world_close(&w);
}

static mp_status suspend_elsewhere(mp_worker *worker, void *arg) {
  mp_task *task = arg;
  if (mp_worker_resumed(worker) != MP_INVALID) return MP_FAILED;
  if (mp_suspend(worker, &task, 1, NULL, MP_FOREVER) != MP_FOREIGN) return MP_OK;
  return MP_SUSPENDED; /* without having asked for anything */
}

static mp_status ask_and_return(mp_worker *worker, void *arg) {
  (void)arg;
  mp_status status = mp_suspend(worker, NULL, 0, NULL, MP_FOREVER);
  if (status != MP_OK) return status;
  return mp_suspend(worker, NULL, 0, mp_pool_mailbox(mp_worker_pool(worker)), 0);
}

static void suspend_in_job(mp_worker *worker, mp_job *job) {
  (void)job;
  (void)!mp_suspend(worker, NULL, 0, NULL, 0); /* refused, or of no effect */
}

static mp_status fork_and_join(mp_worker *worker, void *arg) {
  mp_job job;
  (void)arg;
  mp_fork(worker, &job, suspend_in_job);
  mp_join(worker, &job);
  return MP_OK;
}

static void submit_and_expect(world *w, mp_task_run *run, void *arg, mp_state state,
                              mp_status status) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  assert_ok(mp_submit(w->pool, &desc, &task));
  assert_ends_and_release(task, state, status);
}

static void test_suspend_misuse_is_refused(void **state) {
  world w, other;
  probe p = {0};
  (void)state;
  world_open(&w, 1);
  world_open(&other, 1);
  mp_task *foreign = probe_submit(&other, &p);
  submit_and_expect(&w, suspend_elsewhere, foreign, MP_STATE_FAILED, MP_SUSPENDED);
  submit_and_expect(&w, ask_and_return, NULL, MP_STATE_DONE, MP_OK);
  submit_and_expect(&w, fork_and_join, NULL, MP_STATE_DONE, MP_OK);
  assert_ok(mp_wait(foreign, MP_FOREVER));
  mp_task_release(foreign);
  world_close(&other);
  world_close(&w);
}

/* One worker, which waits on its stack for a task that suspends. */
static mp_status wait_for_sleeper(mp_worker *worker, void *arg) {
  size_t index;
  mp_task *task = arg;
  return mp_worker_wait_any(worker, &task, 1, NULL, MP_FOREVER, &index);
}

static mp_status wait_in_place(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(arg, MP_FOREVER);
}

static void test_suspend_on_the_stack_of_one_who_waits(void **state) {
  (void)state;
  for (int way = 0; way < 2; way++) {
    world w;
    blockade b;
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *waiter;
    world_open(&w, 1);
    blockade_raise(&b, &w, 1);
    sleeper s = SLEEPER(5 * MILLISECOND, .outcome = MP_OK);
    desc.run = way == 0 ? wait_for_sleeper : wait_in_place;
    desc.priority = 1; /* so it begins first */
    mp_task *task = submit_sleeper(&w, &s, 0);
    desc.arg = task;
    assert_ok(mp_submit(w.pool, &desc, &waiter));
    blockade_lift(&b);
    assert_ends_and_release(waiter, MP_STATE_DONE, MP_OK);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    assert_int_equal(s.calls, 2);
    world_close(&w);
  }
}

enum { MANY = 20000 };

static void test_suspend_many_for_one_task_on_two_threads(void **state) {
  world w;
  tally hold = TALLY_INIT, asleep = TALLY_INIT;
  probe p = {.hold = &hold};
  sleeper *s = calloc(MANY, sizeof *s);
  mp_task **tasks = calloc(MANY, sizeof *tasks);
  (void)state;
  assert_true(s != NULL && tasks != NULL);
  world_open(&w, 2);
  mp_task *awaited = probe_submit(&w, &p);
  for (int i = 0; i < MANY; i++) {
    s[i] = (sleeper)SLEEPER(MP_FOREVER, .tasks = &awaited, .n = 1, .asleep = &asleep);
    tasks[i] = submit_sleeper(&w, &s[i], 0);
  }
  await_suspended(&w, MANY);
  assert_int_equal(world_info(&w).workers_extra, 0);
  tally_add(&hold);
  for (int i = 0; i < MANY; i++) {
    assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    assert_int_equal(s[i].dropped, 1);
  }
  mp_task_release(awaited);
  world_close(&w);
  free(s);
  free(tasks);
}

/* Each waits for the one before: they go on one after the other. */
static void test_suspend_in_a_chain(void **state) {
  enum { LONG = 5000 };
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  sleeper *s = calloc(LONG, sizeof *s);
  mp_task **tasks = calloc(LONG + 1, sizeof *tasks);
  (void)state;
  assert_true(s != NULL && tasks != NULL);
  world_open(&w, 2);
  tasks[0] = probe_submit(&w, &p);
  for (int i = 0; i < LONG; i++) {
    s[i] = (sleeper)SLEEPER(MP_FOREVER, .tasks = &tasks[i], .n = 1, .again = true);
    tasks[i + 1] = submit_sleeper(&w, &s[i], 0);
  }
  await_suspended(&w, LONG);
  tally_add(&hold);
  for (int i = LONG; i >= 0; i--) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
  world_close(&w);
  free(s);
  free(tasks);
}

static void test_suspend_drain_waits_for_it(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  sleeper s = SLEEPER(20 * MILLISECOND, .outcome = MP_OK);
  mp_task *task = submit_sleeper(&w, &s, 0);
  assert_ok(mp_pool_drain(w.pool, MP_FOREVER));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static void test_suspend_shutdown_ends_all(void **state) {
  enum { SOME = 100 };
  static const mp_shutdown_mode modes[] = {MP_SHUTDOWN_CANCEL_ALL, MP_SHUTDOWN_CANCEL_PENDING,
                                           MP_SHUTDOWN_FINISH};
  (void)state;
  for (size_t m = 0; m < LENGTH(modes); m++) {
    for (uint64_t timeout = 0; timeout <= 50 * MILLISECOND; timeout += 50 * MILLISECOND) {
      world w;
      sleeper s[SOME];
      mp_task *tasks[SOME];
      world_open(&w, 2);
      for (int i = 0; i < SOME; i++) {
        s[i] = (sleeper)SLEEPER(MP_FOREVER, .outcome = MP_OK);
        tasks[i] = submit_sleeper(&w, &s[i], 0);
      }
      await_suspended(&w, SOME);
      assert_ok(mp_pool_shutdown(w.pool, timeout, modes[m], NULL));
      for (int i = 0; i < SOME; i++) {
        assert_int_equal(mp_task_state(tasks[i]), MP_STATE_CANCELLED);
        mp_task_release(tasks[i]);
      }
      assert_int_equal(world_info(&w).suspended, 0);
      world_close(&w);
      for (int i = 0; i < SOME; i++) assert_int_equal(s[i].dropped, 1);
    }
  }
}

/* It never comes to an end of its own; with `again` not when it is asked to, either. */
static mp_status nap_for_ever(mp_worker *worker, void *arg) {
  sleeper *s = arg;
  mp_add_relaxed(&s->calls, 1);
  if (mp_worker_cancelled(worker) && !s->again) return MP_CANCELLED;
  mp_status status = mp_suspend(worker, NULL, 0, NULL, s->timeout);
  return status == MP_OK ? MP_SUSPENDED : status;
}

static void submit_napping(world *w, sleeper *s, mp_task **task) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = nap_for_ever;
  desc.drop = on_drop;
  desc.arg = s;
  assert_ok(mp_submit(w->pool, &desc, task));
}

/* Threads that a shutdown did not wait for may end a moment later. */
static void close_and_wait(world *w) {
  mp_pool_destroy(w->pool);
  while (!fault_is_clean(&w->memory)) usleep(100);
}

static void test_suspend_again_and_again_ends_with_the_time_of_a_shutdown(void **state) {
  enum { SOME = 20 };
  (void)state;
  for (int round = 0; round < 20; round++) {
    static world w; /* the last thread may look at its memory a moment longer */
    static sleeper s[SOME];
    mp_task *tasks[SOME];
    world_open(&w, 1 + (unsigned)round % 3);
    for (int i = 0; i < SOME; i++) {
      s[i] = (sleeper)SLEEPER(i % 2 == 0 ? 0 : 100000, .again = true);
      submit_napping(&w, &s[i], &tasks[i]);
    }
    assert_ok(mp_pool_shutdown(w.pool, 2 * MILLISECOND, MP_SHUTDOWN_CANCEL_ALL, NULL));
    for (int i = 0; i < SOME; i++) {
      assert_ok(mp_wait(tasks[i], MP_FOREVER));
      mp_task_release(tasks[i]);
    }
    close_and_wait(&w);
    for (int i = 0; i < SOME; i++) assert_int_equal(s[i].dropped, 1);
  }
}

static mp_status return_late(mp_worker *worker, void *arg) {
  sleeper *s = arg;
  mp_add_relaxed(&s->calls, 1);
  if (mp_suspend(worker, NULL, 0, NULL, 0) != MP_OK) return MP_FAILED;
  tally_add(s->asleep);
  tally_await(s->asleep, 2); /* deaf to what it is asked */
  return MP_SUSPENDED;
}

static void test_suspend_behind_the_end_of_the_pool_is_the_end(void **state) {
  static world w;
  static tally in = TALLY_INIT;
  (void)state;
  world_open(&w, 1);
  static sleeper s;
  s = (sleeper)SLEEPER(0, .asleep = &in);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = return_late;
  desc.drop = on_drop;
  desc.arg = &s;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&in, 1);
  assert_ok(mp_pool_shutdown(w.pool, 0, MP_SHUTDOWN_CANCEL_ALL, NULL));
  assert_int_equal(mp_task_state(task), MP_STATE_CANCELLED);
  mp_task_release(task);
  tally_add(&in);
  while (mp_load_acquire(&s.dropped) == 0) usleep(100);
  assert_int_equal(s.calls, 1);
  close_and_wait(&w);
}

static void test_suspend_again_and_again_starves_nobody(void **state) {
  enum { NAPPERS = 1500 };
  world w;
  probe p = {0};
  sleeper *s = calloc(NAPPERS, sizeof *s);
  mp_task **tasks = calloc(NAPPERS, sizeof *tasks);
  (void)state;
  assert_true(s != NULL && tasks != NULL);
  world_open(&w, 1);
  for (int i = 0; i < NAPPERS; i++) {
    s[i] = (sleeper)SLEEPER(100000, .outcome = MP_OK);
    submit_napping(&w, &s[i], &tasks[i]);
  }
  await_suspended(&w, 1);
  assert_ends_and_release(probe_submit(&w, &p), MP_STATE_DONE, MP_OK);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_CANCEL_ALL, NULL));
  for (int i = 0; i < NAPPERS; i++) mp_task_release(tasks[i]);
  world_close(&w);
  free(s);
  free(tasks);
}

static void test_suspend_goes_on_while_every_worker_computes(void **state) {
  enum { SOME = 8 };
  (void)state;
  for (unsigned workers = 1; workers <= 2; workers++) {
    world w;
    blockade b;
    sleeper s[SOME];
    mp_task *tasks[SOME];
    world_open(&w, workers);
    for (int i = 0; i < SOME; i++) {
      s[i] = (sleeper)SLEEPER(50 * MILLISECOND, .outcome = MP_OK);
      tasks[i] = submit_sleeper(&w, &s[i], 0);
    }
    blockade_raise(&b, &w, workers);
    for (int i = 0; i < SOME; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    blockade_lift(&b);
    world_drain(&w);
    world_close(&w);
  }
}

/* It goes round and round until a task has run that is queued behind it. */
static mp_status yield_until_told(mp_worker *worker, void *arg) {
  const probe *p = arg;
  if (mp_load_acquire(&p->ran) > 0) return MP_OK;
  mp_status status = mp_suspend(worker, NULL, 0, NULL, 0);
  return status == MP_OK ? MP_SUSPENDED : status;
}

static mp_status compute(mp_worker *worker, void *arg) {
  uint64_t end = mp_now() + 10 * MILLISECOND;
  (void)worker, (void)arg;
  while (mp_now() < end) continue;
  return MP_OK;
}

static void test_suspend_again_and_again_beside_extra_threads_starves_nobody(void **state) {
  enum { YIELDERS = 8 };
  (void)state;
  for (int priority = -1; priority <= 1; priority++) {
    world w;
    probe p = {0};
    mp_task *tasks[YIELDERS];
    world_open(&w, 2);
    mp_task_desc desc = MP_TASK_DESC_INIT;
    desc.run = yield_until_told;
    desc.arg = &p;
    for (int i = 0; i < YIELDERS; i++) assert_ok(mp_submit(w.pool, &desc, &tasks[i]));
    desc.run = compute; /* nobody comes by at those that yield: a thread more is let in */
    for (int i = 0; i < 4; i++) assert_ok(mp_submit(w.pool, &desc, NULL));
    usleep(30000);
    desc = probe_desc(&p);
    desc.priority = priority;
    mp_task *told;
    assert_ok(mp_submit(w.pool, &desc, &told));
    assert_ends_and_release(told, MP_STATE_DONE, MP_OK);
    for (int i = 0; i < YIELDERS; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    world_close(&w);
  }
}

/* Its task is over, by its deadline, long before it comes to its end. */
static mp_status clean_up_slowly(mp_worker *worker, void *arg) {
  sleeper *s = arg;
  if (mp_add_relaxed(&s->calls, 1) > 2000) return MP_OK;
  return mp_suspend(worker, NULL, 0, NULL, 0) == MP_OK ? MP_SUSPENDED : MP_FAILED;
}

static void test_suspend_in_a_task_that_is_over_is_not_stuck(void **state) {
  world w;
  mp_pool_config config = world_config(&w, 1);
  sleeper s = {0};
  (void)state;
  config.stuck_grace_ns = 1;
  config.stuck_max = 1;
  world_open_with(&w, config);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = clean_up_slowly;
  desc.arg = &s;
  assert_ok(mp_submit(w.pool, &desc, &task));
  (void)mp_cancel_now(task);
  for (int i = 0; i < 100; i++) {
    probe p = {0};
    mp_task *other;
    mp_task_desc more = probe_desc(&p);
    assert_ok(mp_submit(w.pool, &more, &other));
    assert_ends_and_release(other, MP_STATE_DONE, MP_OK);
  }
  mp_task_release(task);
  world_close(&w);
}

static void drop_and_suspend(void *arg) {
  sleeper *s = arg;
  mp_worker *worker = (mp_worker *)(uintptr_t)s->tasks;
  mp_store_relaxed(&s->refused, (int)mp_suspend(worker, NULL, 0, NULL, 0));
}

static mp_status note_worker(mp_worker *worker, void *arg) {
  ((sleeper *)arg)->tasks = (mp_task *const *)(uintptr_t)worker;
  return MP_OK;
}

static void test_suspend_in_drop_is_refused(void **state) {
  world w;
  sleeper s = {0};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = note_worker;
  desc.drop = drop_and_suspend;
  desc.arg = &s;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_int_equal(s.refused, MP_INVALID);
  world_close(&w);
}

static mp_status spawn_and_await(mp_worker *worker, void *arg) {
  sleeper *s = arg;
  if (mp_worker_resumed(worker) == MP_INVALID || mp_add_relaxed(&s->calls, 1) < 1000) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task **awaited = (mp_task **)(uintptr_t)s->tasks;
    mp_task_release(*awaited);
    desc.run = run_nothing;
    if (mp_submit(mp_worker_pool(worker), &desc, awaited) != MP_OK) return MP_FAILED;
    return mp_suspend(worker, s->tasks, 1, NULL, MP_FOREVER) == MP_OK ? MP_SUSPENDED : MP_FAILED;
  }
  return MP_OK;
}

static void test_suspend_for_what_it_has_submitted_runs_that_next(void **state) {
  world w;
  mp_task *awaited = NULL;
  (void)state;
  world_open(&w, 1);
  sleeper s = SLEEPER(0, .tasks = &awaited);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = spawn_and_await;
  desc.arg = &s;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  mp_task_release(awaited);
  assert_int_equal(world_info(&w).steals, 0);
  world_close(&w);
}

static void test_suspend_without_memory_says_so(void **state) {
  (void)state;
  for (int n = 1; n < 20; n++) {
    world w;
    world_open(&w, 1);
    sleeper s = SLEEPER(MILLISECOND, .outcome = MP_OK);
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *task;
    desc.run = sleep_once;
    desc.drop = on_drop;
    desc.arg = &s;
    fault_arm(&w.memory, (size_t)n, false);
    if (mp_submit(w.pool, &desc, &task) == MP_OK) {
      assert_ok(mp_wait(task, MP_FOREVER));
      if (s.refused != MP_OK) {
        assert_int_equal(s.refused, MP_NOMEM);
        assert_status(mp_task_status(task), MP_NOMEM);
      }
      mp_task_release(task);
    }
    (void)fault_disarm(&w.memory);
    world_close(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_suspend_until_a_task_ends),
      cmocka_unit_test(test_suspend_for_what_has_ended_goes_on_at_once),
      cmocka_unit_test(test_suspend_with_a_time_goes_on_when_it_has_passed),
      cmocka_unit_test(test_suspend_until_a_message_comes),
      cmocka_unit_test(test_suspend_cancel_calls_the_body_again),
      cmocka_unit_test(test_suspend_past_the_deadline_is_timed_out_and_cleans_up),
      cmocka_unit_test(test_suspend_misuse_is_refused),
      cmocka_unit_test(test_suspend_on_the_stack_of_one_who_waits),
      cmocka_unit_test(test_suspend_many_for_one_task_on_two_threads),
      cmocka_unit_test(test_suspend_in_a_chain),
      cmocka_unit_test(test_suspend_drain_waits_for_it),
      cmocka_unit_test(test_suspend_shutdown_ends_all),
      cmocka_unit_test(test_suspend_again_and_again_ends_with_the_time_of_a_shutdown),
      cmocka_unit_test(test_suspend_behind_the_end_of_the_pool_is_the_end),
      cmocka_unit_test(test_suspend_again_and_again_starves_nobody),
      cmocka_unit_test(test_suspend_goes_on_while_every_worker_computes),
      cmocka_unit_test(test_suspend_again_and_again_beside_extra_threads_starves_nobody),
      cmocka_unit_test(test_suspend_in_a_task_that_is_over_is_not_stuck),
      cmocka_unit_test(test_suspend_in_drop_is_refused),
      cmocka_unit_test(test_suspend_for_what_it_has_submitted_runs_that_next),
      cmocka_unit_test(test_suspend_without_memory_says_so),
  };
  return unit_main(tests);
}
