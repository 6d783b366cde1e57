#include "place.h"

#include "spin.h"

/* So often in a row, each soon after the one before, may a worker be woken on its waker's CPU. */
#define TIMES_MAX 8
#define SOON_NS ((uint64_t)100000)
/* So long may it run there. */
#define DISPLACED_NS ((uint64_t)100000)

void mp_place_woken(mp_worker *worker) {
  bool beside = mp_park_beside_waker(&worker->scheduler->park);
  worker->place.beside_ns = beside ? mp_os_now() : 0;
}

bool mp_place_may_spin(mp_worker *worker) {
  if (!mp_park_beside_waker(&worker->scheduler->park)) return true;
  uint64_t now = mp_os_now();
  bool soon = now - worker->place.last_ns < SOON_NS;
  worker->place.times = soon ? worker->place.times + 1 : 0;
  worker->place.last_ns = now;
  if (worker->place.times < TIMES_MAX || !mp_is_roomy(worker->scheduler)) return false;
  worker->place.times = 0;
  return mp_os_leave_cpu();
}

void mp_place_migrate(mp_worker *worker) {
  if (mp_os_now() - worker->place.beside_ns < DISPLACED_NS) return;
  worker->place.beside_ns = 0;
  if (mp_park_beside_waker(&worker->scheduler->park) && mp_is_roomy(worker->scheduler))
    (void)!mp_os_leave_cpu();
}
