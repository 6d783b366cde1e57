#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* affinity, adaptive locks */
#endif
#include "os.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "fault.h"

#if defined(MP_OS_LINUX)
#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#define NS_PER_SECOND 1000000000u

/*
** {======================================================
** Clock
** =======================================================
*/

static uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec + 1;
}

uint64_t mp_os_now(void) { return mp_fault_clock(clock_ns()); }

uint64_t mp_os_deadline(uint64_t duration_ns) {
  return duration_ns == MP_FOREVER ? MP_FOREVER : mp_os_later(mp_os_now(), duration_ns);
}

static struct timespec to_timespec(uint64_t ns) {
  struct timespec t = {(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};
  return t;
}

/* }====================================================== */

/*
** {======================================================
** Which signals are never held back, and which have a handler
** =======================================================
*/

/*
** A signal that a thread raises by a fault of its own, while it is blocked, ends the process
** without asking the host's handler.
*/
static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

/* All signals but those. */
static sigset_t holdable_signals(void) {
  sigset_t set;
  sigfillset(&set);
  for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++)
    sigdelset(&set, own_faults[i]);
  return set;
}

static bool is_heard(const struct sigaction *action) {
  if (action->sa_flags & SA_SIGINFO) return action->sa_sigaction != NULL;
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static bool has_handler(int signal) {
  struct sigaction now;
  return sigaction(signal, NULL, &now) == 0 && is_heard(&now);
}

/* }====================================================== */

/*
** {======================================================
** Cancellation
** =======================================================
*/

int mp_os_cancel_off(void) {
  int before = PTHREAD_CANCEL_ENABLE;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  return before;
}

void mp_os_cancel_restore(int before) {
  int off;
  pthread_setcancelstate(before, &off);
  assert(off == PTHREAD_CANCEL_DISABLE);
}

/* }====================================================== */

/*
** {======================================================
** Gate
** =======================================================
*/

/*
** A wait without a deadline still gets one, far away: with a timeout the kernel reports EINTR after
** any signal handler; without one it restarts the sleep after handlers installed with SA_RESTART,
** and Ctrl-C would not be seen.
*/
#define FAR_AWAY ((uint64_t)1000000 * NS_PER_SECOND)

/* How long a sleep may last; 0: the deadline has passed. */
static uint64_t time_left(uint64_t deadline) {
  if (deadline == MP_FOREVER) return FAR_AWAY;
  uint64_t now = mp_os_now();
  if (now >= deadline) return 0;
  return deadline - now < FAR_AWAY ? deadline - now : FAR_AWAY;
}

static mp_status timed_out(uint64_t deadline) {
  return time_left(deadline) == 0 ? MP_TIMEOUT : MP_OK;
}

#if defined(MP_OS_LINUX)

/*
** The timeout is a duration. A point in time would have to be the kernel's own, and the clock that
** this program reads may be another: libfaketime, for one, shifts it for the program alone.
*/
static long futex(mp_os_gate *gate, int op, uint32_t value, const struct timespec *timeout) {
  op |= FUTEX_PRIVATE_FLAG;
#if defined(SYS_futex_time64)
  /* On 32-bit systems the C library's time may be longer than what the old call reads. */
  if (sizeof(time_t) > sizeof(long)) {
    long result = syscall(SYS_futex_time64, &gate->word, op, value, timeout, NULL, 0);
    if (result >= 0 || errno != ENOSYS) return result;
  }
#endif
#if defined(SYS_futex)
  /* The old call reads two of the kernel's own words; no timeout of ours is too long for them. */
  __kernel_long_t words[2] = {0, 0};
  if (timeout != NULL) {
    words[0] = (__kernel_long_t)timeout->tv_sec;
    words[1] = (__kernel_long_t)timeout->tv_nsec;
  }
  return syscall(SYS_futex, &gate->word, op, value, timeout != NULL ? words : NULL, NULL, 0);
#else
  return -1;
#endif
}

mp_status mp_os_gate_init(mp_os_gate *gate) {
  if (MP_FAULT(GATE)) return MP_SYSTEM;
  atomic_init(&gate->word, 0);
  return MP_OK;
}

void mp_os_gate_close(mp_os_gate *gate) { (void)gate; }

mp_status mp_os_gate_wait(mp_os_gate *gate, uint32_t expected, uint64_t deadline) {
  uint64_t left = time_left(deadline);
  if (left == 0) return MP_TIMEOUT;
  if (MP_FAULT(SPURIOUS)) return MP_OK;
  if (MP_FAULT(INTERRUPTED)) return MP_INTERRUPTED;
  struct timespec t = to_timespec(left);
  int error = futex(gate, FUTEX_WAIT, expected, &t) == 0 ? 0 : errno;
  (void)MP_FAULT(LATE);
  assert(error != EINVAL && error != EFAULT);
  if (error == ETIMEDOUT) return timed_out(deadline);
  return error == EINTR ? MP_INTERRUPTED : MP_OK;
}

void mp_os_gate_wake_one(mp_os_gate *gate) { futex(gate, FUTEX_WAKE, 1, NULL); }
void mp_os_gate_wake_all(mp_os_gate *gate) { futex(gate, FUTEX_WAKE, INT_MAX, NULL); }

#else

mp_status mp_os_gate_init(mp_os_gate *gate) {
  if (MP_FAULT(GATE)) return MP_SYSTEM;
  atomic_init(&gate->word, 0);
  pthread_condattr_t attr;
  if (pthread_condattr_init(&attr) != 0) return MP_SYSTEM;
#if !defined(__APPLE__)
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock may be set back */
#endif
  int failed = pthread_mutex_init(&gate->lock, NULL);
  if (!failed && (failed = pthread_cond_init(&gate->changed, &attr)) != 0)
    pthread_mutex_destroy(&gate->lock);
  pthread_condattr_destroy(&attr);
  return failed ? MP_SYSTEM : MP_OK;
}

void mp_os_gate_close(mp_os_gate *gate) {
  pthread_cond_destroy(&gate->changed);
  pthread_mutex_destroy(&gate->lock);
}

static void sleep_locked(mp_os_gate *gate, uint64_t ns) {
#if defined(__APPLE__)
  struct timespec t = to_timespec(ns);
  pthread_cond_timedwait_relative_np(&gate->changed, &gate->lock, &t);
#else
  struct timespec t = to_timespec(clock_ns() + ns);
  pthread_cond_timedwait(&gate->changed, &gate->lock, &t);
#endif
}

#define POSIX_SIGNALS 32 /* their numbers are below */

/*
** Does the thread take a signal that is meant for the process? Not one of ours, but for SIGPROF,
** which only a thread that computes is sent.
*/
static bool has_open_signal(const sigset_t *blocked) {
  sigset_t holdable = holdable_signals();
  sigdelset(&holdable, SIGPROF);
  for (int i = 1; i < POSIX_SIGNALS; i++)
    if (i != SIGKILL && i != SIGSTOP && sigismember(&holdable, i) == 1 &&
        sigismember(blocked, i) == 0)
      return true;
  return false;
}

/* One that a handler will hear: what is ignored, as SIGCHLD is by default, interrupts nothing. */
static bool has_pending_signal(const sigset_t *blocked) {
  sigset_t pending;
  sigpending(&pending);
  for (int i = 1; i < POSIX_SIGNALS; i++)
    if (sigismember(&pending, i) == 1 && sigismember(blocked, i) == 0 && has_handler(i))
      return true;
  return false;
}

/*
** A condition variable sleeps on through signals. So a thread that takes any holds them back,
** sleeps in slices, and looks after each whether one came; its handler runs as the mask is
** restored.
*/
#define SLICE_NS ((uint64_t)50 * 1000000)

mp_status mp_os_gate_wait(mp_os_gate *gate, uint32_t expected, uint64_t deadline) {
  if (MP_FAULT(SPURIOUS)) return MP_OK;
  if (MP_FAULT(INTERRUPTED)) return MP_INTERRUPTED;
  uint64_t left = time_left(deadline);
  if (left == 0) return MP_TIMEOUT;
  sigset_t held = holdable_signals(), before;
  int cancel = mp_os_cancel_off();
  pthread_sigmask(SIG_BLOCK, &held, &before);
  if (left > SLICE_NS && has_open_signal(&before)) left = SLICE_NS;
  pthread_mutex_lock(&gate->lock);
  if (mp_load_seq(&gate->word) == expected) sleep_locked(gate, left);
  pthread_mutex_unlock(&gate->lock);
  bool interrupted = has_pending_signal(&before);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  mp_os_cancel_restore(cancel);
  (void)MP_FAULT(LATE);
  if (interrupted) return MP_INTERRUPTED;
  return timed_out(deadline);
}

void mp_os_gate_wake_one(mp_os_gate *gate) { mp_os_gate_wake_all(gate); }

void mp_os_gate_wake_all(mp_os_gate *gate) {
  pthread_mutex_lock(&gate->lock);
  pthread_cond_broadcast(&gate->changed);
  pthread_mutex_unlock(&gate->lock);
}

#endif

/* }====================================================== */

/*
** {======================================================
** Threads
** =======================================================
*/

mp_status mp_os_thread_start(mp_os_thread *thread, size_t stack_size, void *(*entry)(void *),
                             void *arg) {
  pthread_attr_t attr;
  sigset_t held = holdable_signals(), before;
  if (MP_FAULT(THREAD)) return MP_NOTHREAD;
  if (pthread_attr_init(&attr) != 0) return MP_NOTHREAD;
  mp_status status = MP_NOTHREAD;
  if (pthread_attr_setstacksize(&attr, stack_size) == 0) {
    /* the new thread inherits the mask: no signal can reach it before it would block them itself */
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    if (sigismember(&before, SIGPROF) == 0) sigdelset(&held, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &held, NULL);
    if (pthread_create(thread, &attr, entry, arg) == 0) status = MP_OK;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  pthread_attr_destroy(&attr);
  return status;
}

void mp_os_thread_join(mp_os_thread thread) {
  int cancel = mp_os_cancel_off();
  pthread_join(thread, NULL);
  mp_os_cancel_restore(cancel);
}

void mp_os_thread_detach(mp_os_thread thread) { pthread_detach(thread); }
mp_os_thread mp_os_thread_self(void) { return pthread_self(); }

#if defined(MP_OS_LINUX)

static bool stack_range(const char **low, const char **high) {
  pthread_attr_t attr;
  void *start = NULL;
  size_t size = 0;
  if (MP_FAULT(FILE)) return false; /* the first thread's is read from /proc */
  int cancel = mp_os_cancel_off();
  bool known = pthread_getattr_np(pthread_self(), &attr) == 0;
  if (known) {
    known = pthread_attr_getstack(&attr, &start, &size) == 0;
    pthread_attr_destroy(&attr);
  }
  mp_os_cancel_restore(cancel);
  *low = start;
  *high = *low + size;
  return known;
}

#elif defined(__APPLE__)

static bool stack_range(const char **low, const char **high) {
  *high = pthread_get_stackaddr_np(pthread_self());
  *low = *high - pthread_get_stacksize_np(pthread_self());
  return true;
}

#else

static bool stack_range(const char **low, const char **high) {
  *low = *high = NULL;
  return false;
}

#endif

bool mp_os_stack_bounds(const char **low, const char **high) { return stack_range(low, high); }

void mp_os_moment(void) {
  const struct timespec moment = {0, 1000000};
  int cancel = mp_os_cancel_off(); /* others may use this thread's stack */
  nanosleep(&moment, NULL);
  mp_os_cancel_restore(cancel);
}

int mp_os_cpu(void) {
#if defined(MP_OS_LINUX)
  return sched_getcpu();
#else
  return -1;
#endif
}

#if defined(MP_OS_LINUX)

/*
** Does the mask hold every CPU that is online? The kernel lists them as ranges: "0-3,6". False,
** too, if there is no telling.
*/
static bool holds_every_cpu(const cpu_set_t *mask) {
  char text[512], *at = text;
  if (!mp_os_read_file("/sys/devices/system/cpu/online", text, sizeof text)) return false;
  do {
    char *end;
    unsigned long first = strtoul(at, &end, 10), last = first;
    if (end == at) return false;
    if (*end == '-') last = strtoul(at = end + 1, &end, 10);
    if (end == at || last >= CPU_SETSIZE) return false;
    for (; first <= last; first++)
      if (!CPU_ISSET(first, mask)) return false;
    at = end + 1;
    if (*end != ',') return true;
  } while (true);
}

/*
** Each mask that is set here replaces one that the host may have set a moment ago from another
** thread: between two system calls there is no telling. But a mask that is there when this begins,
** or comes while the thread may use the others only, is left alone.
*/
bool mp_os_leave_cpu(void) {
  cpu_set_t all, others, now;
  int cpu = sched_getcpu();
  if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof now, &now) != 0) return false;
  if (!holds_every_cpu(&now)) return false;
  others = now;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return false;
  if (sched_getaffinity(0, sizeof now, &now) != 0 || !CPU_EQUAL(&now, &others)) return true;
  memset(&all, -1, sizeof all);
  (void)!sched_setaffinity(0, sizeof all, &all);
  return true;
}

#else

bool mp_os_leave_cpu(void) { return false; }

#endif

void mp_os_thread_name(const char *name) {
  (void)MP_FAULT(LATE); /* the first that each thread of ours does */
#if defined(MP_OS_LINUX)
  prctl(PR_SET_NAME, name, 0, 0, 0);
#else
  (void)name;
#endif
}

MP_THREAD_LOCAL char mp_os_tag;

mp_status mp_os_mutex_init(mp_os_mutex *lock) {
  pthread_mutexattr_t attr;
  if (MP_FAULT(LOCK)) return MP_SYSTEM;
  if (pthread_mutexattr_init(&attr) != 0) return MP_SYSTEM;
#if defined(__GLIBC__) && !defined(MP_PORTABLE)
  pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
  int failed = pthread_mutex_init(&lock->mutex, &attr);
  pthread_mutexattr_destroy(&attr);
  return failed ? MP_SYSTEM : MP_OK;
}

/* In a child of fork a thread that is not there may hold it. */
void mp_os_mutex_close(mp_os_mutex *lock) { (void)!pthread_mutex_destroy(&lock->mutex); }

/* What the analysis is told of in os.h happens inside the C library. */
void mp_os_mutex_take(mp_os_mutex *lock) MP_UNCHECKED {
  int error = pthread_mutex_lock(&lock->mutex);
  assert(error == 0);
  (void)error;
}

void mp_os_mutex_give(mp_os_mutex *lock) MP_UNCHECKED {
  int error = pthread_mutex_unlock(&lock->mutex);
  assert(error == 0);
  (void)error;
}

/* }====================================================== */

/*
** {======================================================
** Interrupts
** =======================================================
*/

#if defined(NSIG)
#define SIGNALS NSIG
#else
#define SIGNALS 65
#endif

/* Dispositions are the process's, hence so is this. */
static struct {
  pthread_mutex_t lock;
  struct {
    unsigned users;            /* guarded by lock */
    bool installed;            /* guarded by lock: our handler has not been taken out again */
    struct sigaction before;   /* constant while installed */
    mp_os_interrupted *handle; /* constant while installed */
  } of[SIGNALS];
} interrupts = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
** Who used the signal before us hears it as if we were not there: what came to one of our threads
** goes to the process's first. Where a thread cannot be reached by the process's number, it is
** heard on the thread it came to.
*/
static void pass_on(int signal, siginfo_t *info, void *context, bool our_thread) {
  const struct sigaction *before = &interrupts.of[signal].before;
  if (!is_heard(before)) return;
#if defined(MP_OS_LINUX)
  if (our_thread) {
    syscall(SYS_tgkill, getpid(), getpid(), signal);
    return;
  }
#else
  (void)our_thread;
#endif
  if (before->sa_flags & SA_SIGINFO)
    before->sa_sigaction(signal, info, context);
  else
    before->sa_handler(signal);
}

/* Sent by mp_os_interrupt, not by the kernel or another process? */
static bool is_ours(const siginfo_t *info) {
#if defined(SI_TKILL)
  return info->si_code == SI_TKILL && info->si_pid == getpid();
#else
  return info->si_pid == getpid();
#endif
}

static void on_interrupt(int signal, siginfo_t *info, void *context) {
  int error = errno;
  mp_os_meant meant = interrupts.of[signal].handle();
  if (meant == MP_OS_MEANT_HOST || (meant == MP_OS_MEANT_WHO_SENT && !is_ours(info)))
    pass_on(signal, info, context, meant == MP_OS_MEANT_WHO_SENT);
  errno = error;
}

static bool is_installed(int signal) {
  struct sigaction now;
  return sigaction(signal, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
         now.sa_sigaction == on_interrupt;
}

static mp_status install_locked(int signal, mp_os_interrupted *handle) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_interrupt;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK; /* no SA_RESTART: a blocking call must come back */
  sigemptyset(&action.sa_mask);
  interrupts.of[signal].handle = handle;
  if (sigaction(signal, NULL, &interrupts.of[signal].before) != 0 ||
      sigaction(signal, &action, NULL) != 0)
    return MP_INVALID;
  interrupts.of[signal].installed = true;
  return MP_OK;
}

mp_status mp_os_interrupt_open(int signal, mp_os_interrupted *handle) {
  if (signal <= 0 || signal >= SIGNALS || MP_FAULT(HANDLER)) return MP_INVALID;
  mp_status status = MP_OK;
  pthread_mutex_lock(&interrupts.lock);
  /* the host may have had it in between, and left nobody who passes it on to us */
  bool lost = interrupts.of[signal].users == 0 && !has_handler(signal);
  if (!interrupts.of[signal].installed || lost) status = install_locked(signal, handle);
  assert(status != MP_OK || interrupts.of[signal].handle == handle);
  if (status == MP_OK) interrupts.of[signal].users++;
  pthread_mutex_unlock(&interrupts.lock);
  return status;
}

/* If somebody came later, ours is the one they pass signals on to: then it stays. */
void mp_os_interrupt_close(int signal) {
  pthread_mutex_lock(&interrupts.lock);
  assert(signal > 0 && signal < SIGNALS && interrupts.of[signal].users > 0);
  if (--interrupts.of[signal].users == 0 && is_installed(signal)) {
    sigaction(signal, &interrupts.of[signal].before, NULL);
    interrupts.of[signal].installed = false;
  }
  pthread_mutex_unlock(&interrupts.lock);
}

void mp_os_interrupt_listen(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

_Static_assert(sizeof(sigset_t) <= sizeof(mp_os_blocked), "a set of signals has room");

void mp_os_forget_broken_pipe(void) {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
#if defined(__APPLE__)
  sigset_t pending;
  int number;
  if (sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE)) (void)sigwait(&pipe, &number);
#else
  const struct timespec none = {0, 0};
  (void)sigtimedwait(&pipe, NULL, &none);
#endif
}

void mp_os_blocked_get(mp_os_blocked *blocked) {
  pthread_sigmask(SIG_SETMASK, NULL, (sigset_t *)blocked->signals);
}

void mp_os_blocked_set(const mp_os_blocked *blocked) {
  pthread_sigmask(SIG_SETMASK, (const sigset_t *)blocked->signals, NULL);
}

void mp_os_interrupt(mp_os_thread thread, int signal) {
  if (!MP_FAULT(SIGNAL)) pthread_kill(thread, signal);
}

/* }====================================================== */

/*
** {======================================================
** Event descriptor
** =======================================================
*/

mp_status mp_os_event_fd_open(mp_os_event_fd *event) {
  if (MP_FAULT(EVENT_FD)) return MP_SYSTEM;
#if defined(MP_OS_LINUX)
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return MP_SYSTEM;
  event->read_fd = event->write_fd = fd;
#else
  int fds[2];
  if (pipe(fds) != 0) return MP_SYSTEM;
  for (int i = 0; i < 2; i++) {
    fcntl(fds[i], F_SETFL, O_NONBLOCK);
    fcntl(fds[i], F_SETFD, FD_CLOEXEC);
  }
  event->read_fd = fds[0];
  event->write_fd = fds[1];
#endif
  return MP_OK;
}

void mp_os_event_fd_signal(const mp_os_event_fd *event) {
  const uint64_t one = 1;
  ssize_t n;
  assert(event->write_fd >= 0);
  int cancel = mp_os_cancel_off();
  do n = write(event->write_fd, &one, sizeof one);
  while (n < 0 && errno == EINTR); /* EAGAIN: already readable, which is all we want */
  mp_os_cancel_restore(cancel);
}

void mp_os_event_fd_clear(const mp_os_event_fd *event) {
  char drain[512];
  ssize_t n;
  assert(event->read_fd >= 0);
  int cancel = mp_os_cancel_off();
  do n = read(event->read_fd, drain, sizeof drain);
  while (n == (ssize_t)sizeof drain || (n < 0 && errno == EINTR));
  mp_os_cancel_restore(cancel);
}

void mp_os_event_fd_close(mp_os_event_fd *event) {
  int cancel = mp_os_cancel_off();
  if (event->read_fd >= 0) close(event->read_fd);
  if (event->write_fd >= 0 && event->write_fd != event->read_fd) close(event->write_fd);
  mp_os_cancel_restore(cancel);
  event->read_fd = event->write_fd = -1;
}

/* }====================================================== */

/*
** {======================================================
** Cores and memory
** =======================================================
*/

static bool read_open_file(int fd, char *text, size_t size) {
  size_t have = 0;
  ssize_t n = 0;
  while (have < size - 1 && (n = read(fd, text + have, size - 1 - have)) != 0)
    if (n > 0)
      have += (size_t)n;
    else if (errno != EINTR)
      break;
  text[have] = '\0';
  return n >= 0 && have > 0;
}

bool mp_os_read_file(const char *path, char *text, size_t size) {
  assert(size > 1);
  if (MP_FAULT(FILE)) return false;
  int cancel = mp_os_cancel_off();
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool good = fd >= 0 && read_open_file(fd, text, size);
  if (fd >= 0) close(fd);
  mp_os_cancel_restore(cancel);
  return good;
}

#if defined(MP_OS_LINUX)

unsigned mp_os_cores(void) {
  cpu_set_t set;
  unsigned cores = 0;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = (unsigned)CPU_COUNT(&set);
  if (cores == 0) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cores = online > 0 ? (unsigned)online : 1;
  }
  assert(cores > 0);
  return cores < MP_WORKERS_MAX ? cores : MP_WORKERS_MAX;
}

static uint64_t meminfo(const char *text, const char *key) {
  const char *line = strstr(text, key);
  return line == NULL ? 0 : strtoull(line + strlen(key), NULL, 10) * 1024;
}

void mp_os_memory(uint64_t *available, uint64_t *total) {
  char text[1024]; /* what is looked for comes first */
  *available = *total = 0;
  if (!mp_os_read_file("/proc/meminfo", text, sizeof text)) return;
  *total = meminfo(text, "MemTotal:");
  *available = meminfo(text, "MemAvailable:");
  if (*available > *total) *available = *total;
}

#else

unsigned mp_os_cores(void) {
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (unsigned)online : 1;
}

void mp_os_memory(uint64_t *available, uint64_t *total) {
  *available = *total = 0;
#if defined(_SC_AVPHYS_PAGES)
  const long size = sysconf(_SC_PAGESIZE), unused = sysconf(_SC_AVPHYS_PAGES),
             all = sysconf(_SC_PHYS_PAGES);
  if (size <= 0 || unused < 0 || all <= 0) return;
  *available = (uint64_t)unused * (uint64_t)size; /* without what caches would give back */
  *total = (uint64_t)all * (uint64_t)size;
#endif
}

#endif

/* }====================================================== */

/*
** {======================================================
** Fence
** =======================================================
*/

#if defined(MP_OS_LINUX) && defined(SYS_membarrier)

/* of linux/membarrier.h, which older headers lack */
#define PRIVATE_EXPEDITED (1 << 3)
#define REGISTER_PRIVATE_EXPEDITED (1 << 4)

bool mp_os_fence_all_open(void) {
  return !MP_FAULT(FENCE) && syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void mp_os_fence_all(void) {
  int before = errno;
  if (syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) != 0) {
    /*
    ** refused by a filter that came after open: no processor keeps a store to itself for as long as
    ** this
    */
    atomic_thread_fence(memory_order_seq_cst);
    mp_os_moment();
    atomic_thread_fence(memory_order_seq_cst);
  }
  errno = before;
}

#else

bool mp_os_fence_all_open(void) { return false; }
void mp_os_fence_all(void) {}

#endif

/* }====================================================== */

/*
** {======================================================
** Fork guard
** =======================================================
*/

void mp_os_fork_guard_open(mp_os_fork_guard *guard) {
  guard->page = NULL;
  guard->pid = (long)getpid();
#if defined(MADV_WIPEONFORK) && !defined(MP_PORTABLE)
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  if (MP_FAULT(FORK_GUARD)) return;
  uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  /* an emulator (qemu-user) takes any advice and follows none */
  if (madvise(page, size, -1) == 0 || madvise(page, size, MADV_WIPEONFORK) != 0) {
    munmap(page, size);
    return;
  }
  *page = 1;
  guard->page = page;
#endif
}

bool mp_os_same_process(const mp_os_fork_guard *guard) { return guard->pid == (long)getpid(); }

void mp_os_fork_guard_close(mp_os_fork_guard *guard) {
  if (guard->page != NULL) munmap((void *)(uintptr_t)guard->page, (size_t)sysconf(_SC_PAGESIZE));
  guard->page = NULL;
}

/* }====================================================== */

/*
** {======================================================
** Pages
** =======================================================
*/

#ifndef MAP_POPULATE
/* where there is it, one call maps all pages: a fault each costs several times as much */
#define MAP_POPULATE 0
#endif

void *mp_os_pages_get(size_t size) {
  if (MP_FAULT(PAGES)) return NULL;
  void *pages =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return pages == MAP_FAILED ? NULL : pages;
}

void mp_os_pages_free(void *pages, size_t size) { munmap(pages, size); }

/* }====================================================== */

void mp_os_pin(void) {
  static const char here = 0;
  Dl_info info;
  int cancel = mp_os_cancel_off();
  if (dladdr(&here, &info) != 0 && info.dli_fname != NULL)
    (void)!dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  mp_os_cancel_restore(cancel);
}
