/*
** One task: a thread that queues it, a worker that runs it, mp_cancel, its deadline, somebody who waits and may run it himself,
** somebody who asks for news late, all at once.
** Mirrors mp_task_start, mp_task_end, mp_task_end_exclusive, mp_task_link, mp_task_close_links, mp_task_notify (task.c, task.h), finish_one,
** mp_finish, mp_unqueue_task, mp_make_ready (finish.c), execute, start, end_body, mp_run_in_place, mp_run_task_entry (run.c), mp_inbox_push,
** mp_inbox_grab, remove_normal_locked (inbox.c), enlist, is_ready, wait_through, run_awaited, mp_worker_sleep (wait.c), mp_cancel, mp_end_now
** (stop.c), work_locked, mp_deadlines_disarm (deadline.c).
**
** Holds: one terminal state, which never changes; it is told once to each listener; whoever waits or sleeps wakes; cancel says 1
** only when the outcome is `cancelled`, and always when that is its doing; nothing ends as cancelled that nobody has cancelled; the argument is
** dropped once and never while the body runs; the queue's reference is given back once; the memory goes once, at the end.
**
** check: safety -DNO_CANCEL
** check: safety -DSLEEPER -DNO_DEADLINE : BUG_CANCEL_SAYS_ASKED BUG_CANCEL_WAKES_NOBODY
** check: safety -DEARLY -DNO_DEADLINE : BUG_SOLE_GUESSED
** check: safety -DHELPER
**
** EARLY: the handles may go before the worker comes, which then has the task to itself and changes it with a read and a write apart.
** HELPER: the waiter runs it in place, if it can. SLEEPER: the body sleeps until it is asked to stop.
*/
#define WAITING 0
#define QUEUED 1
#define RUNNING 2
#define DONE 3
#define CANCELLED 5
#define TIMED_OUT 6

#define WAITERS 2 /* 0: the waiter; 1: the body */
#include "waitlist.inc"

/* task.word: always read and changed in one step */
byte state = WAITING;
bool waited, cancel;
bool prev, in_ring;  /* entry.prev, and whether it can be found in the inbox: the same, under inbox.lock */
bool taken;          /* out of the inbox, by a worker or by whoever ended it */

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
bool said, cancel_called; /* what mp_cancel returned; it was called */
bool cancel_ended;

/* how many references tell the one who has the engine's that there is no other */
#ifdef BUG_SOLE_GUESSED
#define SOLE 2
#else
#define SOLE 1
#endif

#define touch() assert(references > 0)

inline release() { d_step { touch(); references-- } }

inline move_to(to) { assert(state < DONE); state = to }

/* mp_task_end: `won`, with the word from before in was_waited, was_running and was_queued; `asks`: sets the flag in the same moment */
inline task_end(to, unstarted, asks) {
#ifdef BUG_CHECK_THEN_SET
  won = (state < DONE && !(unstarted && state == RUNNING));
  if
  :: won ->
    atomic {
      was_waited = waited; was_running = (state == RUNNING); was_queued = (state == QUEUED);
      state = to; cancel = cancel || asks
    }
  :: else
  fi
#else
#ifdef BUG_FLAGS_READ_EARLY
  was_waited = waited;
#endif
  d_step {
    touch();
    won = (state < DONE && !(unstarted && state == RUNNING));
    if
    :: won ->
#ifndef BUG_FLAGS_READ_EARLY
      was_waited = waited;
#endif
      was_running = (state == RUNNING); was_queued = (state == QUEUED); move_to(to); cancel = cancel || asks
    :: else
    fi
  }
#endif
}

/* mp_unqueue_task: out of the inbox, unless somebody has it already, or it is not there yet */
inline unqueue() {
#ifdef BUG_BOTH_GIVE_BACK
  mine = prev;
  if :: mine -> atomic { prev = false; in_ring = false; taken = true }; release() :: else fi
#else
  d_step { touch(); mine = prev; if :: mine -> prev = false; in_ring = false; taken = true :: else fi };
  if :: mine -> release() :: else fi
#endif
}

inline drop_arg() { assert(!arg_in_use); dropped++ }

inline disarm() {
  d_step { touch(); mine = armed; armed = false };
#ifndef BUG_NO_TIMER_REFERENCE
  if :: mine -> release() :: else fi
#endif
}

/* mp_finish, finish_one */
inline finish() {
  disarm();
#ifdef BUG_DROP_WHILE_RUNNING
  drop_arg();
#else
  if :: !was_running -> drop_arg() :: else fi;
#endif
  d_step { touch(); closed = true; if :: linked -> told++ :: else fi };
  if :: was_waited -> signal() :: else fi;
  if :: was_queued -> unqueue() :: else fi
}

/* execute, by the caller who moved it to running; the body may do as it is asked. */
inline execute() {
  if :: !own -> unqueue() :: else fi;
  arg_in_use = true;
  ran++;
#ifdef SLEEPER
  join(1); /* mp_worker_sleep, for ever: it ends because somebody cancels */
  waited = true;
  do
  :: cancel -> break
  :: else -> sleep_unless(1, cancel)
  od;
  leave(1);
#endif
  if :: cancel -> outcome = CANCELLED :: outcome = DONE fi;
  arg_in_use = false;
#ifdef BUG_CLOSE_BEFORE_END
  atomic { closed = true; mine = linked };
  if :: mine -> told++; atomic { linked = false } :: else fi;
#endif
  drop_arg();
  if
  :: own && references == SOLE -> /* mp_task_end_exclusive */
    won = (state < DONE);
    was_waited = waited;
    was_queued = false;
    if :: won -> move_to(outcome) :: else fi
  :: else -> task_end(outcome, false, false)
  fi;
  was_running = true;
  if :: won -> finish() :: else fi
}

/* A task whose body has not begun has its argument dropped by whoever ends it, else by the body's worker. */
inline start() {
#ifdef BUG_START_UNCHECKED
  won = true; state = RUNNING
#else
  if
  :: own && references == SOLE -> touch(); won = (state == QUEUED); if :: won -> state = RUNNING :: else fi
  :: else -> d_step { touch(); won = (state == QUEUED); if :: won -> state = RUNNING :: else fi }
  fi
#endif
}

/* mp_make_ready: its reference is the join counter's, then the queue's. */
proctype Queuer() {
  bool won;
  d_step { touch(); won = (state == WAITING); if :: won -> state = QUEUED :: else fi };
  if
  :: won ->
#ifdef BUG_PREV_BEFORE_LOCK
    touch(); prev = true;
    touch(); in_ring = true
#else
    d_step { touch(); prev = true; in_ring = true }
#endif
  :: else -> taken = true; release() /* it ended while it waited */
  fi
}

/* Grabs it from the inbox, if nobody has taken it out. */
proctype Worker() {
  bool won, was_waited, was_running, was_queued, mine, own = true;
  byte outcome;
  if
  :: atomic { in_ring -> prev = false; in_ring = false; taken = true };
    start();
    if :: won -> execute() :: else fi;
    release()
  :: taken
  fi
}

proctype Canceller() {
  bool won, was_waited, was_running, was_queued, mine, waited_before, cancelled;
#ifndef NO_CANCEL
  atomic { waited_before = waited; cancel = true; cancel_called = true };
  task_end(CANCELLED, true, true);
  if
  :: won -> finish(); cancel_ended = true; said = true
  :: else ->
    cancelled = (state == CANCELLED);
#ifndef BUG_CANCEL_WAKES_NOBODY
    if :: waited_before -> signal() :: else fi;
#endif
#ifdef BUG_CANCEL_SAYS_ASKED
    said = true
#else
    said = cancelled
#endif
  fi;
#endif
  release()
}

/* on_deadline, mp_end_now: it ends and asks in one change */
proctype Timer() {
  bool won, was_waited, was_running, was_queued, mine, due;
  atomic { due = armed; armed = false };
  if
  :: due ->
#ifdef BUG_ASKED_BEFORE_END
    cancel = true;
#endif
    task_end(TIMED_OUT, false, true);
    if :: won -> finish() :: else fi;
#ifndef BUG_NO_TIMER_REFERENCE
    release()
#endif
  :: else
  fi
}

proctype Waiter() {
  bool won, was_waited, was_running, was_queued, mine, own;
  byte outcome;
#ifdef EARLY
  if :: true -> skip :: true -> release(); goto gone fi;
#endif
#ifdef HELPER
  if
  :: true
  :: state == QUEUED -> start(); if :: won -> execute() :: else fi /* run_in_place: the handle's reference keeps it */
  :: else
  fi;
#endif
  if
  :: state < DONE ->
    join(0);
#ifndef BUG_MARK_AFTER_LOOK
    waited = true;
#endif
    do
    :: state >= DONE -> break
    :: else ->
#ifdef BUG_MARK_AFTER_LOOK
      waited = true; sleep_unless(0, false)
#else
      sleep_unless(0, state >= DONE)
#endif
    od;
    leave(0)
  :: else
  fi;
  release();
gone:
  skip
}

/* mp_task_notify */
proctype Listener() {
  bool refused;
#ifdef BUG_LINK_UNCHECKED
  refused = closed;
  if :: !refused -> linked = true :: else fi;
#else
  d_step { touch(); refused = closed; if :: !refused -> linked = true :: else fi };
#endif
  if
  :: refused -> d_step { assert(state >= DONE); told++ }
  :: else
  fi;
  release()
}

init {
  atomic { run Queuer(); run Worker(); run Canceller(); run Timer(); run Waiter(); run Listener() };
  _nr_pr == 1;
  assert(state >= DONE && told == 1 && dropped == 1 && ran <= 1 && references == 0 && !armed && !prev);
  assert(!said || state == CANCELLED);
  assert(state != CANCELLED || said || ran == 1);
  assert(state != CANCELLED || cancel_called);
  assert(!cancel_ended || ran == 0)
}
