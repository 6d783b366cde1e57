/*
** os.h - the only place that knows the platform: threads, the clock, sleeping and waking,
** descriptors, cores, memory, fork.
**
** Linux is the first-class platform (futex, eventfd, cgroups); elsewhere POSIX stands in (condition
** variables, a pipe).
*/
#ifndef MP_OS_H
#define MP_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "annotate.h"
#include "makeparallel.h"

/*
** Linux's own calls are used; -DMP_PORTABLE leaves them out, so that what other systems get is
** tested here (`make port-fallback`).
*/
#if defined(__linux__) && !defined(MP_PORTABLE)
#define MP_OS_LINUX 1
#define MP_OS_HAS_CGROUPS true
#else
#define MP_OS_HAS_CGROUPS false
#endif

/* Monotonic nanoseconds; never 0. */
uint64_t mp_os_now(void);
/* `duration_ns` after `time`: MP_FOREVER if it is, or if there is no such time. */
static inline uint64_t mp_os_later(uint64_t time, uint64_t duration_ns) {
  return duration_ns >= MP_FOREVER - time ? MP_FOREVER : time + duration_ns;
}
/* The same after now. */
uint64_t mp_os_deadline(uint64_t duration_ns);

/*
** Gate: one word to sleep on. wait returns when the word is no longer `expected`, when woken, at
** the deadline, after a signal handler has run, or for no reason: callers loop on their own
** predicate.
*/
typedef struct mp_os_gate {
  _Atomic uint32_t word;
#if !defined(MP_OS_LINUX)
  pthread_mutex_t lock;
  pthread_cond_t changed;
#endif
} mp_os_gate;

MP_CHECKED mp_status mp_os_gate_init(mp_os_gate *gate);
void mp_os_gate_close(mp_os_gate *gate);
/* MP_OK, MP_TIMEOUT or MP_INTERRUPTED. The deadline is a time of mp_os_now. */
MP_CHECKED mp_status mp_os_gate_wait(mp_os_gate *gate, uint32_t expected, uint64_t deadline);
/*
** May a thread be woken through a gate that is gone already? On Linux the kernel gets an address
** and looks whether anybody sleeps there; whoever does so for another reason looks at its own
** predicate.
*/
#if defined(MP_OS_LINUX)
#define MP_OS_WAKE_MAY_BE_LATE true
#else
#define MP_OS_WAKE_MAY_BE_LATE false
#endif
/* Call after changing the word. */
void mp_os_gate_wake_one(mp_os_gate *gate);
void mp_os_gate_wake_all(mp_os_gate *gate);

/*
** Thread-local variables, laid out when the library is loaded: a signal handler may read them, and
** ThreadSanitizer need not guess where they are. musl lays all of them out so, and has no room for
** ones that ask for it.
*/
#if defined(__GLIBC__)
#define MP_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define MP_THREAD_LOCAL _Thread_local
#endif

/*
** Threads of ours take no signal that is meant for the process: they start with all blocked that a
** host may be waiting for elsewhere. What a thread's own fault raises (SIGSEGV and its like,
** SIGABRT) stays open, for the host's crash handler; so does SIGPROF, for its profiler, unless the
** thread that starts them blocks it.
*/
typedef pthread_t mp_os_thread;
MP_CHECKED mp_status mp_os_thread_start(mp_os_thread *thread, size_t stack_size,
                                        void *(*entry)(void *), void *arg);
void mp_os_thread_join(mp_os_thread thread);
void mp_os_thread_detach(mp_os_thread thread);
mp_os_thread mp_os_thread_self(void);
/*
** Where the calling thread's stack lies: from *low (what guards its end not included) to *high,
** below which the C library may keep the thread's local data. False where the platform does not
** tell. The caller may be on another stack, which the host has made itself, a fiber's for example.
** Takes some system calls, so ask once for each thread; not in a signal handler.
*/
MP_CHECKED bool mp_os_stack_bounds(const char **low, const char **high);
void mp_os_thread_name(const char *name); /* names the calling thread, where the platform can */
extern MP_THREAD_LOCAL char mp_os_tag;
/*
** An address that identifies the calling thread; unequal for threads alive at one time. Costs a
** register read.
*/
static inline void *mp_os_thread_tag(void) { return &mp_os_tag; }

/*
** A host may cancel (pthread_cancel) a thread that is inside a call of ours. It must not end there
** and leave a lock held or work half done: between these two it does not. Whoever calls what the
** system may cancel at brackets it with them; what stands in this header does so itself. May be
** nested.
*/
MP_CHECKED int mp_os_cancel_off(void);
void mp_os_cancel_restore(int before); /* what mp_os_cancel_off returned */

/*
** Interrupts: a signal sent to one thread of ours, to make it look up from what it does. A
** disposition belongs to the process, so this is the one thing that pools share: the first open
** installs the handler, the last close puts the earlier one back.
**   handle   runs on the interrupted thread, in a signal handler, and says whose the signal was.
** Signals that we did not send go to the earlier handler, on the process's first thread if one of
** ours received them. All users of a signal pass the same `handle`. Errors: INVALID (no such
** signal, or one that cannot be caught).
*/
typedef enum mp_os_meant {
  MP_OS_MEANT_HOST, /* the thread is none of ours, or was not interrupted by us */
  MP_OS_MEANT_US,
  MP_OS_MEANT_WHO_SENT /* the thread is ours: us, if we sent it */
} mp_os_meant;
typedef mp_os_meant mp_os_interrupted(void);
MP_CHECKED mp_status mp_os_interrupt_open(int signal, mp_os_interrupted *handle);
void mp_os_interrupt_close(int signal);
/* Lets the signal through to the calling thread. */
void mp_os_interrupt_listen(int signal);

/* Which signals a thread blocks: room for a sigset_t, which C11 alone does not know. */
typedef struct mp_os_blocked {
  uint64_t signals[16];
} mp_os_blocked;
/*
** Takes a SIGPIPE that is pending for the calling thread: a write of its own has said EPIPE while
** it was blocked, and it would end the process when it is not any more.
*/
void mp_os_forget_broken_pipe(void);
void mp_os_blocked_get(mp_os_blocked *blocked);
void mp_os_blocked_set(const mp_os_blocked *blocked);
/* The thread must not have ended. */
void mp_os_interrupt(mp_os_thread thread, int signal);

/* A lock: spins a little before it sleeps. */
typedef struct MP_CAPABILITY mp_os_mutex {
  pthread_mutex_t mutex;
} mp_os_mutex;
MP_CHECKED mp_status mp_os_mutex_init(mp_os_mutex *lock);
void mp_os_mutex_close(mp_os_mutex *lock);
void mp_os_mutex_take(mp_os_mutex *lock) MP_TAKES(lock);
void mp_os_mutex_give(mp_os_mutex *lock) MP_GIVES(lock);

/*
** A fence that one thread makes for all threads of the process: what another has stored before is
** visible afterwards, and what it loads afterwards sees what the caller has stored before. It
** takes much longer than a fence of one's own. open: can the system do that?
** To be asked first, once at least; takes milliseconds if the process has threads already.
*/
bool mp_os_fence_all_open(void);
void mp_os_fence_all(void);
/* Sleeps for a millisecond or so, where nobody tells when to go on. */
void mp_os_moment(void);

/* A descriptor that polls readable from signal until clear. -1 fields are unused. */
typedef struct mp_os_event_fd {
  int read_fd, write_fd;
} mp_os_event_fd;
MP_CHECKED mp_status mp_os_event_fd_open(mp_os_event_fd *event);
void mp_os_event_fd_signal(const mp_os_event_fd *event);
void mp_os_event_fd_clear(const mp_os_event_fd *event);
void mp_os_event_fd_close(mp_os_event_fd *event);

/*
** Reads a small file as a string: what of it fits into `size` bytes with the closing zero. False:
** there is no such file, or nothing in it.
*/
bool mp_os_read_file(const char *path, char *text, size_t size);

/*
** The CPU that the calling thread runs on just now, or -1; costs no system call where the C library
** can do without.
*/
int mp_os_cpu(void);
/*
** Lets the calling thread go on on another CPU. Does so only while the thread may use every CPU
** that is online: a mask that the host, or a cpuset, has put on it is not touched. False: it stays
** where it is. Costs a few system calls.
**
** Afterwards the thread may use all CPUs again, also those that come later. What remains: to the
** kernel its mask is one that was set; and a mask that the host sets from another thread during the
** call may be lost.
*/
bool mp_os_leave_cpu(void);
/* Cores by affinity, at least 1; see mp_usable_cores. */
unsigned mp_os_cores(void);
/*
** Bytes that the system has left, and has at all: available <= total; both are 0 where unknown. See
** mp_usable_memory.
*/
void mp_os_memory(uint64_t *available, uint64_t *total);

/*
** Fork guard: true from its creation on, false in every child of fork(2). A page the kernel wipes
** on fork, so asking costs one load. Where the kernel cannot, the process id is compared.
*/
typedef struct mp_os_fork_guard {
  const volatile uint32_t *page; /* NULL: compare pid */
  long pid;
} mp_os_fork_guard;
void mp_os_fork_guard_open(mp_os_fork_guard *guard);
bool mp_os_same_process(const mp_os_fork_guard *guard);
static inline bool mp_os_fork_guard_ok(const mp_os_fork_guard *guard) {
  return guard->page != NULL ? *guard->page == 1 : mp_os_same_process(guard);
}
void mp_os_fork_guard_close(mp_os_fork_guard *guard);

/*
** Zeroed pages straight from the system, and back to it at once. `size` is rounded up; NULL: none.
** Any thread.
*/
MP_CHECKED void *mp_os_pages_get(size_t size);
void mp_os_pages_free(void *pages, size_t size);

/*
** Keeps the shared library this is in from being unloaded: a worker that is stuck may outlive
** whoever loaded it.
*/
void mp_os_pin(void);

#endif
