#include "timers.h"

#include <assert.h>

void mp_timers_arm(mp_timers *timers, mp_heap_node *node, uint64_t deadline) {
  mp_heap_push(&timers->heap, node, deadline > INT64_MAX ? INT64_MAX : (int64_t)deadline);
}

void mp_timers_disarm(mp_timers *timers, mp_heap_node *node) {
  mp_heap_remove(&timers->heap, node);
}

uint64_t mp_timers_next(const mp_timers *timers) {
  const mp_heap_node *first = mp_heap_peek(&timers->heap);
  assert(first == NULL || first->key >= 0);
  return first == NULL ? UINT64_MAX : (uint64_t)first->key;
}

mp_heap_node *mp_timers_expire(mp_timers *timers, uint64_t now) {
  return mp_timers_next(timers) <= now ? mp_heap_pop(&timers->heap) : NULL;
}
