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

static void call_in_frame(mp_worker *worker, mp_visit_body *body, void *arg, mp_visit *visit) {
  mp_pool *pool = mp_pool_of(worker);
  mp_frame frame = mp_frame_for(worker, NULL);
  mp_frame_push(pool, worker, &frame);
  body(worker, arg, visit);
  if (!mp_is_orphan(worker)) mp_frame_pop(pool, worker, &frame);
}

/* Most likely it is over after this, and its memory is gone. */
static void run_visit(mp_worker *worker, mp_entry *entry) {
  mp_visit *v = (mp_visit *)entry;
  call_in_frame(worker, v->body, v->arg, v);
}

static void refuse_visit(mp_pool *pool, mp_visit *v) {
  v->refused = true;
  mp_job_complete(pool, &v->done);
}

/*
** Counts a visit, unless the pool closes. shutdown: store closing, then read the counts; here:
** count, then read closing. So either the shutdown waits for this one, or this one sees the
** shutdown. The pool's memory stays as long as the visit does.
*/
static mp_status enter(mp_pool *pool) {
  mp_pool_retain(pool);
  mp_add_seq(&pool->visits_begun, 1);
  return mp_load_seq(&pool->closing) == MP_CLOSING_NOT ? MP_OK : MP_SHUTDOWN;
}

static void leave(mp_pool *pool) {
  mp_add_seq(&pool->visits_over, 1);
  mp_pool_tell_drainers(pool);
  mp_pool_release(pool);
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
    body(self, arg, NULL);
    return mp_pool_forked(pool) ? MP_FORKED : MP_OK;
  }
  mp_status status = enter(pool);
  if (status != MP_OK) {
    /* it will be counted as over below */
  } else if (self != NULL) {
    call_in_frame(self, body, arg, NULL);
  } else if (mp_pool_owner_works(pool)) {
    mp_stay stay;
    mp_owner_enter(&pool->scheduler, &stay);
    call_in_frame(pool->scheduler.owner, body, arg, NULL);
    mp_owner_goes(pool, &stay);
  } else {
    status = queue_and_wait(pool, body, arg);
  }
  if (mp_pool_forked(pool)) return MP_FORKED; /* all locks may be held */
  leave(pool);
  return status;
}

/* }====================================================== */

/*
** {======================================================
** mp_for
** =======================================================
*/

#define PIECES 4       /* pieces a thread is given of what remains, about */
#define INVITATIONS 16 /* queued at a time */
/* So long a piece may take, if a smaller one can be had: in between, the loop sees what is asked */
#define PIECE_NS ((uint64_t)1000000)

typedef struct loop loop;

/* In a queue: whoever takes it is one thread more in the loop. */
typedef struct invitation {
  mp_entry entry; /* first: what run_invitation gets */
  loop *loop;
} invitation;

/*
** On the stack of whoever called mp_for. All who are in the loop are equal: each takes pieces,
** invites others as long as there are too few, leaves when there is something else to do, and has
** itself invited again for that. Only the caller stays.
**
**   hands == threads in the loop + invitations queued
**
** Whoever brings `hands` to 0 completes the loop, and nobody touches it after that.
*/
struct loop {
  _Alignas(MP_CACHE_LINE) _Atomic size_t next;
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t hands;
  _Atomic uint32_t free; /* a bit for each invitation that is in no queue */
  mp_atomic_u32 done;
  /* constant */
  _Alignas(MP_CACHE_LINE) size_t last;
  size_t grain;
  size_t shares;    /* a piece is at most remaining / shares, but at least grain */
  uint32_t threads; /* how many may take part */
  mp_for_body *body;
  void *arg;
  mp_task *task;   /* for which it runs, or NULL */
  uintptr_t group; /* its invitations' */
  mp_visit *visit; /* by which it runs for a thread outside of any task; or NULL */
  invitation invitation[INVITATIONS];
};

/* Are there pieces to be taken? What is asked to stop takes no more. */
static bool has_pieces(const mp_pool *pool, const loop *l) {
  return mp_load_relaxed(&l->next) < l->last && !mp_is_asked(pool, l->task);
}

/* An invitation that is in no queue, for the caller to queue; NULL: all are. */
static invitation *take_free(loop *l) {
  uint32_t free = mp_load_relaxed(&l->free);
  while (free != 0) {
    unsigned i = 0;
    while (!(free >> i & 1)) i++;
    /* acquire: pairs with run_invitation, which is done with the entry */
    if (mp_cas_acq_rel(&l->free, &free, free & ~(1u << i))) return &l->invitation[i];
  }
  return NULL;
}

static void queue(mp_worker *worker, loop *l, invitation *i) {
  mp_pick_push(worker->scheduler, worker, &i->entry, l->group);
}

/* One more, if that is wanted and an invitation is free. By a thread in the loop. */
static bool invite(mp_worker *worker, loop *l) {
  uint32_t hands = mp_load_relaxed(&l->hands);
  assert(hands > 0);
  do
    if (hands >= l->threads) return false;
  while (!mp_cas_relaxed(&l->hands, &hands, hands + 1));
  invitation *i = take_free(l);
  if (i == NULL) {
    mp_sub_relaxed(&l->hands, 1); /* not the last: the caller is in the loop */
    return false;
  }
  queue(worker, l, i);
  return true;
}

/* A thread, or an invitation, is in the loop no more. True: it was the last. */
static bool drop_hand(loop *l) {
  /* acq_rel: whoever is last has seen all pieces' work, and tells the caller */
  uint32_t before = mp_sub_acq_rel(&l->hands, 1);
  assert(before > 0);
  return before == 1;
}

static void end_hand(mp_pool *pool, loop *l) {
  mp_visit *visit = l->visit;
  if (drop_hand(l)) mp_job_complete(pool, visit != NULL ? &visit->done : &l->done);
}

/*
** The thread goes, and an invitation stays in its place: in its own deque, where it comes to it
** next, and others may take it. Below other entries it might lie for long, and the end of the loop
** would wait for it; then the others in the loop, if there are any, will invite somebody.
*/
static void leave_loop(mp_worker *worker, loop *l) {
  bool stands_in = mp_deque_empty_owner(&worker->deque);
  for (;;) {
    invitation *i = stands_in ? take_free(l) : NULL;
    if (i != NULL) {
      queue(worker, l, i);
      return;
    }
    uint32_t hands = mp_load_relaxed(&l->hands);
    if (hands > 1 && mp_cas_acq_rel(&l->hands, &hands, hands - 1)) return;
    stands_in = hands <= 1;
  }
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
** time. True: there is something else to do, and pieces are left.
*/
static bool run_pieces(mp_worker *worker, loop *l, bool may_leave) {
  const mp_pool *pool = mp_pool_of(worker);
  uint64_t began = mp_os_now();
  size_t size = l->grain, begin;
  while ((begin = mp_load_relaxed(&l->next)) < l->last && !mp_is_asked(pool, l->task)) {
    size_t piece = limit_piece(l, l->last - begin, size);
    assert(piece > 0 && piece <= l->last - begin);
    if (!mp_cas_relaxed(&l->next, &begin, begin + piece)) continue;
    l->body(worker, begin, begin + piece, l->arg);
    if (mp_is_orphan(worker)) return false;
    mp_place_settle(worker);
    uint64_t now = mp_os_now(), took = now - began;
    size = took > PIECE_NS ? piece / 2 : took < PIECE_NS / 2 ? piece * 2 : piece;
    began = now;
    if (!has_pieces(pool, l)) return false;
    if (may_leave && !MP_BUGGY(LOOP_STAYS) && !mp_pick_goes_on(worker, l->group)) return true;
    (void)invite(worker, l);
  }
  return false;
}

static void run_invitation(mp_worker *worker, mp_entry *entry) {
  invitation *mine = (invitation *)entry;
  loop *l = mine->loop;
  mp_pool *pool = mp_pool_of(worker);
  mp_frame frame = mp_frame_for(worker, l->task);
  bool leaves = false;
  mp_frame_push(pool, worker, &frame);
  /* pairs with take_free: the entry may be queued again */
  (void)mp_or_seq(&l->free, 1u << (mine - l->invitation));
  if (has_pieces(pool, l)) {
    (void)invite(worker, l);
    leaves = run_pieces(worker, l, frame.outer == NULL);
  }
  if (mp_is_orphan(worker)) return;
  mp_frame_pop(pool, worker, &frame);
  if (leaves)
    leave_loop(worker, l);
  else
    end_hand(pool, l);
}

/* In a frame, on the thread that called mp_for, or on a worker for whom that waits. */
static void run_loop(mp_worker *worker, void *arg, mp_visit *visit) {
  loop *l = arg;
  mp_pool *pool = mp_pool_of(worker);
  const mp_frame *frame = mp_worker_frame(worker);
  l->visit = visit;
  l->task = frame->task;
  l->group = visit != NULL ? (uintptr_t)l : mp_group_of(frame);
  while (invite(worker, l)) continue;
  bool leaves = run_pieces(worker, l, visit != NULL);
  if (mp_is_orphan(worker)) return;
  if (leaves) {
    leave_loop(worker, l);
  } else if (visit != NULL) {
    end_hand(pool, l);
  } else if (!drop_hand(l)) {
    const mp_wait_for what = {.word = &l->done, .group = l->group, .through_signals = true};
    size_t index;
    (void)!mp_wait_until(pool, &what, MP_FOREVER, &index);
  }
}

bool mp_refuse_job(mp_pool *pool, mp_entry *entry) {
  bool stops = mp_load_relaxed(&pool->closing) == MP_CLOSING_STOP;
  if (entry->run == run_visit)
    refuse_visit(pool, (mp_visit *)entry);
  else if (entry->run == run_invitation && stops)
    end_hand(pool, ((invitation *)entry)->loop);
  else
    return false;
  return true;
}

/* How many may take part: an owner that works is one more. */
static uint32_t threads_for(const mp_pool *pool, size_t items, size_t grain) {
  size_t threads = pool->scheduler.config.workers + (pool->config.owner_works ? 1 : 0);
  size_t pieces = items / grain + (items % grain != 0);
  return (uint32_t)(pieces < threads ? pieces : threads);
}

mp_status mp_for(mp_pool *pool, size_t first, size_t last, size_t grain, mp_for_body *body,
                 void *arg) {
  const mp_worker *self = mp_pool_self(pool);
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (first >= last)
    return self != NULL || mp_pool_closing(pool) == MP_CLOSING_NOT ? MP_OK : MP_SHUTDOWN;
  loop l = {.last = last, .grain = grain != 0 ? grain : 1, .body = body, .arg = arg};
  l.threads = threads_for(pool, last - first, l.grain);
  l.shares = (size_t)l.threads * PIECES;
  atomic_init(&l.next, first);
  atomic_init(&l.hands, 1);
  atomic_init(&l.free, (1u << INVITATIONS) - 1);
  for (int i = 0; i < INVITATIONS; i++)
    l.invitation[i] = (invitation){.entry.run = run_invitation, .loop = &l};
  mp_status status = mp_visit_worker(pool, run_loop, &l);
  if (status != MP_OK || mp_load_relaxed(&l.next) >= last) return status;
  return self != NULL && mp_frame_task(self) != NULL ? MP_CANCELLED : MP_SHUTDOWN;
}

/* }====================================================== */
