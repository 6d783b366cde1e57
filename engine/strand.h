/*
** strand.h - what runs one at a time, in order, on whichever worker is free.
**
** Of a strand's entries one at most has its turn: it is in the scheduler's queues, or runs. The
** others stand in line here. Whoever has its turn leaves when it has run, or will not run any more,
** and queues the next. So no worker ever waits for a strand. Each entry holds a reference, by its
** task or its sleeper.
**
** The idea is Asio's; libdispatch calls it a serial queue.
*/
#ifndef MP_STRAND_H
#define MP_STRAND_H

#include <stdbool.h>

#include "parts.h"

/* Any thread may call anything. */

/* The engine's references, which do not keep the pool as the host's do. */
static inline void mp_strand_hold(mp_strand *strand);
void mp_strand_drop(mp_strand *strand); /* NULL is ignored */

/*
** True: it is its turn, and the caller queues it. False: it stands in line, and may be gone: the
** caller has a reference of its own to the strand.
*/
MP_CHECKED bool mp_strand_enter(mp_strand *strand, mp_entry *entry);
/* Whose turn it was is done. Returns whose it is now, to be queued, or NULL. */
MP_CHECKED mp_entry *mp_strand_leave(mp_strand *strand);

/*
** Takes those out of the line that `wants` says yes to, which is asked under the lock, and gives
** them to `take`. The caller has a reference.
*/
void mp_strand_drain(mp_strand *strand, bool (*wants)(const mp_entry *entry, void *ud),
                     void (*take)(mp_entry *entry, void *ud), void *ud);
/* The same for all of the pool. */
void mp_strands_drain(mp_pool *pool, bool (*wants)(const mp_entry *entry, void *ud),
                      void (*take)(mp_entry *entry, void *ud), void *ud);

/* Errors: SYSTEM. */
MP_CHECKED mp_status mp_strands_open(mp_pool *pool);
void mp_strands_close(mp_pool *pool); /* there is none left */

struct mp_strand {
  mp_pool *pool;               /* a reference for each of the host's */
  _Atomic uint32_t references; /* the host's, and one of each task and sleeper */
  mp_lock lock;
  bool busy MP_GUARDED_BY(lock);                                  /* somebody has its turn */
  mp_entry *first MP_GUARDED_BY(lock), *last MP_GUARDED_BY(lock); /* the line, through next */
  mp_strand *next, *prev; /* of the pool; guarded by strands_lock */
};

static inline void mp_strand_hold(mp_strand *strand) { mp_add_relaxed(&strand->references, 1); }

#endif
