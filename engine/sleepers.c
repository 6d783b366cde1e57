#include "sleepers.h"

#include <assert.h>
#include <string.h>

#include "bug.h"

#define SIZE_FIRST 64
#define WAKE_AT_ONCE ((size_t)64) /* collected under the lock at a time */

mp_status mp_sleepers_init(mp_sleepers *s, mp_alloc *alloc) MP_UNCHECKED {
  s->alloc = alloc;
  return mp_lock_init(&s->lock);
}

void mp_sleepers_close(mp_sleepers *s) MP_UNCHECKED {
  assert(s->first == NULL && s->links == 0);
  mp_alloc_free(s->alloc, s->buckets, s->size * sizeof *s->buckets);
  mp_lock_close(&s->lock);
}

static size_t size_for(size_t keys) { return sizeof(mp_sleeper) + keys * sizeof(mp_sleep_link); }

mp_sleeper *mp_sleeper_create(mp_sleepers *s, size_t keys) {
  if (keys > (SIZE_MAX - sizeof(mp_sleeper)) / sizeof(mp_sleep_link)) return NULL;
  mp_sleeper *sleeper = mp_alloc_get(s->alloc, size_for(keys));
  if (sleeper == NULL) return NULL;
  memset(sleeper, 0, sizeof *sleeper);
  sleeper->keys = keys;
  return sleeper;
}

void mp_sleeper_free(mp_sleepers *s, mp_sleeper *sleeper) {
  assert(!sleeper->listed);
  mp_alloc_free(s->alloc, sleeper, size_for(sleeper->keys));
}

/*
** {======================================================
** The table
** =======================================================
*/

/* Fibonacci hashing: Knuth, "Sorting and Searching", 6.4. */
static size_t bucket_of(const void *key, size_t size) {
  uint64_t hash = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15);
  return (size_t)(hash >> 32) & (size - 1);
}

static void insert(mp_sleep_link **buckets, size_t size, mp_sleep_link *link) {
  mp_sleep_link **bucket = &buckets[bucket_of(link->key, size)];
  link->prev = NULL;
  link->next = *bucket;
  if (*bucket != NULL) (*bucket)->prev = link;
  *bucket = link;
}

static void take_out_locked(mp_sleepers *s, mp_sleep_link *link) MP_HOLDS(s->lock) {
  if (link->prev != NULL)
    link->prev->next = link->next;
  else
    s->buckets[bucket_of(link->key, s->size)] = link->next;
  if (link->next != NULL) link->next->prev = link->prev;
}

/* Moves all links to the larger table and returns the old one. */
static mp_sleep_link **move_locked(mp_sleepers *s, mp_sleep_link **buckets, size_t size)
    MP_HOLDS(s->lock) {
  mp_sleep_link **old = s->buckets;
  for (size_t i = 0; i < s->size; i++) {
    for (mp_sleep_link *link = old[i], *next; link != NULL; link = next) {
      next = link->next;
      insert(buckets, size, link);
    }
  }
  s->buckets = buckets;
  s->size = size;
  return old;
}

/*
** Makes room for so many links more, a link or two a bucket. Returns with the lock held; without
** memory the table stays as it is, and false means that there is none at all.
*/
static bool take_with_room(mp_sleepers *s, size_t links) MP_TAKES(s->lock) {
  mp_lock_take(&s->lock);
  while (s->links + links > 2 * s->size) {
    size_t before = s->size, size = before == 0 ? SIZE_FIRST : before;
    while (s->links + links > 2 * size) size *= 2;
    mp_lock_give(&s->lock);
    mp_sleep_link **buckets = mp_alloc_zeroed(s->alloc, size * sizeof *buckets);
    mp_lock_take(&s->lock);
    if (buckets == NULL) return s->size != 0;
    size_t unused = size;
    if (s->size < size) {
      unused = s->size;
      buckets = move_locked(s, buckets, size);
    }
    mp_lock_give(&s->lock);
    mp_alloc_free(s->alloc, buckets, unused * sizeof *buckets);
    mp_lock_take(&s->lock);
  }
  return true;
}

/* }====================================================== */

static void enlist_locked(mp_sleepers *s, mp_sleeper *sleeper) MP_HOLDS(s->lock) {
  for (size_t i = 0; i < sleeper->keys; i++) {
    sleeper->links[i].sleeper = sleeper;
    insert(s->buckets, s->size, &sleeper->links[i]);
  }
  s->links += sleeper->keys;
  sleeper->prev = NULL;
  sleeper->next = s->first;
  if (s->first != NULL) s->first->prev = sleeper;
  s->first = sleeper;
  if (sleeper->until != MP_FOREVER) mp_timers_arm(&s->timers, &sleeper->timer, sleeper->until);
  sleeper->listed = true;
  mp_store_relaxed(&s->count, mp_load_relaxed(&s->count) + 1);
}

/* timed: it stands among the timers still. */
static void delist_locked(mp_sleepers *s, mp_sleeper *sleeper, bool timed) MP_HOLDS(s->lock) {
  assert(sleeper->listed);
  for (size_t i = 0; i < sleeper->keys; i++) take_out_locked(s, &sleeper->links[i]);
  s->links -= sleeper->keys;
  if (sleeper->prev != NULL)
    sleeper->prev->next = sleeper->next;
  else
    s->first = sleeper->next;
  if (sleeper->next != NULL) sleeper->next->prev = sleeper->prev;
  if (timed && sleeper->until != MP_FOREVER) mp_timers_disarm(&s->timers, &sleeper->timer);
  sleeper->listed = false;
  mp_store_relaxed(&s->count, mp_load_relaxed(&s->count) - 1);
  s->left(sleeper);
}

bool mp_sleepers_join(mp_sleepers *s, mp_sleeper *sleeper,
                      bool (*ready)(mp_sleeper *sleeper, void *ud), void *ud, uint64_t *next) {
  bool sleeps = take_with_room(s, sleeper->keys);
  if (sleeps) {
    enlist_locked(s, sleeper);
    sleeps = !ready(sleeper, ud);
    if (!sleeps) delist_locked(s, sleeper, true);
  }
  *next = mp_timers_next(&s->timers);
  mp_lock_give(&s->lock);
  return sleeps;
}

/* Sleepers that have left the lists, oldest first. */
typedef struct chain {
  mp_sleeper *first, *last;
} chain;

static void append(chain *c, mp_sleeper *sleeper) {
  sleeper->next = NULL;
  if (c->last != NULL)
    c->last->next = sleeper;
  else
    c->first = sleeper;
  c->last = sleeper;
}

static void prepend(chain *c, mp_sleeper *sleeper) {
  sleeper->next = c->first;
  if (c->first == NULL) c->last = sleeper;
  c->first = sleeper;
}

/* Takes out up to `most` of those who wait for `key`; returns how many. */
static size_t collect(mp_sleepers *s, const void *key, size_t most, chain *woken) {
  size_t n = 0;
  mp_lock_take(&s->lock);
  mp_sleep_link *link = NULL;
  if (key != NULL && s->size > 0) link = s->buckets[bucket_of(key, s->size)];
  while (n < most) {
    while (link != NULL && link->key != key) link = link->next;
    mp_sleeper *sleeper = key == NULL ? s->first : link == NULL ? NULL : link->sleeper;
    if (sleeper == NULL) break;
    /* it may wait for the key twice */
    while (link != NULL && link->sleeper == sleeper) link = link->next;
    delist_locked(s, sleeper, true);
    prepend(woken, sleeper); /* the newest stand first in the lists */
    n++;
  }
  mp_lock_give(&s->lock);
  return n;
}

static void resume_all(mp_sleepers *s, const chain *woken, mp_status why) {
  for (mp_sleeper *sleeper = woken->first, *next; sleeper != NULL; sleeper = next) {
    next = sleeper->next; /* it may be gone behind the call */
    sleeper->why = why;
    s->resume(s->ud, sleeper);
  }
}

/* So many as there are in the beginning: who falls asleep again meanwhile has looked again. */
static size_t count_now(mp_sleepers *s) {
  mp_lock_take(&s->lock);
  size_t count = mp_load_relaxed(&s->count);
  mp_lock_give(&s->lock);
  return count;
}

void mp_sleepers_wake(mp_sleepers *s, const void *key) {
  /*
  ** Whoever has found a mark sees a count of the sleepers that is not 0. Whoever wakes all has
  ** found none: the lock orders it with those who are just being put to sleep.
  */
  size_t left = key != NULL ? mp_sleepers_count(s) : count_now(s);
  while (left > 0) {
    chain woken = {NULL, NULL};
    size_t n = collect(s, key, left < WAKE_AT_ONCE ? left : WAKE_AT_ONCE, &woken);
    resume_all(s, &woken, MP_OK);
    left = n < WAKE_AT_ONCE ? 0 : left - n;
  }
}

uint64_t mp_sleepers_expire(mp_sleepers *s, uint64_t now) {
  for (;;) {
    chain woken = {NULL, NULL};
    mp_lock_take(&s->lock);
    for (unsigned n = 0; n < WAKE_AT_ONCE; n++) {
      mp_heap_node *node = mp_timers_expire(&s->timers, now);
      if (node == NULL) break;
      mp_sleeper *sleeper = (mp_sleeper *)(void *)((char *)node - offsetof(mp_sleeper, timer));
      delist_locked(s, sleeper, false);
      append(&woken, sleeper);
    }
    uint64_t next = mp_timers_next(&s->timers);
    mp_lock_give(&s->lock);
    if (woken.first == NULL) return next;
    if (MP_BUGGY(HAND_FORGOTTEN)) mp_os_moment();
    resume_all(s, &woken, MP_TIMEOUT);
  }
}
