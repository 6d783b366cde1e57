/* The platform layer: clock, gate, event descriptor, threads, cores, memory, fork guard. */
#include "os.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#if defined(__GLIBC__)
#include <ucontext.h>
#endif

static void test_os_now_never_goes_back_and_is_not_zero(void **state) {
  uint64_t last = mp_os_now();
  (void)state;
  assert_true(last > 0);
  for (int i = 0; i < 10000; i++) {
    uint64_t now = mp_os_now();
    assert_true(now >= last);
    last = now;
  }
}

static void test_os_deadline_adds_and_does_not_overflow(void **state) {
  (void)state;
  uint64_t before = mp_os_now(), deadline = mp_os_deadline(SECOND);
  assert_true(deadline >= before + SECOND && deadline <= mp_os_now() + SECOND);
  assert_true(mp_os_deadline(MP_FOREVER) == MP_FOREVER);
  assert_true(mp_os_deadline(MP_FOREVER - 1) == MP_FOREVER);
}

static void test_os_later_adds_and_does_not_overflow(void **state) {
  (void)state;
  assert_true(mp_os_later(5, 7) == 12);
  assert_true(mp_os_later(0, MP_FOREVER) == MP_FOREVER);
  assert_true(mp_os_later(1, MP_FOREVER) == MP_FOREVER);
  assert_true(mp_os_later(MP_FOREVER, 0) == MP_FOREVER);
  assert_true(mp_os_later(MP_FOREVER - 5, 5) == MP_FOREVER);
  assert_true(mp_os_later(MP_FOREVER - 5, 4) == MP_FOREVER - 1);
}

static void test_os_gate_wait_other_word_returns_at_once(void **state) {
  mp_os_gate gate;
  (void)state;
  assert_ok(mp_os_gate_init(&gate));
  mp_store_relaxed(&gate.word, 1);
  assert_true(mp_os_gate_wait(&gate, 0, MP_FOREVER) != MP_TIMEOUT);
  mp_os_gate_close(&gate);
}

static void test_os_gate_wait_deadline_passed_times_out(void **state) {
  mp_os_gate gate;
  (void)state;
  assert_ok(mp_os_gate_init(&gate));
  assert_status(mp_os_gate_wait(&gate, 0, 1), MP_TIMEOUT);
  uint64_t deadline = mp_os_now() + 2 * MILLISECOND;
  while (mp_os_gate_wait(&gate, 0, deadline) != MP_TIMEOUT) continue;
  assert_true(mp_os_now() >= deadline);
  mp_os_gate_close(&gate);
}

static void on_alarm(int signal) { (void)signal; }

static void test_os_gate_wait_any_handler_ends_it(void **state) {
  const int flags[] = {0, SA_RESTART};
  const uint64_t durations[] = {MP_FOREVER, 100 * SECOND};
  mp_os_gate gate;
  (void)state;
  assert_ok(mp_os_gate_init(&gate));
  for (size_t i = 0; i < 4; i++) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags[i % 2]}, before;
    /* again and again, for the first may come before the wait has begun */
    const struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    mp_status status = mp_os_gate_wait(&gate, 0, mp_os_deadline(durations[i / 2]));
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_status(status, MP_INTERRUPTED);
  }
  alarm(HANG_SECONDS); /* it is the same timer */
  mp_os_gate_close(&gate);
}

typedef struct signaller {
  pthread_t to;
  _Atomic bool enough;
} signaller;

static void *signaller_main(void *arg) {
  signaller *s = arg;
  while (!mp_load_acquire(&s->enough)) {
    pthread_kill(s->to, SIGCHLD);
    usleep(500);
  }
  return NULL;
}

static void test_os_gate_wait_goes_on_through_what_nobody_handles(void **state) {
  signaller s = {.to = pthread_self()};
  mp_os_gate gate;
  pthread_t thread;
  mp_status status = MP_OK;
  (void)state;
  assert_ok(mp_os_gate_init(&gate));
  assert_int_equal(pthread_create(&thread, NULL, signaller_main, &s), 0);
  uint64_t deadline = mp_os_deadline(SECOND / 5);
  while (status == MP_OK) status = mp_os_gate_wait(&gate, 0, deadline);
  mp_store_release(&s.enough, true);
  pthread_join(thread, NULL);
  assert_status(status, MP_TIMEOUT);
  mp_os_gate_close(&gate);
}

static void *waiter_main(void *arg) {
  mp_os_gate *gate = arg;
  while (mp_load_acquire(&gate->word) == 0) (void)!mp_os_gate_wait(gate, 0, MP_FOREVER);
  return NULL;
}

static void test_os_gate_wake_all_frees_every_waiter(void **state) {
  static mp_os_gate gate;
  pthread_t threads[4];
  (void)state;
  assert_ok(mp_os_gate_init(&gate));
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, waiter_main, &gate), 0);
  mp_store_release(&gate.word, 1);
  mp_os_gate_wake_all(&gate);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  mp_os_gate_close(&gate);
}

static bool readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

static void test_os_event_fd_readable_from_signal_until_clear(void **state) {
  mp_os_event_fd event;
  (void)state;
  assert_ok(mp_os_event_fd_open(&event));
  assert_false(readable(event.read_fd));
  for (int i = 0; i < 3; i++) mp_os_event_fd_signal(&event);
  assert_true(readable(event.read_fd));
  mp_os_event_fd_clear(&event);
  assert_false(readable(event.read_fd));
  mp_os_event_fd_clear(&event); /* nothing there: does not block */
  mp_os_event_fd_close(&event);
  assert_int_equal(event.read_fd, -1);
  mp_os_event_fd_close(&event); /* twice is harmless */
}

typedef struct thread_report {
  void *tag;
  bool blocked;
} thread_report;

static void *report_main(void *arg) {
  thread_report *report = arg;
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  report->blocked =
      sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1);
  report->tag = mp_os_thread_tag();
  return NULL;
}

static void test_os_thread_start_blocks_signals_there_and_only_there(void **state) {
  mp_os_thread thread;
  thread_report report = {NULL, false};
  sigset_t before, after;
  (void)state;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  assert_ok(mp_os_thread_start(&thread, 1 << 20, report_main, &report));
  mp_os_thread_join(thread);
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  assert_true(report.blocked);
  assert_int_equal(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
  assert_int_equal(sigismember(&after, SIGUSR1), 0);
}

static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

static void *mask_main(void *arg) {
  pthread_sigmask(SIG_SETMASK, NULL, arg);
  return NULL;
}

static sigset_t mask_of_a_thread_of_ours(void) {
  mp_os_thread thread;
  sigset_t mask;
  assert_ok(mp_os_thread_start(&thread, 1 << 20, mask_main, &mask));
  mp_os_thread_join(thread);
  return mask;
}

static void test_os_thread_start_crash_there_reaches_the_hosts_handler(void **state) {
  sigset_t all, before;
  (void)state;
  sigset_t mask = mask_of_a_thread_of_ours();
  for (size_t i = 0; i < LENGTH(own_faults); i++)
    assert_int_equal(sigismember(&mask, own_faults[i]), 0);
  /* a host may block everything while it makes a pool, so that the pool's threads take nothing */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  mask = mask_of_a_thread_of_ours();
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  for (size_t i = 0; i < LENGTH(own_faults); i++)
    assert_int_equal(sigismember(&mask, own_faults[i]), 0);
}

static void
test_os_thread_start_profiler_sees_the_thread_unless_the_starter_blocks_it(void **state) {
  sigset_t prof, mask = mask_of_a_thread_of_ours();
  (void)state;
  assert_int_equal(sigismember(&mask, SIGPROF), 0);
  sigemptyset(&prof);
  sigaddset(&prof, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &prof, NULL);
  mask = mask_of_a_thread_of_ours();
  assert_int_equal(sigismember(&mask, SIGPROF), 1);
  pthread_sigmask(SIG_UNBLOCK, &prof, NULL);
}

static void test_os_thread_start_absurd_stack_is_nothread(void **state) {
  mp_os_thread thread;
  (void)state;
  assert_status(mp_os_thread_start(&thread, 1, report_main, NULL), MP_NOTHREAD);
  assert_status(mp_os_thread_start(&thread, SIZE_MAX / 16 * 15, report_main, NULL), MP_NOTHREAD);
}

static void test_os_thread_tag_differs_between_live_threads(void **state) {
  mp_os_thread thread;
  thread_report report = {NULL, false};
  (void)state;
  assert_ok(mp_os_thread_start(&thread, 1 << 20, report_main, &report));
  mp_os_thread_join(thread);
  assert_ptr_not_equal(report.tag, mp_os_thread_tag());
  assert_ptr_equal(mp_os_thread_tag(), mp_os_thread_tag());
}

/*
** Every call that the system may end a cancelled thread in, made by one. Each returns; the thread
** ends where the host has it end, and with the state, the mask and errno's meaning as before.
*/
typedef struct cancelled_calls {
  mp_os_gate gate;
  mp_os_event_fd event;
  mp_os_thread other;
  unsigned returned;
  bool mask_kept;
} cancelled_calls;

static void *nothing_main(void *arg) { return arg; }

static void *cancelled_calls_main(void *arg) {
  cancelled_calls *calls = arg;
  uint64_t available, total;
  const char *low, *high;
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  pthread_cancel(pthread_self());
  mp_os_event_fd_signal(&calls->event), calls->returned++;
  mp_os_event_fd_clear(&calls->event), calls->returned++;
  (void)!mp_os_gate_wait(&calls->gate, 0, mp_os_now() + MILLISECOND), calls->returned++;
  mp_os_gate_wake_all(&calls->gate), calls->returned++;
  mp_os_memory(&available, &total), calls->returned++;
  (void)mp_os_cores(), calls->returned++;
  (void)!mp_os_stack_bounds(&low, &high), calls->returned++;
  mp_os_fence_all(), calls->returned++;
  mp_os_event_fd_close(&calls->event), calls->returned++;
  mp_os_thread_join(calls->other), calls->returned++;
  mp_os_pin(), calls->returned++;
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  calls->mask_kept = sigismember(&before, SIGINT) == sigismember(&after, SIGINT);
  pthread_testcancel();
  return NULL;
}

static void test_os_calls_of_a_cancelled_thread_all_return(void **state) {
  cancelled_calls calls = {.returned = 0};
  pthread_t thread;
  void *result;
  (void)state;
  assert_ok(mp_os_gate_init(&calls.gate));
  assert_ok(mp_os_event_fd_open(&calls.event));
  assert_ok(mp_os_thread_start(&calls.other, 1 << 20, nothing_main, NULL));
  assert_int_equal(pthread_create(&thread, NULL, cancelled_calls_main, &calls), 0);
  pthread_join(thread, &result);
  assert_int_equal(calls.returned, 11);
  assert_true(calls.mask_kept);
  assert_ptr_equal(result, PTHREAD_CANCELED);
  mp_os_gate_wake_all(&calls.gate); /* hangs if its lock is held */
  mp_os_gate_close(&calls.gate);
}

static void test_os_cancel_off_nested_ends_with_the_outermost(void **state) {
  int now;
  (void)state;
  int outer = mp_os_cancel_off(), inner = mp_os_cancel_off();
  mp_os_cancel_restore(inner);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &now);
  assert_int_equal(now, PTHREAD_CANCEL_DISABLE);
  mp_os_cancel_restore(outer);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &now);
  assert_int_equal(now, PTHREAD_CANCEL_ENABLE);
}

#define STACK_SIZE ((size_t)2 << 20)
#define LOCAL_SIZE ((size_t)512 << 10)

/* As large as what a host may have: the C library takes it from the thread's stack. */
static _Thread_local volatile char local_data[LOCAL_SIZE];

typedef struct stack_report {
  const char *low, *high, *here;
  bool known, touches;
} stack_report;

static void *stack_main(void *arg) {
  stack_report *report = arg;
  local_data[0] = local_data[LOCAL_SIZE - 1] = 1;
  report->here = __builtin_frame_address(0);
  report->known = mp_os_stack_bounds(&report->low, &report->high);
  /* all of it can be used: what guards the end is not counted in */
  if (report->known && report->touches) *(volatile char *)(uintptr_t)report->low = 1;
  return NULL;
}

static void test_os_stack_bounds_thread_with_large_local_data_has_what_is_left(void **state) {
  mp_os_thread thread;
  stack_report report = {.touches = true};
  (void)state;
  assert_ok(mp_os_thread_start(&thread, STACK_SIZE, stack_main, &report));
  mp_os_thread_join(thread);
#if defined(MP_OS_LINUX) || defined(__APPLE__)
  assert_true(report.known);
  assert_true(report.low < report.here && report.here < report.high);
#if defined(__GLIBC__)
  /* what the local data takes is not there for frames */
  assert_true((size_t)(report.high - report.here) > LOCAL_SIZE);
#endif
  assert_true((size_t)(report.here - report.low) > STACK_SIZE / 2);
#else
  assert_false(report.known);
#endif
}

static void test_os_stack_bounds_first_thread_holds_its_frames(void **state) {
  stack_report report = {.known = false};
  (void)state;
  stack_main(&report);
#if defined(MP_OS_LINUX) || defined(__APPLE__)
  assert_true(report.known);
  assert_true(report.low < report.here && report.here < report.high);
#else
  assert_false(report.known);
#endif
}

#if defined(MP_OS_LINUX) && defined(__GLIBC__)
static ucontext_t caller, own_stack;
static stack_report fiber_report;
static void fiber_main(void) {
  fiber_report.here = __builtin_frame_address(0);
  fiber_report.known = mp_os_stack_bounds(&fiber_report.low, &fiber_report.high);
}

static void test_os_stack_bounds_on_a_stack_of_the_hosts_are_still_its_threads(void **state) {
  static char stack[256 << 10];
  (void)state;
  assert_int_equal(getcontext(&own_stack), 0);
  own_stack.uc_stack.ss_sp = stack;
  own_stack.uc_stack.ss_size = sizeof stack;
  own_stack.uc_link = &caller;
  makecontext(&own_stack, fiber_main, 0);
  assert_int_equal(swapcontext(&caller, &own_stack), 0);
  stack_report of_thread = {.known = false};
  stack_main(&of_thread);
  assert_true(fiber_report.known);
  assert_ptr_equal(fiber_report.high, of_thread.high);
  assert_false(fiber_report.low <= fiber_report.here && fiber_report.here < fiber_report.high);
}
#endif

static void test_os_cores_is_at_least_one(void **state) {
  (void)state;
  assert_in_range(mp_os_cores(), 1, MP_WORKERS_MAX);
  assert_in_range(mp_cores(), 1, mp_os_cores());
}

static void test_os_memory_available_is_not_more_than_total(void **state) {
  uint64_t available, total;
  (void)state;
  mp_os_memory(&available, &total);
  assert_true(available <= total);
}

#if defined(MP_OS_LINUX)

/*
** Stands before the C library's: the engine sets masks through it, and a host that sets one at just
** that moment can be played.
*/
static const cpu_set_t *hosts_mask; /* what the host sets after the engine's next one */
static unsigned masks_set;

int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *mask) {
  long failed = syscall(SYS_sched_setaffinity, pid, size, mask);
  const cpu_set_t *next = hosts_mask;
  hosts_mask = NULL;
  masks_set++;
  if (next != NULL) failed |= syscall(SYS_sched_setaffinity, pid, size, next);
  return failed < 0 ? -1 : 0;
}

static void test_os_leave_cpu_goes_elsewhere_and_may_use_all_afterwards(void **state) {
  cpu_set_t before, after;
  (void)state;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  bool free_to_go = CPU_COUNT(&before) > 1 && CPU_COUNT(&before) == online;
  masks_set = 0;
  assert_int_equal(mp_os_leave_cpu(), free_to_go);
  assert_int_equal(masks_set, free_to_go ? 2 : 0);
  assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
  assert_true(CPU_EQUAL(&before, &after));
}

static void test_os_leave_cpu_thread_pinned_by_the_host_is_left_alone(void **state) {
  cpu_set_t before, one, after;
  (void)state;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  CPU_SET(mp_os_cpu(), &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  masks_set = 0;
  assert_false(mp_os_leave_cpu());
  assert_int_equal(masks_set, 0);
  assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
  assert_true(CPU_EQUAL(&one, &after));
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* It may not use the last CPU, as in a cpuset: several are left, and it stays among them. */
static void test_os_leave_cpu_thread_kept_off_one_cpu_is_left_alone(void **state) {
  cpu_set_t before, fewer, after;
  (void)state;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  fewer = before;
  for (int cpu = CPU_SETSIZE - 1; CPU_EQUAL(&fewer, &before); cpu--) CPU_CLR(cpu, &fewer);
  if (CPU_COUNT(&fewer) == 0) return; /* there is but one */
  assert_int_equal(sched_setaffinity(0, sizeof fewer, &fewer), 0);
  masks_set = 0;
  assert_false(mp_os_leave_cpu());
  assert_int_equal(masks_set, 0);
  assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
  assert_true(CPU_EQUAL(&fewer, &after));
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void test_os_leave_cpu_host_pins_the_thread_meanwhile_and_it_stays_pinned(void **state) {
  cpu_set_t before, one, after;
  (void)state;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  CPU_SET(mp_os_cpu(), &one);
  hosts_mask = &one;
  bool left = mp_os_leave_cpu();
  hosts_mask = NULL;
  assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
  assert_true(CPU_EQUAL(&after, left ? &one : &before));
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

#else

static void test_os_leave_cpu_stays_where_it_does_not_know_how(void **state) {
  (void)state;
  assert_false(mp_os_leave_cpu());
}

#endif

/* The store buffer litmus test, one side without a fence. */
typedef struct litmus {
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t x;
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t y;
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t round, ready;
  uint32_t seen_y;
  bool fences;
} litmus;

enum { ROUNDS = 20000 };

/* Without sleeping, or both would hardly ever meet; but there may be only one CPU. */
static void await_round(_Atomic uint32_t *word, uint32_t round) {
  for (unsigned looks = 0; mp_load_acquire(word) != round; looks++)
    if (looks % 1000 == 999)
      sched_yield();
    else
      mp_pause();
}

static void *frequent_side(void *arg) {
  litmus *l = arg;
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    await_round(&l->round, round);
    if (l->fences)
      mp_store_unfenced(&l->x, round);
    else
      mp_store_seq(&l->x, round);
    l->seen_y = mp_load_seq(&l->y);
    mp_store_release(&l->ready, round);
  }
  return NULL;
}

static void test_os_fence_all_one_side_sees_the_other(void **state) {
  static litmus l;
  mp_os_thread thread;
  (void)state;
  l.fences = mp_os_fence_all_open();
  assert_ok(mp_os_thread_start(&thread, 1 << 20, frequent_side, &l));
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    mp_store_release(&l.round, round);
    mp_store_seq(&l.y, round);
    if (l.fences) mp_os_fence_all();
    uint32_t seen_x = mp_load_seq(&l.x);
    await_round(&l.ready, round);
    assert_true(seen_x == round || l.seen_y == round);
  }
  mp_os_thread_join(thread);
}

static void test_os_fence_all_refused_still_returns_and_leaves_errno(void **state) {
  (void)state; /* the first test that runs here: nobody has asked the system yet */
  errno = 7;
  mp_os_fence_all();
  assert_int_equal(errno, 7);
}

static void test_os_fork_guard_is_true_here_and_false_in_a_child(void **state) {
  mp_os_fork_guard guard;
  (void)state;
  mp_os_fork_guard_open(&guard);
  assert_true(mp_os_fork_guard_ok(&guard));
  pid_t child = fork();
  if (child == 0) _exit(mp_os_fork_guard_ok(&guard) ? 1 : 0);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_true(mp_os_fork_guard_ok(&guard));
  mp_os_fork_guard_close(&guard);
}

static void test_os_fork_guard_without_a_page_compares_the_process(void **state) {
  mp_os_fork_guard guard = {NULL, (long)getpid()};
  (void)state;
  assert_true(mp_os_fork_guard_ok(&guard));
  guard.pid++;
  assert_false(mp_os_fork_guard_ok(&guard));
  mp_os_fork_guard_close(&guard);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_os_fence_all_refused_still_returns_and_leaves_errno),
    cmocka_unit_test(test_os_now_never_goes_back_and_is_not_zero),
    cmocka_unit_test(test_os_deadline_adds_and_does_not_overflow),
    cmocka_unit_test(test_os_later_adds_and_does_not_overflow),
    cmocka_unit_test(test_os_gate_wait_other_word_returns_at_once),
    cmocka_unit_test(test_os_gate_wait_deadline_passed_times_out),
    cmocka_unit_test(test_os_gate_wait_any_handler_ends_it),
    cmocka_unit_test(test_os_gate_wait_goes_on_through_what_nobody_handles),
    cmocka_unit_test(test_os_gate_wake_all_frees_every_waiter),
    cmocka_unit_test(test_os_event_fd_readable_from_signal_until_clear),
    cmocka_unit_test(test_os_thread_start_blocks_signals_there_and_only_there),
    cmocka_unit_test(test_os_thread_start_crash_there_reaches_the_hosts_handler),
    cmocka_unit_test(test_os_thread_start_profiler_sees_the_thread_unless_the_starter_blocks_it),
    cmocka_unit_test(test_os_thread_start_absurd_stack_is_nothread),
    cmocka_unit_test(test_os_thread_tag_differs_between_live_threads),
    cmocka_unit_test(test_os_calls_of_a_cancelled_thread_all_return),
    cmocka_unit_test(test_os_cancel_off_nested_ends_with_the_outermost),
    cmocka_unit_test(test_os_stack_bounds_thread_with_large_local_data_has_what_is_left),
    cmocka_unit_test(test_os_stack_bounds_first_thread_holds_its_frames),
#if defined(MP_OS_LINUX) && defined(__GLIBC__)
    cmocka_unit_test(test_os_stack_bounds_on_a_stack_of_the_hosts_are_still_its_threads),
#endif
    cmocka_unit_test(test_os_cores_is_at_least_one),
    cmocka_unit_test(test_os_memory_available_is_not_more_than_total),
#if defined(MP_OS_LINUX)
    cmocka_unit_test(test_os_leave_cpu_goes_elsewhere_and_may_use_all_afterwards),
    cmocka_unit_test(test_os_leave_cpu_thread_pinned_by_the_host_is_left_alone),
    cmocka_unit_test(test_os_leave_cpu_thread_kept_off_one_cpu_is_left_alone),
    cmocka_unit_test(test_os_leave_cpu_host_pins_the_thread_meanwhile_and_it_stays_pinned),
#else
    cmocka_unit_test(test_os_leave_cpu_stays_where_it_does_not_know_how),
#endif
    cmocka_unit_test(test_os_fence_all_one_side_sees_the_other),
    cmocka_unit_test(test_os_fork_guard_is_true_here_and_false_in_a_child),
    cmocka_unit_test(test_os_fork_guard_without_a_page_compares_the_process),
  };
  return unit_main(tests);
}
