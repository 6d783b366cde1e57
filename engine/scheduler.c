#include "scheduler.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "bug.h"

#define PROBE_OFTEN 32   /* one look of so many is a probe */
#define PROBE_SELDOM 512 /* when they find nothing */
#define FAIR_EVERY 64    /* picks between two looks at the lowest level first */
/* small shares of the inbox in a row, each there at once, until a worker rests */
#define HASTE_MAX 16
#define REST_NS ((uint64_t)500)
/*
** times that a worker was put on the CPU of whoever woke it, each soon after the one before, until
** it leaves
*/
#define CROWDED_MAX 8
#define CROWDED_NS ((uint64_t)100000)
#define DISPLACED_NS ((uint64_t)100000) /* so long may a worker work on its waker's CPU */
#define OWNER_STACK ((size_t)1 << 20)
#define INTERRUPT_LOOKS 10000

MP_THREAD_LOCAL mp_worker *mp_self_worker;

mp_worker *mp_scheduler_owner_enter(mp_scheduler *scheduler) {
  mp_worker *before = mp_self_worker;
  char here;
  if (before == scheduler->owner) return before;
  mp_self_worker = scheduler->owner;
  /* the owner's stack is the host's: assume no more below here than the least a worker has */
  scheduler->owner->stack_low = (const char *)((uintptr_t)&here - OWNER_STACK);
  return before;
}

void mp_scheduler_owner_leave(mp_worker *before) {
  mp_worker *owner = mp_self_worker;
  if (before == owner) return;
  /*
  ** an interrupt that is on its way would be taken for the host's; it comes at once, unless the
  ** host blocks it
  */
  for (int i = 0; i < INTERRUPT_LOOKS && mp_load_relaxed(&owner->interrupted) != 0; i++) mp_pause();
  mp_store_relaxed(&owner->interrupted, 0);
  mp_self_worker = before;
}

/*
** {======================================================
** Queues
** =======================================================
*/

void mp_scheduler_push_ordered(mp_scheduler *scheduler, mp_job *job, mp_order *order,
                               int priority) {
  mp_inbox_push_ordered(&scheduler->inbox, job, order, priority);
  mp_park_notify(&scheduler->park);
}

void mp_scheduler_push(mp_scheduler *scheduler, mp_worker *self, mp_job *job) {
  if (MP_BUGGY(NOTIFY_FIRST)) mp_park_notify(&scheduler->park);
  MP_BUG_GAP(NOTIFY_FIRST);
  if (self != NULL && mp_deque_push_owner(&self->deque, job)) {
    int64_t at = mp_deque_bottom(&self->deque) - 1;
    if (at < self->floor) self->floor = at;
  } else {
    mp_inbox_push(&scheduler->inbox, job, job, 1);
  }
  if (!MP_BUGGY(NOTIFY_FIRST)) mp_park_notify(&scheduler->park);
}

void mp_scheduler_push_chain(mp_scheduler *scheduler, mp_job *head, mp_job *tail, size_t n) {
  mp_inbox_push(&scheduler->inbox, head, tail, n);
  mp_park_notify(&scheduler->park);
}

#define SHARE_MAX (MP_GRAB_MAX < MP_DEQUE_CAPACITY ? MP_GRAB_MAX : MP_DEQUE_CAPACITY)

/*
** Takes a share of the inbox: the first to run, the rest for the own deque, so that it pops them
** oldest first.
*/
static mp_job *grab(mp_worker *worker, size_t max) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_job *jobs[MP_GRAB_MAX];
  size_t n = mp_inbox_grab(&scheduler->inbox, jobs, max, scheduler->config.workers);
  if (n == 0) return NULL;
  worker->small_share = n < MP_GRAB_MAX / 2;
  for (size_t i = n - 1; i > 0; i--)
    if (!mp_deque_push_owner(&worker->deque, jobs[i]))
      mp_inbox_push(&scheduler->inbox, jobs[i], jobs[i], 1);
  worker->floor = mp_deque_bottom(&worker->deque);
  /* while they were in no queue, a searcher may have gone to sleep */
  if (n > 1) mp_park_notify(&scheduler->park);
  return jobs[0];
}

static bool has_own(const mp_worker *worker) {
  return mp_deque_bottom(&worker->deque) > worker->floor;
}

mp_job *mp_scheduler_find_own(mp_worker *worker) {
  return has_own(worker) ? mp_deque_pop_owner(&worker->deque) : NULL;
}

static mp_job *pick_local(mp_worker *worker, bool fair) {
  mp_inbox *inbox = &worker->scheduler->inbox;
  mp_job *job;
  if (fair && (job = mp_inbox_pop_ordered(inbox, MP_LEVEL_LOW)) != NULL) return job;
  /*
  ** what it pushed itself may go on for ever; a share taken from the inbox comes before the rest of
  ** the inbox
  */
  if (fair && has_own(worker) && (job = grab(worker, 1)) != NULL) return job;
  if (!fair && (job = mp_inbox_pop_ordered(inbox, MP_LEVEL_HIGH)) != NULL) return job;
  if ((job = mp_deque_pop_owner(&worker->deque)) != NULL) return job;
  if ((job = grab(worker, SHARE_MAX)) != NULL) return job;
  return fair ? mp_inbox_pop_ordered(inbox, MP_LEVEL_HIGH) : NULL;
}

/*
** Is the next pick the one that looks at the lowest level first? Only what was found counts, not
** how often one looked.
*/
static bool is_fair_next(const mp_worker *worker) {
  return (worker->picks + 1) % FAIR_EVERY == 0 && !MP_BUGGY(LOW_STARVES);
}

static mp_job *find_local(mp_worker *worker) {
  mp_job *job = pick_local(worker, is_fair_next(worker));
  if (job != NULL) worker->picks++;
  return job;
}

/* xorshift (Marsaglia 2003): where to begin stealing */
static uint32_t next_random(mp_worker *worker) {
  uint32_t x = worker->random;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return worker->random = x;
}

static mp_job *find_remote(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  uint32_t slots = mp_load_acquire(&scheduler->slots), at = next_random(worker) % slots;
  for (uint32_t i = 0; i < slots; i++, at = at + 1 == slots ? 0 : at + 1) {
    mp_worker *victim = mp_load_relaxed(&scheduler->worker[at]);
    if (victim == worker) continue;
    mp_job *job = mp_deque_steal(&victim->deque);
    if (job != NULL) {
      mp_bump(&worker->counters.steals);
      return job;
    }
  }
  return mp_inbox_pop_ordered(&scheduler->inbox, MP_LEVEL_LOW);
}

mp_job *mp_scheduler_find(mp_worker *worker) {
  mp_job *job = find_local(worker);
  return job != NULL ? job : find_remote(worker);
}

bool mp_scheduler_has_work(mp_scheduler *scheduler) {
  for (int level = 0; level < MP_LEVELS; level++)
    if (mp_inbox_count(&scheduler->inbox, (mp_level)level) != 0) return true;
  uint32_t slots = mp_load_acquire(&scheduler->slots);
  for (uint32_t i = 0; i < slots; i++)
    if (!mp_deque_empty(&mp_load_relaxed(&scheduler->worker[i])->deque)) return true;
  return false;
}

/* }====================================================== */

void mp_word_complete(mp_scheduler *scheduler, mp_atomic_u32 *word) {
  /*
  ** release: publishes the work; pairs with the acquire in await. acquire: the waiter's index is a
  ** live slot
  */
  uint32_t before = mp_swap_acq_rel(word, MP_WORD_DONE);
  if (before == MP_WORD_PENDING) return;
  if (before == MP_WORD_OUTSIDE)
    mp_event_signal(scheduler->changed);
  else
    mp_park_poke(&scheduler->park,
                 &mp_load_relaxed(&scheduler->worker[before - MP_WORD_WORKER])->parker);
}

/*
** {======================================================
** A worker's loop
** =======================================================
*/

/* Returns the continuation that is to run next, or NULL. */
static mp_job *run_one(mp_worker *worker, mp_job *job) {
  mp_scheduler *scheduler = worker->scheduler;
  worker->next = NULL;
  if (job->kind == MP_JOB_FORKED) {
    job->run(worker, job);
    mp_word_complete(scheduler, &job->done);
    return NULL;
  }
  job->run(worker, job); /* the job's memory may be gone after this */
  job = worker->next;
  if (job == NULL) return NULL;
  /*
  ** a long chain must not shut out higher priorities, nor the fair pick (which counts in
  ** find_local)
  */
  if (is_fair_next(worker) || !mp_inbox_seems_empty(&scheduler->inbox, MP_LEVEL_HIGH)) {
    mp_scheduler_push(scheduler, worker, job);
    return NULL;
  }
  worker->picks++;
  return job;
}

void mp_scheduler_move_aside(mp_worker *worker) {
  if (mp_os_now() - worker->beside_ns < DISPLACED_NS) return;
  worker->beside_ns = 0;
  if (mp_park_beside_waker(&worker->scheduler->park) && mp_scheduler_is_roomy(worker->scheduler))
    (void)!mp_os_leave_cpu();
}

void mp_scheduler_run(mp_worker *worker, mp_job *job) {
  /* a finish further up the stack may have left one before it called the host, who waits here */
  mp_job *outer = worker->next;
  while (job != NULL) job = run_one(worker, job);
  worker->next = outer;
  mp_scheduler_settle(worker);
}

static void end_search(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  if (!worker->searching) return;
  worker->searching = false;
  if (mp_park_search_end(&scheduler->park) && mp_scheduler_has_work(scheduler))
    mp_park_notify(&scheduler->park);
}

void mp_patience_init(mp_patience *patience, uint64_t free_ns) {
  mp_store_relaxed(&patience->free_ns, (uint32_t)free_ns);
  mp_store_relaxed(&patience->until_probe, PROBE_OFTEN);
  mp_store_relaxed(&patience->spacing, PROBE_OFTEN);
}

/* Threads outside may overwrite each other's lessons: no harm. */
mp_look mp_look_begin(const mp_scheduler *scheduler, mp_patience *patience) {
  uint32_t left = mp_load_relaxed(&patience->until_probe);
  bool probe = left == 0;
  if (!probe) mp_store_relaxed(&patience->until_probe, left - 1);
  uint64_t free_ns = probe ? scheduler->config.spin_free_ns : mp_load_relaxed(&patience->free_ns);
  return (mp_look){scheduler, patience, mp_os_now(), free_ns, probe};
}

void mp_look_end(const mp_look *look, bool found) {
  const mp_scheduler_config *config = &look->scheduler->config;
  mp_patience *patience = look->patience;
  if (look->probe) {
    uint32_t twice = 2 * mp_load_relaxed(&patience->spacing), spacing = found ? PROBE_OFTEN
                                                                        : twice < PROBE_SELDOM
                                                                            ? twice
                                                                            : PROBE_SELDOM;
    mp_store_relaxed(&patience->spacing, spacing);
    mp_store_relaxed(&patience->until_probe, spacing);
    if (!found) return;
  }
  uint64_t free_ns = found ? 4 * look->free_ns : look->free_ns / 2;
  if (free_ns > config->spin_free_ns) free_ns = config->spin_free_ns;
  if (free_ns < config->spin_ns) free_ns = config->spin_ns;
  mp_store_relaxed(&patience->free_ns, (uint32_t)free_ns);
}

/*
** The kernel puts a thread that is woken on the waker's CPU for as long as it takes to notice that
** another one idles, which may be tens of milliseconds. For a job now and then that is well: it
** saves waking a CPU. But where jobs come in quick succession both would take turns on one CPU, and
** sleep and wake each other for each of them. True: it has gone elsewhere.
*/
static bool leave_waker(mp_worker *worker) {
  uint64_t now = mp_os_now();
  worker->crowded = now - worker->crowded_ns < CROWDED_NS ? worker->crowded + 1 : 0;
  worker->crowded_ns = now;
  if (worker->crowded < CROWDED_MAX || !mp_scheduler_is_roomy(worker->scheduler)) return false;
  worker->crowded = 0;
  return mp_os_leave_cpu();
}

/*
** Looks a while, without giving up the CPU in between: sched_yield would delay new work by a
** scheduler tick. But if the kernel has let it run where it was woken from, the thread that woke it
** cannot go on before it sleeps again.
*/
static mp_job *search(mp_worker *worker) {
  const mp_scheduler *scheduler = worker->scheduler;
  mp_job *job = find_remote(worker);
  if (job != NULL || scheduler->config.spin_ns == 0) return job;
  if (mp_park_beside_waker(&scheduler->park) && !leave_waker(worker)) return NULL;
  mp_look look = mp_look_begin(scheduler, &worker->patience);
  do {
    for (int i = 0; i < 8; i++) mp_pause();
    job = mp_scheduler_find(worker);
  } while (job == NULL && mp_look_goes_on(&look, mp_os_now()) &&
           !mp_load_relaxed(&scheduler->stop));
  mp_look_end(&look, job != NULL);
  return job;
}

/* When a worker that goes to sleep is to tidy up. */
static uint64_t tidy_at(const mp_worker *worker) {
  return worker->untidy ? mp_os_deadline(worker->scheduler->config.idle_after_ns) : MP_FOREVER;
}

/*
** The host's idle hook, piece by piece, so that work that comes is not kept waiting; then the
** pool's own.
*/
static void tidy(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  const mp_scheduler_config *config = &scheduler->config;
  do
    worker->untidy = config->worker_idle != NULL &&
                     config->worker_idle(worker, worker->local, config->worker_ud) != 0;
  while (worker->untidy && !mp_scheduler_has_work(scheduler) && !mp_load_relaxed(&scheduler->stop));
  if (!worker->untidy) config->tidied(worker, config->ud);
}

static void park(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  MP_BUG_GAP(NO_RECHECK);
  mp_park_announce(&scheduler->park, &worker->parker);
  scheduler->config.idle(scheduler->config.ud);
  if ((!MP_BUGGY(NO_RECHECK) && mp_scheduler_has_work(scheduler)) ||
      mp_load_seq(&scheduler->stop)) {
    mp_park_retract(&scheduler->park, &worker->parker);
    return;
  }
  mp_bump(&worker->counters.parks);
  bool timed_out = mp_park_sleep(&scheduler->park, &worker->parker, tidy_at(worker)) == MP_TIMEOUT;
  if (timed_out) tidy(worker);
  worker->beside_ns = !timed_out && mp_park_beside_waker(&scheduler->park) ? mp_os_now() : 0;
}

/*
** More threads run than the pool has workers: the first with nothing of its own waits among the
** spares.
*/
static void step_aside(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  end_search(worker);
  mp_os_mutex_take(&scheduler->lock);
  bool aside = mp_load_relaxed(&scheduler->running) > scheduler->config.workers &&
               !mp_load_relaxed(&scheduler->stop);
  if (aside) {
    mp_sub_relaxed(&scheduler->running, 1);
    mp_store_relaxed(&worker->spare_gate.word, 0);
    worker->next_spare = scheduler->spares;
    scheduler->spares = worker;
  }
  mp_os_mutex_give(&scheduler->lock);
  if (!aside) return;
  scheduler->config.idle(scheduler->config.ud);
  /* it may have been woken for work that somebody else must now do */
  mp_park_notify(&scheduler->park);
  while (mp_load_acquire(&worker->spare_gate.word) == 0) /* pairs with the release in let_in */
    if (mp_os_gate_wait(&worker->spare_gate, 0, tidy_at(worker)) == MP_TIMEOUT) tidy(worker);
}

/*
** Where jobs are so short that a worker keeps up with whoever submits them, the two meet at the
** inbox's lock for every single one, and both take twice as long. So a worker to which that happens
** again and again rests behind a small share: the next will be larger. One that has to look for its
** jobs, or sleeps, has no haste.
*/
static void count_haste(mp_worker *worker, bool at_once) {
  if (!worker->small_share) return;
  if (!at_once)
    worker->haste -= worker->haste > 0;
  else
    worker->haste += worker->haste < HASTE_MAX;
}

static void rest(mp_worker *worker) {
  /* the share is not done */
  if (!worker->small_share || !mp_deque_empty_owner(&worker->deque)) return;
  worker->small_share = false;
  if (worker->haste < HASTE_MAX) return;
  uint64_t until = mp_os_now() + REST_NS;
  do
    for (int i = 0; i < 4; i++) mp_pause();
  while (mp_os_now() < until);
}

static void loop(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  while (!mp_load_relaxed(&scheduler->stop)) {
    mp_job *job = find_local(worker);
    bool at_once = job != NULL;
    if (job == NULL) {
      if (mp_load_relaxed(&scheduler->running) > scheduler->config.workers) {
        step_aside(worker);
        continue;
      }
      if (!worker->searching) {
        worker->searching = true;
        mp_park_search_begin(&scheduler->park);
      }
      job = search(worker);
      if (job == NULL) {
        park(worker);
        worker->haste = 0;
        continue;
      }
    }
    end_search(worker);
    worker->untidy = true;
    count_haste(worker, at_once);
    mp_scheduler_run(worker, job);
    rest(worker);
  }
  end_search(worker);
  /* tasks that are left cancel themselves; for jobs somebody waits in a join */
  for (mp_job *job; (job = mp_scheduler_find(worker)) != NULL;) mp_scheduler_run(worker, job);
}

static void *worker_main(void *arg) {
  mp_worker *worker = arg;
  mp_scheduler *scheduler = worker->scheduler;
  char name[16], here;
  snprintf(name, sizeof name, "mp-worker-%u", worker->index);
  mp_os_thread_name(name);
  mp_self_worker = worker;
  worker->stack_low = &here - scheduler->config.stack_size;
  if (scheduler->config.interrupt_signal != 0)
    mp_os_interrupt_listen(scheduler->config.interrupt_signal);
  /* until mp_scheduler_init knows how many workers there are */
  mp_os_mutex_take(&scheduler->lock);
  mp_os_mutex_give(&scheduler->lock);
  if (scheduler->config.worker_start != NULL)
    worker->local = scheduler->config.worker_start(worker, scheduler->config.worker_ud);
  loop(worker);
  if (scheduler->config.worker_stop != NULL)
    scheduler->config.worker_stop(worker, worker->local, scheduler->config.worker_ud);
  mp_os_mutex_take(&scheduler->lock);
  worker->ended = true;
  scheduler->alive--;
  mp_os_mutex_give(&scheduler->lock);
  mp_event_signal(scheduler->changed);
  scheduler->config.thread_gone(worker, scheduler->config.ud);
  return NULL;
}

/* }====================================================== */

/*
** {======================================================
** Starting, replacing, stopping
** =======================================================
*/

/*
** Creates a slot and publishes it; the thread, if any, is started by the caller. NULL: no memory or
** no room.
*/
static mp_worker *add_slot_locked(mp_scheduler *scheduler) {
  uint32_t index = mp_load_relaxed(&scheduler->slots);
  if (index == scheduler->capacity) return NULL;
  mp_worker *worker = mp_alloc_aligned(scheduler->alloc, sizeof *worker);
  if (worker == NULL) return NULL;
  worker->scheduler = scheduler;
  worker->index = index;
  worker->random = index * 7919 + 13;
  mp_patience_init(&worker->patience, scheduler->config.spin_free_ns);
  if (mp_parker_init(&worker->parker) != MP_OK) goto fail_parker;
  if (mp_os_gate_init(&worker->spare_gate) != MP_OK) goto fail_gate;
  mp_store_relaxed(&scheduler->worker[index], worker);
  mp_store_release(&scheduler->slots, index + 1);
  return worker;
fail_gate:
  mp_parker_close(&worker->parker);
fail_parker:
  mp_alloc_free_aligned(scheduler->alloc, worker, sizeof *worker);
  return NULL;
}

static void free_slot(mp_scheduler *scheduler, mp_worker *worker) {
  mp_os_gate_close(&worker->spare_gate);
  mp_parker_close(&worker->parker);
  mp_alloc_free_aligned(scheduler->alloc, worker, sizeof *worker);
}

/*
** Adds a worker. The slot is taken back if its thread cannot start: nobody has pushed to its deque,
** but thieves may be reading it, so it is only put last among the slots again, for the next
** attempt.
*/
static mp_status add_worker_locked(mp_scheduler *scheduler) {
  mp_worker *worker = NULL;
  uint32_t slots = mp_load_relaxed(&scheduler->slots);
  if (slots > 0) worker = mp_load_relaxed(&scheduler->worker[slots - 1]);
  if (worker == NULL || worker->started || worker == scheduler->owner)
    worker = add_slot_locked(scheduler);
  if (worker == NULL) return MP_NOMEM;
  scheduler->config.thread_comes(scheduler->config.ud);
  mp_status status =
      mp_os_thread_start(&worker->thread, scheduler->config.stack_size, worker_main, worker);
  if (status != MP_OK) {
    scheduler->config.thread_gone(worker, scheduler->config.ud);
    return status;
  }
  worker->started = true;
  scheduler->alive++;
  mp_add_relaxed(&scheduler->running, 1);
  return MP_OK;
}

mp_status mp_scheduler_init(mp_scheduler *scheduler, mp_alloc *alloc, mp_log *log,
                            mp_event *changed, const mp_scheduler_config *config) {
  memset(scheduler, 0, sizeof *scheduler);
  scheduler->config = *config;
  scheduler->alloc = alloc;
  scheduler->log = log;
  scheduler->changed = changed;
  scheduler->capacity = config->workers + config->workers_extra + (config->owner_works ? 1 : 0);
  mp_patience_init(&scheduler->outside, config->spin_free_ns);
  mp_status status = mp_inbox_init(&scheduler->inbox);
  if (status != MP_OK) return status;
  if ((status = mp_park_init(&scheduler->park)) != MP_OK) goto fail_park;
  if ((status = mp_os_mutex_init(&scheduler->lock)) != MP_OK) goto fail_lock;
  status = MP_NOMEM;
  scheduler->worker = mp_alloc_zeroed(alloc, scheduler->capacity * sizeof *scheduler->worker);
  if (scheduler->worker == NULL) goto fail_slots;
  mp_os_mutex_take(&scheduler->lock);
  status = MP_OK;
  if (config->owner_works) {
    scheduler->owner = add_slot_locked(scheduler);
    if (scheduler->owner == NULL)
      status = MP_NOMEM;
    else
      scheduler->owner->thread = mp_os_thread_self();
  }
  unsigned started = 0;
  while (status == MP_OK && started < config->workers) {
    status = add_worker_locked(scheduler);
    if (status == MP_OK) started++;
  }
  if (started > 0 && status != MP_OK) {
    mp_log_write(log, MP_LOG_WARN, "pool", "started %u of %u workers: %s", started, config->workers,
                 mp_status_text(status));
    scheduler->config.workers = started;
    status = MP_OK;
  }
  mp_os_mutex_give(&scheduler->lock);
  if (status == MP_OK) {
    if (scheduler->owner != NULL && config->worker_start != NULL)
      scheduler->owner->local = config->worker_start(scheduler->owner, config->worker_ud);
    return MP_OK;
  }
  for (uint32_t i = 0; i < mp_load_relaxed(&scheduler->slots); i++)
    free_slot(scheduler, mp_load_relaxed(&scheduler->worker[i]));
  mp_alloc_free(alloc, scheduler->worker, scheduler->capacity * sizeof *scheduler->worker);
fail_slots:
  mp_os_mutex_close(&scheduler->lock);
fail_lock:
  mp_park_close(&scheduler->park);
fail_park:
  mp_inbox_close(&scheduler->inbox);
  return status;
}

static void let_in_locked(mp_scheduler *scheduler) {
  mp_worker *spare = scheduler->spares;
  scheduler->spares = spare->next_spare;
  mp_add_relaxed(&scheduler->running, 1);
  mp_store_release(&spare->spare_gate.word, 1);
  mp_os_gate_wake_one(&spare->spare_gate);
}

/* A worker's place is free: a spare takes it, or a new thread. */
static mp_status leave_locked(mp_scheduler *scheduler) {
  mp_sub_relaxed(&scheduler->running, 1);
  if (mp_load_relaxed(&scheduler->running) >= scheduler->config.workers ||
      mp_load_relaxed(&scheduler->stop))
    return MP_OK;
  if (scheduler->spares == NULL) return add_worker_locked(scheduler);
  let_in_locked(scheduler);
  return MP_OK;
}

static void log_no_replacement(mp_scheduler *scheduler, mp_status status) {
  if (status != MP_OK)
    mp_log_write(scheduler->log, MP_LOG_WARN, "pool",
                 "no replacement for a worker that waits or is stuck: %s", mp_status_text(status));
}

bool mp_scheduler_block(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  if (worker == scheduler->owner) return true;
  mp_os_mutex_take(&scheduler->lock);
  worker->blocked = true;
  mp_status status = mp_load_relaxed(&worker->stuck) ? MP_OK : leave_locked(scheduler);
  bool somebody_runs = mp_load_relaxed(&scheduler->running) > 0;
  mp_os_mutex_give(&scheduler->lock);
  log_no_replacement(scheduler, status);
  return status == MP_OK || somebody_runs;
}

void mp_scheduler_unblock(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  if (worker == scheduler->owner) return;
  mp_os_mutex_take(&scheduler->lock);
  worker->blocked = false;
  if (!mp_load_relaxed(&worker->stuck) && !MP_BUGGY(UNBLOCK_FORGETS))
    mp_add_relaxed(&scheduler->running, 1);
  mp_os_mutex_give(&scheduler->lock);
}

bool mp_scheduler_set_aside(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_status status = MP_OK;
  mp_os_mutex_take(&scheduler->lock);
  bool aside = worker != scheduler->owner && !worker->blocked && !mp_load_relaxed(&worker->stuck);
  if (aside) {
    mp_store_relaxed(&worker->stuck, 1);
    mp_add_relaxed(&scheduler->stuck, 1);
    status = leave_locked(scheduler);
  }
  mp_os_mutex_give(&scheduler->lock);
  log_no_replacement(scheduler, status);
  return aside;
}

void mp_scheduler_come_back(mp_worker *worker) {
  mp_scheduler *scheduler = worker->scheduler;
  mp_os_mutex_take(&scheduler->lock);
  mp_store_relaxed(&worker->stuck, 0);
  mp_sub_relaxed(&scheduler->stuck, 1);
  if (!worker->blocked) mp_add_relaxed(&scheduler->running, 1);
  mp_os_mutex_give(&scheduler->lock);
}

void mp_scheduler_stop(mp_scheduler *scheduler) {
  mp_os_mutex_take(&scheduler->lock);
  mp_store_seq(&scheduler->stop, 1); /* before the wake-up; pairs with the look after announce */
  while (scheduler->spares != NULL) let_in_locked(scheduler);
  mp_os_mutex_give(&scheduler->lock);
  mp_park_wake_all(&scheduler->park);
}

unsigned mp_scheduler_alive(mp_scheduler *scheduler) {
  mp_os_mutex_take(&scheduler->lock);
  unsigned alive = scheduler->alive;
  mp_os_mutex_give(&scheduler->lock);
  return alive;
}

unsigned mp_scheduler_join(mp_scheduler *scheduler, uint64_t deadline) {
  for (;;) {
    uint32_t seen = mp_event_seen(scheduler->changed);
    if (mp_scheduler_alive(scheduler) == 0 || mp_os_now() >= deadline) break;
    (void)!mp_event_wait(scheduler->changed, seen, deadline);
  }
  /*
  ** ended threads are joined; the others find their way out alone and free what they held
  ** (thread_gone)
  */
  unsigned stuck = 0;
  uint32_t slots = mp_load_acquire(&scheduler->slots);
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&scheduler->worker[i]);
    mp_os_mutex_take(&scheduler->lock);
    bool started = worker->started, ended = worker->ended;
    worker->started = false;
    mp_os_mutex_give(&scheduler->lock);
    if (!started) continue;
    if (ended)
      mp_os_thread_join(worker->thread);
    else
      mp_os_thread_detach(worker->thread), stuck++;
  }
  return stuck;
}

/* Jobs that drain did not want, chained by next, oldest first. */
typedef struct refused {
  mp_job *head, *tail;
  size_t n;
} refused;

static void offer(refused *back, mp_job *job, bool (*take)(mp_job *job, void *ud), void *ud) {
  if (take(job, ud)) return;
  if (back->n++ == 0)
    back->head = job;
  else
    back->tail->next = job;
  back->tail = job;
}

void mp_scheduler_drain(mp_scheduler *scheduler, bool (*take)(mp_job *job, void *ud), void *ud) {
  mp_job *job;
  refused back = {NULL, NULL, 0};
  while (mp_inbox_grab(&scheduler->inbox, &job, 1, 1) == 1) offer(&back, job, take, ud);
  for (int level = 0; level < MP_LEVELS && !MP_BUGGY(DRAIN_FORGETS); level++)
    while ((job = mp_inbox_pop_ordered(&scheduler->inbox, (mp_level)level)) != NULL)
      offer(&back, job, take, ud);
  uint32_t slots = mp_load_acquire(&scheduler->slots);
  for (uint32_t i = 0; i < slots; i++) {
    mp_deque *deque = &mp_load_relaxed(&scheduler->worker[i])->deque;
    while (!mp_deque_empty(deque))
      if ((job = mp_deque_steal(deque)) != NULL) offer(&back, job, take, ud);
  }
  if (back.n > 0) mp_scheduler_push_chain(scheduler, back.head, back.tail, back.n);
}

void mp_scheduler_close(mp_scheduler *scheduler) {
  uint32_t slots = mp_load_acquire(&scheduler->slots);
  if (scheduler->owner != NULL && scheduler->config.worker_stop != NULL)
    scheduler->config.worker_stop(scheduler->owner, scheduler->owner->local,
                                  scheduler->config.worker_ud);
  for (uint32_t i = 0; i < slots; i++) free_slot(scheduler, mp_load_relaxed(&scheduler->worker[i]));
  mp_alloc_free(scheduler->alloc, scheduler->worker,
                scheduler->capacity * sizeof *scheduler->worker);
  mp_os_mutex_close(&scheduler->lock);
  mp_park_close(&scheduler->park);
  mp_inbox_close(&scheduler->inbox);
}

/* }====================================================== */
