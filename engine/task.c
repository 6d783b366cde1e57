#include "task.h"

#include <assert.h>
#include <string.h>

#include "bug.h"
#include "strand.h"

/*
** {======================================================
** Life
** =======================================================
*/

/* an argument up to this size shares a block with a task that has no mp_places */
#define SMALL_ARG 112
#define LARGE_ARG 128 /* with any task */
#define ALIGN ((size_t)16)
#define IDS 64      /* that a thread takes at a time */
#define RELEASES 64 /* of the pool, that a worker makes at a time */

/* What a task with mp_extra takes without its argument, which begins there. */
static size_t arg_at(bool places) {
  return (sizeof(mp_task) + sizeof(mp_extra) + (places ? sizeof(mp_places) : 0) + ALIGN - 1) &
         ~(ALIGN - 1);
}

mp_status mp_task_open_stores(mp_pool *pool) {
  const size_t sizes[MP_TASK_SIZES] = {sizeof(mp_task), arg_at(false) + SMALL_ARG,
                                       arg_at(true) + LARGE_ARG};
  for (int i = 0; i < MP_TASK_SIZES; i++) {
    mp_status status =
        mp_store_init(&pool->stores[i], &pool->alloc, sizes[i], offsetof(mp_task, number));
    if (status == MP_OK) continue;
    while (i-- > 0) mp_store_close(&pool->stores[i]);
    return status;
  }
  return MP_OK;
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

/* The number of the store with blocks large enough, or MP_TASK_SIZES. */
static int store_for(const mp_pool *pool, size_t size) {
  int i = 0;
  while (i < MP_TASK_SIZES && size > pool->stores[i].block_size) i++;
  return i;
}

static void *get_memory(mp_pool *pool, mp_task_lists *local, size_t size) {
  int i = store_for(pool, size);
  return i == MP_TASK_SIZES ? mp_alloc_get(&pool->alloc, size)
                            : mp_store_get(&pool->stores[i], local != NULL ? &local->of[i] : NULL);
}

static void put_memory(mp_pool *pool, mp_task_lists *local, void *memory, size_t size) {
  int i = store_for(pool, size);
  if (i == MP_TASK_SIZES)
    mp_alloc_free(&pool->alloc, memory, size);
  else
    mp_store_put(&pool->stores[i], local != NULL ? &local->of[i] : NULL, memory);
}

uint64_t mp_task_new_id(mp_pool *pool, mp_task_lists *local) {
  if (local == NULL) return mp_add_relaxed(&pool->next_id, 1) + 1;
  if (local->id == local->id_end) {
    local->id = mp_add_relaxed(&pool->next_id, IDS);
    local->id_end = local->id + IDS;
  }
  return ++local->id;
}

static bool needs_extra(const mp_task_desc *desc, size_t bytes) {
  return (desc->arg_size | desc->timeout_ns | (desc->flags & MP_TASK_TIMED) |
          (unsigned)desc->priority | bytes) != 0 ||
         desc->done != NULL || desc->strand != NULL || desc->after_count > MP_LINKS_INLINE;
}

static mp_task *init_bare(mp_pool *pool, mp_task *task, const mp_task_desc *desc, uint32_t word) {
  /* field by field: a memset of the whole would be a good part of what an empty task costs */
  task->as.entry.run = pool->run_task;
  mp_store_relaxed(&task->as.never.cause, NULL);
  mp_store_relaxed(&task->word, word);
  mp_store_relaxed(&task->references, 1);
  mp_store_relaxed(&task->joins, 1);
  task->own =
      (uint8_t)((desc->drop != NULL ? MP_OWN_ARG : 0) | (desc->done != NULL ? MP_OWN_DONE : 0));
  task->status = MP_OK;
  mp_store_relaxed(&task->successors, NULL);
  mp_store_relaxed(&task->progress, NULL);
  task->pool = pool;
  task->run = desc->run;
  task->drop = desc->drop;
  task->arg = desc->arg;
  task->id = 0;
  return task;
}

static bool has_places(const mp_task_desc *desc) {
  return desc->timeout_ns != 0 || desc->priority != 0 || desc->strand != NULL;
}

static size_t size_with_extra(const mp_task_desc *desc) {
  return arg_at(has_places(desc)) + desc->arg_size;
}

/* False: out of memory. */
static bool init_extra(mp_task *task, const mp_task_desc *desc, size_t bytes, size_t size) {
  mp_extra *extra = (mp_extra *)(task + 1);
  memset(extra, 0, sizeof *extra);
  if (desc->after_count > MP_LINKS_INLINE) {
    extra->links = mp_alloc_get(&task->pool->alloc, desc->after_count * sizeof *extra->links);
    if (extra->links == NULL) return false;
    extra->link_count = (uint32_t)desc->after_count;
  }
  extra->size = size;
  extra->timeout_ns = desc->timeout_ns;
  if (desc->flags & MP_TASK_TIMED) extra->submitted_ns = mp_os_now();
  extra->done = desc->done;
  extra->bytes = bytes;
  mp_store_relaxed(&extra->counted, bytes == 0 ? 0
                                               : MP_COUNTED_TASK | MP_COUNTED_QUEUE |
                                                     (desc->done != NULL ? MP_COUNTED_NEWS : 0));
  extra->priority = desc->priority;
  extra->places = has_places(desc);
  if (extra->places) {
    mp_places *places = mp_task_places(task);
    places->deadline.armed = false;
    places->order.entry = NULL;
    places->strand = desc->strand;
    if (desc->strand != NULL) mp_strand_hold(desc->strand);
  }
  if (desc->arg_size > 0) {
    task->arg = (char *)task + arg_at(has_places(desc));
    memcpy(task->arg, desc->arg, desc->arg_size);
  }
  return true;
}

static mp_task *create_with_extra(mp_pool *pool, const mp_task_desc *desc, size_t bytes,
                                  mp_task_lists *local) {
  size_t size = size_with_extra(desc);
  mp_task *task = get_memory(pool, local, size);
  if (task == NULL) return NULL;
  if (init_extra(init_bare(pool, task, desc, MP_STATE_WAITING | MP_FLAG_EXTRA), desc, bytes, size))
    return task;
  put_memory(pool, local, task, size);
  return NULL;
}

mp_task *mp_task_create(mp_pool *pool, const mp_task_desc *desc, size_t bytes,
                        mp_task_lists *local) {
  if (needs_extra(desc, bytes)) return create_with_extra(pool, desc, bytes, local);
  mp_task *bare = mp_store_get(&pool->stores[0], local != NULL ? &local->of[0] : NULL);
  return bare == NULL ? NULL : init_bare(pool, bare, desc, MP_STATE_WAITING);
}

bool mp_task_reservation_open(mp_task_reservation *reservation, mp_pool *pool,
                              const mp_task_desc *desc, size_t bytes, size_t n) {
  bool more = needs_extra(desc, bytes);
  reservation->pool = pool;
  reservation->bytes = bytes;
  int i = more ? store_for(pool, size_with_extra(desc)) : 0;
  reservation->store = i < MP_TASK_SIZES ? &pool->stores[i] : NULL;
  reservation->promised = n;
  reservation->at = reservation->count = 0;
  return reservation->store == NULL || mp_store_promise(reservation->store, n);
}

static void *fetch(mp_task_reservation *reservation) {
  if (reservation->at == reservation->count) {
    reservation->at = 0;
    reservation->count =
        reservation->promised < MP_STORE_BATCH ? (unsigned)reservation->promised : MP_STORE_BATCH;
    reservation->promised -= reservation->count;
    mp_store_keep_promise(reservation->store, reservation->block, reservation->count);
  }
  return reservation->block[reservation->at++];
}

mp_task *mp_task_reservation_create(mp_task_reservation *reservation, const mp_task_desc *desc) {
  if (reservation->store == NULL)
    return create_with_extra(reservation->pool, desc, reservation->bytes, NULL);
  mp_task *task = fetch(reservation);
  bool more = reservation->store != &reservation->pool->stores[0];
  init_bare(reservation->pool, task, desc,
            more ? MP_STATE_WAITING | MP_FLAG_EXTRA : MP_STATE_WAITING);
  /* cannot fail: it has no dependencies */
  if (more) (void)!init_extra(task, desc, reservation->bytes, size_with_extra(desc));
  return task;
}

void mp_task_reservation_close(mp_task_reservation *reservation) {
  if (reservation->store == NULL) return;
  while (reservation->at < reservation->count)
    mp_store_put(reservation->store, NULL, reservation->block[reservation->at++]);
  if (reservation->promised > 0)
    mp_store_withdraw_promise(reservation->store, reservation->promised);
}

static void free_memory(mp_task *task, mp_task_lists *local) {
  mp_pool *pool = task->pool;
  mp_extra *extra = mp_task_extra(task);
  if (extra == NULL) {
    mp_store_put(&pool->stores[0], local != NULL ? &local->of[0] : NULL, task);
    return;
  }
  if (extra->places) mp_strand_drop(mp_task_places(task)->strand);
  if (extra->links != NULL)
    mp_alloc_free(&pool->alloc, extra->links, extra->link_count * sizeof *extra->links);
  put_memory(pool, local, task, extra->size);
}

static void free_progress(mp_task *task) {
  mp_alloc *alloc = &task->pool->alloc;
  mp_progress_state *progress = mp_load_relaxed(&task->progress);
  for (mp_progress_target *target = mp_load_relaxed(&progress->targets), *next; target != NULL;
       target = next) {
    next = target->next;
    mp_mailbox_release(target->mailbox);
    mp_alloc_free(alloc, target, sizeof *target);
  }
  mp_alloc_free(alloc, progress, sizeof *progress);
}

void mp_task_discard(mp_task *task, mp_task_lists *local) {
  if (mp_load_relaxed(&task->progress) != NULL) free_progress(task);
  free_memory(task, local);
}

void mp_task_retain(mp_task *task) {
  uint32_t before = mp_add_relaxed(&task->references, 1);
  assert(before > 0 && before < UINT32_MAX);
  (void)before;
}

/* A worker gives its references to the pool back many at a time: the owner counts up there for each
   handle. */
static void release_pool(mp_pool *pool, mp_worker *self) {
  if (self == NULL || self == pool->scheduler.owner) {
    mp_pool_release(pool);
  } else if (++self->tasks.pool_releases == RELEASES) {
    self->tasks.pool_releases = 0;
    mp_pool_release_many(pool, RELEASES);
  }
}

static bool has_failed(uint32_t word) {
  mp_state state = mp_word_state(word);
  return state == MP_STATE_FAILED || state == MP_STATE_TIMED_OUT;
}

void mp_task_see(mp_task *task) {
  if (!(mp_load_relaxed(&task->word) & MP_FLAG_SEEN)) mp_or_acq_rel(&task->word, MP_FLAG_SEEN);
}

/* Somebody asks how it ended. Done is what most are. */
static void see_failure(const mp_task *task) {
  if (has_failed(mp_load_relaxed(&task->word))) mp_task_see((mp_task *)task);
}

/* The last reference goes. */
static void tell_unseen(mp_pool *pool, mp_task *task) {
  uint32_t word = mp_load_relaxed(&task->word);
  if (!has_failed(word) || word & MP_FLAG_SEEN || pool->config.task_unseen == NULL) return;
  pool->config.task_unseen(task, pool->config.task_unseen_ud);
}

bool mp_task_drop_reference(mp_task *task) {
  /*
  ** acq_rel: all use is over before it is freed. The only one needs no locked instruction to see
  ** that
  */
  return mp_task_is_exclusive(task) || mp_sub_acq_rel(&task->references, 1) == 1;
}

/* Returns the task that it has failed with, whose reference goes next; or NULL. */
static mp_task *end_life(mp_task *task) {
  mp_pool *pool = task->pool;
  mp_worker *self = mp_pool_self(pool);
  if (mp_pool_forked(pool)) return NULL; /* the store's lock may be held for ever */
  tell_unseen(pool, task);
  mp_task_drop_arg(task);
  mp_task_drop_result(task);
  if (mp_load_relaxed(&task->progress) != NULL) free_progress(task);
  mp_task *cause =
      mp_load_relaxed(&task->word) & MP_FLAG_CAUSE ? mp_load_relaxed(&task->as.never.cause) : NULL;
  bool counted = task->own & MP_OWN_POOL;
  free_memory(task, mp_pool_local_tasks(pool, self));
  if (counted) release_pool(pool, self);
  return cause;
}

void mp_task_end_life(mp_task *task) { mp_task_release(end_life(task)); }

/* A chain of failures is released without recursion. */
void mp_task_release(mp_task *task) {
  while (task != NULL && mp_task_drop_reference(task)) task = end_life(task);
}

/* }====================================================== */

/*
** {======================================================
** State
** =======================================================
*/

bool mp_task_end(mp_task *task, mp_state state, bool unstarted, uint32_t flags, uint32_t *before) {
  uint32_t word = mp_load_relaxed(&task->word);
  assert(mp_state_is_terminal(state));
  do {
    mp_state now = mp_word_state(word);
    if (mp_state_is_terminal(now) || (unstarted && now == MP_STATE_RUNNING)) return false;
    MP_BUG_GAP(END_CHECKED_THEN_SET);
    if (MP_BUGGY(END_CHECKED_THEN_SET)) {
      mp_store_release(&task->word, (word & ~MP_STATE_MASK) | state | flags);
      break;
    }
    /* release: publishes result, status and cause; pairs with acquire in mp_task_state */
  } while (!mp_cas_acq_rel(&task->word, &word, (word & ~MP_STATE_MASK) | state | flags));
  *before = word;
  return true;
}

bool mp_task_fail_with(mp_task *task, mp_task *parent) {
  mp_task *none = NULL;
  uint32_t before;
  bool early =
      MP_BUGGY(CAUSE_AFTER_END) && mp_task_end(task, MP_STATE_FAILED, true, MP_FLAG_CAUSE, &before);
  MP_BUG_GAP(CAUSE_AFTER_END);
  mp_task_retain(parent);
  /* the cause is set before the state that makes it readable */
  bool named = mp_cas_acq_rel(&task->as.never.cause, &none, parent);
  bool ended = mp_task_end(task, MP_STATE_FAILED, true, MP_FLAG_CAUSE, &before);
  assert(!ended || mp_word_state(before) == MP_STATE_WAITING);
  /* it had been ended otherwise: nobody will ask why */
  bool unread = !(mp_load_acquire(&task->word) & MP_FLAG_CAUSE);
  if (named && unread) mp_store_relaxed(&task->as.never.cause, NULL);
  if (ended) mp_task_see(parent); /* what comes of it is the task's to tell */
  if (!named || unread) mp_task_release(parent);
  return ended || early;
}

mp_state mp_task_state(const mp_task *task) { return mp_word_state(mp_load_acquire(&task->word)); }

mp_status mp_task_status(const mp_task *task) {
  see_failure(task);
  switch (mp_task_state(task)) {
    case MP_STATE_FAILED:
      return mp_load_relaxed(&task->word) & MP_FLAG_CAUSE ? MP_DEPENDENCY : (mp_status)task->status;
    case MP_STATE_CANCELLED: return MP_CANCELLED;
    case MP_STATE_TIMED_OUT: return MP_TIMEOUT;
    default: return MP_OK;
  }
}

uint64_t mp_task_id(const mp_task *task) { return task->id; }
mp_pool *mp_task_pool(const mp_task *task) { return task->pool; }
int mp_task_priority(const mp_task *task) {
  return mp_task_extra(task) != NULL ? mp_task_extra(task)->priority : 0;
}
uint64_t mp_task_timeout(const mp_task *task) {
  return mp_task_extra(task) != NULL ? mp_task_extra(task)->timeout_ns : 0;
}
void *mp_task_arg(const mp_task *task) { return task->arg; }
mp_task_drop *mp_task_arg_drop(const mp_task *task) { return task->drop; }

void *mp_task_result(const mp_task *task) {
  mp_state state = mp_task_state(task);
  see_failure(task);
  return (state == MP_STATE_DONE || state == MP_STATE_FAILED) && (task->own & MP_OWN_RESULT)
             ? task->by.result.value
             : NULL;
}

mp_task *mp_task_cause(const mp_task *task) {
  /* acquire: pairs with mp_task_fail_with */
  bool has = mp_load_acquire(&task->word) & MP_FLAG_CAUSE;
  see_failure(task);
  return has ? mp_load_relaxed(&task->as.never.cause) : NULL;
}

int mp_task_cancel_requested(const mp_task *task) {
  return (mp_load_relaxed(&task->word) & MP_FLAG_CANCEL) != 0;
}

void mp_task_times(const mp_task *task, uint64_t *queued_ns, uint64_t *run_ns) {
  const mp_extra *extra = mp_task_extra(task);
  *queued_ns = *run_ns = 0;
  if (extra == NULL || extra->submitted_ns == 0) return;
  uint64_t submitted = extra->submitted_ns, ended = mp_load_relaxed(&extra->ended_ns),
           started = mp_load_relaxed(&extra->started_ns);
  uint64_t now = ended != 0 ? ended : mp_os_now();
  if (started == 0 || started > now) started = now;
  *queued_ns = started - submitted;
  *run_ns = now - started;
}

/* }====================================================== */

void mp_task_leave_limits_counted(mp_task *task, uint32_t part) {
  mp_pool *pool = task->pool;
  /* acq_rel: whoever takes the last part has seen the others go */
  uint32_t before = mp_and_acq_rel(&mp_task_extra(task)->counted, ~part);
  if ((before & (MP_COUNTED_TASK | MP_COUNTED_NEWS)) != part) return;
  if (mp_admission_end(&pool->admission, 1)) mp_waitlist_signal(&pool->waitlist, mp_room_key(pool));
}

/*
** {======================================================
** Successors and notices
** =======================================================
*/

bool mp_task_link(mp_task *task, mp_link *link) {
  /* acquire: if closed, all that the end published */
  mp_link *head = mp_load_acquire(&task->successors);
  do {
    if (head == MP_LINKS_CLOSED) return false;
    link->next = head;
    /* release: publishes the link; pairs with the swap below */
  } while (!mp_cas_acq_rel(&task->successors, &head, link));
  return true;
}

static mp_progress_target *first_target(const mp_task *task) {
  /* both pair with those who publish, in the chapter on progress */
  mp_progress_state *progress = mp_load_acquire(&task->progress);
  return progress == NULL ? NULL : mp_load_acquire(&progress->targets);
}

/* No progress after the end: what a reporter sends there from now on is dropped. */
static void mark_told(mp_task *task, const mp_mailbox *mailbox) {
  for (mp_progress_target *target = first_target(task); target != NULL; target = target->next)
    if (target->mailbox == mailbox && !MP_BUGGY(PROGRESS_AFTER_END))
      mp_store_relaxed(&target->told, true);
}

static void deliver_notice(mp_message *message, bool discarded) {
  mp_notice *notice = (mp_notice *)message;
  mp_task *task = notice->task;
  if (!discarded) mark_told(task, notice->mailbox);
  if (notice->notify != NULL) {
    notice->notify(discarded ? NULL : task, mp_task_state(task), notice->ud);
  } else {
    if (!discarded) mp_task_extra(task)->done(task, mp_task_state(task), task->arg);
    mp_task_leave_limits(task, MP_COUNTED_NEWS);
  }
  mp_notice_free(notice);
}

mp_status mp_notice_create(mp_task *task, mp_mailbox *mailbox, mp_notify *notify, void *ud,
                           mp_notice **created) {
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
  mp_alloc_free(mailbox->shared->alloc, notice, sizeof *notice);
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
  if (mailbox->shared != &task->pool->mailboxes) return MP_FOREIGN;
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
    news->target->progress(task, news->progress, news->has_note ? news->note : NULL,
                           news->note_length, news->target->ud);
  mp_alloc_free(news->alloc, news, sizeof *news + news->note_length + 1);
  mp_task_release(task);
}

static mp_status send_progress(mp_task *task, const mp_progress_target *target, double progress,
                               const char *note, size_t note_length) {
  mp_alloc *alloc = &task->pool->alloc;
  if (note_length > SIZE_MAX - sizeof(progress_message) - 1) return MP_NOMEM;
  progress_message *news = mp_alloc_get(alloc, sizeof *news + note_length + 1);
  if (news == NULL) return MP_NOMEM;
  mp_task_retain(task);
  *news = (progress_message){
      {NULL, deliver_progress}, alloc, task, target, progress, note_length, note != NULL};
  if (note != NULL) memcpy(news->note, note, note_length);
  news->note[note_length] = '\0';
  if (!mp_mailbox_try_post(target->mailbox, &news->message)) deliver_progress(&news->message, true);
  return MP_OK;
}

static mp_status get_progress(mp_task *task, mp_progress_state **state) {
  mp_alloc *alloc = &task->pool->alloc;
  /* pairs with the swap below, by another thread */
  if ((*state = mp_load_acquire(&task->progress)) != NULL) return MP_OK;
  mp_progress_state *made = mp_alloc_zeroed(alloc, sizeof *made);
  if (made == NULL) return MP_NOMEM;
  /* release: publishes its zeros */
  if (mp_cas_acq_rel(&task->progress, state, made)) *state = made;
  if (*state != made) mp_alloc_free(alloc, made, sizeof *made);
  return MP_OK;
}

mp_status mp_task_report(mp_task *task, double progress, const char *note, size_t note_length) {
  if (!(progress >= 0 && progress <= 1)) return MP_INVALID; /* also NaN */
  if (mp_pool_forked(task->pool)) return MP_FORKED;
  if (note == NULL) note_length = 0;
  if (mp_task_is_over(task)) return MP_OK;
  mp_progress_state *state;
  mp_status status = get_progress(task, &state);
  if (status != MP_OK) return status;
  mp_store_relaxed(&state->now, progress);
  for (const mp_progress_target *target = first_target(task); target != NULL && status == MP_OK;
       target = target->next)
    status = send_progress(task, target, progress, note, note_length);
  return status;
}

mp_status mp_task_on_progress(mp_task *task, mp_mailbox *mailbox, mp_progress *progress, void *ud) {
  if (mp_mailbox_forked(mailbox)) return MP_FORKED;
  if (mailbox->shared != &task->pool->mailboxes) return MP_FOREIGN;
  mp_progress_state *state;
  mp_status status = get_progress(task, &state);
  if (status != MP_OK) return status;
  mp_progress_target *target = mp_alloc_get(&task->pool->alloc, sizeof *target);
  if (target == NULL) return MP_NOMEM;
  mp_mailbox_retain(mailbox);
  *target = (mp_progress_target){mp_load_relaxed(&state->targets), mailbox, progress, ud, false};
  /* release: publishes the target */
  while (!mp_cas_acq_rel(&state->targets, &target->next, target)) continue;
  /* a notice delivered before the push did not see this target, but then the end is seen here */
  if (mp_task_is_over(task)) mp_store_relaxed(&target->told, true);
  return MP_OK;
}

double mp_task_progress(const mp_task *task) {
  const mp_progress_state *state = mp_load_acquire(&task->progress);
  return state == NULL ? 0 : mp_load_relaxed(&state->now);
}

/* }====================================================== */
