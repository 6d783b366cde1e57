#include "run.h"

#include "bug.h"
#include "finish.h"
#include "pick.h"
#include "stop.h"
#include "strand.h"
#include "suspend.h"

#define AWAITED_MAX 4 /* tasks that a suspended body waits for are looked for in the own deque */

static mp_state state_of_status(mp_status status) {
  switch (status) {
    case MP_OK: return MP_STATE_DONE;
    case MP_CANCELLED: return MP_STATE_CANCELLED;
    default: return MP_STATE_FAILED;
  }
}

static bool nobody_to_tell(const mp_task *task, uint32_t before) {
  return !(before & (MP_FLAG_WAITED | MP_FLAG_EXTRA)) && mp_load_relaxed(&task->successors) == NULL;
}

/* The body has come back. */
static void end_body(mp_pool *pool, mp_worker *worker, mp_task *task, bool tail, bool exclusive) {
  uint32_t before;
  /*
  ** counted before the end is published, so that whoever sees the end finds it in the counters;
  ** taken back if a deadline was quicker
  */
  mp_state state = state_of_status((mp_status)task->status);
  _Atomic uint64_t *ended = &worker->counters.ended[state - MP_STATE_DONE];
  mp_bump(ended);
  /* so too its place is free, for whoever waited for it and submits the next */
  mp_task_leave_limits(task, MP_COUNTED_TASK);
  bool won = exclusive ? mp_task_end_exclusive(task, state, &before)
                       : mp_task_end(task, state, false, 0, &before);
  if (won && exclusive && nobody_to_tell(task, before)) {
    mp_pool_count(pool, worker, settled);
    mp_tell_drainers_outside_loop(pool, worker);
    return;
  }
  MP_BUG_GAP(DROP_AFTER_END);
  if (MP_BUGGY(DROP_AFTER_END) && !(task->own & MP_OWN_DONE)) mp_task_drop_arg(task);
  if (won)
    mp_finish_counted(pool, worker, task, (mp_ended){before, tail, exclusive});
  else
    mp_store_relaxed(ended, mp_load_relaxed(ended) - 1);
}

/* Makes the task running, and publishes its frame; false: it was ended, or runs elsewhere. */
static bool start(mp_pool *pool, mp_worker *worker, mp_task *task, mp_frame *frame,
                  bool exclusive) {
  bool asked = false, started;
  if (exclusive) {
    /*
    ** found through nothing but the frame: running before that is there, for whoever finds it may
    ** end it
    */
    started = mp_task_start(task, true, &asked);
    mp_frame_push(pool, worker, frame);
  } else {
    /*
    ** Before the task is running: whoever finds that it is, and asks it to stop, finds the frame
    ** too (the word orders it); and whoever asked before is seen here.
    */
    mp_frame_push(pool, worker, frame);
    started = mp_task_start(task, false, &asked);
  }
  if (started && asked) mp_stop_bodies(pool);
  return started;
}

/*
** Calls the body; true: it has come to its end, false: it is suspended. late: it is not called, as
** if it had been cancelled before it began.
*/
static bool call_body(mp_pool *pool, mp_worker *worker, mp_task *task, mp_frame *frame, bool late) {
  unsigned status = late ? MP_CANCELLED : (unsigned)task->run(worker, task->arg);
  if (mp_is_orphan(worker)) return true; /* what is left to do is done in the parent */
  if (status == MP_SUSPENDED && frame->sleeper != NULL) return false;
  frame->body = false; /* what follows may not suspend */
  if (frame->sleeper != NULL) mp_drop_sleeper(pool, frame->sleeper);
  task->status = (uint8_t)(status < MP_STATUS_COUNT ? status : MP_FAILED);
  /*
  ** before the end is published: whoever waits may free what `drop` touches; and inside the frame,
  ** for `drop` is the host's too: it may wait, and it may take its time
  */
  if (!(task->own & MP_OWN_DONE) && !MP_BUGGY(DROP_AFTER_END)) mp_task_drop_arg(task);
  mp_bump(&worker->counters.returned);
  return true;
}

/* The same the first time. */
static bool begin_body(mp_pool *pool, mp_worker *worker, mp_task *task, mp_frame *frame) {
  mp_extra *extra = mp_task_extra(task);
  mp_bump(&worker->counters.started);
  if (extra != NULL && extra->submitted_ns != 0) mp_store_relaxed(&extra->started_ns, mp_os_now());
  /*
  ** after the frame is published, as a shutdown stores STOP before it looks at frames: it ends this
  ** one, or the body does not begin
  */
  bool late = mp_load_seq(&pool->closing) == MP_CLOSING_STOP;
  return call_body(pool, worker, task, frame, late);
}

/*
** One of the tasks that are waited for, out of the worker's own deque; or NULL. They live until the
** body is called again, so before it is put to sleep.
*/
static mp_entry *take_awaited(mp_worker *worker, const mp_sleeper *sleeper) {
  size_t tasks = mp_sleeper_tasks(sleeper);
  for (size_t i = 0; i < tasks && i < AWAITED_MAX; i++) {
    mp_task *task = mp_sleeper_task(sleeper, i);
    if (task != NULL && mp_task_state(task) == MP_STATE_QUEUED && mp_task_priority(task) == 0 &&
        mp_pick_take_own(worker, &task->as.entry))
      return &task->as.entry;
  }
  return NULL;
}

/* The body has returned with SUSPENDED. tail: as in mp_ended; then what it waits for runs next. */
static void fall_asleep(mp_pool *pool, mp_worker *worker, mp_task *task, mp_sleeper *sleeper,
                        bool tail) {
  mp_entry *awaited = tail ? take_awaited(worker, sleeper) : NULL;
  mp_fall_asleep(pool, task, sleeper);
  if (awaited == NULL) return;
  assert(worker->continuation == NULL);
  worker->continuation = awaited;
}

/*
** `own`: the caller has the engine's reference. In a child of fork(2) that a body has made, all
** locks may be held, and what is queued runs in the parent: then the worker touches nothing any
** more.
*/
static bool execute(mp_worker *worker, mp_task *task, mp_strand *strand, bool tail, bool own) {
  mp_pool *pool = task->pool;
  mp_frame frame = mp_frame_for_body(worker, task, MP_INVALID, strand);
  bool exclusive = own && (mp_task_is_exclusive(task) || MP_BUGGY(EXCLUSIVE_GUESSED));
  bool started = start(pool, worker, task, &frame, exclusive);
  /* a queue may hold it still: what is found there later would only be found to be over */
  if (started && !own) mp_unqueue_task(pool, task);
  bool ended = started && begin_body(pool, worker, task, &frame);
  if (mp_is_orphan(worker)) return started;
  mp_frame_pop(pool, worker, &frame);
  if (ended)
    end_body(pool, worker, task, tail, own && mp_task_is_exclusive(task));
  else if (started)
    fall_asleep(pool, worker, task, frame.sleeper, tail);
  return started;
}

/*
** Its turn on the strand, or NULL, is over, and a reference is given back. With the last one the
** host's `drop` of a result, or task_unseen, may be called, which may take its time, or wait for
** just what this worker was to run next: that is left to others then.
*/
static void let_go(mp_pool *pool, mp_worker *worker, mp_task *task, mp_strand *strand) {
  if (strand != NULL) mp_strand_hold(strand); /* the task's may go with it */
  bool last = mp_task_drop_reference(task), host = last && mp_task_end_calls_host(task);
  if (host) mp_give_up_continuation(pool, worker);
  if (strand != NULL) {
    mp_leave_strand(pool, worker, strand, !host);
    mp_strand_drop(strand);
  }
  if (!last) return;
  if (host) mp_store_release(&worker->in_hook, 1);
  mp_task_end_life(task);
  if (host) mp_store_release(&worker->in_hook, 0);
}

void mp_resume_entry(mp_worker *worker, mp_entry *entry) {
  mp_sleeper *sleeper = (mp_sleeper *)entry;
  mp_task *task = sleeper->task;
  mp_pool *pool = task->pool;
  mp_strand *strand = sleeper->strand;
  mp_frame frame = mp_frame_for_body(worker, task, sleeper->why, strand);
  mp_frame_push(pool, worker, &frame);
  /*
  ** after the frame is published: a shutdown stores that before it looks at frames, so it finds
  ** this one, or it is seen here
  */
  if (mp_load_seq(&pool->given_up)) {
    mp_frame_pop(pool, worker, &frame);
    (void)mp_refuse_resumed(pool, entry);
    return;
  }
  sleeper->strand = NULL; /* the reference is ours */
  mp_drop_sleeper(pool, sleeper);
  /* whoever asked it to stop before found no frame */
  if (mp_is_asked(pool, task)) mp_stop_bodies_soon(pool);
  bool ended = call_body(pool, worker, task, &frame, false);
  if (mp_is_orphan(worker)) return;
  mp_frame_pop(pool, worker, &frame);
  if (ended)
    end_body(pool, worker, task, true, mp_task_is_exclusive(task));
  else
    fall_asleep(pool, worker, task, frame.sleeper, true);
  let_go(pool, worker, task, strand); /* the sleeper's reference */
  mp_strand_drop(strand);
}

bool mp_run_in_place(mp_worker *worker, mp_task *task) {
  mp_pool *pool = task->pool;
  if (mp_task_strand(task) != NULL) return false; /* it is not its turn, or that is queued */
  /* most likely it is in this worker's own deque, where it would lie with its result */
  bool own = mp_task_priority(task) == 0 && mp_pick_take_own(worker, &task->as.entry);
  if (own) mp_leave_queue(pool, task);
  bool ran = execute(worker, task, NULL, false, own);
  if (own && !mp_is_orphan(worker)) mp_task_release(task);
  return ran;
}

void mp_run_task_entry(mp_worker *worker, mp_entry *entry) {
  mp_task *task = mp_task_of_entry(entry);
  mp_pool *pool = task->pool;
  mp_strand *strand = mp_task_strand(task);
  uint32_t before;
  mp_leave_queue(pool, task);
  if (mp_load_relaxed(&pool->closing) >=
      MP_CLOSING_CANCEL) { /* what has not started is cancelled */
    if (mp_task_end(task, MP_STATE_CANCELLED, true, 0, &before))
      mp_finish(pool, worker, task, (mp_ended){before, true, false});
  } else {
    (void)!execute(worker, task, strand, true, true);
  }
  if (mp_is_orphan(worker)) return;
  let_go(pool, worker, task, strand);
}
