/*
** wait.c - waiting for tasks, and what a running task can ask.
*/
#include <assert.h>

#include "bug.h"
#include "pool.h"

#define MEMORY_LOOK_NS ((uint64_t)10000000) /* between two looks of who waits for memory */
/* C stack a task may need; more must be left to run one in place */
#define STACK_RESERVE ((size_t)512 * 1024)

/*
** {======================================================
** Waiting
** =======================================================
*/

static mp_pool *pool_of(const mp_worker *worker) {
  return (mp_pool *)((char *)worker->scheduler - offsetof(mp_pool, scheduler));
}

typedef struct wait_set {
  mp_task *const *tasks;
  size_t n;
  mp_mailbox *mailbox;
  /* whose running task's being asked to stop ends the wait; or NULL */
  const mp_worker *cancellable;
  mp_pool *room;     /* the pool in which room is waited for, or NULL */
  size_t room_bytes; /* for a task of so many */
  /*
  ** mailbox->taken when the wait began: what runs in place on this thread may take the news that is
  ** waited for
  */
  uint64_t taken;
} wait_set;

static bool ready(const wait_set *set, size_t *index) {
  for (size_t i = 0; i < set->n; i++) {
    if (set->tasks[i] == NULL || !mp_state_is_terminal(mp_task_state(set->tasks[i]))) continue;
    *index = i;
    return true;
  }
  if (set->room != NULL && (mp_load_relaxed(&set->room->closing) != 0 ||
                            mp_admission_has_room(&set->room->admission, set->room_bytes))) {
    *index = set->n;
    return true;
  }
  if (set->mailbox == NULL) return false;
  if (mp_mailbox_count(set->mailbox) == 0 && mp_load_relaxed(&set->mailbox->taken) == set->taken)
    return false;
  *index = set->n;
  return true;
}

/*
** From here on each end signals the pool's event. One word holds state and flag: the end is seen,
** or it sees the flag.
*/
static void mark_waited(const wait_set *set) {
  for (size_t i = 0; i < set->n; i++)
    if (set->tasks[i] != NULL) mp_or_seq(&set->tasks[i]->word, MP_WORD_WAITED);
}

/* True: ready. False: it is time to sleep, or, for an owner that works, there is work. */
static bool spin(mp_pool *pool, mp_worker *self, const wait_set *set, uint64_t deadline,
                 size_t *index) {
  bool works = self != NULL && self == pool->scheduler.owner, work = false;
  mp_look look =
      mp_look_begin(&pool->scheduler, self != NULL ? &self->patience : &pool->scheduler.outside);
  uint64_t now;
  bool found = false;
  do {
    for (int i = 0; i < 16 && !(found = ready(set, index)); i++) mp_pause();
    work = works && !found && mp_scheduler_has_work(&pool->scheduler);
    now = mp_os_now();
  } while (!found && !work && now < deadline && mp_look_goes_on(&look, now));
  mp_look_end(&look, found || work);
  return found;
}

static bool is_called_off(const wait_set *set) {
  return set->cancellable != NULL && mp_worker_cancelled(set->cancellable);
}

/* Memory in use falls without telling anybody. */
static uint64_t next_look(const wait_set *set, uint64_t deadline) {
  if (set->room == NULL || mp_load_relaxed(&set->room->admission.memory_percent) == 0)
    return deadline;
  uint64_t soon = mp_os_deadline(MEMORY_LOOK_NS);
  return soon < deadline ? soon : deadline;
}

static mp_status sleep_until_ready(mp_pool *pool, const wait_set *set, uint64_t deadline,
                                   size_t *index) {
  mp_status status = MP_OK;
  /* before its count is read; pairs with tell_poller */
  if (set->mailbox != NULL) mp_add_seq(&set->mailbox->awaited, 1);
  mark_waited(set);
  /* a cancel, too, signals the event */
  if (set->cancellable != NULL) mp_or_seq(&mp_worker_task(set->cancellable)->word, MP_WORD_WAITED);
  for (;;) {
    uint32_t seen = mp_event_seen(&pool->event);
    if (ready(set, index)) {
      status = MP_OK;
      break;
    }
    if (is_called_off(set)) {
      status = MP_CANCELLED;
      break;
    }
    if (status == MP_INTERRUPTED) break;
    if (mp_os_now() >= deadline) {
      status = MP_TIMEOUT;
      break;
    }
    MP_BUG_GAP(SEEN_TOO_LATE);
    if (MP_BUGGY(SEEN_TOO_LATE)) seen = mp_event_seen(&pool->event);
    status = mp_event_wait(&pool->event, seen, next_look(set, deadline));
  }
  if (set->mailbox != NULL) mp_sub_seq(&set->mailbox->awaited, 1);
  return status;
}

static mp_status wait_outside(mp_pool *pool, const wait_set *set, uint64_t deadline,
                              size_t *index) {
  if (spin(pool, NULL, set, deadline, index)) return MP_OK;
  return sleep_until_ready(pool, set, deadline, index);
}

size_t mp_worker_stack_left(const mp_worker *worker) {
  char here;
  return &here > worker->stack_low ? (size_t)(&here - worker->stack_low) : 0;
}

/* Runs one of the set that is still queued, right here. */
static bool run_in_place(mp_worker *self, const wait_set *set) {
  if (mp_worker_stack_left(self) < STACK_RESERVE) return false;
  for (size_t i = 0; i < set->n; i++) {
    mp_task *task = set->tasks[i];
    if (task == NULL || mp_task_state(task) != MP_STATE_QUEUED) continue;
    /* as mp_pool_run_job would */
    if (mp_load_relaxed(&task->pool->closing) >= MP_CLOSING_CANCEL) return mp_cancel(task) != 0;
    mp_task_retain(task);
    bool ran = mp_pool_execute(self, task);
    mp_task_release(task);
    if (ran) return true;
  }
  return false;
}

static bool help(mp_worker *self, mp_job *find(mp_worker *worker)) {
  if (mp_worker_stack_left(self) < STACK_RESERVE) return false;
  mp_job *job = find(self);
  if (job == NULL) return false;
  mp_scheduler_run(self, job);
  return true;
}

/*
** A worker never just sleeps: what it waits for may be behind it. It runs that task in place if it
** can, or another that it submitted itself, most likely a sibling. Else a replacement thread takes
** its seat meanwhile. Only when there can be no replacement does it run unrelated work, which may
** keep it longer.
*/
static mp_status wait_on_worker(mp_pool *pool, mp_worker *self, const wait_set *set,
                                uint64_t deadline, size_t *index) {
  bool may_help = deadline == MP_FOREVER;
  for (;;) {
    if (ready(set, index)) return MP_OK;
    if (is_called_off(set)) return MP_CANCELLED;
    if (may_help && run_in_place(self, set)) continue;
    if (may_help && help(self, mp_scheduler_find_own)) continue;
    if (spin(pool, self, set, deadline, index)) return MP_OK;
    bool replaced = mp_scheduler_block(self);
    if (replaced || !may_help) {
      mp_status status = sleep_until_ready(pool, set, deadline, index);
      mp_scheduler_unblock(self);
      if (status != MP_INTERRUPTED) return status;
      continue;
    }
    mp_scheduler_unblock(self);
    if (!help(self, mp_scheduler_find))
      (void)!sleep_until_ready(pool, set, mp_os_deadline(1000000), index);
  }
}

/* The owner's sleep among the idle workers, until the set is ready or work turns up. */
static mp_status park_owner(mp_scheduler *scheduler, const wait_set *set, size_t *index) {
  mp_parker *parker = &scheduler->owner->parker;
  mp_status status = MP_OK;
  mp_park_search_begin(&scheduler->park);
  mp_park_announce(&scheduler->park, parker);
  mark_waited(set); /* whoever ends one of these also pokes the owner */
  if (ready(set, index) || mp_scheduler_has_work(scheduler))
    mp_park_retract(&scheduler->park, parker);
  else
    status = mp_park_sleep(&scheduler->park, parker, MP_FOREVER);
  if (mp_park_search_end(&scheduler->park) && mp_scheduler_has_work(scheduler))
    mp_park_notify(&scheduler->park);
  return status;
}

/* The owner at work: anything that can be found, while the stack allows, until the set is ready. */
static mp_status wait_as_owner(mp_pool *pool, const wait_set *set, size_t *index) {
  mp_scheduler *scheduler = &pool->scheduler;
  mp_worker *self = scheduler->owner, *before = mp_scheduler_owner_enter(scheduler);
  mp_status status = MP_OK;
  bool over = ready(set, index);
  while (!over && status != MP_INTERRUPTED) {
    if (mp_worker_stack_left(self) < STACK_RESERVE)
      status = sleep_until_ready(pool, set, MP_FOREVER, index);
    else if (!run_in_place(self, set) && !help(self, mp_scheduler_find) &&
             !spin(pool, self, set, MP_FOREVER, index))
      status = park_owner(scheduler, set, index);
    over = ready(set, index);
  }
  mp_scheduler_owner_leave(before);
  mp_pool_tell_drainers(pool); /* it may have ended the last task */
  return over ? MP_OK : status;
}

bool mp_pool_help_as_owner(mp_pool *pool) {
  mp_worker *before = mp_scheduler_owner_enter(&pool->scheduler);
  bool helped = false;
  while (help(pool->scheduler.owner, mp_scheduler_find)) helped = true;
  mp_scheduler_owner_leave(before);
  return helped;
}

static mp_status wait_for(mp_pool *pool, const wait_set *given, uint64_t timeout_ns,
                          size_t *index) {
  wait_set set = *given;
  size_t found = set.n;
  if (set.mailbox != NULL) set.taken = mp_load_relaxed(&set.mailbox->taken);
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return MP_FORKED;
  mp_status status = MP_OK;
  if (!ready(&set, &found)) {
    mp_worker *self = mp_pool_self(pool);
    uint64_t deadline = mp_os_deadline(timeout_ns);
    if (timeout_ns == 0)
      status = MP_TIMEOUT;
    else if (mp_pool_owner_works(pool) && set.mailbox == NULL && set.room == NULL &&
             deadline == MP_FOREVER)
      status = wait_as_owner(pool, &set, &found);
    else if (self != NULL)
      status = wait_on_worker(pool, self, &set, deadline, &found);
    else
      status = wait_outside(pool, &set, deadline, &found);
  }
  if (status == MP_OK) *index = found;
  return status;
}

mp_status mp_wait_any(mp_pool *pool, mp_task *const *tasks, size_t n, mp_mailbox *mailbox,
                      uint64_t timeout_ns, size_t *index) {
  const wait_set set = {.tasks = tasks, .n = n, .mailbox = mailbox};
  return wait_for(pool, &set, timeout_ns, index);
}

mp_status mp_worker_wait_any(mp_worker *worker, mp_task *const *tasks, size_t n,
                             mp_mailbox *mailbox, uint64_t timeout_ns, size_t *index) {
  const wait_set set = {.tasks = tasks,
                        .n = n,
                        .mailbox = mailbox,
                        .cancellable = mp_worker_task(worker) != NULL ? worker : NULL};
  return wait_for(pool_of(worker), &set, timeout_ns, index);
}

mp_status mp_wait_room(mp_pool *pool, size_t bytes, mp_mailbox *mailbox, uint64_t timeout_ns) {
  const mp_worker *self = mp_pool_self(pool);
  const mp_worker *cancellable = self != NULL && mp_worker_task(self) != NULL ? self : NULL;
  if (bytes > SIZE_MAX - sizeof(mp_task)) return MP_FULL;
  const wait_set set = {.mailbox = mailbox,
                        .room = pool,
                        .room_bytes = bytes + sizeof(mp_task),
                        .cancellable = cancellable};
  size_t max = mp_load_relaxed(&pool->admission.queue_bytes_max), index;
  if (max != 0 && set.room_bytes > max) return MP_FULL;
  /* before the look for room; pairs with is_awaited in admit.c */
  mp_add_seq(&pool->admission.waiters, 1);
  mp_status status = wait_for(pool, &set, timeout_ns, &index);
  mp_sub_seq(&pool->admission.waiters, 1);
  return status;
}

void mp_pool_work_until(mp_pool *pool, mp_task *task) {
  const wait_set set = {.tasks = &task, .n = 1};
  size_t index;
  mp_worker *self = mp_pool_self(pool);
  if (self != NULL)
    (void)!wait_on_worker(pool, self, &set, MP_FOREVER, &index);
  else
    (void)!wait_as_owner(pool, &set, &index);
}

mp_status mp_wait(mp_task *task, uint64_t timeout_ns) {
  size_t index;
  return mp_wait_any(task->pool, &task, 1, NULL, timeout_ns, &index);
}

/* }====================================================== */

/*
** {======================================================
** Inside a task
** =======================================================
*/

mp_pool *mp_worker_pool(const mp_worker *worker) { return pool_of(worker); }
unsigned mp_worker_index(const mp_worker *worker) { return worker->index; }

mp_task *mp_worker_task(const mp_worker *worker) {
  const mp_frame *frame = mp_load_relaxed(&worker->frame);
  return frame == NULL ? NULL : frame->task;
}

void *mp_worker_local(const mp_worker *worker) { return worker->local; }
void *mp_worker_ud(const mp_worker *worker) { return worker->scheduler->config.worker_ud; }

int mp_worker_cancelled(const mp_worker *worker) {
  const mp_task *task = mp_worker_task(worker);
  if (mp_load_relaxed(&pool_of(worker)->closing) == MP_CLOSING_STOP) return 1;
  return task != NULL && (mp_load_relaxed(&task->word) & MP_WORD_CANCEL) != 0;
}

void mp_worker_set_result(mp_worker *worker, void *result, mp_task_drop *drop) {
  mp_task *task = mp_worker_task(worker);
  mp_task_drop_result(task);
  task->by.result.value = result;
  task->by.result.drop = drop;
  task->own |= MP_OWN_RESULT;
}

mp_status mp_worker_sleep(mp_worker *worker, uint64_t duration_ns) {
  mp_pool *pool = pool_of(worker);
  mp_task *task = mp_worker_task(worker);
  uint64_t deadline = mp_os_deadline(duration_ns);
  /* a cancel signals the event from here on */
  if (task != NULL && !MP_BUGGY(SLEEP_UNSEEN)) mp_or_seq(&task->word, MP_WORD_WAITED);
  for (;;) {
    uint32_t seen = mp_event_seen(&pool->event);
    if (mp_worker_cancelled(worker)) return MP_CANCELLED;
    if (mp_os_now() >= deadline) return MP_OK;
    (void)!mp_event_wait(&pool->event, seen, deadline);
  }
}

void mp_worker_lock(mp_worker *worker) {
  if (worker->lock_depth++ == 0) mp_os_mutex_take(&pool_of(worker)->critical);
}

void mp_worker_unlock(mp_worker *worker) {
  assert(worker->lock_depth > 0);
  if (--worker->lock_depth == 0) mp_os_mutex_give(&pool_of(worker)->critical);
}

/* }====================================================== */
