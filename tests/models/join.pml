/*
** A child of two parents: it is submitted while they end, well or badly, somebody cancels it, and a worker runs what is queued.
** Mirrors link_after, join_ended (submit.c), tell_successor, worklist_push, mp_finish_counted, mp_make_ready, mp_unqueue_task (finish.c),
** mp_run_task_entry (run.c), mp_task_link, mp_task_close_links, mp_task_queue, mp_task_end, mp_task_fail_with, mp_task_cause, mp_task_release
** (task.c, task.h), mp_cancel (stop.c).
**
** Holds: it runs at most once, and only after both parents are done; one terminal state; it is finished once; the engine's reference goes
** from the join counter to the queue to the worker and is given back once, so that nobody touches freed memory and none is left;
** whoever sees that it failed with a dependency (MP_FLAG_CAUSE) can read which, and that one is kept for so long; the cause, which
** lies where entry.prev does, is not there when the child is queued.
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
byte references = 3; /* the engine's, and those of two handles */
#else
byte references = 2;
#endif
short joins;
byte cause = NONE;     /* as.never.cause: a parent */
bool flag;             /* MP_FLAG_CAUSE: read and changed with the state, in one step */
byte kept[2];          /* references to each parent, for the cause */
byte finished, ran;
byte queue;

#define touch() assert(references > 0)

/* With the last one the memory goes, and the cause with it. */
inline release() {
  d_step {
    touch();
    references--;
    if :: references == 0 && flag -> kept[cause]-- :: else fi
  }
}

inline move_to(to) { assert(state < DONE); state = to }

/* mp_task_end with unstarted = true, or by the worker */
inline end_child(to, unstarted, with_cause) {
  d_step {
    touch();
    was_queued = (state == QUEUED);
    won = (state < DONE && !(unstarted && state == RUNNING));
    if :: won -> move_to(to); flag = with_cause :: else fi
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
  :: won -> d_step { touch(); assert(cause == NONE); queue++ }
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

/* mp_task_fail_with: one parent has ended badly, and the child fails at once. `mine`: the caller is to finish it. */
inline fail_with(p) {
#ifdef BUG_CAUSE_AFTER_STATE
  end_child(FAILED, true, true);
  mine = won;
#endif
  kept[p]++;
  d_step { touch(); named = (cause == NONE); if :: named -> cause = p :: else fi };
#ifndef BUG_CAUSE_AFTER_STATE
  end_child(FAILED, true, true);
  mine = won;
#endif
#ifdef BUG_CAUSE_TAKEN_BACK
  unread = !mine;
#else
  unread = !flag;
#endif
#ifndef BUG_CAUSE_LEFT
  if :: named && unread -> cause = NONE :: else fi;
  if :: !named || unread -> kept[p]-- :: else fi
#else
  if :: !named -> kept[p]-- :: else fi
#endif
}

/* worklist_push: it is finished later, off the list. */
inline fail_child(p) {
  fail_with(p);
  if
  :: mine ->
#ifdef BUG_EARLY_END_RELEASES
    release();
#endif
#ifdef BUG_WORKLIST_HOLDS_NOTHING
    skip
#else
    d_step { touch(); references++ }
#endif
  :: else
  fi
}

proctype Parent(byte p; byte outcome) {
  bool won, mine, has_child, was_queued, named, unread;
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
  bool won, mine, refused, was_queued, named, unread;
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
        fail_with(p);
        if :: mine -> finish_child() :: else fi
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
  bool won, was_queued, mine;
  end_child(CANCELLED_, true, false);
  if
  :: won ->
    finish_child();
    if
    :: was_queued -> /* mp_unqueue_task: unless a worker has it, or it is not there yet */
      d_step { mine = (queue > 0); if :: mine -> queue-- :: else fi };
      if :: mine -> release() :: else fi
    :: else
    fi
  :: else
  fi;
  release()
}

/* mp_task_cause: sees the child fail, through the handle, and asks why. */
proctype Observer() {
  if
  :: flag -> assert(cause != NONE && kept[cause] > 0)
  :: state >= DONE
  fi;
  release()
}

/* mp_run_task_entry, for whatever is queued */
proctype Worker() {
  bool won, was_queued;
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
      end_child(DONE, false, false);
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
  assert(state >= DONE && finished == 1 && ran <= 1 && references == 0 && joins == 0 && kept[0] == 0 && kept[1] == 0);
  assert(ran == 1 || state != DONE)
}
