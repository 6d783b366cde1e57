/* Waiting: from outside, from inside tasks, for one of many, for a mailbox, through signals. */
#include "unit.h"

#include <signal.h>
#include <string.h>

static void test_wait_zero_only_looks(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  (void)state;
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  assert_status(mp_wait(task, 0), MP_TIMEOUT);
  assert_status(mp_wait(task, MILLISECOND), MP_TIMEOUT);
  tally_add(&hold);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_ok(mp_wait(task, 0)); /* waiting consumes nothing */
  assert_ok(mp_wait(task, 0));
  mp_task_release(task);
  world_close(&w);
}

static void test_wait_any_tells_which_ended(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe held = {.hold = &hold}, quick = {0};
  mp_task *tasks[4] = {NULL};
  size_t index = 99;
  (void)state;
  world_open(&w, 2);
  tasks[1] = probe_submit(&w, &held);
  assert_status(mp_wait_any(w.pool, tasks, 4, NULL, MILLISECOND, &index), MP_TIMEOUT);
  assert_int_equal(index, 99); /* untouched */
  tasks[3] = probe_submit(&w, &quick);
  assert_ok(mp_wait_any(w.pool, tasks, 4, NULL, MP_FOREVER, &index));
  assert_int_equal(index, 3);
  tally_add(&hold);
  assert_ok(mp_wait(tasks[1], MP_FOREVER));
  assert_ok(mp_wait_any(w.pool, tasks, 4, NULL, 0, &index));
  assert_int_equal(index, 1); /* the first of those that have ended */
  mp_task_release(tasks[1]);
  mp_task_release(tasks[3]);
  world_close(&w);
}

static void test_wait_any_nothing_to_wait_for_times_out(void **state) {
  world w;
  mp_task *none[2] = {NULL, NULL};
  size_t index;
  (void)state;
  world_open(&w, 1);
  assert_status(mp_wait_any(w.pool, NULL, 0, NULL, 0, &index), MP_TIMEOUT);
  assert_status(mp_wait_any(w.pool, none, 2, NULL, MILLISECOND, &index), MP_TIMEOUT);
  assert_status(mp_wait_any(w.pool, NULL, 0, mp_pool_mailbox(w.pool), MILLISECOND, &index),
                MP_TIMEOUT);
  world_close(&w);
}

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }

static mp_status send_letter(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_mailbox_send(arg, on_letter, NULL, "x", 1);
}

static void test_wait_any_mailbox_with_a_message_is_index_n(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe held = {.hold = &hold};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_mailbox *mailbox;
  size_t index;
  (void)state;
  world_open(&w, 2);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  mp_task *task = probe_submit(&w, &held);
  for (int i = 0; i < 200; i++) {
    desc.run = send_letter;
    desc.arg = mailbox;
    assert_ok(mp_submit(w.pool, &desc, NULL));
    assert_ok(mp_wait_any(w.pool, &task, 1, mailbox, MP_FOREVER, &index));
    assert_int_equal(index, 1);
    assert_int_equal(mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL), 1);
  }
  tally_add(&hold);
  assert_ok(mp_wait_any(w.pool, &task, 1, mailbox, MP_FOREVER, &index));
  assert_int_equal(index, 0);
  mp_task_release(task);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

static void *shut_down_soon(void *pool) {
  usleep(2000);
  assert_ok(mp_pool_shutdown(pool, SECOND, MP_SHUTDOWN_FINISH, NULL));
  return NULL;
}

static void test_wait_for_mail_without_limit_ends_with_the_pool(void **state) {
  world w;
  mp_mailbox *mailbox;
  pthread_t thread;
  size_t index;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  assert_int_equal(pthread_create(&thread, NULL, shut_down_soon, w.pool), 0);
  assert_status(mp_wait_any(w.pool, NULL, 0, mailbox, MP_FOREVER, &index), MP_SHUTDOWN);
  pthread_join(thread, NULL);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

/*
** {======================================================
** Inside tasks
** =======================================================
*/

typedef struct fib {
  unsigned n, value;
} fib;

/* Parallel fib by submit and wait: the worst a scheduler with few workers can be asked. */
static mp_status run_fib(mp_worker *worker, void *arg) {
  fib *f = arg, left = {f->n - 1, 0}, right = {f->n - 2, 0};
  if (f->n < 2) {
    f->value = f->n;
    return MP_OK;
  }
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *tasks[2] = {NULL, NULL};
  desc.run = run_fib;
  mp_status status = (desc.arg = &left, mp_submit(mp_worker_pool(worker), &desc, &tasks[0]));
  if (status == MP_OK)
    status = (desc.arg = &right, mp_submit(mp_worker_pool(worker), &desc, &tasks[1]));
  for (int i = 0; i < 2; i++) {
    if (tasks[i] != NULL && mp_wait(tasks[i], MP_FOREVER) != MP_OK) status = MP_FAILED;
    mp_task_release(tasks[i]);
  }
  f->value = left.value + right.value;
  return status;
}

static void fib_with(unsigned workers, unsigned extra, int owner_works) {
  world w;
  fib f = {15, 0};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  mp_pool_config config = world_config(&w, workers);
  config.workers_extra = extra;
  config.owner_works = owner_works;
  world_open_with(&w, config);
  desc.run = run_fib;
  desc.arg = &f;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_int_equal(f.value, 610);
  world_drain(&w);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_wait_nested_never_deadlocks(void **state) {
  (void)state;
  fib_with(1, 256, 0);
  fib_with(1, 0, 0);
  fib_with(2, 1, 0);
  fib_with(3, 256, 0);
  fib_with(1, 256, 1);
}

/* A task that waits for one that cannot be run in place: its dependency is queued behind it. */
static mp_status wait_for_arg(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(arg, MP_FOREVER);
}

static void wait_behind(unsigned extra) {
  world w;
  blockade b;
  probe probes[2] = {{0}};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *waiting, *parent, *child;
  mp_pool_config config = world_config(&w, 1);
  config.workers_extra = extra;
  world_open_with(&w, config);
  blockade_raise(&b, &w, 1);
  mp_task_desc parent_desc = probe_desc(&probes[0]);
  parent_desc.priority = -1; /* behind the one that waits */
  assert_ok(mp_submit(w.pool, &parent_desc, &parent));
  child = probe_submit_after(&w, &probes[1], &parent, 1);
  desc.run = wait_for_arg;
  desc.arg = child;
  assert_ok(mp_submit(w.pool, &desc, &waiting));
  blockade_lift(&b);
  assert_ends_and_release(waiting, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(child, MP_STATE_DONE, MP_OK);
  mp_task_release(parent);
  world_close(&w);
}

static void test_wait_for_what_is_behind_the_waiter_gets_there(void **state) {
  (void)state;
  wait_behind(8); /* a replacement runs it */
  wait_behind(0); /* the waiter itself does */
}

static mp_status wait_briefly(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(arg, MILLISECOND) == MP_TIMEOUT ? MP_OK : MP_FAILED;
}

static mp_status wait_for_a_child(mp_worker *worker, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *child;
  (void)arg;
  desc.run = run_nothing;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, &child);
  if (status != MP_OK) return status;
  /* with a limit it does not help: a replacement does */
  status = mp_wait(child, HANG_SECONDS * SECOND);
  mp_task_release(child);
  return status;
}

static void test_wait_inside_again_and_again_takes_no_more_threads(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = wait_for_a_child;
  for (int i = 0; i < 50; i++) {
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  }
  assert_int_equal(world_info(&w).workers_extra, 1);
  world_close(&w);
}

static void test_wait_inside_with_a_limit_times_out(void **state) {
  world w;
  tally hold = TALLY_INIT, entered = TALLY_INIT;
  probe held = {.entered = &entered, .hold = &hold};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *waiting;
  (void)state;
  world_open(&w, 2);
  mp_task *task = probe_submit(&w, &held);
  tally_await(&entered, 1);
  desc.run = wait_briefly;
  desc.arg = task;
  assert_ok(mp_submit(w.pool, &desc, &waiting));
  assert_ends_and_release(waiting, MP_STATE_DONE, MP_OK);
  tally_add(&hold);
  mp_task_release(task);
  world_close(&w);
}

static void test_wait_many_tasks_on_one_all_return(void **state) {
  world w;
  enum { N = 200 };
  tally hold = TALLY_INIT;
  probe held = {.hold = &hold};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *waiting[N];
  (void)state;
  world_open(&w, 2);
  mp_task *task = probe_submit(&w, &held);
  desc.run = wait_for_arg;
  desc.arg = task;
  assert_ok(mp_submit_batch(w.pool, &desc, N, 0, waiting));
  tally_add(&hold);
  for (int i = 0; i < N; i++) assert_ends_and_release(waiting[i], MP_STATE_DONE, MP_OK);
  mp_task_release(task);
  world_close(&w);
}

/*
** {======================================================
** Signals
** =======================================================
*/

static _Atomic int signals_seen;
static void on_signal(int number) { (void)number, mp_add_relaxed(&signals_seen, 1); }

typedef struct nagger {
  pthread_t target;
  _Atomic bool over;
} nagger;

/* Sends until the wait has noticed: when exactly the target sleeps cannot be known. */
static void *nagger_main(void *arg) {
  nagger *n = arg;
  while (!mp_load_acquire(&n->over)) {
    pthread_kill(n->target, SIGUSR1);
    usleep(1000);
  }
  return NULL;
}

/* `task` is held by a running parent, so that nothing is left for the caller to do but wait. */
static void interrupt(world *w, mp_status (*wait)(world *w, mp_task *task)) {
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe held = {.entered = &entered, .hold = &hold}, waiting = {0};
  nagger n = {pthread_self(), false};
  pthread_t thread;
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
  sigaction(SIGUSR1, &action, &before);
  mp_task *parent = probe_submit(w, &held), *task = probe_submit_after(w, &waiting, &parent, 1);
  tally_await(&entered, 1);
  assert_int_equal(pthread_create(&thread, NULL, nagger_main, &n), 0);
  mp_status status = wait(w, task);
  mp_store_release(&n.over, true);
  pthread_join(thread, NULL);
  sigaction(SIGUSR1, &before, NULL);
  tally_add(&hold);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  mp_task_release(parent);
  assert_status(status, MP_INTERRUPTED);
  assert_true(mp_load_relaxed(&signals_seen) > 0);
}

static mp_status wait_task(world *w, mp_task *task) { return (void)w, mp_wait(task, MP_FOREVER); }
static mp_status wait_drain(world *w, mp_task *task) {
  return (void)task, mp_pool_drain(w->pool, MP_FOREVER);
}

static mp_status wait_shutdown(world *w, mp_task *task) {
  return (void)task, mp_pool_shutdown(w->pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL);
}

static void
test_wait_shutdown_signal_handler_ran_is_interrupted_and_may_be_called_again(void **state) {
  world w;
  probe late = {0};
  mp_task_desc desc = probe_desc(&late);
  mp_shutdown_report report;
  (void)state;
  world_open(&w, 1);
  interrupt(&w, wait_shutdown);
  assert_status(mp_submit(w.pool, &desc, NULL), MP_SHUTDOWN);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, &report));
  assert_int_equal(report.done, 2);
  world_close(&w);
}

static void test_wait_and_drain_signal_handler_ran_is_interrupted(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  interrupt(&w, wait_task);
  interrupt(&w, wait_drain);
  world_close(&w);
}

static void test_wait_owner_at_work_signal_handler_ran_is_interrupted(void **state) {
  world w;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.owner_works = 1;
  world_open_with(&w, config);
  interrupt(&w, wait_task);
  world_close(&w);
}

static void ignore_letter(void *ud, const void *data, size_t size) {
  (void)ud, (void)data, (void)size;
}

/* Takes the news that the waiter below waits for. */
static mp_status read_letter(mp_worker *worker, void *arg) {
  mp_mailbox *mailbox = arg;
  (void)worker;
  if (mp_mailbox_send(mailbox, ignore_letter, NULL, NULL, 0) != MP_OK) return MP_FAILED;
  return mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL) == 1 ? MP_OK : MP_FAILED;
}

static mp_status wait_for_letter(mp_worker *worker, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  size_t index = 99;
  desc.run = read_letter;
  desc.arg = arg;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, NULL);
  if (status == MP_OK)
    status = mp_wait_any(mp_worker_pool(worker), NULL, 0, arg, MP_FOREVER, &index);
  return status == MP_OK && index == 0 ? MP_OK : MP_FAILED;
}

static void test_wait_any_mailbox_emptied_meanwhile_returns(void **state) {
  world w;
  mp_mailbox *mailbox;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  desc.run = wait_for_letter;
  desc.arg = mailbox;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wait_zero_only_looks),
      cmocka_unit_test(test_wait_any_tells_which_ended),
      cmocka_unit_test(test_wait_any_nothing_to_wait_for_times_out),
      cmocka_unit_test(test_wait_any_mailbox_with_a_message_is_index_n),
      cmocka_unit_test(test_wait_for_mail_without_limit_ends_with_the_pool),
      cmocka_unit_test(test_wait_any_mailbox_emptied_meanwhile_returns),
      cmocka_unit_test(test_wait_nested_never_deadlocks),
      cmocka_unit_test(test_wait_for_what_is_behind_the_waiter_gets_there),
      cmocka_unit_test(test_wait_inside_again_and_again_takes_no_more_threads),
      cmocka_unit_test(test_wait_inside_with_a_limit_times_out),
      cmocka_unit_test(test_wait_many_tasks_on_one_all_return),
      cmocka_unit_test(test_wait_and_drain_signal_handler_ran_is_interrupted),
      cmocka_unit_test(
          test_wait_shutdown_signal_handler_ran_is_interrupted_and_may_be_called_again),
      cmocka_unit_test(test_wait_owner_at_work_signal_handler_ran_is_interrupted),
  };
  return unit_main(tests);
}
