/*
** worker.c - which worker a thread is; the owner's slot.
*/
#include "worker.h"

#include <assert.h>

#define INTERRUPT_LOOKS 10000

MP_THREAD_LOCAL mp_worker *mp_self_worker;

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

mp_worker *mp_owner_enter(mp_scheduler *scheduler) {
  mp_worker *before = mp_self_worker, *owner = scheduler->owner;
  if (before == owner) return before;
  assert(owner != NULL);
  owner->around = before;
  mp_self_worker = owner;
  return before;
}

void mp_owner_leave(mp_scheduler *scheduler, mp_worker *before) {
  mp_worker *owner = mp_self_worker;
  assert(owner == scheduler->owner);
  if (before == owner) return;
  /*
  ** an interrupt that is on its way would be taken for the host's; it comes at once, unless the
  ** host blocks it
  */
  for (int i = 0; i < INTERRUPT_LOOKS && mp_load_relaxed(&owner->interrupted) != 0; i++) mp_pause();
  mp_store_relaxed(&owner->interrupted, 0);
  mp_self_worker = before;
  owner->around = NULL;
  scheduler->config.idle(scheduler->config.ud); /* it may have ended the last task */
}
