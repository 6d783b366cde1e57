/*
** Workers that look for work, sleep and are woken; threads that make work visible; an owner that sleeps among the workers though
** it may not do just any work; threads with other news; a stop.
** Mirrors all of park.c: announce, mp_park_sleep_unless, take_token, retract, claim_locked, mp_park_wake_one, mp_park_wake_all,
** mp_park_search_begin, mp_park_search_end; loop, search, park, has_reason_to_wake, tidy, mp_scheduler_end_search, mp_scheduler_stop
** (scheduler.c); mp_pick_push (pick.c); post_some (waitlist.c); sleep_idle, wakes_idle (wait.c).
**
** Holds: work is never left lying while a worker sleeps (with PAIRS a task goes on only when the next has begun, so that one worker
** awake is not enough); when nothing is left to do, everybody sleeps, nobody counts as a searcher and nothing goes round in circles;
** a stop reaches everybody.
**
** A token says no more than "look again": NEWS are posts to a worker, listed or not, that claim nothing, and may be left over; with TIMEOUTS
** the first worker's sleep comes to its deadline once, and it tidies up, for as long as all others have something to do.
**
** check: safety -DWORKERS=2 -DSUBMITTERS=2 -DTASKS=1 -DPAIRS
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=3
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 -DNEWS=2
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 -DTIMEOUTS -DNEWS=1 : BUG_HOOK_SEARCHES
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 -DSTOP_EARLY : BUG_STOP_NOT_LOOKED_FOR
** check: safety -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 -DPAIRS -DOWNER : BUG_OWNER_SEARCHES
** check: progress -DWORKERS=2 -DSUBMITTERS=1 -DTASKS=2 : BUG_HANDS_ON_WITHOUT_WORK
** check: safety -DWORKERS=3 -DSUBMITTERS=1 -DTASKS=2 -DPAIRS
*/
#define ALL (SUBMITTERS * TASKS)
#define NOBODY 255
#ifdef OWNER
#define SLEEPERS (WORKERS + 1)
#else
#define SLEEPERS WORKERS
#endif

byte queue;             /* jobs that can be found */
byte begun, done, ended;
bool stop;
/* park.sleepers, park.searchers, and the list, newest first: next[i] is the one that slept before i */
short sleepers, searchers;
byte newest = NOBODY, next[SLEEPERS];
bool locked;            /* park.lock, where what happens under it can be seen in between */
bool listed[SLEEPERS];  /* parker.listed: its own thread looks at it without the lock */
bool token[SLEEPERS];   /* parker.gate.word */
bool lapses;            /* the first worker's sleep may be over at its deadline */
bool wish;              /* what the owner waits for */
hidden byte at;

/* unlist_locked */
inline unlist(i) {
  d_step {
    if
    :: newest == i -> newest = next[i]
    :: else ->
      at = newest;
      do :: next[at] != i -> at = next[at] :: else -> break od;
      next[at] = next[i]
    fi;
    next[i] = 0;
    listed[i] = false;
    sleepers--
  }
}

/* claim_locked, then the lock is given back. */
inline claim(i) {
#if defined(BUG_CLAIM_NOT_COUNTED)
  unlist(i);
#elif defined(BUG_CLAIM_COUNTED_LATE)
  unlist(i);
  searchers++;
#else
  searchers++;
  unlist(i);
#endif
  locked = false
}

/* mp_park_wake_one */
inline wake_one() {
  if
  :: searchers != 0 -> skip
  :: else ->
    atomic { !locked -> who = (searchers == 0 -> newest : NOBODY); locked = (who != NOBODY) };
    if
    :: who != NOBODY -> claim(who); d_step { token[who] = true; who = 0 }
    :: d_step { else -> who = 0 }
    fi
  fi
}

/* mp_park_notify */
inline notify() { if :: sleepers != 0 -> wake_one() :: else fi }

inline wake_all() {
  do
  :: atomic { !locked -> who = newest; locked = (who != NOBODY) };
    if
    :: who == NOBODY -> who = 0; break
    :: else -> claim(who); d_step { token[who] = true; who = 0 }
    fi
  od
}

inline announce() {
  d_step {
    !locked ->
    assert(!listed[me]);
    next[me] = newest; newest = me; listed[me] = true; sleepers++
  }
}

inline no_searcher() { searchers--; assert(searchers >= 0) }

/* After the sleep, or instead of it: whoever it was, it is a searcher now. */
inline retract() {
  if
  :: !listed[me] -> /* somebody has claimed it */
#ifdef BUG_RETRACT_AWAITS_TOKEN
    d_step { token[me] -> token[me] = false }
#else
    skip
#endif
  :: else ->
    atomic { !locked -> locked = listed[me] };
#ifdef BUG_RETRACT_NO_SEARCHER
    if :: listed[me] -> unlist(me); locked = false :: else fi
#else
    if :: listed[me] -> claim(me) :: else fi
#endif
  fi
}

inline end_search() {
  d_step { searchers--; last = (searchers == 0) };
  assert(searchers >= 0);
#ifndef BUG_LAST_SEARCHER_IS_SILENT
  if :: last && queue > 0 -> last = false; notify() :: else -> last = false fi
#else
  last = false
#endif
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

/* mp_park_sleep_unless, of a worker: who has not found anything. */
inline sleep_unless() {
#ifndef BUG_TOKEN_TAKEN_LATE
  token[me] = false;
#endif
  announce();
#ifndef BUG_SEARCHER_UNTIL_ASLEEP
  no_searcher();
#endif
#ifdef BUG_TOKEN_TAKEN_LATE
  token[me] = false;
#endif
  if
#ifdef BUG_NO_SECOND_LOOK
  :: stop
#elif defined(BUG_STOP_NOT_LOOKED_FOR)
  :: queue > 0
#else
  :: queue > 0 || stop
#endif
  :: else ->
#ifdef BUG_HANDS_ON_WITHOUT_WORK
    notify();
#endif
#ifdef BUG_SEARCHER_UNTIL_ASLEEP
    no_searcher();
#endif
    if
    :: d_step { token[me] -> token[me] = false }
    :: d_step { me == 0 && lapses -> lapses = false; timed_out = true }
    fi
  fi;
  retract()
}

/* The host's hook, however long it takes. */
inline tidy() {
#ifndef BUG_HOOK_SEARCHES
  searching = false;
  end_search();
#endif
  (begun == ALL || stop);
  timed_out = false
}

proctype Worker(byte me) {
  bool searching, got, last, timed_out;
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
      :: !got -> sleep_unless(); if :: timed_out -> tidy() :: else fi
      :: else
      fi
    :: else
    fi;
    if
    :: got ->
      got = false;
      if :: searching -> searching = false; end_search() :: else fi;
      run_job()
    :: else
    fi
  od;
  if :: searching -> end_search() :: else fi;
  ended++
}

#ifdef OWNER
/* sleep_idle: it waits for something else, and may not do what is queued. Work that wakes it in vain it passes on. */
proctype Owner(byte me) {
  bool last;
  byte who;
  do
  :: wish -> break
  :: else ->
#ifdef BUG_OWNER_SEARCHES
    searchers++;
#endif
    token[me] = false;
    announce();
#ifdef BUG_OWNER_SEARCHES
    no_searcher();
#endif
    if :: wish :: else -> d_step { token[me] -> token[me] = false } fi;
    retract();
    end_search()
  od
}

/* What it waits for happens when all is done. */
proctype Fulfiller() { done == ALL; wish = true; token[WORKERS] = true }
#endif

proctype Submitter() {
  byte i, who;
  do
  :: i < TASKS ->
#ifdef BUG_NOTIFY_FIRST
    notify();
    queue++;
#else
    queue++;
    notify();
#endif
    i++
  :: else -> break
  od
}

#ifdef NEWS
/* post_some: for something that has nothing to do with work, and that the worker finds to be over. */
proctype Poster() {
  byte i;
  do
  :: i < NEWS -> if :: token[0] = true :: token[1] = true fi; i++
  :: else -> break
  od
}
#endif

init {
  byte i, who;
  atomic {
#ifdef TIMEOUTS
    lapses = true;
#endif
    do :: i < WORKERS -> run Worker(i); i++ :: else -> break od;
    i = 0;
    do :: i < SUBMITTERS -> run Submitter(); i++ :: else -> break od;
    i = 0;
#ifdef OWNER
    run Owner(WORKERS);
    run Fulfiller();
#endif
#ifdef NEWS
    run Poster()
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
