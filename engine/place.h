/*
** place.h - on which CPU a worker goes on.
**
** The kernel puts a thread that is woken on the waker's CPU for as long as it takes to notice that
** another one idles, which may be tens of milliseconds. For an entry now and then that is well: it
** saves waking a CPU. But where entries come in quick succession both would take turns on one CPU,
** and sleep and wake each other for each of them; and a worker that runs for long there displaces
** whoever woke it, who has work to do as well. Then the worker migrates, if another CPU is free.
**
** All of it on the worker's own thread.
*/
#ifndef MP_PLACE_H
#define MP_PLACE_H

#include "worker.h"

/* A worker has been woken for work. */
void mp_place_woken(mp_worker *worker);

/*
** Before a worker spins: may it? On its waker's CPU it may not, for the waker cannot go on before
** it sleeps; when that has happened again and again, it migrates and may.
*/
bool mp_place_may_spin(mp_worker *worker);

/*
** After an entry, or a piece of a loop: a worker that has displaced its waker for a while migrates.
*/
void mp_place_migrate(mp_worker *worker);
static inline void mp_place_settle(mp_worker *worker) {
  if (worker->place.beside_ns != 0) mp_place_migrate(worker);
}

#endif
