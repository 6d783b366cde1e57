#include "mailbox.h"

#include <assert.h>
#include <string.h>

#include "bug.h"

mp_status mp_mailbox_open(mp_mailboxes *shared, mp_worker *home, mp_mailbox **mailbox) {
  mp_mailbox *box = mp_alloc_zeroed(shared->alloc, sizeof *box);
  if (box == NULL) return MP_NOMEM;
  mp_status status = mp_os_mutex_init(&box->lock);
  if (status != MP_OK) {
    mp_alloc_free(shared->alloc, box, sizeof *box);
    return status;
  }
  box->shared = shared;
  box->home = home;
  box->fd.read_fd = box->fd.write_fd = -1;
  atomic_init(&box->references, 1);
  *mailbox = box;
  return MP_OK;
}

void mp_mailbox_retain(mp_mailbox *mailbox) {
  uint32_t before = mp_add_relaxed(&mailbox->references, 1);
  assert(before > 0 && before < UINT32_MAX);
  (void)before;
}

void mp_mailbox_release(mp_mailbox *mailbox) {
  /* acq_rel: all use is over before the memory goes */
  uint32_t before = mp_sub_acq_rel(&mailbox->references, 1);
  assert(before > 0);
  if (before != 1) return;
  assert(mailbox->head == NULL);
  mp_mailboxes *shared = mailbox->shared;
  mp_os_event_fd_close(&mailbox->fd);
  mp_os_mutex_close(&mailbox->lock);
  mp_alloc_free(shared->alloc, mailbox, sizeof *mailbox);
  if (shared->last_gone != NULL) shared->last_gone(shared->last_gone_ud);
}

static void append_locked(mp_mailbox *mailbox, mp_message *message) MP_HOLDS(&mailbox->lock) {
  assert((mailbox->head == NULL) == (mailbox->tail == NULL) && !mailbox->closed);
  assert((mailbox->head == NULL) == (mp_load_relaxed(&mailbox->count) == 0));
  message->next = NULL;
  if (mailbox->tail != NULL)
    mailbox->tail->next = message;
  else
    mailbox->head = message;
  mailbox->tail = message;
  if (mp_add_seq(&mailbox->count, 1) == 0 && mailbox->fd.read_fd >= 0)
    mp_os_event_fd_signal(&mailbox->fd);
}

/* After the lock is gone: the poller may be asleep, or live in a host's event loop. */
static void tell_poller(mp_mailbox *mailbox, bool was_empty) {
  mp_mailboxes *shared = mailbox->shared;
  /* count was raised before; pairs with mp_wait_any */
  if (mp_load_seq(&mailbox->awaited) != 0) {
    mp_waitlist_signal(shared->waitlist, mailbox);
    mp_sleepers_wake(shared->sleepers, mailbox);
  }
  if (was_empty && mailbox->home != NULL) shared->tell_home(mailbox->home);
  if (was_empty && shared->wake != NULL) shared->wake(shared->wake_ud);
}

void mp_mailbox_post(mp_mailbox *mailbox, mp_message *message) {
  mp_mailbox_retain(mailbox);
  mp_os_mutex_take(&mailbox->lock);
  bool closed = mailbox->closed, was_empty = mailbox->head == NULL;
  if (!closed) append_locked(mailbox, message);
  mp_os_mutex_give(&mailbox->lock);
  if (closed)
    message->deliver(message, true);
  else
    tell_poller(mailbox, was_empty);
  mp_mailbox_release(mailbox);
}

bool mp_mailbox_try_post(mp_mailbox *mailbox, mp_message *message) {
  mp_mailbox_retain(mailbox);
  mp_os_mutex_take(&mailbox->lock);
  bool taken = !mailbox->closed && mp_load_relaxed(&mailbox->count) < mailbox->shared->limit;
  bool was_empty = mailbox->head == NULL;
  if (taken) append_locked(mailbox, message);
  mp_os_mutex_give(&mailbox->lock);
  if (taken)
    tell_poller(mailbox, was_empty);
  else
    mp_add_relaxed(&mailbox->shared->dropped, 1);
  mp_mailbox_release(mailbox);
  return taken;
}

typedef struct letter {
  mp_message message;
  mp_alloc *alloc;
  mp_deliver *deliver;
  void *ud;
  size_t size;
  char data[];
} letter;

static void deliver_letter(mp_message *message, bool discarded) {
  letter *l = (letter *)message;
  if (!discarded) l->deliver(l->ud, l->data, l->size);
  mp_alloc_free(l->alloc, l, sizeof *l + l->size);
}

mp_status mp_mailbox_send(mp_mailbox *mailbox, mp_deliver *deliver, void *ud, const void *data,
                          size_t size) {
  if (mp_mailbox_forked(mailbox)) return MP_FORKED;
  if (size > SIZE_MAX - sizeof(letter)) return MP_NOMEM;
  letter *l = mp_alloc_get(mailbox->shared->alloc, sizeof *l + size);
  if (l == NULL) return MP_NOMEM;
  *l = (letter){{NULL, deliver_letter}, mailbox->shared->alloc, deliver, ud, size};
  if (size > 0) memcpy(l->data, data, size);
  if (mp_mailbox_try_post(mailbox, &l->message)) return MP_OK;
  deliver_letter(&l->message, true);
  return MP_FULL;
}

static mp_message *take(mp_mailbox *mailbox) {
  mp_os_mutex_take(&mailbox->lock);
  mp_message *message = mailbox->head;
  if (message != NULL) {
    mailbox->head = message->next;
    if (mailbox->head == NULL) mailbox->tail = NULL;
    mp_store_relaxed(&mailbox->taken, mp_load_relaxed(&mailbox->taken) + 1);
    if (mp_sub_seq(&mailbox->count, 1) == 1 && mailbox->fd.read_fd >= 0)
      mp_os_event_fd_clear(&mailbox->fd);
  }
  mp_os_mutex_give(&mailbox->lock);
  return message;
}

size_t mp_mailbox_poll(mp_mailbox *mailbox, uint64_t budget_ns, size_t max, size_t *left) {
  size_t delivered = 0;
  if (mp_load_relaxed(&mailbox->count) != 0 && !mp_mailbox_forked(mailbox)) {
    uint64_t deadline = mp_os_deadline(budget_ns);
    mp_mailbox_retain(mailbox); /* a callback may close it */
    while (max == 0 || delivered < max) {
      mp_message *message = take(mailbox);
      if (message == NULL) break;
      message->deliver(message, false);
      delivered++;
      if (deadline != MP_FOREVER && mp_os_now() >= deadline) break;
    }
    if (left != NULL) *left = mp_load_relaxed(&mailbox->count);
    mp_mailbox_release(mailbox);
  } else if (left != NULL) {
    *left = 0;
  }
  return delivered;
}

size_t mp_mailbox_count(mp_mailbox *mailbox) { return mp_load_seq(&mailbox->count); }

mp_status mp_mailbox_fd(mp_mailbox *mailbox, int *fd) {
  mp_status status = MP_OK;
  if (mp_mailbox_forked(mailbox)) return MP_FORKED;
  mp_os_mutex_take(&mailbox->lock);
  if (mailbox->fd.read_fd < 0) {
    status = mp_os_event_fd_open(&mailbox->fd);
    if (status == MP_OK && mailbox->head != NULL) mp_os_event_fd_signal(&mailbox->fd);
  }
  if (status == MP_OK) *fd = mailbox->fd.read_fd;
  mp_os_mutex_give(&mailbox->lock);
  return status;
}

void mp_mailbox_close(mp_mailbox *mailbox) {
  if (mailbox == NULL || mp_mailbox_forked(mailbox)) return;
  mp_os_mutex_take(&mailbox->lock);
  mp_message *message = MP_BUGGY(CLOSE_FORGETS) ? NULL : mailbox->head;
  mailbox->head = mailbox->tail = NULL;
  mailbox->closed = true;
  mp_store_seq(&mailbox->count, 0);
  mp_os_mutex_give(&mailbox->lock);
  while (message != NULL) {
    mp_message *next = message->next;
    message->deliver(message, true);
    message = next;
  }
  mp_mailbox_release(mailbox);
}
