/*
** sleepers.h - suspended tasks, what each waits for, and until when.
**
**     who suspends                           whoever changes something
**     under the lock: join,                  make it true
**       leave a mark at what it waits for,   look for the mark
**       look at it once more                 wake(key)
**
** The marks are those of waitlist.h. A thread that sleeps stands in the waitlist, which is short;
** of suspended tasks there may be a hundred thousand: so these are found by a hash of the key. All
** happens under one lock, which is held for a few steps; so nobody goes on who is not out of all
** lists, and whoever is out of them is touched by nobody.
**
** Any thread may call anything. What is woken is given to `resume`, outside of the lock.
*/
#ifndef MP_SLEEPERS_H
#define MP_SLEEPERS_H

#include <stdbool.h>

#include "alloc.h"
#include "inbox.h"
#include "lock.h"
#include "timers.h"

typedef struct mp_sleeper mp_sleeper;

/* A key that a sleeper waits for; guarded by the lock while it is listed. */
typedef struct mp_sleep_link mp_sleep_link;
struct mp_sleep_link {
  mp_sleep_link *next, *prev; /* of those whose keys have one hash */
  mp_sleeper *sleeper;
  const void *key; /* constant; compared, never looked into */
};

struct mp_sleeper {
  mp_entry entry;          /* first: it is queued when it has been woken */
  mp_order order;          /* its place then, if its task has a priority */
  mp_heap_node timer;      /* guarded by the lock while it is timed */
  mp_sleeper *next, *prev; /* all; guarded by the lock while it is listed */
  uint64_t until;          /* constant: MP_FOREVER: no time */
  bool listed;             /* guarded by the lock */
  mp_status why;           /* written before it is woken: OK or TIMEOUT */
  mp_task *task;           /* a reference */
  mp_mailbox *mailbox;     /* a reference, or NULL */
  mp_strand *strand;       /* on which it goes on: a reference, or NULL */
  bool turn;               /* it has its turn there; written before it is queued */
  size_t keys;             /* constant */
  mp_sleep_link links[];
};

typedef struct mp_sleepers {
  mp_lock lock;
  mp_alloc *alloc;
  /* Gives it a place in a queue. Not under the lock. */
  void (*resume)(void *ud, mp_sleeper *sleeper);
  /* It has left the lists. Under the lock. */
  void (*left)(mp_sleeper *sleeper);
  void *ud;
  mp_sleep_link **buckets MP_GUARDED_BY(lock); /* as many as `size`, a power of two; or NULL */
  size_t size MP_GUARDED_BY(lock);
  size_t links MP_GUARDED_BY(lock); /* listed */
  mp_sleeper *first MP_GUARDED_BY(lock);
  mp_timers timers MP_GUARDED_BY(lock);
  _Atomic size_t count; /* atomic, written under lock: of the listed */
} mp_sleepers;

/* In zeroed memory. Errors: NOMEM, SYSTEM. */
MP_CHECKED mp_status mp_sleepers_init(mp_sleepers *sleepers, mp_alloc *alloc);
void mp_sleepers_close(mp_sleepers *sleepers); /* nobody sleeps */

/* A sleeper for so many keys, zeroed but for that. NULL: no memory. */
MP_CHECKED mp_sleeper *mp_sleeper_create(mp_sleepers *sleepers, size_t keys);
void mp_sleeper_free(mp_sleepers *sleepers, mp_sleeper *sleeper);

/*
** Lists it, then asks `ready` under the lock: true takes it out again, and the call returns false.
** Else it sleeps, and belongs to whoever wakes it; *next: when the first of all must be woken,
** MP_FOREVER: never.
*/
MP_CHECKED bool mp_sleepers_join(mp_sleepers *sleepers, mp_sleeper *sleeper,
                                 bool (*ready)(mp_sleeper *sleeper, void *ud), void *ud,
                                 uint64_t *next);
/* Resumes those who wait for this key; NULL: all. */
void mp_sleepers_wake(mp_sleepers *sleepers, const void *key);
/* Resumes those whose time is over; returns when the next is, or MP_FOREVER. */
uint64_t mp_sleepers_expire(mp_sleepers *sleepers, uint64_t now);

/* What it waits for, but for its own task and the mailbox; NULL for what is left out. */
static inline size_t mp_sleeper_tasks(const mp_sleeper *sleeper) {
  return sleeper->keys - 1 - (sleeper->mailbox != NULL);
}
static inline mp_task *mp_sleeper_task(const mp_sleeper *sleeper, size_t i) {
  return (mp_task *)(uintptr_t)sleeper->links[1 + i].key;
}

static inline size_t mp_sleepers_count(const mp_sleepers *sleepers) {
  return mp_load_relaxed(&sleepers->count);
}

#endif
