/*
** finish.h - a task's way from ready to finished, and what its end sets free.
*/
#ifndef MP_FINISH_H
#define MP_FINISH_H

#include "task.h"

/* How a task came to its end. */
typedef struct mp_ended {
  uint32_t before; /* its word before the end */
  /*
  ** the caller is the worker that ran it and has nothing left to do: a successor may become its
  ** continuation
  */
  bool tail;
  bool exclusive; /* the caller has it to itself (task.h) */
} mp_ended;

/*
** The one who ended a task otherwise than by its body's return releases whom it holds. `self` as in
** mp_pool_self.
*/
void mp_finish(mp_pool *pool, mp_worker *self, mp_task *task, mp_ended how);
/* The same for a body's return, which is counted already. */
void mp_finish_counted(mp_pool *pool, mp_worker *self, mp_task *task, mp_ended how);

/* Queues a task whose last dependency is done (the engine's reference passes on). */
void mp_make_ready(mp_pool *pool, mp_worker *self, mp_task *task, bool tail);
/* Into a queue, by whoever has made it so; or into the line of its strand. */
void mp_queue_task(mp_pool *pool, mp_worker *self, mp_task *task, bool tail);
/* The same for a sleeper that has been woken. */
void mp_queue_sleeper(mp_pool *pool, mp_worker *self, mp_sleeper *sleeper);
/*
** What had its turn on the strand has run, or will not run any more: the next is queued. NULL is
** ignored.
*/
void mp_leave_strand(mp_pool *pool, mp_worker *self, mp_strand *strand, bool tail);
/*
** Takes a task that has started, or ended, out of the queue where it still stands, and gives the
** engine's reference back. One that is in a deque, or in a worker's hand, stays until it is found.
*/
void mp_unqueue_task(mp_pool *pool, mp_task *task);
/* A task that counts in the limits as not started does so no longer; once, or more often. */
void mp_leave_queue_counted(mp_pool *pool, const mp_task *task);
static inline void mp_leave_queue(mp_pool *pool, const mp_task *task) {
  const mp_extra *extra = mp_task_extra(task);
  if (extra != NULL && extra->bytes != 0) mp_leave_queue_counted(pool, task);
}
/* Ends all that is queued, for a shutdown; jobs and loops from outside too. */
void mp_cancel_queued(mp_pool *pool);
/*
** The owner leaves its slot (mp_owner_leave). What it has queued there, and does not run any more,
** ends if a shutdown has looked for the last time: no worker may be left.
*/
void mp_owner_goes(mp_pool *pool, mp_stay *stay);

/* A continuation that must give way goes into a queue; ud is the pool. */
void mp_requeue(mp_worker *worker, mp_entry *entry, void *ud);
/* The worker's own, before it calls the host: others may run it meanwhile. */
void mp_give_up_continuation(mp_pool *pool, mp_worker *worker);

/* The pool's `overdue` has passed: has somebody come by at the lane since? */
void mp_look_at_lane(mp_pool *pool);

/* A task's end, or a cancel, is news for those who wait for it. */
static inline void mp_signal_task(mp_pool *pool, const mp_task *task) {
  mp_waitlist_signal(&pool->waitlist, task);
  mp_sleepers_wake(&pool->sleepers, task);
}

#endif
