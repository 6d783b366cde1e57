/*
** finish.c - a task's way from ready to finished, and what its end sets free. Iterative: a chain of a million needs no stack.
*/
#include <assert.h>

#include "bug.h"
#include "pool.h"

/* Only a task that never ran is ended by others while its arg is certain not to be in use. */
static void drop_unused_arg(mp_task *task, mp_state before) {
  if (before != MP_STATE_RUNNING && MP_BUGGY(DROP_NEVER)) task->own &= ~(uint32_t)MP_OWN_ARG;
  if (before != MP_STATE_RUNNING && !(task->own & MP_OWN_DONE)) mp_task_drop_arg(task);
}

void mp_pool_make_ready(mp_pool *pool, mp_worker *self, mp_task *task, bool tail) {
  if (!mp_task_queue(task)) {
    mp_pool_leave_queue(pool, task);
    mp_task_release(task); /* ended while it waited */
    return;
  }
  if (tail && task->priority == 0 && self->next == NULL)
    self->next = &task->as.ordered.job;
  else
    mp_scheduler_push(&pool->scheduler, self, &task->as.ordered, task->priority);
}

/* Tasks ended on the way, chained through job.next (they are in no queue), each with one reference and its word from before. */
typedef struct worklist {
  mp_task *first;
} worklist;

static void worklist_push(worklist *list, mp_task *task, uint32_t before) {
  mp_task_retain(task);
  task->as.ordered.job.kind = before;
  task->as.ordered.job.next = (mp_job *)list->first;
  list->first = task;
}

/* One dependency of `child` has ended. */
static void tell_successor(mp_pool *pool, mp_worker *self, mp_task *parent, mp_task *child, bool tail, worklist *failed) {
  if (mp_task_state(parent) != MP_STATE_DONE && !MP_BUGGY(FAILURE_STAYS)) {
    mp_task *none = NULL;
    uint32_t before;
    if (MP_BUGGY(CAUSE_AFTER_END) && mp_task_end(child, MP_STATE_FAILED, true, &before)) worklist_push(failed, child, before);
    MP_BUG_GAP(CAUSE_AFTER_END);
    mp_task_retain(parent);
    /* the cause is set before the state that makes it readable */
    if (!mp_cas_acq_rel(&child->cause, &none, parent)) mp_task_release(parent);
    if (mp_task_end(child, MP_STATE_FAILED, true, &before)) worklist_push(failed, child, before);
  }
  /* acq_rel: whoever is last has seen all parents' results */
  uint32_t left = mp_sub_acq_rel(&child->joins, 1) - 1;
  MP_BUG_GAP(JOIN_READ_AGAIN);
  if (MP_BUGGY(JOIN_READ_AGAIN)) left = mp_load_acquire(&child->joins);
  if (left == 0) mp_pool_make_ready(pool, self, child, tail);
}

static void end_timing(mp_pool *pool, mp_task *task) {
  mp_timing *timing = task->timing;
  if (timing->timeout_ns != 0 && !MP_BUGGY(TIMER_STAYS)) mp_pool_disarm(pool, task);
  if (timing->submitted_ns != 0) mp_store_relaxed(&timing->ended_ns, mp_os_now());
}

static void finish_one(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before, bool tail, worklist *failed) {
  if (task->timing != NULL) end_timing(pool, task);
  drop_unused_arg(task, mp_word_state(before));
  for (mp_link *link = mp_task_close_links(task), *next; link != NULL; link = next) {
    next = link->next; /* the link's memory may go with the call */
    if (link->target & 1)
      mp_notice_post((mp_notice *)(link->target - 1), task);
    else
      tell_successor(pool, self, task, (mp_task *)link->target, tail, failed);
  }
  if (before & MP_WORD_WAITED) {
    mp_event_signal(&pool->event);
    if (pool->scheduler.owner != NULL) mp_park_poke(&pool->scheduler.park, &pool->scheduler.owner->parker);
  }
  mp_pool_count(pool, self, settled);
}

/* It counts no longer among the pool's tasks. A body that returns gives its place back before its end can be seen, so that whoever waited
   for it finds room; a deadline may do it too. */
static void leave_limits(mp_pool *pool, mp_task *task) {
  if (task->bytes == 0 || mp_swap_acq_rel(&task->counted, 0) == 0) return;
  if (mp_admission_end(&pool->admission, 1)) mp_event_signal(&pool->event);
}

static void count_end(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before) {
  mp_pool_count(pool, self, ended[mp_task_state(task) - MP_STATE_DONE]);
  if (mp_word_state(before) != MP_STATE_RUNNING) mp_pool_count(pool, self, skipped);
  leave_limits(pool, task);
}

static void finish_counted(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before, bool tail) {
  worklist failed = {NULL};
  finish_one(pool, self, task, before, tail, &failed);
  while (failed.first != NULL) {
    mp_task *next = failed.first;
    failed.first = (mp_task *)next->as.ordered.job.next;
    count_end(pool, self, next, next->as.ordered.job.kind);
    finish_one(pool, self, next, next->as.ordered.job.kind, tail, &failed);
    mp_task_release(next);
  }
  if (self == NULL) mp_pool_tell_drainers(pool);
}

/* The end of a task that did not come by its body returning is counted here. */
void mp_pool_finish(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before, bool tail) {
  count_end(pool, self, task, before);
  finish_counted(pool, self, task, before, tail);
}
static mp_state state_of_status(mp_status status) {
  switch (status) {
    case MP_OK: return MP_STATE_DONE;
    case MP_CANCELLED: return MP_STATE_CANCELLED;
    default: return MP_STATE_FAILED;
  }
}

/* The body has come back. */
static void end_body(mp_pool *pool, mp_worker *worker, mp_task *task, bool tail) {
  uint32_t before;
  /* before the end is published: whoever waits may free what `drop` touches */
  if (!(task->own & MP_OWN_DONE) && !MP_BUGGY(DROP_AFTER_END)) mp_task_drop_arg(task);
  /* counted before the end is published, so that whoever sees the end finds it in the counters; taken back if a deadline was quicker */
  mp_state state = state_of_status(task->status);
  _Atomic uint64_t *ended = &worker->counters.ended[state - MP_STATE_DONE];
  mp_bump(ended);
  leave_limits(pool, task);
  bool won = mp_task_end(task, state, false, &before);
  MP_BUG_GAP(DROP_AFTER_END);
  if (MP_BUGGY(DROP_AFTER_END) && !(task->own & MP_OWN_DONE)) mp_task_drop_arg(task);
  if (won)
    finish_counted(pool, worker, task, before, tail);
  else
    mp_store_relaxed(ended, mp_load_relaxed(ended) - 1);
}

bool mp_pool_execute(mp_worker *worker, mp_task *task, bool tail) {
  mp_pool *pool = task->pool;
  mp_frame frame = {task, mp_load_relaxed(&worker->frame)};
  bool asked;
  /* Before the task is running: whoever finds that it is, and asks it to stop, finds the frame too (the word orders it); and whoever asked
     before is seen here. release: pairs with watch in stop.c */
  mp_store_release(&worker->frame, &frame);
  bool started = mp_task_start(task, &asked);
  if (started && asked) mp_pool_stop_bodies(pool);
  if (started) {
    mp_bump(&worker->counters.started);
    if (task->timing != NULL && task->timing->submitted_ns != 0) mp_store_relaxed(&task->timing->started_ns, mp_os_now());
    /* after the frame is published, as a shutdown stores STOP before it looks at frames: it ends this one, or the body does not begin */
    bool late = mp_load_seq(&pool->closing) == MP_CLOSING_STOP;
    task->status = late ? MP_CANCELLED : task->run(worker, task->arg);
    mp_bump(&worker->counters.returned);
  }
  mp_store_seq(&worker->frame, frame.outer); /* before `watched` is read: see stop.c */
  mp_pool_returned(pool, worker);
  if (started) end_body(pool, worker, task, tail);
  return started;
}

void mp_pool_run_job(mp_worker *worker, mp_job *job) {
  mp_task *task = mp_task_of_job(job);
  mp_pool *pool = task->pool;
  uint32_t before;
  mp_pool_leave_queue(pool, task);
  if (mp_load_relaxed(&pool->closing) >= MP_CLOSING_CANCEL) { /* shutting down: what has not started is cancelled */
    if (mp_task_end(task, MP_STATE_CANCELLED, true, &before)) mp_pool_finish(pool, worker, task, before, true);
  } else {
    mp_pool_execute(worker, task, true);
  }
  mp_task_release(task);
}
