/*
** worker.h - what a worker and a scheduler are made of, for the files that share the work on them:
**
**   pick.c       where queued entries wait, and which of them a worker takes next
**   spin.c       how long a thread looks for something before it sleeps
**   place.c      on which CPU a worker goes on
**   seats.c      how many threads run at a time: who gives its seat away, who takes it
**   scheduler.c  a worker's loop; starting and stopping
**
** They move entries and know nothing of tasks.
**
**   entry   what a queue holds: the head of a task, or of a piece
**   piece   an entry that somebody on a worker's stack waits for: a forked job, a part of a loop, a
**           node of a graph
**   group   a number that pieces have in common which were forked in one frame, or of one graph
**   frame   what a worker is inside of: a task, or a piece, which runs for the task that forked it
**   seat    the right to run entries; a pool has as many as workers
*/
#ifndef MP_WORKER_H
#define MP_WORKER_H

#include "alloc.h"
#include "deque.h"
#include "inbox.h"
#include "lane.h"
#include "log.h"
#include "os.h"
#include "park.h"
#include "store.h"

typedef struct mp_scheduler mp_scheduler;
typedef struct mp_sleeper mp_sleeper;

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

/* How long one thread, or all that wait outside, may spin next; learnt in spin.c. */
typedef struct mp_spin_budget {
  _Atomic uint32_t free_ns;     /* while a core is free for it */
  _Atomic uint32_t until_probe; /* spins until the next one that takes all the time */
  _Atomic uint32_t spacing;     /* of these probes */
} mp_spin_budget;

/* On the worker's stack. Others read it under the rules of stop.c. */
typedef struct mp_frame mp_frame;
struct mp_frame {
  mp_task *task; /* for whom this runs; NULL: a piece that no task forked */
  mp_frame *outer;
  uint64_t call; /* a number of its own */
  /* the rest on the worker's own thread only */
  bool body;           /* of the task itself, which may suspend */
  mp_status resumed;   /* why it is called again; INVALID: it is called the first time */
  mp_strand *strand;   /* that the body is on, or NULL */
  mp_sleeper *sleeper; /* what it has asked for: see suspend.c; or NULL */
};

/* The group of what is forked in a frame; unique while the frame is there, and never 0. */
static inline uintptr_t mp_group_of(const mp_frame *frame) { return (uintptr_t)frame; }

/* What the owner waits for while it runs others' work on its stack: see wait.c. */
typedef struct mp_awaits {
  bool (*is_over)(void *wait); /* what it waits for has come; or NULL */
  void *wait;
  int floor; /* it runs nothing of lower priority */
} mp_awaits;

enum { MP_SEAT_NONE, MP_SEAT_GIVEN, MP_SEAT_DISMISSED };

struct mp_worker {
  mp_deque deque;
  /* constant while its thread exists */
  _Alignas(MP_CACHE_LINE) mp_scheduler *scheduler;
  mp_os_fork_guard fork_guard; /* a copy of the pool's */
  unsigned index;
  void *local;
  const char *stack_low, *stack_high; /* between them lies its thread's stack */
  mp_os_thread thread;                /* written by itself; the owner's, in its slot */
  /* the worker's own thread only */
  mp_entry *continuation; /* runs when the current entry has returned */
  mp_task_lists tasks;
  unsigned lock_depth; /* of mp_worker_lock */
  uint64_t calls;      /* frames pushed */
  bool serves;         /* an extra: it has seen what waits in the lane */
  size_t to_serve;     /* so much of it is left for it */
  bool searching;
  bool unseated; /* it has no seat, and nobody looks into its deque */
  bool untidy;   /* it has run something since its last tidying up */
  /* what it has in hand is done: whom that wakes may be its continuation */
  bool in_tail;
  mp_spin_budget spin;
  /* atomic: written by the worker's own thread */
  _Atomic uint32_t picked; /* entries found; every so often one is picked out of turn */
  /* atomic: what another saw there when it looked last whether this worker gets on */
  _Atomic uint32_t picked_seen;
  struct {
    uint32_t random;
    uint32_t slow_at;             /* where it looked last for a worker that does not get on */
    uint32_t popped, popped_seen; /* from its own deque; and up to its last turn */
    int64_t oldest_seen;          /* top of its deque at its last turn */
    int64_t own_from; /* bottom of its deque above which lies only what it pushed itself */
  } picks;
  struct {            /* contention with whoever submits: see mp_pick_back_off */
    bool small_share; /* what it took from the inbox last was little */
    unsigned at_once; /* how often that was there at once, up to a most */
  } contention;
  struct {            /* see place.c */
    unsigned times;   /* in a row that it was woken on its waker's CPU */
    uint64_t last_ns; /* when that was so last */
    /* since when it has run there; 0: it does not, or has run a while already */
    uint64_t beside_ns;
  } place;
  /* atomic: written by the worker's own thread */
  _Atomic uint32_t in_hook; /* inside worker_start, -idle, -mail or -stop */
  mp_frame *_Atomic frame;  /* what it runs now, innermost first, or NULL; read by stop.c */
  mp_counters counters;
  /* shared */
  mp_parker parker;
  /* seq_cst: a mailbox that was created on it has messages, and it has not heard of them */
  _Atomic uint32_t mail;
  /* seq_cst: somebody looks at what it runs and relies on it (stop.c) */
  _Atomic uint32_t watched;
  /*
  ** release, acquire: a signal to it is on its way; read by the owner's only, which gets others'
  ** too
  */
  _Atomic uint32_t interrupted;
  /* what it was inside of when it was marked stuck; written before `stuck` */
  const mp_frame *stuck_frame;
  /*
  ** guarded by the pool's running_lock: the call that is being stopped, since when, and whether its
  ** task was over then
  */
  uint64_t stopping_call, stopping_ns;
  bool stopping_over;
  /* seats.c */
  mp_os_gate seat_gate;    /* its word is an MP_SEAT_...; a thread without a seat sleeps here */
  _Atomic uint32_t stuck;  /* atomic, written under seats.lock: another has its seat */
  _Atomic uint32_t extra;  /* atomic, written under seats.lock: it is here for the lane alone */
  uint32_t active_at;      /* guarded by seats.lock: its place in seats.active */
  bool blocked;            /* guarded by seats.lock: it waits, and has given its seat away */
  bool started, ended;     /* guarded by seats.lock: there is a thread to join; it is at its end */
  mp_os_thread joinable;   /* guarded by seats.lock: that thread */
  mp_worker *next_spare;   /* guarded by seats.lock; also chains those that have retired */
  mp_awaits awaits;        /* its own thread only */
  struct {                 /* the worker's own thread only: see mp_worker_open_signals */
    unsigned opened;       /* how often, and not blocked again */
    mp_os_blocked blocked; /* before that */
  } signals;
};

/*
** Who runs:
**
**   running == workers - blocked or stuck + replacements + extras
**
** It may be more for a while, when several come back at once: whoever has returned from an entry
** then becomes a spare.
*/
typedef struct mp_seats {
  _Alignas(MP_CACHE_LINE) mp_os_mutex lock;
  _Atomic uint32_t running; /* atomic, written under lock: threads with a seat; not the owner */
  _Atomic uint32_t extras;  /* atomic, written under lock: of these, let in for the lane alone */
  _Atomic uint32_t alive;   /* atomic, written under lock: threads whose loop has not ended */
  _Atomic uint32_t stuck;   /* atomic, written under lock: workers marked stuck */
  _Atomic uint32_t
      rescuers; /* who waits without a seat and runs what is queued if nobody else does */
  uint64_t refill_ns MP_GUARDED_BY(lock); /* when an empty seat may be tried again */
  bool open MP_GUARDED_BY(lock);          /* threads begin at once, not with mp_seats_open */
  bool joined MP_GUARDED_BY(lock); /* the threads have been joined, or are: none comes any more */
  mp_worker *spares MP_GUARDED_BY(lock);
  mp_worker *retired MP_GUARDED_BY(lock); /* slots of spares whose threads have ended */
  bool refused MP_GUARDED_BY(lock);       /* the log knows that no replacement can be had */
  unsigned capacity;                      /* constant: of slots */
  /*
  ** atomic, written under lock; release: publishes slot[], which only grows until the end. Whoever
  ** sums counters or looks at frames goes through it.
  */
  _Atomic uint32_t slots;
  mp_worker *_Atomic *slot;
  /*
  ** atomic, written under lock: all but spares, in no order. Thieves go through it, and whoever
  ** looks for work before it sleeps: seq_cst for the latter, which looks again when `version` has
  ** changed.
  */
  _Atomic uint32_t active_count;
  _Atomic uint32_t version;
  mp_worker *_Atomic *active;
} mp_seats;

typedef struct mp_scheduler_config {
  unsigned workers, workers_extra;
  unsigned stuck_max; /* workers marked stuck at a time; 0: none */
  size_t stack_size;
  uint64_t spin_ns, spin_free_ns;
  unsigned cores;
  bool owner_works; /* the owner has a slot */
  void *(*worker_start)(mp_worker *worker, void *ud);
  void (*worker_stop)(mp_worker *worker, void *local, void *ud);
  void *worker_ud;
  int (*worker_idle)(mp_worker *worker, void *local, void *ud);  /* may be NULL */
  void (*worker_mail)(mp_worker *worker, void *local, void *ud); /* may be NULL */
  /* A worker has been idle for that long and worker_idle is done; on its thread. */
  void (*tidied)(mp_worker *worker, void *ud);
  uint64_t idle_after_ns;
  const mp_os_fork_guard *fork_guard;
  int interrupt_signal; /* let through to workers; 0: none */
  /* queues a continuation that must give way */
  void (*requeue)(mp_worker *worker, mp_entry *entry, void *ud);
  void (*idle)(void *ud);         /* a thread ran out of work, and sleeps or leaves next */
  bool (*hurried)(void *ud);      /* does somebody wait for `idle`? Asked before each search */
  void (*thread_comes)(void *ud); /* a thread is about to be started */
  /* its thread touches nothing any more after this, or could not be started */
  void (*thread_gone)(void *ud, uint32_t pool_releases);
  void (*thread_ended)(void *ud); /* seats.alive has fallen */
  void *ud;
} mp_scheduler_config;

struct mp_scheduler {
  mp_scheduler_config config; /* constant, but for `workers` while it starts */
  mp_alloc *alloc;
  mp_log *log;
  mp_inbox inbox;
  mp_lane lane;
  mp_park park;
  _Alignas(MP_CACHE_LINE) mp_worker *owner; /* the owner's slot, or NULL */
  _Atomic uint32_t stop;
  void *(*thread_main)(void *worker); /* constant: what a worker's thread runs */
  mp_seats seats;
  _Alignas(MP_CACHE_LINE) mp_spin_budget outside; /* of threads that wait and are no workers */
};

/*
** Asked after each call of the host on a worker. In a child of fork(2) that the host has made
** there, all locks may be held, and what is queued runs in the parent: the worker touches nothing
** any more.
*/
static inline bool mp_is_orphan(const mp_worker *worker) {
  return !mp_os_fork_guard_ok(&worker->fork_guard);
}

/* The worker whose thread this is (the owner's slot while it is in there), or NULL; of any pool. */
extern MP_THREAD_LOCAL mp_worker *mp_self_worker;
static inline mp_worker *mp_worker_self(void) { return mp_self_worker; }

/*
** A stay in an owner's slot. A thread may be in several, of as many pools, or twice in one, and
** below them it may be a worker: it owns what it has created.
*/
typedef struct mp_stay mp_stay;
struct mp_stay {
  mp_worker *slot, *before; /* before: what the thread was until then, or NULL */
  mp_stay *outer;
  bool begun; /* false: the thread was in the slot already, and this is no stay of its own */
};
/* The calling thread's, innermost first. */
extern MP_THREAD_LOCAL mp_stay *mp_self_stays;

/*
** On the worker's own thread, or the owner's: where its stack is, or if that cannot be known, that
** so many bytes lie below here.
*/
void mp_worker_note_stack(mp_worker *worker, size_t assumed);

/* The owner enters and leaves its slot; only on the owner's thread. */
void mp_owner_enter(mp_scheduler *scheduler, mp_stay *stay);
void mp_owner_leave(mp_stay *stay);

/* The worker that the calling thread is by birth, below all stays: it has a seat. Or NULL. */
mp_worker *mp_thread_worker(void);
/* Is the calling thread inside anything, of any pool? */
bool mp_thread_is_inside(void);
/* Is it inside this task? */
bool mp_thread_is_in_task(const mp_task *task);
/* Is it inside of a body that is on this strand? */
bool mp_thread_is_on_strand(const mp_strand *strand);

/* On its own thread. */
static inline const mp_frame *mp_worker_frame(const mp_worker *worker) {
  return mp_load_relaxed(&worker->frame);
}

#endif
