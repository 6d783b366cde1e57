/*
** inbox.h - what is queued by threads that are no workers, and what no deque holds: a list, first
** in first out, at the normal level; a heap beside it for each of the other two, by falling
** priority and first in first out among equals.
**
** Any thread may call anything; every operation holds the inbox's own short lock. The counts can be
** read without it. Nothing here allocates, so a push cannot fail. What is queued can be taken out
** from the middle, so that a cancelled task does not wait for a worker to come by.
*/
#ifndef MP_INBOX_H
#define MP_INBOX_H

#include <stdbool.h>

#include "atomic.h"
#include "heap.h"
#include "lock.h"
#include "makeparallel.h"

/* A place among the entries of an unusual priority; it outlives its entry's wait. */
typedef struct mp_order {
  mp_heap_node node; /* first: the heaps give it back */
  mp_entry *entry;   /* guarded by the inbox's lock; NULL: it is in no heap */
} mp_order;

typedef enum mp_level { MP_LEVEL_HIGH, MP_LEVEL_NORMAL, MP_LEVEL_LOW, MP_LEVELS } mp_level;

static inline mp_level mp_level_of(int priority) {
  return priority > 0 ? MP_LEVEL_HIGH : priority < 0 ? MP_LEVEL_LOW : MP_LEVEL_NORMAL;
}

#define MP_GRAB_MAX 32 /* most entries one worker takes at a time */

typedef struct mp_inbox {
  _Alignas(MP_CACHE_LINE) mp_lock lock;
  /*
  ** The normal level: a ring through this entry, oldest first. An entry is in it exactly as long as
  ** its `prev` is not NULL.
  */
  mp_entry ring MP_GUARDED_BY(lock);
  mp_heap side[MP_LEVELS] MP_GUARDED_BY(lock); /* the high and the low level */
  /*
  ** atomic, written under lock. seq_cst: a push is counted before its look for sleepers; a worker
  ** announces its sleep before it reads the counts (park.h)
  */
  _Atomic size_t normal;
  /* what workers read before each pick, and pushes at the normal level leave alone */
  _Alignas(MP_CACHE_LINE) _Atomic size_t ordered[MP_LEVELS];
} mp_inbox;

MP_CHECKED mp_status mp_inbox_init(mp_inbox *inbox);
void mp_inbox_close(mp_inbox *inbox);

/* Normal level: a chain of n entries linked by `next`, behind all others. */
void mp_inbox_push(mp_inbox *inbox, mp_entry *first, mp_entry *last, size_t n);
/* The same, before all others: for what was queued elsewhere before. */
void mp_inbox_push_front(mp_inbox *inbox, mp_entry *first, mp_entry *last, size_t n);
/* priority != 0. */
void mp_inbox_push_ordered(mp_inbox *inbox, mp_entry *entry, mp_order *order, int priority);

/*
** Takes up to min(max, count / workers + 1) normal entries, oldest first; returns how many. max <=
** MP_GRAB_MAX.
*/
size_t mp_inbox_grab(mp_inbox *inbox, mp_entry **entries, size_t max, size_t workers);
/* Takes the first of the high or low level if its priority is at least `floor`; NULL: none. */
mp_entry *mp_inbox_pop_ordered_slow(mp_inbox *inbox, mp_level level, int floor);

/* Has it one of the high or low level with at least this priority? */
bool mp_inbox_has_at_least(mp_inbox *inbox, mp_level level, int floor);

/* Takes this entry out; false: it is not in here (any more). `order` NULL: of the normal level. */
MP_CHECKED bool mp_inbox_remove(mp_inbox *inbox, mp_entry *entry, mp_order *order);

/* How many wait; may be a moment old. */
static inline size_t mp_inbox_count(mp_inbox *inbox, mp_level level) {
  return level == MP_LEVEL_NORMAL ? mp_load_seq(&inbox->normal)
                                  : mp_load_seq(&inbox->ordered[level]);
}
/* The same for who does not rely on it. */
static inline bool mp_inbox_seems_empty(const mp_inbox *inbox, mp_level level) {
  return level == MP_LEVEL_NORMAL ? mp_load_relaxed(&inbox->normal) == 0
                                  : mp_load_relaxed(&inbox->ordered[level]) == 0;
}

static inline mp_entry *mp_inbox_pop_ordered(mp_inbox *inbox, mp_level level, int floor) {
  return mp_inbox_seems_empty(inbox, level) ? NULL : mp_inbox_pop_ordered_slow(inbox, level, floor);
}

#endif
