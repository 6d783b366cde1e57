/*
** scheduler.h - workers that find jobs and run them. It moves jobs and knows nothing of tasks.
**
** A job is found in this order: every 64th pick the lowest waiting level first; a high-priority
** job; the worker's own deque; a share of the inbox; another worker's deque; a low-priority job.
** Then the worker searches for spin_ns and parks.
**
** Blocked workers (a wait that cannot help) are replaced by extra ones, up to workers_extra; when
** they come back, whoever finds its deque empty first steps aside as a spare. Workers whose task
** does not return are replaced likewise:
**
**   running == workers - blocked or stuck + extra let in
*/
#ifndef MP_SCHEDULER_H
#define MP_SCHEDULER_H

#include "alloc.h"
#include "deque.h"
#include "event.h"
#include "inbox.h"
#include "log.h"
#include "os.h"
#include "park.h"
#include "store.h"

typedef struct mp_scheduler mp_scheduler;

/*
** A completion word says whether some work is over and who sleeps until it is. Whoever completes it
** swaps in DONE and never touches the word again, because the waiter may free its memory at once;
** what was there before tells whom to wake.
*/
enum {
  MP_WORD_PENDING = 0,
  MP_WORD_DONE = 1,
  MP_WORD_OUTSIDE = 2, /* a thread that is no worker sleeps on the pool's event */
  MP_WORD_WORKER = 3   /* + index: that worker sleeps on its parker */
};

#define MP_JOB_FORKED 0x80000000u /* mp_job.kind: complete `done` after run */

/* Any thread; once per word. */
void mp_word_complete(mp_scheduler *scheduler, mp_atomic_u32 *word);

/* One per worker, written by it alone (mp_bump), summed by whoever asks. */
typedef struct mp_counters {
  _Atomic uint64_t submitted;
  _Atomic uint64_t settled;  /* ended, and everything that waited for it told */
  _Atomic uint64_t ended[4]; /* by terminal state: done, failed, cancelled, timed out */
  _Atomic uint64_t started;  /* tasks that began to run */
  _Atomic uint64_t returned; /* bodies that came back */
  _Atomic uint64_t skipped;  /* ended without running */
  _Atomic uint64_t steals, parks;
} mp_counters;

/* What a thread, or all that wait outside, learnt about looking; see mp_look. */
typedef struct mp_patience {
  _Atomic uint32_t free_ns;
  _Atomic uint32_t until_probe; /* looks */
  _Atomic uint32_t spacing;     /* of the probes */
} mp_patience;

/* A task that a worker is inside of; they nest when a task waits. On the worker's stack. */
typedef struct mp_frame mp_frame;
struct mp_frame {
  mp_task *task;
  mp_frame *outer;
};

struct mp_worker {
  mp_deque deque;
  /* constant while the worker exists */
  _Alignas(MP_CACHE_LINE) mp_scheduler *scheduler;
  unsigned index;
  void *local;
  const char *stack_low; /* lowest address its stack may reach */
  mp_os_thread thread;   /* the owner's, in its slot */
  /* owner thread only */
  mp_job *next; /* a continuation: the job that runs when the current one has returned */
  /* what it runs now, innermost first, or NULL; read by stop.c, see mp_pool_store_first */
  mp_frame *_Atomic frame;
  mp_task_lists tasks;
  unsigned lock_depth; /* mp_worker_lock */
  uint32_t random;
  uint32_t picks;
  bool searching;
  bool small_share; /* what it took from the inbox last was little */
  /*
  ** how often in short order it found itself on the CPU of whoever woke it, and when it did so
  ** last; see leave_waker
  */
  unsigned crowded;
  uint64_t crowded_ns;
  /* when it was woken on the CPU of whoever woke it, until the first long job is over; else 0 */
  uint64_t beside_ns;
  unsigned haste; /* how often that was there at once, up to a most; see rest */
  /* it has run something since the host's idle hook said that there is nothing left to do */
  bool untidy;
  /* bottom of its deque above which lies only what it pushed itself; below, shares of the inbox */
  int64_t floor;
  mp_patience patience;
  /* atomic: written by the owner thread */
  mp_counters counters;
  /* shared */
  mp_parker parker;
  mp_os_gate spare_gate;    /* word 1: leave the spares */
  _Atomic uint32_t watched; /* seq_cst: somebody looks at what it runs and relies on it (stop.c) */
  /* atomic, written under scheduler->lock: set aside, another runs in its place */
  _Atomic uint32_t stuck;
  /*
  ** release, acquire: a signal to it is on its way; read by the owner's only, which gets others'
  ** too
  */
  _Atomic uint32_t interrupted;
  /* guarded by the pool's running_lock: which of its tasks is being stopped, since when */
  uint64_t stopping_id, stopping_ns;
  /* guarded by scheduler->lock: asleep in a wait, another runs in its place */
  bool blocked;
  mp_worker *next_spare; /* guarded by scheduler->lock */
  /* guarded by scheduler->lock: there is a thread to join; its loop has ended */
  bool started, ended;
};

typedef struct mp_scheduler_config {
  unsigned workers, workers_extra;
  size_t stack_size;
  uint64_t spin_ns, spin_free_ns;
  unsigned cores;
  bool owner_works;
  void *(*worker_start)(mp_worker *worker, void *ud);
  void (*worker_stop)(mp_worker *worker, void *local, void *ud);
  void *worker_ud;
  int (*worker_idle)(mp_worker *worker, void *local, void *ud); /* may be NULL */
  /* a worker has been idle for that long and worker_idle is done; on its thread */
  void (*tidied)(mp_worker *worker, void *ud);
  uint64_t idle_after_ns;
  int interrupt_signal;           /* let through to workers; 0: none */
  void (*idle)(void *ud);         /* a worker ran out of work; any worker, often: must be cheap */
  void (*thread_comes)(void *ud); /* a thread is about to be started */
  /* its thread touches nothing any more after this, or could not be started */
  void (*thread_gone)(mp_worker *worker, void *ud);
  void *ud;
} mp_scheduler_config;

struct mp_scheduler {
  mp_scheduler_config config; /* constant */
  mp_alloc *alloc;
  mp_log *log;
  mp_inbox inbox;
  mp_park park;
  _Alignas(MP_CACHE_LINE) mp_worker *owner; /* the owner's slot, with owner_works; else NULL */
  _Atomic uint32_t stop;
  /* release: publishes worker[]; pairs with acquire in the thieves' loops */
  _Atomic uint32_t slots;
  mp_worker *_Atomic *worker;
  _Alignas(MP_CACHE_LINE) mp_os_mutex lock; /* guards the rest */
  unsigned capacity;
  /* atomic, written under lock: threads neither blocked nor spare, owner's slot apart */
  _Atomic uint32_t running;
  unsigned alive;         /* threads whose loop has not ended */
  _Atomic uint32_t stuck; /* atomic, written under lock: workers set aside */
  mp_worker *spares;
  mp_patience outside; /* of threads that wait and are no workers */
  mp_event *changed;   /* signalled when alive falls */
};

/*
** Starts the threads. With fewer than asked for, but at least one, it succeeds. Errors: NOMEM,
** NOTHREAD, SYSTEM.
*/
MP_CHECKED mp_status mp_scheduler_init(mp_scheduler *scheduler, mp_alloc *alloc, mp_log *log,
                                       mp_event *changed, const mp_scheduler_config *config);
/* Threads whose loop has not ended. Any thread. */
unsigned mp_scheduler_alive(mp_scheduler *scheduler);
/* Tells the threads to end when they have returned from what they run. Any thread. */
void mp_scheduler_stop(mp_scheduler *scheduler);
/*
** Waits until no thread is left, at most until deadline, and joins; returns how many stay behind.
** Once; any thread but a worker.
*/
unsigned mp_scheduler_join(mp_scheduler *scheduler, uint64_t deadline);
/*
** Offers every queued job to `take`; what that refuses (false) is queued again. Any thread, beside
** running workers.
*/
void mp_scheduler_drain(mp_scheduler *scheduler, bool (*take)(mp_job *job, void *ud), void *ud);
/* Frees everything; only with no thread and no job left. */
void mp_scheduler_close(mp_scheduler *scheduler);

/* The worker whose thread this is (the owner's slot while it helps), or NULL. Of whichever pool. */
extern MP_THREAD_LOCAL mp_worker *mp_self_worker;
static inline mp_worker *mp_worker_self(void) { return mp_self_worker; }
/*
** The owner enters and leaves its slot; only on the owner's thread. Returns what was current
** before, for leave.
*/
mp_worker *mp_scheduler_owner_enter(mp_scheduler *scheduler);
void mp_scheduler_owner_leave(mp_worker *before);

/*
** Queues a job, from `self` (a worker of this scheduler on its own thread) or from outside (NULL).
** Notifies.
*/
void mp_scheduler_push(mp_scheduler *scheduler, mp_worker *self, mp_job *job);
/* From any thread: one with a priority other than 0. */
void mp_scheduler_push_ordered(mp_scheduler *scheduler, mp_job *job, mp_order *order, int priority);
/* From outside: n jobs chained by next, normal priority. */
void mp_scheduler_push_chain(mp_scheduler *scheduler, mp_job *head, mp_job *tail, size_t n);

/*
** After a job, or a piece of one: a worker that was put on its waker's CPU, and has worked there
** for a while, moves to another. It may have displaced the waker, who has work to do as well; the
** kernel may leave both there for milliseconds.
*/
void mp_scheduler_move_aside(mp_worker *worker);
static inline void mp_scheduler_settle(mp_worker *worker) {
  if (worker->beside_ns != 0) mp_scheduler_move_aside(worker);
}
/* Runs one job and the continuations it leaves. */
void mp_scheduler_run(mp_worker *worker, mp_job *job);
/* What the worker itself pushed last, unless it was taken; or NULL. */
mp_job *mp_scheduler_find_own(mp_worker *worker);
/* Finds a job anywhere, or NULL. */
mp_job *mp_scheduler_find(mp_worker *worker);
/*
** How long a thread looks before it sleeps: spin_ns; or, while a core is free for it, up to
** spin_free_ns, as long as that pays. Looks that find nothing halve what the next one may take, so
** that a thread whose work comes seldom, or whose core somebody else needs, soon looks no longer
** than spin_ns. Now and then one, a probe, takes all the time, to notice when it would pay again;
** the more probes find nothing, the fewer.
*/
typedef struct mp_look {
  const mp_scheduler *scheduler;
  mp_patience *patience;
  uint64_t began, free_ns;
  bool probe;
} mp_look;
void mp_patience_init(mp_patience *patience, uint64_t free_ns);
mp_look mp_look_begin(const mp_scheduler *scheduler, mp_patience *patience);
/* Is there a core for each thread that is awake? */
static inline bool mp_scheduler_is_roomy(const mp_scheduler *scheduler) {
  uint32_t awake =
      mp_load_relaxed(&scheduler->running) - mp_load_relaxed(&scheduler->park.sleepers);
  return awake + 1 <= scheduler->config.cores; /* + 1: the owner, or whichever thread waits */
}
/* May it go on? Asked again and again: the core may be taken meanwhile. */
static inline bool mp_look_goes_on(const mp_look *look, uint64_t now) {
  return now - look->began <
         (mp_scheduler_is_roomy(look->scheduler) ? look->free_ns : look->scheduler->config.spin_ns);
}
void mp_look_end(const mp_look *look, bool found);

/* Is anything queued? */
bool mp_scheduler_has_work(mp_scheduler *scheduler);

/*
** Bracket a sleep of a worker: lets a replacement run meanwhile. False: no replacement could be
** had.
*/
bool mp_scheduler_block(mp_worker *worker);
void mp_scheduler_unblock(mp_worker *worker);

/*
** Gives the place of a worker whose task does not return to another, unless it waits anyway: from
** any thread, while that task is certain to be inside. True if it was not set aside already.
*/
bool mp_scheduler_set_aside(mp_worker *worker);
/* The task has returned after all; on the worker's own thread. */
void mp_scheduler_come_back(mp_worker *worker);

#endif
