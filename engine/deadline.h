/*
** deadline.h - armed deadlines and the one thread that sees them pass. It starts with the first of
** them, and serves any number. A parked worker could not do it: all may be stuck.
**
** Beside deadlines the thread calls `tick` at a time that anybody may set, for work that must be
** looked at again and again (stop.c). What it does then, and what a deadline means, is decided
** above this floor. Any thread may call anything but mp_deadlines_close.
*/
#ifndef MP_DEADLINE_H
#define MP_DEADLINE_H

#include <stdbool.h>

#include "atomic.h"
#include "os.h"
#include "timers.h"

typedef struct mp_deadline {
  mp_heap_node node; /* first: the heap gives it back; guarded by the lock */
  bool armed;        /* guarded by the lock */
} mp_deadline;

typedef struct mp_deadlines {
  mp_os_mutex lock;
  mp_os_gate gate; /* its word changes under the lock only */
  /* constant after init */
  size_t stack_size;
  /* A deadline has passed; it is not armed any more. On the timer thread, without the lock. */
  void (*expired)(void *ud, mp_deadline *deadline);
  /* Returns when it wants to be called again, MP_FOREVER: not. On the timer thread likewise. */
  uint64_t (*tick)(void *ud);
  void (*comes)(void *ud); /* the thread is about to be started */
  void (*ended)(void *ud); /* the thread is at its end */
  void (*gone)(void *ud);  /* it touches nothing any more after this, or could not be started */
  void *ud;
  mp_timers timers MP_GUARDED_BY(lock);
  mp_os_thread thread MP_GUARDED_BY(lock);
  uint64_t tick_at MP_GUARDED_BY(lock); /* MP_FOREVER: not */
  void *tag MP_GUARDED_BY(lock);        /* of the thread, mp_os_thread_tag; NULL: not yet */
  bool started MP_GUARDED_BY(lock);     /* there is a thread to join */
  bool runs MP_GUARDED_BY(lock);        /* it is not at its end */
  bool closing MP_GUARDED_BY(lock);
} mp_deadlines;

/* In zeroed memory. Errors: SYSTEM. */
MP_CHECKED mp_status mp_deadlines_init(mp_deadlines *deadlines, size_t stack_size);
/* The thread has been stopped. */
void mp_deadlines_close(mp_deadlines *deadlines);

/* Starts the thread now, not with the first deadline. Errors: NOTHREAD, SHUTDOWN. */
MP_CHECKED mp_status mp_deadlines_start(mp_deadlines *deadlines);
/* Tells the thread to end; what is armed stays so and never passes. */
void mp_deadlines_stop(mp_deadlines *deadlines);
/* Is it at its end, or this very thread, or has there never been one? */
bool mp_deadlines_stopped(mp_deadlines *deadlines);
/* Joins it if it is; else it goes alone. Once, after stop. */
void mp_deadlines_join(mp_deadlines *deadlines);

/* Errors: NOTHREAD (the first could not start the thread), SHUTDOWN (stopped). */
MP_CHECKED mp_status mp_deadlines_arm(mp_deadlines *deadlines, mp_deadline *deadline, uint64_t at);
/* Armed for that time, or for the earlier one that it is armed for. The thread has been started. */
void mp_deadlines_bring_forward(mp_deadlines *deadlines, mp_deadline *deadline, uint64_t at);
/* True: it was armed, and will not pass. */
bool mp_deadlines_disarm(mp_deadlines *deadlines, mp_deadline *deadline);

/* Lets `tick` be called at that time or before. Without a thread nothing happens. */
void mp_deadlines_tick_at(mp_deadlines *deadlines, uint64_t when);

#endif
