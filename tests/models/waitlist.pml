/*
** The list of those who wait, and two things that are waited for: messages in a mailbox, and a word that an end changes.
** Mirrors mp_waitlist_join, mp_waitlist_leave, post_some, mp_waitlist_signal (waitlist.c), enlist, delist, is_ready, has_mail, sleep_unseated,
** wait_through (wait.c), mp_park_sleep_unless without a park, take_token (park.c), mp_mailbox_post, tell_poller, take (mailbox.c),
** mp_job_complete (wait.h).
**
** Holds: nobody sleeps for ever on what has happened; each message is taken once; a wait that began before news came ends, though what
** ran on its stack meanwhile has taken the news; a deadline or a signal handler ends a wait early and breaks nothing; nobody touches
** a waiter that is gone.
**
** AT_ONCE is how many sleepers a pass over the list collects. A waiter's place in memory is used again, so the kernel may wake the wrong one.
**
** check: safety -DPOSTERS=0 -DWATCHERS=2 -DAT_ONCE=1
** check: safety -DPOSTERS=2 -DWATCHERS=0 -DAT_ONCE=2 -DHELPER : BUG_MARK_AFTER_LOOK BUG_NO_TAKEN BUG_TELL_BEFORE_POST
** check: safety -DPOSTERS=2 -DWATCHERS=0 -DAT_ONCE=2 -DINTERRUPTED
** check: safety -DPOSTERS=1 -DWATCHERS=0 -DAT_ONCE=2 -DNESTED : BUG_NO_LOOK_AFTER_RUNNING
** check: safety -DPOSTERS=2 -DWATCHERS=0 -DAT_ONCE=2
** check: safety -DPOSTERS=2 -DWATCHERS=1 -DAT_ONCE=2
*/
#define WAITERS 3
#define POLLER 0
#define WATCHER 1
/* keys */
#define MAIL 1
#define WORD 2

#define NOBODY 7

/* The list. */
bool locked;
bool listed[WAITERS];
bool there[WAITERS];  /* the waiter's memory is its own */
byte key_of[WAITERS]; /* what it waits for: bits */
/* The parkers: token is parker.gate.word. */
bool token[WAITERS], asleep[WAITERS];

/* The word: waited and over change in one step. */
bool over, waited;
/* The mailbox; count and taken are written under its lock. */
byte count, taken, awaited;
byte received;
bool interrupted;

#define take_lock() atomic { !locked -> locked = true }

/* post_some, mp_waitlist_signal */
inline signal(key) {
  do
  ::
    take_lock();
    n = 0; k = 0;
    do
    :: k < WAITERS && n < AT_ONCE ->
      if
      :: listed[k] && (key_of[k] & key) ->
#ifdef BUG_TOKEN_AFTER_UNLOCK
        woken[n] = k; n++
#else
        atomic {
          assert(there[k]);
          if :: !token[k] -> token[k] = true; woken[n] = k; n++ :: else fi
        }
#endif
      :: else
      fi;
      k++
    :: else -> break
    od;
    locked = false;
    /* the kernel is called with addresses only */
    k = 0;
    do
    :: k < n ->
#ifdef BUG_TOKEN_AFTER_UNLOCK
      assert(there[woken[k]]); token[woken[k]] = true;
#endif
      asleep[woken[k]] = false;
      woken[k] = 0;
      k++
    :: else -> break
    od;
#ifdef BUG_ONE_PASS
    break
#else
    if :: n < AT_ONCE -> break :: else fi
#endif
  od;
  n = 0; k = 0
}

inline join(me, what) { take_lock(); d_step { key_of[me] = what; listed[me] = true; locked = false } }

inline leave(me) {
#ifdef BUG_LEAVE_WITHOUT_LOCK
  listed[me] = false;
#else
  take_lock();
  d_step { listed[me] = false; locked = false };
#endif
  there[me] = false
}

/* mp_park_sleep_unless(NULL, ...) */
inline sleep_unless(me, ready) {
  token[me] = false;
  if
  :: ready -> skip
  :: else ->
    do
    :: token[me] -> token[me] = false; break /* take_token */
    :: else ->
      atomic { asleep[me] = !token[me] }; /* the kernel compares and sleeps in one step */
      !asleep[me];
      if :: me == POLLER && interrupted -> break :: else fi
    od
  fi
}

proctype Poster() {
  byte k, n, woken[2];
#ifdef BUG_TELL_BEFORE_POST
  if :: awaited != 0 -> signal(MAIL) :: else fi;
  count++
#else
  count++;
  if :: awaited != 0 -> signal(MAIL) :: else fi /* tell_poller */
#endif
}

/* Whoever ends it looks for the mark in the same change. */
proctype Ender() {
  byte k, n, woken[2];
  bool was_waited;
#ifdef BUG_SIGNAL_BEFORE_CHANGE
  was_waited = waited;
  if :: was_waited -> signal(WORD) :: else fi;
  over = true
#else
  atomic { was_waited = waited; over = true };
  if :: was_waited -> signal(WORD) :: else fi
#endif
}

inline take() { atomic { if :: count > 0 -> count--; taken++; received++ :: else fi } }

#ifdef BUG_NO_TAKEN
#define news() (count > 0)
#else
#define news() (count > 0 || taken != taken_before)
#endif

/* Waits until the mailbox has news; again until all messages have come. */
proctype Poller() {
  byte taken_before;
  bool enlisted;
  do
  :: received == POSTERS -> break
  :: else ->
    taken_before = taken;
    there[POLLER] = true;
#ifdef HELPER
    take(); /* what it ran on its stack polled the same mailbox */
#endif
    do
    :: news() -> break
    :: else ->
      if :: interrupted -> interrupted = false; break :: else fi;
      if
      :: !enlisted ->
        enlisted = true;
        join(POLLER, MAIL);
#ifndef BUG_MARK_AFTER_LOOK
        awaited++
#endif
      :: else
      fi;
#ifdef BUG_MARK_AFTER_LOOK
      if :: news() -> break :: else -> awaited = 1; sleep_unless(POLLER, false); awaited = 0 fi
#else
      sleep_unless(POLLER, news())
#endif
    od;
    if
    :: enlisted ->
      leave(POLLER);
#ifndef BUG_MARK_AFTER_LOOK
      awaited--;
#endif
      enlisted = false
    :: else -> there[POLLER] = false
    fi;
    take()
  od
}

/* Waits until the word says so. With NESTED that runs on the stack of another wait, for messages, which uses the same parker. */
proctype Watcher(byte me) {
  bool enlisted;
  there[me] = true;
  do
  :: over -> break
  :: else ->
    if :: !enlisted -> enlisted = true; join(me, WORD); waited = true :: else fi;
    sleep_unless(me, over)
  od;
  if :: enlisted -> leave(me) :: else -> there[me] = false fi
}

#ifdef NESTED
/* It stands in the list twice: for messages, and on top of that for the word. */
proctype Nested() {
  there[WATCHER] = true;
  key_of[WATCHER] = MAIL;
  join(WATCHER, MAIL);
  awaited++;
  /* what runs on top */
  join(WATCHER, MAIL + WORD);
  waited = true;
  do
  :: over -> break
  :: else -> sleep_unless(WATCHER, over)
  od;
  join(WATCHER, MAIL); /* the inner one leaves */
  do
#ifdef BUG_NO_LOOK_AFTER_RUNNING
  :: true ->
    if :: count + taken > 0 -> skip :: else fi;
    atomic { asleep[WATCHER] = !token[WATCHER] };
    !asleep[WATCHER];
    break
#else
  :: count + taken > 0 -> break
  :: else -> sleep_unless(WATCHER, (count + taken > 0))
#endif
  od;
  leave(WATCHER);
  awaited--
}
#endif

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
  byte i;
  atomic {
    do :: i < POSTERS -> run Poster(); i++ :: else -> break od;
    i = 0;
    do :: i < WATCHERS -> run Watcher(WATCHER + i); i++ :: else -> break od;
    i = 0;
#if WATCHERS > 0 || defined(NESTED)
    run Ender();
#endif
#ifdef NESTED
    run Nested();
#elif POSTERS > 0
    run Poller();
#endif
#ifdef INTERRUPTED
    run Interrupter()
#endif
  };
  _nr_pr == 1;
  assert(!locked && awaited == 0 && !listed[0] && !listed[1] && !listed[2])
}
