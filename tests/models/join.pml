/*
** A child of two parents: it is submitted while they end, well or badly, somebody cancels it, and a worker runs what is queued.
** Mirrors link_after, join_ended (submit.c), tell_successor, worklist_push, finish_counted, mp_pool_make_ready, mp_pool_run_job (finish.c),
** mp_task_link, mp_task_close_links, mp_task_queue, mp_task_end, mp_task_status (task.c).
**
** Holds: it runs at most once, and only after both parents are done; one terminal state; it is finished once; the engine's reference goes
** from the join counter to the queue to the worker and is given back once, so that nobody touches freed memory and none is left;
** whoever sees `failed` can read the cause.
**
** check: safety
** check: safety -DCANCELLED
** check: safety -DCANCELLED -DONE_FAILS
** check: safety -DCANCELLED -DBOTH_FAIL
*/
#define WAITING 0
#define QUEUED 1
#define RUNNING 2
#define DONE 3
#define FAILED 4
#define CANCELLED_ 5

#define NONE 2

/* the parents: their state, and their lists of successors */
byte parent_state[2] = RUNNING;
bool closed[2], linked[2];
/* the child */
byte state = WAITING;
#ifdef CANCELLED
byte references = 2; /* the engine's, and a handle's */
#else
byte references = 1;
#endif
short joins;
byte cause = NONE;
byte finished, ran;
byte queue;

#define touch() assert(references > 0)

inline release() { touch(); references-- }

inline move_to(to) { assert(state < DONE); state = to }

/* mp_task_end with unstarted = true, or by the worker */
inline end_child(to, unstarted) {
  touch();
  atomic {
    won = (state < DONE && !(unstarted && state == RUNNING));
    if :: won -> move_to(to) :: else fi
  }
}

inline finish_child() { touch(); finished++ }

inline make_ready() {
  touch();
#ifdef BUG_QUEUE_UNCHECKED
  won = true;
  state = QUEUED;
#else
  atomic { won = (state == WAITING); if :: won -> move_to(QUEUED) :: else fi };
#endif
  if
  :: won -> queue++
  :: else ->
#ifndef BUG_JOIN_KEEPS_REFERENCE
    release()
#endif
  fi
}

/* n of the join counter are over */
inline count_down(n) {
  touch();
#ifdef BUG_COUNTER_READ_AGAIN
  joins = joins - (n);
  won = (joins == 0);
#else
  d_step { joins = joins - (n); won = (joins == 0) };
#endif
  if :: won -> make_ready() :: else fi
}

inline set_cause(p) {
  touch();
  atomic { if :: cause == NONE -> cause = p :: else fi }
}

/* One parent has ended badly: the child fails at once. `mine`: the caller is to finish it. */
inline fail_child(p) {
#ifdef BUG_CAUSE_AFTER_STATE
  end_child(FAILED, true);
  mine = won;
  set_cause(p);
#else
  set_cause(p);
  end_child(FAILED, true);
  mine = won;
#endif
  if
  :: mine ->
#ifdef BUG_EARLY_END_RELEASES
    release();
#endif
#ifdef BUG_WORKLIST_HOLDS_NOTHING
    skip
#else
    references++
#endif
  :: else
  fi
}

proctype Parent(byte p; byte outcome) {
  bool won, mine, has_child;
  parent_state[p] = outcome;
  atomic { closed[p] = true; has_child = linked[p] };
  if
  :: has_child ->
    if :: outcome != DONE -> fail_child(p) :: else fi;
#ifdef BUG_FAILED_PARENT_DOES_NOT_COUNT
    if :: outcome == DONE -> count_down(1) :: else fi;
#else
    count_down(1);
#endif
    if
    :: mine -> /* off the worklist */
      finish_child();
#ifndef BUG_WORKLIST_HOLDS_NOTHING
      release()
#endif
    :: else
    fi
  :: else
  fi
}

proctype Submitter() {
  bool won, mine, refused;
  byte p, over;
#ifndef BUG_JOINS_SET_AFTER_LINKING
  joins = 3;
#endif
  do
  :: p < 2 ->
    atomic { refused = closed[p]; if :: !refused -> linked[p] = true :: else fi };
    if
    :: refused ->
      over++;
      if
      :: parent_state[p] == DONE
      :: else -> /* join_ended: finishes it right here */
        set_cause(p);
        end_child(FAILED, true);
        if :: won -> finish_child() :: else fi
      fi
    :: else
    fi;
    p++
  :: else -> break
  od;
#ifdef BUG_JOINS_SET_AFTER_LINKING
  joins = 3;
#endif
  count_down(over + 1)
}

/* mp_cancel; with a handle */
proctype Canceller() {
  bool won;
  end_child(CANCELLED_, true);
  if :: won -> finish_child() :: else fi;
  release()
}

/* Sees the child fail, through the handle, and asks why. */
proctype Observer() { if :: state == FAILED -> assert(cause != NONE) :: state >= DONE fi }

/* mp_pool_run_job, for whatever is queued */
proctype Worker() {
  bool won;
end:
  do
  :: atomic { queue > 0 -> queue-- };
    touch();
#ifdef BUG_RUN_UNCHECKED
    won = true; state = RUNNING;
#else
    atomic { won = (state == QUEUED); if :: won -> move_to(RUNNING) :: else fi };
#endif
    if
    :: won ->
      ran++;
      assert(parent_state[0] == DONE && parent_state[1] == DONE);
      end_child(DONE, false);
      if :: won -> finish_child() :: else fi
    :: else
    fi;
    release()
  od
}

init {
  atomic {
    run Worker();
    run Submitter();
#if defined(BOTH_FAIL)
    run Parent(0, FAILED); run Parent(1, CANCELLED_);
#elif defined(ONE_FAILS)
    run Parent(0, FAILED); run Parent(1, DONE);
#else
    run Parent(0, DONE); run Parent(1, DONE);
#endif
#ifdef CANCELLED
    run Canceller();
#endif
    run Observer()
  };
  (_nr_pr == 2 && queue == 0) -> /* the worker is left */
  timeout;
  assert(state >= DONE && finished == 1 && ran <= 1 && references == 0 && joins == 0);
  assert(ran == 1 || state != DONE)
}
