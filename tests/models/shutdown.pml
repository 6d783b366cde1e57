/*
** Submissions beside a shutdown: two threads submit a task each, one worker runs them, a shutdown waits, cancels what is queued, ends what
** runs and does not stop. Mirrors enter, withdraw, cancel_if_late, cancel_job (submit.c), mp_pool_quiet, drain, shut_down_locked, join_workers (pool.c),
** mp_pool_execute, mp_pool_run_job (finish.c), watch, mp_pool_returned, mp_pool_end_running (stop.c), the end of a worker's loop and
** on_idle (scheduler.c, pool.c).
**
** Holds: accepted + refused == tried, and accepted == finished; none is finished twice; the shutdown returns; when it has, what
** was accepted before is over and what runs on counts as stuck; a frame that is looked at is there, and so is its task; all memory goes.
**
** check: safety -DMODE=REFUSE
** check: safety -DMODE=CANCEL
** check: safety -DMODE=REFUSE -DDEADLINE
** check: safety -DMODE=STOP -DDEADLINE
** check: safety -DMODE=REFUSE -DDEADLINE -DSTUCK -DTASKS=1
** check: safety -DMODE=STOP -DDEADLINE -DSTUCK -DTASKS=1
** check: safety -DMODE=CANCEL -DHANDLES
** check: safety -DMODE=STOP -DDEADLINE -DHANDLES
** check: safety -DMODE=STOP -DDEADLINE -DSTUCK -DTASKS=1 -DHANDLES
**
** Without HANDLES the worker has each task to itself, and changes its state with a read and a write apart.
*/
#ifndef TASKS
#define TASKS 2
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

#define NOBODY 255

#define WAITERS 1
#define WAITER 0
#include "event.inc"

byte closing;
byte submitted, settled_outside, settled_worker; /* counters: the shared ones, the worker's */
byte drainers;
byte accepted, refused;
byte state[TASKS], references[TASKS], finished[TASKS];
bool queued[TASKS];
byte frame = NOBODY;     /* worker.frame */
bool watched;            /* worker.watched */
bool running_lock;
bool stop, alive = true; /* the scheduler's */
bool over;               /* the shutdown has returned */
bool is_stuck;
hidden byte k;

#define nothing_queued() (!queued[0] && !queued[TASKS - 1])
#define is_over(t) (state[t] == NEW || state[t] >= DONE)

inline tell_drainers() { if :: drainers != 0 -> event_signal() :: else fi }

inline release(t) { assert(references[t] > 0); references[t]-- }

inline end_task(t, to, unstarted) {
  assert(references[t] > 0);
  d_step {
    won = (state[t] < DONE && !(unstarted && state[t] == RUNNING));
    if :: won -> state[t] = to :: else fi
  }
}

/* Takes any task that is queued, or NOBODY. */
inline take() {
  d_step {
    t = NOBODY;
    k = 0;
    do
    :: k < TASKS && queued[k] -> t = k; queued[k] = false; break
    :: k < TASKS && !queued[k] -> k++
    :: else -> break
    od
  }
}

/* cancel_job, for all that is queued, on no worker */
inline drain_queue() {
  do
  :: take();
    if
    :: t == NOBODY -> break
    :: else ->
      end_task(t, CANCELLED, true);
      if :: won -> finished[t]++; settled_outside++; tell_drainers() :: else fi;
      release(t)
    fi
  od
}

proctype Submitter(byte own) {
  bool won, in;
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
    if :: closing == STOP -> drain_queue() :: else fi
#endif
  fi
}

/* The task's memory is the worker's until it has looked whether it is watched. */
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
#ifndef BUG_LATE_START
    if
    :: closing == STOP -> skip /* too late: it counts as cancelled and its body does not begin */
    :: else ->
#endif
      assert(!over || state[t] >= DONE); /* the body begins */
#ifdef STUCK
      over; /* and stays until the shutdown has given up on it */
#endif
      skip
#ifndef BUG_LATE_START
    fi
#endif
  :: else
  fi;
  frame = NOBODY;
#ifndef BUG_LETS_GO_WHILE_WATCHED
  if :: watched -> !running_lock :: else fi; /* mp_pool_returned: lock and unlock */
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

inline run_job() {
  if
  :: closing >= CANCEL ->
    end_task(t, CANCELLED, true);
    if :: won -> finished[t]++; settled_worker++ :: else fi
  :: else -> execute()
  fi;
  release(t);
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
    :: t != NOBODY -> run_job()
    :: else ->
#ifndef BUG_IDLE_IS_SILENT
      tell_drainers(); /* on_idle */
#endif
      (stop || !nothing_queued()) /* park: see park.pml */
    fi
  od;
  do :: take(); if :: t == NOBODY -> break :: else -> run_job() fi od;
  alive = false;
  event_signal()
}

/* A wait that has a deadline may end at any moment; the runs without one show that no wake-up is lost. */
#ifdef DEADLINE
#define pause() skip
#else
#define pause() event_wait(WAITER, seen)
#endif

/* drain: with a deadline it may give up at any moment */
inline drain() {
  drainers++;
  do
  :: seen = gate;
    sum = settled_outside + settled_worker;
    if
    :: submitted == sum -> drained = true; break
    :: else ->
#ifdef DEADLINE
      if :: true -> drained = false; break :: true -> pause() fi
#else
      pause()
#endif
    fi
  od;
  drainers--;
  sum = 0; seen = 0
}

inline close_to(to) { closing = to; event_signal() }

/* mp_pool_end_running, for the one worker */
inline end_running() {
  atomic { !running_lock -> running_lock = true };
#ifndef BUG_WATCHES_LATE
  watched = true;
#endif
  t = frame;
#ifdef BUG_WATCHES_LATE
  watched = true;
#endif
  won = false;
  if
  :: t != NOBODY -> end_task(t, CANCELLED, false); if :: won -> references[t]++ :: else fi
  :: else
  fi;
  watched = false;
  running_lock = false;
  if :: won -> finished[t]++; settled_outside++; tell_drainers(); release(t) :: else fi;
  won = false
}

proctype Shutdown() {
  bool won, drained;
  byte t, seen, sum;
  close_to(MODE);
#if MODE == STOP
  drain_queue();
#endif
  drain();
  if
  :: !drained && MODE != STOP -> close_to(STOP); drain_queue(); drain()
  :: else
  fi;
  if :: !drained -> end_running(); drain_queue() :: else fi;
  stop = true;
  do
  :: seen = gate;
    if
    :: !alive -> break
    :: else ->
#ifdef DEADLINE
      if :: !drained -> is_stuck = true; break :: true -> pause() fi
#else
      pause()
#endif
    fi
  od;
  over = true
}

init {
  atomic { run Worker(); run Shutdown(); run Submitter(0); if :: TASKS == 2 -> run Submitter(1) :: else fi };
  over;
#ifndef DEADLINE
  assert(state[0] >= DONE || state[0] == NEW);
#endif
  assert(is_stuck || (state[0] != RUNNING && state[TASKS - 1] != RUNNING));
  _nr_pr == 1;
  assert(accepted + refused == TASKS && accepted == submitted && accepted == settled_outside + settled_worker);
  k = 0;
  do
  :: k < TASKS -> assert(is_over(k) && finished[k] == (state[k] >= DONE) && references[k] == 0); k++
  :: else -> break
  od
}
