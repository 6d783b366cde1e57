#include "task.h"

#include <assert.h>
#include <string.h>

#include "bug.h"
#include "pool.h"

/*
** {======================================================
** Life
** =======================================================
*/

#define INLINE_ARG 128 /* an argument up to this size shares a block with its task */
#define ALIGN 16

static size_t aligned(size_t size) { return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

mp_status mp_task_open_stores(mp_pool *pool) {
  mp_status status = mp_store_init(&pool->stores[0], &pool->alloc, sizeof(mp_task));
  if (status != MP_OK) return status;
  status = mp_store_init(&pool->stores[1], &pool->alloc, aligned(sizeof(mp_task) + sizeof(mp_timing)) + INLINE_ARG);
  if (status != MP_OK) mp_store_close(&pool->stores[0]);
  return status;
}

void mp_task_close_stores(mp_pool *pool) {
  for (int i = 0; i < MP_TASK_SIZES; i++) mp_store_close(&pool->stores[i]);
}

void mp_task_flush(mp_pool *pool, mp_task_lists *local) {
  for (int i = 0; i < MP_TASK_SIZES; i++) mp_store_flush(&pool->stores[i], &local->of[i]);
}

void mp_task_trim(mp_pool *pool) {
  for (int i = 0; i < MP_TASK_SIZES; i++) mp_store_trim(&pool->stores[i]);
}

static void *get_memory(mp_pool *pool, mp_task_lists *local, size_t size) {
  for (int i = 0; i < MP_TASK_SIZES; i++)
    if (size <= pool->stores[i].block_size) return mp_store_get(&pool->stores[i], local != NULL ? &local->of[i] : NULL);
  return mp_alloc_get(&pool->alloc, size);
}

static void put_memory(mp_pool *pool, mp_task_lists *local, void *memory, size_t size) {
  for (int i = 0; i < MP_TASK_SIZES; i++)
    if (size <= pool->stores[i].block_size) {
      mp_store_put(&pool->stores[i], local != NULL ? &local->of[i] : NULL, memory);
      return;
    }
  mp_alloc_free(&pool->alloc, memory, size);
}

mp_task *mp_task_create(mp_pool *pool, const mp_task_desc *desc, mp_task_lists *local) {
  bool timed = desc->timeout_ns != 0 || (desc->flags & MP_TASK_TIMED);
  size_t size = sizeof(mp_task) + (timed ? sizeof(mp_timing) : 0), arg_at = aligned(size);
  if (desc->arg_size > 0) size = arg_at + desc->arg_size;
  mp_task *task = get_memory(pool, local, size);
  if (task == NULL) return NULL;
  task->links = task->as.waiting.links;
  task->link_count = (uint32_t)desc->after_count;
  if (desc->after_count > MP_LINKS_INLINE) {
    task->links = mp_alloc_get(&pool->alloc, desc->after_count * sizeof *task->links);
    if (task->links == NULL) {
      put_memory(pool, local, task, size);
      return NULL;
    }
  }
  /* field by field: a memset of the whole costs a fifth of an empty task */
  mp_store_relaxed(&task->word, MP_STATE_WAITING);
  mp_store_relaxed(&task->successors, NULL);
  mp_store_relaxed(&task->progress, 0);
  mp_store_relaxed(&task->cause, NULL);
  mp_store_relaxed(&task->progress_targets, NULL);
  task->result = NULL;
  task->result_drop = NULL;
  task->status = MP_OK;
  task->id = 0;
  task->bytes = 0;
  mp_store_relaxed(&task->counted, 0);
  task->timing = NULL;
  task->size = (uint32_t)size;
  task->own = (desc->drop != NULL ? MP_OWN_ARG : 0u) | (desc->done != NULL ? MP_OWN_DONE : 0u);
  mp_store_relaxed(&task->references, 1);
  mp_store_relaxed(&task->joins, 1);
  task->as.ordered.job.run = mp_pool_run_job;
  task->as.ordered.job.kind = 0;
  task->priority = desc->priority;
  task->pool = pool;
  task->run = desc->run;
  task->drop = desc->drop;
  task->done = desc->done;
  task->arg = desc->arg;
  if (desc->arg_size > 0) {
    task->arg = (char *)task + arg_at;
    memcpy(task->arg, desc->arg, desc->arg_size);
  }
  if (timed) {
    task->timing = (mp_timing *)(task + 1);
    memset(task->timing, 0, sizeof *task->timing);
    task->timing->timeout_ns = desc->timeout_ns;
    if (desc->flags & MP_TASK_TIMED) task->timing->submitted_ns = mp_os_now();
  }
  return task;
}

static void free_memory(mp_task *task, mp_task_lists *local) {
  mp_pool *pool = task->pool;
  if (task->links != task->as.waiting.links) mp_alloc_free(&pool->alloc, task->links, task->link_count * sizeof *task->links);
  put_memory(pool, local, task, task->size);
}

static void free_targets(mp_task *task) {
  for (mp_progress_target *target = mp_load_relaxed(&task->progress_targets), *next; target != NULL; target = next) {
    next = target->next;
    mp_mailbox_release(target->mailbox);
    mp_alloc_free(&task->pool->alloc, target, sizeof *target);
  }
}

void mp_task_discard(mp_task *task, mp_task_lists *local) {
  free_targets(task);
  free_memory(task, local);
}

void mp_task_drop_arg(mp_task *task) {
  if (!(task->own & MP_OWN_ARG)) return;
  if (!MP_BUGGY(DROP_TWICE)) task->own &= ~(uint32_t)MP_OWN_ARG;
  task->drop(task->arg);
}

void mp_task_retain(mp_task *task) { mp_add_relaxed(&task->references, 1); }

void mp_task_release(mp_task *task) {
  while (task != NULL) {
    if (mp_sub_acq_rel(&task->references, 1) != 1) return; /* acq_rel: all use is over before it is freed */
    mp_pool *pool = task->pool;
    if (!mp_os_fork_guard_ok(&pool->fork_guard)) return; /* the store's lock may be held for ever */
    mp_task_drop_arg(task);
    if (task->result_drop != NULL) task->result_drop(task->result);
    free_targets(task);
    mp_task *cause = mp_load_relaxed(&task->cause);
    bool counted = task->own & MP_OWN_POOL;
    free_memory(task, mp_pool_local_tasks(pool));
    task = cause; /* a chain of failures is released without recursion */
    if (counted) mp_pool_release(pool);
  }
}

/* }====================================================== */

/*
** {======================================================
** State
** =======================================================
*/

static bool move(mp_task *task, mp_state from, mp_state to, uint32_t *before) {
  uint32_t word = mp_load_relaxed(&task->word);
  do {
    if (mp_word_state(word) != from) return false;
  } while (!mp_cas_acq_rel(&task->word, &word, (MP_BUGGY(FLAGS_LOST) ? 0 : word & ~MP_WORD_STATE) | to));
  *before = word;
  return true;
}

bool mp_task_queue(mp_task *task) {
  uint32_t before;
  return move(task, MP_STATE_WAITING, MP_STATE_QUEUED, &before);
}

bool mp_task_start(mp_task *task, bool *asked) {
  uint32_t before;
  if (!move(task, MP_STATE_QUEUED, MP_STATE_RUNNING, &before)) return false;
  *asked = (before & MP_WORD_CANCEL) != 0;
  return true;
}

bool mp_task_end(mp_task *task, mp_state state, bool unstarted, uint32_t *before) {
  uint32_t word = mp_load_relaxed(&task->word);
  do {
    mp_state now = mp_word_state(word);
    if (mp_state_is_terminal(now) || (unstarted && now == MP_STATE_RUNNING)) return false;
    MP_BUG_GAP(END_CHECKED_THEN_SET);
    if (MP_BUGGY(END_CHECKED_THEN_SET)) {
      mp_store_release(&task->word, (word & ~MP_WORD_STATE) | state);
      break;
    }
    /* release: publishes result, status and cause; pairs with acquire in mp_task_state */
  } while (!mp_cas_acq_rel(&task->word, &word, (word & ~MP_WORD_STATE) | state));
  *before = word;
  return true;
}

mp_state mp_task_state(const mp_task *task) { return mp_word_state(mp_load_acquire(&task->word)); }

mp_status mp_task_status(const mp_task *task) {
  switch (mp_task_state(task)) {
    case MP_STATE_FAILED: return mp_load_relaxed(&task->cause) != NULL ? MP_DEPENDENCY : task->status;
    case MP_STATE_CANCELLED: return MP_CANCELLED;
    case MP_STATE_TIMED_OUT: return MP_TIMEOUT;
    default: return MP_OK;
  }
}

uint64_t mp_task_id(const mp_task *task) { return task->id; }
mp_pool *mp_task_pool(const mp_task *task) { return task->pool; }
int mp_task_priority(const mp_task *task) { return task->priority; }
uint64_t mp_task_timeout(const mp_task *task) { return task->timing != NULL ? task->timing->timeout_ns : 0; }
void *mp_task_arg(const mp_task *task) { return task->arg; }

void *mp_task_result(const mp_task *task) {
  mp_state state = mp_task_state(task);
  return state == MP_STATE_DONE || state == MP_STATE_FAILED ? task->result : NULL;
}

mp_task *mp_task_cause(const mp_task *task) {
  return mp_task_state(task) == MP_STATE_FAILED ? mp_load_relaxed(&task->cause) : NULL;
}

int mp_task_cancel_requested(const mp_task *task) { return (mp_load_relaxed(&task->word) & MP_WORD_CANCEL) != 0; }

void mp_task_times(const mp_task *task, uint64_t *queued_ns, uint64_t *run_ns) {
  const mp_timing *timing = task->timing;
  *queued_ns = *run_ns = 0;
  if (timing == NULL || timing->submitted_ns == 0) return;
  uint64_t submitted = timing->submitted_ns, ended = mp_load_relaxed(&timing->ended_ns), started = mp_load_relaxed(&timing->started_ns);
  uint64_t now = ended != 0 ? ended : mp_os_now();
  if (started == 0 || started > now) started = now;
  *queued_ns = started - submitted;
  *run_ns = now - started;
}

/* }====================================================== */

/*
** {======================================================
** Successors and notices
** =======================================================
*/

bool mp_task_link(mp_task *task, mp_link *link) {
  mp_link *head = mp_load_acquire(&task->successors); /* acquire: if closed, all that the end published */
  do {
    if (head == MP_LINKS_CLOSED) return false;
    link->next = head;
  } while (!mp_cas_acq_rel(&task->successors, &head, link)); /* release: publishes the link; pairs with the swap below */
  return true;
}

mp_link *mp_task_close_links(mp_task *task) {
  mp_link *newest = mp_swap_acq_rel(&task->successors, MP_LINKS_CLOSED), *oldest = NULL;
  while (newest != NULL) {
    mp_link *next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  return oldest;
}

/* No progress after the end: what a reporter sends there from now on is dropped. */
static void mark_told(mp_task *task, const mp_mailbox *mailbox) {
  mp_progress_target *target = mp_load_acquire(&task->progress_targets); /* pairs with the push in mp_task_on_progress */
  for (; target != NULL; target = target->next)
    if (target->mailbox == mailbox && !MP_BUGGY(PROGRESS_AFTER_END)) mp_store_relaxed(&target->told, true);
}

static void deliver_notice(mp_message *message, bool discarded) {
  mp_notice *notice = (mp_notice *)message;
  mp_task *task = notice->task;
  if (!discarded) mark_told(task, notice->mailbox);
  if (notice->notify != NULL)
    notice->notify(discarded ? NULL : task, mp_task_state(task), notice->ud);
  else if (!discarded)
    task->done(task, mp_task_state(task), task->arg);
  mp_notice_free(notice);
}

mp_status mp_notice_create(mp_task *task, mp_mailbox *mailbox, mp_notify *notify, void *ud, mp_notice **created) {
  mp_notice *notice = mp_alloc_get(&task->pool->alloc, sizeof *notice);
  if (notice == NULL) return MP_NOMEM;
  mp_mailbox_retain(mailbox);
  notice->message.deliver = deliver_notice;
  notice->link.target = (uintptr_t)notice + 1;
  notice->mailbox = mailbox;
  notice->task = NULL;
  notice->notify = notify;
  notice->ud = ud;
  *created = notice;
  return MP_OK;
}

void mp_notice_free(mp_notice *notice) {
  mp_mailbox *mailbox = notice->mailbox;
  mp_task *task = notice->task;
  mp_alloc_free(mailbox->host->alloc, notice, sizeof *notice);
  mp_task_release(task);
  mp_mailbox_release(mailbox);
}

void mp_notice_post(mp_notice *notice, mp_task *task) {
  mp_task_retain(task);
  notice->task = task;
  mp_mailbox_post(notice->mailbox, &notice->message);
}

mp_status mp_task_notify(mp_task *task, mp_mailbox *mailbox, mp_notify *notify, void *ud) {
  mp_notice *notice;
  if (mp_mailbox_forked(mailbox)) return MP_FORKED;
  if (mailbox->host != &task->pool->mailbox_host) return MP_FOREIGN;
  mp_status status = mp_notice_create(task, mailbox, notify, ud, &notice);
  if (status != MP_OK) return status;
  if (MP_BUGGY(TOLD_TOO_SOON) || !mp_task_link(task, &notice->link)) mp_notice_post(notice, task);
  return MP_OK;
}

/* }====================================================== */

/*
** {======================================================
** Progress
** =======================================================
*/

typedef struct progress_message {
  mp_message message;
  mp_alloc *alloc;
  mp_task *task; /* a reference; keeps `target` alive */
  const mp_progress_target *target;
  double progress;
  size_t note_length;
  bool has_note;
  char note[];
} progress_message;

static void deliver_progress(mp_message *message, bool discarded) {
  progress_message *news = (progress_message *)message;
  mp_task *task = news->task;
  if (!discarded && !mp_load_relaxed(&news->target->told))
    news->target->progress(task, news->progress, news->has_note ? news->note : NULL, news->note_length, news->target->ud);
  mp_alloc_free(news->alloc, news, sizeof *news + news->note_length + 1);
  mp_task_release(task);
}

static mp_status send_progress(mp_task *task, const mp_progress_target *target, double progress, const char *note, size_t note_length) {
  mp_alloc *alloc = &task->pool->alloc;
  if (note_length > SIZE_MAX - sizeof(progress_message) - 1) return MP_NOMEM;
  progress_message *news = mp_alloc_get(alloc, sizeof *news + note_length + 1);
  if (news == NULL) return MP_NOMEM;
  mp_task_retain(task);
  *news = (progress_message){{NULL, deliver_progress}, alloc, task, target, progress, note_length, note != NULL};
  if (note != NULL) memcpy(news->note, note, note_length);
  news->note[note_length] = '\0';
  if (!mp_mailbox_try_post(target->mailbox, &news->message)) deliver_progress(&news->message, true);
  return MP_OK;
}

mp_status mp_task_report(mp_task *task, double progress, const char *note, size_t note_length) {
  if (!(progress >= 0 && progress <= 1)) return MP_INVALID; /* also NaN */
  if (!mp_os_fork_guard_ok(&task->pool->fork_guard)) return MP_FORKED;
  if (note == NULL) note_length = 0;
  if (mp_state_is_terminal(mp_task_state(task))) return MP_OK;
  mp_store_relaxed(&task->progress, progress);
  mp_status status = MP_OK;
  const mp_progress_target *target = mp_load_acquire(&task->progress_targets); /* pairs with the push below */
  for (; target != NULL && status == MP_OK; target = target->next) status = send_progress(task, target, progress, note, note_length);
  return status;
}

mp_status mp_task_on_progress(mp_task *task, mp_mailbox *mailbox, mp_progress *progress, void *ud) {
  if (mp_mailbox_forked(mailbox)) return MP_FORKED;
  if (mailbox->host != &task->pool->mailbox_host) return MP_FOREIGN;
  mp_progress_target *target = mp_alloc_get(&task->pool->alloc, sizeof *target);
  if (target == NULL) return MP_NOMEM;
  mp_mailbox_retain(mailbox);
  *target = (mp_progress_target){mp_load_relaxed(&task->progress_targets), mailbox, progress, ud, false};
  while (!mp_cas_acq_rel(&task->progress_targets, &target->next, target)) continue;
  /* a notice delivered before the push did not see this target, but then the end is seen here */
  if (mp_state_is_terminal(mp_task_state(task))) mp_store_relaxed(&target->told, true);
  return MP_OK;
}

double mp_task_progress(const mp_task *task) { return mp_load_relaxed(&task->progress); }

/* }====================================================== */
