#include "lane.h"

mp_status mp_lane_init(mp_lane *lane) { return mp_lock_init(&lane->lock); }

void mp_lane_close(mp_lane *lane) {
  assert(mp_lane_count(lane) == 0);
  mp_lock_close(&lane->lock);
}

void mp_lane_push(mp_lane *lane, mp_entry *entry) {
  entry->next = NULL;
  mp_lock_take(&lane->lock);
  if (lane->first == NULL)
    lane->first = entry;
  else
    lane->last->next = entry;
  lane->last = entry;
  mp_add_seq(&lane->count, 1);
  mp_lock_give(&lane->lock);
}

mp_entry *mp_lane_pop_slow(mp_lane *lane) {
  mp_lock_take(&lane->lock);
  mp_entry *entry = lane->first;
  if (entry != NULL) {
    lane->first = entry->next;
    mp_sub_relaxed(&lane->count, 1);
    mp_add_relaxed(&lane->popped, 1);
  }
  mp_lock_give(&lane->lock);
  return entry;
}
