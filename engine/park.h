/*
** park.h - sleep and wake without lost wake-ups, and without waking more than needed.
**
** Who makes work visible calls notify afterwards; it wakes one sleeper, and only if nobody is
** searching already. A thread that finds nothing to do counts as a searcher; to sleep it announces
** itself, then looks once more (mp_park_sleep_unless):
**
**     submitter                 sleeper
**     push work       (seq)     join the sleepers   (seq)
**     read sleepers   (seq)     read the queues     (seq)
**
** One of the two sees the other. The last searcher to find work wakes the next (mp_park_search_end
** tells it to), so that the one wake-up a submitter skipped is made up for. A sleep that is called
** off resumes as a searcher: a submitter may have skipped its wake-up because of it.
**
**   searchers == threads looking for work + sleepers claimed by a waker that have not run yet
**
** A thread may also sleep outside the list of sleepers, for something that has nothing to do with
** work; then it is no searcher either before or after. Whoever has news for a thread, in the list
** or not, posts a token to its parker. A token says no more than "look again": one may be left over
** from an earlier wake-up, and a sleep then ends for no reason.
*/
#ifndef MP_PARK_H
#define MP_PARK_H

#include <stdbool.h>

#include "atomic.h"
#include "lock.h"

/* One per thread that sleeps here. Zeroed, then mp_parker_init. */
typedef struct mp_parker mp_parker;
struct mp_parker {
  mp_os_gate gate;        /* word 1: there is a token */
  mp_parker *next, *prev; /* guarded by park->lock */
  _Atomic bool listed;    /* atomic, written under park->lock: it is among the sleepers */
};

typedef struct mp_park {
  _Alignas(MP_CACHE_LINE) mp_lock lock;
  mp_parker *newest MP_GUARDED_BY(lock); /* sleepers, latest first (warm caches) */
  _Atomic uint32_t sleepers;             /* atomic, written under lock */
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
/*
** There is news for the thread of this parker, which its `called_off` looks at: ends its sleep
** among the sleepers, if it is in one. Any thread.
*/
void mp_park_tell(mp_park *park, mp_parker *parker);
/* Wakes every sleeper. Any thread. */
void mp_park_wake_all(mp_park *park);

/*
** Does the caller run where the last waker did, who most likely has gone on there, and waits for
** the CPU?
*/
bool mp_park_beside_waker(const mp_park *park);

void mp_park_search_begin(mp_park *park);
/* True: the caller was the last searcher and should notify if it can see more work. */
MP_CHECKED bool mp_park_search_end(mp_park *park);

/*
** The one way to sleep. Ends with MP_OK when `called_off` says so before the sleep begins, or when
** a token came, for whatever reason; with MP_TIMEOUT at the deadline; with MP_INTERRUPTED when a
** signal handler has run. `called_off` looks at everything the caller wants to be woken for;
** whoever makes one of these things true does so before it notifies, or posts to the parker.
**   park      non-NULL: the caller sleeps among those whom new work wakes, and is a searcher
**             afterwards. NULL: only tokens wake it.
**   searcher  with a park: the caller is a searcher until then, and `called_off` looks at all work.
**             One that looks for some of it only must not be one: a submitter would rely on it.
*/
MP_CHECKED mp_status mp_park_sleep_unless(mp_park *park, bool searcher, mp_parker *parker,
                                          uint64_t deadline, bool (*called_off)(void *ud),
                                          void *ud);

#endif
