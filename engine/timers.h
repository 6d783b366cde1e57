/*
** timers.h - armed deadlines, earliest first. Passive: the caller passes the time and brings the
** lock.
*/
#ifndef MP_TIMERS_H
#define MP_TIMERS_H

#include "heap.h"

/* Zeroed memory has no deadlines. */
typedef struct mp_timers {
  mp_heap heap;
} mp_timers;

void mp_timers_arm(mp_timers *timers, mp_heap_node *node, uint64_t deadline);
/* What an armed node is armed for. */
static inline uint64_t mp_timers_time(const mp_heap_node *node) { return (uint64_t)node->key; }
/* `node` must be armed. */
void mp_timers_disarm(mp_timers *timers, mp_heap_node *node);
/* The earliest deadline, or UINT64_MAX. */
uint64_t mp_timers_next(const mp_timers *timers);
/* Removes and returns a node whose deadline is not after `now`, or NULL. */
mp_heap_node *mp_timers_expire(mp_timers *timers, uint64_t now);

#endif
