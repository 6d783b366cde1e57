/*
** worker.c - which worker a thread is; the owner's slot.
*/
#include "worker.h"

#include <assert.h>

#define INTERRUPT_LOOKS 10000

MP_THREAD_LOCAL mp_worker *mp_self_worker;
MP_THREAD_LOCAL mp_stay *mp_self_stays;

void mp_worker_note_stack(mp_worker *worker, size_t assumed) {
  char here;
  if (mp_os_stack_bounds(&worker->stack_low, &worker->stack_high)) return;
  worker->stack_low = (const char *)((uintptr_t)&here - assumed);
  worker->stack_high = (const char *)UINTPTR_MAX;
}

/* On another stack than its thread's, a fiber's for example, nobody knows how much is left. */
size_t mp_worker_stack_left(const mp_worker *worker) {
  char here;
  return worker->stack_low < &here && &here < worker->stack_high
             ? (size_t)(&here - worker->stack_low)
             : 0;
}

void mp_owner_enter(mp_scheduler *scheduler, mp_stay *stay) {
  assert(scheduler->owner != NULL);
  *stay = (mp_stay){scheduler->owner, mp_self_worker, mp_self_stays,
                    mp_self_worker != scheduler->owner};
  if (!stay->begun) return;
  mp_self_stays = stay;
  mp_self_worker = scheduler->owner;
}

void mp_owner_leave(mp_stay *stay) {
  mp_worker *owner = stay->slot;
  const mp_scheduler_config *config = &owner->scheduler->config;
  assert(mp_self_worker == owner);
  if (!stay->begun) return;
  assert(mp_self_stays == stay);
  /*
  ** an interrupt that is on its way would be taken for the host's; it comes at once, unless the
  ** host blocks it
  */
  for (int i = 0; i < INTERRUPT_LOOKS && mp_load_relaxed(&owner->interrupted) != 0; i++) mp_pause();
  mp_store_relaxed(&owner->interrupted, 0);
  mp_self_stays = stay->outer;
  mp_self_worker = stay->before;
  if (!mp_is_orphan(owner)) config->idle(config->ud); /* it may have ended the last task */
}

mp_worker *mp_thread_worker(void) {
  mp_worker *worker = mp_self_worker;
  for (const mp_stay *stay = mp_self_stays; stay != NULL; stay = stay->outer) worker = stay->before;
  return worker != NULL && mp_is_orphan(worker) ? NULL : worker;
}

typedef bool has_it(const mp_worker *worker, const void *what);

/* In a child of fork(2) the pools of the parent are no matter. */
static bool counts_and(has_it *has, const mp_worker *worker, const void *what) {
  return worker != NULL && !mp_is_orphan(worker) && has(worker, what);
}

/* Calls `has` for each worker that the calling thread is. */
static bool any_self(has_it *has, const void *what) {
  if (counts_and(has, mp_self_worker, what)) return true;
  for (const mp_stay *stay = mp_self_stays; stay != NULL; stay = stay->outer)
    if (counts_and(has, stay->before, what)) return true;
  return false;
}

static bool has_frame(const mp_worker *worker, const void *what) {
  (void)what;
  return mp_worker_frame(worker) != NULL;
}

static bool has_frame_of(const mp_worker *worker, const void *task) {
  for (const mp_frame *frame = mp_worker_frame(worker); frame != NULL; frame = frame->outer)
    if (frame->task == task) return true;
  return false;
}

static bool has_frame_on(const mp_worker *worker, const void *strand) {
  for (const mp_frame *frame = mp_worker_frame(worker); frame != NULL; frame = frame->outer)
    if (frame->strand == strand) return true;
  return false;
}

bool mp_thread_is_inside(void) { return any_self(has_frame, NULL); }
bool mp_thread_is_in_task(const mp_task *task) { return any_self(has_frame_of, task); }
bool mp_thread_is_on_strand(const mp_strand *strand) { return any_self(has_frame_on, strand); }
