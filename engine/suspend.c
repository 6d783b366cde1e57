#include "suspend.h"

#include "bug.h"
#include "finish.h"
#include "stop.h"
#include "strand.h"

/*
** {======================================================
** Waking
** =======================================================
*/

/* As what is queued anew: on a worker it is that one's next. */
static void resume(void *ud, mp_sleeper *sleeper) {
  mp_pool *pool = ud;
  mp_queue_sleeper(pool, mp_pool_self(pool), sleeper);
}

static void left(mp_sleeper *sleeper) {
  if (sleeper->mailbox != NULL) mp_sub_seq(&sleeper->mailbox->awaited, 1);
}

/* An error of the timer thread cannot come: it has been started. */
static void set_alarm(mp_pool *pool, uint64_t when) {
  if (when != MP_FOREVER) mp_deadlines_bring_forward(&pool->deadlines, &pool->alarm, when);
}

/* On the timer thread. */
static void wake_due(mp_pool *pool) {
  set_alarm(pool, mp_sleepers_expire(&pool->sleepers, mp_os_now()));
}

mp_status mp_suspend_open(mp_pool *pool) {
  mp_sleepers *sleepers = &pool->sleepers;
  pool->wake_due = wake_due;
  sleepers->resume = resume;
  sleepers->left = left;
  sleepers->ud = pool;
  return mp_sleepers_init(sleepers, &pool->alloc);
}

void mp_suspend_close(mp_pool *pool) { mp_sleepers_close(&pool->sleepers); }

/* }====================================================== */

/*
** {======================================================
** Falling asleep
** =======================================================
*/

/* The body that the calling thread is inside of, or NULL. */
static mp_frame *body_of(const mp_worker *worker) {
  mp_frame *frame = mp_load_relaxed(&worker->frame);
  return mp_worker_self() == worker && frame != NULL && frame->body ? frame : NULL;
}

/* For times, and for who is overdue; without it, only the latter are not seen to. */
static mp_status start_timer(mp_pool *pool) {
  if (mp_load_relaxed(&pool->timer_started)) return MP_OK;
  mp_status status = mp_deadlines_start(&pool->deadlines);
  if (status == MP_OK) mp_store_relaxed(&pool->timer_started, 1);
  return status;
}

mp_status mp_suspend(mp_worker *worker, mp_task *const *tasks, size_t n, mp_mailbox *mailbox,
                     uint64_t timeout_ns) {
  const mp_frame *frame = body_of(worker);
  return mp_suspend_on(worker, frame != NULL ? frame->strand : NULL, tasks, n, mailbox, timeout_ns);
}

mp_status mp_suspend_on(mp_worker *worker, mp_strand *strand, mp_task *const *tasks, size_t n,
                        mp_mailbox *mailbox, uint64_t timeout_ns) {
  mp_pool *pool = mp_pool_of(worker);
  mp_frame *frame = body_of(worker);
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (frame == NULL || n > UINT32_MAX) return MP_INVALID;
  if (strand != NULL && strand->pool != pool) return MP_FOREIGN;
  if (mailbox != NULL && mailbox->shared != &pool->mailboxes) return MP_FOREIGN;
  for (size_t i = 0; i < n; i++)
    if (tasks[i] != NULL && tasks[i]->pool != pool) return MP_FOREIGN;
  mp_status status = start_timer(pool);
  if (status != MP_OK && timeout_ns != MP_FOREVER) return status;
  mp_sleeper *sleeper = mp_sleeper_create(&pool->sleepers, n + 1 + (mailbox != NULL));
  if (sleeper == NULL) return MP_NOMEM;
  sleeper->until = mp_os_deadline(timeout_ns);
  sleeper->links[0].key = frame->task;
  for (size_t i = 0; i < n; i++) sleeper->links[1 + i].key = tasks[i];
  if (mailbox != NULL) {
    sleeper->links[1 + n].key = mailbox;
    sleeper->mailbox = mailbox;
    mp_mailbox_retain(mailbox);
  }
  sleeper->strand = strand;
  if (strand != NULL) mp_strand_hold(strand);
  mp_drop_sleeper(pool, frame->sleeper);
  frame->sleeper = sleeper;
  return MP_OK;
}

void mp_drop_sleeper(mp_pool *pool, mp_sleeper *sleeper) {
  if (sleeper == NULL) return;
  if (sleeper->mailbox != NULL) mp_mailbox_release(sleeper->mailbox);
  mp_strand_drop(sleeper->strand);
  mp_sleeper_free(&pool->sleepers, sleeper);
}

static void mark(mp_task *task) { mp_or_seq(&task->word, MP_FLAG_WAITED); }

/*
** Under the lock of the sleepers, which whoever wakes this one must take first: so it may look at
** what it waits for, which the body holds until it is called again.
*/
static bool is_awake(mp_sleeper *sleeper, void *ud) {
  mp_pool *pool = ud;
  size_t tasks = mp_sleeper_tasks(sleeper);
  mp_task *own = sleeper->task;
  if (sleeper->mailbox != NULL) mp_add_seq(&sleeper->mailbox->awaited, 1);
  if (!MP_BUGGY(SLEEP_UNMARKED)) mark(own);
  for (size_t i = 0; i < tasks; i++)
    if (mp_sleeper_task(sleeper, i) != NULL) mark(mp_sleeper_task(sleeper, i));
  sleeper->why = MP_OK;
  if (mp_is_asked(pool, own)) return true;
  for (size_t i = 0; i < tasks; i++) {
    const mp_task *task = mp_sleeper_task(sleeper, i);
    if (task != NULL && mp_task_is_over(task)) return true;
  }
  if (sleeper->mailbox != NULL && mp_load_seq(&sleeper->mailbox->count) != 0) return true;
  if (sleeper->until > mp_os_now()) return false;
  sleeper->why = MP_TIMEOUT;
  return true;
}

void mp_fall_asleep(mp_pool *pool, mp_task *task, mp_sleeper *sleeper) {
  uint64_t next;
  sleeper->entry.run = pool->resume_task;
  sleeper->task = task;
  mp_task_retain(task);
  if (mp_load_seq(&pool->given_up)) { /* nobody calls its body any more */
    (void)mp_refuse_resumed(pool, &sleeper->entry);
    return;
  }
  /* without memory for the lists it is called again at once, and may look again */
  if (!mp_sleepers_join(&pool->sleepers, sleeper, is_awake, pool, &next)) resume(pool, sleeper);
  set_alarm(pool, next);
}

/* }====================================================== */

/*
** {======================================================
** The end of the pool
** =======================================================
*/

bool mp_refuse_resumed(mp_pool *pool, mp_entry *entry) {
  if (entry->run != pool->resume_task) return false;
  mp_sleeper *sleeper = (mp_sleeper *)entry;
  mp_task *task = sleeper->task;
  mp_strand *strand = sleeper->turn ? sleeper->strand : NULL;
  uint32_t before;
  if (strand != NULL) mp_strand_hold(strand);
  mp_drop_sleeper(pool, sleeper);
  /* before the end can be seen, as behind a body */
  if (!(task->own & MP_OWN_DONE)) mp_task_drop_arg(task);
  mp_add_relaxed(&pool->outside.returned, 1);
  if (mp_task_end(task, MP_STATE_CANCELLED, false, MP_FLAG_CANCEL, &before))
    mp_finish(pool, NULL, task, (mp_ended){before, false, false});
  mp_leave_strand(pool, NULL, strand, false);
  mp_strand_drop(strand);
  mp_task_release(task);
  return true;
}

/* }====================================================== */
