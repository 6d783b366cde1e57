/*
** pool.h - what a pool is made of: the only place where the parts meet.
**
** Order of locks, outermost first; none is held while calling the host (run, done, drop, wake,
** worker_start):
**   1. shutdown_lock   2. timer_lock   3. scheduler.lock   4. mailbox.lock   5. inbox.lock,
**                      park.lock, store.lock, running_lock
**   critical (mp_worker_lock) is the host's: taken with none of these held. log.lock is held around
**   the sink only.
*/
#ifndef MP_POOL_H
#define MP_POOL_H

#include "admit.h"
#include "alloc.h"
#include "event.h"
#include "log.h"
#include "mailbox.h"
#include "os.h"
#include "scheduler.h"
#include "store.h"
#include "task.h"
#include "timers.h"

typedef enum mp_closing {
  MP_CLOSING_NOT,
  MP_CLOSING_REFUSE, /* no new tasks */
  MP_CLOSING_CANCEL, /* and what has not started is cancelled */
  MP_CLOSING_STOP    /* and what runs is asked to stop */
} mp_closing;

struct mp_pool {
  /* constant after create */
  mp_pool_config config;
  mp_alloc alloc;
  mp_log log;
  mp_os_fork_guard fork_guard;
  void *owner_tag;
  mp_mailbox_host mailbox_host;
  mp_mailbox *mailbox;
  /* shared, each with its own rules */
  mp_scheduler scheduler;
  mp_store stores[MP_TASK_SIZES];
  mp_admission admission;
  mp_event event; /* something a waiting thread may want has happened */
  mp_os_mutex critical;
  /* read by all at each task and seldom written */
  bool fences_all;           /* constant: see mp_pool_store_first */
  _Atomic uint32_t closing;  /* mp_closing; only grows */
  _Atomic uint32_t drainers; /* threads in mp_pool_drain */
  /* written by the owner, and other threads that are no workers */
  _Alignas(MP_CACHE_LINE) mp_task_lists owner_tasks; /* owner thread only */
  mp_counters outside;                               /* what happened on no worker; fetch_add */
  /* written by all */
  /* the host's, one per thread, mailbox, bytes, and task with a handle */
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t references;
  _Atomic uint64_t next_id, next_bytes_id;
  /* deadlines */
  _Alignas(MP_CACHE_LINE) mp_os_mutex timer_lock;
  mp_timers timers; /* guarded by timer_lock */
  mp_os_gate timer_gate;
  mp_os_thread timer_thread; /* guarded by timer_lock */
  /* guarded by timer_lock: when to look at bodies that were asked to stop; MP_FOREVER: not */
  uint64_t tick_at;
  bool timer_running, timer_stop; /* guarded by timer_lock */
  /* shutdown */
  mp_os_mutex running_lock; /* held while somebody looks at what workers run: see stop.c */
  mp_os_mutex shutdown_lock;
  bool shut_down;            /* guarded by shutdown_lock */
  mp_shutdown_report report; /* guarded by shutdown_lock */
};

void mp_pool_retain(mp_pool *pool);
void mp_pool_release(mp_pool *pool);
/* For a task that is gone; `self` as in mp_pool_self. */
void mp_pool_release_task(mp_pool *pool, mp_worker *self);

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

/*
** Two threads each store something and then load what the other stores, and one at least must see
** the other: a worker does so at each task, the other side seldom. Where the system lets one thread
** fence for all, only that side pays:
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
** submitted was counted before it settles (mp_pool_quiet).
*/
#define mp_pool_count(pool, self, field) \
  ((self) != NULL \
       ? mp_store_release(&(self)->counters.field, mp_load_relaxed(&(self)->counters.field) + 1) \
       : (void)mp_add_seq(&(pool)->outside.field, 1))

/* submit.c: ends what is queued, for a shutdown; jobs that are no tasks stay. */
void mp_pool_cancel_queued(mp_pool *pool);
/*
** A task that counts in the limits leaves its queue, for good or for bad: once, with the engine's
** reference.
*/
void mp_pool_leave_queue(mp_pool *pool, const mp_task *task);

/*
** finish.c: the one who ended `task` releases whom it holds. `before` is the word before the end.
** `tail`: the caller is the worker that ran it and has nothing left to do, so a successor may
** become its continuation.
*/
void mp_pool_finish(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before, bool tail);
/* Queues a task whose last dependency is done (the engine's reference passes on). */
void mp_pool_make_ready(mp_pool *pool, mp_worker *self, mp_task *task, bool tail);
/* Into a queue, by whoever has made it so. */
void mp_pool_queue(mp_pool *pool, mp_worker *self, mp_task *task, bool tail);
/*
** Runs a queued task here and finishes it, for one who waits for it; false if it was ended, or is
** run elsewhere.
*/
bool mp_pool_execute(mp_worker *worker, mp_task *task);
/* A queued task's job. */
void mp_pool_run_job(mp_worker *worker, mp_job *job);

/* deadline.c */
MP_CHECKED mp_status mp_pool_arm(mp_pool *pool, mp_task *task);
void mp_pool_disarm(mp_pool *pool, mp_task *task);
void mp_pool_stop_timer(mp_pool *pool);
/*
** Lets the timer thread call mp_pool_tick, at that time or before. Without a thread nothing
** happens.
*/
void mp_pool_tick_at(mp_pool *pool, uint64_t when);

/* stop.c */
MP_CHECKED mp_status mp_pool_open_interrupts(mp_pool *pool);
void mp_pool_close_interrupts(mp_pool *pool);
void mp_pool_await_watcher(mp_pool *pool);
void mp_pool_come_back(mp_pool *pool, mp_worker *worker);
/* The worker has taken off a frame: on its own thread, before it lets go of the task. */
static inline void mp_pool_returned(mp_pool *pool, mp_worker *worker) {
  if (mp_load_seq(&worker->watched)) mp_pool_await_watcher(pool);
  if (mp_load_relaxed(&worker->stuck)) mp_pool_come_back(pool, worker);
}
/* Some task was asked to stop: bodies that run are interrupted, now and until they are out. */
void mp_pool_stop_bodies(mp_pool *pool);
/*
** The timer thread's part of that; returns when to call it again, MP_FOREVER if nothing is left to
** stop.
*/
uint64_t mp_pool_tick(mp_pool *pool);
/* Ends the task whatever it does; true if this did it. Its body, if it runs, is stopped. */
bool mp_pool_end_now(mp_pool *pool, mp_task *task, mp_state state);
/* Ends what still runs, for a shutdown whose deadline has passed. */
void mp_pool_end_running(mp_pool *pool);

/* Is this the owner, with a slot among the workers? */
static inline bool mp_pool_is_owner(const mp_pool *pool) {
  return pool->scheduler.owner != NULL && mp_os_thread_tag() == pool->owner_tag;
}
/* Is this the owner, and does it run tasks while it waits? */
static inline bool mp_pool_owner_works(const mp_pool *pool) {
  return pool->config.owner_works && mp_pool_is_owner(pool);
}
/* Works on the calling worker, or owner with a slot, until the task has ended. */
void mp_pool_work_until(mp_pool *pool, mp_task *task);
/* Runs, as that owner, whatever can be found; false if there was nothing. */
bool mp_pool_help_as_owner(mp_pool *pool);

/* Something was counted that mp_pool_drain looks at. Workers need this only before they sleep. */
static inline void mp_pool_tell_drainers(mp_pool *pool) {
  if (mp_load_seq(&pool->drainers) != 0) mp_event_signal(&pool->event);
}

/* Is submitted == settled? (then nothing can happen any more unless somebody outside submits) */
bool mp_pool_quiet(mp_pool *pool);

#endif
