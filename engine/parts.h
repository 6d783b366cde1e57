/*
** parts.h - what a pool is made of, for the files that work on it, from tasks up to the pool
** itself.
**
** Order of locks: one is taken only while none to its right is held. None is held while calling the
** host (a body, done, drop, wake, a hook), but for the log's own around its sink.
**
**   shutdown_lock > running_lock > deadlines.lock, seats.lock, strands_lock > inbox.lock,
**   lane.lock, park.lock, mailbox.lock, waitlist.lock, sleepers.lock, strand.lock, store.lock >
**   log.lock
**
** `critical` (mp_worker_lock) is the host's: it is taken with none of these held, and may be held
** around anything but a wait. A cache's lock is taken alone: a cache knows no pool.
*/
#ifndef MP_PARTS_H
#define MP_PARTS_H

#include <assert.h>

#include "admit.h"
#include "alloc.h"
#include "deadline.h"
#include "lock.h"
#include "log.h"
#include "mailbox.h"
#include "os.h"
#include "sleepers.h"
#include "store.h"
#include "waitlist.h"
#include "worker.h"

typedef enum mp_closing {
  MP_CLOSING_NOT,
  MP_CLOSING_REFUSE, /* no new tasks; what was accepted runs, with its loops, graphs and jobs */
  MP_CLOSING_CANCEL, /* and what has not started is cancelled */
  MP_CLOSING_STOP    /* and what runs is asked to stop */
} mp_closing;

/* How far a shutdown has come; only grows. */
typedef enum mp_ending {
  MP_ENDING_NOT,
  MP_ENDING_JOINING, /* somebody waits for the threads, and is the only one */
  MP_ENDING_OVER     /* the report is there */
} mp_ending;

struct mp_pool {
  /* constant after create */
  mp_pool_config config;
  mp_alloc alloc;
  mp_log log;
  mp_os_fork_guard fork_guard;
  void *owner_tag;
  mp_os_blocked blocked; /* by the thread that created it, then */
  mp_mailboxes mailboxes;
  mp_mailbox *mailbox;
  void (*run_task)(mp_worker *worker, mp_entry *entry);    /* run.c: what a task's entry calls */
  void (*resume_task)(mp_worker *worker, mp_entry *entry); /* and a sleeper's, when it is woken */
  void (*wake_due)(mp_pool *pool);                         /* suspend.c: the alarm has gone off */
  void (*look_at_lane)(mp_pool *pool);                     /* finish.c: so has `overdue` */
  /*
  ** jobs.c: called for an entry that is no task when the pool stops; false: it must run, for
  ** somebody waits for it who is inside a task himself
  */
  bool (*refuse)(mp_pool *pool, mp_entry *entry);
  void (*free)(mp_pool *pool); /* pool.c: the last reference is gone */
  /* shared, each with its own rules */
  mp_scheduler scheduler;
  mp_store stores[MP_TASK_SIZES];
  mp_admission admission;
  mp_waitlist waitlist;
  mp_sleepers sleepers;
  mp_lock strands_lock;
  mp_strand *strands MP_GUARDED_BY(strands_lock); /* all */
  mp_os_mutex critical;
  mp_deadlines deadlines;
  mp_deadline alarm;   /* when the first of the sleepers is due */
  mp_deadline overdue; /* when somebody is to look whether the lane gets on */
  /* read by all at each task and seldom written */
  bool fences_all;                /* constant: see mp_pool_store_first */
  void *_Atomic kept;             /* acq_rel: the host's, see mp_pool_keep */
  _Atomic uint32_t closing;       /* mp_closing; only grows */
  _Atomic uint32_t given_up;      /* a shutdown's time is over: no body is called again */
  _Atomic uint32_t timer_started; /* a task has suspended: there is the deadlines' thread */
  _Atomic uint32_t lane_watched;  /* seq_cst: `overdue` is armed, or about to be */
  _Atomic uint32_t lane_seen;     /* lane.popped when it was looked at last */
  _Atomic uint32_t drainers; /* threads that wait until the pool is quiet, or a shutdown is over */
  /* written by the owner, and other threads that are no workers */
  _Alignas(MP_CACHE_LINE) mp_task_lists owner_tasks; /* owner thread only */
  mp_counters outside;                               /* what happened on no worker; fetch_add */
  /* loops and graphs for threads outside of any task; only grow, so that a sum can be trusted */
  _Atomic uint64_t visits_begun, visits_over;
  /* written by all: the host's, one per thread, mailbox, bytes, and task with a handle */
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t references;
  _Atomic uint64_t next_id, next_bytes_id;
  _Alignas(MP_CACHE_LINE)
      mp_os_mutex running_lock; /* held while somebody looks at what workers run: see stop.c */
  /* shutting down */
  mp_os_mutex shutdown_lock;
  _Atomic uint32_t ending; /* mp_ending; atomic, written under shutdown_lock */
  /* until when the least patient waits for the threads; written likewise */
  _Atomic uint64_t join_deadline;
  _Atomic uint64_t join_awaited; /* what it was when whoever waits for them looked at it last */
  mp_shutdown_report report MP_GUARDED_BY(shutdown_lock);
};

/* Who waits until all is done waits for a change at this key. */
#define mp_quiet_key(pool) ((const void *)&(pool)->drainers)
/* Who waits for room waits for a change at this one. */
#define mp_room_key(pool) ((const void *)&(pool)->admission)

static inline void mp_pool_retain(mp_pool *pool) { mp_add_relaxed(&pool->references, 1); }
static inline void mp_pool_release_many(mp_pool *pool, uint32_t n) {
  uint32_t before = mp_sub_acq_rel(&pool->references, n); /* acq_rel: all use is over */
  assert(before >= n);
  if (before == n) pool->free(pool);
}
static inline void mp_pool_release(mp_pool *pool) { mp_pool_release_many(pool, 1); }

static inline mp_pool *mp_pool_of(const mp_worker *worker) {
  return (mp_pool *)((char *)worker->scheduler - offsetof(mp_pool, scheduler));
}
/* The calling worker if it belongs to this pool, else NULL. */
static inline mp_worker *mp_pool_self(mp_pool *pool) {
  mp_worker *self = mp_worker_self();
  return self != NULL && self->scheduler == &pool->scheduler ? self : NULL;
}
/* What a thread has in stock for tasks, or NULL; `self` as above. */
static inline mp_task_lists *mp_pool_local_tasks(mp_pool *pool, mp_worker *self) {
  if (self != NULL) return &self->tasks;
  return mp_os_thread_tag() == pool->owner_tag ? &pool->owner_tasks : NULL;
}
static inline bool mp_pool_forked(const mp_pool *pool) {
  return !mp_os_fork_guard_ok(&pool->fork_guard);
}
static inline mp_closing mp_pool_closing(const mp_pool *pool) {
  return (mp_closing)mp_load_relaxed(&pool->closing);
}

/* Is this the owner, with a slot among the workers? */
static inline bool mp_pool_is_owner(const mp_pool *pool) {
  return pool->scheduler.owner != NULL && mp_os_thread_tag() == pool->owner_tag;
}
/* Is this the owner, and does it run tasks while it waits? */
static inline bool mp_pool_owner_works(const mp_pool *pool) {
  return pool->config.owner_works && mp_pool_is_owner(pool);
}

/*
** Rare fences. Two threads each store something and then load what the other stores, and one at
** least must see the other: a worker does so at each task, the other side seldom. Where the system
** lets one thread fence for all, only that side pays:
**
**   worker                                rarely, whoever
**   mp_pool_store_first(pool, &a, ...)    store b      (seq)
**   load b                     (seq)      mp_pool_fence(pool)
**                                         load a       (seq)
**
** Elsewhere the worker's store is sequentially consistent. After Dice, Huang and Yang, "Asymmetric
** Dekker Synchronization" (2001); the fence is membarrier(2), as in liburcu.
*/
#define mp_pool_store_first(pool, p, value) \
  ((pool)->fences_all ? mp_store_unfenced((p), (value)) : mp_store_seq((p), (value)))
static inline void mp_pool_fence(const mp_pool *pool) {
  if (pool->fences_all) mp_os_fence_all();
}

/*
** Counters of the calling thread: a worker's own, or the shared ones. release: what a task
** submitted was counted before it settles (is_quiet in pool.c).
**
**   submitted == settled + queued, waiting and running ones + those that are being settled
**   started   == returned + those inside their bodies
**   submitted == started + skipped + those that may still start
*/
#define mp_pool_count(pool, self, field) \
  ((self) != NULL \
       ? mp_store_release(&(self)->counters.field, mp_load_relaxed(&(self)->counters.field) + 1) \
       : (void)mp_add_seq(&(pool)->outside.field, 1))

/* Something was counted that those look at who wait for quiet. Workers need this only before they
   sleep. */
static inline void mp_pool_tell_drainers(mp_pool *pool) {
  if (mp_load_seq(&pool->drainers) != 0) mp_waitlist_signal(&pool->waitlist, mp_quiet_key(pool));
}
/* Something has settled where no worker runs out of work soon: on none, or inside a body. */
static inline void mp_tell_drainers_outside_loop(mp_pool *pool, const mp_worker *self) {
  if (self == NULL || mp_worker_frame(self) != NULL) mp_pool_tell_drainers(pool);
}

#endif
