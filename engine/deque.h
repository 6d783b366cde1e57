/*
** deque.h - one worker's bounded work-stealing deque: the owner pushes and pops newest first,
** thieves take the oldest.
**
** Chase and Lev, "Dynamic circular work-stealing deque" (SPAA 2005), fixed in size, with
** sequentially consistent operations in place of fences (Lê, Pop, Cohen, Zappa Nardelli, PPoPP
** 2013), which ThreadSanitizer can judge.
**
**   beside ->   push   pop   steal  empty
**   push         -      -      ok     ok      push, pop, newest, holds: the owning thread only
**   pop          -      -      ok     ok
**   steal        ok     ok     ok     ok
**
** Beside each entry stands its group: 0 for a task, else a number that all pieces of one piece of
** work have in common. A thread that may run only the pieces of one group sees by it what it may
** take, without touching the entry, whose memory another thread may be giving back.
*/
#ifndef MP_DEQUE_H
#define MP_DEQUE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "bug.h"
#include "makeparallel.h"

#ifndef MP_DEQUE_CAPACITY
/* a power of two; debug builds shrink it so that overflow is walked */
#define MP_DEQUE_CAPACITY 1024
#endif

typedef struct mp_deque_slot {
  mp_entry *_Atomic entry;
  _Atomic uintptr_t group;
} mp_deque_slot;

typedef struct mp_deque {
  _Alignas(MP_CACHE_LINE) _Atomic int64_t top;    /* next to steal; only grows */
  _Alignas(MP_CACHE_LINE) _Atomic int64_t bottom; /* next free; written by the owner */
  int64_t top_seen; /* owner only: a past value of top, enough to know that there is room */
  _Alignas(MP_CACHE_LINE) mp_deque_slot slot[MP_DEQUE_CAPACITY];
} mp_deque;

/* Zeroed memory is an empty deque. */

static inline mp_deque_slot *mp_deque_at(mp_deque *deque, int64_t place) {
  assert(place >= 0);
  return &deque->slot[place & (MP_DEQUE_CAPACITY - 1)];
}

/* Where the next push goes; the owning thread only. */
static inline int64_t mp_deque_bottom(const mp_deque *deque) {
  return mp_load_relaxed(&deque->bottom);
}

/* The owning thread only; thieves may empty it meanwhile. */
static inline bool mp_deque_empty_owner(const mp_deque *deque) {
  return mp_load_relaxed(&deque->top) >= mp_load_relaxed(&deque->bottom);
}

/* False: it is full. */
MP_CHECKED static inline bool mp_deque_push_owner(mp_deque *deque, mp_entry *entry,
                                                  uintptr_t group) {
  int64_t bottom = mp_load_relaxed(&deque->bottom);
  if (bottom - deque->top_seen >= MP_DEQUE_CAPACITY) {
    /* pairs with the thief's cas: its read of the slot is over */
    deque->top_seen = mp_load_acquire(&deque->top);
    assert(deque->top_seen <= bottom);
    if (bottom - deque->top_seen >= MP_DEQUE_CAPACITY) return false;
  }
  mp_deque_slot *slot = mp_deque_at(deque, bottom);
  mp_store_relaxed(&slot->entry, entry);
  mp_store_relaxed(&slot->group, group);
  /*
  ** publishes slot and entry, pairs with bottom's load in steal; seq_cst: before the pusher's look
  ** for sleepers (park.h)
  */
  mp_store_seq(&deque->bottom, bottom + 1);
  return true;
}

/*
** bottom is lowered before top is read, and a thief reads top before bottom, all in one total
** order: either the thief sees the lowered bottom, or the owner sees the raised top. With anything
** weaker both could take the last entry.
*/
static inline mp_entry *mp_deque_pop_owner(mp_deque *deque) {
  int64_t bottom = mp_load_relaxed(&deque->bottom) - 1;
  if (mp_load_relaxed(&deque->top) > bottom) return NULL; /* empty for certain: top only grows */
  mp_store_seq(&deque->bottom, bottom);
  int64_t top = mp_load_seq(&deque->top);
  mp_entry *entry = NULL;
  if (top <= bottom) {
    entry = mp_load_relaxed(&mp_deque_at(deque, bottom)->entry);
    assert(entry != NULL);
    MP_BUG_GAP(POP_TAKES_LAST);
    if (top < bottom || MP_BUGGY(POP_TAKES_LAST)) return entry;
    /* the last one: race the thieves for it */
    if (!mp_cas_seq(&deque->top, &top, top + 1)) entry = NULL;
  }
  /* thieves may read this value of bottom; pairs as in push */
  mp_store_release(&deque->bottom, bottom + 1);
  return entry;
}

/* Pops this entry, if it is the newest and no thief is quicker. */
static inline bool mp_deque_pop_this_owner(mp_deque *deque, const mp_entry *entry) {
  int64_t newest = mp_load_relaxed(&deque->bottom) - 1;
  /* in an empty deque the slot is an old one; then there is nothing to pop either */
  if (mp_load_relaxed(&deque->slot[newest & (MP_DEQUE_CAPACITY - 1)].entry) != entry) return false;
  return mp_deque_pop_owner(deque) != NULL;
}

/* The group of what a pop would take; 0 also when it is empty. */
static inline uintptr_t mp_deque_newest_group_owner(mp_deque *deque) {
  if (mp_deque_empty_owner(deque)) return 0;
  return mp_load_relaxed(&mp_deque_at(deque, mp_deque_bottom(deque) - 1)->group);
}

/*
** Is a piece of this group anywhere in it? The owning thread only; thieves may take it meanwhile.
*/
static inline bool mp_deque_holds_owner(mp_deque *deque, uintptr_t group) {
  for (int64_t at = mp_deque_bottom(deque); at > mp_load_relaxed(&deque->top); at--)
    if (mp_load_relaxed(&mp_deque_at(deque, at - 1)->group) == group) return true;
  return false;
}

/* Takes the oldest; NULL when empty or when another thread was quicker. */
static inline mp_entry *mp_deque_steal(mp_deque *deque) {
  int64_t top = mp_load_seq(&deque->top);
  if (top >= mp_load_seq(&deque->bottom)) return NULL;
  mp_entry *entry = mp_load_relaxed(&mp_deque_at(deque, top)->entry);
  return mp_cas_seq(&deque->top, &top, top + 1) ? entry : NULL;
}

/* The same, if the oldest is a piece of this group. */
static inline mp_entry *mp_deque_steal_group(mp_deque *deque, uintptr_t group) {
  assert(group != 0);
  int64_t top = mp_load_seq(&deque->top);
  if (top >= mp_load_seq(&deque->bottom)) return NULL;
  const mp_deque_slot *slot = mp_deque_at(deque, top);
  if (mp_load_relaxed(&slot->group) != group) return NULL;
  mp_entry *entry = mp_load_relaxed(&slot->entry);
  /* top is where it was: nobody has taken the entry, so nobody has written to its slot since */
  return mp_cas_seq(&deque->top, &top, top + 1) ? entry : NULL;
}

/* The same, if the oldest is this very entry. */
static inline bool mp_deque_steal_this(mp_deque *deque, const mp_entry *entry) {
  int64_t top = mp_load_seq(&deque->top);
  return top < mp_load_seq(&deque->bottom) &&
         mp_load_relaxed(&mp_deque_at(deque, top)->entry) == entry &&
         mp_cas_seq(&deque->top, &top, top + 1);
}

/*
** A guess for a thief; seq_cst because a worker about to sleep relies on it after announcing itself
** (see park.h).
*/
static inline bool mp_deque_empty(const mp_deque *deque) {
  return mp_load_seq(&deque->top) >= mp_load_seq(&deque->bottom);
}

/* Is its oldest a piece of this group? A guess, for a thread that looks for something to do. */
static inline bool mp_deque_offers(mp_deque *deque, uintptr_t group) {
  int64_t top = mp_load_seq(&deque->top);
  return top < mp_load_seq(&deque->bottom) &&
         mp_load_relaxed(&mp_deque_at(deque, top)->group) == group;
}

#endif
