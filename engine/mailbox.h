/*
** mailbox.h - the message queue to one polling thread: many post, one polls.
**
**   beside ->   post   poll   close   count, fd
**   post         ok     ok     ok       ok
**   poll         ok     -      -        ok       poll, close: the polling thread only
**
** A message brings its own memory, so posting news of a task's end cannot fail. Progress is
** bounded: past `limit` it is refused. Counted by reference: messages on their way keep the mailbox
** alive after its close.
*/
#ifndef MP_MAILBOX_H
#define MP_MAILBOX_H

#include <stdbool.h>

#include "alloc.h"
#include "atomic.h"
#include "sleepers.h"
#include "waitlist.h"

typedef struct mp_message mp_message;
struct mp_message {
  mp_message *next;
  /*
  ** Runs the message on the polling thread, or with discarded = true only frees it, on any thread.
  ** Exactly once.
  */
  void (*deliver)(mp_message *message, bool discarded);
};

/* What all mailboxes of a pool share. */
typedef struct mp_mailboxes {
  mp_alloc *alloc;
  const mp_os_fork_guard *fork_guard;
  mp_waitlist *waitlist;  /* signalled when a mailbox that is awaited receives */
  mp_sleepers *sleepers;  /* woken likewise */
  void (*wake)(void *ud); /* the host's hook; may be NULL */
  void *wake_ud;
  void (*tell_home)(mp_worker *home); /* it has messages, if it had none */
  size_t limit;
  _Atomic uint64_t dropped;
  /* called when a mailbox is freed, for whoever keeps the host alive */
  void (*last_gone)(void *ud);
  void *last_gone_ud;
} mp_mailboxes;

struct mp_mailbox {
  mp_mailboxes *shared; /* constant */
  mp_worker *home;      /* constant: the worker that created it, or NULL */
  _Atomic uint32_t references;
  _Atomic uint32_t awaited; /* the polling thread sleeps for this mailbox */
  mp_os_mutex lock;
  mp_message *head MP_GUARDED_BY(lock), *tail MP_GUARDED_BY(lock);
  mp_os_event_fd fd MP_GUARDED_BY(lock); /* open once asked for */
  bool closed MP_GUARDED_BY(lock);
  _Atomic size_t count;   /* atomic, written under lock; head == NULL when 0, and only then */
  _Atomic uint64_t taken; /* messages ever taken out; written under lock */
};

/*
** After fork the lock may be held by a thread that does not exist in the child: there nobody
** touches a mailbox.
*/
static inline bool mp_mailbox_forked(const mp_mailbox *mailbox) {
  return !mp_os_fork_guard_ok(mailbox->shared->fork_guard);
}

MP_CHECKED mp_status mp_mailbox_open(mp_mailboxes *shared, mp_worker *home, mp_mailbox **mailbox);
void mp_mailbox_retain(mp_mailbox *mailbox);
void mp_mailbox_release(mp_mailbox *mailbox);

/* Never fails: a closed mailbox discards. Any thread. */
void mp_mailbox_post(mp_mailbox *mailbox, mp_message *message);
/* False, and the message stays the caller's, when the mailbox is full or closed. */
MP_CHECKED bool mp_mailbox_try_post(mp_mailbox *mailbox, mp_message *message);

#endif
