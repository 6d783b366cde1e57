/*
** jobs.c - fork and join, visits, parallel loops.
*/
#include "jobs.h"

#include "finish.h"
#include "pick.h"
#include "place.h"
#include "stop.h"
#include "wait.h"

/*
** {======================================================
** Fork and join
** =======================================================
*/

/* A job that another worker took, or that waited in the inbox: it runs for whoever forked it. */
static void run_forked(mp_worker *worker, mp_entry *entry) {
  mp_job *job = (mp_job *)entry;
  mp_pool *pool = mp_pool_of(worker);
  const mp_frame *forker = job->forker; /* it is there until the job is joined */
  mp_frame frame = mp_frame_for(worker, forker != NULL ? forker->task : NULL);
  mp_frame_push(pool, worker, &frame);
  mp_store_relaxed(&job->runner, mp_group_of(&frame));
  job->body(worker, job);
  if (mp_is_orphan(worker)) return;
  mp_frame_pop(pool, worker, &frame);
  mp_job_complete(pool, &job->done);
}

void mp_fork(mp_worker *worker, mp_job *job, void (*body)(mp_worker *worker, mp_job *job)) {
  mp_scheduler *scheduler = worker->scheduler;
  const mp_frame *frame = mp_worker_frame(worker);
  assert(mp_worker_self() == worker);
  job->entry.run = run_forked;
  job->body = body;
  job->forker = frame;
  mp_store_relaxed(&job->runner, 0);
  mp_store_relaxed(&job->done, MP_JOB_PENDING);
  if (mp_is_orphan(worker)) { /* nobody else is there, and all locks may be held */
    body(worker, job);
    mp_store_relaxed(&job->done, MP_JOB_DONE);
    return;
  }
  if (worker->unseated || !mp_deque_push_owner(&worker->deque, &job->entry, mp_group_of(frame)))
    mp_inbox_push(&scheduler->inbox, &job->entry, &job->entry, 1);
  mp_park_notify(&scheduler->park);
}

void mp_join(mp_worker *worker, mp_job *job) {
  assert(mp_worker_self() == worker && job->forker == mp_worker_frame(worker));
  if (mp_deque_pop_this_owner(&worker->deque, &job->entry)) {
    job->body(worker, job); /* nobody stole it: a plain call */
    return;
  }
  const mp_wait_for what = {.word = &job->done,
                            .group = mp_group_of(job->forker),
                            .runner = &job->runner,
                            .through_signals = true};
  size_t index;
  (void)!mp_wait_until(mp_pool_of(worker), &what, MP_FOREVER, &index);
}

/* }====================================================== */

/*
** {======================================================
** Visits
** =======================================================
*/

typedef struct visit {
  mp_entry entry; /* first: what run_visit gets */
  void (*body)(mp_worker *worker, void *arg);
  void *arg;
  bool refused; /* written before `done` */
  mp_atomic_u32 done;
} visit;

static void call_in_frame(mp_worker *worker, void (*body)(mp_worker *worker, void *arg),
                          void *arg) {
  mp_pool *pool = mp_pool_of(worker);
  mp_frame frame = mp_frame_for(worker, NULL);
  mp_frame_push(pool, worker, &frame);
  body(worker, arg);
  if (!mp_is_orphan(worker)) mp_frame_pop(pool, worker, &frame);
}

static void run_visit(mp_worker *worker, mp_entry *entry) {
  visit *v = (visit *)entry;
  call_in_frame(worker, v->body, v->arg);
  if (!mp_is_orphan(worker)) mp_job_complete(mp_pool_of(worker), &v->done);
}

bool mp_refuse_visit(mp_pool *pool, mp_entry *entry) {
  if (entry->run != run_visit) return false;
  visit *v = (visit *)entry;
  v->refused = true;
  mp_job_complete(pool, &v->done);
  return true;
}

/*
** Counts a visit, unless the pool closes. shutdown: store closing, then read visits; here: count,
** then read closing. So either the shutdown waits for this one, or this one sees the shutdown.
*/
static mp_status enter(mp_pool *pool) {
  mp_add_seq(&pool->visits, 1);
  return mp_load_seq(&pool->closing) == MP_CLOSING_NOT ? MP_OK : MP_SHUTDOWN;
}

static void leave(mp_pool *pool) {
  uint64_t before = mp_sub_seq(&pool->visits, 1);
  assert(before > 0);
  (void)before;
  mp_pool_tell_drainers(pool);
}

static mp_status visit_worker(mp_pool *pool, void (*body)(mp_worker *worker, void *arg),
                              void *arg) {
  visit v = {{run_visit, NULL, NULL}, body, arg, false, MP_JOB_PENDING};
  const mp_wait_for what = {.word = &v.done, .through_signals = true};
  size_t index;
  mp_pick_push(&pool->scheduler, NULL, &v.entry, 0);
  /* as for a task that is queued late: see submit.c */
  if (mp_load_seq(&pool->closing) == MP_CLOSING_STOP) mp_cancel_queued(pool);
  mp_status status = mp_wait_until(pool, &what, MP_FOREVER, &index);
  return status == MP_OK && v.refused ? MP_SHUTDOWN : status;
}

mp_status mp_visit(mp_pool *pool, void (*body)(mp_worker *worker, void *arg), void *arg) {
  mp_worker *self = mp_pool_self(pool);
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (self != NULL && mp_worker_frame(self) != NULL) {
    body(self, arg);
    return MP_OK;
  }
  mp_status status = enter(pool);
  if (status != MP_OK) {
    /* it will be counted down below */
  } else if (self != NULL) {
    call_in_frame(self, body, arg);
  } else if (mp_pool_owner_works(pool)) {
    mp_stay stay;
    mp_owner_enter(&pool->scheduler, &stay);
    call_in_frame(pool->scheduler.owner, body, arg);
    mp_owner_leave(&stay);
  } else {
    status = visit_worker(pool, body, arg);
  }
  leave(pool);
  return status;
}

/* }====================================================== */

/*
** {======================================================
** mp_for
** =======================================================
*/

#define PIECES 4  /* pieces a thread is given of what remains, about */
#define LEVELS 11 /* halvings until one of MP_WORKERS_MAX + 1 threads is left */

_Static_assert(MP_WORKERS_MAX <= 1 << (LEVELS - 1), "a part forks no more children than LEVELS");

typedef struct loop {
  _Alignas(MP_CACHE_LINE) _Atomic size_t next;
  _Alignas(MP_CACHE_LINE) size_t last;
  size_t grain;
  size_t shares;  /* a piece is remaining / shares, at least grain */
  size_t threads; /* how many may take part */
  mp_for_body *body;
  void *arg;
} loop;

/* So many threads' part in a loop: whoever runs it forks the others' and takes pieces. */
typedef struct part {
  mp_job job; /* first: what run_part gets */
  loop *loop;
  size_t threads;
} part;

/*
** Guided self-scheduling (Polychronopoulos and Kuck 1987): large pieces first, so that few are
** taken. What is asked to stop takes no more.
*/
static void run_pieces(mp_worker *worker, loop *l) {
  const mp_pool *pool = mp_pool_of(worker);
  size_t begin = mp_load_relaxed(&l->next);
  while (begin < l->last && !mp_is_asked(pool, mp_frame_task(worker))) {
    size_t left = l->last - begin, piece = left / l->shares;
    if (piece < l->grain) piece = l->grain;
    if (piece > left) piece = left;
    if (!mp_cas_relaxed(&l->next, &begin, begin + piece)) continue;
    l->body(worker, begin, begin + piece, l->arg);
    if (mp_is_orphan(worker)) return;
    mp_place_settle(worker);
    begin = mp_load_relaxed(&l->next);
  }
}

static void run_part(mp_worker *worker, mp_job *job);

/* As a tree, so that many threads have begun soon, and nobody forks for all of them. */
static void take_part(mp_worker *worker, loop *l, size_t threads) {
  part children[LEVELS];
  size_t n = 0;
  for (; threads > 1 && mp_load_relaxed(&l->next) < l->last; n++) {
    assert(n < LEVELS);
    children[n].loop = l;
    children[n].threads = threads / 2;
    mp_fork(worker, &children[n].job, run_part);
    threads -= threads / 2;
  }
  run_pieces(worker, l);
  while (n-- > 0 && !mp_is_orphan(worker)) mp_join(worker, &children[n].job);
}

static void run_part(mp_worker *worker, mp_job *job) {
  const part *p = (const part *)job;
  take_part(worker, p->loop, p->threads);
}

static void run_loop(mp_worker *worker, void *arg) {
  loop *l = arg;
  take_part(worker, l, l->threads);
}

/* How many may take part: an owner that works is one more. */
static size_t threads_for(const mp_pool *pool, size_t items, size_t grain) {
  size_t threads = pool->scheduler.config.workers + (pool->config.owner_works ? 1 : 0);
  size_t pieces = items / grain + (items % grain != 0);
  return pieces < threads ? pieces : threads;
}

mp_status mp_for(mp_pool *pool, size_t first, size_t last, size_t grain, mp_for_body *body,
                 void *arg) {
  const mp_worker *self = mp_pool_self(pool);
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (first >= last)
    return self != NULL || mp_pool_closing(pool) == MP_CLOSING_NOT ? MP_OK : MP_SHUTDOWN;
  loop l = {.last = last, .grain = grain != 0 ? grain : 1, .body = body, .arg = arg};
  l.threads = threads_for(pool, last - first, l.grain);
  l.shares = l.threads * PIECES;
  atomic_init(&l.next, first);
  mp_status status = mp_visit(pool, run_loop, &l);
  if (status != MP_OK || mp_load_relaxed(&l.next) >= last) return status;
  return self != NULL && mp_frame_task(self) != NULL ? MP_CANCELLED : MP_SHUTDOWN;
}

/* }====================================================== */
