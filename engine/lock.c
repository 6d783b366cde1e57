#include "lock.h"

/* before sleep: some microseconds, more than any section takes whose thread runs */
#define LOOKS 100

void mp_lock_take_held(mp_lock *lock) MP_UNCHECKED {
  for (int i = 0; i < LOOKS; i++) {
    uint32_t word = 0;
    mp_pause();
    if (mp_load_relaxed(&lock->gate.word) == 0 && mp_cas_acq_rel(&lock->gate.word, &word, 1))
      return;
  }
  while (mp_swap_acq_rel(&lock->gate.word, 2) != 0)
    (void)!mp_os_gate_wait(&lock->gate, 2, MP_FOREVER);
}
