#include "inbox.h"

#include <assert.h>
#include <string.h>

mp_status mp_inbox_init(mp_inbox *inbox) {
  memset(inbox, 0, sizeof *inbox);
  inbox->ring.next = inbox->ring.prev = &inbox->ring;
  return mp_lock_init(&inbox->lock);
}

void mp_inbox_close(mp_inbox *inbox) {
  assert(mp_load_relaxed(&inbox->normal) == 0);
  mp_lock_close(&inbox->lock);
}

/* Gives the entries of a chain their way back, but for the first. */
static void link_back(mp_entry *first, const mp_entry *last) {
  for (mp_entry *entry = first; entry != last; entry = entry->next) entry->next->prev = entry;
}

/* Puts a chain into the ring behind `before`. */
static void splice_locked(mp_inbox *inbox, mp_entry *before, mp_entry *first, mp_entry *last,
                          size_t n) MP_HOLDS(inbox->lock) {
  mp_entry *after = before->next;
  first->prev = before;
  before->next = first;
  last->next = after;
  after->prev = last;
  mp_add_seq(&inbox->normal, n);
}

void mp_inbox_push(mp_inbox *inbox, mp_entry *first, mp_entry *last, size_t n) {
  link_back(first, last); /* before the lock: nobody else knows them yet */
  mp_lock_take(&inbox->lock);
  splice_locked(inbox, inbox->ring.prev, first, last, n);
  mp_lock_give(&inbox->lock);
}

void mp_inbox_push_front(mp_inbox *inbox, mp_entry *first, mp_entry *last, size_t n) {
  mp_lock_take(&inbox->lock);
  link_back(first, last); /* under it: whoever cancels one of them takes it out by its `prev` */
  splice_locked(inbox, &inbox->ring, first, last, n);
  mp_lock_give(&inbox->lock);
}

void mp_inbox_push_ordered(mp_inbox *inbox, mp_entry *entry, mp_order *order, int priority) {
  assert(priority != 0);
  mp_level level = mp_level_of(priority);
  mp_lock_take(&inbox->lock);
  order->entry = entry;
  mp_heap_push(&inbox->side[level], &order->node, -(int64_t)priority);
  mp_add_seq(&inbox->ordered[level], 1);
  mp_lock_give(&inbox->lock);
}

size_t mp_inbox_grab(mp_inbox *inbox, mp_entry **entries, size_t max, size_t workers) {
  assert(max <= MP_GRAB_MAX);
  if (mp_inbox_seems_empty(inbox, MP_LEVEL_NORMAL)) return 0;
  mp_lock_take(&inbox->lock);
  size_t share = mp_load_relaxed(&inbox->normal) / workers + 1;
  if (share > max) share = max;
  size_t n = 0;
  mp_entry *entry = inbox->ring.next;
  while (n < share && entry != &inbox->ring) {
    mp_entry *next = entry->next;
    mp_prefetch(next);
    mp_prefetch((char *)entry + 64); /* a task is twice that */
    entry->prev = NULL;
    entries[n++] = entry;
    entry = next;
  }
  inbox->ring.next = entry;
  entry->prev = &inbox->ring;
  assert(n <= mp_load_relaxed(&inbox->normal));
  mp_sub_relaxed(&inbox->normal, n);
  mp_lock_give(&inbox->lock);
  return n;
}

mp_entry *mp_inbox_pop_ordered_slow(mp_inbox *inbox, mp_level level, int floor) {
  mp_entry *entry = NULL;
  mp_lock_take(&inbox->lock);
  mp_heap_node *node = mp_heap_peek(&inbox->side[level]);
  if (node != NULL && node->key <= -(int64_t)floor) {
    mp_order *order = (mp_order *)mp_heap_pop(&inbox->side[level]);
    entry = order->entry;
    assert(entry != NULL);
    order->entry = NULL;
    mp_sub_relaxed(&inbox->ordered[level], 1);
  }
  mp_lock_give(&inbox->lock);
  return entry;
}

bool mp_inbox_has_at_least(mp_inbox *inbox, mp_level level, int floor) {
  if (mp_inbox_count(inbox, level) == 0) return false;
  mp_lock_take(&inbox->lock);
  const mp_heap_node *first = mp_heap_peek(&inbox->side[level]);
  bool has = first != NULL && first->key <= -(int64_t)floor;
  mp_lock_give(&inbox->lock);
  return has;
}

static bool remove_normal_locked(mp_inbox *inbox, mp_entry *entry) MP_HOLDS(inbox->lock) {
  if (entry->prev == NULL) return false;
  entry->prev->next = entry->next;
  entry->next->prev = entry->prev;
  entry->prev = NULL;
  mp_sub_relaxed(&inbox->normal, 1);
  return true;
}

static bool remove_ordered_locked(mp_inbox *inbox, mp_order *order) MP_HOLDS(inbox->lock) {
  if (order->entry == NULL) return false;
  mp_level level = mp_level_of((int)-order->node.key);
  order->entry = NULL;
  mp_heap_remove(&inbox->side[level], &order->node);
  mp_sub_relaxed(&inbox->ordered[level], 1);
  return true;
}

bool mp_inbox_remove(mp_inbox *inbox, mp_entry *entry, mp_order *order) {
  mp_lock_take(&inbox->lock);
  bool removed =
      order == NULL ? remove_normal_locked(inbox, entry) : remove_ordered_locked(inbox, order);
  mp_lock_give(&inbox->lock);
  return removed;
}
