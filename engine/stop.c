/*
** stop.c - getting a body to return whose task was asked to stop.
**
** The ladder: asked (the flag that mp_worker_cancelled reads) -> the host's interrupt, on the
** worker's own thread, sent again until the body is out -> if the task is over and its body is
** still in after stuck_grace_ns, its worker is set aside: counted, and replaced.
**
** Whoever asks climbs the first rungs at once; the timer thread does the rest. There is no list of
** what is to be stopped: it is what workers have in `frame`, so to look costs a step per worker,
** and only while something is being stopped.
**
**   looker                          worker
**   watched = 1     (seq)           frame = outer   (mp_pool_store_first)
**   mp_pool_fence                   read watched    (seq)
**   read frame      (seq)
**
** Either the looker sees that the frame is gone, or the worker sees that it is watched, and waits
** for running_lock before it lets go of it. So a frame seen under the lock is alive, its task too,
** and its worker's thread.
*/
#include "bug.h"
#include "pool.h"

#define TICK_MIN_NS ((uint64_t)1000000)
#define TICK_MAX_NS ((uint64_t)50000000)

static bool is_asked(const mp_pool *pool, const mp_task *task) {
  return (mp_load_relaxed(&task->word) & MP_WORD_CANCEL) != 0 ||
         mp_load_relaxed(&pool->closing) == MP_CLOSING_STOP;
}

/*
** Under running_lock. True: it runs something, which from mp_pool_fence to unwatch it goes on
** running. False: nothing that was asked to stop before, for who asks a task that runs finds its
** frame.
*/
static bool watch(mp_worker *worker) {
  if (mp_load_acquire(&worker->frame) == NULL) return false;
  mp_store_seq(&worker->watched, 1);
  return true;
}

static const mp_frame *frame_of(const mp_worker *worker) {
  const mp_frame *frame = mp_load_seq(&worker->frame);
  MP_BUG_GAP(NOT_WATCHED);
  return frame;
}

static void unwatch(mp_worker *worker) { mp_store_seq(&worker->watched, 0); }

void mp_pool_await_watcher(mp_pool *pool) {
  if (MP_BUGGY(NOT_WATCHED)) return;
  mp_os_mutex_take(&pool->running_lock);
  mp_os_mutex_give(&pool->running_lock);
}

void mp_pool_come_back(mp_pool *pool, mp_worker *worker) {
  if (MP_BUGGY(NEVER_BACK)) return;
  mp_scheduler_come_back(worker);
  mp_log_write(&pool->log, MP_LOG_INFO, "pool", "worker %u, set aside before, is back",
               worker->index);
}

/* In a signal handler. Which tasks run on this thread, and whether they were asked, it may read. */
static mp_os_meant on_interrupt(void) {
  mp_worker *worker = mp_worker_self();
  if (worker == NULL) return MP_OS_MEANT_HOST;
  bool owner = worker == worker->scheduler->owner;
  if (owner && !mp_swap_acquire(&worker->interrupted, 0)) return MP_OS_MEANT_HOST;
  mp_pool *pool = mp_worker_pool(worker);
  const mp_task *task = mp_worker_task(worker);
  if (task != NULL && is_asked(pool, task) && pool->config.worker_interrupt != NULL)
    pool->config.worker_interrupt(worker, worker->local, pool->config.worker_ud);
  return owner ? MP_OS_MEANT_US : MP_OS_MEANT_WHO_SENT;
}

mp_status mp_pool_open_interrupts(mp_pool *pool) {
  if (pool->config.worker_interrupt == NULL) return MP_OK;
  return mp_os_interrupt_open(pool->config.interrupt_signal, on_interrupt);
}

void mp_pool_close_interrupts(mp_pool *pool) {
  if (pool->config.worker_interrupt != NULL) mp_os_interrupt_close(pool->config.interrupt_signal);
}

/* Workers that a look has set aside: one that finds no room here has its turn at the next look. */
typedef struct aside_list {
  struct {
    unsigned worker;
    uint64_t task;
  } of[8];
  int n;
} aside_list;

/* What to do about the body that runs on the watched worker, which was asked to stop. */
static void stop_body(mp_pool *pool, mp_worker *worker, const mp_task *task, uint64_t now,
                      aside_list *aside) {
  if (worker->stopping_id != task->id) {
    worker->stopping_id = task->id;
    worker->stopping_ns = now;
  }
  bool sent = MP_BUGGY(SENT_ONCE) && worker->stopping_ns != now;
  if (pool->config.worker_interrupt != NULL && !sent) {
    mp_store_release(&worker->interrupted, 1);
    mp_os_interrupt(worker->thread, pool->config.interrupt_signal);
  }
  if (!mp_state_is_terminal(mp_task_state(task)) ||
      now - worker->stopping_ns < pool->config.stuck_grace_ns)
    return;
  if (aside->n == (int)(sizeof aside->of / sizeof *aside->of) || !mp_scheduler_set_aside(worker))
    return;
  aside->of[aside->n].worker = worker->index;
  aside->of[aside->n++].task = task->id;
}

/*
** Returns how long to wait before the next look at this worker, which is watched: MP_FOREVER if it
** runs nothing that was asked to stop.
*/
static uint64_t look(mp_pool *pool, mp_worker *worker, uint64_t now, aside_list *aside) {
  const mp_frame *frame = frame_of(worker);
  if (frame != NULL && is_asked(pool, frame->task)) {
    stop_body(pool, worker, frame->task, now, aside);
    uint64_t pause = (now - worker->stopping_ns) / 8;
    return pause < TICK_MIN_NS ? TICK_MIN_NS : pause > TICK_MAX_NS ? TICK_MAX_NS : pause;
  }
  for (; frame != NULL; frame = frame->outer) /* what was asked may wait for one that may go on */
    if (is_asked(pool, frame->task)) return TICK_MAX_NS;
  return MP_FOREVER;
}

uint64_t mp_pool_tick(mp_pool *pool) {
  uint64_t now = mp_os_now(), pause = MP_FOREVER;
  uint32_t slots = mp_load_acquire(&pool->scheduler.slots);
  aside_list aside = {.n = 0};
  bool any = false;
  /* a body may begin a moment after it was looked for */
  if (mp_load_relaxed(&pool->closing) == MP_CLOSING_STOP) pause = TICK_MAX_NS;
  mp_os_mutex_take(&pool->running_lock);
  for (uint32_t i = 0; i < slots; i++) any |= watch(mp_load_relaxed(&pool->scheduler.worker[i]));
  if (any) mp_pool_fence(pool); /* once for all of them */
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&pool->scheduler.worker[i]);
    if (!mp_load_relaxed(&worker->watched)) continue;
    uint64_t wanted = look(pool, worker, now, &aside);
    if (wanted < pause) pause = wanted;
    unwatch(worker);
  }
  mp_os_mutex_give(&pool->running_lock);
  for (int i = 0; i < aside.n; i++)
    mp_log_write(&pool->log, MP_LOG_WARN, "pool",
                 "worker %u is set aside: its task #%llu is over but does not return",
                 aside.of[i].worker, (unsigned long long)aside.of[i].task);
  return pause == MP_FOREVER ? MP_FOREVER : now + pause;
}

void mp_pool_stop_bodies(mp_pool *pool) {
  uint64_t next = mp_pool_tick(pool);
  if (next != MP_FOREVER) mp_pool_tick_at(pool, next);
}

int mp_cancel(mp_task *task) {
  mp_pool *pool = task->pool;
  uint32_t before;
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return 0;
  /* acquire: if it runs, its frame can be found; pairs with mp_task_start */
  uint32_t word = mp_or_acq_rel(&task->word, MP_WORD_CANCEL);
  if (mp_task_end(task, MP_STATE_CANCELLED, true, &before)) {
    mp_pool_finish(pool, mp_pool_self(pool), task, before, false);
    return 1;
  }
  mp_state state = mp_task_state(task);
  /* it may be sleeping (mp_worker_sleep) */
  if (word & MP_WORD_WAITED) mp_event_signal(&pool->event);
  if (state == MP_STATE_RUNNING && pool->config.worker_interrupt != NULL) mp_pool_stop_bodies(pool);
  return state == MP_STATE_CANCELLED;
}

bool mp_pool_end_now(mp_pool *pool, mp_task *task, mp_state state) {
  uint32_t before;
  /* before its end can be seen: what runs is asked to stop; as in mp_cancel */
  if (!MP_BUGGY(ASKED_AFTER_END)) mp_or_acq_rel(&task->word, MP_WORD_CANCEL);
  if (!mp_task_end(task, state, false, &before)) return false;
  mp_pool_finish(pool, mp_pool_self(pool), task, before, false);
  if (mp_word_state(before) == MP_STATE_RUNNING) mp_pool_stop_bodies(pool);
  if (MP_BUGGY(ASKED_AFTER_END)) mp_or_acq_rel(&task->word, MP_WORD_CANCEL);
  return true;
}

int mp_cancel_now(mp_task *task) {
  mp_pool *pool = task->pool;
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return 0;
  return mp_pool_end_now(pool, task, MP_STATE_CANCELLED) ||
         mp_task_state(task) == MP_STATE_CANCELLED;
}

void mp_pool_end_running(mp_pool *pool) {
  uint32_t slots = mp_load_acquire(&pool->scheduler.slots), before;
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&pool->scheduler.worker[i]);
    mp_task *task;
    do {
      task = NULL;
      mp_os_mutex_take(&pool->running_lock);
      if (watch(worker)) {
        mp_pool_fence(pool);
        const mp_frame *frame = frame_of(worker);
        while (frame != NULL && !mp_task_end(frame->task, MP_STATE_CANCELLED, false, &before))
          frame = frame->outer;
        if (frame != NULL) mp_task_retain(task = frame->task);
        unwatch(worker);
      }
      mp_os_mutex_give(&pool->running_lock);
      if (task == NULL) continue;
      mp_pool_finish(pool, NULL, task, before, false);
      mp_task_release(task);
    } while (task != NULL);
  }
}
