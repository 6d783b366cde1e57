/*
** submit.c - how a task comes into the pool: admitted, counted, linked to what it depends on,
** queued.
*/
#include <assert.h>

#include "bug.h"
#include "finish.h"
#include "pick.h"
#include "strand.h"
#include "task.h"
#include "wait.h"

#define BATCH_PIECE 64 /* tasks of a batch made and queued at a time */

/*
** Takes n submissions back that came to nothing. Whoever drains may have seen them and must look
** again.
*/
static void withdraw(mp_pool *pool, mp_worker *self, uint64_t n) {
  if (self != NULL)
    mp_store_seq(&self->counters.submitted, mp_load_relaxed(&self->counters.submitted) - n);
  else
    mp_sub_seq(&pool->outside.submitted, n);
  mp_pool_tell_drainers(pool);
}

/*
** Counts n submissions, unless the pool closes. shutdown: store closing, then read submitted; here:
** count, then read closing, as in mp_pool_store_first. So either the shutdown waits for this
** submission or this submission sees the shutdown.
*/
static mp_status enter(mp_pool *pool, mp_worker *self, uint64_t n) {
  _Atomic uint64_t *submitted = self != NULL ? &self->counters.submitted : &pool->outside.submitted;
  if (self != NULL)
    mp_pool_store_first(pool, submitted, mp_load_relaxed(submitted) + n);
  else
    mp_add_seq(submitted, n);
  if (mp_load_seq(&pool->closing) == MP_CLOSING_NOT) return MP_OK;
  withdraw(pool, self, n);
  return MP_SHUTDOWN;
}

/* What a task counts for: the least is itself. */
static size_t cost(const mp_task_desc *desc) {
  size_t own = sizeof(mp_task) + desc->arg_size;
  return desc->held_bytes < SIZE_MAX - own ? own + desc->held_bytes : SIZE_MAX;
}

/* Have so many workers been marked stuck that no task more should come? */
static bool too_many_are_stuck(const mp_pool *pool) {
  unsigned max = pool->config.stuck_max;
  return max != 0 && mp_load_relaxed(&pool->scheduler.seats.stuck) >= max;
}

mp_status mp_pool_set_limits(mp_pool *pool, const mp_limits *limits) {
  if (mp_pool_forked(pool)) return MP_FORKED;
  mp_status status = mp_admission_set(&pool->admission, limits);
  if (status == MP_OK)
    mp_waitlist_signal(&pool->waitlist, mp_room_key(pool)); /* there may be room now */
  return status;
}

static void give_room(mp_pool *pool, size_t n, size_t bytes) {
  bool awaited = mp_admission_leave_queue(&pool->admission, n, bytes);
  if (mp_admission_end(&pool->admission, n) || awaited)
    mp_waitlist_signal(&pool->waitlist, mp_room_key(pool));
}

/*
** For whoever has queued something: a shutdown whose deadline has passed may have emptied the
** queues before. It stores STOP (seq), then looks into the queues; here: push (seq), then read
** closing. So one of the two finds the task.
*/
static void cancel_if_late(mp_pool *pool) {
  if (mp_load_seq(&pool->closing) == MP_CLOSING_STOP) mp_cancel_queued(pool);
}

static mp_status check_desc(mp_pool *pool, const mp_task_desc *desc) {
  if (desc->size != sizeof *desc || desc->run == NULL) return MP_INVALID;
  if (desc->after_count > INT32_MAX || desc->arg_size > INT32_MAX) return MP_INVALID;
  if (desc->arg_size > 0 && desc->arg == NULL) return MP_INVALID;
  if (desc->mailbox != NULL && desc->mailbox->shared != &pool->mailboxes) return MP_FOREIGN;
  if (desc->strand != NULL && desc->strand->pool != pool) return MP_FOREIGN;
  if (desc->after_count > 0 && desc->after == NULL) return MP_INVALID;
  for (size_t i = 0; i < desc->after_count; i++) {
    if (desc->after[i] == NULL) return MP_INVALID;
    if (desc->after[i]->pool != pool) return MP_FOREIGN;
  }
  return MP_OK;
}

/* A dependency that has ended already: nothing to link. */
static void join_ended(mp_pool *pool, mp_worker *self, mp_task *task, mp_task *parent) {
  if (mp_task_state(parent) == MP_STATE_DONE || !mp_task_fail_with(task, parent)) return;
  mp_finish(pool, self, task, (mp_ended){mp_task_word_before_fail(task), false, false});
}

/*
** Makes the task a successor of its dependencies; it may be ready, or ended, before this returns.
*/
static void link_after(mp_pool *pool, mp_worker *self, mp_task *task, const mp_task_desc *desc) {
  uint32_t ended = 0;
  mp_link *links =
      desc->after_count > MP_LINKS_INLINE ? mp_task_extra(task)->links : task->by.links;
  mp_store_relaxed(&task->joins, (uint32_t)desc->after_count + 1);
  for (size_t i = 0; i < desc->after_count; i++) {
    links[i].target = (uintptr_t)task;
    if (mp_task_link(desc->after[i], &links[i])) continue;
    ended++;
    join_ended(pool, self, task, desc->after[i]);
  }
  if (mp_sub_acq_rel(&task->joins, ended + 1) == ended + 1) mp_make_ready(pool, self, task, false);
}

/*
** Who wants news of the task, allocated before it can start. On failure no notice is left; the task
** frees the rest.
*/
static mp_status make_listeners(mp_pool *pool, mp_task *task, const mp_task_desc *desc,
                                mp_notice *notices[2]) {
  mp_mailbox *mailbox = desc->mailbox != NULL ? desc->mailbox : pool->mailbox;
  mp_status status = MP_OK;
  notices[0] = notices[1] = NULL;
  if (desc->progress != NULL)
    status = mp_task_on_progress(task, mailbox, desc->progress, desc->listener_ud);
  if (status == MP_OK && desc->done != NULL)
    status = mp_notice_create(task, mailbox, NULL, NULL, &notices[0]);
  if (status == MP_OK && desc->notify != NULL)
    status = mp_notice_create(task, mailbox, desc->notify, desc->listener_ud, &notices[1]);
  if (status != MP_OK && notices[0] != NULL) mp_notice_free(notices[0]);
  return status;
}

static void link_listeners(mp_task *task, mp_notice *notices[2]) {
  for (int i = 0; i < 2; i++)
    if (notices[i] != NULL && !mp_task_link(task, &notices[i]->link))
      mp_notice_post(notices[i], task);
}

static void free_listeners(mp_notice *notices[2]) {
  for (int i = 0; i < 2; i++)
    if (notices[i] != NULL) mp_notice_free(notices[i]);
}

/*
** The caller's references, while no other thread knows the task; one with a handle keeps the pool's
** memory alive.
*/
static void add_handles(mp_pool *pool, mp_task *task, bool wanted, bool run_here) {
  if (wanted) {
    mp_pool_retain(pool);
    task->own |= MP_OWN_POOL;
  }
  mp_store_relaxed(&task->references, 1u + wanted + run_here);
}

static bool is_simple(const mp_task_desc *desc) {
  return (desc->after_count | desc->timeout_ns) == 0 && desc->done == NULL &&
         desc->notify == NULL && desc->progress == NULL;
}

/* A new task that nothing happens to but that it runs. */
static void launch(mp_pool *pool, mp_worker *self, mp_task *task, mp_task **out, bool run_here) {
  mp_store_relaxed(&task->joins, 0);
  (void)!mp_task_queue(task);
  add_handles(pool, task, out != NULL, run_here);
  if (out != NULL) *out = task;
  mp_queue_task(pool, self, task, false);
}

/* Errors: NOTHREAD, SHUTDOWN. */
static mp_status arm(mp_pool *pool, mp_task *task, const mp_task_desc *desc) {
  uint64_t waited = desc->waited_ns < desc->timeout_ns ? desc->waited_ns : desc->timeout_ns;
  uint64_t at = mp_os_deadline(desc->timeout_ns - waited);
  mp_task_retain(task); /* for the deadline */
  mp_status status = mp_deadlines_arm(&pool->deadlines, &mp_task_places(task)->deadline, at);
  if (status != MP_OK) mp_sub_relaxed(&task->references, 1); /* not the last: the caller has one */
  return status;
}

/*
** The same for one with a deadline, listeners or dependencies. Errors: NOMEM, NOTHREAD, SYSTEM; the
** task is as before.
*/
static mp_status launch_linked(mp_pool *pool, mp_worker *self, mp_task *task,
                               const mp_task_desc *desc, mp_task **out, bool run_here) {
  mp_notice *notices[2];
  mp_status status = make_listeners(pool, task, desc, notices);
  if (status != MP_OK) return status;
  add_handles(pool, task, out != NULL, run_here);
  /* armed, it may end any time */
  if (desc->timeout_ns != 0 && (status = arm(pool, task, desc)) != MP_OK) {
    if (out != NULL) mp_pool_release(pool); /* not the last: the caller has one */
    free_listeners(notices);
    return status;
  }
  if (out != NULL) *out = task;
  link_listeners(task, notices);
  if (desc->after_count > 0) {
    link_after(pool, self, task, desc);
  } else {
    mp_store_relaxed(&task->joins, 0);
    mp_make_ready(pool, self, task, false);
  }
  return MP_OK;
}

/* The pool is full: the caller runs the task, or works until it has run. */
static void work_until(mp_pool *pool, mp_task *task) {
  const mp_wait_for what = {.tasks = &task, .n = 1, .works = true, .through_signals = true};
  size_t index;
  (void)!mp_wait_until(pool, &what, MP_FOREVER, &index);
}

/* Inside a task, what a dependency, or its turn on a strand, waits for may be the caller itself. */
static bool waits_for_nobody_here(const mp_task_desc *desc) {
  if (!mp_thread_is_inside()) return true;
  if (desc->strand != NULL) return false;
  for (size_t i = 0; i < desc->after_count; i++)
    if (!mp_task_is_over(desc->after[i])) return false;
  return true;
}

mp_status mp_submit(mp_pool *pool, const mp_task_desc *desc, mp_task **out) {
  if (mp_pool_forked(pool)) return MP_FORKED;
  mp_status status = check_desc(pool, desc);
  if (status != MP_OK) return status;
  if (too_many_are_stuck(pool)) return MP_STUCK;
  mp_worker *self = mp_pool_self(pool);
  mp_task_lists *local = mp_pool_local_tasks(pool, self);
  bool counted, in_caller = false;
  if ((status = mp_admit(&pool->admission, 1, cost(desc), &counted)) != MP_OK) {
    in_caller = (desc->flags & MP_TASK_CALLER_RUNS) != 0 &&
                (self != NULL || mp_pool_is_owner(pool)) && waits_for_nobody_here(desc);
    if (!in_caller) return status;
  }
  if ((status = enter(pool, self, 1)) != MP_OK) goto fail_enter;
  mp_task *task = mp_task_create(pool, desc, counted ? cost(desc) : 0, local);
  if (task == NULL) {
    status = MP_NOMEM;
    goto fail_task;
  }
  task->id = mp_task_new_id(pool, local);
  if (is_simple(desc))
    launch(pool, self, task, out, in_caller);
  else if ((status = launch_linked(pool, self, task, desc, out, in_caller)) != MP_OK)
    goto fail_launch;
  cancel_if_late(pool);
  if (in_caller) {
    work_until(pool, task);
    mp_task_release(task);
  }
  return MP_OK;

fail_launch:
  mp_task_discard(task, local);
fail_task:
  withdraw(pool, self, 1);
fail_enter:
  if (counted && !MP_BUGGY(ROOM_KEPT)) give_room(pool, 1, cost(desc));
  return status;
}

/*
** The next n tasks of a batch as a chain, queued but in no queue; NULL: out of memory, and none is
** left.
*/
static mp_task *make_chain(mp_task_reservation *reservation, mp_task_desc *next, size_t stride,
                           size_t n, mp_task **last) {
  mp_task *first = NULL;
  for (size_t i = 0; i < n; i++) {
    mp_task *task = mp_task_reservation_create(reservation, next);
    if (task == NULL) {
      for (mp_task *made = first; made != NULL; made = first) {
        first = mp_task_of_entry(made->as.entry.next);
        mp_task_discard(made, NULL);
      }
      return NULL;
    }
    if (next->arg != NULL) next->arg = (char *)next->arg + stride;
    mp_store_relaxed(&task->joins, 0);
    (void)!mp_task_queue(task);
    if (first == NULL)
      first = task;
    else
      (*last)->as.entry.next = &task->as.entry;
    *last = task;
    task->as.entry.next = NULL;
  }
  return first;
}

static void push_chain(mp_pool *pool, mp_worker *self, mp_task *first, mp_task *last, size_t n) {
  if (mp_task_priority(first) == 0 && mp_task_strand(first) == NULL) {
    mp_pick_push_chain(&pool->scheduler, &first->as.entry, &last->as.entry, n);
    return;
  }
  for (mp_task *next; first != NULL; first = next) {
    next = mp_task_of_entry(first->as.entry.next);
    mp_queue_task(pool, self, first, false);
  }
}

mp_status mp_submit_batch(mp_pool *pool, const mp_task_desc *desc, size_t n, size_t stride,
                          mp_task **tasks) {
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (n == 0) return MP_OK;
  if (desc->after_count != 0 || desc->timeout_ns != 0 || desc->done != NULL ||
      desc->notify != NULL || desc->progress != NULL)
    return MP_INVALID;
  mp_status status = check_desc(pool, desc);
  if (status != MP_OK) return status;
  if (too_many_are_stuck(pool)) return MP_STUCK;
  bool counted;
  if (n > SIZE_MAX / cost(desc)) return MP_NOMEM;
  if ((status = mp_admit(&pool->admission, n, n * cost(desc), &counted)) != MP_OK) return status;
  mp_worker *self = mp_pool_self(pool);
  mp_task_desc next = *desc;
  mp_task_reservation reservation;
  status = MP_NOMEM;
  if (!mp_task_reservation_open(&reservation, pool, desc, counted ? cost(desc) : 0, n))
    goto fail_reservation;
  if ((status = enter(pool, self, n)) != MP_OK) goto fail_enter;
  uint64_t id = mp_add_relaxed(&pool->next_id, n);
  /* in pieces, so that the first run while the next are made; where one might fail, all or none */
  size_t piece = reservation.store != NULL && n > BATCH_PIECE ? BATCH_PIECE : n;
  for (size_t i = 0; i < n;) {
    mp_task *last,
        *first = make_chain(&reservation, &next, stride, n - i < piece ? n - i : piece, &last);
    if (first == NULL) {
      status = MP_NOMEM;
      goto fail_tasks;
    }
    size_t begin = i;
    for (mp_task *task = first; task != NULL; task = mp_task_of_entry(task->as.entry.next), i++) {
      task->id = ++id;
      if (tasks == NULL) continue;
      add_handles(pool, task, true, false);
      tasks[i] = task;
    }
    push_chain(pool, self, first, last, i - begin);
  }
  mp_task_reservation_close(&reservation);
  cancel_if_late(pool);
  return MP_OK;

fail_tasks:
  withdraw(pool, self, n);
fail_enter:
  mp_task_reservation_close(&reservation);
fail_reservation:
  if (counted) give_room(pool, n, n * cost(desc));
  return status;
}
