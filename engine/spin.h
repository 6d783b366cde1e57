/*
** spin.h - how long a thread looks for something before it sleeps.
**
** That is spin_ns; or, while a core is free for it, up to spin_free_ns, as long as that pays. Spins
** that find nothing halve what the next one may take, so that a thread whose work comes seldom, or
** whose core somebody else needs, soon spins no longer than spin_ns. Now and then one, a probe,
** takes all the time, to notice when it would pay again; the more probes find nothing, the fewer.
**
** A budget belongs to one thread; that of the threads outside is shared, and they may overwrite
** each other's lessons, which does no harm.
*/
#ifndef MP_SPIN_H
#define MP_SPIN_H

#include "worker.h"

typedef struct mp_spin {
  const mp_scheduler *scheduler;
  mp_spin_budget *budget;
  uint64_t began, free_ns;
  bool probe;
} mp_spin;

void mp_spin_budget_init(mp_spin_budget *budget, uint64_t free_ns);

mp_spin mp_spin_begin(const mp_scheduler *scheduler, mp_spin_budget *budget);
void mp_spin_end(const mp_spin *spin, bool found);

/* Is there a core for each thread that is awake? */
static inline bool mp_is_roomy(const mp_scheduler *scheduler) {
  uint32_t awake =
      mp_load_relaxed(&scheduler->seats.running) - mp_load_relaxed(&scheduler->park.sleepers);
  return awake + 1 <= scheduler->config.cores; /* + 1: the owner, or whichever thread waits */
}

/* May it go on? Asked again and again: the core may be taken meanwhile. */
static inline bool mp_spin_goes_on(const mp_spin *spin, uint64_t now) {
  return now - spin->began <
         (mp_is_roomy(spin->scheduler) ? spin->free_ns : spin->scheduler->config.spin_ns);
}

/* Has it taken as long as one may that has no core to itself? */
static inline bool mp_spin_is_long(const mp_spin *spin, uint64_t now) {
  return now - spin->began >= spin->scheduler->config.spin_ns;
}

#endif
