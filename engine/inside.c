/*
** inside.c - what a body can ask about the worker that it runs on.
*/
#include <assert.h>

#include "stop.h"

mp_pool *mp_worker_pool(const mp_worker *worker) { return mp_pool_of(worker); }
unsigned mp_worker_index(const mp_worker *worker) { return worker->index; }
mp_task *mp_worker_task(const mp_worker *worker) { return mp_frame_task(worker); }
void *mp_worker_local(const mp_worker *worker) { return worker->local; }
void *mp_worker_ud(const mp_worker *worker) { return worker->scheduler->config.worker_ud; }

int mp_worker_cancelled(const mp_worker *worker) {
  return mp_is_asked(mp_pool_of(worker), mp_frame_task(worker));
}

mp_status mp_worker_resumed(const mp_worker *worker) {
  const mp_frame *frame = mp_worker_frame(worker);
  if (frame == NULL || !frame->body) return MP_INVALID;
  return frame->resumed != MP_INVALID && mp_worker_cancelled(worker) ? MP_CANCELLED
                                                                     : frame->resumed;
}

void mp_worker_set_result(mp_worker *worker, void *result, mp_task_drop *drop) {
  mp_task *task = mp_frame_task(worker);
  assert(task != NULL);
  mp_task_drop_result(task);
  task->by.result.value = result;
  task->by.result.drop = drop;
  task->own |= MP_OWN_RESULT;
}

/* The owner's thread is the host's, with the host's signals. */
static bool has_own_signals(const mp_worker *worker) { return worker != worker->scheduler->owner; }

void mp_worker_open_signals(mp_worker *worker) {
  const mp_scheduler_config *config = &worker->scheduler->config;
  assert(mp_worker_self() == worker);
  if (!has_own_signals(worker) || worker->signals.opened++ > 0) return;
  mp_os_blocked_get(&worker->signals.blocked);
  mp_os_forget_broken_pipe();
  mp_os_blocked_set(&mp_pool_of(worker)->blocked);
  if (config->interrupt_signal != 0) mp_os_interrupt_listen(config->interrupt_signal);
}

void mp_worker_block_signals(mp_worker *worker) {
  if (!has_own_signals(worker)) return;
  assert(worker->signals.opened > 0);
  if (--worker->signals.opened == 0) mp_os_blocked_set(&worker->signals.blocked);
}

/* In a child of fork(2) another thread may have held the lock; the child has but one. */
void mp_worker_lock(mp_worker *worker) MP_UNCHECKED {
  mp_pool *pool = mp_pool_of(worker);
  if (worker->lock_depth++ == 0 && !mp_pool_forked(pool)) mp_os_mutex_take(&pool->critical);
}

void mp_worker_unlock(mp_worker *worker) MP_UNCHECKED {
  mp_pool *pool = mp_pool_of(worker);
  assert(worker->lock_depth > 0);
  if (--worker->lock_depth == 0 && !mp_pool_forked(pool)) mp_os_mutex_give(&pool->critical);
}
