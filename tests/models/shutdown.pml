/*
** Submissions and a visit beside one or two shutdowns: threads submit a task each, another sends a loop to the worker, one worker runs
** them, shutdowns wait, cancel what is queued, end what runs and does not stop, and wait for the threads, or for the one who does.
** Mirrors enter, withdraw, cancel_if_late (submit.c), enter, leave, visit_worker, mp_refuse_visit (jobs.c), cancel_entry, mp_cancel_queued
** (finish.c), is_quiet, close_to, is_quiet_or_ending, await, hurried, await_threads, join_threads, end, shut_down (pool.c), start, call_body,
** end_body, mp_run_task_entry (run.c), watch_locked, frame_of, mp_await_watcher, end_one, mp_end_running, on_deadline (stop.c), the end of a
** worker's loop, clear and on_idle (scheduler.c, pool.c).
**
** Holds: accepted + refused == tried, and accepted == finished; none is finished twice; every shutdown returns, though a body returns only
** when all of them have (STUCK), if one of them is impatient; when one has, whatever runs still is over,
** and nothing begins; a visit runs or is refused; a frame that is looked at is there, and so is its task; all memory goes.
**
** check: safety -DMODE=REFUSE -DTASKS=2
** check: safety -DMODE=CANCEL -DTASKS=2
** check: safety -DMODE=REFUSE -DSOON=1 -DSTUCK : BUG_LATE_START BUG_LETS_GO_WHILE_WATCHED BUG_NOT_LATE BUG_SOLE_FRAME_FIRST BUG_WATCHES_LATE
** check: safety -DMODE=STOP -DSOON=1 -DSTUCK
** check: safety -DMODE=REFUSE -DVISITS : BUG_VISIT_LOOKS_FIRST
** check: safety -DMODE=REFUSE -DAND=CANCEL -DSOON=2 -DVISITS -DTASKS=0 : BUG_VISIT_NOT_LATE BUG_VISIT_NOT_REFUSED
** check: safety -DMODE=REFUSE -DAND=STOP -DSOON=2 -DVISITS -DTASKS=0 -DSTUCK : BUG_DEADLINE_RISES BUG_ENDING_NOT_SEEN
** check: safety -DMODE=REFUSE -DSOON=1 -DVISITS -DSTUCK
** check: safety -DMODE=STOP -DTASKS=2 -DSOON=1
** check: safety -DMODE=STOP -DTASKS=2 -DSOON=1 -DHANDLES
** check: safety -DMODE=STOP -DSOON=1 -DVISITS
** check: safety -DMODE=REFUSE -DTASKS=2 -DSOON=1
** check: safety -DMODE=CANCEL -DTASKS=2 -DHANDLES
** check: safety -DMODE=STOP -DSOON=1 -DSTUCK -DHANDLES
** check: safety -DMODE=REFUSE -DAND=STOP -DSOON=2 -DSTUCK : BUG_CLOSING_FALLS BUG_HURRY_IS_SILENT BUG_LOCK_OVER_THE_WAIT
** check: safety -DMODE=REFUSE -DAND=REFUSE -DSOON=2 -DSTUCK -DHANDLES -DTIMED -DQUEUED_BEFORE : BUG_IDLE_IN_A_FRAME
**
** MODE: the first shutdown's, AND: the second's. SOON: whose deadline passes at any moment (1, 2, or 3: both); the others wait for ever.
** Without HANDLES the worker has each task to itself, and changes its state with a read and a write apart. TIMED: a deadline may end a task.
** QUEUED_BEFORE: the task is queued before anything else happens.
*/
#ifndef TASKS
#define TASKS 1
#endif
#ifndef SOON
#define SOON 0
#endif
#define NOT 0
#define REFUSE 1
#define CANCEL 2
#define STOP 3

#define NEW 0
#define QUEUED 1
#define RUNNING 2
#define DONE 3
#define CANCELLED 4
#define TIMED_OUT 5

/* pool.ending */
#define JOINING 1
#define OVER 2

#define VISIT 2   /* the entry that is a visit; the others are tasks */
#define NOBODY 3

#define WAITERS 3
#define VISITOR 2 /* 0 and 1 are the shutdowns */
#include "waitlist.inc"

byte closing;
byte submitted, settled_outside, settled_worker; /* counters: the shared ones, the worker's */
byte started, returned;
byte visits, drainers;
byte accepted, refused;
byte state[2], references[2], finished[2];
bool queued[3];
byte visit_done;         /* 1: it has run, 2: it was refused */
byte frame = NOBODY;     /* worker.frame */
bool watched;            /* worker.watched */
bool running_lock;
bool stop, alive = true; /* the scheduler's */
byte ending;
bool impatient;          /* join_deadline: that of a shutdown whose time passes; else for ever */
bool awaited_impatient;  /* join_awaited likewise */
bool shutdown_lock;
bool back[2], one_is_back; /* these shutdowns have returned */
byte inside = NOBODY;    /* whose body runs */
bool is_stuck;
hidden byte k;

#define all_are_back() (back[0] && back[1])
#define is_over(t) (state[t] == NEW || state[t] >= DONE)

inline tell_drainers() { if :: drainers != 0 -> signal() :: else fi }

inline release(t) { d_step { assert(references[t] > 0); references[t]-- } }

inline end_task(t, to, unstarted) {
  d_step {
    assert(references[t] > 0);
    won = (state[t] < DONE && !(unstarted && state[t] == RUNNING));
    if :: won -> state[t] = to :: else fi
  }
}

/* Takes any entry that is queued, or NOBODY. */
inline take() {
  d_step {
    k = 0;
    do
    :: k < 3 && !queued[k] -> k++
    :: else -> break
    od;
    t = k;
    if :: k < 3 -> queued[k] = false :: else fi;
    k = 0
  }
}

/* mp_cancel_queued */
inline cancel_queued() {
  do
  :: take();
    if
    :: t == NOBODY -> break
#ifdef BUG_VISIT_NOT_REFUSED
    :: t == VISIT -> kept = true
#else
    :: t == VISIT -> visit_done = 2; signal() /* mp_refuse_visit */
#endif
    :: else ->
      end_task(t, CANCELLED, true);
      if :: won -> finished[t]++; settled_outside++; tell_drainers() :: else fi;
      release(t)
    fi
  od;
#ifdef BUG_VISIT_NOT_REFUSED
  if :: kept -> queued[VISIT] = true; kept = false :: else fi;
#endif
  won = false; t = 0
}

proctype Submitter(byte own) {
  bool won, in, kept;
  byte t;
#ifdef BUG_ENTER_LOOKS_FIRST
  in = (closing == NOT);
  submitted++;
#else
  submitted++; /* enter */
  in = (closing == NOT);
#endif
  if
  :: !in ->
    submitted--; /* withdraw */
#ifndef BUG_WITHDRAW_IS_SILENT
    tell_drainers();
#endif
    refused++
  :: else ->
    accepted++;
    d_step { references[own] = 1; state[own] = QUEUED; queued[own] = true };
#ifndef BUG_NOT_LATE
    if :: closing == STOP -> cancel_queued() :: else fi
#endif
  fi
}

/* mp_visit, of a thread that is no worker */
proctype Visitor() {
  bool won, in, kept;
  byte t;
#ifdef BUG_VISIT_LOOKS_FIRST
  in = (closing == NOT);
  visits++;
#else
  visits++;
  in = (closing == NOT);
#endif
  if
  :: in ->
    queued[VISIT] = true;
#ifndef BUG_VISIT_NOT_LATE
    if :: closing == STOP -> cancel_queued() :: else fi;
#endif
    join(VISITOR);
    do
    :: token[VISITOR] = false;
      if :: visit_done != 0 -> break :: else -> token[VISITOR] fi
    od;
    leave(VISITOR)
  :: else
  fi;
  visits--; /* leave */
  tell_drainers()
}

inline body() {
  d_step { inside = t; assert(t == VISIT || !one_is_back || state[t] >= DONE) };
#ifdef STUCK
  all_are_back();
#endif
  inside = NOBODY
}

/* start, call_body, end_body. The task's memory is the worker's until it has looked whether it is watched. */
inline execute() {
#if defined(HANDLES) || defined(BUG_SOLE_FRAME_FIRST)
  frame = t;
#endif
#ifdef HANDLES
  d_step { won = (state[t] == QUEUED); if :: won -> state[t] = RUNNING :: else fi };
#else
  won = (references[t] == 1 && state[t] == QUEUED);
  if :: won -> state[t] = RUNNING :: else fi;
  frame = t;
#endif
  if
  :: won ->
    started++;
#ifndef BUG_LATE_START
    if
    :: closing == STOP -> skip /* too late: it counts as cancelled and its body does not begin */
    :: else ->
#endif
      body()
#ifndef BUG_LATE_START
    fi
#endif
    ;
    returned++
  :: else
  fi;
  frame = NOBODY;
#ifndef BUG_LETS_GO_WHILE_WATCHED
  if :: watched -> !running_lock :: else fi; /* mp_await_watcher: lock and unlock */
#endif
  if
  :: won ->
#ifdef HANDLES
    end_task(t, DONE, false);
#else
    won = (state[t] < DONE); /* the body gave no handle away; whoever found the frame has ended the task by now, or will not */
    if :: won -> state[t] = DONE :: else fi;
#endif
    if :: won -> finished[t]++; settled_worker++ :: else fi
  :: else
  fi
}

/* run_visit, mp_run_task_entry */
inline run_entry() {
  if
  :: t == VISIT -> body(); visit_done = 1; signal()
  :: t != VISIT && closing >= CANCEL ->
    end_task(t, CANCELLED, true);
    if :: won -> finished[t]++; settled_worker++ :: else fi;
    release(t)
  :: else -> execute(); release(t)
  fi;
  won = false
}

proctype Worker() {
  bool won;
  byte t;
  do
  :: stop -> break
  :: else ->
    take();
    if
    :: t != NOBODY -> run_entry()
    :: else ->
#ifndef BUG_IDLE_IS_SILENT
      tell_drainers(); /* on_idle */
#endif
      (stop || queued[0] || queued[1] || queued[VISIT]) /* park: see park.pml */
    fi
  od;
  do :: take(); if :: t == NOBODY -> break :: else -> run_entry() fi od; /* clear */
  alive = false;
  signal() /* on_thread_ended */
}

#ifdef TIMED
/* on_deadline, for the first task; it holds a reference */
proctype Timer() {
  bool won;
  if
  :: atomic { state[0] == RUNNING && references[0] > 0 -> references[0]++ };
    end_task(0, TIMED_OUT, false);
    if :: won -> finished[0]++; settled_outside++; tell_drainers() :: else fi;
    release(0)
  :: all_are_back()
  fi
}
#endif

/* await: until `look` says so; with `soon` it may give up at any moment. */
#ifdef BUG_DRAINER_COUNTED_LATE
#define COUNT_ME drainers++; counted = true;
#define COUNT_FIRST
#define LEAVE_ME if :: counted -> drainers = 0; counted = false :: else fi;
#else
#define COUNT_ME
#define COUNT_FIRST drainers++;
#define LEAVE_ME drainers--;
#endif
#define await(look, soon) \
  join(me); \
  COUNT_FIRST \
  do \
  :: token[me] = false; \
    look; \
    if \
    :: ok -> break \
    :: else -> \
      COUNT_ME \
      if :: soon -> break :: token[me] fi \
    fi \
  od; \
  LEAVE_ME \
  leave(me)

/* is_quiet_or_ending: settled is read before submitted */
inline look_quiet() {
#ifdef BUG_ENDING_NOT_SEEN
  ok = false;
#else
  ok = (ending != NOT);
#endif
  sum = settled_outside + settled_worker;
  if :: !ok -> ok = (submitted == sum); ok = ok && visits == 0 :: else fi;
  sum = 0
}

#define hurried() (impatient && !awaited_impatient)
inline look_threads() { ok = !alive; ok = ok || hurried() }
inline look_over() { ok = (ending == OVER) }

/* close_to: only ever further */
inline close_to(to) {
#ifdef BUG_CLOSING_FALLS
  closing = to;
#else
  d_step { if :: closing < to -> closing = to :: else fi };
#endif
  if :: to >= CANCEL -> cancel_queued() :: else fi;
  signal()
}

/* mp_end_running, end_one, for the one worker; a visit's frame has no task */
inline end_running() {
  atomic { !running_lock -> running_lock = true };
  won = false;
  if
  :: frame != NOBODY ->
#ifndef BUG_WATCHES_LATE
    watched = true;
#endif
    t = frame;
#ifdef BUG_WATCHES_LATE
    watched = true;
#endif
    if
    :: t < VISIT -> end_task(t, CANCELLED, false); if :: won -> references[t]++ :: else fi
    :: else
    fi;
    watched = false
  :: else
  fi;
  running_lock = false;
  if :: won -> finished[t]++; settled_outside++; tell_drainers(); release(t) :: else fi;
  won = false; t = 0
}

/* await_threads: least: not before a moment, or for ever where all bodies have returned */
inline await_threads() {
  do
  ::
    d_step { soon_now = impatient; awaited_impatient = impatient };
    await(look_threads(), soon_now && !idle);
    if
    :: ok && hurried() -> skip
    :: else -> break
    fi
  od
}

/* end */
inline end() {
  atomic {
    !shutdown_lock ->
    shutdown_lock = true;
    first = (ending == NOT);
    if :: first -> ending = JOINING :: else fi;
#ifdef BUG_DEADLINE_RISES
    impatient = soon;
#else
    impatient = impatient || soon;
#endif
#ifndef BUG_LOCK_OVER_THE_WAIT
    shutdown_lock = false
#endif
  };
#ifndef BUG_HURRY_IS_SILENT
  signal();
#endif
  if
  :: first ->
    idle = (settled_outside + settled_worker == submitted);
    idle = idle && started == returned;
    idle = idle && visits == 0;
#ifndef BUG_IDLE_IN_A_FRAME
    idle = idle && frame == NOBODY;
#endif
    stop = true;
    signal();
    await_threads();
    is_stuck = alive;
    ending = OVER;
    signal()
  :: else ->
#ifdef BUG_LOCK_OVER_THE_WAIT
    shutdown_lock = false;
#endif
    await(look_over(), soon)
  fi;
#ifdef BUG_LOCK_OVER_THE_WAIT
  if :: first -> shutdown_lock = false :: else fi
#endif
}

proctype Shutdown(byte me; byte mode; bool soon) {
  bool won, ok, first, idle, soon_now, kept, counted;
  byte t, sum;
  close_to(mode);
  await(look_quiet(), soon);
  if
  :: !ok && mode != STOP -> close_to(STOP); await(look_quiet(), true)
  :: else
  fi;
  if :: !ok -> end_running(); cancel_queued() :: else fi;
  end();
  assert(inside >= VISIT || state[inside] >= DONE);
  d_step { back[me] = true; one_is_back = true }
}

init {
  atomic {
    run Worker();
    run Shutdown(0, MODE, SOON & 1);
#ifdef AND
    run Shutdown(1, AND, SOON >> 1);
#else
    back[1] = true;
#endif
#ifdef QUEUED_BEFORE
    submitted = 1; accepted = 1; references[0] = 1; state[0] = QUEUED; queued[0] = true;
#elif TASKS > 0
    run Submitter(0);
#endif
#if TASKS > 1
    run Submitter(1);
#endif
#ifdef TIMED
    run Timer();
#endif
#ifdef VISITS
    run Visitor()
#endif
  };
  _nr_pr == 1;
  assert(all_are_back() && ending == OVER && drainers == 0 && visits == 0);
  assert(accepted + refused == TASKS && accepted == submitted && accepted == settled_outside + settled_worker);
  k = 0;
  do
  :: k < 2 -> assert(is_over(k) && finished[k] == (state[k] >= DONE) && references[k] == 0); k++
  :: else -> break
  od
}
