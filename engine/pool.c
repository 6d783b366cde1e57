/*
** pool.c - creating, counting, shutting down.
*/
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "bug.h"
#include "finish.h"
#include "graph.h"
#include "jobs.h"
#include "run.h"
#include "scheduler.h"
#include "seats.h"
#include "stop.h"
#include "strand.h"
#include "suspend.h"
#include "wait.h"

#define STACK_MIN ((size_t)1 << 20)
#define STACK_MAX (SIZE_MAX > UINT32_MAX ? (size_t)((uint64_t)1 << 40) : (size_t)1 << 30)
#define SPIN_MAX_NS ((uint64_t)1000000000)
#define STACK_DEFAULT ((size_t)8 << 20)

/*
** {======================================================
** Creating
** =======================================================
*/

unsigned mp_cores(void) { return mp_usable_cores(); }
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
  if (config->workers == 0) config->workers = mp_usable_cores();
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

static void retain_ud(void *ud) { mp_pool_retain(ud); }
static void release_ud(void *ud) { mp_pool_release(ud); }
static void release_many_ud(void *ud, uint32_t releases) { mp_pool_release_many(ud, releases + 1); }

/*
** Called by a thread that is about to sleep, and has settled tasks since. The change of nothing
** orders that with the drainer's count of itself: either that comes first, and is seen here, or the
** drainer sees what this thread has counted.
*/
static void on_idle(void *ud) {
  mp_pool *pool = ud;
  if (mp_add_seq(&pool->drainers, 0) != 0) mp_waitlist_signal(&pool->waitlist, mp_quiet_key(pool));
}

static bool somebody_drains(void *ud) { return mp_load_relaxed(&((mp_pool *)ud)->drainers) != 0; }

static void on_thread_ended(void *ud) {
  mp_pool *pool = ud;
  mp_waitlist_signal(&pool->waitlist, mp_quiet_key(pool));
}

/* An idle worker gives back the memory of tasks that are gone. */
static void on_tidied(mp_worker *worker, void *ud) {
  mp_pool *pool = ud;
  mp_task_flush(pool, &worker->tasks);
  mp_task_trim(pool);
}

static mp_scheduler_config scheduler_config(mp_pool *pool) {
  const mp_pool_config *c = &pool->config;
  return (mp_scheduler_config){.workers = c->workers,
                               .workers_extra = c->workers_extra,
                               .stuck_max = c->stuck_max,
                               .stack_size = c->stack_size,
                               .spin_ns = c->spin_ns,
                               .spin_free_ns = c->spin_free_ns,
                               .cores = mp_usable_cores(),
                               .owner_works = c->owner_works != 0 || c->caller_runs != 0,
                               .worker_start = c->worker_start,
                               .worker_stop = c->worker_stop,
                               .worker_ud = c->worker_ud,
                               .worker_idle = c->worker_idle,
                               .worker_mail = c->worker_mail,
                               .tidied = on_tidied,
                               .idle_after_ns = c->idle_after_ns,
                               .fork_guard = &pool->fork_guard,
                               .interrupt_signal =
                                   c->worker_interrupt != NULL ? c->interrupt_signal : 0,
                               .requeue = mp_requeue,
                               .idle = on_idle,
                               .hurried = somebody_drains,
                               .thread_comes = retain_ud,
                               .thread_gone = release_many_ud,
                               .thread_ended = on_thread_ended,
                               .ud = pool};
}

/* The parts, each opened when those above it are open, and closed in reverse order. */

static mp_status open_guards(mp_pool *pool) {
  mp_os_fork_guard_open(&pool->fork_guard);
  pool->fences_all = mp_os_fence_all_open();
  return MP_OK;
}
static void close_guards(mp_pool *pool) { mp_os_fork_guard_close(&pool->fork_guard); }

static mp_status open_limits(mp_pool *pool) {
  return mp_admission_set(&pool->admission, &pool->config.limits);
}
static void close_limits(mp_pool *pool) { (void)pool; }

static mp_status open_log(mp_pool *pool) {
  const mp_pool_config *c = &pool->config;
  return mp_log_init(&pool->log, c->log, c->log_ud, c->log_level);
}
static void close_log(mp_pool *pool) { mp_log_close(&pool->log); }

static mp_status open_waitlist(mp_pool *pool) { return mp_waitlist_init(&pool->waitlist); }
static void close_waitlist(mp_pool *pool) { mp_waitlist_close(&pool->waitlist); }

static mp_status open_critical(mp_pool *pool) { return mp_os_mutex_init(&pool->critical); }
static void close_critical(mp_pool *pool) { mp_os_mutex_close(&pool->critical); }

static mp_status open_shutdown_lock(mp_pool *pool) {
  return mp_os_mutex_init(&pool->shutdown_lock);
}
static void close_shutdown_lock(mp_pool *pool) { mp_os_mutex_close(&pool->shutdown_lock); }

static mp_status open_running_lock(mp_pool *pool) { return mp_os_mutex_init(&pool->running_lock); }
static void close_running_lock(mp_pool *pool) { mp_os_mutex_close(&pool->running_lock); }

static mp_status open_deadlines(mp_pool *pool) {
  pool->deadlines.comes = retain_ud;
  pool->deadlines.ended = on_thread_ended;
  pool->deadlines.gone = release_ud;
  pool->deadlines.ud = pool;
  return mp_deadlines_init(&pool->deadlines, pool->config.stack_size);
}
static void close_deadlines(mp_pool *pool) { mp_deadlines_close(&pool->deadlines); }

static mp_status open_mailbox(mp_pool *pool) {
  mp_mailboxes *mailboxes = &pool->mailboxes;
  mailboxes->alloc = &pool->alloc;
  mailboxes->fork_guard = &pool->fork_guard;
  mailboxes->waitlist = &pool->waitlist;
  mailboxes->sleepers = &pool->sleepers;
  mailboxes->wake = pool->config.wake;
  mailboxes->wake_ud = pool->config.wake_ud;
  mailboxes->tell_home = mp_scheduler_tell_mail;
  mailboxes->limit = pool->config.mailbox_max;
  mailboxes->last_gone = release_ud;
  mailboxes->last_gone_ud = pool;
  return mp_mailbox_create(pool, &pool->mailbox);
}
static void close_mailbox(mp_pool *pool) { mp_mailbox_close(pool->mailbox); }

/*
** A pool that gets fewer threads than it wants does with one less still, so that there is one for
** deadlines.
*/
static mp_status open_scheduler(mp_pool *pool) {
  mp_scheduler *scheduler = &pool->scheduler;
  mp_scheduler_config config = scheduler_config(pool);
  mp_status fewer;
  mp_status status = mp_scheduler_init(scheduler, &pool->alloc, &pool->log, &config, &fewer);
  if (status != MP_OK) return status;
  if (fewer == MP_NOTHREAD && mp_scheduler_dismiss_one(scheduler))
    (void)!mp_deadlines_start(&pool->deadlines);
  if (fewer != MP_OK)
    mp_log_write(&pool->log, MP_LOG_WARN, "pool", "started %u of %u workers: %s",
                 scheduler->config.workers, config.workers, mp_status_text(fewer));
  mp_scheduler_begin(scheduler);
  return MP_OK;
}
static void close_scheduler(mp_pool *pool) { mp_scheduler_close(&pool->scheduler); }

static const struct {
  mp_status (*open)(mp_pool *pool);
  void (*close)(mp_pool *pool);
} parts[] = {{open_guards, close_guards},
             {open_limits, close_limits},
             {open_log, close_log},
             {open_waitlist, close_waitlist},
             {mp_suspend_open, mp_suspend_close},
             {mp_strands_open, mp_strands_close},
             {open_critical, close_critical},
             {open_shutdown_lock, close_shutdown_lock},
             {open_running_lock, close_running_lock},
             {open_deadlines, close_deadlines},
             {mp_stop_open, mp_stop_close},
             {mp_task_open_stores, mp_task_close_stores},
             {open_mailbox, close_mailbox},
             {open_scheduler, close_scheduler}};

#define PARTS (sizeof parts / sizeof *parts)
/* What is closed before the host hears that the pool is closed, and what after. */
#define PARTS_KEPT (PARTS - 2)

static void free_pool(mp_pool *pool);

static bool refuse_entry(mp_pool *pool, mp_entry *entry) {
  if (mp_refuse_job(pool, entry) || mp_refuse_node(pool, entry)) return true;
  return mp_load_relaxed(&pool->given_up) && mp_refuse_resumed(pool, entry);
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
  atomic_init(&pool->join_deadline, MP_FOREVER);
  pool->owner_tag = mp_os_thread_tag();
  mp_os_blocked_get(&pool->blocked);
  pool->run_task = mp_run_task_entry;
  pool->resume_task = mp_resume_entry;
  pool->refuse = refuse_entry;
  pool->look_at_lane = mp_look_at_lane;
  pool->free = free_pool;
  for (size_t i = 0; i < PARTS; i++) {
    if ((status = parts[i].open(pool)) == MP_OK) continue;
    while (i-- > 0) parts[i].close(pool);
    mp_alloc_free_aligned(&alloc, pool, sizeof *pool);
    return status;
  }
  mp_log_write(&pool->log, MP_LOG_INFO, "pool", "started with %u workers",
               pool->scheduler.config.workers);
  *created = pool;
  return MP_OK;
}

static void free_pool(mp_pool *pool) {
  mp_alloc alloc = pool->alloc;
  const mp_pool_config config = pool->config;
  mp_scheduler *scheduler = &pool->scheduler;
  uint32_t slots = mp_load_acquire(&scheduler->seats.slots);
  mp_cancel_queued(pool);
  mp_scheduler_stop_owner(scheduler);
  for (uint32_t i = 0; i < slots; i++)
    mp_task_flush(pool, &mp_load_relaxed(&scheduler->seats.slot[i])->tasks);
  mp_task_flush(pool, &pool->owner_tasks);
  close_scheduler(pool); /* its mailbox was closed when the host let go of the pool */
  if (config.closed != NULL) config.closed(config.closed_ud);
  for (size_t i = PARTS_KEPT; i-- > 0;) parts[i].close(pool);
  mp_alloc_free_aligned(&alloc, pool, sizeof *pool);
}

mp_status mp_mailbox_create(mp_pool *pool, mp_mailbox **mailbox) {
  mp_worker *self = mp_pool_self(pool);
  mp_worker *home = self != pool->scheduler.owner ? self : NULL;
  mp_status status = mp_mailbox_open(&pool->mailboxes, home, mailbox);
  if (status == MP_OK) mp_pool_retain(pool); /* given back by last_gone */
  return status;
}

void *mp_pool_keep(mp_pool *pool, void *value) {
  void *kept = mp_load_acquire(&pool->kept);
  if (kept != NULL || value == NULL) return kept;
  return mp_cas_acq_rel(&pool->kept, &kept, value) ? value : kept;
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
  if (mp_pool_forked(pool)) return; /* the log's lock may be held for ever */
  va_start(args, format);
  mp_log_vwrite(&pool->log, level, area, format, args);
  va_end(args);
}

mp_status mp_pool_status(mp_pool *pool) {
  if (mp_pool_forked(pool)) return MP_FORKED;
  return mp_pool_closing(pool) != MP_CLOSING_NOT ? MP_SHUTDOWN : MP_OK;
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
  const mp_seats *seats = &pool->scheduler.seats;
  uint32_t slots = mp_load_acquire(&seats->slots);
  add(sum, &pool->outside);
  for (uint32_t i = 0; i < slots; i++) add(sum, &mp_load_relaxed(&seats->slot[i])->counters);
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
** nothing is left that could submit. So too with visits, which submit as tasks do: those that are
** over are read before, those that have begun after.
*/
static bool is_quiet(mp_pool *pool) {
  uint64_t over = mp_load_seq(&pool->visits_over);
  totals sum = sum_counters(pool);
  return sum.submitted == sum.settled && mp_load_seq(&pool->visits_begun) == over;
}

static uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

size_t mp_pool_bytes(const mp_pool *pool) { return mp_load_relaxed(&pool->alloc.bytes); }

void mp_pool_get_info(mp_pool *pool, mp_pool_info *info) {
  totals sum = sum_counters(pool);
  unsigned workers = pool->scheduler.config.workers,
           alive = mp_load_relaxed(&pool->scheduler.seats.alive);
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
  info->stuck = mp_load_relaxed(&pool->scheduler.seats.stuck);
  info->refused = mp_load_relaxed(&pool->admission.refused);
  info->tasks_peak = mp_load_relaxed(&pool->admission.tasks_peak);
  info->queue = mp_load_relaxed(&pool->admission.queue);
  info->queue_bytes = mp_load_relaxed(&pool->admission.queue_bytes);
  info->messages_dropped = mp_load_relaxed(&pool->mailboxes.dropped);
  info->bytes = mp_pool_bytes(pool);
  info->suspended = mp_sleepers_count(&pool->sleepers);
}

mp_status mp_pool_drain(mp_pool *pool, uint64_t timeout_ns) {
  const mp_wait_for what = {.check = is_quiet, .everything = true};
  size_t index;
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (mp_pool_self(pool) != NULL) return MP_INVALID;
  return mp_wait_until(pool, &what, mp_os_deadline(timeout_ns), &index);
}

/* }====================================================== */

/*
** {======================================================
** Shutting down
** =======================================================
**
** Any number of threads may shut a pool down at a time. Each raises how far the pool closes, never
** lowers it, and waits for no more than its own time; when that is over, it raises further, and
** ends what is left. So none waits for another that is more patient. One of them then waits for the
** threads, no longer than the least patient of them wants, and the others for that one's report.
*/

/* For tasks that were asked to stop, and again for their threads. */
#define GRACE_NS ((uint64_t)10 * 1000000)

/* For the threads when none is inside a body: all they have to do is worker_stop. */
#define HOOKS_NS ((uint64_t)30 * 1000000)

/* Moments for what only a busy machine keeps from coming to its end. */
#define LOOKS 1000
#define HOOK_LOOKS 20 /* of these, at most, where a thread is inside a hook */

static void close_to(mp_pool *pool, mp_closing wanted) {
  uint32_t now = mp_load_relaxed(&pool->closing);
  while (now < (uint32_t)wanted)
    if (mp_cas_seq(&pool->closing, &now, (uint32_t)wanted)) break; /* pairs with enter, execute */
  mp_pool_fence(pool);
  if (wanted == MP_CLOSING_STOP) mp_stop_bodies(pool);
  if (wanted >= MP_CLOSING_CANCEL) mp_cancel_queued(pool);
  if (wanted == MP_CLOSING_STOP) mp_sleepers_wake(&pool->sleepers, NULL);
  mp_waitlist_signal(&pool->waitlist, NULL);
}

/* Is everything done, or does somebody wait for the threads already? */
static bool is_quiet_or_ending(mp_pool *pool) {
  return mp_load_acquire(&pool->ending) != MP_ENDING_NOT || is_quiet(pool);
}

static bool is_over(mp_pool *pool) { return mp_load_acquire(&pool->ending) == MP_ENDING_OVER; }

static bool await(mp_pool *pool, bool (*check)(mp_pool *pool), uint64_t deadline) {
  const mp_wait_for what = {.check = check, .through_signals = true};
  size_t index;
  return mp_wait_until(pool, &what, deadline, &index) == MP_OK;
}

static bool hurried(const mp_pool *pool) {
  return mp_load_acquire(&pool->join_deadline) < mp_load_relaxed(&pool->join_awaited);
}
static bool no_worker_left(mp_pool *pool) {
  return mp_load_relaxed(&pool->scheduler.seats.alive) == 0;
}
static bool no_worker_left_or_hurried(mp_pool *pool) {
  return no_worker_left(pool) || hurried(pool);
}
/* Is none left but those inside a body or a hook? The others are on their way out. */
static bool only_stuck_left(mp_pool *pool) {
  const mp_seats *seats = &pool->scheduler.seats;
  uint32_t inside = 0, slots = mp_load_acquire(&seats->slots);
  for (uint32_t i = 0; i < slots; i++) {
    mp_worker *worker = mp_load_relaxed(&seats->slot[i]);
    if (worker == pool->scheduler.owner) continue; /* its thread is the host's */
    inside += mp_load_acquire(&worker->frame) != NULL || mp_load_acquire(&worker->in_hook);
  }
  return mp_load_relaxed(&seats->alive) <= inside;
}
static bool is_any_in_hook(mp_pool *pool) {
  const mp_seats *seats = &pool->scheduler.seats;
  uint32_t slots = mp_load_acquire(&seats->slots);
  for (uint32_t i = 0; i < slots; i++)
    if (mp_load_acquire(&mp_load_relaxed(&seats->slot[i])->in_hook)) return true;
  return false;
}
/*
** However busy the machine, and whatever its clock says: what those have in hand that are inside
** nothing of the host's must end. Nobody tells when one of them has come to a hook.
*/
static void await_those_outside(mp_pool *pool) {
  for (int looks = LOOKS; looks > 0 && !only_stuck_left(pool); looks--) mp_os_moment();
}
static bool no_timer_left_or_hurried(mp_pool *pool) {
  return mp_deadlines_stopped(&pool->deadlines) || hurried(pool);
}

/*
** Until the threads have ended, or until the time that the least patient wants, but not before
** `least`: when that changes, it is looked at again.
*/
static void await_threads(mp_pool *pool, bool (*check)(mp_pool *pool), uint64_t least) {
  uint64_t wanted, deadline;
  do {
    wanted = mp_load_acquire(&pool->join_deadline);
    mp_store_relaxed(&pool->join_awaited, wanted);
    deadline = wanted > least ? wanted : least;
  } while (await(pool, check, deadline) && hurried(pool));
}

static mp_shutdown_report report_now(mp_pool *pool) {
  totals sum = sum_counters(pool);
  return (mp_shutdown_report){.done = sum.ended[0] + sum.ended[1] + sum.ended[3],
                              .cancelled = sum.ended[2],
                              .stuck = mp_load_relaxed(&pool->scheduler.seats.alive)};
}

/* By one thread. */
static mp_shutdown_report join_threads(mp_pool *pool) {
  totals sum = sum_counters(pool);
  uint64_t grace = mp_os_deadline(GRACE_NS);
  mp_scheduler_stop(&pool->scheduler);
  mp_waitlist_signal(&pool->waitlist,
                     NULL); /* who waits on a worker may have to run what is left */
  /* a body can still run though its task is over: one that its deadline has ended */
  bool idle = sum.submitted == sum.settled && sum.started == sum.returned &&
              mp_load_seq(&pool->visits_begun) == mp_load_seq(&pool->visits_over);
  if (idle) grace = mp_os_deadline(HOOKS_NS);
  await_threads(pool, no_worker_left_or_hurried, grace);
  mp_store_seq(&pool->given_up, 1); /* a task that is over may suspend again and again */
  mp_pool_fence(pool);              /* before a frame is looked for, as in stop.h */
  mp_cancel_queued(pool);
  await_those_outside(pool);
  unsigned stuck = mp_seats_join(&pool->scheduler);
  mp_deadlines_stop(&pool->deadlines);
  await_threads(pool, no_timer_left_or_hurried, mp_os_deadline(GRACE_NS));
  mp_deadlines_join(&pool->deadlines);
  if (mp_pool_is_owner(pool)) mp_scheduler_stop_owner(&pool->scheduler);
  mp_shutdown_report report = report_now(pool);
  report.stuck = stuck; /* one may have ended meanwhile, but nobody waits for it any more */
  mp_log_write(&pool->log, stuck > 0 ? MP_LOG_WARN : MP_LOG_INFO, "pool",
               "shut down: %llu done, %llu cancelled, %u stuck", (unsigned long long)report.done,
               (unsigned long long)report.cancelled, stuck);
  return report;
}

/* Waits for the threads, or for the one who does. */
static void end(mp_pool *pool, uint64_t deadline) {
  mp_os_mutex_take(&pool->shutdown_lock);
  bool first = mp_load_relaxed(&pool->ending) == MP_ENDING_NOT;
  if (first) mp_store_release(&pool->ending, MP_ENDING_JOINING); /* pairs with the checks */
  if (deadline < mp_load_relaxed(&pool->join_deadline))
    mp_store_release(&pool->join_deadline, deadline); /* pairs with hurried */
  mp_os_mutex_give(&pool->shutdown_lock);
  mp_waitlist_signal(&pool->waitlist, mp_quiet_key(pool));
  if (first) {
    mp_shutdown_report report = join_threads(pool);
    mp_os_mutex_take(&pool->shutdown_lock);
    pool->report = report;
    mp_store_release(&pool->ending, MP_ENDING_OVER); /* pairs with is_over, is_forsaken */
    mp_os_mutex_give(&pool->shutdown_lock);
    mp_waitlist_signal(&pool->waitlist, NULL);
  } else {
    uint64_t grace = mp_os_deadline(2 * GRACE_NS);
    await(pool, is_over, deadline > grace ? deadline : grace);
  }
}

/*
** What was on its way from a queue to a body, or from the sleepers to a queue, and stood in neither
** when they were looked into: the thread that has it in hand, a worker or the timer's, ends it or
** queues it. Workers must be there still to run that, and one may be inside a body that does not
** return: so it is not enough to wait for the threads.
*/
static void end_all(mp_pool *pool) {
  mp_store_seq(&pool->given_up, 1); /* pairs with mp_resume_entry, mp_fall_asleep, end_if_late */
  mp_end_running(pool);
  mp_cancel_queued(pool);
  for (int looks = MP_BUGGY(HAND_FORGOTTEN) ? 0 : LOOKS; looks > 0; looks--) {
    totals sum = sum_counters(pool);
    if (sum.submitted == sum.settled) return;
    mp_os_moment();
    mp_cancel_queued(pool);
    /* a hook of the host's takes its time: that is not for us to wait for */
    if (looks < LOOKS - HOOK_LOOKS && is_any_in_hook(pool)) return;
  }
}

/* Until all is done, as long as the host is patient. INTERRUPTED: a signal handler has run. */
static mp_status await_quiet(mp_pool *pool, uint64_t deadline, bool interruptible) {
  const mp_wait_for what = {.check = is_quiet_or_ending, .through_signals = !interruptible};
  size_t index;
  return mp_wait_until(pool, &what, deadline, &index);
}

static mp_status shut_down(mp_pool *pool, uint64_t deadline, mp_shutdown_mode mode,
                           bool interruptible) {
  const mp_closing closing[] = {[MP_SHUTDOWN_FINISH] = MP_CLOSING_REFUSE,
                                [MP_SHUTDOWN_CANCEL_PENDING] = MP_CLOSING_CANCEL,
                                [MP_SHUTDOWN_CANCEL_ALL] = MP_CLOSING_STOP};
  close_to(pool, closing[mode]);
  mp_status status = await_quiet(pool, deadline, interruptible);
  if (status == MP_INTERRUPTED) return status;
  bool done = status == MP_OK;
  if (!done && mode != MP_SHUTDOWN_CANCEL_ALL) {
    close_to(pool, MP_CLOSING_STOP);
    done = await(pool, is_quiet_or_ending, mp_os_deadline(GRACE_NS));
  }
  if (!done) end_all(pool);
  end(pool, deadline);
  return MP_OK;
}

mp_status mp_pool_shutdown(mp_pool *pool, uint64_t timeout_ns, mp_shutdown_mode mode,
                           mp_shutdown_report *report) {
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (mp_pool_self(pool) != NULL || (unsigned)mode > MP_SHUTDOWN_CANCEL_ALL) return MP_INVALID;
  uint64_t deadline = mp_os_deadline(timeout_ns);
  mp_status status = is_over(pool) ? MP_OK : shut_down(pool, deadline, mode, true);
  mp_os_mutex_take(&pool->shutdown_lock);
  /* another may still be at it, and more patient */
  if (report != NULL) *report = is_over(pool) ? pool->report : report_now(pool);
  mp_os_mutex_give(&pool->shutdown_lock);
  return status;
}

void mp_pool_destroy(mp_pool *pool) {
  if (pool == NULL) return;
  /* its locks may be held by threads that do not exist here */
  if (mp_pool_forked(pool)) return;
  if (mp_pool_self(pool) == NULL && !is_over(pool))
    (void)!shut_down(pool, mp_os_deadline(1000000000), MP_SHUTDOWN_CANCEL_ALL, false);
  /* a task that ended on its way to the queue may lie there still, and hold the pool */
  mp_cancel_queued(pool);
  if (mp_pool_is_owner(pool)) mp_scheduler_stop_owner(&pool->scheduler);
  mp_mailbox_close(pool->mailbox); /* its messages hold tasks, which hold the pool */
  mp_pool_release(pool);
}

/* }====================================================== */
