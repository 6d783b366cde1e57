/*
** Everything the system may do to us, at every place where it may, once and from then on, through a
** pool's whole life: each step succeeds or ends in an error that says so, nothing accepted is lost,
** nothing leaks, nothing hangs. Prints how many points it failed.
*/
#include "faults.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LIFE_SECONDS 60 /* a life that takes longer hangs */
#define ROOM 8

typedef struct life {
  fault_alloc memory;
  mp_pool *pool;
  mp_fault_point point;
  bool lasting;
  size_t accepted;
  _Atomic size_t dropped, told;
  tally entered;
  _Atomic bool interrupted, let_go;
} life;

static size_t points; /* failed so far */
static char now_trying[160];

static void on_alarm(int signal) {
  (void)signal;
  (void)!write(2, now_trying, strlen(now_trying));
  _exit(2);
}

/*
** {======================================================
** What may come of a step
** =======================================================
*/

static bool is_allowed(const life *l, mp_status status) {
  switch (status) {
    case MP_OK: return true;
    case MP_NOTHREAD: return l->point == MP_FAULT_THREAD;
    case MP_SYSTEM:
      return l->point == MP_FAULT_LOCK || l->point == MP_FAULT_GATE ||
             l->point == MP_FAULT_EVENT_FD;
    case MP_NOMEM: return l->point == MP_FAULT_PAGES || l->point == MP_FAULT_GATE;
    case MP_INVALID: return l->point == MP_FAULT_HANDLER;
    default: return false;
  }
}

static bool succeeds(const life *l, mp_status status) {
  if (!is_allowed(l, status))
    fail_msg("%s: '%s' is no answer to that", now_trying, mp_status_text(status));
  return status == MP_OK;
}

static void drop(void *arg) { mp_add_relaxed(&((life *)arg)->dropped, 1); }
static void done(mp_task *task, mp_state state, void *arg) {
  (void)task, (void)state, mp_add_relaxed(&((life *)arg)->told, 1);
}

/* NULL: it was refused, as it may be. */
static mp_task *submit(life *l, mp_task_run *run, uint64_t timeout_ns, mp_task *const *after) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task = NULL;
  desc.run = run;
  desc.arg = l;
  desc.drop = drop;
  desc.done = done;
  desc.timeout_ns = timeout_ns;
  desc.flags = MP_TASK_TIMED;
  desc.after = after;
  desc.after_count = after != NULL;
  mp_status status = mp_submit(l->pool, &desc, &task);
  assert_true((task != NULL) == (status == MP_OK));
  if (!succeeds(l, status)) return NULL;
  l->accepted++;
  return task;
}

static void wait_for(mp_task *task) {
  mp_status status;
  do status = mp_wait(task, MP_FOREVER);
  while (status == MP_INTERRUPTED);
  assert_ok(status);
}

/* Waits for the end of what was accepted; a clock that jumps ends tasks that have a timeout. */
static void await(const life *l, mp_task *task, mp_state expected) {
  if (task == NULL) return;
  wait_for(task);
  mp_state state = mp_task_state(task);
  if (l->point != MP_FAULT_JUMP || mp_task_timeout(task) == 0 || state != MP_STATE_TIMED_OUT)
    assert_int_equal(state, expected);
  mp_task_release(task);
}

static mp_pool_info info_of(const life *l) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_pool_get_info(l->pool, &info);
  return info;
}

/* }====================================================== */

/*
** {======================================================
** The steps of a life
** =======================================================
*/

static mp_status run_plain(mp_worker *worker, void *arg) { return (void)worker, (void)arg, MP_OK; }
static mp_status run_nap(mp_worker *worker, void *arg) {
  return (void)arg, mp_worker_sleep(worker, MILLISECOND);
}

static void work(life *l) {
  mp_task *first = submit(l, run_nap, 0, NULL);
  mp_task *next = first == NULL ? NULL : submit(l, run_plain, 0, &first);
  mp_task *timed = submit(l, run_nap, 1000 * SECOND, NULL);
  await(l, next, MP_STATE_DONE);
  await(l, first, MP_STATE_DONE);
  await(l, timed, MP_STATE_DONE);
}

/* A wait that cannot help: it needs a replacement, or the other worker. */
static mp_status run_waiting(mp_worker *worker, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *inner;
  desc.run = run_nap;
  desc.arg = arg;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, &inner);
  if (status != MP_OK) return status;
  /* without a replacement there may be nobody to run it */
  status = mp_wait(inner, 20 * MILLISECOND);
  mp_task_release(inner);
  return status == MP_TIMEOUT ? MP_OK : status;
}

static void wait_inside(life *l) {
  mp_task *tasks[4];
  for (size_t i = 0; i < LENGTH(tasks); i++) tasks[i] = submit(l, run_waiting, 0, NULL);
  for (size_t i = 0; i < LENGTH(tasks); i++) {
    if (tasks[i] == NULL) continue;
    bool cancelled = i == 3 && mp_cancel(tasks[i]);
    wait_for(tasks[i]);
    if (cancelled)
      assert_status(mp_task_status(tasks[i]), MP_CANCELLED);
    else
      succeeds(l, mp_task_status(tasks[i]));
    mp_task_release(tasks[i]);
  }
}

static life *_Atomic listening;

static void on_interrupt(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local, (void)ud;
  life *l = mp_load_acquire(&listening);
  if (l != NULL) mp_store_relaxed(&l->interrupted, true);
}

/* Looks up only when it is interrupted; or soon, where interrupts never arrive. */
static mp_status run_deaf(mp_worker *worker, void *arg) {
  life *l = arg;
  (void)worker;
  bool hopeless = l->point == MP_FAULT_SIGNAL && l->lasting;
  tally_add(&l->entered);
  for (int i = 0; !mp_load_relaxed(&l->interrupted) && !(hopeless && i == 20); i++) usleep(100);
  return MP_CANCELLED;
}

static void interrupt(life *l) {
  mp_store_release(&listening, l);
  mp_task *task = submit(l, run_deaf, 0, NULL);
  if (task != NULL) {
    tally_await(&l->entered, 1);
    mp_cancel(task);
  }
  await(l, task, MP_STATE_CANCELLED);
  mp_store_release(&listening, NULL);
}

static mp_status run_stuck(mp_worker *worker, void *arg) {
  life *l = arg;
  (void)worker;
  while (!mp_load_acquire(&l->let_go)) usleep(100);
  return MP_OK;
}

/* Its deadline passes, it is set aside, others go on, it comes back. */
static void get_stuck(life *l) {
  mp_task *task = submit(l, run_stuck, MILLISECOND, NULL);
  if (task == NULL) return;
  await(l, task, MP_STATE_TIMED_OUT);
  /* it may have timed out before it began */
  while (info_of(l).running > 0 && info_of(l).stuck == 0) usleep(100);
  /* else there may be nobody to replace it */
  if (info_of(l).workers > 1) await(l, submit(l, run_plain, 0, NULL), MP_STATE_DONE);
  mp_store_release(&l->let_go, true);
  while (info_of(l).stuck > 0) usleep(100);
}

static void on_letter(void *ud, const void *data, size_t size) {
  (void)data, (void)size, ++*(unsigned *)ud;
}

static void correspond(life *l) {
  mp_mailbox *mailbox = NULL;
  unsigned delivered = 0;
  int fd = -1;
  if (succeeds(l, mp_fd(l->pool, &fd))) assert_true(fd >= 0);
  if (!succeeds(l, mp_mailbox_create(l->pool, &mailbox))) return;
  if (succeeds(l, mp_mailbox_fd(mailbox, &fd))) assert_true(fd >= 0);
  if (succeeds(l, mp_mailbox_send(mailbox, on_letter, &delivered, "letter", 7)))
    mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL);
  assert_int_equal(delivered, 1);
  mp_mailbox_close(mailbox);
}

static void add_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  mp_add_relaxed((_Atomic size_t *)arg, end - begin);
}

static void loop(life *l) {
  _Atomic size_t covered = 0;
  if (succeeds(l, mp_for(l->pool, 0, 1000, 10, add_piece, &covered)))
    assert_int_equal(covered, 1000);
}

static void fill(life *l) {
  const mp_limits limits = {.tasks = ROOM, .memory_percent = 100}, none = {0};
  mp_task *tasks[ROOM], *more;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_status status;
  size_t n = 0;
  mp_store_release(&l->let_go, false);
  assert_ok(mp_pool_set_limits(l->pool, &limits));
  while (n < ROOM && (tasks[n] = submit(l, run_stuck, 0, NULL)) != NULL) n++;
  if (n == ROOM) {
    desc.run = run_plain;
    assert_status(mp_submit(l->pool, &desc, &more), MP_FULL);
    status = mp_wait_room(l->pool, 0, NULL, MILLISECOND);
    assert_true(status == MP_TIMEOUT || status == MP_INTERRUPTED);
  }
  mp_store_release(&l->let_go, true);
  do { /* they count until their news has been fetched */
    mp_poll(l->pool, MP_FOREVER, 0);
    status = mp_wait_room(l->pool, 0, NULL, MILLISECOND);
  } while (status == MP_INTERRUPTED || status == MP_TIMEOUT);
  assert_ok(status);
  while (n > 0) await(l, tasks[--n], MP_STATE_DONE);
  assert_ok(mp_pool_set_limits(l->pool, &none));
}

static mp_status run_sleep(mp_worker *worker, void *arg) {
  return (void)arg, mp_worker_sleep(worker, 1000000 * SECOND);
}

/* Something runs, something waits. */
static void shut_down(life *l, mp_shutdown_mode mode) {
  mp_task *running = submit(l, run_sleep, 0, NULL),
          *waiting = running == NULL ? NULL : submit(l, run_plain, 0, &running);
  mp_shutdown_report report;
  uint64_t timeout = mode == MP_SHUTDOWN_CANCEL_ALL ? 1000 * SECOND : 2 * MILLISECOND;
  mp_status status;
  do status = mp_pool_shutdown(l->pool, timeout, mode, &report);
  while (status == MP_INTERRUPTED);
  assert_ok(status);
  assert_true(running == NULL || mp_state_is_terminal(mp_task_state(running)));
  assert_true(waiting == NULL || mp_state_is_terminal(mp_task_state(waiting)));
  mp_task_release(waiting);
  mp_task_release(running);
  mp_pool_info info = info_of(l);
  assert_int_equal(info.submitted, info.finished);
  while (mp_poll(l->pool, MP_FOREVER, 0) > 0) continue;
}

static mp_status create(life *l) {
  mp_pool_config config = mp_pool_config_default();
  config.workers = 2;
  config.workers_extra = 3;
  config.worker_interrupt = on_interrupt;
  config.stuck_grace_ns = MILLISECOND;
  /* pages are the default allocator's */
  if (l->point != MP_FAULT_PAGES) config.allocator = fault_allocator(&l->memory);
  return mp_pool_create(&config, &l->pool);
}

/* Returns how many calls failed. */
static size_t live(mp_fault_point point, size_t nth, bool lasting, mp_shutdown_mode mode) {
  life l = {.memory = FAULT_ALLOC_INIT, .point = point, .lasting = lasting, .entered = TALLY_INIT};
  snprintf(now_trying, sizeof now_trying, "%s: %s, call %zu%s, mode %d\n", fault_name(point),
           fault_text(point), nth, lasting ? " and later" : "", (int)mode);
  alarm(LIFE_SECONDS);
  faults_arm(point, nth, lasting);
  if (succeeds(&l, create(&l))) {
    work(&l);
    wait_inside(&l);
    interrupt(&l);
    get_stuck(&l);
    correspond(&l);
    loop(&l);
    fill(&l);
    shut_down(&l, mode);
    mp_pool_destroy(l.pool);
  } else {
    assert_null(l.pool);
  }
  size_t failures = faults_disarm();
  /* a thread that was given up, as the clock had jumped, is on its way out */
  while (!fault_is_clean(&l.memory)) usleep(100);
  assert_int_equal(l.dropped, l.accepted);
  assert_int_equal(l.told, l.accepted);
  return failures;
}

/* }====================================================== */

static void fail_each(void **state) {
  mp_fault_point point = (mp_fault_point)(uintptr_t)*state;
  for (int lasting = 0; lasting <= 1; lasting++) {
    size_t failures = 1, failed = 0;
    for (size_t nth = 1; failures > 0; nth = fault_next(nth)) {
      failures = live(point, nth, lasting, (mp_shutdown_mode)(nth % 3));
      failed += failures > 0;
    }
    assert_true(failed > 0);
    points += failed;
  }
}

int main(void) {
  struct CMUnitTest tests[MP_FAULT_POINTS];
  signal(SIGALRM, on_alarm);
  for (size_t i = 0; i < MP_FAULT_POINTS; i++)
    tests[i] = (struct CMUnitTest){fault_text((mp_fault_point)i), fail_each, NULL, NULL,
                                   (void *)(uintptr_t)i};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  printf("failed: %zu points\n", points);
  return failed;
}
