/*
** pick.h - where queued entries wait, and which of them a worker takes next.
**
** Entries of priority 0 wait in the deque of the worker that queued them, or in the inbox, others
** in the inbox's two heaps; resumed tasks of priority 0 in the lane. A worker looks, in this order:
** at the high level; at the lane; at its own deque, newest first; for a share of the inbox; at
** another worker's deque, oldest first; at the low level. Every MP_FAIR_EVERY-th entry is picked
** out of turn, by a rota of four:
**
**   1. from the low level
**   2. the oldest of its own deque, unless something waits at the high level or in the lane: where
**      the worker feeds itself through its deque; where it follows a chain, if it was the oldest
**      1,024 picks ago
**   3. from the normal level, whatever waits at the high one or in the lane: the oldest of the
**      inbox; and beside endless work there, by turns that or the oldest of a deque
**   4. the oldest of another worker's deque, if that worker has picked nothing for a round, unless
**      something waits at the high level or in the lane
**
** So no level starves, whatever the others do, and among equals the older runs before long, also
** where a worker feeds itself.
*/
#ifndef MP_PICK_H
#define MP_PICK_H

#include "seats.h"

#define MP_FAIR_EVERY 16

/*
** Queues an entry at the normal level, from `self` (a worker of this scheduler on its own thread)
** or from outside (NULL), and notifies. group: 0, or the piece's.
*/
void mp_pick_push(mp_scheduler *scheduler, mp_worker *self, mp_entry *entry, uintptr_t group);
/* From any thread: one with a priority other than 0. */
void mp_pick_push_ordered(mp_scheduler *scheduler, mp_entry *entry, mp_order *order, int priority);
/* From any thread: a resumed task of priority 0. */
void mp_pick_push_resumed(mp_scheduler *scheduler, mp_entry *entry);
/* From any thread: n tasks chained by next, normal priority. */
void mp_pick_push_chain(mp_scheduler *scheduler, mp_entry *first, mp_entry *last, size_t n);

/* The rest of these: on the worker's own thread. NULL: nothing was found. */

/* From the levels, the worker's deque and the inbox. */
mp_entry *mp_pick_local(mp_worker *worker);
/* From other workers' deques, then the low level. */
mp_entry *mp_pick_remote(mp_worker *worker);
static inline mp_entry *mp_pick(mp_worker *worker) {
  mp_entry *entry = mp_pick_local(worker);
  return entry != NULL ? entry : mp_pick_remote(worker);
}
/* Takes this entry out of its own deque, if it is the oldest there or among the newest. */
bool mp_pick_take_own(mp_worker *worker, const mp_entry *entry);
/* Queues again, before all others, what was picked and does not run. */
void mp_pick_put_back(mp_scheduler *scheduler, mp_entry *entry);
/* Anything of at least this priority. */
mp_entry *mp_pick_at_least(mp_worker *worker, int floor);
/*
** A piece of this group: the newest of its own deque, or the oldest of any. dig: or wherever in its
** own. Tasks that lie above it there go to the others.
*/
mp_entry *mp_pick_piece(mp_worker *worker, uintptr_t group, bool dig);

/* Is the next entry to be picked out of turn? */
static inline bool mp_pick_is_fair_next(const mp_worker *worker) {
  return (mp_load_relaxed(&worker->picked) + 1) % MP_FAIR_EVERY == 0;
}

bool mp_pick_stops(mp_worker *worker, uintptr_t group);
/*
** May the worker go on with what comes to it without a pick, a continuation or the next piece of a
** loop? Then that counts as a pick. Not if something waits at the high level, or it is the turn of
** the pick out of turn and there is something for it, or too many run at the time, or the owner
** whose stack this is need not wait any more. group: 0, or that of the pieces, of which there are
** more.
*/
static inline bool mp_pick_goes_on(mp_worker *worker, uintptr_t group) {
  const mp_scheduler *scheduler = worker->scheduler;
  bool looks = !mp_inbox_seems_empty(&scheduler->inbox, MP_LEVEL_HIGH) ||
               worker->awaits.is_over != NULL || worker->awaits.floor > 0 ||
               mp_seats_surplus(scheduler) || mp_load_relaxed(&worker->extra) ||
               mp_pick_is_fair_next(worker);
  if (looks && mp_pick_stops(worker, group)) return false;
  mp_bump(&worker->picked);
  return true;
}

/* Is anything queued? seq_cst: see park.h. Any thread. */
bool mp_pick_has_work(mp_scheduler *scheduler);
bool mp_pick_has_at_least(mp_scheduler *scheduler, int floor);
bool mp_pick_has_piece(mp_scheduler *scheduler, uintptr_t group);

/* Gives all that is in the worker's deque to the others. */
void mp_pick_give_up_deque(mp_worker *worker);

/* Before an entry runs that was found at once, or after a search. */
void mp_pick_note_small_share(mp_worker *worker, bool at_once);
static inline void mp_pick_note_contention(mp_worker *worker, bool at_once) {
  if (worker->contention.small_share) mp_pick_note_small_share(worker, at_once);
}
/*
** After it. Where entries are so short that a worker keeps up with whoever submits them, the two
** meet at the inbox's lock for every single one, and both take twice as long. So a worker to which
** that happens again and again backs off behind a small share: the next will be larger.
*/
void mp_pick_back_off_small_share(mp_worker *worker);
static inline void mp_pick_back_off(mp_worker *worker) {
  if (worker->contention.small_share) mp_pick_back_off_small_share(worker);
}

/*
** Takes out everything that is queued and offers it to `take`; what that refuses (false) is queued
** again. Any thread, beside running workers.
*/
void mp_pick_drain(mp_scheduler *scheduler, bool (*take)(mp_entry *entry, void *ud), void *ud);

#endif
