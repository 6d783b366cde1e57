/*
** Entries that go on one strand, workers that run them, a cancel of one that is queued, a shutdown that cancels what has not begun, and is
** the last to look into the line.
** Mirrors mp_strand_enter, mp_strand_leave, mp_strands_drain (strand.c), queue, push, mp_leave_strand, mp_unqueue_task, end_late,
** mp_cancel_queued (finish.c), mp_run_task_entry (run.c).
**
** Holds: one body is inside at a time; the bodies run in the order in which they entered; at the end every task is over and none is in
** the line or a queue, though a body may never return.
**
** check: safety
** check: safety -DCANCEL : BUG_TURN_KEPT
** check: safety -DSHUTDOWN
** check: safety -DSHUTDOWN -DSTUCK : BUG_LINE_FORGOTTEN BUG_LATE_UNSEEN
** check: safety -DCANCEL -DSHUTDOWN
*/
#define ENTRIES 3
#define WORKERS 2
#define NONE 255

/* a task: its state word */
#define QUEUED 0
#define RUNNING 1
#define OVER 2
byte state[ENTRIES];

/* where its entry is */
#define NOWHERE 0
#define IN_LINE 1
#define IN_QUEUE 2
#define IN_HAND 3
byte place[ENTRIES];

/* the strand, under its lock: each operation is one step */
bool busy;
byte line[ENTRIES], n;

bool closing;
byte inside;
byte entered, ran; /* how many have entered; the number of the last that ran, by entering */
byte ticket[ENTRIES];

inline end_unstarted(t) {
  atomic { if :: state[t] == QUEUED -> state[t] = OVER :: else fi }
}

/* mp_leave_strand: whose turn it is now is queued */
inline leave(next) {
  atomic {
    assert(busy);
    if
    :: n > 0 -> next = line[0]; line[0] = line[1]; line[1] = line[2]; n--; place[next] = IN_HAND
    :: else -> busy = false; next = NONE
    fi
  };
  if :: next != NONE -> place[next] = IN_QUEUE :: else fi
}

/* end_late and the first half of mp_cancel_queued: those in line end, without a turn that they would leave */
inline drain_line(t) {
  do
  :: atomic { n > 0 -> t = line[0]; line[0] = line[1]; line[1] = line[2]; n--; place[t] = IN_HAND };
     end_unstarted(t);
     place[t] = NOWHERE
  :: n == 0 -> break
  od
}

inline enter(t, other, turn) {
  atomic {
    entered++;
    ticket[t] = entered;
    if
    :: !busy -> busy = true; place[t] = IN_HAND; turn = true
    :: else -> line[n] = t; n++; place[t] = IN_LINE; turn = false
    fi
  };
  if
  :: turn -> place[t] = IN_QUEUE
  :: else ->
#ifndef BUG_LATE_UNSEEN
    if :: closing -> drain_line(other) :: else fi
#else
    skip
#endif
  fi
}

proctype submitter(byte t) {
  byte other;
  bool turn;
  enter(t, other, turn)
}

active [WORKERS] proctype worker() {
  byte t, next;
end:
  do
  :: atomic {
       if
       :: place[0] == IN_QUEUE -> t = 0
       :: place[1] == IN_QUEUE -> t = 1
       :: place[2] == IN_QUEUE -> t = 2
       fi;
       place[t] = IN_HAND
     };
     if
     :: closing -> end_unstarted(t)
     :: else ->
       atomic { if :: state[t] == QUEUED -> state[t] = RUNNING :: else fi };
       if
       :: state[t] == RUNNING ->
         inside++;
         assert(inside == 1);
         assert(ticket[t] > ran);
         ran = ticket[t];
#ifdef STUCK
         if
         :: t == 0 -> atomic { inside--; state[t] = OVER }; goto stuck /* its shutdown ends it; it never leaves */
         :: else
         fi;
#endif
         inside--;
         state[t] = OVER
       :: else
       fi
     fi;
     place[t] = NOWHERE;
     leave(next)
  od;
#ifdef STUCK
stuck:
  place[t] = NOWHERE;
end_stuck:
  (false)
#endif
}

#ifdef CANCEL
active proctype canceller() {
  byte next;
  if
  :: true ->
    end_unstarted(1);
    /* mp_unqueue_task: from the inbox; what is in a hand or in line stays until it is found */
    if
    :: atomic { state[1] == OVER && place[1] == IN_QUEUE -> place[1] = NOWHERE };
#ifndef BUG_TURN_KEPT
       leave(next)
#else
       skip
#endif
    :: true
    fi
  :: true
  fi
}
#endif

#ifdef SHUTDOWN
active proctype shutdown() {
  byte t, next;
  if :: closing = true :: goto none fi;
#ifndef BUG_LINE_FORGOTTEN
  drain_line(t);
#endif
  do
  :: atomic {
       if
       :: place[0] == IN_QUEUE -> t = 0
       :: place[1] == IN_QUEUE -> t = 1
       :: place[2] == IN_QUEUE -> t = 2
       fi;
       place[t] = IN_HAND
     };
     end_unstarted(t);
     place[t] = NOWHERE;
     leave(next)
  :: place[0] != IN_QUEUE && place[1] != IN_QUEUE && place[2] != IN_QUEUE -> break
  od;
none:
  skip
}
#endif

init {
  atomic { run submitter(0); run submitter(1); run submitter(2) }
}

/* When nothing more happens. */
active proctype judge() {
  timeout;
#ifdef STUCK
  /* without a shutdown, those behind a body that never returns wait for it */
  assert(!closing || (state[0] == OVER && state[1] == OVER && state[2] == OVER && n == 0))
#else
  assert(state[0] == OVER && state[1] == OVER && state[2] == OVER);
  assert(n == 0 && !busy && place[0] == NOWHERE && place[1] == NOWHERE && place[2] == NOWHERE)
#endif
}
