#include "scheduler.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "bug.h"
#include "pick.h"
#include "place.h"
#include "seats.h"
#include "spin.h"

/*
** {======================================================
** A worker's loop
** =======================================================
*/

/* Returns the continuation that is to run next, or NULL. */
static mp_entry *run_one(mp_worker *worker, mp_entry *entry) {
  worker->continuation = NULL;
  entry->run(worker, entry); /* the entry's memory may be gone after this */
  entry = worker->continuation;
  /* a long chain must not shut out anything else */
  if (entry == NULL || mp_pick_goes_on(worker, 0)) return entry;
  const mp_scheduler_config *config = &worker->scheduler->config;
  config->requeue(worker, entry, config->ud);
  return NULL;
}

void mp_scheduler_run(mp_worker *worker, mp_entry *entry) {
  /* who waits further up the stack may have left one before */
  mp_entry *outer = worker->continuation;
  while (entry != NULL && !mp_is_orphan(worker)) entry = run_one(worker, entry);
  worker->continuation = outer;
  mp_place_settle(worker);
}

void mp_scheduler_end_search(mp_scheduler *scheduler) {
  if (mp_park_search_end(&scheduler->park) && mp_pick_has_work(scheduler))
    mp_park_notify(&scheduler->park);
}

static void begin_search(mp_worker *worker) {
  if (worker->searching) return;
  worker->searching = true;
  mp_park_search_begin(&worker->scheduler->park);
}

static void end_search(mp_worker *worker) {
  if (!worker->searching) return;
  worker->searching = false;
  mp_scheduler_end_search(worker->scheduler);
}

static bool tell_if_hurried(const mp_scheduler *scheduler) {
  const mp_scheduler_config *config = &scheduler->config;
  if (config->hurried(config->ud)) config->idle(config->ud);
  return true;
}

/*
** Without giving up the CPU in between: sched_yield would delay new work by a scheduler tick.
*/
static mp_entry *search(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  begin_search(worker);
  mp_entry *entry = mp_pick_remote(worker);
  if (entry != NULL || scheduler->config.spin_ns == 0) return entry;
  if (!mp_place_may_spin(worker)) return NULL;
  mp_spin spin = mp_spin_begin(scheduler, &worker->spin);
  bool told = false;
  uint64_t now;
  do {
    for (int i = 0; i < 8 && mp_inbox_seems_empty(&scheduler->inbox, MP_LEVEL_NORMAL); i++)
      mp_pause();
    entry = mp_pick(worker);
    now = mp_os_now();
    /* whoever waits until all is done need not wait until this worker sleeps */
    if (entry == NULL && !told && mp_spin_is_long(&spin, now)) told = tell_if_hurried(scheduler);
  } while (entry == NULL && mp_spin_goes_on(&spin, now) && !mp_load_relaxed(&scheduler->stop));
  mp_spin_end(&spin, entry != NULL);
  return entry;
}

static void *start_hook(mp_worker *worker) {
  const mp_scheduler_config *config = &worker->scheduler->config;
  if (config->worker_start == NULL) return NULL;
  mp_store_release(&worker->in_hook, 1);
  void *local = config->worker_start(worker, config->worker_ud);
  mp_store_release(&worker->in_hook, 0);
  return local;
}

static void stop_hook(mp_worker *worker) {
  const mp_scheduler_config *config = &worker->scheduler->config;
  if (config->worker_stop == NULL) return;
  mp_store_release(&worker->in_hook, 1);
  config->worker_stop(worker, worker->local, config->worker_ud);
  mp_store_release(&worker->in_hook, 0);
}

/* True: it wants to be called again. */
static bool idle_hook(mp_worker *worker) {
  const mp_scheduler_config *config = &worker->scheduler->config;
  if (config->worker_idle == NULL) return false;
  mp_store_release(&worker->in_hook, 1);
  bool more = config->worker_idle(worker, worker->local, config->worker_ud) != 0;
  mp_store_release(&worker->in_hook, 0);
  return more;
}

void mp_scheduler_tell_mail(mp_worker *worker) {
  mp_store_seq(&worker->mail, 1);
  if (!MP_BUGGY(MAIL_UNHEARD)) mp_park_tell(&worker->scheduler->park, &worker->parker);
}

/* The host hears of messages to the worker's mailboxes. */
static void mail_hook(mp_worker *worker) {
  const mp_scheduler_config *config = &worker->scheduler->config;
  if (mp_load_relaxed(&worker->mail) == 0) return;
  mp_store_seq(&worker->mail, 0); /* before it looks: what comes from here on is told anew */
  if (config->worker_mail == NULL) return;
  mp_store_release(&worker->in_hook, 1);
  config->worker_mail(worker, worker->local, config->worker_ud);
  mp_store_release(&worker->in_hook, 0);
}

/* When a worker that goes to sleep is to tidy up. */
static uint64_t tidy_at(const mp_worker *worker) {
  return worker->untidy ? mp_os_deadline(worker->scheduler->config.idle_after_ns) : MP_FOREVER;
}

/*
** The host's idle hook, piece by piece, so that work that comes is not kept waiting; then the
** pool's own. The worker does not count as one that searches meanwhile.
*/
static void tidy(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  const mp_scheduler_config *config = &scheduler->config;
  end_search(worker);
  mail_hook(worker);
  do worker->untidy = idle_hook(worker);
  while (worker->untidy && !mp_is_orphan(worker) && !mp_pick_has_work(scheduler) &&
         !mp_load_relaxed(&scheduler->stop));
  if (mp_is_orphan(worker)) return;
  if (!worker->untidy) config->tidied(worker, config->ud);
  /* what the hook has queued; nobody looks into the deque of a worker that is a spare */
  mp_pick_give_up_deque(worker);
  config->idle(config->ud); /* it may have run the last task */
}

static bool has_reason_to_wake(void *ud) {
  mp_worker *worker = ud;
  mp_scheduler *scheduler = worker->scheduler;
  scheduler->config.idle(scheduler->config.ud);
  if (!MP_BUGGY(NO_RECHECK) && mp_pick_has_work(scheduler)) return true;
  if (mp_load_seq(&scheduler->stop) || mp_load_seq(&worker->mail) != 0) return true;
  mp_bump(&worker->counters.parks);
  return false;
}

/* The worker searches, and has found nothing. */
static void park(mp_worker *worker) {
  uint64_t parks = mp_load_relaxed(&worker->counters.parks);
  MP_BUG_GAP(NO_RECHECK);
  mp_status status = mp_park_sleep_unless(&worker->scheduler->park, true, &worker->parker,
                                          tidy_at(worker), has_reason_to_wake, worker);
  if (mp_load_relaxed(&worker->counters.parks) == parks) return; /* it did not sleep */
  worker->contention.at_once = 0;
  if (status == MP_TIMEOUT)
    tidy(worker);
  else
    mp_place_woken(worker);
}

/* What an extra is here for: what waited when it came. False: there is nothing left of it. */
static bool run_overdue(mp_worker *worker) {
  mp_lane *lane = &worker->scheduler->lane;
  if (!worker->serves) worker->to_serve = mp_lane_count(lane);
  worker->serves = true;
  mp_entry *entry = worker->to_serve > 0 ? mp_lane_pop(lane) : NULL;
  if (entry == NULL) return false;
  worker->to_serve--;
  worker->untidy = true;
  mp_scheduler_run(worker, entry);
  return true;
}

/* Runs until the pool stops, or nobody has needed this worker for long: then false. */
static bool loop(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  while (!mp_load_relaxed(&scheduler->stop) && !mp_is_orphan(worker)) {
    bool extra = mp_load_relaxed(&worker->extra);
    if (extra || mp_seats_surplus(scheduler)) {
      end_search(worker);
      mp_pick_give_up_deque(worker);
      if (extra && run_overdue(worker)) continue;
      if (extra) mail_hook(worker); /* before long it may be let in again */
      worker->serves = false;
      if (!mp_seats_become_spare(worker, tidy)) return false;
      continue;
    }
    if (mp_load_relaxed(&worker->mail) != 0) {
      end_search(worker);
      mail_hook(worker);
      worker->untidy = true;
      continue; /* it may be stuck, or one too many, by now */
    }
    mp_entry *entry = mp_pick_local(worker);
    bool at_once = entry != NULL;
    if (entry == NULL && (entry = search(worker)) == NULL) {
      park(worker);
      continue;
    }
    end_search(worker);
    worker->untidy = true;
    mp_pick_note_contention(worker, at_once);
    mp_scheduler_run(worker, entry);
    mp_pick_back_off(worker);
  }
  return true;
}

/* The pool stops. Tasks that are left cancel themselves; for pieces somebody waits. */
static void clear(mp_worker *worker) {
  mp_entry *entry;
  end_search(worker);
  while (!mp_is_orphan(worker) && (entry = mp_pick(worker)) != NULL)
    mp_scheduler_run(worker, entry);
}

/* False: it is to end before it has begun. */
static bool begin(mp_worker *worker) {
  const mp_scheduler_config *config = &worker->scheduler->config;
  char name[16];
  uint32_t word;
  snprintf(name, sizeof name, "mp-worker-%u", worker->index);
  mp_os_thread_name(name);
  mp_self_worker = worker;
  worker->thread = mp_os_thread_self();
  worker->unseated = false;
  mp_worker_note_stack(worker, config->stack_size);
  if (config->interrupt_signal != 0) mp_os_interrupt_listen(config->interrupt_signal);
  /* pairs with the release by whoever starts it, or tells it to begin */
  while ((word = mp_load_acquire(&worker->seat_gate.word)) == MP_SEAT_NONE)
    (void)!mp_os_gate_wait(&worker->seat_gate, MP_SEAT_NONE, MP_FOREVER);
  return word == MP_SEAT_GIVEN;
}

static void *worker_main(void *arg) {
  mp_worker *worker = arg;
  const mp_scheduler_config *config = &worker->scheduler->config;
  bool retired = false;
  if (begin(worker)) {
    worker->local = start_hook(worker);
    retired = !loop(worker);
    if (!retired) clear(worker);
    if (mp_is_orphan(worker)) return NULL; /* in a child of fork(2): all locks may be held */
    stop_hook(worker);
    if (mp_is_orphan(worker)) return NULL;
    worker->local = NULL;
    mp_pick_give_up_deque(worker); /* what the hook has queued */
  }
  mp_self_worker = NULL; /* what this thread does from here on, it does as any other */
  config->tidied(worker, config->ud);
  uint32_t releases = worker->tasks.pool_releases;
  worker->tasks.pool_releases = 0;
  mp_seats_end(worker, retired);
  /* another thread may have the slot from here on */
  config->thread_ended(config->ud);
  config->thread_gone(config->ud, releases);
  return NULL;
}

/* }====================================================== */

/*
** {======================================================
** Beginning and end
** =======================================================
*/

static mp_status start_threads(mp_scheduler *scheduler, mp_status *fewer) {
  unsigned wanted = scheduler->config.workers, started = 0;
  mp_status status = scheduler->config.owner_works ? mp_seats_add_owner(scheduler) : MP_OK;
  *fewer = MP_OK;
  if (status != MP_OK) return status;
  while (started < wanted && (status = mp_seats_add(scheduler)) == MP_OK) started++;
  if (started == 0) return status;
  scheduler->config.workers = started;
  *fewer = status;
  return MP_OK;
}

mp_status mp_scheduler_init(mp_scheduler *scheduler, mp_alloc *alloc, mp_log *log,
                            const mp_scheduler_config *config, mp_status *fewer) {
  memset(scheduler, 0, sizeof *scheduler);
  scheduler->config = *config;
  scheduler->alloc = alloc;
  scheduler->log = log;
  scheduler->thread_main = worker_main;
  mp_spin_budget_init(&scheduler->outside, config->spin_free_ns);
  mp_status status = mp_inbox_init(&scheduler->inbox);
  if (status != MP_OK) return status;
  if ((status = mp_lane_init(&scheduler->lane)) != MP_OK) goto fail_lane;
  if ((status = mp_park_init(&scheduler->park)) != MP_OK) goto fail_park;
  if ((status = mp_seats_init(scheduler)) != MP_OK) goto fail_seats;
  if ((status = start_threads(scheduler, fewer)) == MP_OK) return MP_OK;
  mp_seats_close(scheduler);
fail_seats:
  mp_park_close(&scheduler->park);
fail_park:
  mp_lane_close(&scheduler->lane);
fail_lane:
  mp_inbox_close(&scheduler->inbox);
  return status;
}

bool mp_scheduler_dismiss_one(mp_scheduler *scheduler) {
  if (scheduler->config.workers == 1) return false;
  scheduler->config.workers--;
  mp_seats_dismiss_last(scheduler);
  return true;
}

void mp_scheduler_begin(mp_scheduler *scheduler) {
  mp_seats_open(scheduler);
  if (scheduler->owner != NULL) scheduler->owner->local = start_hook(scheduler->owner);
}

void mp_scheduler_stop(mp_scheduler *scheduler) {
  mp_store_seq(&scheduler->stop, 1); /* before the wake-ups; pairs with the look before a sleep */
  mp_seats_dismiss_spares(scheduler);
  mp_park_wake_all(&scheduler->park);
}

void mp_scheduler_stop_owner(mp_scheduler *scheduler) {
  mp_worker *owner = scheduler->owner;
  if (owner == NULL || owner->ended) return;
  owner->ended = true;
  stop_hook(owner);
  owner->local = NULL;
}

void mp_scheduler_close(mp_scheduler *scheduler) {
  mp_seats_close(scheduler);
  mp_park_close(&scheduler->park);
  mp_lane_close(&scheduler->lane);
  mp_inbox_close(&scheduler->inbox);
}

/* }====================================================== */
