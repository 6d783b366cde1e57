/*
** lock.h - a lock for sections of a few instructions that are entered millions of times a second.
**
** Free it costs one locked instruction to take and one to give back, and no call. Whoever finds it
** held looks a little while, then sleeps. The word is 0 free, 1 held, 2 held and somebody may sleep
** (Drepper, "Futexes are tricky", 2011).
*/
#ifndef MP_LOCK_H
#define MP_LOCK_H

#include <assert.h>

#include "atomic.h"
#include "os.h"

typedef struct MP_CAPABILITY mp_lock {
  mp_os_gate gate;
} mp_lock;

MP_CHECKED static inline mp_status mp_lock_init(mp_lock *lock) {
  return mp_os_gate_init(&lock->gate);
}
static inline void mp_lock_close(mp_lock *lock) { mp_os_gate_close(&lock->gate); }

/* Unchecked, all three: what the analysis is told of happens in the word. */
void mp_lock_take_held(mp_lock *lock) MP_TAKES(lock);
static inline void mp_lock_take(mp_lock *lock) MP_TAKES(lock) MP_UNCHECKED {
  uint32_t word = 0;
  if (!mp_cas_acq_rel(&lock->gate.word, &word, 1)) mp_lock_take_held(lock);
}

static inline void mp_lock_give(mp_lock *lock) MP_GIVES(lock) MP_UNCHECKED {
  uint32_t before = mp_swap_acq_rel(&lock->gate.word, 0);
  assert(before == 1 || before == 2); /* it was held */
  if (before == 2) mp_os_gate_wake_one(&lock->gate);
}

#endif
