/*
** deque.h - one worker's bounded work-stealing deque: the owner pushes and pops newest first,
** thieves take the oldest.
**
** Chase and Lev, "Dynamic circular work-stealing deque" (SPAA 2005), fixed in size, with
** sequentially consistent operations in place of fences (Lê, Pop, Cohen, Zappa Nardelli, PPoPP
** 2013), which ThreadSanitizer can judge.
**
**   beside ->   push   pop   steal  empty
**   push         -      -      ok     ok      push, pop: the owning thread only
**   pop          -      -      ok     ok
**   steal        ok     ok     ok     ok
*/
#ifndef MP_DEQUE_H
#define MP_DEQUE_H

#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "bug.h"
#include "makeparallel.h"

#ifndef MP_DEQUE_CAPACITY
/* a power of two; debug builds shrink it so that overflow is walked */
#define MP_DEQUE_CAPACITY 1024
#endif

typedef struct mp_deque {
  _Alignas(MP_CACHE_LINE) _Atomic int64_t top;    /* next to steal; only grows */
  _Alignas(MP_CACHE_LINE) _Atomic int64_t bottom; /* next free; written by the owner */
  int64_t top_seen; /* owner only: a past value of top, enough to know that there is room */
  _Alignas(MP_CACHE_LINE) mp_job *_Atomic slot[MP_DEQUE_CAPACITY];
} mp_deque;

/* Zeroed memory is an empty deque. */

/* Where the next push goes; the owning thread only. */
static inline int64_t mp_deque_bottom(const mp_deque *deque) {
  return mp_load_relaxed(&deque->bottom);
}

/* The owning thread only; thieves may empty it meanwhile. */
static inline bool mp_deque_empty_owner(const mp_deque *deque) {
  return mp_load_relaxed(&deque->top) >= mp_load_relaxed(&deque->bottom);
}

static inline bool mp_deque_push_owner(mp_deque *deque, mp_job *job) {
  int64_t bottom = mp_load_relaxed(&deque->bottom);
  if (bottom - deque->top_seen >= MP_DEQUE_CAPACITY) {
    /* pairs with the thief's cas: its read of the slot is over */
    deque->top_seen = mp_load_acquire(&deque->top);
    if (bottom - deque->top_seen >= MP_DEQUE_CAPACITY) return false;
  }
  mp_store_relaxed(&deque->slot[bottom & (MP_DEQUE_CAPACITY - 1)], job);
  /*
  ** publishes slot and job, pairs with bottom's load in steal; seq_cst: before the pusher's look
  ** for sleepers (park.h)
  */
  mp_store_seq(&deque->bottom, bottom + 1);
  return true;
}

/*
** bottom is lowered before top is read, and a thief reads top before bottom, all in one total
** order: either the thief sees the lowered bottom, or the owner sees the raised top. With anything
** weaker both could take the last job.
*/
static inline mp_job *mp_deque_pop_owner(mp_deque *deque) {
  int64_t bottom = mp_load_relaxed(&deque->bottom) - 1;
  if (mp_load_relaxed(&deque->top) > bottom) return NULL; /* empty for certain: top only grows */
  mp_store_seq(&deque->bottom, bottom);
  int64_t top = mp_load_seq(&deque->top);
  mp_job *job = NULL;
  if (top <= bottom) {
    job = mp_load_relaxed(&deque->slot[bottom & (MP_DEQUE_CAPACITY - 1)]);
    MP_BUG_GAP(POP_TAKES_LAST);
    if (top < bottom || MP_BUGGY(POP_TAKES_LAST)) return job;
    /* the last one: race the thieves for it */
    if (!mp_cas_seq(&deque->top, &top, top + 1)) job = NULL;
  }
  /* thieves may read this value of bottom; pairs as in push */
  mp_store_release(&deque->bottom, bottom + 1);
  return job;
}

/* NULL when empty or when another thread was quicker. */
static inline mp_job *mp_deque_steal(mp_deque *deque) {
  int64_t top = mp_load_seq(&deque->top);
  if (top >= mp_load_seq(&deque->bottom)) return NULL;
  mp_job *job = mp_load_relaxed(&deque->slot[top & (MP_DEQUE_CAPACITY - 1)]);
  return mp_cas_seq(&deque->top, &top, top + 1) ? job : NULL;
}

/*
** A guess for a thief; seq_cst because a worker about to sleep relies on it after announcing itself
** (see park.h).
*/
static inline bool mp_deque_empty(const mp_deque *deque) {
  return mp_load_seq(&deque->top) >= mp_load_seq(&deque->bottom);
}

#endif
