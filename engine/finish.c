/*
** finish.c - a task's way from ready to finished, and what its end sets free. Iterative: a chain of
** a million needs no stack.
*/
#include <assert.h>

#include "bug.h"
#include "pool.h"

/* Only a task that never ran is ended by others while its arg is certain not to be in use. */
static void drop_unused_arg(mp_task *task, mp_state before) {
  if (before != MP_STATE_RUNNING && MP_BUGGY(DROP_NEVER)) task->own &= (uint8_t)~MP_OWN_ARG;
  if (before != MP_STATE_RUNNING && !(task->own & MP_OWN_DONE)) mp_task_drop_arg(task);
}

void mp_pool_queue(mp_pool *pool, mp_worker *self, mp_task *task, bool tail) {
  int priority = mp_task_priority(task);
  if (priority != 0)
    mp_scheduler_push_ordered(&pool->scheduler, &task->as.job, &mp_task_places(task)->order,
                              priority);
  else if (tail && self->next == NULL)
    self->next = &task->as.job;
  else
    mp_scheduler_push(&pool->scheduler, self, &task->as.job);
}

void mp_pool_make_ready(mp_pool *pool, mp_worker *self, mp_task *task, bool tail) {
  if (!mp_task_queue(task)) {
    mp_pool_leave_queue(pool, task);
    mp_task_release(task); /* ended while it waited */
    return;
  }
  mp_pool_queue(pool, self, task, tail);
}

/*
** Tasks that never ran and are ended on the way, chained through job.next (they are in no queue),
** each with one reference.
*/
typedef struct worklist {
  mp_task *first;
} worklist;

static void worklist_push(worklist *list, mp_task *task) {
  mp_task_retain(task);
  task->as.job.next = (mp_job *)list->first;
  list->first = task;
}

/* One dependency of `child` has ended. */
static void tell_successor(mp_pool *pool, mp_worker *self, mp_task *parent, mp_task *child,
                           bool tail, worklist *failed) {
  if (mp_task_state(parent) != MP_STATE_DONE && !MP_BUGGY(FAILURE_STAYS)) {
    mp_task *none = NULL;
    uint32_t before;
    if (MP_BUGGY(CAUSE_AFTER_END) && mp_task_end(child, MP_STATE_FAILED, true, &before))
      worklist_push(failed, child);
    MP_BUG_GAP(CAUSE_AFTER_END);
    mp_task_retain(parent);
    /* the cause is set before the state that makes it readable */
    if (!mp_cas_acq_rel(&child->as.never.cause, &none, parent)) mp_task_release(parent);
    if (mp_task_end(child, MP_STATE_FAILED, true, &before)) worklist_push(failed, child);
  }
  /* acq_rel: whoever is last has seen all parents' results */
  uint32_t left = mp_sub_acq_rel(&child->joins, 1) - 1;
  MP_BUG_GAP(JOIN_READ_AGAIN);
  if (MP_BUGGY(JOIN_READ_AGAIN)) left = mp_load_acquire(&child->joins);
  if (left == 0) mp_pool_make_ready(pool, self, child, tail);
}

static void end_timing(mp_pool *pool, mp_task *task, mp_extra *extra) {
  if (extra->timeout_ns != 0 && !MP_BUGGY(TIMER_STAYS)) mp_pool_disarm(pool, task);
  if (extra->submitted_ns != 0) mp_store_relaxed(&extra->ended_ns, mp_os_now());
}

/* How a task came to its end. */
typedef struct ending {
  uint32_t before; /* the word as it was */
  bool tail;       /* as in mp_pool_finish */
  bool sole;       /* its worker has it to itself */
} ending;

static void finish_one(mp_pool *pool, mp_worker *self, mp_task *task, ending how,
                       worklist *failed) {
  mp_extra *extra = mp_task_extra(task);
  if (extra != NULL) end_timing(pool, task, extra);
  drop_unused_arg(task, mp_word_state(how.before));
  for (mp_link *link = mp_task_close_links(task, how.sole), *next; link != NULL; link = next) {
    next = link->next; /* the link's memory may go with the call */
    if (link->target & 1)
      mp_notice_post((mp_notice *)(link->target - 1), task);
    else
      tell_successor(pool, self, task, (mp_task *)link->target, how.tail, failed);
  }
  if (how.before & MP_WORD_WAITED) {
    mp_event_signal(&pool->event);
    if (pool->scheduler.owner != NULL)
      mp_park_poke(&pool->scheduler.park, &pool->scheduler.owner->parker);
  }
  mp_pool_count(pool, self, settled);
}

/*
** It counts no longer among the pool's tasks. A body that returns gives its place back before its
** end can be seen, so that whoever waited for it finds room; a deadline may do it too.
*/
static void leave_limits(mp_pool *pool, mp_task *task) {
  mp_extra *extra = mp_task_extra(task);
  if (extra == NULL || extra->bytes == 0 || mp_swap_acq_rel(&extra->counted, 0) == 0) return;
  if (mp_admission_end(&pool->admission, 1)) mp_event_signal(&pool->event);
}

static void count_end(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before) {
  mp_pool_count(pool, self, ended[mp_task_state(task) - MP_STATE_DONE]);
  if (mp_word_state(before) != MP_STATE_RUNNING) mp_pool_count(pool, self, skipped);
  leave_limits(pool, task);
}

static void finish_counted(mp_pool *pool, mp_worker *self, mp_task *task, ending how) {
  worklist failed = {NULL};
  finish_one(pool, self, task, how, &failed);
  while (failed.first != NULL) {
    mp_task *next = failed.first;
    /* who waits for it has left the flag in its word by now, or will see its end */
    const ending unrun = {(mp_load_relaxed(&next->word) & ~MP_WORD_STATE) | MP_STATE_WAITING,
                          how.tail, false};
    failed.first = (mp_task *)next->as.job.next;
    count_end(pool, self, next, unrun.before);
    finish_one(pool, self, next, unrun, &failed);
    mp_task_release(next);
  }
  if (self == NULL) mp_pool_tell_drainers(pool);
}

/* The end of a task that did not come by its body returning is counted here. */
void mp_pool_finish(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before, bool tail) {
  count_end(pool, self, task, before);
  finish_counted(pool, self, task, (ending){before, tail, false});
}

static mp_state state_of_status(mp_status status) {
  switch (status) {
    case MP_OK: return MP_STATE_DONE;
    case MP_CANCELLED: return MP_STATE_CANCELLED;
    default: return MP_STATE_FAILED;
  }
}

static bool nobody_to_tell(const mp_task *task, uint32_t before) {
  return !(before & (MP_WORD_WAITED | MP_WORD_EXTRA)) && mp_load_relaxed(&task->successors) == NULL;
}

/* The body has come back. */
static void end_body(mp_pool *pool, mp_worker *worker, mp_task *task, bool tail, bool sole) {
  uint32_t before;
  /* before the end is published: whoever waits may free what `drop` touches */
  if (!(task->own & MP_OWN_DONE) && !MP_BUGGY(DROP_AFTER_END)) mp_task_drop_arg(task);
  /*
  ** counted before the end is published, so that whoever sees the end finds it in the counters;
  ** taken back if a deadline was quicker
  */
  mp_state state = state_of_status((mp_status)task->status);
  _Atomic uint64_t *ended = &worker->counters.ended[state - MP_STATE_DONE];
  mp_bump(ended);
  leave_limits(pool, task);
  bool won =
      sole ? mp_task_end_sole(task, state, &before) : mp_task_end(task, state, false, &before);
  if (won && sole && nobody_to_tell(task, before)) {
    mp_pool_count(pool, worker, settled);
    return;
  }
  MP_BUG_GAP(DROP_AFTER_END);
  if (MP_BUGGY(DROP_AFTER_END) && !(task->own & MP_OWN_DONE)) mp_task_drop_arg(task);
  if (won)
    finish_counted(pool, worker, task, (ending){before, tail, sole});
  else
    mp_store_relaxed(ended, mp_load_relaxed(ended) - 1);
}

/* `own`: the caller has the engine's reference. */
static bool execute(mp_worker *worker, mp_task *task, bool tail, bool own) {
  mp_pool *pool = task->pool;
  mp_frame frame = {task, mp_load_relaxed(&worker->frame)};
  bool asked, started, sole = own && (mp_task_is_sole(task) || MP_BUGGY(SOLE_GUESSED));
  if (sole) {
    /*
    ** found through nothing but the frame: running before that is there, for whoever finds it may
    ** end it
    */
    started = mp_task_start(task, true, &asked);
    mp_pool_store_first(pool, &worker->frame, &frame);
  } else {
    /*
    ** Before the task is running: whoever finds that it is, and asks it to stop, finds the frame
    ** too (the word orders it); and whoever asked before is seen here. release: pairs with watch in
    ** stop.c
    */
    mp_store_release(&worker->frame, &frame);
    started = mp_task_start(task, false, &asked);
  }
  if (started && asked) mp_pool_stop_bodies(pool);
  if (started) {
    mp_extra *extra = mp_task_extra(task);
    mp_bump(&worker->counters.started);
    if (extra != NULL && extra->submitted_ns != 0)
      mp_store_relaxed(&extra->started_ns, mp_os_now());
    /*
    ** after the frame is published, as a shutdown stores STOP before it looks at frames: it ends
    ** this one, or the body does not begin
    */
    bool late = mp_load_seq(&pool->closing) == MP_CLOSING_STOP;
    unsigned status = late ? MP_CANCELLED : (unsigned)task->run(worker, task->arg);
    task->status = (uint8_t)(status < MP_STATUS_COUNT ? status : MP_FAILED);
    mp_bump(&worker->counters.returned);
  }
  mp_pool_store_first(pool, &worker->frame, frame.outer); /* before `watched` is read: see stop.c */
  mp_pool_returned(pool, worker);
  if (started) end_body(pool, worker, task, tail, own && mp_task_is_sole(task));
  return started;
}

bool mp_pool_execute(mp_worker *worker, mp_task *task) {
  return execute(worker, task, false, false);
}

void mp_pool_run_job(mp_worker *worker, mp_job *job) {
  mp_task *task = mp_task_of_job(job);
  mp_pool *pool = task->pool;
  uint32_t before;
  mp_pool_leave_queue(pool, task);
  /* shutting down: what has not started is cancelled */
  if (mp_load_relaxed(&pool->closing) >= MP_CLOSING_CANCEL) {
    if (mp_task_end(task, MP_STATE_CANCELLED, true, &before))
      mp_pool_finish(pool, worker, task, before, true);
  } else {
    (void)!execute(worker, task, true, true);
  }
  mp_task_release(task);
}
