#include "stop.h"

#include "bug.h"
#include "finish.h"
#include "seats.h"

#define TICK_MIN_NS ((uint64_t)1000000)
#define TICK_MAX_NS ((uint64_t)50000000)

/* The worker cannot drop a frame between mp_pool_fence and unwatch. */
static void watch_locked(mp_pool *pool, mp_worker *worker) MP_HOLDS(pool->running_lock) {
  (void)pool;
  mp_store_seq(&worker->watched, 1);
}

static const mp_frame *frame_of(const mp_worker *worker) {
  const mp_frame *frame = mp_load_seq(&worker->frame);
  MP_BUG_GAP(NOT_WATCHED);
  return frame;
}

static void unwatch(mp_worker *worker) { mp_store_seq(&worker->watched, 0); }

void mp_await_watcher(mp_pool *pool) {
  if (MP_BUGGY(NOT_WATCHED)) return;
  mp_os_mutex_take(&pool->running_lock);
  mp_os_mutex_give(&pool->running_lock);
}

void mp_come_back(mp_pool *pool, mp_worker *worker) {
  if (MP_BUGGY(NEVER_BACK)) return;
  mp_seats_unmark_stuck(worker);
  mp_log_write(&pool->log, MP_LOG_INFO, "pool", "worker %u, set aside before, is back",
               worker->index);
}

/* Was the task asked that is inside of this frame, or one that waits below it? */
static bool is_any_asked(const mp_pool *pool, const mp_frame *frame) {
  while (frame != NULL && !mp_is_asked(pool, frame->task)) frame = frame->outer;
  return frame != NULL;
}

/* In a signal handler. Which tasks run on this thread, and whether they were asked, it may read. */
static mp_os_meant on_interrupt(void) {
  mp_worker *worker = mp_worker_self();
  if (worker == NULL) return MP_OS_MEANT_HOST;
  bool owner = worker == worker->scheduler->owner;
  if (owner && !mp_swap_acquire(&worker->interrupted, 0)) return MP_OS_MEANT_HOST;
  mp_pool *pool = mp_pool_of(worker);
  if (is_any_asked(pool, mp_worker_frame(worker)) && pool->config.worker_interrupt != NULL)
    pool->config.worker_interrupt(worker, worker->local, pool->config.worker_ud);
  return owner ? MP_OS_MEANT_US : MP_OS_MEANT_WHO_SENT;
}

static uint64_t on_tick(void *pool);
static void on_deadline(void *pool, mp_deadline *deadline);

mp_status mp_stop_open(mp_pool *pool) {
  pool->deadlines.expired = on_deadline;
  pool->deadlines.tick = on_tick;
  pool->deadlines.ud = pool;
  if (pool->config.worker_interrupt == NULL) return MP_OK;
  return mp_os_interrupt_open(pool->config.interrupt_signal, on_interrupt);
}

void mp_stop_close(mp_pool *pool) {
  if (pool->config.worker_interrupt != NULL) mp_os_interrupt_close(pool->config.interrupt_signal);
}

/*
** Workers that a look has marked stuck: one that finds no room here has its turn at the next look.
*/
typedef struct stuck_list {
  struct {
    unsigned worker;
    uint64_t task;
  } of[8];
  int n, vacant; /* vacant: seats for which a thread must be started */
} stuck_list;

static const int STUCK_LIST_MAX =
    (int)(sizeof((stuck_list *)0)->of / sizeof *((stuck_list *)0)->of);

static void interrupt(mp_pool *pool, mp_worker *worker, uint64_t now) {
  bool sent = MP_BUGGY(SENT_ONCE) && worker->stopping_ns != now;
  if (pool->config.worker_interrupt == NULL || sent) return;
  mp_store_release(&worker->interrupted, 1);
  mp_os_interrupt(worker->thread, pool->config.interrupt_signal);
}

/* What to do about the body that runs on the watched worker, which was asked to stop. */
static void stop_body_locked(mp_pool *pool, mp_worker *worker, const mp_frame *frame, uint64_t now,
                             stuck_list *stuck) MP_HOLDS(pool->running_lock) {
  const mp_task *task = frame->task;
  bool over = task != NULL && mp_task_is_over(task);
  /* a body that returns and is called again is not stuck; nor is one before its task is over */
  if (worker->stopping_call != frame->call || worker->stopping_over != over) {
    worker->stopping_call = frame->call;
    worker->stopping_over = over;
    worker->stopping_ns = now;
  }
  interrupt(pool, worker, now);
  if (!over) return;
  if (now - worker->stopping_ns < pool->config.stuck_grace_ns || stuck->n == STUCK_LIST_MAX) return;
  bool vacant;
  if (!mp_seats_mark_stuck(worker, frame, &vacant)) return;
  stuck->vacant += vacant;
  stuck->of[stuck->n].worker = worker->index;
  stuck->of[stuck->n++].task = task->id;
}

/*
** Returns how long to wait before the next look at this worker, which is watched: MP_FOREVER if it
** runs nothing that was asked to stop.
*/
static uint64_t look_locked(mp_pool *pool, mp_worker *worker, uint64_t now, stuck_list *stuck)
    MP_HOLDS(pool->running_lock) {
  const mp_frame *frame = frame_of(worker);
  if (frame != NULL && mp_is_asked(pool, frame->task)) {
    stop_body_locked(pool, worker, frame, now, stuck);
    uint64_t pause = (now - worker->stopping_ns) / 8;
    return pause < TICK_MIN_NS ? TICK_MIN_NS : pause > TICK_MAX_NS ? TICK_MAX_NS : pause;
  }
  if (!is_any_asked(pool, frame)) return MP_FOREVER;
  /* what was asked waits for one that may go on; the host knows whether that belongs to it */
  interrupt(pool, worker, now);
  return TICK_MAX_NS;
}

/*
** Looks at what all workers run; returns when to look again, MP_FOREVER: nothing is to be stopped.
*/
static uint64_t tick(mp_pool *pool) {
  uint64_t now = mp_os_now(), pause = MP_FOREVER;
  uint32_t slots = mp_load_acquire(&pool->scheduler.seats.slots);
  stuck_list stuck = {.n = 0, .vacant = 0};
  /* a body may begin a moment after it was looked for */
  if (mp_load_relaxed(&pool->closing) == MP_CLOSING_STOP) pause = TICK_MAX_NS;
  mp_os_mutex_take(&pool->running_lock);
  for (uint32_t i = 0; i < slots; i++)
    watch_locked(pool, mp_load_relaxed(&pool->scheduler.seats.slot[i]));
  mp_pool_fence(pool); /* once for all of them, and before a frame is looked for */
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&pool->scheduler.seats.slot[i]);
    uint64_t wanted = look_locked(pool, worker, now, &stuck);
    if (wanted < pause) pause = wanted;
    unwatch(worker);
  }
  mp_os_mutex_give(&pool->running_lock);
  for (int i = 0; i < stuck.vacant; i++) (void)!mp_seats_fill(&pool->scheduler);
  if (stuck.vacant == 0 && pause != MP_FOREVER) mp_seats_refill(&pool->scheduler);
  for (int i = 0; i < stuck.n; i++)
    mp_log_write(&pool->log, MP_LOG_WARN, "pool",
                 "worker %u is set aside: its task #%llu is over but does not return",
                 stuck.of[i].worker, (unsigned long long)stuck.of[i].task);
  return pause == MP_FOREVER ? MP_FOREVER : now + pause;
}

static uint64_t on_tick(void *pool) { return tick(pool); }

static void on_deadline(void *ud, mp_deadline *deadline) {
  mp_pool *pool = ud;
  if (deadline == &pool->alarm || deadline == &pool->overdue) {
    (deadline == &pool->alarm ? pool->wake_due : pool->look_at_lane)(pool);
    return;
  }
  mp_task *task = mp_task_of_deadline(deadline);
  mp_end_now(pool, task, MP_STATE_TIMED_OUT);
  mp_task_release(task); /* the deadline's */
}

void mp_stop_bodies_soon(mp_pool *pool) {
  mp_deadlines_tick_at(&pool->deadlines, mp_os_now() + TICK_MIN_NS);
}

void mp_stop_bodies(mp_pool *pool) {
  uint64_t next = tick(pool);
  if (next != MP_FOREVER) mp_deadlines_tick_at(&pool->deadlines, next);
}

int mp_cancel(mp_task *task) {
  mp_pool *pool = task->pool;
  uint32_t before;
  if (mp_pool_forked(pool)) return 0;
  /* acquire: if it runs, its frame can be found; pairs with mp_task_start */
  uint32_t word = mp_or_acq_rel(&task->word, MP_FLAG_CANCEL | MP_FLAG_SEEN);
  if (mp_task_end(task, MP_STATE_CANCELLED, true, MP_FLAG_CANCEL, &before)) {
    mp_finish(pool, mp_pool_self(pool), task, (mp_ended){before, false, false});
    return 1;
  }
  mp_state state = mp_task_state(task);
  if (word & MP_FLAG_WAITED) mp_signal_task(pool, task); /* its body may sleep, or wait */
  if (state == MP_STATE_RUNNING && pool->config.worker_interrupt != NULL) mp_stop_bodies(pool);
  return state == MP_STATE_CANCELLED;
}

bool mp_end_now(mp_pool *pool, mp_task *task, mp_state state) {
  uint32_t before;
  const uint32_t flags = MP_BUGGY(ASKED_AFTER_END) ? 0 : MP_FLAG_CANCEL;
  if (MP_BUGGY(ASKED_BEFORE_END)) mp_or_acq_rel(&task->word, MP_FLAG_CANCEL);
  MP_BUG_GAP(ASKED_BEFORE_END);
  if (!mp_task_end(task, state, false, flags, &before)) return false;
  mp_finish(pool, mp_pool_self(pool), task, (mp_ended){before, false, false});
  if (mp_word_state(before) == MP_STATE_RUNNING) mp_stop_bodies(pool);
  if (MP_BUGGY(ASKED_AFTER_END)) mp_or_acq_rel(&task->word, MP_FLAG_CANCEL);
  return true;
}

int mp_cancel_now(mp_task *task) {
  mp_pool *pool = task->pool;
  if (mp_pool_forked(pool)) return 0;
  mp_task_see(task);
  return mp_end_now(pool, task, MP_STATE_CANCELLED) || mp_task_state(task) == MP_STATE_CANCELLED;
}

/* Ends one task that the worker is inside of; a reference to it, or NULL: there is none. */
static mp_task *end_one(mp_pool *pool, mp_worker *worker, uint32_t *before) {
  mp_task *task = NULL;
  mp_os_mutex_take(&pool->running_lock);
  watch_locked(pool, worker);
  mp_pool_fence(pool);
  for (const mp_frame *frame = frame_of(worker); frame != NULL && task == NULL;
       frame = frame->outer)
    if (frame->task != NULL &&
        mp_task_end(frame->task, MP_STATE_CANCELLED, false, MP_FLAG_CANCEL, before))
      mp_task_retain(task = frame->task);
  unwatch(worker);
  mp_os_mutex_give(&pool->running_lock);
  return task;
}

void mp_end_running(mp_pool *pool) {
  uint32_t slots = mp_load_acquire(&pool->scheduler.seats.slots), before;
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&pool->scheduler.seats.slot[i]);
    for (mp_task *task; (task = end_one(pool, worker, &before)) != NULL;) {
      mp_finish(pool, NULL, task, (mp_ended){before, false, false});
      mp_task_release(task);
    }
  }
}
