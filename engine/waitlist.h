/*
** waitlist.h - the threads that wait for something other than work, and what each waits for, so
** that a change wakes those whom it concerns and no others.
**
**     waiter                               whoever changes something
**     join                                 make it true
**     leave a mark at what it waits for    look for the mark
**     look at it once more                 signal(key)
**     sleep (park.h)
**     leave
**
** The mark is the business of both sides (a flag in a task's word, a counter of a mailbox): it
** spares the other side the look into this list where nobody waits. It is ordered so that either
** the mark is seen, or the waiter sees the change.
**
** Any thread may call anything. A waiter stands in one list, and its memory is its own again when
** mp_waitlist_leave has returned.
*/
#ifndef MP_WAITLIST_H
#define MP_WAITLIST_H

#include <stdbool.h>

#include "lock.h"
#include "park.h"

typedef struct mp_waiter mp_waiter;
struct mp_waiter {
  mp_waiter *next, *prev; /* guarded by the list's lock */
  mp_parker *parker;      /* constant while listed: where the waiter sleeps */
  /* Does a change at `key` concern this waiter? Called under the list's lock. */
  bool (*concerns)(const mp_waiter *waiter, const void *key);
};

typedef struct mp_waitlist {
  mp_lock lock;
  mp_waiter *first MP_GUARDED_BY(lock);
} mp_waitlist;

MP_CHECKED mp_status mp_waitlist_init(mp_waitlist *list);
void mp_waitlist_close(mp_waitlist *list);

void mp_waitlist_join(mp_waitlist *list, mp_waiter *waiter);
void mp_waitlist_leave(mp_waitlist *list, mp_waiter *waiter);
/* Wakes those whom a change at `key` concerns; NULL: all. */
void mp_waitlist_signal(mp_waitlist *list, const void *key);

#endif
