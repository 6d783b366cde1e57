/*
** One task: a worker that runs it, mp_cancel, its deadline, somebody who waits, somebody who asks for news late, all at once.
** Mirrors mp_task_start, mp_task_end, mp_task_link, mp_task_close_links, mp_task_notify (task.c), finish_one, mp_pool_execute,
** mp_pool_run_job (finish.c), sleep_until_ready, run_in_place, mp_worker_sleep (wait.c), mp_cancel, mp_pool_end_now (stop.c), work_locked,
** mp_pool_disarm (deadline.c), event.h.
**
** Holds: one terminal state, which never changes; it is told once to each listener; whoever waits or sleeps wakes; cancel says 1
** exactly when the outcome is `cancelled`; the argument is dropped once and never while the body runs; the memory goes once, at the end.
**
** check: safety
** check: safety -DHELPER
** check: safety -DSLEEPER -DNO_DEADLINE
** check: safety -DEARLY -DNO_DEADLINE
**
** EARLY: the handles may go before the worker comes, which then has the task to itself and changes it with a read and a write apart.
*/
#define WAITING 0
#define QUEUED 1
#define RUNNING 2
#define DONE 3
#define CANCELLED 5
#define TIMED_OUT 6

#define WAITERS 2 /* 0: the waiter; 1: the body */
#include "event.inc"

/* task.word: always read and changed in one step */
byte state = QUEUED;
bool waited, cancel;

#if defined(NO_DEADLINE) || defined(BUG_NO_TIMER_REFERENCE)
byte references = 4; /* the engine's, the waiter's, the canceller's, the listener's */
#else
byte references = 5; /* and the armed deadline's */
#endif
#ifndef NO_DEADLINE
bool armed = true;
#else
bool armed;
#endif
bool closed, linked; /* task.successors */
bool arg_in_use;
byte dropped, told, ran;
bool said;           /* what mp_cancel returned */
bool cancel_ended;

/* how many references tell the one who has the engine's that there is no other */
#ifdef BUG_SOLE_GUESSED
#define SOLE 2
#else
#define SOLE 1
#endif

#define touch() assert(references > 0)

inline release() { touch(); references-- }

inline move_to(to) { assert(state < DONE); state = to }

/* mp_task_end: `won`, with the word from before in was_waited and was_running */
inline task_end(to, unstarted) {
  touch();
#ifdef BUG_CHECK_THEN_SET
  won = (state < DONE && !(unstarted && state == RUNNING));
  if :: won -> atomic { was_waited = waited; was_running = (state == RUNNING); state = to } :: else fi
#else
#ifdef BUG_FLAGS_READ_EARLY
  was_waited = waited;
#endif
  atomic {
    won = (state < DONE && !(unstarted && state == RUNNING));
    if
    :: won ->
#ifndef BUG_FLAGS_READ_EARLY
      was_waited = waited;
#endif
      was_running = (state == RUNNING); move_to(to)
    :: else
    fi
  }
#endif
}

inline drop_arg() { assert(!arg_in_use); dropped++ }

inline disarm() {
  atomic { mine = armed; armed = false };
#ifndef BUG_NO_TIMER_REFERENCE
  if :: mine -> release() :: else fi
#endif
}

/* finish_one */
inline finish() {
  touch();
  disarm();
#ifdef BUG_DROP_WHILE_RUNNING
  drop_arg();
#else
  if :: !was_running -> drop_arg() :: else fi;
#endif
  atomic { closed = true; mine = linked };
  if :: mine -> told++ :: else fi;
  if :: was_waited -> event_signal() :: else fi
}

/* mp_pool_execute, by the caller who moved it to running */
inline execute() {
  arg_in_use = true;
  ran++;
#ifdef SLEEPER
  waited = true; /* mp_worker_sleep, for ever: it ends because somebody cancels */
  do
  :: seen = gate; if :: cancel -> break :: else -> event_wait(1, seen) fi
  od;
#endif
  arg_in_use = false;
#ifdef BUG_CLOSE_BEFORE_END
  atomic { closed = true; mine = linked };
  if :: mine -> told++; atomic { linked = false } :: else fi;
#endif
  drop_arg();
  if
  :: own && references == SOLE -> /* mp_task_end_sole */
    won = (state < DONE);
    was_waited = waited;
    if :: won -> move_to(DONE) :: else fi
  :: else -> task_end(DONE, false)
  fi;
  was_running = true;
  if :: won -> finish() :: else fi
}

/* A task whose body has not begun has its argument dropped by whoever ends it, else by the body's worker. */
inline start() {
  touch();
#ifdef BUG_START_UNCHECKED
  won = true; state = RUNNING
#else
  if
  :: own && references == SOLE -> won = (state == QUEUED); if :: won -> state = RUNNING :: else fi
  :: else -> atomic { won = (state == QUEUED); if :: won -> state = RUNNING :: else fi }
  fi
#endif
}

proctype Worker() {
  bool won, was_waited, was_running, mine, own = true;
  byte seen;
  start();
  if :: won -> execute() :: else fi;
  release()
}

proctype Canceller() {
  bool won, was_waited, was_running, mine, waited_before, cancelled;
  atomic { waited_before = waited; cancel = true };
  task_end(CANCELLED, true);
  if
  :: won -> finish(); cancel_ended = true; said = true
  :: else ->
    cancelled = (state == CANCELLED);
#ifndef BUG_CANCEL_WAKES_NOBODY
    if :: waited_before -> event_signal() :: else fi;
#endif
#ifdef BUG_CANCEL_SAYS_ASKED
    said = true
#else
    said = cancelled
#endif
  fi;
  release()
}

proctype Timer() {
  bool won, was_waited, was_running, mine, due;
  atomic { due = armed; armed = false };
  if
  :: due ->
    touch();
    cancel = true;
    task_end(TIMED_OUT, false);
    if :: won -> finish() :: else fi;
#ifndef BUG_NO_TIMER_REFERENCE
    release()
#endif
  :: else
  fi
}

proctype Waiter() {
  bool won, was_waited, was_running, mine, own;
  byte seen;
  touch();
#ifdef EARLY
  if :: true -> skip :: true -> release(); goto gone fi;
#endif
#ifdef HELPER
  start(); /* run_in_place: the handle's reference keeps it */
  if :: won -> execute() :: else fi;
#endif
#ifndef BUG_MARK_AFTER_LOOK
  waited = true;
#endif
  do
  :: seen = gate;
    if
    :: state >= DONE -> break
    :: else ->
#ifdef BUG_MARK_AFTER_LOOK
      waited = true;
#endif
      event_wait(0, seen)
    fi
  od;
  release();
gone:
  skip
}

/* mp_task_notify */
proctype Listener() {
  bool refused;
  touch();
#ifdef BUG_LINK_UNCHECKED
  refused = closed;
  if :: !refused -> linked = true :: else fi;
#else
  atomic { refused = closed; if :: !refused -> linked = true :: else fi };
#endif
  if
  :: refused -> assert(state >= DONE); told++
  :: else
  fi;
  release()
}

init {
  atomic { run Worker(); run Canceller(); run Timer(); run Waiter(); run Listener() };
  _nr_pr == 1;
  assert(state >= DONE && told == 1 && dropped == 1 && ran <= 1 && references == 0 && !armed);
  assert(said == (state == CANCELLED));
  assert(!cancel_ended || ran == 0)
}
