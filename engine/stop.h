/*
** stop.h - getting a body to return whose task was asked to stop; frames, by which it is found.
**
** The ladder: asked (the flag that mp_worker_cancelled reads) -> the host's interrupt, on the
** worker's own thread, sent again until the body is out -> if the task is over and its body is
** still in after stuck_grace_ns, its worker is marked stuck, and another takes its seat.
**
** Whoever asks climbs the first rungs at once; the timer thread does the rest. There is no list of
** what is to be stopped: it is what workers have in `frame`, so to look costs a step per worker,
** and only while something is being stopped. A piece has a frame as a task has, so the pieces of a
** task are stopped with it, on whichever worker they run.
**
**   looker                          worker
**   watched = 1     (seq)           frame = outer   (mp_pool_store_first)
**   mp_pool_fence                   read watched    (seq)
**   read frame      (seq)
**
** Either the looker sees that the frame is gone, or the worker sees that it is watched, and waits
** for running_lock before it lets go of it. So a frame seen under the lock is alive, its task too,
** and its worker's thread. The same fence orders what the looker has done before, a question or
** given_up, with a frame that is pushed: either it finds the frame, or the worker, which looks
** after the push, finds what was done.
*/
#ifndef MP_STOP_H
#define MP_STOP_H

#include "task.h"

MP_CHECKED mp_status mp_stop_open(mp_pool *pool);
void mp_stop_close(mp_pool *pool);

/* Some task was asked to stop: bodies that run are interrupted, now and until they are out. */
void mp_stop_bodies(mp_pool *pool);
/* The same a moment later, where a body that was asked begins and most likely returns at once. */
void mp_stop_bodies_soon(mp_pool *pool);
/* Ends the task whatever it does; true if this did it. Its body, if it runs, is stopped. */
bool mp_end_now(mp_pool *pool, mp_task *task, mp_state state);
/* Ends what still runs, for a shutdown whose deadline has passed. */
void mp_end_running(mp_pool *pool);

/* Was the task, or everything, asked to stop? task NULL: everything. */
static inline bool mp_is_asked(const mp_pool *pool, const mp_task *task) {
  if (task != NULL && (mp_load_relaxed(&task->word) & MP_FLAG_CANCEL) != 0) return true;
  return mp_load_relaxed(&pool->closing) == MP_CLOSING_STOP;
}

/* The task that the worker runs, or whose piece; NULL: none. On its own thread. */
static inline mp_task *mp_frame_task(const mp_worker *worker) {
  const mp_frame *frame = mp_worker_frame(worker);
  return frame == NULL ? NULL : frame->task;
}

/*
** {======================================================
** Frames: on the worker's own thread, innermost first
** =======================================================
*/

/* task NULL: of a piece that no task forked. */
static inline mp_frame mp_frame_for(const mp_worker *worker, mp_task *task) {
  return (mp_frame){.task = task, .outer = mp_load_relaxed(&worker->frame)};
}

/* Of the body of a task, which may suspend. */
static inline mp_frame mp_frame_for_body(const mp_worker *worker, mp_task *task, mp_status resumed,
                                         mp_strand *strand) {
  mp_frame frame = mp_frame_for(worker, task);
  frame.body = true;
  frame.strand = strand;
  frame.resumed = resumed;
  return frame;
}

void mp_await_watcher(mp_pool *pool);
void mp_come_back(mp_pool *pool, mp_worker *worker);

static inline void mp_frame_push(mp_pool *pool, mp_worker *worker, mp_frame *frame) {
  frame->call = ++worker->calls;
  mp_pool_store_first(pool, &worker->frame, frame);
}

/* Before the worker lets go of what the frame was for. */
static inline void mp_frame_pop(mp_pool *pool, mp_worker *worker, const mp_frame *frame) {
  assert(mp_load_relaxed(&worker->frame) == frame);
  mp_pool_store_first(pool, &worker->frame, frame->outer);
  if (mp_load_seq(&worker->watched)) mp_await_watcher(pool);
  if (mp_load_acquire(&worker->stuck) && worker->stuck_frame == frame) mp_come_back(pool, worker);
}

/* }====================================================== */

#endif
