/*
** park.h - sleep and wake without lost wake-ups, and without waking more than needed.
**
** Who makes work visible calls notify afterwards; it wakes one sleeper, and only if nobody is
** searching already. A worker that finds nothing counts as a searcher; before sleeping it announces
** itself, then looks once more:
**
**     submitter                 worker
**     push work       (seq)     join the sleepers   (seq)
**     read sleepers   (seq)     read the queues     (seq)
**
** One of the two sees the other. The last searcher to find work wakes the next (mp_park_search_end
** tells it to), so that the one wake-up a submitter skipped is made up for. A sleep that is called
** off resumes as a searcher: a submitter may have skipped its wake-up because of it.
**
**   searchers == workers looking for work + sleepers claimed by a waker that have not run yet
*/
#ifndef MP_PARK_H
#define MP_PARK_H

#include <stdbool.h>

#include "atomic.h"
#include "lock.h"

/* One per thread that sleeps here. Zeroed, then mp_parker_init. */
typedef struct mp_parker mp_parker;
struct mp_parker {
  mp_os_gate gate;        /* word 1: a wake-up is due */
  mp_parker *next, *prev; /* guarded by park->lock */
  bool listed;            /* guarded by park->lock */
};

typedef struct mp_park {
  _Alignas(MP_CACHE_LINE) mp_lock lock;
  mp_parker *newest;         /* guarded by lock: sleepers, latest first (warm caches) */
  _Atomic uint32_t sleepers; /* atomic, written under lock */
  _Atomic uint32_t searchers;
  /* relaxed: where whoever woke a sleeper last ran then; -1 if that is not known */
  _Atomic int waker_cpu;
} mp_park;

MP_CHECKED mp_status mp_park_init(mp_park *park);
void mp_park_close(mp_park *park);
MP_CHECKED mp_status mp_parker_init(mp_parker *parker);
void mp_parker_close(mp_parker *parker);

/* Work was made visible. Any thread. */
void mp_park_wake_one(mp_park *park);
static inline void mp_park_notify(mp_park *park) {
  if (mp_load_seq(&park->sleepers) != 0) mp_park_wake_one(park);
}
/* Wakes every sleeper. Any thread. */
void mp_park_wake_all(mp_park *park);
/* Wakes this one if it sleeps, whatever the searchers. Any thread. */
void mp_park_poke(mp_park *park, mp_parker *parker);

/*
** Does the caller run where the last waker did, who most likely has gone on there, and waits for
** the CPU?
*/
bool mp_park_beside_waker(const mp_park *park);

void mp_park_search_begin(mp_park *park);
/* True: the caller was the last searcher and should notify if it can see more work. */
MP_CHECKED bool mp_park_search_end(mp_park *park);

/*
** A searcher joins the sleepers and stops counting as a searcher; it must look at the queues again,
** then call one of the next two.
*/
void mp_park_announce(mp_park *park, mp_parker *parker);
/*
** Sleeps until woken (MP_OK), the deadline (MP_TIMEOUT) or a signal handler has run
** (MP_INTERRUPTED). The caller is no sleeper any more but a searcher again.
*/
mp_status mp_park_sleep(mp_park *park, mp_parker *parker, uint64_t deadline);
/* Calls the sleep off; the caller is a searcher again. */
void mp_park_retract(mp_park *park, mp_parker *parker);

#endif
