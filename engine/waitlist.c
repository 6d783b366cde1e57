#include "waitlist.h"

#include <assert.h>
#include <string.h>

#define WAKE_AT_ONCE 32 /* sleepers that a pass over the list collects */

mp_status mp_waitlist_init(mp_waitlist *list) {
  memset(list, 0, sizeof *list);
  return mp_lock_init(&list->lock);
}

/* Nobody else has the list any more. */
void mp_waitlist_close(mp_waitlist *list) MP_UNCHECKED {
  assert(list->first == NULL);
  mp_lock_close(&list->lock);
}

void mp_waitlist_join(mp_waitlist *list, mp_waiter *waiter) {
  mp_lock_take(&list->lock);
  waiter->prev = NULL;
  waiter->next = list->first;
  if (list->first != NULL) list->first->prev = waiter;
  list->first = waiter;
  mp_lock_give(&list->lock);
}

void mp_waitlist_leave(mp_waitlist *list, mp_waiter *waiter) {
  mp_lock_take(&list->lock);
  assert(waiter->prev != NULL || list->first == waiter);
  if (waiter->prev != NULL)
    waiter->prev->next = waiter->next;
  else
    list->first = waiter->next;
  if (waiter->next != NULL) waiter->next->prev = waiter->prev;
  mp_lock_give(&list->lock);
}

/*
** A token is posted under the lock, for the waiter may be gone behind it; the kernel is called
** after it, with addresses only, so that whoever is woken does not run into the lock
** (mp_os_gate_wake_one says what makes that sound). A waiter that has a token already was woken
** before.
*/
static unsigned post_some(mp_waitlist *list, const void *key, mp_os_gate *woken[WAKE_AT_ONCE]) {
  unsigned n = 0;
  mp_lock_take(&list->lock);
  for (mp_waiter *waiter = list->first; waiter != NULL && n < WAKE_AT_ONCE; waiter = waiter->next) {
    if (key != NULL && !waiter->concerns(waiter, key)) continue;
    /* acq_rel: what was made true is seen by whoever takes the token */
    if (mp_swap_acq_rel(&waiter->parker->gate.word, 1) != 0) continue;
    woken[n++] = &waiter->parker->gate;
    if (!MP_OS_WAKE_MAY_BE_LATE) mp_os_gate_wake_one(woken[n - 1]);
  }
  mp_lock_give(&list->lock);
  return n;
}

void mp_waitlist_signal(mp_waitlist *list, const void *key) {
  mp_os_gate *woken[WAKE_AT_ONCE];
  unsigned n;
  do {
    n = post_some(list, key, woken);
    for (unsigned i = 0; i < n && MP_OS_WAKE_MAY_BE_LATE; i++) mp_os_gate_wake_one(woken[i]);
  } while (n == WAKE_AT_ONCE);
}
