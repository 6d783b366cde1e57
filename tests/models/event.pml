/*
** The event count, and a mailbox that is awaited by it: posters, a thread that waits for messages, another that waits for a condition.
** Mirrors event.h, mp_mailbox_post, tell_poller, take (mailbox.c), ready, sleep_until_ready (wait.c).
**
** Holds: nobody sleeps for ever on what has happened; each message is taken once; a wait that began before news came ends, though a
** task that ran in place meanwhile has taken the news; a deadline or a signal handler ends a wait early and breaks nothing.
**
** check: safety
** check: safety -DHELPER
** check: safety -DINTERRUPTED
*/
#define POSTERS 2
#define WAITERS 2
#define POLLER 0
#define WATCHER 1
#include "event.inc"

byte condition; /* what the watcher waits for: becomes 1 */
/* the mailbox: count and taken are written under its lock */
byte count, taken, awaited;
byte received;
bool interrupted;

inline take() { atomic { if :: count > 0 -> count--; taken++; received++ :: else fi } }

inline tell_poller() { if :: awaited != 0 -> event_signal() :: else fi }

proctype Poster() {
#ifdef BUG_TELL_BEFORE_POST
  tell_poller();
  count++
#else
  count++;
  tell_poller()
#endif
}

proctype Changer() {
#ifdef BUG_SIGNAL_FIRST
  event_signal();
  condition = 1
#else
  condition = 1;
  event_signal()
#endif
}

#ifdef BUG_NO_TAKEN
#define news() (count > 0)
#else
#define news() (count > 0 || taken != taken_before)
#endif

/* wait_on_worker with a mailbox, then mp_mailbox_poll; again until all messages have come. */
proctype Poller() {
  byte seen, taken_before;
  do
  :: received == POSTERS -> break
  :: else ->
    taken_before = taken;
#ifdef HELPER
    take(); /* what it ran in place polled the same mailbox */
#endif
#ifndef BUG_AWAIT_AFTER_LOOK
    awaited++;
#endif
    do
    ::
#ifdef BUG_SEEN_AFTER_LOOK
      if :: news() -> break :: else fi;
      seen = gate;
      event_wait(POLLER, seen)
#else
      seen = gate;
      if
      :: news() -> break
      :: else ->
#ifdef BUG_AWAIT_AFTER_LOOK
        awaited++;
        event_wait(POLLER, seen);
        awaited--
#else
        event_wait(POLLER, seen);
        if :: interrupted && !news() -> interrupted = false; break :: else fi
#endif
      fi
#endif
    od;
#ifndef BUG_AWAIT_AFTER_LOOK
    awaited--;
#endif
    take()
  od
}

proctype Watcher() {
  byte seen;
  do
  :: seen = gate; if :: condition == 1 -> break :: else -> event_wait(WATCHER, seen) fi
  od
}

#ifdef INTERRUPTED
/* A signal handler ran on the poller, or its deadline has passed: the kernel lets it go. */
proctype Interrupter() {
  if
  :: atomic { asleep[POLLER] -> asleep[POLLER] = false; interrupted = true }
  :: received == POSTERS
  fi
}
#endif

init {
  atomic {
    run Poster(); run Poster(); run Changer(); run Poller(); run Watcher();
#ifdef INTERRUPTED
    run Interrupter()
#endif
  };
  _nr_pr == 1;
  assert(sleepers == 0 && awaited == 0)
}
