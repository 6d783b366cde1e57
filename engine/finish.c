#include "finish.h"

#include <assert.h>

#include "bug.h"
#include "pick.h"
#include "seats.h"
#include "strand.h"

/*
** {======================================================
** Queues
** =======================================================
*/

static mp_order *order_of(const mp_task *task) {
  return mp_task_priority(task) != 0 ? &mp_task_places(task)->order : NULL;
}

/* So long at most a resumed task waits for a worker, while others compute. */
#define OVERDUE_NS ((uint64_t)1000000)

/* Somebody will look whether the lane gets on; at most once in that time. */
static void watch_lane(mp_pool *pool) {
  uint32_t no = 0;
  if (mp_load_seq(&pool->lane_watched) || !mp_cas_seq(&pool->lane_watched, &no, 1)) return;
  mp_store_relaxed(&pool->lane_seen, mp_load_relaxed(&pool->scheduler.lane.popped));
  mp_deadlines_bring_forward(&pool->deadlines, &pool->overdue, mp_os_deadline(OVERDUE_NS));
}

/* On the timer thread. */
void mp_look_at_lane(mp_pool *pool) {
  mp_lane *lane = &pool->scheduler.lane;
  uint32_t popped = mp_load_relaxed(&lane->popped);
  bool gets_on = popped != mp_load_relaxed(&pool->lane_seen);
  mp_store_seq(&pool->lane_watched, 0); /* then the count; who pushes counts, then reads this */
  if (mp_lane_count(lane) == 0) return;
  if (!gets_on) mp_seats_let_in_extra(&pool->scheduler);
  watch_lane(pool);
}

/* A task's entry or a sleeper's, whose turn it is. */
static void push(mp_pool *pool, mp_worker *self, mp_entry *entry, bool tail) {
  mp_sleeper *sleeper = entry->run == pool->resume_task ? (mp_sleeper *)entry : NULL;
  const mp_task *task = sleeper != NULL ? sleeper->task : mp_task_of_entry(entry);
  mp_order *order = order_of(task);
  if (sleeper != NULL) {
    sleeper->turn = true;
    /* a place of its own: those of the task may be taken still, where it has run in place */
    if (order != NULL) order = &sleeper->order;
  }
  if (order != NULL) {
    mp_pick_push_ordered(&pool->scheduler, entry, order, mp_task_priority(task));
  } else if (tail && self->continuation == NULL) {
    self->continuation = entry;
  } else if (sleeper == NULL) {
    mp_pick_push(&pool->scheduler, self, entry, 0);
  } else {
    mp_pick_push_resumed(&pool->scheduler, entry);
    watch_lane(pool);
  }
}

/* Ends what will not run; false: it must. */
static bool cancel_entry(mp_entry *entry, void *ud) {
  mp_pool *pool = ud;
  uint32_t before;
  if (entry->run != pool->run_task) return pool->refuse(pool, entry);
  mp_task *task = mp_task_of_entry(entry);
  mp_leave_queue(pool, task);
  if (mp_task_end(task, MP_STATE_CANCELLED, true, 0, &before))
    mp_finish(pool, NULL, task, (mp_ended){before, false, false});
  mp_task_release(task);
  return true;
}

/* Is it to end, in a line where nobody might come by any more? */
static bool is_late(const mp_entry *entry, void *ud) {
  const mp_pool *pool = ud;
  return mp_load_seq(&pool->given_up) ||
         (entry->run == pool->run_task && mp_load_seq(&pool->closing) >= MP_CLOSING_CANCEL);
}

static void end_in_line(mp_entry *entry, void *ud) { (void)!cancel_entry(entry, ud); }

/*
** Whoever has queued a resumed task when a shutdown's time is over: it may have looked there
** before, and nobody may be left to run it.
*/
static void end_if_late(mp_pool *pool) {
  if (mp_load_seq(&pool->given_up) && !MP_BUGGY(HAND_FORGOTTEN)) mp_cancel_queued(pool);
}

static void queue(mp_pool *pool, mp_worker *self, mp_entry *entry, mp_strand *strand, bool tail) {
  bool task = entry->run == pool->run_task; /* it may be gone when it has been queued */
  if (strand == NULL) {
    push(pool, self, entry, tail);
  } else {
    mp_strand_hold(strand);
    if (mp_strand_enter(strand, entry))
      push(pool, self, entry, tail);
    else if (task && mp_load_seq(&pool->closing) >= MP_CLOSING_CANCEL)
      mp_strand_drain(strand, is_late, end_in_line, pool);
    mp_strand_drop(strand);
  }
  if (!task) end_if_late(pool);
}

void mp_requeue(mp_worker *worker, mp_entry *entry, void *pool) {
  push(pool, worker, entry, false);
}

void mp_give_up_continuation(mp_pool *pool, mp_worker *worker) {
  mp_entry *entry = worker->continuation;
  worker->continuation = NULL;
  if (entry != NULL) mp_requeue(worker, entry, pool);
}

void mp_queue_task(mp_pool *pool, mp_worker *self, mp_task *task, bool tail) {
  queue(pool, self, &task->as.entry, mp_task_strand(task), tail);
}

void mp_queue_sleeper(mp_pool *pool, mp_worker *self, mp_sleeper *sleeper) {
  bool tail = self != NULL && self->in_tail;
  queue(pool, self, &sleeper->entry, sleeper->strand, tail);
}

void mp_leave_strand(mp_pool *pool, mp_worker *self, mp_strand *strand, bool tail) {
  mp_entry *next = strand != NULL ? mp_strand_leave(strand) : NULL;
  if (next == NULL) return;
  push(pool, self, next, tail);
  end_if_late(pool);
}

void mp_leave_queue_counted(mp_pool *pool, const mp_task *task) {
  mp_extra *extra = mp_task_extra(task);
  if (!(mp_and_acq_rel(&extra->counted, ~(uint32_t)MP_COUNTED_QUEUE) & MP_COUNTED_QUEUE)) return;
  if (mp_admission_leave_queue(&pool->admission, 1, extra->bytes))
    mp_waitlist_signal(&pool->waitlist, mp_room_key(pool));
}

void mp_unqueue_task(mp_pool *pool, mp_task *task) {
  mp_inbox *inbox = &pool->scheduler.inbox;
  if (MP_BUGGY(CANCELLED_STAYS)) return;
  if (mp_inbox_seems_empty(inbox, mp_level_of(mp_task_priority(task)))) return;
  if (!mp_inbox_remove(inbox, &task->as.entry, order_of(task))) return;
  mp_leave_queue(pool, task);
  if (!MP_BUGGY(TURN_KEPT)) mp_leave_strand(pool, NULL, mp_task_strand(task), false);
  mp_task_release(task);
}

void mp_make_ready(mp_pool *pool, mp_worker *self, mp_task *task, bool tail) {
  if (mp_task_queue(task)) {
    mp_queue_task(pool, self, task, tail);
    return;
  }
  mp_leave_queue(pool, task);
  mp_task_release(task); /* it ended while it waited */
}

/* The same for one that may be on a strand, where it has its turn. */
static bool cancel_queued_entry(mp_entry *entry, void *ud) {
  mp_pool *pool = ud;
  mp_strand *strand = entry->run == pool->run_task ? mp_task_strand(mp_task_of_entry(entry)) : NULL;
  if (strand != NULL) mp_strand_hold(strand); /* the task may be gone */
  bool ended = cancel_entry(entry, ud);
  mp_leave_strand(pool, NULL, strand, false);
  mp_strand_drop(strand);
  return ended;
}

void mp_cancel_queued(mp_pool *pool) {
  mp_strands_drain(pool, is_late, end_in_line, pool);
  mp_pick_drain(&pool->scheduler, cancel_queued_entry, pool);
  /* who waits for a piece that was out of its queue for a moment must look for it again */
  if (mp_load_relaxed(&pool->scheduler.stop)) mp_waitlist_signal(&pool->waitlist, NULL);
}

void mp_owner_goes(mp_pool *pool, mp_stay *stay) {
  const mp_worker *owner = stay->slot;
  bool goes = stay->begun;
  mp_owner_leave(stay);
  /* it has queued (seq), then reads closing; a shutdown stores that, then looks into the queues */
  if (goes && !mp_pool_forked(pool) && mp_load_seq(&pool->closing) == MP_CLOSING_STOP &&
      !mp_deque_empty_owner(&owner->deque))
    mp_cancel_queued(pool);
}

/* }====================================================== */

/*
** {======================================================
** The end
** =======================================================
*/

/* Only a task that never ran is ended by others while its arg is certain not to be in use. */
static void drop_unused_arg(mp_worker *self, mp_task *task, mp_state before) {
  if (before == MP_STATE_RUNNING) return;
  if (MP_BUGGY(DROP_NEVER)) task->own &= (uint8_t)~MP_OWN_ARG;
  if (!(task->own & MP_OWN_ARG) || task->own & MP_OWN_DONE) return;
  uint32_t outer = self != NULL ? mp_load_relaxed(&self->in_hook) : 0;
  if (self != NULL) mp_store_release(&self->in_hook, 1);
  mp_task_drop_arg(task);
  if (self != NULL) mp_store_release(&self->in_hook, outer);
}

/*
** Tasks that never ran and are ended on the way, chained through entry.next (they are in no queue),
** each with one reference. A list instead of a recursion: a chain of a million needs no stack.
*/
typedef struct worklist {
  mp_task *first;
} worklist;

static void worklist_push(worklist *list, mp_task *task) {
  mp_task_retain(task);
  task->as.entry.next = (mp_entry *)list->first;
  list->first = task;
}

/* One dependency of `child` has ended. */
static void tell_successor(mp_pool *pool, mp_worker *self, mp_task *parent, mp_task *child,
                           bool tail, worklist *failed) {
  if (mp_task_state(parent) != MP_STATE_DONE && !MP_BUGGY(FAILURE_STAYS) &&
      mp_task_fail_with(child, parent))
    worklist_push(failed, child);
  /* acq_rel: whoever is last has seen all parents' results */
  uint32_t left = mp_sub_acq_rel(&child->joins, 1) - 1;
  assert(left != UINT32_MAX);
  MP_BUG_GAP(JOIN_READ_AGAIN);
  if (MP_BUGGY(JOIN_READ_AGAIN)) left = mp_load_acquire(&child->joins);
  if (left == 0) mp_make_ready(pool, self, child, tail);
}

static void end_timing(mp_pool *pool, mp_task *task, mp_extra *extra) {
  if (extra->timeout_ns != 0 && !MP_BUGGY(TIMER_STAYS) &&
      mp_deadlines_disarm(&pool->deadlines, &mp_task_places(task)->deadline))
    mp_task_release(task); /* the deadline's */
  if (extra->submitted_ns != 0) mp_store_relaxed(&extra->ended_ns, mp_os_now());
}

/* Whom the task holds is told; what becomes of those that fail with it goes to `failed`. */
static void finish_one(mp_pool *pool, mp_worker *self, mp_task *task, mp_ended how,
                       worklist *failed) {
  mp_extra *extra = mp_task_extra(task);
  assert(mp_task_is_over(task));
  if (extra != NULL) end_timing(pool, task, extra);
  drop_unused_arg(self, task, mp_word_state(how.before));
  for (mp_link *link = mp_task_close_links(task, how.exclusive), *next; link != NULL; link = next) {
    next = link->next; /* the link's memory may go with the call */
    if (link->target & 1)
      mp_notice_post((mp_notice *)(link->target - 1), task);
    else
      tell_successor(pool, self, task, (mp_task *)link->target, how.tail, failed);
  }
  if (how.before & MP_FLAG_WAITED) {
    if (how.tail) self->in_tail = true;
    mp_signal_task(pool, task);
    if (how.tail) self->in_tail = false;
  }
  mp_pool_count(pool, self, settled);
}

static void count_end(mp_pool *pool, mp_worker *self, mp_task *task, uint32_t before) {
  mp_pool_count(pool, self, ended[mp_task_state(task) - MP_STATE_DONE]);
  if (mp_word_state(before) != MP_STATE_RUNNING) {
    mp_pool_count(pool, self, skipped);
    mp_leave_queue(pool, task);
  }
  mp_task_leave_limits(task, MP_COUNTED_TASK);
}

void mp_finish_counted(mp_pool *pool, mp_worker *self, mp_task *task, mp_ended how) {
  worklist failed = {NULL};
  finish_one(pool, self, task, how, &failed);
  if (failed.first != NULL && how.tail) {
    /* what follows calls the host, and may take its time: what was to run next is for others */
    how.tail = false;
    mp_give_up_continuation(pool, self);
  }
  while (failed.first != NULL) {
    mp_task *next = failed.first;
    uint32_t before = mp_task_word_before_fail(next);
    failed.first = (mp_task *)next->as.entry.next;
    count_end(pool, self, next, before);
    finish_one(pool, self, next, (mp_ended){before, how.tail, false}, &failed);
    mp_task_release(next);
  }
  mp_tell_drainers_outside_loop(pool, self);
}

void mp_finish(mp_pool *pool, mp_worker *self, mp_task *task, mp_ended how) {
  count_end(pool, self, task, how.before);
  mp_finish_counted(pool, self, task, how);
  /* the caller has a reference of its own, so the queue's may go */
  if (mp_word_state(how.before) == MP_STATE_QUEUED) mp_unqueue_task(pool, task);
}

/* }====================================================== */
