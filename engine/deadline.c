/*
** deadline.c - the thread that ends tasks at their deadline and sees to it that their bodies stop
** (stop.c). Started when first needed; it runs no code of the host but drop.
**
** A parked worker could not do it: all may be stuck. One thread serves any number of deadlines.
*/
#include "bug.h"
#include "pool.h"

/* The next thing to do and leave the lock for; false: nothing, until *next. */
static bool work_locked(mp_pool *pool, uint64_t *next) {
  uint64_t now = mp_os_now();
  mp_heap_node *node = mp_timers_expire(&pool->timers, now);
  if (node != NULL) {
    mp_task *task = mp_task_of_timer(node);
    mp_task_extra(task)->armed = false;
    mp_os_mutex_give(&pool->timer_lock);
    mp_pool_end_now(pool, task, MP_STATE_TIMED_OUT);
    mp_task_release(task);
    mp_os_mutex_take(&pool->timer_lock);
    return true;
  }
  if (pool->tick_at <= now) {
    pool->tick_at = MP_FOREVER;
    mp_os_mutex_give(&pool->timer_lock);
    uint64_t again = mp_pool_tick(pool);
    mp_os_mutex_take(&pool->timer_lock);
    if (again < pool->tick_at) pool->tick_at = again;
    return true;
  }
  *next = mp_timers_next(&pool->timers);
  if (pool->tick_at < *next) *next = pool->tick_at;
  return false;
}

static void *timer_main(void *arg) {
  mp_pool *pool = arg;
  mp_os_thread_name("mp-timer");
  mp_os_mutex_take(&pool->timer_lock);
  while (!pool->timer_stop) {
    uint64_t next;
    if (work_locked(pool, &next)) continue;
    uint32_t seen = mp_load_relaxed(&pool->timer_gate.word); /* changes under the lock only */
    mp_os_mutex_give(&pool->timer_lock);
    (void)!mp_os_gate_wait(&pool->timer_gate, seen, next);
    mp_os_mutex_take(&pool->timer_lock);
  }
  mp_os_mutex_give(&pool->timer_lock);
  return NULL;
}

static mp_status start_locked(mp_pool *pool) {
  if (pool->timer_running) return MP_OK;
  mp_status status = mp_os_thread_start(&pool->timer_thread, 256 * 1024, timer_main, pool);
  pool->timer_running = status == MP_OK;
  return status;
}

mp_status mp_pool_arm(mp_pool *pool, mp_task *task) {
  uint64_t deadline = mp_os_deadline(mp_task_extra(task)->timeout_ns);
  mp_os_mutex_take(&pool->timer_lock);
  mp_status status = pool->timer_stop ? MP_SHUTDOWN : start_locked(pool);
  bool first = false;
  if (status == MP_OK) {
    first = deadline < mp_timers_next(&pool->timers) && !MP_BUGGY(TIMER_SLEEPS_ON);
    mp_task_retain(task);
    mp_task_extra(task)->armed = true;
    mp_timers_arm(&pool->timers, &mp_task_places(task)->timer, deadline);
    if (first) mp_add_relaxed(&pool->timer_gate.word, 1);
  }
  mp_os_mutex_give(&pool->timer_lock);
  if (first) mp_os_gate_wake_one(&pool->timer_gate);
  return status;
}

void mp_pool_tick_at(mp_pool *pool, uint64_t when) {
  mp_os_mutex_take(&pool->timer_lock);
  bool sooner = !pool->timer_stop && when < pool->tick_at && start_locked(pool) == MP_OK;
  if (sooner) {
    pool->tick_at = when;
    mp_add_relaxed(&pool->timer_gate.word, 1);
  }
  mp_os_mutex_give(&pool->timer_lock);
  if (sooner) mp_os_gate_wake_one(&pool->timer_gate);
}

void mp_pool_disarm(mp_pool *pool, mp_task *task) {
  mp_os_mutex_take(&pool->timer_lock);
  bool armed = mp_task_extra(task)->armed;
  if (armed) {
    mp_timers_disarm(&pool->timers, &mp_task_places(task)->timer);
    mp_task_extra(task)->armed = false;
  }
  mp_os_mutex_give(&pool->timer_lock);
  if (armed) mp_task_release(task);
}

void mp_pool_stop_timer(mp_pool *pool) {
  mp_os_mutex_take(&pool->timer_lock);
  bool running = pool->timer_running;
  pool->timer_stop = true;
  pool->timer_running = false;
  mp_add_relaxed(&pool->timer_gate.word, 1);
  mp_os_mutex_give(&pool->timer_lock);
  if (!running) return;
  mp_os_gate_wake_one(&pool->timer_gate);
  mp_os_thread_join(pool->timer_thread);
}
