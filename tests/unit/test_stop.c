/* Getting bodies to return: interrupts, workers set aside, ends that do not wait for the body. */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "os.h"

#define GRACE (5 * MILLISECOND)

/* A body that looks up only when it is interrupted; what worker_interrupt sees. */
typedef struct deaf {
  tally entered;
  _Atomic bool interrupted; /* set in the signal handler */
  _Atomic unsigned interrupts;
  unsigned needed; /* interrupts before it returns */
  mp_status outcome;
} deaf;

static _Atomic(deaf *) listening; /* which body a worker's interrupt means */

static void on_interrupt(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local, (void)ud;
  deaf *d = mp_load_acquire(&listening);
  if (d == NULL) return;
  if (mp_add_relaxed(&d->interrupts, 1) + 1 >= d->needed) mp_store_relaxed(&d->interrupted, true);
}

static mp_status run_deaf(mp_worker *worker, void *arg) {
  deaf *d = arg;
  (void)worker;
  mp_store_release(&listening, d);
  tally_add(&d->entered);
  while (!mp_load_relaxed(&d->interrupted)) usleep(100);
  mp_store_release(&listening, NULL);
  return d->outcome;
}

static mp_pool_config interruptible_config(world *w, unsigned workers) {
  mp_pool_config config = world_config(w, workers);
  config.worker_interrupt = on_interrupt;
  config.stuck_grace_ns = GRACE;
  return config;
}

static void open_interruptible(world *w, unsigned workers) {
  world_open_with(w, interruptible_config(w, workers));
}

static mp_task *submit(world *w, mp_task_run *run, void *arg, uint64_t timeout_ns) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  desc.timeout_ns = timeout_ns;
  assert_ok(mp_submit(w->pool, &desc, &task));
  return task;
}

static void await_info(world *w, unsigned stuck) {
  while (world_info(w).stuck != stuck) usleep(1000);
}

static void test_cancel_interrupts_a_body_that_does_not_look(void **state) {
  world w;
  deaf d = {.entered = TALLY_INIT, .needed = 1, .outcome = MP_CANCELLED};
  (void)state;
  open_interruptible(&w, 1);
  mp_task *task = submit(&w, run_deaf, &d, 0);
  tally_await(&d.entered, 1);
  assert_int_equal(mp_cancel(task), 0);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_close(&w);
}

static void test_cancel_interrupts_again_until_the_body_is_out(void **state) {
  world w;
  deaf d = {.entered = TALLY_INIT, .needed = 5, .outcome = MP_OK};
  (void)state;
  open_interruptible(&w, 1);
  mp_task *task = submit(&w, run_deaf, &d, 0);
  tally_await(&d.entered, 1);
  assert_int_equal(mp_cancel(task), 0);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_true(mp_load_relaxed(&d.interrupts) >= 5);
  assert_int_equal(world_info(&w).stuck, 0); /* what is not over is not set aside */
  world_close(&w);
}

static void test_deadline_interrupts(void **state) {
  world w;
  deaf d = {.entered = TALLY_INIT, .needed = 1, .outcome = MP_OK};
  (void)state;
  open_interruptible(&w, 1);
  mp_task *task = submit(&w, run_deaf, &d, MILLISECOND);
  assert_ends(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  world_drain(&w);
  if (world_info(&w).running > 0) tally_await(&d.entered, 1);
  mp_task_release(task);
  world_close(&w);
}

static void test_shutdown_interrupts(void **state) {
  world w;
  deaf d = {.entered = TALLY_INIT, .needed = 2, .outcome = MP_OK};
  mp_shutdown_report report;
  (void)state;
  open_interruptible(&w, 1);
  mp_task *task = submit(&w, run_deaf, &d, 0);
  tally_await(&d.entered, 1);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_CANCEL_ALL, &report));
  assert_int_equal(report.stuck, 0);
  mp_task_release(task);
  world_close(&w);
}

static void test_cancel_now_ends_a_running_task_at_once_and_drops_its_result(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe p = {.entered = &entered, .hold = &hold};
  (void)state;
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  tally_await(&entered, 1);
  assert_int_equal(mp_cancel_now(task), 1);
  assert_ends(task, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_int_equal(mp_cancel_now(task), 1);
  assert_int_equal(p.dropped, 0); /* the body may use it still */
  tally_add(&hold);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  assert_dropped_once(&p, 1);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_assert_settled(&w);
  assert_int_equal(world_info(&w).cancelled, 1);
  world_close(&w);
}

static void test_cancel_now_of_a_task_that_is_over_tells_the_truth(void **state) {
  world w;
  probe p = {0}, q = {0};
  blockade b;
  (void)state;
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  assert_ends(task, MP_STATE_DONE, MP_OK);
  assert_int_equal(mp_cancel_now(task), 0);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  blockade_raise(&b, &w, 1);
  task = probe_submit(&w, &q);
  assert_int_equal(mp_cancel_now(task), 1);
  assert_dropped_once(&q, 1);
  blockade_lift(&b);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  world_close(&w);
}

static void test_stuck_worker_is_replaced_and_comes_back(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe stuck = {.entered = &entered, .hold = &hold}, other = {0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.stuck_grace_ns = GRACE;
  world_open_with(&w, config);
  mp_task *task = probe_submit(&w, &stuck);
  tally_await(&entered, 1);
  assert_int_equal(mp_cancel_now(task), 1);
  assert_ends_and_release(probe_submit(&w, &other), MP_STATE_DONE, MP_OK); /* by a replacement */
  assert_int_equal(world_info(&w).stuck, 1);
  tally_add(&hold);
  await_info(&w, 0);
  mp_task_release(task);
  for (int i = 0; i < 100; i++) {
    probe p = {0};
    assert_ends_and_release(probe_submit(&w, &p), MP_STATE_DONE, MP_OK);
  }
  assert_dropped_once(&stuck, 1);
  world_close(&w);
}

static void test_stuck_too_many_submissions_are_refused_until_one_is_back(void **state) {
  world w;
  enum { MAX = 3 };
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe probes[MAX + 1];
  mp_task *tasks[MAX], *none = NULL;
  (void)state;
  memset(probes, 0, sizeof probes);
  mp_pool_config config = world_config(&w, 1);
  config.stuck_grace_ns = GRACE;
  config.stuck_max = MAX;
  world_open_with(&w, config);
  for (unsigned i = 0; i < MAX; i++) {
    probes[i] = (probe){.entered = &entered, .hold = &hold};
    tasks[i] = probe_submit(&w, &probes[i]);
    tally_await(&entered, i + 1);
    assert_int_equal(mp_cancel_now(tasks[i]), 1);
    await_info(&w, i + 1);
  }
  mp_task_desc desc = probe_desc(&probes[MAX]);
  assert_status(mp_submit(w.pool, &desc, &none), MP_STUCK);
  tally_add(&hold);
  await_info(&w, 0);
  assert_ends_and_release(probe_submit(&w, &probes[MAX]), MP_STATE_DONE, MP_OK);
  for (int i = 0; i < MAX; i++) mp_task_release(tasks[i]);
  world_close(&w);
}

/* A task that waits for another; records how the wait ended. */
typedef struct waiter {
  tally entered;
  mp_task *other;
  mp_status waited;
} waiter;

static mp_status run_waiter(mp_worker *worker, void *arg) {
  waiter *me = arg;
  size_t index;
  tally_add(&me->entered);
  me->waited = mp_worker_wait_any(worker, &me->other, 1, NULL, MP_FOREVER, &index);
  return me->waited;
}

static void test_wait_inside_a_task_ends_when_that_is_cancelled(void **state) {
  world w;
  tally hold = TALLY_INIT, entered = TALLY_INIT;
  probe p = {.entered = &entered, .hold = &hold};
  waiter me = {.entered = TALLY_INIT};
  (void)state;
  world_open(&w, 2);
  me.other = probe_submit(&w, &p);
  tally_await(&entered, 1);
  mp_task *task = submit(&w, run_waiter, &me, 0);
  tally_await(&me.entered, 1);
  assert_int_equal(mp_cancel(task), 0);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_status(me.waited, MP_CANCELLED);
  tally_add(&hold);
  assert_ends_and_release(me.other, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

/*
** The signal's earlier handler.
*/
static _Atomic unsigned heard, heard_elsewhere;
static pthread_t main_thread;

static void host_handler(int signal) {
  (void)signal;
  mp_add_relaxed(pthread_equal(pthread_self(), main_thread) ? &heard : &heard_elsewhere, 1);
}

static void test_interrupt_earlier_handler_still_hears_the_host_and_comes_back(void **state) {
  world w;
  struct sigaction action, now;
  deaf d = {.entered = TALLY_INIT, .needed = 1, .outcome = MP_OK};
  (void)state;
  main_thread = pthread_self();
  memset(&action, 0, sizeof action);
  action.sa_handler = host_handler;
  assert_int_equal(sigaction(SIGURG, &action, NULL), 0);
  open_interruptible(&w, 2);
  mp_task *task = submit(&w, run_deaf, &d, 0);
  tally_await(&d.entered, 1);
  mp_cancel(task);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_int_equal(heard + heard_elsewhere, 0); /* ours is not the host's */
  raise(SIGURG);
  assert_int_equal(heard, 1);
#if defined(MP_OS_LINUX) /* elsewhere what comes to a worker is heard there */
  sigset_t urgent;
  sigemptyset(&urgent);
  sigaddset(&urgent, SIGURG);
  pthread_sigmask(SIG_BLOCK, &urgent, NULL); /* now only workers let it through */
  for (unsigned i = 2; i < 20; i++) {
    kill(getpid(), SIGURG);
    usleep(500);
    pthread_sigmask(SIG_UNBLOCK, &urgent, NULL);
    while (mp_load_relaxed(&heard) < i) usleep(100);
    pthread_sigmask(SIG_BLOCK, &urgent, NULL);
  }
  pthread_sigmask(SIG_UNBLOCK, &urgent, NULL);
  assert_int_equal(heard_elsewhere, 0);
#endif
  world_close(&w);
  assert_int_equal(sigaction(SIGURG, NULL, &now), 0);
  assert_ptr_equal(now.sa_handler, host_handler);
  signal(SIGURG, SIG_DFL);
}

static mp_status run_deaf_and_urgent(mp_worker *worker, void *arg) {
  raise(SIGURG); /* the host's, on its own thread, while that is at work */
  return run_deaf(worker, arg);
}

static void test_interrupt_reaches_the_owner_at_work_and_the_host_hears_its_own(void **state) {
  world w;
  blockade b;
  struct sigaction action;
  deaf d = {.entered = TALLY_INIT, .needed = 2, .outcome = MP_OK};
  (void)state;
  main_thread = pthread_self();
  heard = heard_elsewhere = 0;
  memset(&action, 0, sizeof action);
  action.sa_handler = host_handler;
  assert_int_equal(sigaction(SIGURG, &action, NULL), 0);
  mp_pool_config config = interruptible_config(&w, 1);
  config.owner_works = 1;
  world_open_with(&w, config);
  blockade_raise(&b, &w, 1); /* nobody but the owner can run it */
  mp_task *task = submit(&w, run_deaf_and_urgent, &d, MILLISECOND * 20);
  assert_ends_and_release(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_int_equal(tally_read(&d.entered), 1);
  assert_int_equal(heard, 1);
  assert_int_equal(heard_elsewhere, 0);
  blockade_lift(&b);
  world_close(&w);
  signal(SIGURG, SIG_DFL);
}

static void test_interrupt_signal_that_cannot_be_caught_is_refused(void **state) {
  world w;
  mp_pool *pool = NULL;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.worker_interrupt = on_interrupt;
  config.interrupt_signal = SIGKILL;
  config.allocator = (mp_allocator){NULL, NULL};
  assert_status(mp_pool_create(&config, &pool), MP_INVALID);
  config.interrupt_signal = 100000;
  assert_status(mp_pool_create(&config, &pool), MP_INVALID);
  assert_null(pool);
}

static void test_interrupt_unused_takes_no_signal(void **state) {
  world w;
  struct sigaction now;
  (void)state;
  world_open(&w, 1);
  assert_int_equal(sigaction(SIGURG, NULL, &now), 0);
  assert_ptr_equal(now.sa_handler, SIG_DFL);
  world_close(&w);
}

/*
** The idle hook.
*/
static _Atomic unsigned tidied;
static int tidy(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local, (void)ud;
  return (mp_add_relaxed(&tidied, 1) + 1) % 3 != 0;
}

typedef struct starter {
  int status; /* of a process that sends itself SIGTERM */
  sigset_t before, open, after;
} starter;

static mp_status start_process(mp_worker *worker, void *arg) {
  starter *s = arg;
  pthread_sigmask(SIG_SETMASK, NULL, &s->before);
  mp_worker_open_signals(worker);
  mp_worker_open_signals(worker);
  mp_worker_block_signals(worker);
  s->status = system("kill -TERM $$");
  pthread_sigmask(SIG_SETMASK, NULL, &s->open);
  mp_worker_block_signals(worker);
  pthread_sigmask(SIG_SETMASK, NULL, &s->after);
  return MP_OK;
}

static void test_a_process_that_a_worker_starts_is_ended_by_signals(void **state) {
  world w;
  starter s;
  sigset_t set, before;
  (void)state;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1); /* what the host blocks stays so */
  pthread_sigmask(SIG_BLOCK, &set, &before);
  open_interruptible(&w, 1);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  assert_ends_and_release(submit(&w, start_process, &s, 0), MP_STATE_DONE, MP_OK);
  assert_true(WIFSIGNALED(s.status) && WTERMSIG(s.status) == SIGTERM);
  const int signals[] = {SIGTERM, SIGUSR1, SIGURG};
  const int before_open_after[LENGTH(signals)][3] = {{1, 0, 1}, {1, 1, 1}, {0, 0, 0}};
  for (size_t i = 0; i < LENGTH(signals); i++) {
    assert_int_equal(sigismember(&s.before, signals[i]), before_open_after[i][0]);
    assert_int_equal(sigismember(&s.open, signals[i]), before_open_after[i][1]);
    assert_int_equal(sigismember(&s.after, signals[i]), before_open_after[i][2]);
  }
  world_close(&w);
}

static void test_opening_signals_changes_nothing_on_the_owners_thread(void **state) {
  world w;
  blockade b;
  starter s;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.owner_works = 1;
  world_open_with(&w, config);
  blockade_raise(&b, &w, 1);
  assert_ends_and_release(submit(&w, start_process, &s, 0), MP_STATE_DONE, MP_OK);
  blockade_lift(&b);
  for (int signal = 1; signal < 32; signal++) {
    assert_int_equal(sigismember(&s.open, signal), sigismember(&s.before, signal));
    assert_int_equal(sigismember(&s.after, signal), sigismember(&s.before, signal));
  }
  world_close(&w);
}

static void test_idle_hook_runs_to_its_end_once_after_work(void **state) {
  world w;
  probe p = {0};
  (void)state;
  mp_store_relaxed(&tidied, 0);
  mp_pool_config config = world_config(&w, 1);
  config.worker_idle = tidy;
  config.idle_after_ns = MILLISECOND;
  world_open_with(&w, config);
  usleep(20000);
  assert_int_equal(mp_load_relaxed(&tidied), 0); /* it has done nothing yet */
  assert_ends_and_release(probe_submit(&w, &p), MP_STATE_DONE, MP_OK);
  while (mp_load_relaxed(&tidied) < 3) usleep(1000);
  usleep(20000);
  assert_int_equal(mp_load_relaxed(&tidied), 3);
  world_close(&w);
}

/* A body that is over, and goes on with tasks that it runs in place. */
typedef struct goes_on {
  tally entered, go, ran, hold;
} goes_on;

static mp_status run_and_go_on(mp_worker *worker, void *arg) {
  goes_on *g = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *child;
  tally_add(&g->entered);
  tally_await(&g->go, 1);
  desc.run = run_nothing;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, &child);
  if (status == MP_OK) status = mp_wait(child, MP_FOREVER);
  if (status == MP_OK) mp_task_release(child);
  tally_add(&g->ran);
  tally_await(&g->hold, 1);
  return status;
}

static void test_stuck_worker_that_runs_a_task_in_place_stays_set_aside(void **state) {
  world w;
  blockade b;
  goes_on g = {TALLY_INIT, TALLY_INIT, TALLY_INIT, TALLY_INIT};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.stuck_grace_ns = GRACE;
  world_open_with(&w, config);
  mp_task *task = submit(&w, run_and_go_on, &g, 0);
  tally_await(&g.entered, 1);
  assert_int_equal(mp_cancel_now(task), 1);
  await_info(&w, 1);
  blockade_raise(&b, &w, 1); /* the replacement: nobody else runs the child */
  tally_add(&g.go);
  tally_await(&g.ran, 1);
  assert_int_equal(world_info(&w).stuck, 1);
  tally_add(&g.hold);
  await_info(&w, 0);
  blockade_lift(&b);
  mp_task_release(task);
  world_close(&w);
}

/*
** While the host's handler is there, ours counts as installed: the host may pass on to it. Then the
** host takes its own away, and leaves nobody who does.
*/
static void
test_interrupt_host_has_had_the_signal_between_two_pools_the_next_installs_it(void **state) {
  world w;
  deaf d = {.entered = TALLY_INIT, .needed = 2, .outcome = MP_OK};
  (void)state;
  mp_pool_config config = interruptible_config(&w, 1);
  config.interrupt_signal = SIGUSR1;
  world_open_with(&w, config);
  signal(SIGUSR1, host_handler);
  world_close(&w);
  signal(SIGUSR1, SIG_DFL);
  world_open_with(&w, config);
  mp_task *task = submit(&w, run_deaf, &d, 0);
  tally_await(&d.entered, 1);
  assert_int_equal(mp_cancel(task), 0);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&w);
  signal(SIGUSR1, SIG_DFL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cancel_interrupts_a_body_that_does_not_look),
      cmocka_unit_test(test_cancel_interrupts_again_until_the_body_is_out),
      cmocka_unit_test(test_deadline_interrupts),
      cmocka_unit_test(test_shutdown_interrupts),
      cmocka_unit_test(test_cancel_now_ends_a_running_task_at_once_and_drops_its_result),
      cmocka_unit_test(test_cancel_now_of_a_task_that_is_over_tells_the_truth),
      cmocka_unit_test(test_stuck_worker_is_replaced_and_comes_back),
      cmocka_unit_test(test_stuck_too_many_submissions_are_refused_until_one_is_back),
      cmocka_unit_test(test_wait_inside_a_task_ends_when_that_is_cancelled),
      cmocka_unit_test(test_interrupt_earlier_handler_still_hears_the_host_and_comes_back),
      cmocka_unit_test(test_interrupt_reaches_the_owner_at_work_and_the_host_hears_its_own),
      cmocka_unit_test(test_interrupt_signal_that_cannot_be_caught_is_refused),
      cmocka_unit_test(test_interrupt_unused_takes_no_signal),
      cmocka_unit_test(test_a_process_that_a_worker_starts_is_ended_by_signals),
      cmocka_unit_test(test_opening_signals_changes_nothing_on_the_owners_thread),
      cmocka_unit_test(test_idle_hook_runs_to_its_end_once_after_work),
      cmocka_unit_test(test_stuck_worker_that_runs_a_task_in_place_stays_set_aside),
      cmocka_unit_test(
          test_interrupt_host_has_had_the_signal_between_two_pools_the_next_installs_it),
  };
  return unit_main(tests);
}
