/*
** bug.h - deliberate mistakes, one to a build, to see that the tests find them: make bugs builds
** each with -DMP_BUG=n and fails if one goes unnoticed. A test that nobody has seen fail proves
** nothing.
**
** Where the mistake would be made stands MP_BUGGY(NAME). It is constant false without MP_BUG:
** nothing of it is in a normal build.
*/
#ifndef MP_BUG_H
#define MP_BUG_H

/* X(n, NAME, what is wrong) */
#define MP_BUG_MAP(X) \
  X(1, NO_RECHECK, "a worker goes to sleep without another look at the queues") \
  X(2, RETRACT_FORGETS, "who calls its sleep off does not count as a searcher again") \
  X(3, NOTIFY_FIRST, "sleepers are looked for before the work can be seen") \
  X(4, POP_TAKES_LAST, "the owner takes the last job without racing the thieves for it") \
  X(5, JOIN_READ_AGAIN, "the join counter is read after the decrement") \
  X(6, FAILURE_STAYS, "a failed dependency starts its dependents") \
  X(7, CAUSE_AFTER_END, "a dependent's failure is published before its cause") \
  X(8, DROP_AFTER_END, "the argument is dropped after the end is published") \
  X(9, TOLD_TOO_SOON, "a listener that comes late is told at once, be there an end or not") \
  X(10, END_CHECKED_THEN_SET, "a task is ended by check-then-set") \
  X(11, FLAGS_LOST, "a task that starts forgets who waits for it") \
  X(12, SEEN_TOO_LATE, "a waiter looks at its condition before it notes the event") \
  X(13, DROP_TWICE, "the argument is dropped again with the task") \
  X(14, DROP_NEVER, "the argument of a task that never ran is not dropped") \
  X(15, TIMER_STAYS, "a task that ends leaves its deadline armed") \
  X(16, TIMER_SLEEPS_ON, "an earlier deadline does not wake the timer") \
  X(17, ASKED_AFTER_END, "a deadline asks the body to stop after it has looked for it") \
  X(18, SENT_ONCE, "an interrupt is not sent again") \
  X(19, NOT_WATCHED, "a worker lets go of its task while somebody looks at it") \
  X(20, NEVER_BACK, "a worker that was set aside does not come back") \
  X(21, UNBLOCK_FORGETS, "a worker that waited does not count as running again") \
  X(22, SLEEP_UNSEEN, "a cancel does not wake a sleeping task") \
  X(23, ROOM_KEPT, "a submission that fails keeps its room") \
  X(24, ROOM_CHECKED_THEN_TAKEN, "a limit is looked at, then taken from") \
  X(25, LOW_STARVES, "the lowest level waits for all others") \
  X(26, DRAIN_FORGETS, "a shutdown forgets what is queued at other priorities") \
  X(27, QUIET_BACKWARDS, "submissions are counted before what has settled") \
  X(28, CLOSE_FORGETS, "a mailbox that closes forgets its messages") \
  X(29, PROGRESS_AFTER_END, "progress on its way is delivered after the end") \
  X(30, LIMIT_FORGIVES, "a task that has caught the error of its memory limit goes on") \
  X(31, HOOK_FROM_START, "every state has a hook from the start") \
  X(32, COROUTINE_UNSEEN, "an interrupt does not find the coroutine that runs") \
  X(33, STATE_KEPT, "the state of a task that was made to go is used again") \
  X(34, LIMIT_FROM_ZERO, "a task's memory limit counts what was there before it") \
  X(35, IDENTITY_KEPT, "the encoder remembers what it has taken back") \
  X(36, COUNT_TRUSTED, "the decoder makes room for as many as the message claims") \
  X(37, UPVALUES_APART, "functions that share an upvalue do not share it after the journey") \
  X(38, OWN_TASK_KEPT, "a result that holds its own handle keeps its task for ever") \
  X(39, CALLED_AGAIN, "a callback is called for every later registration too") \
  X(40, HANDLES_KEPT, "dropped handles keep their tasks") \
  X(41, CANCEL_LIES, "cancel says yes because it has asked") \
  X(42, EXCLUSIVE_GUESSED, \
    "a worker changes a task without locked instructions though there is a handle") \
  X(43, OWN_STARVES, "a worker that feeds itself leaves the oldest of its deque there") \
  X(44, LOOP_STAYS, "a loop keeps its workers until it is over, whatever waits") \
  X(45, HELPS_ANYBODY, "a worker that joins runs whatever its deque has") \
  X(46, CANCELLED_STAYS, "a cancelled task stays in its queue") \
  X(47, ASKED_BEFORE_END, "a deadline asks the body to stop before it has ended the task") \
  X(48, MAIL_UNHEARD, "messages for a worker that sleeps wait until it has work") \
  X(49, SLEEP_UNMARKED, "a cancel does not wake a suspended task") \
  X(50, HAND_FORGOTTEN, "a shutdown forgets what a thread has in hand, in no queue and no body") \
  X(51, STRAND_OPEN, "a strand lets in whoever comes") \
  X(52, TURN_KEPT, "a cancelled task keeps its turn on its strand")

enum {
#define MP_BUG_ENUM(n, name, text) MP_BUG_##name = n,
  MP_BUG_MAP(MP_BUG_ENUM)
#undef MP_BUG_ENUM
};

#if defined(MP_BUG)
#define MP_BUGGY(name) (MP_BUG == MP_BUG_##name)
#else
#define MP_BUGGY(name) 0
#endif

/*
** For a mistake that opens a race: what is nanoseconds wide becomes microseconds, so that a second
** of testing stands for an hour.
*/
#define MP_BUG_GAP(name) \
  do \
    for (int mp_bug_i = 0; MP_BUGGY(name) && mp_bug_i < 100; mp_bug_i++) mp_pause(); \
  while (0)

#endif
