/*
** inbox.h - jobs submitted from outside the workers, by priority: FIFO at the normal level, heaps
** beside it for the rest.
**
** Any thread may call anything; every operation holds the inbox's own short lock. The counts can be
** read without it. Nothing here allocates, so a push cannot fail.
*/
#ifndef MP_INBOX_H
#define MP_INBOX_H

#include <stdbool.h>

#include "atomic.h"
#include "heap.h"
#include "lock.h"
#include "makeparallel.h"

/* A place among the jobs of an unusual priority; it outlives its job's wait. */
typedef struct mp_order {
  mp_heap_node node; /* first: the heaps give it back */
  mp_job *job;
} mp_order;

typedef enum mp_level { MP_LEVEL_HIGH, MP_LEVEL_NORMAL, MP_LEVEL_LOW, MP_LEVELS } mp_level;

#define MP_GRAB_MAX 32 /* most jobs one worker takes at a time */

typedef struct mp_inbox {
  _Alignas(MP_CACHE_LINE) mp_lock lock;
  mp_job *head, *tail;     /* guarded by lock: the normal level */
  mp_heap side[MP_LEVELS]; /* guarded by lock: high and low, by falling priority */
  /*
  ** atomic, written under lock. seq_cst: a push is counted before its look for sleepers; a worker
  ** announces its sleep before it reads the counts (park.h)
  */
  _Atomic size_t normal;
  /* what workers read before each job, and pushes at the normal level leave alone */
  _Alignas(MP_CACHE_LINE) _Atomic size_t ordered[MP_LEVELS];
} mp_inbox;

MP_CHECKED mp_status mp_inbox_init(mp_inbox *inbox);
void mp_inbox_close(mp_inbox *inbox);

/* Normal level: a chain of n jobs linked by `next`, tail->next ignored. */
void mp_inbox_push(mp_inbox *inbox, mp_job *head, mp_job *tail, size_t n);
/* priority != 0. */
void mp_inbox_push_ordered(mp_inbox *inbox, mp_job *job, mp_order *order, int priority);

/*
** Takes up to min(max, count / workers + 1) normal jobs, oldest first; returns how many. max <=
** MP_GRAB_MAX.
*/
size_t mp_inbox_grab(mp_inbox *inbox, mp_job **jobs, size_t max, size_t workers);
static inline _Atomic size_t *mp_inbox_counter(mp_inbox *inbox, mp_level level) {
  return level == MP_LEVEL_NORMAL ? &inbox->normal : &inbox->ordered[level];
}
static inline size_t mp_inbox_count(mp_inbox *inbox, mp_level level) {
  return mp_load_seq(mp_inbox_counter(inbox, level));
}
/* A guess, for a quick look before the lock. */
static inline bool mp_inbox_seems_empty(mp_inbox *inbox, mp_level level) {
  return mp_load_relaxed(mp_inbox_counter(inbox, level)) == 0;
}

mp_job *mp_inbox_pop_ordered_slow(mp_inbox *inbox, mp_level level);
/* Highest priority, oldest first, of the high or low level; NULL when empty. */
static inline mp_job *mp_inbox_pop_ordered(mp_inbox *inbox, mp_level level) {
  return mp_inbox_seems_empty(inbox, level) ? NULL : mp_inbox_pop_ordered_slow(inbox, level);
}

#endif
