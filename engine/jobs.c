#include "jobs.h"

#include <assert.h>

static bool is_done(mp_atomic_u32 *word) { return mp_load_acquire(word) == MP_WORD_DONE; }

/* Sleeps among the idle workers until the word is done or work turns up. */
static void sleep_helping(mp_worker *self, mp_atomic_u32 *word) {
  mp_scheduler *scheduler = self->scheduler;
  uint32_t pending = MP_WORD_PENDING, mine = MP_WORD_WORKER + self->index;
  mp_park_search_begin(&scheduler->park);
  mp_park_announce(&scheduler->park, &self->parker); /* before the word says where to poke */
  if (!mp_cas_acq_rel(word, &pending, mine) || mp_scheduler_has_work(scheduler)) {
    mp_park_retract(&scheduler->park, &self->parker);
  } else {
    mp_bump(&self->counters.parks);
    mp_park_sleep(&scheduler->park, &self->parker, MP_FOREVER);
  }
  (void)mp_cas_acq_rel(word, &mine, MP_WORD_PENDING);
  if (mp_park_search_end(&scheduler->park) && mp_scheduler_has_work(scheduler))
    mp_park_notify(&scheduler->park);
}

static void await_helping(mp_worker *self, mp_atomic_u32 *word) {
  while (!is_done(word)) {
    mp_job *job = mp_scheduler_find(self);
    if (job != NULL) {
      mp_scheduler_run(self, job);
      continue;
    }
    mp_look look = mp_look_begin(self->scheduler, &self->patience);
    bool found = false;
    do {
      for (int i = 0; i < 16; i++) mp_pause();
      found = is_done(word) || mp_scheduler_has_work(self->scheduler);
    } while (!found && mp_look_goes_on(&look, mp_os_now()));
    mp_look_end(&look, found);
    if (!found) sleep_helping(self, word);
  }
}

static void await_outside(mp_pool *pool, mp_atomic_u32 *word) {
  uint32_t pending = MP_WORD_PENDING;
  mp_look look = mp_look_begin(&pool->scheduler, &pool->scheduler.outside);
  while (!is_done(word) && mp_look_goes_on(&look, mp_os_now())) mp_pause();
  mp_look_end(&look, is_done(word));
  if (!mp_cas_acq_rel(word, &pending, MP_WORD_OUTSIDE)) return;
  for (;;) {
    uint32_t seen = mp_event_seen(&pool->event);
    if (is_done(word)) return;
    (void)!mp_event_wait(&pool->event, seen, MP_FOREVER);
  }
}

void mp_word_await(mp_pool *pool, mp_worker *self, mp_atomic_u32 *word) {
  if (self != NULL)
    await_helping(self, word);
  else
    await_outside(pool, word);
}

void mp_fork(mp_worker *worker, mp_job *job, void (*run)(mp_worker *worker, mp_job *job)) {
  job->run = run;
  mp_store_relaxed(&job->done, MP_WORD_PENDING);
  job->kind = MP_JOB_FORKED;
  mp_scheduler_push(worker->scheduler, worker, job);
}

void mp_join(mp_worker *worker, mp_job *job) {
  mp_job *newest = mp_deque_pop_owner(&worker->deque);
  if (newest == job) { /* nobody stole it: a plain call */
    job->run(worker, job);
    return;
  }
  if (newest != NULL) mp_scheduler_run(worker, newest);
  await_helping(worker, &job->done);
}

/*
** {======================================================
** mp_for
** =======================================================
*/

#define FOR_HELPERS_MAX 64
#define FOR_PIECES 4 /* pieces a worker is given of what remains, about */

typedef struct loop {
  _Alignas(MP_CACHE_LINE) _Atomic size_t next;
  _Alignas(MP_CACHE_LINE) size_t last;
  size_t grain;
  size_t shares; /* a piece is remaining / shares, at least grain */
  mp_for_body *body;
  void *arg;
  /* from outside only */
  mp_scheduler *scheduler;
  _Atomic size_t running;
  mp_atomic_u32 done;
} loop;

typedef struct helper {
  mp_job job;
  loop *loop;
} helper;

/*
** Guided self-scheduling (Polychronopoulos and Kuck 1987): large pieces first, so that few are
** taken.
*/
static void run_pieces(mp_worker *worker, loop *l) {
  size_t begin = mp_load_relaxed(&l->next);
  while (begin < l->last) {
    size_t left = l->last - begin, piece = left / l->shares;
    if (piece < l->grain) piece = l->grain;
    if (piece > left) piece = left;
    if (!mp_cas_relaxed(&l->next, &begin, begin + piece)) continue;
    l->body(worker, begin, begin + piece, l->arg);
    mp_scheduler_settle(worker);
    begin = mp_load_relaxed(&l->next);
  }
}

static void run_helper(mp_worker *worker, mp_job *job) {
  run_pieces(worker, ((helper *)job)->loop);
}

static void run_outside_helper(mp_worker *worker, mp_job *job) {
  loop *l = ((helper *)job)->loop;
  run_pieces(worker, l);
  /* acq_rel: all pieces happened before */
  if (mp_sub_acq_rel(&l->running, 1) == 1) mp_word_complete(l->scheduler, &l->done);
}

static void for_helping(mp_worker *self, loop *l, helper *helpers, size_t n) {
  for (size_t i = 0; i + 1 < n; i++) mp_fork(self, &helpers[i].job, run_helper);
  run_pieces(self, l);
  for (size_t i = n - 1; i-- > 0;) mp_join(self, &helpers[i].job);
}

static void for_outside(mp_pool *pool, loop *l, helper *helpers, size_t n) {
  l->scheduler = &pool->scheduler;
  mp_store_relaxed(&l->running, n);
  for (size_t i = 0; i < n; i++) {
    helpers[i].job.run = run_outside_helper;
    helpers[i].job.kind = 0;
    mp_scheduler_push(&pool->scheduler, NULL, &helpers[i].job);
  }
  mp_word_await(pool, NULL, &l->done);
}

mp_status mp_for(mp_pool *pool, size_t first, size_t last, size_t grain, mp_for_body *body,
                 void *arg) {
  if (first >= last) return mp_pool_status(pool);
  helper helpers[FOR_HELPERS_MAX];
  mp_worker *before = NULL, *self = mp_pool_self(pool);
  bool owner = self == NULL && mp_pool_owner_works(pool);
  mp_status status = mp_pool_enter(pool, self);
  if (status != MP_OK) return status;
  size_t n = pool->scheduler.config.workers + (owner ? 1 : 0);
  if (n > FOR_HELPERS_MAX) n = FOR_HELPERS_MAX;
  loop l = {.last = last,
            .grain = grain != 0 ? grain : 1,
            .shares = n * FOR_PIECES,
            .body = body,
            .arg = arg};
  atomic_init(&l.next, first);
  for (size_t i = 0; i < n; i++) helpers[i].loop = &l;
  if (owner) {
    before = mp_scheduler_owner_enter(&pool->scheduler);
    for_helping(pool->scheduler.owner, &l, helpers, n);
    mp_scheduler_owner_leave(before);
  } else if (self != NULL) {
    for_helping(self, &l, helpers, n);
  } else {
    for_outside(pool, &l, helpers, n);
  }
  mp_pool_leave(pool, self);
  return MP_OK;
}

/* }====================================================== */
