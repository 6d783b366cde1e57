/*
** pool.c - creating, counting, shutting down.
*/
#include "jobs.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bug.h"

#define STACK_MIN ((size_t)1 << 20)
#define STACK_MAX (SIZE_MAX > UINT32_MAX ? (size_t)((uint64_t)1 << 40) : (size_t)1 << 30)
/* of the pool, that a worker makes at a time: the owner counts up there for each handle */
#define RELEASES 64
#define SPIN_MAX_NS ((uint64_t)1000000000)
#define STACK_DEFAULT ((size_t)8 << 20)

/*
** {======================================================
** References
** =======================================================
*/

static void free_pool(mp_pool *pool);

void mp_pool_retain(mp_pool *pool) { mp_add_relaxed(&pool->references, 1); }

static void release_many(mp_pool *pool, uint32_t n) {
  if (mp_sub_acq_rel(&pool->references, n) == n) free_pool(pool); /* acq_rel: all use is over */
}

void mp_pool_release(mp_pool *pool) { release_many(pool, 1); }

void mp_pool_release_task(mp_pool *pool, mp_worker *self) {
  if (self == NULL || self == pool->scheduler.owner) {
    mp_pool_release(pool);
  } else if (++self->tasks.pool_releases == RELEASES) {
    self->tasks.pool_releases = 0;
    release_many(pool, RELEASES);
  }
}

static void on_thread_gone(mp_worker *worker, void *ud) {
  release_many(ud, worker->tasks.pool_releases + 1);
}

static void retain_ud(void *ud) { mp_pool_retain(ud); }
static void release_ud(void *ud) { mp_pool_release(ud); }

/* }====================================================== */

/*
** {======================================================
** Creating
** =======================================================
*/

unsigned mp_cores(void) { return mp_os_cores(); }
uint64_t mp_now(void) { return mp_os_now(); }

mp_pool_config mp_pool_config_default(void) {
  mp_pool_config config;
  memset(&config, 0, sizeof config);
  config.size = sizeof config;
  config.workers_extra = 256;
  config.spin_ns = 2000;
  config.spin_free_ns = 200000;
  config.mailbox_max = 65536;
  config.idle_after_ns = (uint64_t)300000000;
  config.stuck_grace_ns = (uint64_t)100000000;
  config.stuck_max = 64;
  config.log_level = MP_LOG_INFO;
  return config;
}

static mp_status check_config(mp_pool_config *config) {
  if (config->size != sizeof *config) return MP_INVALID;
  if (config->workers == 0) config->workers = mp_os_cores();
  if (config->stack_size == 0) config->stack_size = STACK_DEFAULT;
  if (config->interrupt_signal == 0) config->interrupt_signal = SIGURG;
  if (config->workers > MP_WORKERS_MAX || config->workers_extra > 64 * MP_WORKERS_MAX)
    return MP_INVALID;
  if (config->stack_size < STACK_MIN || config->stack_size > STACK_MAX) return MP_INVALID;
  if (config->mailbox_max == 0 || config->spin_ns > SPIN_MAX_NS ||
      config->spin_free_ns > SPIN_MAX_NS)
    return MP_INVALID;
  return MP_OK;
}

/*
** Called by a worker that is about to sleep, and has settled tasks since. The change of nothing
** orders that with the drainer's count of itself: either that comes first, and is seen here, or the
** drainer sees what this worker has counted.
*/
static void on_idle(void *ud) {
  mp_pool *pool = ud;
  if (mp_add_seq(&pool->drainers, 0) != 0) mp_event_signal(&pool->event);
}

/* An idle worker gives back the memory of tasks that are gone. */
static void on_tidied(mp_worker *worker, void *ud) {
  mp_pool *pool = ud;
  mp_task_flush(pool, &worker->tasks);
  mp_task_trim(pool);
}

static mp_scheduler_config scheduler_config(mp_pool *pool) {
  const mp_pool_config *c = &pool->config;
  mp_scheduler_config config = {.workers = c->workers,
                                .workers_extra = c->workers_extra,
                                .stack_size = c->stack_size,
                                .spin_ns = c->spin_ns,
                                .spin_free_ns = c->spin_free_ns,
                                .cores = mp_os_cores(),
                                .owner_works = c->owner_works != 0 || c->caller_runs != 0,
                                .worker_start = c->worker_start,
                                .worker_stop = c->worker_stop,
                                .worker_ud = c->worker_ud,
                                .worker_idle = c->worker_idle,
                                .tidied = on_tidied,
                                .idle_after_ns = c->idle_after_ns,
                                .interrupt_signal =
                                    c->worker_interrupt != NULL ? c->interrupt_signal : 0,
                                .idle = on_idle,
                                .thread_comes = retain_ud,
                                .thread_gone = on_thread_gone,
                                .ud = pool};
  return config;
}

mp_status mp_pool_create(const mp_pool_config *given, mp_pool **created) {
  mp_pool_config config = *given;
  mp_status status = check_config(&config);
  if (status != MP_OK) return status;
  mp_alloc alloc;
  mp_alloc_init(&alloc, &config.allocator);
  mp_pool *pool = mp_alloc_aligned(&alloc, sizeof *pool);
  if (pool == NULL) return MP_NOMEM;
  mp_os_pin();
  pool->config = config;
  /* counts from here: the pool's own block is not in it */
  mp_alloc_init(&pool->alloc, &config.allocator);
  atomic_init(&pool->references, 1);
  pool->owner_tag = mp_os_thread_tag();
  pool->tick_at = MP_FOREVER;
  pool->mailbox_host.alloc = &pool->alloc;
  pool->mailbox_host.fork_guard = &pool->fork_guard;
  pool->mailbox_host.event = &pool->event;
  pool->mailbox_host.wake = config.wake;
  pool->mailbox_host.wake_ud = config.wake_ud;
  pool->mailbox_host.limit = config.mailbox_max;
  mp_os_fork_guard_open(&pool->fork_guard);
  pool->fences_all = mp_os_fence_all_open();
  if ((status = mp_admission_set(&pool->admission, &config.limits)) != MP_OK) goto fail_log;
  if ((status = mp_log_init(&pool->log, config.log, config.log_ud, config.log_level)) != MP_OK)
    goto fail_log;
  if ((status = mp_event_init(&pool->event)) != MP_OK) goto fail_event;
  if ((status = mp_os_mutex_init(&pool->timer_lock)) != MP_OK) goto fail_timer_lock;
  if ((status = mp_os_gate_init(&pool->timer_gate)) != MP_OK) goto fail_timer_gate;
  if ((status = mp_os_mutex_init(&pool->critical)) != MP_OK) goto fail_critical;
  if ((status = mp_os_mutex_init(&pool->shutdown_lock)) != MP_OK) goto fail_shutdown_lock;
  if ((status = mp_os_mutex_init(&pool->running_lock)) != MP_OK) goto fail_running_lock;
  if ((status = mp_pool_open_interrupts(pool)) != MP_OK) goto fail_interrupts;
  if ((status = mp_task_open_stores(pool)) != MP_OK) goto fail_store;
  if ((status = mp_mailbox_open(&pool->mailbox_host, &pool->mailbox)) != MP_OK) goto fail_mailbox;
  mp_scheduler_config workers = scheduler_config(pool);
  if ((status = mp_scheduler_init(&pool->scheduler, &pool->alloc, &pool->log, &pool->event,
                                  &workers)) != MP_OK)
    goto fail_scheduler;
  /* from here on each mailbox holds the pool */
  pool->mailbox_host.last_gone = release_ud;
  pool->mailbox_host.last_gone_ud = pool;
  mp_pool_retain(pool);
  mp_log_write(&pool->log, MP_LOG_INFO, "pool", "started with %u workers",
               pool->scheduler.config.workers);
  *created = pool;
  return MP_OK;

fail_scheduler:
  mp_mailbox_close(pool->mailbox);
fail_mailbox:
  mp_task_close_stores(pool);
fail_store:
  mp_pool_close_interrupts(pool);
fail_interrupts:
  mp_os_mutex_close(&pool->running_lock);
fail_running_lock:
  mp_os_mutex_close(&pool->shutdown_lock);
fail_shutdown_lock:
  mp_os_mutex_close(&pool->critical);
fail_critical:
  mp_os_gate_close(&pool->timer_gate);
fail_timer_gate:
  mp_os_mutex_close(&pool->timer_lock);
fail_timer_lock:
  mp_event_close(&pool->event);
fail_event:
  mp_log_close(&pool->log);
fail_log:
  mp_os_fork_guard_close(&pool->fork_guard);
  mp_alloc_free_aligned(&alloc, pool, sizeof *pool);
  return status;
}

mp_status mp_mailbox_create(mp_pool *pool, mp_mailbox **mailbox) {
  mp_status status = mp_mailbox_open(&pool->mailbox_host, mailbox);
  if (status == MP_OK) mp_pool_retain(pool); /* given back by last_gone */
  return status;
}

const mp_pool_config *mp_pool_get_config(const mp_pool *pool) { return &pool->config; }
mp_mailbox *mp_pool_mailbox(mp_pool *pool) { return pool->mailbox; }
size_t mp_poll(mp_pool *pool, uint64_t budget_ns, size_t max) {
  return mp_mailbox_poll(pool->mailbox, budget_ns, max, NULL);
}
mp_status mp_fd(mp_pool *pool, int *fd) { return mp_mailbox_fd(pool->mailbox, fd); }

void *mp_pool_realloc(mp_pool *pool, void *block, size_t size_old, size_t size_new) {
  if (size_new != 0) return mp_alloc_resize(&pool->alloc, block, size_old, size_new);
  mp_alloc_free(&pool->alloc, block, size_old);
  return NULL;
}

void mp_pool_log(mp_pool *pool, mp_log_level level, const char *area, const char *format, ...) {
  va_list args;
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return; /* the log's lock may be held for ever */
  va_start(args, format);
  mp_log_vwrite(&pool->log, level, area, format, args);
  va_end(args);
}

/* }====================================================== */

/*
** {======================================================
** Counting and draining
** =======================================================
*/

typedef struct totals {
  uint64_t submitted, settled, ended[4], started, returned, skipped, steals, parks;
} totals;

static void add_counters(totals *sum, const mp_counters *c) {
  /* settled first: see mp_pool_quiet */
  sum->settled += mp_load_acquire(&c->settled);
  for (int i = 0; i < 4; i++) sum->ended[i] += mp_load_relaxed(&c->ended[i]);
  sum->returned += mp_load_relaxed(&c->returned);
  sum->started += mp_load_relaxed(&c->started);
  sum->skipped += mp_load_relaxed(&c->skipped);
  sum->steals += mp_load_relaxed(&c->steals);
  sum->parks += mp_load_relaxed(&c->parks);
}

static void add_submitted(totals *sum, const mp_counters *c) {
  sum->submitted += mp_load_seq(&c->submitted);
}

static void for_each_counters(mp_pool *pool, totals *sum,
                              void (*add)(totals *, const mp_counters *)) {
  uint32_t slots = mp_load_acquire(&pool->scheduler.slots);
  add(sum, &pool->outside);
  for (uint32_t i = 0; i < slots; i++)
    add(sum, &mp_load_relaxed(&pool->scheduler.worker[i])->counters);
}

static totals sum_counters(mp_pool *pool) {
  totals sum;
  memset(&sum, 0, sizeof sum);
  if (MP_BUGGY(QUIET_BACKWARDS)) for_each_counters(pool, &sum, add_submitted);
  MP_BUG_GAP(QUIET_BACKWARDS);
  for_each_counters(pool, &sum, add_counters);
  if (!MP_BUGGY(QUIET_BACKWARDS)) for_each_counters(pool, &sum, add_submitted);
  return sum;
}

/*
** Settled is read before submitted. What a settled task submitted was counted before it settled, so
** each task counted in `settled` has all its offspring in `submitted`; when both sums agree,
** nothing is left that could submit.
*/
bool mp_pool_quiet(mp_pool *pool) {
  totals sum = sum_counters(pool);
  return sum.submitted == sum.settled;
}

static uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

void mp_pool_get_info(mp_pool *pool, mp_pool_info *info) {
  totals sum = sum_counters(pool);
  unsigned workers = pool->scheduler.config.workers, alive = mp_scheduler_alive(&pool->scheduler);
  info->workers = workers;
  info->workers_extra = alive > workers ? alive - workers : 0;
  info->submitted = sum.submitted;
  info->done = sum.ended[0];
  info->failed = sum.ended[1];
  info->cancelled = sum.ended[2];
  info->timed_out = sum.ended[3];
  info->finished = sum.ended[0] + sum.ended[1] + sum.ended[2] + sum.ended[3];
  info->running = minus(sum.started, sum.returned);
  info->waiting = minus(sum.submitted, sum.started + sum.skipped);
  info->steals = sum.steals;
  info->parks = sum.parks;
  info->stuck = mp_load_relaxed(&pool->scheduler.stuck);
  info->refused = mp_load_relaxed(&pool->admission.refused);
  info->tasks_peak = mp_load_relaxed(&pool->admission.tasks_peak);
  info->queue = mp_load_relaxed(&pool->admission.queue);
  info->queue_bytes = mp_load_relaxed(&pool->admission.queue_bytes);
  info->messages_dropped = mp_load_relaxed(&pool->mailbox_host.dropped);
  info->bytes = mp_load_relaxed(&pool->alloc.bytes);
}

static mp_status drain(mp_pool *pool, uint64_t deadline, bool through_signals, bool helps) {
  mp_status status = MP_OK;
  mp_add_seq(&pool->drainers, 1); /* before the counters are read; pairs with the look in on_idle */
  for (;;) {
    uint32_t seen = mp_event_seen(&pool->event);
    if (mp_pool_quiet(pool)) {
      status = MP_OK;
      break;
    }
    if (status == MP_INTERRUPTED && !through_signals) break;
    if (helps && mp_pool_help_as_owner(pool)) continue;
    if (mp_os_now() >= deadline) {
      status = MP_TIMEOUT;
      break;
    }
    status = mp_event_wait(&pool->event, seen, deadline);
  }
  mp_sub_seq(&pool->drainers, 1);
  return status;
}

mp_status mp_pool_drain(mp_pool *pool, uint64_t timeout_ns) {
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return MP_FORKED;
  if (mp_pool_self(pool) != NULL) return MP_INVALID;
  bool helps = mp_pool_owner_works(pool) && timeout_ns == MP_FOREVER;
  return drain(pool, mp_os_deadline(timeout_ns), false, helps);
}

/* }====================================================== */

/*
** {======================================================
** Shutting down
** =======================================================
*/

/* for tasks that were asked to stop, and again for their threads */
#define GRACE_NS ((uint64_t)10 * 1000000)

static void close_to(mp_pool *pool, mp_closing closing) {
  mp_store_seq(&pool->closing, closing); /* pairs with enter and execute */
  mp_pool_fence(pool);
  mp_event_signal(&pool->event);
}

/*
** Waits for the threads: as long as it takes if none is inside a task, else until the deadline.
** Returns how many stay behind.
*/
static unsigned join_workers(mp_pool *pool, uint64_t deadline) {
  totals sum = sum_counters(pool);
  uint64_t grace = mp_os_deadline(GRACE_NS);
  mp_scheduler_stop(&pool->scheduler);
  /* a body can still run though its task is over: one that its deadline has ended */
  bool idle = sum.submitted == sum.settled && sum.started == sum.returned;
  return mp_scheduler_join(&pool->scheduler, idle               ? MP_FOREVER
                                             : deadline > grace ? deadline
                                                                : grace);
}

/* Running tasks are asked to stop, and what is queued is cancelled. */
static void stop_all(mp_pool *pool) {
  close_to(pool, MP_CLOSING_STOP);
  mp_pool_stop_bodies(pool);
  mp_pool_cancel_queued(pool);
}

static void shut_down_locked(mp_pool *pool, uint64_t deadline, mp_shutdown_mode mode) {
  if (mode == MP_SHUTDOWN_CANCEL_ALL)
    stop_all(pool);
  else
    close_to(pool, mode == MP_SHUTDOWN_CANCEL_PENDING ? MP_CLOSING_CANCEL : MP_CLOSING_REFUSE);
  bool drained = drain(pool, deadline, true, false) == MP_OK;
  if (!drained && mode != MP_SHUTDOWN_CANCEL_ALL) {
    stop_all(pool);
    drained = drain(pool, mp_os_deadline(GRACE_NS), true, false) == MP_OK;
  }
  if (!drained) {
    mp_pool_end_running(pool);
    mp_pool_cancel_queued(pool);
  }
  unsigned stuck = join_workers(pool, deadline);
  mp_pool_stop_timer(pool);
  totals sum = sum_counters(pool);
  pool->report.done = sum.ended[0] + sum.ended[1] + sum.ended[3];
  pool->report.cancelled = sum.ended[2];
  pool->report.stuck = stuck;
  pool->shut_down = true;
  mp_log_write(&pool->log, stuck > 0 ? MP_LOG_WARN : MP_LOG_INFO, "pool",
               "shut down: %llu done, %llu cancelled, %u stuck",
               (unsigned long long)pool->report.done, (unsigned long long)pool->report.cancelled,
               stuck);
}

mp_status mp_pool_shutdown(mp_pool *pool, uint64_t timeout_ns, mp_shutdown_mode mode,
                           mp_shutdown_report *report) {
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return MP_FORKED;
  if (mp_pool_self(pool) != NULL) return MP_INVALID;
  uint64_t deadline = mp_os_deadline(timeout_ns);
  mp_os_mutex_take(&pool->shutdown_lock);
  if (!pool->shut_down) shut_down_locked(pool, deadline, mode);
  if (report != NULL) *report = pool->report;
  mp_os_mutex_give(&pool->shutdown_lock);
  return MP_OK;
}

void mp_pool_destroy(mp_pool *pool) {
  if (pool == NULL) return;
  /* its locks may be held by threads that do not exist here */
  if (!mp_os_fork_guard_ok(&pool->fork_guard)) return;
  (void)!mp_pool_shutdown(pool, (uint64_t)1000000000, MP_SHUTDOWN_CANCEL_ALL, NULL);
  /*
  ** a task that ended on its way to the queue may lie there still, with nobody to find it, and hold
  ** the pool
  */
  mp_pool_cancel_queued(pool);
  mp_mailbox_close(pool->mailbox); /* its messages hold tasks, which hold the pool */
  mp_pool_release(pool);
}

static void free_pool(mp_pool *pool) {
  mp_alloc alloc = pool->alloc;
  const mp_pool_config config = pool->config;
  mp_scheduler *scheduler = &pool->scheduler;
  uint32_t slots = mp_load_acquire(&scheduler->slots);
  mp_pool_cancel_queued(pool);
  for (uint32_t i = 0; i < slots; i++)
    mp_task_flush(pool, &mp_load_relaxed(&scheduler->worker[i])->tasks);
  mp_scheduler_close(scheduler);
  mp_task_flush(pool, &pool->owner_tasks);
  if (config.closed != NULL) config.closed(config.closed_ud);
  mp_task_close_stores(pool);
  mp_pool_close_interrupts(pool);
  mp_os_mutex_close(&pool->running_lock);
  mp_os_mutex_close(&pool->shutdown_lock);
  mp_os_mutex_close(&pool->critical);
  mp_os_gate_close(&pool->timer_gate);
  mp_os_mutex_close(&pool->timer_lock);
  mp_event_close(&pool->event);
  mp_log_close(&pool->log);
  mp_os_fork_guard_close(&pool->fork_guard);
  mp_alloc_free_aligned(&alloc, pool, sizeof *pool);
}

/* }====================================================== */
