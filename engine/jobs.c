/*
** jobs.c - fork and join, visits, parallel loops.
*/
#include "jobs.h"

#include "bug.h"
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
  /* it is there until the job is joined */
  const mp_frame *forker = (const mp_frame *)mp_load_relaxed(&job->frame);
  mp_frame frame = mp_frame_for(worker, forker != NULL ? forker->task : NULL);
  mp_frame_push(pool, worker, &frame);
  mp_store_relaxed(&job->frame, mp_group_of(&frame));
  job->body(worker, job);
  if (mp_is_orphan(worker)) return;
  mp_frame_pop(pool, worker, &frame);
  mp_job_complete(pool, &job->done);
}

/* In a child of fork(2) nobody sleeps, and all locks may be held. */
static void notify(mp_worker *worker) {
  mp_park *park = &worker->scheduler->park;
  if (mp_load_seq(&park->sleepers) != 0 && !mp_is_orphan(worker)) mp_park_wake_one(park);
}

/* Its own deque has no place, or nobody looks there. */
static void fork_elsewhere(mp_worker *worker, mp_job *job) {
  if (mp_is_orphan(worker)) {
    job->body(worker, job);
    mp_store_relaxed(&job->done, MP_JOB_DONE);
  } else {
    mp_inbox_push(&worker->scheduler->inbox, &job->entry, &job->entry, 1);
    notify(worker);
  }
}

void mp_fork(mp_worker *worker, mp_job *job, void (*body)(mp_worker *worker, mp_job *job)) {
  const mp_frame *frame = mp_worker_frame(worker);
  assert(mp_worker_self() == worker);
  job->entry.run = run_forked;
  job->body = body;
  mp_store_relaxed(&job->frame, mp_group_of(frame)); /* until it runs elsewhere */
  mp_store_relaxed(&job->done, MP_JOB_PENDING);
  if (!worker->unseated && mp_deque_push_owner(&worker->deque, &job->entry, mp_group_of(frame)))
    notify(worker);
  else
    fork_elsewhere(worker, job);
}

static void await_job(mp_worker *worker, mp_job *job) {
  const mp_wait_for what = {.word = &job->done,
                            .group = mp_group_of(mp_worker_frame(worker)),
                            .runner = &job->frame,
                            .through_signals = true};
  size_t index;
  (void)!mp_wait_until(mp_pool_of(worker), &what, MP_FOREVER, &index);
}

void mp_join(mp_worker *worker, mp_job *job) {
  assert(mp_worker_self() == worker);
  if (mp_deque_pop_this_owner(&worker->deque, &job->entry)) {
    job->body(worker, job); /* nobody stole it: a plain call */
    return;
  }
  await_job(worker, job);
}

/* }====================================================== */

/*
** {======================================================
** Visits
** =======================================================
*/

static bool call_in_frame(mp_worker *worker, mp_visit_body *body, void *arg, mp_visit *visit) {
  mp_pool *pool = mp_pool_of(worker);
  mp_frame frame = mp_frame_for(worker, NULL);
  mp_frame_push(pool, worker, &frame);
  bool over = body(worker, arg, visit);
  if (!mp_is_orphan(worker)) mp_frame_pop(pool, worker, &frame);
  return over;
}

static void run_visit(mp_worker *worker, mp_entry *entry) {
  mp_visit *v = (mp_visit *)entry;
  v->begun = true;
  bool over = call_in_frame(worker, v->body, v->arg, v);
  if (over && !mp_is_orphan(worker)) mp_job_complete(mp_pool_of(worker), &v->done);
}

bool mp_refuse_visit(mp_pool *pool, mp_entry *entry) {
  mp_visit *v = (mp_visit *)entry;
  if (entry->run != run_visit || v->begun) return false;
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

static mp_status queue_and_wait(mp_pool *pool, mp_visit_body *body, void *arg) {
  mp_visit v = {.entry.run = run_visit, .body = body, .arg = arg, .done = MP_JOB_PENDING};
  const mp_wait_for what = {.word = &v.done, .through_signals = true};
  size_t index;
  mp_pick_push(&pool->scheduler, NULL, &v.entry, 0);
  /* as for a task that is queued late: see submit.c */
  if (mp_load_seq(&pool->closing) == MP_CLOSING_STOP) mp_cancel_queued(pool);
  mp_status status = mp_wait_until(pool, &what, MP_FOREVER, &index);
  return status == MP_OK && v.refused ? MP_SHUTDOWN : status;
}

mp_status mp_visit_worker(mp_pool *pool, mp_visit_body *body, void *arg) {
  mp_worker *self = mp_pool_self(pool);
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (self != NULL && mp_worker_frame(self) != NULL) {
    (void)body(self, arg, NULL);
    return MP_OK;
  }
  mp_status status = enter(pool);
  if (status != MP_OK) {
    /* it will be counted down below */
  } else if (self != NULL) {
    (void)call_in_frame(self, body, arg, NULL);
  } else if (mp_pool_owner_works(pool)) {
    mp_stay stay;
    mp_owner_enter(&pool->scheduler, &stay);
    (void)call_in_frame(pool->scheduler.owner, body, arg, NULL);
    mp_owner_leave(&stay);
  } else {
    status = queue_and_wait(pool, body, arg);
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
/* So long a piece may take, if a smaller one can be had: in between, the loop sees what is asked */
#define PIECE_NS ((uint64_t)1000000)

_Static_assert(MP_WORKERS_MAX <= 1 << (LEVELS - 1), "a part forks no more children than LEVELS");

typedef struct loop {
  _Alignas(MP_CACHE_LINE) _Atomic size_t next;
  _Alignas(MP_CACHE_LINE) size_t last;
  size_t grain;
  size_t shares;  /* a piece is at most remaining / shares, but at least grain */
  size_t threads; /* how many may take part */
  mp_for_body *body;
  void *arg;
} loop;

/* So many threads' part in a loop: whoever runs it forks the others' and takes pieces. */
typedef struct part {
  mp_job job; /* first: what run_part gets */
  loop *loop;
  size_t threads;
  uintptr_t group; /* of the frame that forked it */
  bool left;       /* its worker went to do something else; written before the job is done */
} part;

/* One thread in a loop. */
typedef struct hand {
  mp_worker *worker;
  loop *loop;
  bool may_leave;  /* nobody's stack lies below */
  uintptr_t group; /* of the part that it runs */
  size_t n;        /* of children */
  part children[LEVELS];
} hand;

static void run_part(mp_worker *worker, mp_job *job);

static void fork_child(hand *h, part *child) {
  child->left = false;
  child->group = mp_group_of(mp_worker_frame(h->worker));
  mp_fork(h->worker, &child->job, run_part);
}

/* As a tree, so that many threads have begun soon, and nobody forks for all of them. */
static void fork_children(hand *h, size_t threads) {
  for (; threads > 1 && mp_load_relaxed(&h->loop->next) < h->loop->last; h->n++) {
    assert(h->n < LEVELS);
    part *child = &h->children[h->n];
    child->loop = h->loop;
    child->threads = threads / 2;
    fork_child(h, child);
    threads -= threads / 2;
  }
}

/* Children that have left the loop come back into it. */
static void call_back(hand *h) {
  for (size_t i = 0; i < h->n; i++)
    if (mp_job_is_done(&h->children[i].job.done) && h->children[i].left)
      fork_child(h, &h->children[i]);
}

/* Is none of its children in the loop? What has not begun does not begin. */
static bool has_no_child(hand *h) {
  for (size_t i = h->n; i-- > 0;) {
    part *child = &h->children[i];
    if (mp_job_is_done(&child->job.done)) continue;
    if (!mp_deque_pop_this_owner(&h->worker->deque, &child->job.entry)) return false;
    child->left = true;
    mp_store_relaxed(&child->job.done, MP_JOB_DONE);
  }
  return true;
}

/*
** Something else is to be done, or else there is reason to go on. Whoever has children in the loop
** stays, but does not call those back who have left.
*/
static bool leaves(hand *h) {
  if (h->may_leave && !MP_BUGGY(LOOP_STAYS) && !mp_pick_goes_on(h->worker, h->group))
    return has_no_child(h);
  call_back(h);
  return false;
}

/* The next piece: `size`, as far as the loop allows it. */
static size_t limit_piece(const loop *l, size_t left, size_t size) {
  if (size > left / l->shares) size = left / l->shares;
  if (size < l->grain) size = l->grain;
  return size < left ? size : left;
}

/*
** Guided self-scheduling (Polychronopoulos and Kuck 1987): large pieces first, so that few are
** taken; but each thread begins with a small one and doubles it only as long as that takes little
** time. What is asked to stop takes no more. True: the thread leaves the loop, and pieces are left.
*/
static bool run_pieces(hand *h) {
  mp_worker *worker = h->worker;
  loop *l = h->loop;
  const mp_pool *pool = mp_pool_of(worker);
  uint64_t began = mp_os_now();
  size_t size = l->grain, begin = mp_load_relaxed(&l->next);
  while (begin < l->last && !mp_is_asked(pool, mp_frame_task(worker))) {
    size_t piece = limit_piece(l, l->last - begin, size);
    assert(piece > 0 && piece <= l->last - begin);
    if (!mp_cas_relaxed(&l->next, &begin, begin + piece)) continue;
    l->body(worker, begin, begin + piece, l->arg);
    if (mp_is_orphan(worker)) return false;
    mp_place_settle(worker);
    uint64_t now = mp_os_now(), took = now - began;
    size = took > PIECE_NS ? piece / 2 : took < PIECE_NS / 2 ? piece * 2 : piece;
    began = now;
    begin = mp_load_relaxed(&l->next);
    if (begin < l->last && leaves(h)) return true;
  }
  return false;
}

/* True: it has left. */
static bool take_part(hand *h, size_t threads) {
  assert(threads > 0 && h->n == 0);
  fork_children(h, threads);
  if (run_pieces(h)) return true;
  while (h->n-- > 0 && !mp_is_orphan(h->worker)) mp_join(h->worker, &h->children[h->n].job);
  return false;
}

static void run_part(mp_worker *worker, mp_job *job) {
  part *p = (part *)job;
  const mp_frame *frame = mp_worker_frame(worker);
  hand h = {.worker = worker, .loop = p->loop, .group = p->group};
  /* a child that its forker runs itself has no frame of its own */
  h.may_leave = frame->outer == NULL && mp_group_of(frame) != p->group;
  p->left = take_part(&h, p->threads);
}

static bool run_loop(mp_worker *worker, void *arg, mp_visit *visit) {
  loop *l = arg;
  hand h = {.worker = worker, .loop = l, .may_leave = visit != NULL};
  h.group = mp_group_of(mp_worker_frame(worker));
  if (!take_part(&h, l->threads)) return true;
  assert(visit != NULL);
  mp_pick_push(worker->scheduler, worker, &visit->entry, 0);
  return false;
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
  mp_status status = mp_visit_worker(pool, run_loop, &l);
  if (status != MP_OK || mp_load_relaxed(&l.next) >= last) return status;
  return self != NULL && mp_frame_task(self) != NULL ? MP_CANCELLED : MP_SHUTDOWN;
}

/* }====================================================== */
