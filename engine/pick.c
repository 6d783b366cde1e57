#include "pick.h"

#include <assert.h>
#include <limits.h>

#include "bug.h"
#include "seats.h"

#define SHARE_MAX (MP_GRAB_MAX < MP_DEQUE_CAPACITY ? MP_GRAB_MAX : MP_DEQUE_CAPACITY)
#define AT_ONCE_MAX 16 /* small shares of the inbox in a row, each there at once */
/* A worker that feeds itself has popped so many of its last 64 entries. */
#define FEED_MIN 24
/* Where it does not, only every so manieth time it is the turn of the oldest of its own deque. */
#define CHAIN_TURNS 16
#define BACK_OFF_NS ((uint64_t)500)

/*
** {======================================================
** Queuing
** =======================================================
*/

void mp_pick_push_ordered(mp_scheduler *scheduler, mp_entry *entry, mp_order *order, int priority) {
  mp_inbox_push_ordered(&scheduler->inbox, entry, order, priority);
  mp_park_notify(&scheduler->park);
}

void mp_pick_push_resumed(mp_scheduler *scheduler, mp_entry *entry) {
  mp_lane_push(&scheduler->lane, entry);
  mp_park_notify(&scheduler->park);
}

void mp_pick_push(mp_scheduler *scheduler, mp_worker *self, mp_entry *entry, uintptr_t group) {
  if (MP_BUGGY(NOTIFY_FIRST)) mp_park_notify(&scheduler->park);
  MP_BUG_GAP(NOTIFY_FIRST);
  if (self == NULL || self->unseated || !mp_deque_push_owner(&self->deque, entry, group))
    mp_inbox_push(&scheduler->inbox, entry, entry, 1);
  if (!MP_BUGGY(NOTIFY_FIRST)) mp_park_notify(&scheduler->park);
}

void mp_pick_push_chain(mp_scheduler *scheduler, mp_entry *first, mp_entry *last, size_t n) {
  mp_inbox_push(&scheduler->inbox, first, last, n);
  mp_park_notify(&scheduler->park);
}

/* Entries that were queued before, oldest first, go before all others of the inbox. */
typedef struct chain {
  mp_entry *first, *last;
  size_t n;
} chain;

static void put_first(chain *c, mp_entry *entry) {
  entry->next = c->first;
  c->first = entry;
  if (c->n++ == 0) c->last = entry;
}

static void put_last(chain *c, mp_entry *entry) {
  if (c->n++ == 0)
    c->first = entry;
  else
    c->last->next = entry;
  c->last = entry;
}

static void queue_again(mp_scheduler *scheduler, const chain *c) {
  if (c->n == 0) return;
  mp_inbox_push_front(&scheduler->inbox, c->first, c->last, c->n);
  mp_park_notify(&scheduler->park);
}

/* }====================================================== */

/*
** {======================================================
** Picking
** =======================================================
*/

/*
** Takes a share of the inbox: the first to run, the rest for the own deque, so that it pops them
** oldest first.
*/
static mp_entry *grab(mp_worker *worker, size_t max) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_entry *entries[MP_GRAB_MAX];
  size_t n = mp_inbox_grab(&scheduler->inbox, entries, max, scheduler->config.workers);
  if (n == 0) return NULL;
  worker->contention.small_share = n < MP_GRAB_MAX / 2;
  for (size_t i = n - 1; i > 0; i--)
    if (!mp_deque_push_owner(&worker->deque, entries[i], 0))
      mp_inbox_push(&scheduler->inbox, entries[i], entries[i], 1);
  worker->picks.own_from = mp_deque_bottom(&worker->deque);
  /* while they were in no queue, a searcher may have gone to sleep */
  if (n > 1) mp_park_notify(&scheduler->park);
  return entries[0];
}

/* Pops from its own deque: what it pushes from here on lies above what is left. */
static mp_entry *pop_own(mp_worker *worker) {
  mp_entry *entry = mp_deque_pop_owner(&worker->deque);
  int64_t bottom = mp_deque_bottom(&worker->deque);
  if (bottom < worker->picks.own_from) worker->picks.own_from = bottom;
  return entry;
}

void mp_pick_give_up_deque(mp_worker *worker) {
  chain back = {NULL, NULL, 0};
  for (mp_entry *entry; (entry = pop_own(worker)) != NULL;) put_first(&back, entry);
  queue_again(worker->scheduler, &back);
}

/* Has it entries of its own, above shares of the inbox, which are in the right order anyhow? */
static bool has_own(const mp_worker *worker) {
  return mp_deque_bottom(&worker->deque) > worker->picks.own_from;
}

/* xorshift (Marsaglia 2003): where to begin stealing */
static uint32_t next_random(mp_worker *worker) {
  uint32_t x = worker->picks.random;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return worker->picks.random = x;
}

/* group 0: any entry. */
static mp_entry *steal(mp_worker *worker, uintptr_t group) {
  mp_seats *seats = &worker->scheduler->seats;
  uint32_t n = mp_load_seq(&seats->active_count), at = n > 0 ? next_random(worker) % n : 0;
  for (uint32_t i = 0; i < n; i++, at = at + 1 >= n ? 0 : at + 1) {
    mp_worker *victim = mp_load_acquire(&seats->active[at]);
    if (victim == worker) continue;
    mp_entry *entry =
        group == 0 ? mp_deque_steal(&victim->deque) : mp_deque_steal_group(&victim->deque, group);
    if (entry == NULL) continue;
    mp_bump(&worker->counters.steals);
    return entry;
  }
  return NULL;
}

/*
** From a worker that is inside one long entry. Those that get on see to their own deques; to steal
** from them too would only move what they do from one cache to another.
*/
static mp_entry *steal_from_the_slow(mp_worker *worker) {
  mp_seats *seats = &worker->scheduler->seats;
  uint32_t n = mp_load_seq(&seats->active_count);
  for (uint32_t i = 0; i < n; i++) {
    /* on from where it was the last time, so that each has its turn */
    mp_worker *victim = mp_load_acquire(&seats->active[worker->picks.slow_at++ % n]);
    if (victim == worker || mp_deque_empty(&victim->deque)) continue;
    uint32_t picked = mp_load_relaxed(&victim->picked);
    bool slow = picked == mp_load_relaxed(&victim->picked_seen);
    if (!slow) mp_store_relaxed(&victim->picked_seen, picked);
    mp_entry *entry = slow ? mp_deque_steal(&victim->deque) : NULL;
    if (entry == NULL) continue;
    mp_bump(&worker->counters.steals);
    return entry;
  }
  return NULL;
}

/* Whose turn it is then, modulo four. */
static uint32_t fair_turn(const mp_worker *worker) {
  return (mp_load_relaxed(&worker->picked) + 1) / MP_FAIR_EVERY;
}

/*
** By stealing from itself: what it has pushed may go on for ever. A chain may not before long, as
** most have been queued before; and as long as it lasts, each is near the one before in memory.
*/
static mp_entry *pick_own_oldest(mp_worker *worker) {
  mp_deque *deque = &worker->deque;
  uint32_t popped = worker->picks.popped;
  bool due = popped - worker->picks.popped_seen >= FEED_MIN;
  worker->picks.popped_seen = popped;
  if (MP_BUGGY(OWN_STARVES) || !has_own(worker)) return NULL;
  if (!due && fair_turn(worker) / 4 % CHAIN_TURNS == 0) {
    int64_t top = mp_load_relaxed(&deque->top);
    due = top == worker->picks.oldest_seen;
    worker->picks.oldest_seen = top;
  }
  return due ? mp_deque_steal(deque) : NULL;
}

/* A share taken from the inbox comes before the rest of it. */
static mp_entry *pick_inbox_oldest(mp_worker *worker) {
  return has_own(worker) ? grab(worker, 1) : NULL;
}

static mp_entry *pick_normal(mp_worker *worker) {
  worker->picks.popped += has_own(worker);
  mp_entry *entry = pop_own(worker);
  return entry != NULL ? entry : grab(worker, SHARE_MAX);
}

/* The normal level's turn beside the high one. */
static mp_entry *pick_normal_fair(mp_worker *worker, bool high_waits, uint32_t round) {
  mp_entry *entry = NULL;
  if (!high_waits || round % 3 == 0) entry = pick_inbox_oldest(worker);
  if (high_waits && round % 3 == 1) entry = pick_own_oldest(worker);
  if (high_waits && round % 3 == 2) entry = steal_from_the_slow(worker);
  return entry != NULL ? entry : pick_normal(worker);
}

/* The pick out of turn; NULL: there is nothing of the kind whose turn it is. */
static mp_entry *pick_fair(mp_worker *worker) {
  mp_inbox *inbox = &worker->scheduler->inbox;
  uint32_t turn = fair_turn(worker);
  bool high_waits =
      !mp_inbox_seems_empty(inbox, MP_LEVEL_HIGH) || !mp_lane_seems_empty(&worker->scheduler->lane);
  switch (turn % 4) {
    case 0:
      return MP_BUGGY(LOW_STARVES) ? NULL : mp_inbox_pop_ordered(inbox, MP_LEVEL_LOW, INT_MIN);
    case 1: return high_waits ? NULL : pick_own_oldest(worker);
    case 2: return pick_normal_fair(worker, high_waits, turn / 4);
    default: return high_waits ? NULL : steal_from_the_slow(worker);
  }
}

static mp_entry *pick_local(mp_worker *worker) {
  mp_entry *entry = mp_pick_is_fair_next(worker) ? pick_fair(worker) : NULL;
  if (entry == NULL)
    entry = mp_inbox_pop_ordered(&worker->scheduler->inbox, MP_LEVEL_HIGH, INT_MIN);
  if (entry == NULL) entry = mp_lane_pop(&worker->scheduler->lane);
  return entry != NULL ? entry : pick_normal(worker);
}

/* Only what was found counts, not how often one looked. */
mp_entry *mp_pick_local(mp_worker *worker) {
  mp_entry *entry = pick_local(worker);
  if (entry != NULL) mp_bump(&worker->picked);
  return entry;
}

mp_entry *mp_pick_remote(mp_worker *worker) {
  mp_entry *entry = steal(worker, 0);
  if (entry == NULL) entry = mp_inbox_pop_ordered(&worker->scheduler->inbox, MP_LEVEL_LOW, INT_MIN);
  return entry;
}

mp_entry *mp_pick_at_least(mp_worker *worker, int floor) {
  mp_inbox *inbox = &worker->scheduler->inbox;
  if (floor == INT_MIN) return mp_pick(worker);
  mp_entry *entry = mp_inbox_pop_ordered(inbox, MP_LEVEL_HIGH, floor);
  if (entry == NULL && floor <= 0) entry = mp_lane_pop(&worker->scheduler->lane);
  if (entry == NULL && floor <= 0) entry = pick_normal(worker);
  if (entry == NULL && floor <= 0) entry = steal(worker, 0);
  if (entry == NULL && floor < 0) entry = mp_inbox_pop_ordered(inbox, MP_LEVEL_LOW, floor);
  if (entry != NULL) mp_bump(&worker->picked);
  return entry;
}

#define TAKE_DEPTH 16 /* how many of the newest are looked at */

/* The entry's place from the bottom, 1 the newest; 0: it is not among the newest. */
static int depth_of(const mp_worker *worker, const mp_entry *entry) {
  mp_deque *deque = (mp_deque *)&worker->deque;
  int64_t bottom = mp_deque_bottom(deque), top = mp_load_relaxed(&deque->top);
  for (int depth = 1; depth <= TAKE_DEPTH && bottom - depth >= top; depth++)
    if (mp_load_relaxed(&mp_deque_at(deque, bottom - depth)->entry) == entry) return depth;
  return 0;
}

bool mp_pick_take_own(mp_worker *worker, const mp_entry *entry) {
  mp_deque *deque = &worker->deque;
  mp_entry *above[TAKE_DEPTH];
  uintptr_t groups[TAKE_DEPTH];
  int n = 0, depth = depth_of(worker, entry);
  assert(mp_worker_self() == worker);
  bool taken = depth == 0 && mp_deque_steal_this(deque, entry);
  while (n < depth && !taken) {
    groups[n] = mp_deque_newest_group_owner(deque);
    mp_entry *newest = pop_own(worker);
    if (newest == NULL) break; /* a thief was quicker */
    taken = newest == entry;
    if (!taken) above[n++] = newest;
  }
  if (n == 0) return taken;
  while (n-- > 0)
    if (!mp_deque_push_owner(deque, above[n], groups[n]))
      mp_inbox_push_front(&worker->scheduler->inbox, above[n], above[n], 1);
  mp_park_notify(
      &worker->scheduler->park); /* while they were out, a searcher may have gone to sleep */
  return taken;
}

void mp_pick_put_back(mp_scheduler *scheduler, mp_entry *entry) {
  const chain one = {entry, entry, 1};
  queue_again(scheduler, &one);
}

static mp_entry *dig_out(mp_worker *worker, uintptr_t group) {
  mp_deque *deque = &worker->deque;
  chain above = {NULL, NULL, 0};
  mp_entry *piece = NULL;
  while (piece == NULL && !mp_deque_empty_owner(deque)) {
    uintptr_t newest = mp_deque_newest_group_owner(deque);
    mp_entry *entry = pop_own(worker);
    if (entry == NULL) break; /* a thief was quicker */
    if (newest == group || MP_BUGGY(HELPS_ANYBODY))
      piece = entry;
    else
      put_first(&above, entry);
  }
  queue_again(worker->scheduler, &above);
  return piece;
}

mp_entry *mp_pick_piece(mp_worker *worker, uintptr_t group, bool dig) {
  mp_deque *deque = &worker->deque;
  mp_entry *piece = NULL;
  if (mp_deque_newest_group_owner(deque) == group || MP_BUGGY(HELPS_ANYBODY))
    piece = pop_own(worker);
  else if (mp_deque_offers(deque, group) || (dig && mp_deque_holds_owner(deque, group)))
    piece = dig_out(worker, group);
  return piece != NULL ? piece : steal(worker, group);
}

/* }====================================================== */

/*
** {======================================================
** Looking
** =======================================================
*/

static bool is_not_empty(mp_deque *deque, uintptr_t group) {
  (void)group;
  return !mp_deque_empty(deque);
}

/* Does `has` say yes to a deque? Again, if the list of them has changed meanwhile. */
static bool any_deque(mp_scheduler *scheduler, bool (*has)(mp_deque *deque, uintptr_t group),
                      uintptr_t group) {
  mp_seats *seats = &scheduler->seats;
  uint32_t version;
  do {
    version = mp_load_seq(&seats->version);
    uint32_t n = mp_load_seq(&seats->active_count);
    for (uint32_t i = 0; i < n; i++)
      if (has(&mp_load_acquire(&seats->active[i])->deque, group)) return true;
  } while (mp_load_seq(&seats->version) != version);
  return false;
}

bool mp_pick_has_work(mp_scheduler *scheduler) {
  for (int level = 0; level < MP_LEVELS; level++)
    if (mp_inbox_count(&scheduler->inbox, (mp_level)level) != 0) return true;
  return mp_lane_count(&scheduler->lane) != 0 || any_deque(scheduler, is_not_empty, 0);
}

bool mp_pick_has_at_least(mp_scheduler *scheduler, int floor) {
  if (floor == INT_MIN) return mp_pick_has_work(scheduler);
  mp_inbox *inbox = &scheduler->inbox;
  if (mp_inbox_has_at_least(inbox, MP_LEVEL_HIGH, floor)) return true;
  if (floor <= 0 && mp_inbox_count(inbox, MP_LEVEL_NORMAL) != 0) return true;
  if (floor <= 0 && mp_lane_count(&scheduler->lane) != 0) return true;
  if (floor < 0 && mp_inbox_has_at_least(inbox, MP_LEVEL_LOW, floor)) return true;
  return floor <= 0 && any_deque(scheduler, is_not_empty, 0);
}

bool mp_pick_has_piece(mp_scheduler *scheduler, uintptr_t group) {
  return any_deque(scheduler, mp_deque_offers, group);
}

/* Other than pieces of this group, and of its frame. */
static bool has_own_other(mp_worker *worker, uintptr_t group) {
  if (mp_deque_empty_owner(&worker->deque)) return false;
  uintptr_t newest = mp_deque_newest_group_owner(&worker->deque);
  return newest == 0 || (newest != group && newest != mp_group_of(mp_load_relaxed(&worker->frame)));
}

static bool offers_other(mp_deque *deque, uintptr_t group) {
  return !mp_deque_empty(deque) && (group == 0 || !mp_deque_offers(deque, group));
}

/* Is there something for the pick out of turn, other than pieces of this group? */
static bool has_other(mp_worker *worker, uintptr_t group) {
  mp_scheduler *scheduler = worker->scheduler;
  if (!mp_inbox_seems_empty(&scheduler->inbox, MP_LEVEL_NORMAL) ||
      !mp_inbox_seems_empty(&scheduler->inbox, MP_LEVEL_LOW) ||
      !mp_lane_seems_empty(&scheduler->lane) || has_own_other(worker, group))
    return true;
  return fair_turn(worker) % 4 == 3 && any_deque(scheduler, offers_other, group);
}

bool mp_pick_stops(mp_worker *worker, uintptr_t group) {
  const mp_scheduler *scheduler = worker->scheduler;
  if (!mp_inbox_seems_empty(&scheduler->inbox, MP_LEVEL_HIGH)) return true;
  if (worker->awaits.is_over != NULL && worker->awaits.is_over(worker->awaits.wait)) return true;
  if (worker->awaits.floor > 0) return true;        /* a continuation has priority 0 */
  if (mp_load_relaxed(&worker->extra)) return true; /* it is here for the lane alone */
  if (mp_seats_surplus(scheduler) && worker != scheduler->owner) return true;
  return mp_pick_is_fair_next(worker) && has_other(worker, group);
}

/* }====================================================== */

/*
** {======================================================
** Contention
** =======================================================
*/

/* One that has to search for its entries, or sleeps, is not short of time. */
void mp_pick_note_small_share(mp_worker *worker, bool at_once) {
  unsigned *times = &worker->contention.at_once;
  if (!at_once)
    *times -= *times > 0;
  else
    *times += *times < AT_ONCE_MAX;
}

void mp_pick_back_off_small_share(mp_worker *worker) {
  if (!mp_deque_empty_owner(&worker->deque)) return; /* the share is not done */
  worker->contention.small_share = false;
  if (worker->contention.at_once < AT_ONCE_MAX) return;
  uint64_t until = mp_os_now() + BACK_OFF_NS;
  do
    for (int i = 0; i < 4; i++) mp_pause();
  while (mp_os_now() < until);
}

/* }====================================================== */

void mp_pick_drain(mp_scheduler *scheduler, bool (*take)(mp_entry *entry, void *ud), void *ud) {
  mp_inbox *inbox = &scheduler->inbox;
  mp_entry *entry;
  chain refused = {NULL, NULL, 0};
  while (mp_inbox_grab(inbox, &entry, 1, 1) == 1)
    if (!take(entry, ud)) put_last(&refused, entry);
  for (int level = 0; level < MP_LEVELS && !MP_BUGGY(DRAIN_FORGETS); level++)
    while ((entry = mp_inbox_pop_ordered(inbox, (mp_level)level, INT_MIN)) != NULL)
      if (!take(entry, ud)) put_last(&refused, entry);
  for (size_t n = mp_lane_count(&scheduler->lane); n > 0; n--) {
    if ((entry = mp_lane_pop(&scheduler->lane)) == NULL) break;
    if (!take(entry, ud)) mp_pick_push_resumed(scheduler, entry);
  }
  uint32_t slots = mp_load_acquire(&scheduler->seats.slots);
  for (uint32_t i = 0; i < slots; i++) {
    mp_deque *deque = &mp_load_relaxed(&scheduler->seats.slot[i])->deque;
    while (!mp_deque_empty(deque))
      if ((entry = mp_deque_steal(deque)) != NULL && !take(entry, ud)) put_last(&refused, entry);
  }
  queue_again(scheduler, &refused);
}
