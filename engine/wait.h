/*
** wait.h - the one way in which a thread waits for something of a pool.
**
** What may run on the waiter's stack meanwhile depends on who waits:
**
**   a worker              the very task it waits for, if that is queued still and nothing else can
**                         end the wait, and pieces: of that
**                         task, or of the work it has forked itself. Else it gives its seat away.
**   the owner, works,     the same, and other tasks, but none of lower priority than what it waits
**   outside of any task   for. It has no seat to give.
**   the owner in a task   as a worker, without a seat
**   any other thread      nothing; a worker of another pool gives its seat there away
**
** Whatever runs there does so because the waiter needs it, so it cannot wait for what lies below it
** on the stack, unless everything waits in a circle, which is an error (MP_CYCLE). Only while stack
** is left, and without a deadline, which it might overrun. When no replacement can be had and
** nobody else runs, or when the pool's threads end, a worker runs whatever it finds: there is no
** better way.
*/
#ifndef MP_WAIT_H
#define MP_WAIT_H

#include "task.h"

/* What is waited for: the first of these that is set and has happened ends the wait. */
typedef struct mp_wait_for {
  mp_task *const *tasks; /* one of them is terminal; NULL entries are skipped */
  size_t n;
  mp_mailbox *mailbox;    /* it has messages, or has had since the wait began */
  mp_atomic_u32 *word;    /* a completion word is MP_JOB_DONE */
  uintptr_t group;        /* of the pieces that complete the word */
  mp_atomic_uptr *runner; /* or NULL: the group of what its job forks; 0 or `group`: unknown */
  mp_pool *room;          /* it has room for a task of room_bytes, or closes */
  size_t room_bytes;
  bool (*check)(mp_pool *pool); /* it says so; a change is signalled at mp_quiet_key */
  bool stoppable;       /* `cancellable`, or everything if NULL, is asked to stop: MP_CANCELLED */
  mp_task *cancellable; /* it is asked to stop: MP_CANCELLED */
  bool works;           /* the owner works meanwhile though owner_works is 0 */
  bool keeps_seat;      /* a worker sleeps in its seat */
  bool everything;      /* any work of the pool may run on the owner's stack, if it works */
  bool through_signals; /* a signal handler that runs does not end the wait */
} mp_wait_for;

/*
** Waits. *index: which task; n for anything else. Errors: TIMEOUT, INTERRUPTED, CANCELLED, FORKED,
** CYCLE (what is waited for lies below on this stack), NOTHREAD (nobody runs, and this stack is
** used up), SHUTDOWN (mail that nobody sends any more).
*/
MP_CHECKED mp_status mp_wait_until(mp_pool *pool, const mp_wait_for *what, uint64_t deadline,
                                   size_t *index);

/*
** A completion word says whether some work is over and whether somebody sleeps until it is. Whoever
** completes it swaps in DONE and never touches the word again, because the waiter may free its
** memory at once.
*/
enum { MP_JOB_PENDING, MP_JOB_DONE, MP_JOB_WAITED };

/* Any thread; once per word. */
static inline void mp_job_complete(mp_pool *pool, mp_atomic_u32 *word) {
  /* release: publishes the work; pairs with the acquire by who waits */
  uint32_t before = mp_swap_acq_rel(word, MP_JOB_DONE);
  assert(before != MP_JOB_DONE);
  if (before == MP_JOB_WAITED) mp_waitlist_signal(&pool->waitlist, (const void *)word);
}
static inline bool mp_job_is_done(mp_atomic_u32 *word) {
  return mp_load_acquire(word) == MP_JOB_DONE;
}

#endif
