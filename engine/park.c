#include "park.h"

#include <assert.h>
#include <string.h>

#include "bug.h"

mp_status mp_park_init(mp_park *park) {
  memset(park, 0, sizeof *park);
  mp_store_relaxed(&park->waker_cpu, -1);
  return mp_lock_init(&park->lock);
}

void mp_park_close(mp_park *park) {
  assert(mp_load_relaxed(&park->sleepers) == 0);
  mp_lock_close(&park->lock);
}

mp_status mp_parker_init(mp_parker *parker) {
  memset(parker, 0, sizeof *parker);
  return mp_os_gate_init(&parker->gate);
}

void mp_parker_close(mp_parker *parker) {
  assert(!mp_load_relaxed(&parker->listed));
  mp_os_gate_close(&parker->gate);
}

static void unlist_locked(mp_park *park, mp_parker *parker) MP_HOLDS(park->lock) {
  assert(mp_load_relaxed(&parker->listed));
  if (parker->prev != NULL)
    parker->prev->next = parker->next;
  else
    park->newest = parker->next;
  if (parker->next != NULL) parker->next->prev = parker->prev;
  mp_store_release(&parker->listed, false); /* pairs with retract: it counts as a searcher */
  mp_sub_seq(&park->sleepers, 1);
}

/* Claims a sleeper: from here on it counts as a searcher. */
static void claim_locked(mp_park *park, mp_parker *parker) MP_HOLDS(park->lock) {
  mp_add_seq(&park->searchers, 1);
  unlist_locked(park, parker);
}

static void post(mp_park *park, mp_parker *parker) {
  mp_store_relaxed(&park->waker_cpu, mp_os_cpu());
  mp_store_release(&parker->gate.word, 1); /* pairs with the acquire in take_token */
  mp_os_gate_wake_one(&parker->gate);
}

void mp_park_wake_one(mp_park *park) {
  if (mp_load_seq(&park->searchers) != 0) return;
  mp_lock_take(&park->lock);
  mp_parker *parker = mp_load_seq(&park->searchers) == 0 ? park->newest : NULL;
  if (parker != NULL) claim_locked(park, parker);
  mp_lock_give(&park->lock);
  if (parker != NULL) post(park, parker);
}

void mp_park_tell(mp_park *park, mp_parker *parker) {
  /* seq: the news was there before; whoever joined the sleepers earlier is seen, others see it */
  if (mp_load_seq(&park->sleepers) != 0 && mp_load_relaxed(&parker->listed)) post(park, parker);
}

void mp_park_wake_all(mp_park *park) {
  for (;;) {
    mp_lock_take(&park->lock);
    mp_parker *parker = park->newest;
    if (parker != NULL) claim_locked(park, parker);
    mp_lock_give(&park->lock);
    if (parker == NULL) return;
    post(park, parker);
  }
}

bool mp_park_beside_waker(const mp_park *park) {
  int cpu = mp_os_cpu();
  return cpu >= 0 && cpu == mp_load_relaxed(&park->waker_cpu);
}

void mp_park_search_begin(mp_park *park) { mp_add_seq(&park->searchers, 1); }

bool mp_park_search_end(mp_park *park) {
  uint32_t before = mp_sub_seq(&park->searchers, 1);
  assert(before > 0);
  return before == 1;
}

/* The caller joins the sleepers, and counts as a searcher no longer if it did. */
static void announce(mp_park *park, bool searcher, mp_parker *parker) {
  mp_lock_take(&park->lock);
  assert(!mp_load_relaxed(&parker->listed));
  parker->prev = NULL;
  parker->next = park->newest;
  if (park->newest != NULL) park->newest->prev = parker;
  park->newest = parker;
  mp_store_relaxed(&parker->listed, true);
  mp_add_seq(&park->sleepers, 1);
  mp_lock_give(&park->lock);
  if (searcher) mp_sub_seq(&park->searchers, 1);
}

/* After a sleep, or instead of one: the caller is no sleeper any more, but a searcher. */
static void retract(mp_park *park, mp_parker *parker) {
  if (!mp_load_acquire(&parker->listed)) return; /* a waker has claimed it */
  mp_lock_take(&park->lock);
  if (mp_load_relaxed(&parker->listed)) {
    if (MP_BUGGY(RETRACT_FORGETS))
      unlist_locked(park, parker);
    else
      claim_locked(park, parker);
  }
  mp_lock_give(&park->lock);
}

static bool take_token(mp_parker *parker) {
  if (mp_load_relaxed(&parker->gate.word) == 0) return false;
  /* acq_rel by an exchange: it takes the latest token, and with it what that was posted for */
  return mp_swap_acq_rel(&parker->gate.word, 0) != 0;
}

mp_status mp_park_sleep_unless(mp_park *park, bool searcher, mp_parker *parker, uint64_t deadline,
                               bool (*called_off)(void *ud), void *ud) {
  mp_status status = MP_OK;
  /*
  ** A token from before is taken first. If it was posted for something that called_off looks at,
  ** that is seen below; one that comes from here on ends the sleep.
  */
  (void)mp_swap_acq_rel(&parker->gate.word, 0);
  if (park != NULL) announce(park, searcher, parker);
  if (!called_off(ud))
    while (status == MP_OK && !take_token(parker))
      status = mp_os_gate_wait(&parker->gate, 0, deadline);
  if (park != NULL) retract(park, parker);
  return status;
}
