#include "inbox.h"

#include <assert.h>
#include <string.h>

mp_status mp_inbox_init(mp_inbox *inbox) {
  memset(inbox, 0, sizeof *inbox);
  return mp_lock_init(&inbox->lock);
}

void mp_inbox_close(mp_inbox *inbox) { mp_lock_close(&inbox->lock); }

void mp_inbox_push(mp_inbox *inbox, mp_job *head, mp_job *tail, size_t n) {
  tail->next = NULL;
  mp_lock_take(&inbox->lock);
  if (inbox->tail != NULL)
    inbox->tail->next = head;
  else
    inbox->head = head;
  inbox->tail = tail;
  mp_add_seq(&inbox->normal, n);
  mp_lock_give(&inbox->lock);
}

void mp_inbox_push_ordered(mp_inbox *inbox, mp_job *job, mp_order *order, int priority) {
  assert(priority != 0);
  mp_level level = priority > 0 ? MP_LEVEL_HIGH : MP_LEVEL_LOW;
  order->job = job;
  mp_lock_take(&inbox->lock);
  mp_heap_push(&inbox->side[level], &order->node, -(int64_t)priority);
  mp_add_seq(&inbox->ordered[level], 1);
  mp_lock_give(&inbox->lock);
}

size_t mp_inbox_grab(mp_inbox *inbox, mp_job **jobs, size_t max, size_t workers) {
  assert(max <= MP_GRAB_MAX);
  if (mp_inbox_seems_empty(inbox, MP_LEVEL_NORMAL)) return 0;
  mp_lock_take(&inbox->lock);
  size_t share = mp_load_relaxed(&inbox->normal) / workers + 1;
  if (share > max) share = max;
  size_t n = 0;
  mp_job *job = inbox->head;
  for (; n < share && job != NULL; job = job->next) {
    mp_prefetch(job);
    mp_prefetch((char *)job + 64); /* a task is twice that */
    jobs[n++] = job;
  }
  inbox->head = job;
  if (job == NULL) inbox->tail = NULL;
  mp_sub_relaxed(&inbox->normal, n);
  mp_lock_give(&inbox->lock);
  return n;
}

mp_job *mp_inbox_pop_ordered_slow(mp_inbox *inbox, mp_level level) {
  mp_lock_take(&inbox->lock);
  mp_heap_node *node = mp_heap_pop(&inbox->side[level]);
  if (node != NULL) mp_sub_relaxed(&inbox->ordered[level], 1);
  mp_lock_give(&inbox->lock);
  return node == NULL ? NULL : ((mp_order *)node)->job;
}
