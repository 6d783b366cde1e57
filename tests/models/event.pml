/*
** The event count, in its one use: threads that want the same value of a cache, of which one computes it and the others wait.
** Mirrors event.h and the futex under it; look, mp_cache_get, mp_flight_end, mp_cache_put (cache.c).
**
** Holds: one computes at a time; when it has come to nothing, another does; nobody sleeps for ever on a flight that has landed; all get
** the value or have tried themselves.
**
** check: safety
** check: safety -DINTERRUPTED
*/
#define GETTERS 3

byte gate;             /* event.gate.word */
byte sleepers;         /* event.sleepers */
bool asleep[GETTERS];
hidden byte waiter;

bool there, flies;     /* under the cache's lock: a value, and somebody who computes it */
byte tries, interrupted;

/* mp_event_wait: the kernel compares the word and sleeps in one step. */
inline event_wait(me, seen) {
#ifdef BUG_SLEEPERS_LATE
  atomic { if :: gate == seen -> asleep[me] = true :: else fi };
  sleepers++;
#else
  sleepers++;
  atomic { if :: gate == seen -> asleep[me] = true :: else fi };
#endif
  !asleep[me];
  sleepers--
}

inline event_signal() {
  gate++;
  if
  :: sleepers != 0 ->
    d_step { waiter = 0; do :: waiter < GETTERS -> asleep[waiter] = false; waiter++ :: else -> break od }
  :: else
  fi
}

/* mp_cache_get, and whoever is to compute does so, with or without success */
proctype Getter(byte me) {
  byte seen;
  bool mine, found;
  do
  ::
#ifndef BUG_SEEN_AFTER_LOOK
    seen = gate;
#endif
    d_step { /* look */
      found = there;
      mine = (!there && !flies);
      flies = flies || mine
    };
    if
    :: found || mine -> break
    :: else ->
#ifdef BUG_SEEN_AFTER_LOOK
      seen = gate;
#endif
      event_wait(me, seen);
      if :: me == 0 && interrupted == 1 -> interrupted = 2; break :: else fi
    fi
  od;
  if
  :: mine ->
    assert(flies);
    tries++;
    if :: there = true :: tries < GETTERS -> skip fi; /* mp_cache_put, or not */
#ifdef BUG_SIGNAL_FIRST
    event_signal();
    flies = false
#else
    flies = false;
    event_signal()
#endif
  :: else
  fi;
  assert(there || mine || (me == 0 && interrupted == 2))
}

#ifdef INTERRUPTED
/* A signal handler ran, or the time is over: the kernel lets the first go. */
proctype Interrupter() {
  if
  :: atomic { asleep[0] -> asleep[0] = false; interrupted = 1 }
  :: there
  fi
}
#endif

init {
  atomic {
    run Getter(0); run Getter(1); run Getter(2);
#ifdef INTERRUPTED
    run Interrupter()
#endif
  };
  _nr_pr == 1;
  assert(!flies && sleepers == 0)
}
