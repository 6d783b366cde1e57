/*
** lane.h - where resumed tasks wait: first in first out, before what is new.
**
** Any thread may call anything. `popped` only grows: whoever finds the same number twice, while
** something waits, knows that nobody has come by meanwhile.
*/
#ifndef MP_LANE_H
#define MP_LANE_H

#include <stdbool.h>

#include "atomic.h"
#include "lock.h"
#include "makeparallel.h"

typedef struct mp_lane {
  _Alignas(MP_CACHE_LINE) mp_lock lock;
  mp_entry *first MP_GUARDED_BY(lock), *last MP_GUARDED_BY(lock); /* through next */
  _Atomic uint32_t popped;                                        /* atomic, written under lock */
  /* atomic, written under lock; seq_cst as the inbox's counts; read before each pick */
  _Alignas(MP_CACHE_LINE) _Atomic size_t count;
} mp_lane;

/* In zeroed memory. Errors: SYSTEM. */
MP_CHECKED mp_status mp_lane_init(mp_lane *lane);
void mp_lane_close(mp_lane *lane); /* it is empty */

void mp_lane_push(mp_lane *lane, mp_entry *entry);
/* The oldest, or NULL. */
mp_entry *mp_lane_pop_slow(mp_lane *lane);

static inline size_t mp_lane_count(const mp_lane *lane) { return mp_load_seq(&lane->count); }
/* The same for who does not rely on it. */
static inline bool mp_lane_seems_empty(const mp_lane *lane) {
  return mp_load_relaxed(&lane->count) == 0;
}
static inline mp_entry *mp_lane_pop(mp_lane *lane) {
  return mp_lane_seems_empty(lane) ? NULL : mp_lane_pop_slow(lane);
}

#endif
