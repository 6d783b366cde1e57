#include "cgroup.h"
#include "admit.h"

#include <assert.h>

#include "bug.h"
#include "os.h"

#define MEMORY_EVERY_NS ((uint64_t)10000000) /* between two looks, which read files */

mp_status mp_admission_set(mp_admission *a, const mp_limits *limits) {
  if (limits->memory_percent > 100) return MP_INVALID;
  mp_store_relaxed(&a->tasks_max, limits->tasks);
  mp_store_relaxed(&a->queue_max, limits->queue);
  mp_store_relaxed(&a->queue_bytes_max, limits->queue_bytes);
  mp_store_relaxed(&a->memory_percent, limits->memory_percent);
  mp_store_relaxed(&a->memory_due_ns, 0);
  mp_store_relaxed(&a->on, limits->tasks != 0 || limits->queue != 0 || limits->queue_bytes != 0 ||
                               limits->memory_percent != 0);
  return MP_OK;
}

/* Without a limit only what can be counted fits. */
static bool fits(size_t now, size_t n, size_t max) {
  if (max == 0) max = SIZE_MAX;
  return n <= max && now <= max - n;
}

static bool take(_Atomic size_t *count, size_t n, const _Atomic size_t *limit) {
  size_t now = mp_load_relaxed(count), max = mp_load_relaxed(limit);
  do {
    if (!fits(now, n, max)) return false;
    MP_BUG_GAP(ROOM_CHECKED_THEN_TAKEN);
    if (MP_BUGGY(ROOM_CHECKED_THEN_TAKEN)) return (void)mp_add_relaxed(count, n), true;
  } while (!mp_cas_relaxed(count, &now, now + n));
  return true;
}

/*
** seq_cst: before the look for waiters; a waiter counts itself before it looks for room. One of the
** two sees the other.
*/
static void give_back(_Atomic size_t *count, size_t n) {
  size_t before = mp_sub_seq(count, n);
  assert(before >= n); /* who leaves was counted */
  (void)before;
}

static bool memory_is_over(mp_admission *a) {
  uint32_t percent = mp_load_relaxed(&a->memory_percent);
  if (percent == 0) return false;
  uint64_t due = mp_load_relaxed(&a->memory_due_ns), now = mp_os_now(), available, total;
  if (now >= due && mp_cas_relaxed(&a->memory_due_ns, &due, mp_os_later(now, MEMORY_EVERY_NS))) {
    mp_usable_memory(&available, &total);
    assert(available <= total);
    mp_store_relaxed(&a->memory_over,
                     total != 0 && (total - available) / 100 >= total / 10000 * percent);
  }
  return mp_load_relaxed(&a->memory_over) != 0;
}

static void note_peak(mp_admission *a) {
  size_t tasks = mp_load_relaxed(&a->tasks), peak = mp_load_relaxed(&a->tasks_peak);
  while (tasks > peak && !mp_cas_relaxed(&a->tasks_peak, &peak, tasks)) continue;
}

static mp_status refuse(mp_admission *a, mp_status status) {
  mp_add_relaxed(&a->refused, 1);
  return status;
}

mp_status mp_admit_counted(mp_admission *a, size_t n, size_t bytes, bool *counted) {
  if (memory_is_over(a)) return refuse(a, MP_MEMORY);
  if (!take(&a->tasks, n, &a->tasks_max)) goto full_tasks;
  if (!take(&a->queue, n, &a->queue_max)) goto full_queue;
  if (!take(&a->queue_bytes, bytes, &a->queue_bytes_max)) goto full_bytes;
  note_peak(a);
  assert(bytes == 0 || n > 0);
  *counted = true;
  return MP_OK;

full_bytes:
  give_back(&a->queue, n);
full_queue:
  give_back(&a->tasks, n);
full_tasks:
  return refuse(a, MP_FULL);
}

bool mp_admission_has_room(mp_admission *a, size_t bytes) {
  return !memory_is_over(a) && fits(mp_load_seq(&a->tasks), 1, mp_load_relaxed(&a->tasks_max)) &&
         fits(mp_load_seq(&a->queue), 1, mp_load_relaxed(&a->queue_max)) &&
         fits(mp_load_seq(&a->queue_bytes), bytes, mp_load_relaxed(&a->queue_bytes_max));
}

static bool is_awaited(mp_admission *a) { return mp_load_seq(&a->waiters) != 0; }

bool mp_admission_leave_queue(mp_admission *a, size_t n, size_t bytes) {
  give_back(&a->queue, n);
  give_back(&a->queue_bytes, bytes);
  return is_awaited(a);
}

bool mp_admission_end(mp_admission *a, size_t n) {
  give_back(&a->tasks, n);
  return is_awaited(a);
}
