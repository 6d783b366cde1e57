/*
** Workers that look for work, sleep and are woken; threads that make work visible; a stop. Mirrors all of park.c, and of
** scheduler.c loop, park, end_search, mp_scheduler_push, mp_scheduler_stop.
**
** Holds: work is never left lying while a worker sleeps (with PAIRS a task goes on only when the next has begun, so that one worker
** awake is not enough); when nothing is left to do, everybody sleeps, nobody counts as a searcher and nothing goes round in circles;
** a stop reaches everybody.
**
** check: safety -DWORKERS=2 -DSUBMITTERS=2 -DTASKS=1 -DPAIRS
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=3
** check: safety -DWORKERS=3 -DSUBMITTERS=1 -DTASKS=2 -DPAIRS
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 -DTIMEOUTS
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 -DSTOP_EARLY
** check: progress -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2
*/
#define ALL (SUBMITTERS * TASKS)
#define NOBODY 255

byte queue;             /* jobs that can be found */
byte begun, done, ended;
bool stop;
/* park.sleepers, park.searchers, and the list, newest first: next[i] is the one that slept before i */
short sleepers, searchers;
byte newest = NOBODY, next[WORKERS];
bool listed[WORKERS];
bool token[WORKERS];    /* parker.gate.word */
bool lapsed[WORKERS];   /* with TIMEOUTS: this sleep is over at its deadline */
hidden byte at;

/* unlist_locked; the caller holds park.lock, so it is part of a step */
inline unlist(i) {
  if
  :: newest == i -> newest = next[i]
  :: else ->
    at = newest;
    do :: next[at] != i -> at = next[at] :: else -> break od;
    next[at] = next[i]
  fi;
  listed[i] = false;
  sleepers--
}

#ifdef BUG_CLAIM_NOT_COUNTED
#define claim(i) unlist(i)
#else
#define claim(i) unlist(i); searchers++
#endif

/* mp_park_wake_one */
inline wake_one() {
  if
  :: searchers != 0 -> skip
  :: else ->
    d_step { who = newest; if :: who != NOBODY -> claim(who) :: else fi };
    if :: d_step { who != NOBODY -> token[who] = true; who = 0 } :: d_step { else -> who = 0 } fi
  fi
}

/* mp_park_notify */
inline notify() { if :: sleepers != 0 -> wake_one() :: else fi }

inline wake_all() {
  do
  :: d_step { who = newest; if :: who != NOBODY -> claim(who) :: else fi };
    if :: d_step { who == NOBODY -> who = 0 }; break :: d_step { else -> token[who] = true; who = 0 } fi
  od
}

inline announce() {
  d_step {
    assert(!listed[me]);
    next[me] = newest; newest = me; listed[me] = true; sleepers++
  };
#ifndef BUG_SEARCHER_UNTIL_ASLEEP
  searchers--;
  assert(searchers >= 0)
#endif
}

inline retract() {
#ifdef BUG_RETRACT_NO_SEARCHER
  d_step { claimed = !listed[me]; if :: !claimed -> unlist(me) :: else fi };
  if :: !claimed -> searching = false :: else fi;
#else
  d_step { claimed = !listed[me]; if :: !claimed -> claim(me) :: else fi };
#endif
#ifndef BUG_RETRACT_LEAVES_TOKEN
  if :: claimed -> d_step { token[me] -> token[me] = false } :: else fi;
#endif
  claimed = false
}

inline sleep() {
#ifdef BUG_HANDS_ON_WITHOUT_WORK
  notify();
#endif
#ifdef BUG_SEARCHER_UNTIL_ASLEEP
  searchers--;
#endif
#ifdef TIMEOUTS
  if
  :: d_step { token[me] -> token[me] = false }
  :: d_step { lapsed[me] -> lapsed[me] = false }; retract()
  fi
#else
  d_step { token[me] -> token[me] = false }
#endif
}

inline end_search() {
  if
  :: searching ->
    searching = false;
    d_step { searchers--; last = (searchers == 0) };
    assert(searchers >= 0);
#ifndef BUG_LAST_SEARCHER_IS_SILENT
    if :: last && queue > 0 -> last = false; notify() :: else -> last = false fi
#endif
  :: else
  fi
}

inline find() { d_step { got = (queue > 0); if :: got -> queue-- :: else fi } }

inline run_job() {
  begun++;
#ifdef PAIRS
  (begun == ALL); /* blocks until somebody runs the other */
#endif
progress:
  done++
}

proctype Worker(byte me) {
  bool searching, got, claimed, last;
  byte who;
  do
  :: stop -> break
  :: else ->
    find();
    if
    :: !got ->
      if :: !searching -> searching = true; searchers++ :: else fi;
      find(); /* search, however long */
      if
      :: !got ->
        announce();
#ifdef BUG_NO_SECOND_LOOK
        if
        :: stop -> retract()
#else
        if
#ifdef BUG_STOP_NOT_LOOKED_FOR
        :: queue > 0 -> retract()
#else
        :: queue > 0 || stop -> retract()
#endif
#endif
        :: else -> sleep()
        fi
      :: else
      fi
    :: else
    fi;
    if :: got -> got = false; end_search(); run_job() :: else fi
  od;
  end_search();
  ended++
}

proctype Submitter() {
  byte i, who;
  do
  :: i < TASKS ->
    queue++;
    notify();
    i++
  :: else -> break
  od
}

#ifdef TIMEOUTS
/* One sleep each comes to its deadline, at any moment. */
proctype Clock() { lapsed[0] = true; lapsed[1] = true }
#endif

init {
  byte i, who;
  atomic {
    do :: i < WORKERS -> run Worker(i); i++ :: else -> break od;
    i = 0;
    do :: i < SUBMITTERS -> run Submitter(); i++ :: else -> break od;
#ifdef TIMEOUTS
    run Clock()
#endif
  };
  if
  :: timeout -> /* nobody can move: either all is done and all sleep, or something was lost */
    assert(done == ALL && queue == 0 && searchers == 0 && sleepers == WORKERS)
#ifdef STOP_EARLY
  :: true
#endif
  fi;
  stop = true;
  wake_all();
  ended == WORKERS;
  assert(searchers == 0 && sleepers == 0)
}
