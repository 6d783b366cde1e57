/*
** One task that suspends until a word is over, with a deadline of its own wait; whoever ends the word, a cancel, the timer, a shutdown that
** asks to stop.
** Mirrors mp_sleepers_join, mp_sleepers_wake, mp_sleepers_expire (sleepers.c), is_awake, mp_fall_asleep, resume, mp_refuse_resumed
** (suspend.c), execute, mp_resume_entry (run.c), mp_signal_task, mp_cancel, close_to, mp_cancel_queued.
**
** Holds: the body is inside once at a time; it is called again after what it waits for has come, a cancel, the time or a shutdown;
** nobody touches a sleeper that goes on or has gone; at the end the task is over, its argument dropped once, nothing queued or asleep.
**
** check: safety -DTIMER
** check: safety -DCANCEL -DTIMER
** check: safety -DCANCEL -DSHUTDOWN : BUG_OWN_UNMARKED
** check: safety -DTIMER -DSHUTDOWN -DGIVES_UP
** check: safety -DCANCEL -DSHUTDOWN -DGIVES_UP -DENDLESS
*/
#define WORKERS 2

/* The words: over and waited, asked and waited, each changed in one step. */
bool over, over_waited;
bool asked, own_waited, ended;
/* closing == STOP; the shutdown's time is over */
bool stop, given_up;

/* The sleepers' lock, and the one sleeper. */
bool locked, listed, timed;
/* Whose the sleeper is: nobody's (0), the one who puts it to sleep (1), the lists' (2), a queue's or a worker's (3). */
byte holder;

byte queued;        /* entries of the sleeper */
byte inside, calls; /* of the body */
bool framed;        /* where a shutdown finds it */
byte dropped;
bool finished;      /* the body has come to its end, or never will be called again */

#define take_lock() atomic { !locked -> locked = true }

inline delist() {
  assert(holder == 2);
  listed = false;
  timed = false;
  holder = 3
}

/* mp_sleepers_wake: for the word, for the task itself, or for all */
inline wake() {
  take_lock();
#ifdef BUG_RESUMED_TWICE
  if :: listed -> assert(holder == 2 || holder == 3); holder = 3; locked = false; listed = false; queued++ :: else -> locked = false fi
#else
  if
  :: listed -> delist(); locked = false; queued++
  :: else -> locked = false
  fi
#endif
}

inline end_task() {
  atomic { if :: !ended -> ended = true :: else fi }
}

/* mp_refuse_resumed: its body is not called any more */
inline refuse() {
  assert(inside == 0 && !finished);
  finished = true;
  dropped++;
  end_task()
}

/* The body has returned SUSPENDED: mp_fall_asleep */
inline fall_asleep() {
  assert(holder == 0);
  if
  :: given_up -> refuse()
  :: else -> lie_down()
  fi
}

inline lie_down() {
  holder = 1;
#ifdef BUG_LOOK_BEFORE_LOCK
  awake = over || asked || stop;
#endif
  take_lock();
  holder = 2;
  listed = true;
#ifdef TIMER
  timed = true;
#endif
#ifndef BUG_LOOK_BEFORE_LOCK
#ifdef BUG_MARK_AFTER_LOOK
  awake = over || asked || stop;
  over_waited = true; own_waited = true;
#else
  over_waited = true;
#ifndef BUG_OWN_UNMARKED
  own_waited = true;
#endif
  awake = over || asked || stop;
#endif
#else
  over_waited = true; own_waited = true;
#endif
  if
  :: awake -> delist(); locked = false; queued++
  :: else -> locked = false
  fi
}

inline call_body() {
  inside++;
  assert(inside == 1 && !finished && dropped == 0);
  calls++;
  /* it looks itself: only what it waits for, a question, or the time lets it end, if anything does */
  if
#ifdef ENDLESS
  :: calls < 4 -> suspends = true
#endif
  :: over || asked || stop || came_due -> suspends = false
  :: else -> suspends = true
  fi;
  inside--
}

inline end_body() {
  finished = true;
  dropped++;
  end_task()
}

bool first = true, came_due;

active [WORKERS] proctype worker() {
  bool awake, suspends;
end:
  do
  :: atomic { first -> first = false } ->
    call_body();
    if :: suspends -> fall_asleep() :: else -> end_body() fi;
    suspends = false; awake = false
  :: atomic { queued > 0 -> queued-- } ->
    assert(holder == 3);
    holder = 0; /* mp_drop_sleeper */
    framed = true;
    if
    :: given_up -> framed = false; refuse()
    :: else ->
      call_body();
      framed = false;
      if :: suspends -> fall_asleep() :: else -> end_body() fi
    fi;
    suspends = false; awake = false
  od
}

/* What it waits for ends. */
active proctype ender() {
  bool seen;
  if
  :: atomic { over = true; seen = over_waited };
    if :: seen -> wake() :: else fi
  :: skip
  fi
}

#ifdef CANCEL
active proctype canceller() {
  bool seen;
  if
  :: atomic { asked = true; seen = own_waited };
    if :: seen -> wake() :: else fi
  :: skip
  fi
}
#endif

#ifdef TIMER
active proctype timer() {
  /* mp_sleepers_expire, once the time has come, if it comes */
end:
  do
  :: true -> break
  :: timed && !came_due ->
    take_lock();
    if
    :: listed && timed -> came_due = true; delist(); locked = false; queued++
    :: else -> locked = false
    fi
  od
}
#endif

#ifdef SHUTDOWN
active proctype shutdown() {
  if :: stop = true; wake() :: goto none fi;
#ifdef GIVES_UP
  given_up = true;
  if :: framed -> end_task() :: else fi; /* mp_end_running */
  if                                     /* mp_cancel_queued */
  :: atomic { queued > 0 -> queued-- } ->
    assert(holder == 3);
    holder = 0;
    refuse()
  :: queued == 0
  fi;
#endif
none:
  skip
}
#endif

/* When nothing more happens: whatever has come has been heard. */
active proctype judge() {
  timeout;
  assert(finished || !(over || asked || stop || came_due));
  assert(!finished || (ended && dropped == 1 && queued == 0 && !listed && holder == 0 && inside == 0))
}
