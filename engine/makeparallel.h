/*
** makeparallel.h - a task engine: a thread pool, tasks with dependencies, a reusable task graph.
**
** This is the only public header of the engine. It knows nothing of Lua. C11; also compiles as C++.
**
** Words used throughout
**   pool     worker threads, their queues and everything they share. Two pools never meet.
**   owner    the thread that created the pool; the one that should call mp_poll.
**   worker   one thread of the pool; also the context a task receives while it runs.
**   task     a unit of work with one terminal state; reference-counted.
**   job      the bare unit below a task: caller-owned memory, no state, no result (fork and join).
**   mailbox  the queue by which finished tasks and progress reach a thread that polls.
**
** Rules that hold for every function
**   - Durations and times are nanoseconds in uint64_t, on the monotonic clock. MP_FOREVER means no
**     limit.
**   - Fallible functions return an mp_status; their outputs come last and are untouched on failure.
**   - Nothing here prints, aborts, exits, raises a signal or longjmps. After fork(2) the child sees
**     MP_FORKED.
**   - A struct that may grow carries its size first: set it with the MP_..._INIT macro.
**   - What the host gives us to call returns: no exception leaves it, no longjmp, no thread that
**     ends. In C++ write it so that it could be noexcept.
**
** What runs where
**   - On a worker: bodies, pieces, worker_start, worker_stop, worker_idle, worker_mail and
**     worker_interrupt. Its signals that tell of a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
**     SIGSYS, SIGABRT) and SIGPROF are open, so the host's crash handler and profiler see it; all
**     others are blocked, but for interrupt_signal. A process that is started there (system, popen,
**     fork) inherits that, and no SIGTERM ends it: see mp_worker_open_signals.
**   - On the owner's thread, in its slot (owner_works, caller_runs): the same.
**   - While a thread waits, on its stack: see mp_wait.
**   - In mp_poll, mp_mailbox_poll: done, notify, progress, deliver.
*/
#ifndef MAKEPARALLEL_H
#define MAKEPARALLEL_H

#include <stddef.h>
#include <stdint.h>

#define MP_VERSION_MAJOR 0
#define MP_VERSION_MINOR 1
#define MP_VERSION_PATCH 0
#define MP_VERSION "0.1.0"

#if defined(__GNUC__) || defined(__clang__)
#define MP_API __attribute__((visibility("default")))
#define MP_CHECKED __attribute__((warn_unused_result))
#else
#define MP_API
#define MP_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
typedef uint32_t mp_atomic_u32; /* same layout; only the engine touches them */
typedef uintptr_t mp_atomic_uptr;
#else
typedef _Atomic uint32_t mp_atomic_u32;
typedef _Atomic uintptr_t mp_atomic_uptr;
#endif

/*
** {======================================================
** Status
** =======================================================
*/

/* X(NAME, text): every status once. Order is part of the ABI: new ones go last. */
#define MP_STATUS_MAP(X) \
  X(OK, "ok") \
  X(NOMEM, "not enough memory") \
  X(INVALID, "invalid argument") \
  X(TIMEOUT, "timed out") \
  X(INTERRUPTED, "interrupted by a signal") \
  X(CANCELLED, "cancelled") \
  X(FAILED, "task failed") \
  X(DEPENDENCY, "a task it depends on did not succeed") \
  X(FULL, "queue full") \
  X(SHUTDOWN, "pool is shut down") \
  X(FORKED, "pool is not usable after fork") \
  X(FOREIGN, "belongs to another pool") \
  X(CYCLE, "dependency cycle") \
  X(NOTHREAD, "cannot create a thread") \
  X(SYSTEM, "the operating system refused a resource") \
  X(BUSY, "still in use") \
  X(STUCK, "too many workers are stuck in tasks that do not return") \
  X(MEMORY, "memory limit reached") \
  X(SUSPENDED, "suspended")

/* clang-format off */
typedef enum mp_status {
#define MP_STATUS_ENUM(name, text) MP_##name,
  MP_STATUS_MAP(MP_STATUS_ENUM)
#undef MP_STATUS_ENUM
  MP_STATUS_COUNT
} mp_status;
/* clang-format on */

/* A constant string; never NULL, also for values that are no status. Any thread. */
MP_API const char *mp_status_text(mp_status status);

/* }====================================================== */

/*
** {======================================================
** Pool
** =======================================================
*/

#define MP_FOREVER UINT64_MAX
#define MP_WORKERS_MAX 1024

typedef struct mp_pool mp_pool;
typedef struct mp_worker mp_worker;
typedef struct mp_task mp_task;
typedef struct mp_mailbox mp_mailbox;
typedef struct mp_strand mp_strand;
typedef struct mp_graph mp_graph;

/*
** Where the engine's memory comes from. `size_new == 0` frees. Called from any thread, never under
** an engine lock that a task could need. A failure (NULL) becomes MP_NOMEM at the call that needed
** the memory.
*/
typedef struct mp_allocator {
  void *(*realloc)(void *ud, void *block, size_t size_old, size_t size_new);
  void *ud;
} mp_allocator;

typedef enum mp_log_level {
  MP_LOG_ERROR,
  MP_LOG_WARN,
  MP_LOG_INFO,
  MP_LOG_DEBUG,
  MP_LOG_TRACE,
  MP_LOG_OFF = -1
} mp_log_level;

/*
** Receives one finished line (no newline). Called from any thread, one call at a time per pool,
** under no other lock. It may call what any thread may; a line that the pool would write to it
** meanwhile, on the same thread, is dropped.
*/
typedef void mp_log_sink(void *ud, mp_log_level level, const char *area, const char *line);

/* How much a pool takes at a time; 0: no limit. Past one, mp_submit says FULL or MEMORY. */
typedef struct mp_limits {
  /*
  ** tasks that have not ended; one with `done` until that has been called: so whoever polls must
  ** not wait for room without its mailbox
  */
  size_t tasks;
  /* tasks that have not started, nor been cancelled */
  size_t queue;
  /* the same in bytes: the task itself, the copy of its argument and desc.held_bytes */
  size_t queue_bytes;
  /*
  ** 1..100: of the system's memory, or of the cgroup's if that has less, in use by whomever; looked
  ** at every 10 ms
  */
  unsigned memory_percent;
} mp_limits;

typedef struct mp_pool_config {
  size_t size;            /* sizeof(mp_pool_config) */
  unsigned workers;       /* 1..MP_WORKERS_MAX; 0: mp_cores() */
  unsigned workers_extra; /* most replacement threads for workers blocked in a wait; default 256 */
  /* bytes a worker's stack may use, at least 1 MiB; 0: 8 MiB (only touched pages cost memory) */
  size_t stack_size;
  /* how long an idle worker or a waiting thread looks before it sleeps; default 2,000 */
  uint64_t spin_ns;
  /*
  ** the same while a core is free for it: fewer threads awake than cores, and while that pays;
  ** default 200,000
  */
  uint64_t spin_free_ns;
  /*
  ** nonzero: the owner runs tasks while it waits (a game's main thread): see mp_wait. Default 0. On
  ** a stack that is not its thread's, a fiber's, it only waits
  */
  int owner_works;
  /* nonzero: MP_TASK_CALLER_RUNS works on the owner too, not on workers only. Default 0 */
  int caller_runs;
  mp_limits limits; /* default: none */
  /* progress messages a mailbox holds before it drops the next; default 65,536 */
  size_t mailbox_max;
  mp_allocator allocator; /* zeroed: malloc and free */
  mp_log_sink *log;       /* NULL: silent */
  void *log_ud;
  mp_log_level log_level;
  /* a mailbox of the pool stopped being empty; any thread, under no lock. May be NULL */
  void (*wake)(void *ud);
  void *wake_ud;
  /*
  ** On the worker's thread, before its first and after its last task. What start returns is
  ** mp_worker_local. May be NULL. Of the owner's slot: start inside mp_pool_create; stop on the
  ** owner inside mp_pool_shutdown or mp_pool_destroy, or, if it calls neither, on whichever thread
  ** lets go of the pool last
  */
  void *(*worker_start)(mp_worker *worker, void *ud);
  void (*worker_stop)(mp_worker *worker, void *local, void *ud);
  void *worker_ud;
  /*
  ** Interrupts what a worker runs: called on the worker's own thread, in a signal handler, when its
  ** task was asked to stop, or one that waits below it, and again every few milliseconds until the
  ** task has returned. Only what is async-signal-safe. Blocking system calls return with EINTR.
  ** NULL: no signal is used. Else interrupt_signal (0: SIGURG) is caught; whoever caught it before
  ** still receives what we did not send. An owner that works is interrupted too, if its thread does
  ** not block the signal: for it nobody can be let in instead.
  */
  void (*worker_interrupt)(mp_worker *worker, void *local, void *ud);
  int interrupt_signal;
  /*
  ** how long after its end a task's body may stay inside before its worker is replaced; default 100
  ** ms
  */
  uint64_t stuck_grace_ns;
  /*
  ** workers so replaced at one time before submissions are refused (MP_STUCK); default 64. 0: none
  ** is replaced, and nothing is refused for it
  */
  unsigned stuck_max;
  /*
  ** On a worker's thread that has been idle for idle_after_ns (default 300 ms): a moment's tidying
  ** up. Nonzero: call again. May be NULL
  */
  int (*worker_idle)(mp_worker *worker, void *local, void *ud);
  uint64_t idle_after_ns;
  /*
  ** On a worker between two tasks, or while it has none: messages have come to a mailbox that was
  ** created on it, which it may poll now. Within 300 ms if it is one too many just then. May be
  ** NULL
  */
  void (*worker_mail)(mp_worker *worker, void *local, void *ud);
  /*
  ** The last reference to a task that failed or timed out goes, and nobody has asked why: no
  ** mp_task_status, mp_task_result or mp_task_cause since its end, no mp_cancel at any time, no
  ** task that failed with it. It may be read, its argument too if that was copied (though it was
  ** dropped), but not be kept. Any thread. May be NULL
  */
  void (*task_unseen)(mp_task *task, void *ud);
  void *task_unseen_ud;
  /*
  ** no thread and no task is left, and but for the allocator no hook is called any more. Any
  ** thread. May be NULL
  */
  void (*closed)(void *ud);
  void *closed_ud;
} mp_pool_config;

/* A config with every default in place. */
MP_API mp_pool_config mp_pool_config_default(void);

/*
** Cores this process may use: the affinity mask, cut by the cgroup's CPU quota; at least 1. Any
** thread.
*/
MP_API unsigned mp_cores(void);

/* The monotonic clock that every duration here refers to, in nanoseconds. Any thread. */
MP_API uint64_t mp_now(void);

/*
** Creates a pool; the calling thread becomes its owner. Blocks until the threads exist.
** With fewer threads than asked for it still succeeds (see mp_pool_info) unless not one could be
** created. The first pool of a process that has threads already may take 20 ms more, which Linux
** takes to register it for membarrier(2).
** Errors: INVALID, NOMEM, NOTHREAD, SYSTEM.
*/
MP_API MP_CHECKED mp_status mp_pool_create(const mp_pool_config *config, mp_pool **pool);

typedef struct mp_pool_info {
  size_t size;            /* sizeof(mp_pool_info) */
  unsigned workers;       /* threads that run tasks */
  unsigned workers_extra; /* replacement threads alive now */
  uint64_t submitted;     /* submitted == finished + live */
  /* finished == done + failed + cancelled + timed_out */
  uint64_t finished;
  uint64_t done, failed, cancelled, timed_out;
  /* a snapshot: waiting counts tasks queued or held by dependencies */
  uint64_t waiting, running;
  uint64_t steals, parks; /* since creation */
  uint64_t refused;       /* submissions that found the pool full */
  /* of what the limits count; 0 while there are none */
  size_t tasks_peak, queue, queue_bytes;
  /* workers set aside now, in tasks that are over and do not return */
  unsigned stuck;
  uint64_t messages_dropped; /* progress messages a full mailbox refused */
  size_t bytes;              /* held by the engine from its allocator */
  uint64_t suspended;        /* of the running: wait without a thread (mp_suspend) */
} mp_pool_info;

#define MP_POOL_INFO_INIT \
  { sizeof(mp_pool_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* The config it was made from, with every default in place. Any thread. */
MP_API const mp_pool_config *mp_pool_get_config(const mp_pool *pool);

/* Sets new limits; what is in already stays. Errors: INVALID, FORKED. Any thread. */
MP_API MP_CHECKED mp_status mp_pool_set_limits(mp_pool *pool, const mp_limits *limits);

/*
** Waits until the pool would take a task again whose argument takes `bytes` (arg_size +
** held_bytes), or mailbox (may be NULL) has messages; OK also when it shuts down: submit again and
** see. On a worker it lets others work meanwhile.
** Errors: FULL (so large a task never fits), TIMEOUT, INTERRUPTED, CANCELLED (the task that waits
** was asked to stop), FOREIGN (the mailbox), FORKED.
*/
MP_API MP_CHECKED mp_status mp_wait_room(mp_pool *pool, size_t bytes, mp_mailbox *mailbox,
                                         uint64_t timeout_ns);

/* Fills `info`. Any thread; counters of other threads may be a moment old. */
MP_API void mp_pool_get_info(mp_pool *pool, mp_pool_info *info);

/*
** The `bytes` of that alone, for one load: how much a host's garbage collector does not see. Any
** thread.
*/
MP_API size_t mp_pool_bytes(const mp_pool *pool);

/*
** Waits until nothing submitted is unfinished, and no loop or graph runs. Any thread but a worker,
** any number of them. Blocks up to timeout_ns; an owner that works (owner_works) runs tasks of any
** priority meanwhile if that is MP_FOREVER.
** Errors: TIMEOUT, INTERRUPTED (a signal handler ran; call again), INVALID (on a worker), FORKED.
*/
MP_API MP_CHECKED mp_status mp_pool_drain(mp_pool *pool, uint64_t timeout_ns);

typedef struct mp_shutdown_report {
  uint64_t done;      /* finished before the shutdown or during it, in any state but cancelled */
  uint64_t cancelled; /* cancelled, before the shutdown or by it */
  unsigned stuck;     /* workers still inside a task, or the host's hook, when the time was up */
} mp_shutdown_report;

typedef enum mp_shutdown_mode {
  MP_SHUTDOWN_FINISH,         /* what was accepted runs */
  MP_SHUTDOWN_CANCEL_PENDING, /* what has not started is cancelled */
  MP_SHUTDOWN_CANCEL_ALL      /* and what runs is asked to stop at once */
} mp_shutdown_mode;

/*
** Stops accepting tasks and deals with the accepted ones as `mode` says; waits up to timeout_ns,
** then cancels what has not started, asks running tasks to stop and leaves those that do not.
** Afterwards every task is terminal and no thread is left but the stuck ones, which go when their
** task returns. The pool stays valid (handles can be read) until mp_pool_destroy.
**
** A running task may still loop, fork and run graphs, also after MP_SHUTDOWN_FINISH, but submit no
** task. Any thread but a worker; calling it again is harmless. Several threads may at a time: each
** raises what the others began, if its mode or its time wants more, and waits for no more than its
** own time. `report` may be NULL. Inside a `drop` it is the wrong thing to do without a timeout:
** the task whose drop that is has not ended before. Errors: INVALID (on a worker, no such mode),
** INTERRUPTED (a signal handler has run while it waited for tasks: what it has begun goes on, call
** it again), FORKED.
*/
MP_API MP_CHECKED mp_status mp_pool_shutdown(mp_pool *pool, uint64_t timeout_ns,
                                             mp_shutdown_mode mode, mp_shutdown_report *report);

/*
** Lets go of the pool (if that was not done, shuts it down: MP_SHUTDOWN_CANCEL_ALL, one second).
** Memory is freed once the last task reference, mailbox and stuck worker are gone, so destroying
** early is safe. NULL is ignored. Any thread but a worker.
*/
MP_API void mp_pool_destroy(mp_pool *pool);

/*
** A place for one value of the host's: the first that is given stays, and is what every call
** returns; what was written before it was given is seen by all. NULL: only asks. Any thread.
*/
MP_API void *mp_pool_keep(mp_pool *pool, void *value);

/* Writes a line to the pool's log if `level` is enabled; `format` as printf. Any thread. */
MP_API void mp_pool_log(mp_pool *pool, mp_log_level level, const char *area, const char *format,
                        ...)
#if defined(__GNUC__) || defined(__clang__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/*
** Memory from the pool's allocator, counted in mp_pool_info.bytes; as realloc, with size_new == 0
** to free (then NULL is returned). For what travels with tasks. Any thread.
*/
MP_API MP_CHECKED void *mp_pool_realloc(mp_pool *pool, void *block, size_t size_old,
                                        size_t size_new);

/* MP_OK, or why the pool takes no tasks: SHUTDOWN, FORKED. Any thread. */
MP_API mp_status mp_pool_status(mp_pool *pool);

/* }====================================================== */

/*
** {======================================================
** Tasks
** =======================================================
*/

typedef enum mp_state {
  MP_STATE_WAITING, /* for its dependencies */
  MP_STATE_QUEUED,  /* for a worker */
  MP_STATE_RUNNING,
  MP_STATE_DONE, /* from here on terminal: never changes again */
  MP_STATE_FAILED,
  MP_STATE_CANCELLED,
  MP_STATE_TIMED_OUT
} mp_state;

#define mp_state_is_terminal(state) ((state) >= MP_STATE_DONE)

/*
** The body. MP_OK: done. MP_CANCELLED: cancelled. MP_SUSPENDED, after mp_suspend: it is to be
** called again. Anything else: failed with that status, with MP_FAILED if it is none. On a worker's
** thread.
*/
typedef mp_status mp_task_run(mp_worker *worker, void *arg);
/*
** Called once when the task is terminal, inside mp_poll of the mailbox it was given. The news may
** be posted a moment after mp_wait has seen the end: who needs it waits for the mailbox
** (mp_wait_any). After a deadline or mp_cancel_now the body may still run, and use `arg`.
*/
typedef void mp_task_done(mp_task *task, mp_state state, void *arg);
/*
** Frees what arg owns: exactly once, whatever happens, as early as nothing can need it. Any thread,
** under no lock; of a task that its deadline ended before it ran, the one that sees to all
** deadlines, which it holds up as long as it takes. Before the end of a task that returned can be
** seen; of one that never ran, or was ended while it ran, it may come a little after.
*/
typedef void mp_task_drop(void *arg);
/*
** Runs inside mp_mailbox_poll when the task is terminal; task is NULL if the news is discarded
** instead (its mailbox closed).
*/
typedef void mp_notify(mp_task *task, mp_state state, void *ud);
/*
** Runs inside mp_mailbox_poll, in order, always before the same mailbox's news of that task's end.
** note may be NULL.
*/
typedef void mp_progress(mp_task *task, double progress, const char *note, size_t note_length,
                         void *ud);

enum {
  /* keep the times that mp_task_times reports (three clock readings a task) */
  MP_TASK_TIMED = 1,
  /*
  ** if the pool is full, the caller (a worker; the owner with caller_runs) runs it, or works until
  ** it has run; inside a task only if its dependencies have ended and it is on no strand, for these
  ** may wait for the caller
  */
  MP_TASK_CALLER_RUNS = 2
};

typedef struct mp_task_desc {
  size_t size; /* sizeof(mp_task_desc) */
  mp_task_run *run;
  void *arg;
  /*
  ** 0: arg is passed as it is. Else that many bytes at arg are copied into the task, and are its
  ** memory to the end; aligned as malloc's are, to 16 bytes
  */
  size_t arg_size;
  size_t held_bytes;   /* what arg holds elsewhere, for limits.queue_bytes */
  mp_task_drop *drop;  /* may be NULL */
  mp_task_done *done;  /* may be NULL */
  mp_mailbox *mailbox; /* where done, progress and notify are delivered; NULL: the pool's own */
  int priority;        /* 0 normal; above 0 runs before, below 0 after; FIFO among equals */
  unsigned flags;      /* MP_TASK_... */
  uint64_t timeout_ns; /* counted from now, waiting included; 0: none */
  uint64_t waited_ns;  /* how much of that is over: it was submitted before, to a full pool */
  /* start when all of these are done; if one ends otherwise, fail with MP_DEPENDENCY */
  mp_task *const *after;
  size_t after_count;
  /*
  ** as mp_task_on_progress and mp_task_notify on `mailbox`, before the task can start; may be NULL
  */
  mp_progress *progress;
  mp_notify *notify;
  void *listener_ud;
  /* one at a time with all others on it, in the order in which they are ready; NULL: on none */
  mp_strand *strand;
} mp_task_desc;

#define MP_TASK_DESC_INIT \
  { sizeof(mp_task_desc), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/*
** Submits a task. With `task` non-NULL the caller receives a reference to release. On failure
** nothing ran, and `drop` was NOT called: arg is still the caller's. Any thread. Never blocks (but
** see MP_TASK_CALLER_RUNS).
** Errors: INVALID, NOMEM, FOREIGN, SHUTDOWN, FORKED, NOTHREAD (the first deadline could not start
** the timer), FULL and MEMORY (a limit), STUCK (stuck_max workers have been set aside).
*/
MP_API MP_CHECKED mp_status mp_submit(mp_pool *pool, const mp_task_desc *desc, mp_task **task);

/*
** Submits n tasks that differ only in arg: arg is desc->arg + i * stride (stride 0: all the same).
** No `after`, no deadline, nobody who listens. All or none. `tasks` may be NULL, else receives n
** references. Cheaper than n calls of mp_submit. Any thread.
*/
MP_API MP_CHECKED mp_status mp_submit_batch(mp_pool *pool, const mp_task_desc *desc, size_t n,
                                            size_t stride, mp_task **tasks);

MP_API void mp_task_retain(mp_task *task); /* any thread that has a reference */
/* the last one frees result and arg; NULL is ignored */
MP_API void mp_task_release(mp_task *task);

/* any thread; a terminal state is final and orders the result */
MP_API mp_state mp_task_state(const mp_task *task);
/* OK when done; else why not. OK also while not terminal */
MP_API mp_status mp_task_status(const mp_task *task);
MP_API uint64_t mp_task_id(const mp_task *task); /* unique in its pool, from 1 */
MP_API mp_pool *mp_task_pool(const mp_task *task);
MP_API int mp_task_priority(const mp_task *task);
MP_API uint64_t mp_task_timeout(const mp_task *task); /* as given; 0: none */
/*
** What set_result stored: valid while a reference is held, once the task is terminal and was not
** taken by its deadline.
*/
MP_API void *mp_task_result(const mp_task *task);
/* The dependency whose end made this task fail with MP_DEPENDENCY, or NULL. Borrowed. */
MP_API mp_task *mp_task_cause(const mp_task *task);
/* The task's argument: desc.arg, or where its copy lies. Valid until dropped. */
MP_API void *mp_task_arg(const mp_task *task);
/* What it was submitted with to free that, or NULL: a host knows its own kinds of tasks by it. */
MP_API mp_task_drop *mp_task_arg_drop(const mp_task *task);

/*
** Nanoseconds queued (dependencies included) and run, so far or in all. Zeros without
** MP_TASK_TIMED. Any thread.
*/
MP_API void mp_task_times(const mp_task *task, uint64_t *queued_ns, uint64_t *run_ns);

/* The last progress reported, 0..1. Any thread. */
MP_API double mp_task_progress(const mp_task *task);

/*
** Waits until the task is terminal. Up to timeout_ns; 0 only looks. Any thread.
**
** Outside the pool it blocks. On a worker the very task that is waited for may run on the waiter's
** stack, if it is queued still and has no timeout of its own; nothing else may, so that it cannot
** wait for what lies below it. If other work turns up, a replacement thread takes the waiter's seat
** (workers_extra), so one worker is enough for any depth. The owner, if it works and is outside of
** any task, runs other tasks too, but none of lower priority than what it waits for. With a finite
** timeout, or when less than 512 KiB of stack are left, nothing runs there. A worker that waits for
** another pool's task gives its seat away.
**
** Errors: TIMEOUT, INTERRUPTED (a signal handler ran on this thread, which is no worker of this
** pool; call again), CYCLE (without a timeout: the task lies below, on this very stack, or must
** have its turn on a strand that something there is on), NOTHREAD (without a timeout: no thread can
** be had for the seat, nobody else runs, and this stack is used up), FORKED.
*/
MP_API MP_CHECKED mp_status mp_wait(mp_task *task, uint64_t timeout_ns);

/*
** Waits until one of n tasks is terminal or, if mailbox is non-NULL, until that mailbox has
** messages (then *index == n), or has had: what a worker runs while it waits may deliver them.
** NULL entries are skipped. Same rules and errors as mp_wait, but a task runs on the waiter's stack
** only if it is the only one and there is no mailbox; SHUTDOWN: the pool has been shut down, and
** only mail is waited for, without a timeout; FOREIGN: a task or the mailbox belongs to another
** pool.
*/
MP_API MP_CHECKED mp_status mp_wait_any(mp_pool *pool, mp_task *const *tasks, size_t n,
                                        mp_mailbox *mailbox, uint64_t timeout_ns, size_t *index);

/*
** Cancels. Returns 1 exactly if this call or an earlier one made the outcome `cancelled`. A task
** that runs is asked (mp_worker_cancelled turns true) and 0 is returned: its outcome is its own.
** Any thread. Never blocks.
*/
MP_API int mp_cancel(mp_task *task);

/*
** Cancels as a deadline does: the outcome is decided now, also of a task that runs. Its body is
** asked to stop, and what it returns is dropped. Returns 1 exactly if the outcome is `cancelled`;
** the task is terminal afterwards. Any thread. Never blocks.
*/
MP_API int mp_cancel_now(mp_task *task);

/* Nonzero once mp_cancel was called on the task, whatever came of it. Any thread. */
MP_API int mp_task_cancel_requested(const mp_task *task);

/*
** Asks for a message when the task is terminal. If it is already, the message is posted at once.
** Any thread. Errors: NOMEM, FOREIGN, FORKED.
*/
MP_API MP_CHECKED mp_status mp_task_notify(mp_task *task, mp_mailbox *mailbox, mp_notify *notify,
                                           void *ud);

/* }====================================================== */

/*
** {======================================================
** Strands: what runs one at a time, without a lock and without a thread of its own
** =======================================================
**
** The tasks of a strand (desc.strand) run one after the other, in the order in which they were
** ready, on whichever worker is free; a task of higher priority is only found sooner when its turn
** has come. What one writes the next one sees. One that suspends lets the next one run, and goes to
** the end of the line when it is woken. A body that waits in its place, without a timeout, for one
** that stands behind it in line and has not begun gets CYCLE; other circles through a strand are
** not seen, and wait for ever.
** Cancelled tasks leave the line when they are reached.
*/

/* The caller receives a reference. Errors: NOMEM, SYSTEM, FORKED. Any thread. */
MP_API MP_CHECKED mp_status mp_strand_create(mp_pool *pool, mp_strand **strand);
/* Any thread that has a reference. Tasks on it have their own. */
MP_API void mp_strand_retain(mp_strand *strand);
MP_API void mp_strand_release(mp_strand *strand); /* NULL is ignored */

/* }====================================================== */

/*
** {======================================================
** Inside a task: all of these on the worker's own thread, while it runs
** =======================================================
*/

MP_API mp_pool *mp_worker_pool(const mp_worker *worker);
/*
** 0 .. workers + workers_extra - 1, or one more if the owner has a slot (owner_works, caller_runs);
** stable for a thread
*/
MP_API unsigned mp_worker_index(const mp_worker *worker);
/*
** The task that runs now; in a forked job, a piece of a loop or a node, the task that forked it, on
** whichever worker it runs, or NULL if none did. Borrowed
*/
MP_API mp_task *mp_worker_task(const mp_worker *worker);
MP_API void *mp_worker_local(const mp_worker *worker); /* what worker_start returned */
MP_API void *mp_worker_ud(const mp_worker *worker);    /* config.worker_ud */
/* was mp_worker_task asked to stop, or everything? */
MP_API int mp_worker_cancelled(const mp_worker *worker);
/* bytes of C stack below the caller, about */
MP_API size_t mp_worker_stack_left(const mp_worker *worker);

/*
** Stores the task's result; `drop` frees it with the task (may be NULL). Replaces an earlier one.
** It may lie in a copied argument (arg_size), which is still there when its own `drop` has been
** called. A piece stores the result of the task that forked it: not two of them at a time.
*/
MP_API void mp_worker_set_result(mp_worker *worker, void *result, mp_task_drop *drop);

/*
** Reports progress 0..1 of the running task (any thread may report for a task it holds). `note`
** (may be NULL) is copied. Subscribers (mp_task_on_progress) get a message; a full mailbox drops it
** and counts. Errors: INVALID, NOMEM, FORKED.
*/
MP_API MP_CHECKED mp_status mp_task_report(mp_task *task, double progress, const char *note,
                                           size_t note_length);

/*
** Sends the task's further progress to a mailbox, beside earlier subscribers; for the task's life.
** Errors: NOMEM, FOREIGN, FORKED.
*/
MP_API MP_CHECKED mp_status mp_task_on_progress(mp_task *task, mp_mailbox *mailbox,
                                                mp_progress *progress, void *ud);

/* As mp_wait_any, and ends with CANCELLED as soon as the running task is asked to stop. Nothing
** runs on the waiter's stack meanwhile, but see mp_worker_run. */
MP_API MP_CHECKED mp_status mp_worker_wait_any(mp_worker *worker, mp_task *const *tasks, size_t n,
                                               mp_mailbox *mailbox, uint64_t timeout_ns,
                                               size_t *index);

/*
** Runs the task on the caller's stack, here and now, if it is queued in the worker's pool, has no
** timeout, and 512 KiB of stack are left; or cancels it, where the pool does. Zero: neither.
** mp_wait does so by itself. This is for whoever waits otherwise, for mail too or until asked to
** stop, and needs the task in any case: the caller can do nothing else before the task has ended.
** On the worker, in a body.
*/
MP_API int mp_worker_run(mp_worker *worker, mp_task *task);

/*
** Waiting without a thread. In a body, before it returns MP_SUSPENDED: it will be called again,
** with the same argument, on any worker, when one of the n tasks (NULL entries are skipped) has
** ended, the mailbox (or NULL) has a message, the time has passed, or the task was asked to stop;
** perhaps sooner, so it looks again at what it waits for. Until then the task is running, and holds
** neither thread nor seat; its deadline, a cancel and a shutdown end it like any other that runs,
** and its body is called again even so, to clean up, but not after a shutdown whose deadline has
** passed. The tasks and the mailbox must live until then. A task that was asked to stop is called
** again at once. The last call before the body returns counts. In a body, not in a piece. Errors:
** NOMEM, INVALID (no body), FOREIGN, FORKED, NOTHREAD and SHUTDOWN (with a time).
*/
MP_API MP_CHECKED mp_status mp_suspend(mp_worker *worker, mp_task *const *tasks, size_t n,
                                       mp_mailbox *mailbox, uint64_t timeout_ns);
/*
** The same, and the body is called again on that strand, NULL: on none. mp_suspend stays on the one
** that the body is on.
*/
MP_API MP_CHECKED mp_status mp_suspend_on(mp_worker *worker, mp_strand *strand,
                                          mp_task *const *tasks, size_t n, mp_mailbox *mailbox,
                                          uint64_t timeout_ns);
/*
** Why the body is called again: OK (something of what it asked for may be there), TIMEOUT,
** CANCELLED (it was asked to stop); INVALID: it is called the first time.
*/
MP_API mp_status mp_worker_resumed(const mp_worker *worker);

/*
** Sleeps up to duration_ns; returns MP_CANCELLED at once when the running task is asked to stop,
** else MP_OK. It keeps its seat: a body that naps until another task has run may nap for ever; it
** should wait for it.
*/
MP_API MP_CHECKED mp_status mp_worker_sleep(mp_worker *worker, uint64_t duration_ns);

/*
** One lock per pool for what must not run on two workers at once (initialisers of libraries that
** are not thread-safe). Recursive; do not wait for tasks while holding it.
*/
MP_API void mp_worker_lock(mp_worker *worker);
MP_API void mp_worker_unlock(mp_worker *worker);

/*
** Around a call that starts a process, which inherits what its starter blocks: in between, those
** signals are open on this thread that were open on the pool's creator then, and the host's
** handlers may run here. They nest. On the owner's thread nothing changes.
*/
MP_API void mp_worker_open_signals(mp_worker *worker);
MP_API void mp_worker_block_signals(mp_worker *worker);

/* }====================================================== */

/*
** {======================================================
** Mailboxes: how news reaches the thread that polls
** =======================================================
*/

/* A further mailbox (the pool has one of its own). Errors: NOMEM. */
MP_API MP_CHECKED mp_status mp_mailbox_create(mp_pool *pool, mp_mailbox **mailbox);
/*
** Discards what is undelivered; later posts are discarded on arrival. Only the thread that polls
** it. NULL is ignored.
*/
MP_API void mp_mailbox_close(mp_mailbox *mailbox);
/*
** Delivers messages: at most `max` (0: no limit), and none is begun once budget_ns have passed
** (MP_FOREVER: no limit). Returns how many were delivered; *left (may be NULL) how many remain.
** Callbacks may call anything, this function included. One thread per mailbox; never blocks.
*/
MP_API size_t mp_mailbox_poll(mp_mailbox *mailbox, uint64_t budget_ns, size_t max, size_t *left);
MP_API size_t mp_mailbox_count(mp_mailbox *mailbox); /* messages waiting. Any thread */
/*
** Sends a copy of `size` bytes; `deliver` runs inside mp_mailbox_poll. Any thread. Errors: NOMEM,
** FULL (counted as dropped; also when the mailbox is closed), FORKED.
*/
typedef void mp_deliver(void *ud, const void *data, size_t size);
MP_API MP_CHECKED mp_status mp_mailbox_send(mp_mailbox *mailbox, mp_deliver *deliver, void *ud,
                                            const void *data, size_t size);
/*
** A descriptor readable while messages wait; created by the first call, closed with the mailbox.
** Errors: SYSTEM, FORKED.
*/
MP_API MP_CHECKED mp_status mp_mailbox_fd(mp_mailbox *mailbox, int *fd);

/* The same for the pool's own mailbox: a frame calls mp_poll(pool, budget_ns, 0). */
MP_API mp_mailbox *mp_pool_mailbox(mp_pool *pool);
MP_API size_t mp_poll(mp_pool *pool, uint64_t budget_ns, size_t max);
MP_API MP_CHECKED mp_status mp_fd(mp_pool *pool, int *fd);

/* }====================================================== */

/*
** {======================================================
** Jobs: fork and join, without allocation
** =======================================================
*/

/* What a queue holds: the engine's. */
typedef struct mp_entry mp_entry;
struct mp_entry {
  void (*run)(mp_worker *worker, mp_entry *entry);
  mp_entry *next, *prev;
};

/*
** Memory of the caller's, alive until joined; its fields are the engine's. The engine does not
** touch it after the body of a joined job has returned. After Cilk's spawn and sync: the forking
** worker usually runs the job itself, idle workers steal the oldest.
*/
typedef struct mp_job mp_job;
struct mp_job {
  mp_entry entry;
  void (*body)(mp_worker *worker, mp_job *job);
  mp_atomic_uptr frame;
  mp_atomic_u32 done;
};

/*
** Lets `job` run on this worker or another. Only on a worker's own thread. Never fails, never
** blocks. Wherever it runs, it runs for the task that forks it: mp_worker_task is that task, and
** mp_worker_cancelled tells whether that was asked to stop.
*/
MP_API void mp_fork(mp_worker *worker, mp_job *job, void (*body)(mp_worker *worker, mp_job *job));
/*
** Returns when the job has run. Join in reverse order of forking, inside the body that forked.
** Until then the worker runs what this body has forked, or what the job has, and nothing else; if
** there is nothing of that it waits as mp_wait does. So what one body forks must not wait for what
** that body does after a join.
*/
MP_API void mp_join(mp_worker *worker, mp_job *job);

/*
** Calls body(worker, begin, end, arg) over pieces that cover first..last-1 once, on all workers,
** and returns when all have. Pieces are guided: large first, but of about a millisecond at most,
** and never below `grain` (0: chosen). Called by the owner (owner_works) or on a worker the caller
** takes part; elsewhere it blocks. Inside a task it belongs to that task, on whichever workers its
** pieces run, and when the task is asked to stop no further piece is begun. Between two pieces all
** workers but the caller leave the loop while tasks of high priority are queued, and for the
** others' turn.
** Errors: CANCELLED (so pieces were left out), SHUTDOWN (the pool shuts down: some or all pieces
** were left out), FORKED.
*/
typedef void mp_for_body(mp_worker *worker, size_t begin, size_t end, void *arg);
MP_API MP_CHECKED mp_status mp_for(mp_pool *pool, size_t first, size_t last, size_t grain,
                                   mp_for_body *body, void *arg);

/* }====================================================== */

/*
** {======================================================
** Graph: build once, run often, without allocating
** =======================================================
*/

typedef void mp_node_run(mp_worker *worker, void *arg);

MP_API MP_CHECKED mp_status mp_graph_create(mp_pool *pool, mp_graph **graph);
MP_API void mp_graph_destroy(mp_graph *graph); /* not while it runs; NULL is ignored */
/*
** Adds a node; `name` (may be NULL) is copied, for mp_graph_cycle. Nodes count from 0. Errors:
** NOMEM, BUSY.
*/
MP_API MP_CHECKED mp_status mp_graph_add(mp_graph *graph, const char *name, mp_node_run *run,
                                         void *arg, uint32_t *node);
/*
** `after` starts when `before` has finished. The same edge twice counts once. Errors: INVALID,
** NOMEM, BUSY.
*/
MP_API MP_CHECKED mp_status mp_graph_edge(mp_graph *graph, uint32_t before, uint32_t after);
/*
** Runs every node once, in dependency order, and waits. One run at a time per graph. Inside a task
** it belongs to that task, and when the task is asked to stop no further node is begun.
** Errors: CYCLE, NOMEM (first run), CANCELLED (so nodes were left out), SHUTDOWN (the pool shuts
** down: some or all nodes were left out), FORKED, BUSY.
*/
MP_API MP_CHECKED mp_status mp_graph_run(mp_graph *graph);
/* After MP_CYCLE: the cycle as "a -> b -> a"; valid until the graph changes. Otherwise "". */
MP_API const char *mp_graph_cycle(const mp_graph *graph);

/* }====================================================== */

/*
** {======================================================
** Bytes: an immutable shared block, counted by reference
** =======================================================
*/

typedef struct mp_bytes mp_bytes;
/* Copies `size` bytes. Errors: NOMEM. */
MP_API MP_CHECKED mp_status mp_bytes_create(mp_pool *pool, const void *data, size_t size,
                                            mp_bytes **bytes);
/*
** The block keeps its pool alive no longer: whoever holds it lets go in the pool's `closed` hook at
** the latest. While only the caller has it.
*/
MP_API void mp_bytes_weaken(mp_bytes *bytes);
MP_API void mp_bytes_retain(mp_bytes *bytes);
MP_API void mp_bytes_release(mp_bytes *bytes);
MP_API const void *mp_bytes_data(const mp_bytes *bytes, size_t *size);
MP_API uint64_t mp_bytes_id(const mp_bytes *bytes); /* unique in its pool, never used again */

/* }====================================================== */

/*
** {======================================================
** Cache: results by key, shared by threads
** =======================================================
**
** A store of bytes under bytes: what was used longest ago goes first when there are too many or
** they are too large. It belongs to no pool and holds no thread. Every function may be called from
** any thread; none calls out while it holds the cache's lock.
**
** Who finds nothing receives a flight, the right to be the only one to compute it, and must end it;
** others may wait for that. To be sure that no two wait for each other, a thread with a flight of
** its own should not wait: it computes what it lacks itself.
*/

typedef struct mp_cache mp_cache;
/* immutable bytes; whoever reads them holds the cache's memory, too */
typedef struct mp_cache_value mp_cache_value;
typedef struct mp_flight mp_flight;

typedef struct mp_cache_config {
  size_t size;            /* sizeof(mp_cache_config) */
  size_t entries_max;     /* at least 1; 0: no limit */
  size_t bytes_max;       /* of keys, values and what keeps them; 0: no limit */
  uint64_t ttl_ns;        /* a value is forgotten so long after it was put; 0, MP_FOREVER: never */
  mp_allocator allocator; /* zeroed: malloc and free */
  uint64_t (*clock)(void *ud); /* NULL: mp_now */
  void *clock_ud;
} mp_cache_config;

#define MP_CACHE_CONFIG_INIT \
  { sizeof(mp_cache_config), 0, 0, 0, {0, 0}, 0, 0 }

typedef struct mp_cache_info {
  size_t size;           /* sizeof(mp_cache_info) */
  size_t entries, bytes; /* held now */
  uint64_t hits, misses; /* values found, flights given */
  uint64_t evicted, expired;
} mp_cache_info;

#define MP_CACHE_INFO_INIT \
  { sizeof(mp_cache_info), 0, 0, 0, 0, 0, 0 }

/* Errors: INVALID, NOMEM, SYSTEM. The creator has the first reference. */
MP_API MP_CHECKED mp_status mp_cache_create(const mp_cache_config *config, mp_cache **cache);
MP_API void mp_cache_retain(mp_cache *cache);
MP_API void mp_cache_release(mp_cache *cache); /* NULL is ignored */

/*
** MP_OK with a value, a reference to release; or MP_OK with NULL and a flight to end. MP_BUSY:
** another thread computes it and was not done within wait_ns (0: does not wait). Other errors:
** NOMEM, INTERRUPTED (a signal handler ran while it waited), FORKED.
*/
MP_API MP_CHECKED mp_status mp_cache_get(mp_cache *cache, const void *key, size_t key_size,
                                         uint64_t wait_ns, mp_cache_value **value,
                                         mp_flight **flight);
/*
** Keeps a copy, in place of an older value. Errors: NOMEM, FULL (larger than bytes_max; the older
** value is gone), FORKED.
*/
MP_API MP_CHECKED mp_status mp_cache_put(mp_cache *cache, const void *key, size_t key_size,
                                         const void *data, size_t size);
/*
** Frees the flight, with or without a value put; whoever waits looks again. Exactly once; any
** thread.
*/
MP_API void mp_flight_end(mp_flight *flight);
/* Forgets all values; counters stay. Flights go on. */
MP_API void mp_cache_clear(mp_cache *cache);
MP_API void mp_cache_get_info(mp_cache *cache, mp_cache_info *info);

MP_API const void *mp_cache_value_data(const mp_cache_value *value, size_t *size);
MP_API void mp_cache_value_release(mp_cache_value *value);

/* }====================================================== */

/*
** {======================================================
** Meter: how long and how often, counted by many threads
** =======================================================
*/

typedef struct mp_meter mp_meter;

/*
** Durations fall into buckets that are at most an eighth of their lower bound wide: 8 for each
** power of two.
*/
#define MP_METER_BUCKETS 496

typedef struct mp_meter_sum {
  uint64_t completed, failed;
  uint64_t total_ns, least_ns, most_ns; /* least_ns is UINT64_MAX while there is none */
  uint64_t buckets[MP_METER_BUCKETS];
} mp_meter_sum;

/* allocator NULL: malloc. Errors: NOMEM */
MP_API MP_CHECKED mp_status mp_meter_create(const mp_allocator *allocator, mp_meter **meter);
MP_API void mp_meter_retain(mp_meter *meter);
MP_API void mp_meter_release(mp_meter *meter); /* NULL is ignored */
/* Counts one call. Any thread, never waits. */
MP_API void mp_meter_record(mp_meter *meter, uint64_t duration_ns, int failed);
/* Back to nothing; what is recorded meanwhile may be lost in part. */
MP_API void mp_meter_reset(mp_meter *meter);
/* An empty sum, and what a meter has counted added to it. */
MP_API void mp_meter_sum_init(mp_meter_sum *sum);
MP_API void mp_meter_add(mp_meter *meter, mp_meter_sum *sum);
/*
** The duration that the share q, 0..1, of all calls did not exceed, to within a bucket; 0 if there
** were none.
*/
MP_API uint64_t mp_meter_quantile(const mp_meter_sum *sum, double q);

/* }====================================================== */

#ifdef __cplusplus
}
#endif

#endif
