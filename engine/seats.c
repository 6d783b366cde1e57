#include "seats.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "spin.h"

/* A spare ends when nobody has needed it for so many times idle_after_ns. */
#define RETIRE_AFTER 10
/* How often a thread is tried for a seat that is empty. */
#define REFILL_NS ((uint64_t)10 * 1000000)
/* What an owner's stack is taken for where nobody can say. */
#define OWNER_STACK ((size_t)1 << 20)

/*
** {======================================================
** Slots
** =======================================================
*/

static mp_worker *new_worker(mp_scheduler *scheduler) {
  mp_worker *worker = mp_alloc_aligned(scheduler->alloc, sizeof *worker);
  if (worker == NULL) return NULL;
  worker->scheduler = scheduler;
  worker->fork_guard = *scheduler->config.fork_guard;
  worker->awaits.floor = INT_MIN;
  mp_spin_budget_init(&worker->spin, scheduler->config.spin_free_ns);
  if (mp_parker_init(&worker->parker) != MP_OK) goto fail_parker;
  if (mp_os_gate_init(&worker->seat_gate) != MP_OK) goto fail_gate;
  return worker;
fail_gate:
  mp_parker_close(&worker->parker);
fail_parker:
  mp_alloc_free_aligned(scheduler->alloc, worker, sizeof *worker);
  return NULL;
}

static void free_worker(mp_scheduler *scheduler, mp_worker *worker) {
  mp_os_gate_close(&worker->seat_gate);
  mp_parker_close(&worker->parker);
  mp_alloc_free_aligned(scheduler->alloc, worker, sizeof *worker);
}

/* Gives the worker a slot; false: there is none. */
static bool publish_locked(mp_scheduler *scheduler, mp_worker *worker)
    MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  uint32_t index = mp_load_relaxed(&seats->slots);
  if (index == seats->capacity) return false;
  worker->index = index;
  worker->picks.random = index * 7919 + 13;
  mp_store_relaxed(&seats->slot[index], worker);
  mp_store_release(&seats->slots, index + 1);
  return true;
}

static void activate_locked(mp_scheduler *scheduler, mp_worker *worker)
    MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  uint32_t at = mp_load_relaxed(&seats->active_count);
  assert(at < seats->capacity);
  worker->active_at = at;
  mp_store_release(&seats->active[at], worker); /* pairs with whoever goes through the list */
  mp_store_seq(&seats->active_count, at + 1);
}

/* Another takes its place in the list: whoever goes through the list meanwhile looks again. */
static void deactivate_locked(mp_scheduler *scheduler, mp_worker *worker)
    MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  uint32_t last = mp_load_relaxed(&seats->active_count) - 1, at = worker->active_at;
  mp_worker *moved = mp_load_relaxed(&seats->active[last]);
  assert(mp_load_relaxed(&seats->active[at]) == worker && mp_deque_empty_owner(&worker->deque));
  mp_store_release(&seats->active[at], moved); /* likewise */
  moved->active_at = at;
  mp_store_seq(&seats->active_count, last);
  mp_add_seq(&seats->version, 1);
}

mp_status mp_seats_init(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  const mp_scheduler_config *config = &scheduler->config;
  seats->capacity = config->workers + config->workers_extra + (config->owner_works ? 1 : 0);
  mp_status status = mp_os_mutex_init(&scheduler->seats.lock);
  if (status != MP_OK) return status;
  /* both lists in one block */
  seats->slot = mp_alloc_zeroed(scheduler->alloc, 2 * seats->capacity * sizeof *seats->slot);
  if (seats->slot == NULL) {
    mp_os_mutex_close(&scheduler->seats.lock);
    return MP_NOMEM;
  }
  seats->active = seats->slot + seats->capacity;
  return MP_OK;
}

void mp_seats_close(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  assert(mp_load_relaxed(&seats->alive) == 0);
  for (uint32_t i = 0; i < mp_load_acquire(&seats->slots); i++)
    free_worker(scheduler, mp_load_relaxed(&seats->slot[i]));
  mp_alloc_free(scheduler->alloc, seats->slot, 2 * seats->capacity * sizeof *seats->slot);
  mp_os_mutex_close(&scheduler->seats.lock);
}

mp_status mp_seats_add_owner(mp_scheduler *scheduler) {
  mp_worker *owner = new_worker(scheduler);
  if (owner == NULL) return MP_NOMEM;
  owner->thread = mp_os_thread_self();
  mp_worker_note_stack(owner, OWNER_STACK);
  mp_os_mutex_take(&scheduler->seats.lock);
  bool published = publish_locked(scheduler, owner);
  if (published) activate_locked(scheduler, owner);
  mp_os_mutex_give(&scheduler->seats.lock);
  assert(published); /* it is the first */
  (void)published;
  scheduler->owner = owner;
  return MP_OK;
}

/* }====================================================== */

/*
** {======================================================
** Threads
** =======================================================
*/

/* A slot that nobody has; it may be one whose thread has retired. NULL: *status says why. */
static mp_worker *get_slot(mp_scheduler *scheduler, mp_status *status) {
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  mp_worker *worker = seats->retired;
  bool full = worker == NULL && mp_load_relaxed(&seats->slots) == seats->capacity;
  /* so short a life that its creator has not noted its beginning: let it be */
  if (worker != NULL && worker->ended && !worker->started) worker = NULL;
  bool ended = worker != NULL && worker->ended;
  if (worker != NULL) {
    seats->retired = worker->next_spare;
    worker->started = worker->ended = false;
  }
  mp_os_mutex_give(&scheduler->seats.lock);
  *status = full ? MP_BUSY : MP_NOMEM;
  if (worker != NULL) {
    if (ended) mp_os_thread_join(worker->joinable);
    return worker;
  }
  worker = full ? NULL : new_worker(scheduler);
  if (worker == NULL) return NULL;
  mp_os_mutex_take(&scheduler->seats.lock);
  bool published = publish_locked(scheduler, worker);
  mp_os_mutex_give(&scheduler->seats.lock);
  if (published) return worker;
  free_worker(scheduler, worker);
  *status = MP_BUSY;
  return NULL;
}

/* Back among those that nobody has. */
static void put_slot_locked(mp_scheduler *scheduler, mp_worker *worker)
    MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  assert(mp_deque_empty_owner(&worker->deque));
  worker->next_spare = seats->retired;
  seats->retired = worker;
}

/* Before its thread is started. False: the threads are being joined, and none may come any more. */
static bool prepare(mp_scheduler *scheduler, mp_worker *worker, bool extra) {
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  bool open = !seats->joined;
  if (open) {
    activate_locked(scheduler, worker);
    mp_add_relaxed(&seats->alive, 1);
    mp_store_relaxed(&worker->extra, extra);
    mp_store_relaxed(&worker->seat_gate.word, seats->open ? MP_SEAT_GIVEN : MP_SEAT_NONE);
  }
  mp_os_mutex_give(&scheduler->seats.lock);
  return open;
}

/* After it has been started, or not. Whoever joins the threads has passed this one by meanwhile? */
static void note_start(mp_scheduler *scheduler, mp_worker *worker, const mp_os_thread *thread,
                       mp_status status) {
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  bool passed_by = seats->joined;
  worker->started = status == MP_OK && !passed_by;
  if (worker->started) worker->joinable = *thread;
  if (status != MP_OK) {
    deactivate_locked(scheduler, worker);
    mp_sub_relaxed(&seats->alive, 1);
  }
  mp_os_mutex_give(&scheduler->seats.lock);
  if (status == MP_OK && passed_by) mp_os_thread_detach(*thread);
}

/*
** Starts a thread for a seat that the caller has counted in `running`, and as an extra if it is
** one.
*/
static mp_status start_counted(mp_scheduler *scheduler, bool extra) {
  const mp_scheduler_config *config = &scheduler->config;
  mp_seats *seats = &scheduler->seats;
  mp_status status;
  mp_worker *worker = get_slot(scheduler, &status);
  if (worker != NULL && !prepare(scheduler, worker, extra)) {
    status = MP_SHUTDOWN;
  } else if (worker != NULL) {
    config->thread_comes(config->ud);
    mp_os_thread thread;
    status = mp_os_thread_start(&thread, config->stack_size, scheduler->thread_main, worker);
    note_start(scheduler, worker, &thread, status);
    if (status == MP_OK) return MP_OK;
    config->thread_gone(config->ud, 0);
  }
  mp_os_mutex_take(&scheduler->seats.lock);
  if (worker != NULL) put_slot_locked(scheduler, worker);
  mp_sub_relaxed(&seats->running, 1);
  if (extra) mp_sub_relaxed(&seats->extras, 1);
  mp_os_mutex_give(&scheduler->seats.lock);
  return status;
}

mp_status mp_seats_add(mp_scheduler *scheduler) {
  mp_os_mutex_take(&scheduler->seats.lock);
  mp_add_relaxed(&scheduler->seats.running, 1);
  mp_os_mutex_give(&scheduler->seats.lock);
  return start_counted(scheduler, false);
}

void mp_seats_open(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  seats->open = true;
  uint32_t slots = mp_load_relaxed(&seats->slots);
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&seats->slot[i]);
    mp_store_release(&worker->seat_gate.word, MP_SEAT_GIVEN); /* pairs with begin */
    mp_os_gate_wake_one(&worker->seat_gate);
  }
  mp_os_mutex_give(&scheduler->seats.lock);
}

void mp_seats_dismiss_last(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  uint32_t at = mp_load_relaxed(&seats->slots) - 1;
  mp_worker *last = mp_load_relaxed(&seats->slot[at]);
  while (!last->started) last = mp_load_relaxed(&seats->slot[--at]); /* one that could not start */
  mp_store_release(&last->seat_gate.word, MP_SEAT_DISMISSED);        /* pairs with begin */
  mp_os_gate_wake_one(&last->seat_gate);
  mp_os_thread_join(last->joinable);
  mp_os_mutex_take(&scheduler->seats.lock);
  assert(last->ended);
  last->started = last->ended = false;
  mp_sub_relaxed(&seats->running, 1);
  deactivate_locked(scheduler, last);
  put_slot_locked(scheduler, last);
  mp_os_mutex_give(&scheduler->seats.lock);
}

void mp_seats_end(mp_worker *worker, bool retired) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  assert(!worker->ended && mp_load_relaxed(&seats->alive) > 0);
  worker->ended = true;
  mp_sub_relaxed(&seats->alive, 1);
  if (retired) put_slot_locked(scheduler, worker);
  mp_os_mutex_give(&scheduler->seats.lock);
}

unsigned mp_seats_join(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  unsigned stuck = 0;
  mp_os_mutex_take(&scheduler->seats.lock);
  seats->joined = true;
  mp_os_mutex_give(&scheduler->seats.lock);
  uint32_t slots = mp_load_acquire(&seats->slots);
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&seats->slot[i]);
    mp_os_mutex_take(&scheduler->seats.lock);
    bool started = worker->started, ended = worker->ended;
    worker->started = false;
    mp_os_mutex_give(&scheduler->seats.lock);
    if (!started) continue;
    if (ended)
      mp_os_thread_join(worker->joinable);
    else
      mp_os_thread_detach(worker->joinable), stuck++;
  }
  return stuck;
}

/* }====================================================== */

/*
** {======================================================
** Seats
** =======================================================
*/

/* Threads with a seat of the pool's own. */
static uint32_t regular_locked(const mp_scheduler *scheduler) MP_HOLDS(scheduler->seats.lock) {
  const mp_seats *seats = &scheduler->seats;
  return mp_load_relaxed(&seats->running) - mp_load_relaxed(&seats->extras);
}

/* A thread that was let in for the lane has its seat no longer, if it is one. */
static bool drop_extra_locked(mp_scheduler *scheduler, mp_worker *worker)
    MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  if (!mp_load_relaxed(&worker->extra)) return false;
  mp_store_relaxed(&worker->extra, 0);
  mp_sub_relaxed(&seats->extras, 1);
  mp_sub_relaxed(&seats->running, 1);
  return true;
}

/* An extra that is there already takes a regular seat. False: there is none. */
static bool promote_extra_locked(mp_scheduler *scheduler) MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  uint32_t n = mp_load_relaxed(&seats->active_count);
  for (uint32_t i = 0; i < n && mp_load_relaxed(&seats->extras) > 0; i++) {
    mp_worker *worker = mp_load_relaxed(&seats->active[i]);
    if (!mp_load_relaxed(&worker->extra)) continue;
    mp_store_relaxed(&worker->extra, 0);
    mp_sub_relaxed(&seats->extras, 1);
    return true;
  }
  return false;
}

static void let_in_locked(mp_scheduler *scheduler, bool extra) MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  mp_worker *spare = seats->spares;
  assert(spare != NULL && mp_load_relaxed(&spare->seat_gate.word) == MP_SEAT_NONE);
  seats->spares = spare->next_spare;
  activate_locked(scheduler, spare);
  mp_add_relaxed(&seats->running, 1);
  if (extra) mp_add_relaxed(&seats->extras, 1);
  mp_store_relaxed(&spare->extra, extra);
  mp_store_release(&spare->seat_gate.word, MP_SEAT_GIVEN); /* pairs with await_seat */
  mp_os_gate_wake_one(&spare->seat_gate);
}

/*
** An extra, or a spare, takes a seat if one is free. True: a thread must be started for it, which
** counts already.
*/
static bool fill_locked(mp_scheduler *scheduler) MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  if (regular_locked(scheduler) >= scheduler->config.workers || mp_load_relaxed(&scheduler->stop) ||
      promote_extra_locked(scheduler))
    return false;
  if (seats->spares != NULL) {
    let_in_locked(scheduler, false);
    return false;
  }
  mp_add_relaxed(&seats->running, 1);
  return true;
}

/* A seat is free: a spare takes it. True: a thread must be started for it, which counts already. */
static bool pass_on_locked(mp_scheduler *scheduler) MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  assert(mp_load_relaxed(&seats->running) > 0);
  mp_sub_relaxed(&seats->running, 1);
  return fill_locked(scheduler);
}

/* Says once that no replacement can be had, and again when one could be had in between. */
static void note_replacement(mp_scheduler *scheduler, mp_status status) {
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  bool refused = status != MP_OK && status != MP_SHUTDOWN, news = refused && !seats->refused;
  seats->refused = refused;
  mp_os_mutex_give(&scheduler->seats.lock);
  if (!news) return;
  mp_log_write(scheduler->log, MP_LOG_WARN, "pool",
               "no replacement for a worker that waits or is stuck: %s",
               status == MP_BUSY ? "workers_extra threads run already" : mp_status_text(status));
}

mp_status mp_seats_fill(mp_scheduler *scheduler) {
  mp_status status = start_counted(scheduler, false);
  note_replacement(scheduler, status);
  return status;
}

void mp_seats_refill(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  uint64_t now = mp_os_now();
  mp_os_mutex_take(&scheduler->seats.lock);
  bool wanted = now >= seats->refill_ns && fill_locked(scheduler);
  if (wanted) seats->refill_ns = now + REFILL_NS;
  mp_os_mutex_give(&scheduler->seats.lock);
  if (wanted) (void)!mp_seats_fill(scheduler);
}

void mp_seats_let_in_extra(mp_scheduler *scheduler) {
  mp_seats *seats = &scheduler->seats;
  mp_seats_refill(scheduler); /* a regular seat that is empty is to be filled first */
  mp_os_mutex_take(&scheduler->seats.lock);
  bool may = mp_load_relaxed(&seats->extras) < scheduler->config.workers &&
             regular_locked(scheduler) >= scheduler->config.workers &&
             !mp_load_relaxed(&scheduler->stop);
  bool wanted = may && seats->spares == NULL;
  if (wanted) {
    mp_add_relaxed(&seats->running, 1);
    mp_add_relaxed(&seats->extras, 1);
  } else if (may) {
    let_in_locked(scheduler, true);
  }
  mp_os_mutex_give(&scheduler->seats.lock);
  /* where none can be had it stays overdue: who runs will find it */
  if (wanted) (void)!start_counted(scheduler, true);
}

mp_status mp_seats_give(mp_worker *worker, bool *others_run) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  *others_run = true;
  if (worker == scheduler->owner) return MP_OK;
  mp_os_mutex_take(&scheduler->seats.lock);
  assert(!worker->blocked);
  worker->blocked = true;
  /*
  ** one that is stuck gave up its seat when it was marked so, and an extra has none of the pool's;
  ** but perhaps nobody could be had for another
  */
  bool has_seat = !mp_load_relaxed(&worker->stuck) && !drop_extra_locked(scheduler, worker);
  bool wanted = has_seat ? pass_on_locked(scheduler) : fill_locked(scheduler);
  mp_os_mutex_give(&scheduler->seats.lock);
  mp_status status = wanted ? mp_seats_fill(scheduler) : MP_OK;
  *others_run = status == MP_OK || mp_load_relaxed(&seats->running) > 0;
  return status;
}

void mp_seats_take_back(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  if (worker == scheduler->owner) return;
  mp_os_mutex_take(&scheduler->seats.lock);
  assert(worker->blocked);
  worker->blocked = false;
  if (!mp_load_relaxed(&worker->stuck) && !MP_BUGGY(UNBLOCK_FORGETS))
    mp_add_relaxed(&seats->running, 1);
  mp_os_mutex_give(&scheduler->seats.lock);
}

bool mp_seats_mark_stuck(mp_worker *worker, const mp_frame *inside, bool *vacant) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  *vacant = false;
  mp_os_mutex_take(&scheduler->seats.lock);
  bool marked = worker != scheduler->owner && !worker->blocked &&
                !mp_load_relaxed(&worker->stuck) &&
                mp_load_relaxed(&seats->stuck) < scheduler->config.stuck_max;
  if (marked) {
    worker->stuck_frame = inside;
    mp_store_release(&worker->stuck, 1); /* pairs with mp_frame_pop */
    mp_add_relaxed(&seats->stuck, 1);
    *vacant =
        drop_extra_locked(scheduler, worker) ? fill_locked(scheduler) : pass_on_locked(scheduler);
  }
  mp_os_mutex_give(&scheduler->seats.lock);
  return marked;
}

void mp_seats_unmark_stuck(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  assert(mp_load_relaxed(&worker->stuck) && mp_load_relaxed(&seats->stuck) > 0);
  mp_store_relaxed(&worker->stuck, 0);
  mp_sub_relaxed(&seats->stuck, 1);
  if (!worker->blocked) mp_add_relaxed(&seats->running, 1);
  mp_os_mutex_give(&scheduler->seats.lock);
}

/* }====================================================== */

/*
** {======================================================
** Spares
** =======================================================
*/

/* False: it has been let in meanwhile. */
static bool leave_spares(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  mp_worker **link = &seats->spares;
  while (*link != NULL && *link != worker) link = &(*link)->next_spare;
  bool found = *link == worker;
  if (found) *link = worker->next_spare;
  mp_os_mutex_give(&scheduler->seats.lock);
  return found;
}

static void join_spares_locked(mp_scheduler *scheduler, mp_worker *worker)
    MP_HOLDS(scheduler->seats.lock) {
  mp_seats *seats = &scheduler->seats;
  worker->next_spare = seats->spares;
  seats->spares = worker;
}

/* Those that were spares when the pool stopped have been let in. */
static void rejoin_spares(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_os_mutex_take(&scheduler->seats.lock);
  join_spares_locked(scheduler, worker);
  if (mp_load_relaxed(&scheduler->stop)) let_in_locked(scheduler, false);
  mp_os_mutex_give(&scheduler->seats.lock);
}

/*
** True: it has been let in. While it tidies up, or when nobody has needed it for long, it is none.
*/
static bool await_seat(mp_worker *worker, void (*tidy)(mp_worker *worker)) {
  uint64_t idle_ns = worker->scheduler->config.idle_after_ns;
  assert(worker->unseated && mp_worker_self() == worker);
  for (int periods = 0;; periods += periods < RETIRE_AFTER) {
    uint64_t deadline = mp_os_deadline(idle_ns);
    mp_status status = MP_OK;
    while (mp_load_acquire(&worker->seat_gate.word) == MP_SEAT_NONE && status != MP_TIMEOUT)
      status = mp_os_gate_wait(&worker->seat_gate, MP_SEAT_NONE, deadline);
    if (mp_load_acquire(&worker->seat_gate.word) != MP_SEAT_NONE) return true;
    bool retires = periods == RETIRE_AFTER;
    bool tidies = worker->untidy || mp_load_relaxed(&worker->mail) != 0;
    if ((!retires && !tidies) || !leave_spares(worker)) continue;
    if (tidies) tidy(worker);
    if (mp_is_orphan(worker)) return true;
    if (retires) return false;
    rejoin_spares(worker);
  }
}

bool mp_seats_become_spare(mp_worker *worker, void (*tidy)(mp_worker *worker)) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_seats *seats = &scheduler->seats;
  mp_os_mutex_take(&scheduler->seats.lock);
  bool extra = mp_load_relaxed(&worker->extra);
  bool surplus = (extra || mp_seats_surplus(scheduler)) && !mp_load_relaxed(&scheduler->stop);
  if (surplus) {
    if (!drop_extra_locked(scheduler, worker)) mp_sub_relaxed(&seats->running, 1);
    deactivate_locked(scheduler, worker);
    mp_store_relaxed(&worker->seat_gate.word, MP_SEAT_NONE);
    join_spares_locked(scheduler, worker);
  }
  mp_os_mutex_give(&scheduler->seats.lock);
  if (!surplus) return true;
  worker->unseated = true;
  scheduler->config.idle(scheduler->config.ud);
  /* it may have been woken for work that somebody else must now do */
  mp_park_notify(&scheduler->park);
  bool let_in = await_seat(worker, tidy);
  worker->unseated = !let_in;
  return let_in;
}

void mp_seats_dismiss_spares(mp_scheduler *scheduler) {
  mp_os_mutex_take(&scheduler->seats.lock);
  while (scheduler->seats.spares != NULL) let_in_locked(scheduler, false);
  mp_os_mutex_give(&scheduler->seats.lock);
}

/* }====================================================== */
