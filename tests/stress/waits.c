/*
** Waits in waits: whatever waits for whatever, on whichever stack, until it ends.
**
** A case is one or two pools, their owner, some threads outside, some that drain and some that shut
** the pools down meanwhile. All of them act: they take random steps, each of which submits, waits,
** forks, loops, runs a graph, sends, sleeps, cancels. So does the body of each task, and each job,
** piece and node.
**
** Nothing waits in a circle: each task has a rank, and what acts for it waits without a limit only
** for tasks of lower ranks. Handles of all ranks lie on a board, where anybody finds them. In a
** tight case, where threads may run out and a worker then runs whatever it finds, one waits without
** a limit only for what one has submitted oneself, and only the first pool's for the second's.
**
** A seed decides what everything tries to do; what it meets depends on who is quicker.
*/
#include "stress.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watchdog.h"

#define CASES 400
#define UNITS 160      /* tasks of a case, at most */
#define RANKS 7        /* ranks of tasks; who is no task is above them all */
#define PLACES 8       /* handles on the board of each rank */
#define PARTS 12       /* jobs, pieces or nodes of one step, at most */
#define DEPTH 4        /* of steps within steps of one task, at most */
#define THREADS 3      /* of each kind outside, at most */
#define SOON_NS 300000 /* waits with a limit take so long at most */

typedef struct life life;

/* What one task does, and what has become of it. */
typedef struct unit {
  life *life;
  uint64_t seed;
  unsigned pool, rank;
  unsigned first, last; /* the units that it may submit */
  _Atomic unsigned accepted, started, returned, dropped;
  _Atomic unsigned listened, told; /* a notify was asked for; it was called */
  _Atomic unsigned results, results_dropped;
  uint64_t value; /* plain: what its end publishes */
} unit;

typedef struct place {
  pthread_mutex_t lock;
  mp_task *task; /* guarded by lock, as all here; a reference, or NULL */
  unit *unit;
} place;

struct life {
  stress *st;
  /* constant */
  uint64_t seed;
  unsigned pools;
  mp_pool *pool[2];
  mp_mailbox *mail[2]; /* anybody sends there; it keeps the pool's memory, too */
  bool tight;          /* threads may run out */
  bool calm;           /* nothing fails, is cancelled or late, and nobody shuts down early */
  bool limited[2];
  char text[200];
  place board[RANKS][PLACES];
  _Atomic bool closing[2];
  _Atomic unsigned acting; /* bodies, pieces and nodes that are inside */
  _Atomic unsigned started, stopped, closed, interrupts, forks;
  _Atomic size_t sent, delivered;
  unit units[UNITS];
};

/* Who takes steps: the body of a task, a part of it on whichever worker, or a thread outside. */
typedef struct actor {
  life *l;
  mp_worker *worker; /* NULL: a thread outside */
  unsigned pool;     /* the worker's */
  mp_task *task;     /* for which it acts, or NULL */
  unsigned rank;     /* it waits for lower ones only */
  unsigned depth;
  unsigned first, last; /* the units that it may submit */
  uint64_t random;
  unsigned ran; /* plain: a part counts how often it has run, and who joins it reads that */
} actor;

static bool chance(actor *a, unsigned of) { return random_below(&a->random, of) == 0; }
static unsigned below(actor *a, unsigned n) { return random_below(&a->random, n); }
static bool is_closing(const life *l, unsigned pool) { return mp_load_seq(&l->closing[pool]); }
/* A signal ends only the waits of who is no worker of the pool. */
static bool is_outside(const actor *a, unsigned pool) {
  return a->worker == NULL || a->pool != pool;
}
static void act(actor *a);

/*
** {======================================================
** What must hold
** =======================================================
*/

static void check_worker(const actor *a) {
  const life *l = a->l;
  CHECK(l->st, mp_worker_pool(a->worker) == l->pool[a->pool]);
  CHECK(l->st, mp_worker_task(a->worker) == a->task);
  bool asked_before = a->task != NULL && mp_task_cancel_requested(a->task);
  bool cancelled = mp_worker_cancelled(a->worker);
  bool asked = a->task != NULL && mp_task_cancel_requested(a->task);
  CHECK(l->st, cancelled || !asked_before);
  CHECK(l->st, !cancelled || asked || is_closing(l, a->pool));
}

/* The end of a task that somebody has waited for. */
static void check_end(const life *l, const mp_task *task, const unit *u) {
  mp_state state = mp_task_state(task);
  mp_status status = mp_task_status(task);
  CHECK(l->st, mp_state_is_terminal(state));
  CHECK(l->st, !l->calm || state == MP_STATE_DONE);
  if (state == MP_STATE_DONE) {
    CHECK(l->st, status == MP_OK && u->value == u->seed + 1);
    CHECK(l->st, mp_task_result(task) == u);
    CHECK(l->st, mp_load_relaxed(&u->started) == 1 && mp_load_relaxed(&u->returned) == 1);
  } else if (state == MP_STATE_FAILED) {
    CHECK(l->st, status == MP_FAILED || status == MP_DEPENDENCY);
    CHECK(l->st, (status == MP_DEPENDENCY) == (mp_task_cause(task) != NULL));
    CHECK(l->st, mp_load_relaxed(&u->started) == (status == MP_FAILED));
  } else {
    CHECK(l->st, status == (state == MP_STATE_CANCELLED ? MP_CANCELLED : MP_TIMEOUT));
  }
}

/* How a loop or a graph in this pool has ended. */
static void check_whole(const actor *a, unsigned pool, mp_status status) {
  const life *l = a->l;
  bool inside = a->task != NULL && pool == a->pool;
  bool asked = inside && mp_task_cancel_requested(a->task);
  if (status == MP_CANCELLED)
    CHECK(l->st, asked || (inside && is_closing(l, pool)));
  else if (status == MP_SHUTDOWN)
    CHECK(l->st, !inside && is_closing(l, pool));
  else
    CHECK(l->st, status == MP_OK);
}

/* }====================================================== */

/*
** {======================================================
** Parts: how a step divides what its actor may do among jobs, pieces and nodes
** =======================================================
*/

/* They take a half of the units that are left. */
static void divide(actor *a, actor *parts, unsigned n, unsigned pool) {
  unsigned share = (a->last - a->first) / 2 / n;
  for (unsigned i = 0; i < n; i++) {
    parts[i] = *a;
    parts[i].pool = pool;
    parts[i].worker = NULL;
    parts[i].task = pool == a->pool ? a->task : NULL;
    parts[i].depth = a->depth + 1;
    parts[i].first = a->first;
    parts[i].last = a->first += share;
    parts[i].random = next_random(&a->random);
    parts[i].ran = 0;
  }
}

static void run_part(mp_worker *worker, actor *part) {
  mp_add_seq(&part->l->acting, 1);
  part->worker = worker;
  check_worker(part);
  if (part->ran++ == 0) act(part);
  check_worker(part);
  mp_sub_seq(&part->l->acting, 1);
}

/* The first pool, or the second; in a tight case none goes back from the second. */
static unsigned any_pool(actor *a) {
  unsigned pool = below(a, a->l->pools);
  return a->l->tight && a->worker != NULL && a->pool == 1 ? 1 : pool;
}

/* }====================================================== */

/*
** {======================================================
** Tasks
** =======================================================
*/

static void drop(void *arg) { mp_add_relaxed(&((unit *)arg)->dropped, 1); }
static void drop_result(void *result) { mp_add_relaxed(&((unit *)result)->results_dropped, 1); }
static void on_notify(mp_task *task, mp_state state, void *ud) {
  unit *u = ud;
  CHECK(u->life->st, mp_state_is_terminal(state) && (task == NULL || mp_task_arg(task) == u));
  mp_add_relaxed(&u->told, 1);
}
static void on_progress(mp_task *task, double progress, const char *note, size_t length, void *ud) {
  const unit *u = ud;
  (void)note, (void)length;
  CHECK(u->life->st, mp_task_arg(task) == u && progress == 0.5);
}

static mp_status run(mp_worker *worker, void *arg) {
  unit *u = arg;
  life *l = u->life;
  mp_add_seq(&l->acting, 1);
  CHECK(l->st, mp_add_relaxed(&u->started, 1) == 0);
  actor a = {l, worker, u->pool, mp_worker_task(worker), u->rank, 0, u->first, u->last, u->seed, 0};
  watchdog_enter("task", (unsigned)(u - l->units), u->rank);
  check_worker(&a);
  CHECK(l->st, mp_task_arg(a.task) == u);
  if (chance(&a, 4)) CHECK(l->st, mp_task_report(a.task, 0.5, "half", 4) == MP_OK);
  act(&a);
  check_worker(&a);
  mp_add_relaxed(&u->results, 1);
  mp_worker_set_result(worker, u, drop_result);
  u->value = u->seed + 1;
  mp_status status = l->calm || !chance(&a, 12) ? MP_OK : chance(&a, 2) ? MP_FAILED : MP_CANCELLED;
  watchdog_leave();
  mp_add_relaxed(&u->returned, 1);
  mp_sub_seq(&l->acting, 1);
  return status;
}

static void put_on_board(actor *a, mp_task *task, unit *u) {
  place *p = &a->l->board[u->rank][below(a, PLACES)];
  mp_task_retain(task);
  pthread_mutex_lock(&p->lock);
  mp_task *before = p->task;
  p->task = task;
  p->unit = u;
  pthread_mutex_unlock(&p->lock);
  mp_task_release(before);
}

/* A reference to somebody's task of a lower rank than `rank`, or NULL. */
static mp_task *get_from_board(actor *a, unsigned rank, unit **u) {
  place *p = &a->l->board[below(a, rank)][below(a, PLACES)];
  pthread_mutex_lock(&p->lock);
  mp_task *task = p->task;
  if (task != NULL) mp_task_retain(task);
  *u = p->unit;
  pthread_mutex_unlock(&p->lock);
  return task;
}

/* The next of the actor's units, which may submit `share` of those behind it. */
static unit *plan(actor *a, unsigned pool, unsigned share) {
  unit *u = &a->l->units[a->first];
  u->life = a->l;
  u->seed = next_random(&a->random);
  u->pool = pool;
  u->rank = below(a, a->rank < RANKS ? a->rank : RANKS);
  u->first = a->first + 1;
  u->last = a->first += 1 + share;
  return u;
}

#define AFTER 3
/* What `after` of a unit is made of: siblings and, unless it is tight, anybody's. */
static size_t choose_after(actor *a, const unit *u, mp_task *const *siblings, unit *const *units,
                           size_t n, mp_task **after) {
  size_t count = 0;
  if (!chance(a, 4)) return 0;
  for (size_t i = 0; i < n && count < AFTER - 1; i++)
    if (siblings[i] != NULL && units[i]->rank < u->rank && chance(a, 2))
      mp_task_retain(after[count++] = siblings[i]);
  unit *other;
  mp_task *task = a->l->tight || u->rank == 0 ? NULL : get_from_board(a, u->rank, &other);
  if (task != NULL && other->pool == u->pool)
    after[count++] = task;
  else
    mp_task_release(task);
  return count;
}

static void await_room(actor *a, unsigned pool) {
  size_t max = chance(a, 2) ? SOON_NS : 0;
  watchdog_enter("room", pool, (unsigned)max);
  mp_status status =
      mp_wait_room(a->l->pool[pool], 0, NULL, a->worker == NULL && max != 0 ? MP_FOREVER : max);
  watchdog_leave();
  CHECK(a->l->st, status == MP_OK || status == MP_TIMEOUT || status == MP_CANCELLED ||
                      (status == MP_INTERRUPTED && is_outside(a, pool)));
}

static mp_task_desc describe(actor *a, unit *u) {
  static const int priorities[] = {0, 0, 0, 0, 1, 2, -1, -2};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run;
  desc.arg = u;
  desc.drop = drop;
  desc.priority = priorities[below(a, 8)];
  desc.flags = (chance(a, 4) ? MP_TASK_TIMED : 0) | (chance(a, 2) ? MP_TASK_CALLER_RUNS : 0);
  if (!a->l->calm && chance(a, 12)) desc.timeout_ns = 1 + below(a, 4 * SOON_NS);
  desc.listener_ud = u;
  if (chance(a, 8)) desc.progress = on_progress;
  if (chance(a, 8)) desc.notify = on_notify;
  return desc;
}

/* NULL: it was refused. */
static mp_task *submit(actor *a, unit *u, mp_task_desc *desc) {
  life *l = a->l;
  mp_task *task = NULL;
  mp_status status;
  watchdog_enter("submit", (unsigned)(u - l->units), u->rank);
  for (int tries = 0; tries < 3; tries++) {
    status = mp_submit(l->pool[u->pool], desc, &task);
    if (status != MP_FULL) break;
    CHECK(l->st, l->limited[u->pool]);
    await_room(a, u->pool);
  }
  watchdog_leave();
  CHECK(l->st, status == MP_OK || status == MP_FULL || (status == MP_STUCK && !l->calm) ||
                   (status == MP_SHUTDOWN && is_closing(l, u->pool)));
  if (status != MP_OK) return NULL;
  mp_add_relaxed(&u->accepted, 1);
  if (desc->notify != NULL) mp_add_relaxed(&u->listened, 1);
  return task;
}

/* }====================================================== */

/*
** {======================================================
** Waiting for tasks
** =======================================================
*/

static uint64_t some_time(actor *a) { return chance(a, 4) ? 0 : below(a, SOON_NS); }

/* Waits for one of them in some way, perhaps in vain; *index: which has ended, or n. */
static void wait_somehow(actor *a, unsigned pool, mp_task **tasks, size_t n, uint64_t timeout_ns,
                         size_t *index) {
  const life *l = a->l;
  mp_status status;
  size_t at = below(a, (unsigned)n);
  *index = n;
  unsigned what = below(a, 3);
  if (what == 0 && tasks[at] != NULL) {
    status = mp_wait(tasks[at], timeout_ns);
    if (status == MP_OK) *index = at;
  } else if (what == 1 && a->worker != NULL && a->pool == pool) {
    status = mp_worker_wait_any(a->worker, tasks, n, NULL, timeout_ns, index);
  } else {
    status = mp_wait_any(l->pool[pool], tasks, n, NULL, timeout_ns, index);
  }
  if (status == MP_CANCELLED)
    CHECK(l->st, what == 1 && mp_worker_cancelled(a->worker));
  else if (status == MP_INTERRUPTED)
    CHECK(l->st, is_outside(a, pool));
  else
    CHECK(l->st, status == MP_OK || (status == MP_TIMEOUT && timeout_ns != MP_FOREVER));
  CHECK(l->st, (status == MP_OK) == (*index < n));
}

/*
** Until all have ended, in the order in which they do. Now and then it leaves one alone, but not
** where nobody else might run that.
*/
static void await_all(actor *a, unsigned pool, mp_task **tasks, unit **units, size_t n) {
  size_t left = 0, index;
  for (size_t i = 0; i < n; i++) left += tasks[i] != NULL;
  while (left > 0) {
    uint64_t timeout_ns = chance(a, 3) ? some_time(a) : MP_FOREVER;
    watchdog_enter("wait", (unsigned)n, (unsigned)left);
    wait_somehow(a, pool, tasks, n, timeout_ns, &index);
    watchdog_leave();
    if (index == n && (a->l->tight || !chance(a, 8))) continue;
    if (index == n)
      while (tasks[index = below(a, (unsigned)n)] == NULL) continue;
    else
      check_end(a->l, tasks[index], units[index]);
    mp_task_release(tasks[index]);
    tasks[index] = NULL;
    left--;
  }
}

#define CHILDREN 6

/* Submits some, one by one, each perhaps after others; how many. */
static size_t submit_some(actor *a, unsigned pool, mp_mailbox *mailbox, mp_task **tasks,
                          unit **units) {
  unsigned left = a->last - a->first, n = 1 + below(a, CHILDREN), made = 0;
  if (a->rank == 0 || left == 0) return 0;
  if (n > left) n = left;
  for (unsigned share = (left - n) / n; made < n; made++) {
    mp_task *after[AFTER];
    unit *u = units[made] = plan(a, pool, below(a, share + 1));
    mp_task_desc desc = describe(a, u);
    desc.after = after;
    desc.after_count = choose_after(a, u, tasks, units, made, after);
    desc.mailbox = mailbox;
    if (mailbox != NULL) desc.notify = on_notify;
    tasks[made] = submit(a, u, &desc);
    for (size_t i = 0; i < desc.after_count; i++) mp_task_release(after[i]);
    if (tasks[made] != NULL && chance(a, 2)) put_on_board(a, tasks[made], u);
  }
  return made;
}

static void step_children(actor *a) {
  mp_task *tasks[CHILDREN];
  unit *units[CHILDREN];
  unsigned pool = any_pool(a);
  size_t n = submit_some(a, pool, NULL, tasks, units);
  await_all(a, pool, tasks, units, n);
}

/* For children of which it hears by a mailbox of its own. */
static void step_mail(actor *a) {
  mp_task *tasks[CHILDREN];
  unit *units[CHILDREN];
  unsigned pool = any_pool(a);
  mp_mailbox *mailbox;
  size_t index, n = 0, left = 0;
  if (mp_mailbox_create(a->l->pool[pool], &mailbox) != MP_OK) return;
  n = submit_some(a, pool, mailbox, tasks, units);
  if (a->l->tight || chance(a, 4)) await_all(a, pool, tasks, units, n);
  for (size_t i = 0; i < n; i++) left += mp_load_relaxed(&units[i]->listened);
  for (bool all = false; !all;) {
    unsigned told = 0;
    mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL);
    for (size_t i = 0; i < n; i++) told += mp_load_relaxed(&units[i]->told);
    if ((all = told == left)) break;
    watchdog_enter("mail", (unsigned)left, told);
    mp_status status = mp_wait_any(a->l->pool[pool], NULL, 0, mailbox, MP_FOREVER, &index);
    watchdog_leave();
    CHECK(a->l->st, status == MP_OK || (status == MP_INTERRUPTED && is_outside(a, pool)));
  }
  await_all(a, pool, tasks, units, n);
  mp_mailbox_close(mailbox);
}

/* For what others have submitted. */
static void step_shared(actor *a) {
  unit *u;
  size_t index;
  mp_task *task = a->rank == 0 ? NULL : get_from_board(a, a->rank < RANKS ? a->rank : RANKS, &u);
  if (task == NULL) return;
  watchdog_enter("shared", (unsigned)(u - a->l->units), u->rank);
  uint64_t timeout_ns = a->l->tight || chance(a, 4) ? some_time(a) : MP_FOREVER;
  wait_somehow(a, u->pool, &task, 1, timeout_ns, &index);
  watchdog_leave();
  if (index == 0) check_end(a->l, task, u);
  mp_task_release(task);
}

/* }====================================================== */

/*
** {======================================================
** Jobs, loops and graphs
** =======================================================
*/

typedef struct forked {
  mp_job job; /* first: what run_forked gets */
  actor part;
} forked;

static void run_forked(mp_worker *worker, mp_job *job) { run_part(worker, &((forked *)job)->part); }

/* Tasks may be queued above a job before it is joined. */
static void step_fork(actor *a) {
  forked jobs[3];
  actor parts[3];
  unsigned n = 1 + below(a, 3);
  if (a->worker == NULL || a->depth >= DEPTH) return;
  divide(a, parts, n, a->pool);
  for (unsigned i = 0; i < n; i++) {
    jobs[i].part = parts[i];
    mp_fork(a->worker, &jobs[i].job, run_forked);
    if (chance(a, 3)) step_children(a);
    if (chance(a, 6)) step_shared(a);
  }
  for (unsigned i = n; i-- > 0;) {
    watchdog_enter("join", i, n);
    mp_join(a->worker, &jobs[i].job);
    watchdog_leave();
    CHECK(a->l->st, jobs[i].part.ran == 1);
  }
}

static void run_pieces(mp_worker *worker, size_t begin, size_t end, void *arg) {
  for (size_t i = begin; i < end; i++) run_part(worker, &((actor *)arg)[i]);
}

static void check_parts(const actor *a, const actor *parts, unsigned n, unsigned runs, bool all) {
  for (unsigned i = 0; i < n; i++)
    CHECK(a->l->st, all ? parts[i].ran == runs : parts[i].ran <= runs);
}

static void step_loop(actor *a) {
  actor parts[PARTS];
  unsigned n = 1 + below(a, PARTS), pool = any_pool(a);
  if (a->depth >= DEPTH) return;
  divide(a, parts, n, pool);
  watchdog_enter("loop", pool, n);
  mp_status status = mp_for(a->l->pool[pool], 0, n, below(a, 4), run_pieces, parts);
  watchdog_leave();
  check_whole(a, pool, status);
  check_parts(a, parts, n, 1, status == MP_OK);
}

static void run_node(mp_worker *worker, void *arg) { run_part(worker, arg); }

/* Twice, the second time without anything in its nodes. */
static void step_graph(actor *a) {
  actor parts[PARTS];
  unsigned n = 1 + below(a, PARTS), pool = any_pool(a);
  mp_graph *graph;
  uint32_t node;
  bool all = true;
  if (a->depth >= DEPTH || mp_graph_create(a->l->pool[pool], &graph) != MP_OK) return;
  divide(a, parts, n, pool);
  for (unsigned i = 0; i < n; i++) {
    CHECK(a->l->st, mp_graph_add(graph, NULL, run_node, &parts[i], &node) == MP_OK);
    for (unsigned k = 0; k < i; k++)
      if (chance(a, 3)) CHECK(a->l->st, mp_graph_edge(graph, k, i) == MP_OK);
  }
  for (unsigned runs = 1; runs <= 2; runs++) {
    watchdog_enter("graph", pool, n);
    mp_status status = mp_graph_run(graph);
    watchdog_leave();
    check_whole(a, pool, status);
    check_parts(a, parts, n, runs, all &= status == MP_OK);
  }
  mp_graph_destroy(graph);
}

/* }====================================================== */

/*
** {======================================================
** Everything else that one can do
** =======================================================
*/

static void step_sleep(actor *a) {
  if (a->worker == NULL) return;
  watchdog_enter("sleep", 0, 0);
  mp_status status = mp_worker_sleep(a->worker, some_time(a));
  watchdog_leave();
  CHECK(a->l->st, status == MP_OK || (status == MP_CANCELLED && mp_worker_cancelled(a->worker)));
}

static void step_cancel(actor *a) {
  unit *u;
  mp_task *task = a->l->calm ? NULL : get_from_board(a, RANKS, &u);
  if (task == NULL) return;
  bool now = chance(a, 2);
  if (now ? mp_cancel_now(task) : mp_cancel(task))
    CHECK(a->l->st, mp_task_state(task) == MP_STATE_CANCELLED);
  CHECK(a->l->st, mp_state_is_terminal(mp_task_state(task)) || !now);
  mp_task_release(task);
}

static void on_letter(void *ud, const void *data, size_t size) {
  life *l = ud;
  CHECK(l->st, size == sizeof l && *(life *const *)data == l);
  mp_add_relaxed(&l->delivered, 1);
}

static void step_send(actor *a) {
  unsigned pool = below(a, a->l->pools);
  mp_status status = mp_mailbox_send(a->l->mail[pool], on_letter, a->l, &a->l, sizeof a->l);
  CHECK(a->l->st, status == MP_OK || status == MP_FULL);
  if (status == MP_OK) mp_add_relaxed(&a->l->sent, 1);
}

/* Mail for the owner, who may be quicker. */
static void step_letters(actor *a) {
  unsigned pool = below(a, a->l->pools);
  size_t index;
  watchdog_enter("letters", pool, 0);
  (void)!mp_wait_any(a->l->pool[pool], NULL, 0, a->l->mail[pool], some_time(a), &index);
  watchdog_leave();
}

static void step_room(actor *a) { await_room(a, below(a, a->l->pools)); }

static void step_drain(actor *a) {
  unsigned pool = below(a, a->l->pools);
  bool inside = a->worker != NULL && a->pool == pool;
  watchdog_enter("drain", pool, 0);
  mp_status status = mp_pool_drain(a->l->pool[pool], some_time(a));
  watchdog_leave();
  CHECK(a->l->st, !inside || status == MP_INVALID || mp_worker_pool(a->worker) == NULL);
}

/* In the child of a fork; 0, or the line of what does not hold. Nothing here frees memory. */
static int ask_everything(actor *a, mp_task *task) {
  mp_pool *pool = a->l->pool[0];
  size_t index;
  unit u = {.life = a->l};
  mp_task_desc desc = describe(a, &u);
  if (mp_pool_status(pool) != MP_FORKED) return __LINE__;
  if (mp_submit(pool, &desc, NULL) != MP_FORKED) return __LINE__;
  if (mp_wait_any(pool, NULL, 0, a->l->mail[0], MP_FOREVER, &index) != MP_FORKED) return __LINE__;
  if (mp_wait_room(pool, 0, NULL, MP_FOREVER) != MP_FORKED) return __LINE__;
  if (mp_pool_drain(pool, MP_FOREVER) != MP_FORKED) return __LINE__;
  if (mp_for(pool, 0, 1, 1, run_pieces, NULL) != MP_FORKED) return __LINE__;
  if (mp_mailbox_send(a->l->mail[0], on_letter, a->l, "", 0) != MP_FORKED) return __LINE__;
  if (mp_pool_shutdown(pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL) != MP_FORKED) return __LINE__;
  if (task != NULL && mp_wait(task, MP_FOREVER) != MP_FORKED) return __LINE__;
  if (task != NULL && (mp_cancel(task) != 0 || mp_cancel_now(task) != 0)) return __LINE__;
  if (a->worker != NULL && a->pool == 0 && mp_worker_sleep(a->worker, 1) == MP_OK) return __LINE__;
  mp_pool_destroy(pool);
  return 0;
}

static void step_process(actor *a) {
  unit *u;
  int status;
  if (!chance(a, 4) || mp_add_relaxed(&a->l->forks, 1) > 0) return;
  mp_task *task = get_from_board(a, RANKS, &u);
  pid_t child = fork();
  CHECK(a->l->st, child >= 0);
  if (child == 0) {
    alarm(60);
    _exit(ask_everything(a, task) & 0xFF);
  }
  watchdog_enter("process", (unsigned)child, 0);
  while (waitpid(child, &status, 0) != child) continue; /* a signal */
  watchdog_leave();
  CHECK(a->l->st, status == 0);
  mp_task_release(task);
}

static void act(actor *a) {
  static void (*const steps[])(actor *) = {
      step_children, step_children, step_children, step_children, step_mail, step_shared,
      step_shared,   step_shared,   step_fork,     step_fork,     step_loop, step_loop,
      step_graph,    step_sleep,    step_sleep,    step_cancel,   step_send, step_letters,
      step_room,     step_drain,    step_process};
  for (unsigned n = 1 + below(a, 3); n > 0; n--) steps[below(a, sizeof steps / sizeof *steps)](a);
}

/* }====================================================== */

/*
** {======================================================
** A case
** =======================================================
*/

static void *on_start(mp_worker *worker, void *ud) {
  mp_add_relaxed(&((life *)ud)->started, 1);
  return worker;
}
static void on_stop(mp_worker *worker, void *local, void *ud) {
  life *l = ud;
  CHECK(l->st, local == worker);
  mp_add_relaxed(&l->stopped, 1);
}
static void on_interrupt(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local;
  mp_add_relaxed(&((life *)ud)->interrupts, 1);
}
static void on_closed(void *ud) { mp_add_relaxed(&((life *)ud)->closed, 1); }

static void open_pool(life *l, unsigned i, uint64_t *random) {
  static const unsigned extras[] = {0, 1, 3};
  mp_pool_config c = stress_config(l->st);
  c.workers = random_below(random, 2) == 0 ? 1 + random_below(random, 8) : l->st->threads;
  if (l->tight) c.workers_extra = extras[random_below(random, 3)];
  c.owner_works = random_below(random, 2) == 0;
  c.caller_runs = random_below(random, 2) == 0;
  if (random_below(random, 2) == 0) c.spin_ns = 0;
  if (random_below(random, 2) == 0) c.spin_free_ns = 0;
  if (random_below(random, 2) == 0) c.idle_after_ns = 200000;
  if (random_below(random, 2) == 0) c.stuck_grace_ns = 200000;
  if (random_below(random, 2) == 0) c.worker_interrupt = on_interrupt;
  if (random_below(random, 2) == 0 && !l->tight && l->limited[i]) c.limits.queue = 8;
  if (l->limited[i] && c.limits.queue == 0) c.limits.tasks = 1 + random_below(random, 16);
  c.worker_start = on_start;
  c.worker_stop = on_stop;
  c.worker_ud = l;
  c.closed = on_closed;
  c.closed_ud = l;
  l->pool[i] = stress_pool(l->st, &c);
  CHECK(l->st, mp_mailbox_create(l->pool[i], &l->mail[i]) == MP_OK);
  size_t used = strlen(l->text);
  snprintf(l->text + used, sizeof l->text - used,
           " [%u+%u workers%s%s%s, spins %u %u, limits %zu %zu]", c.workers, c.workers_extra,
           c.owner_works ? ", owner works" : "", c.caller_runs ? ", caller runs" : "",
           c.worker_interrupt != NULL ? ", interrupts" : "", c.spin_ns != 0, c.spin_free_ns != 0,
           c.limits.tasks, c.limits.queue);
}

static void *outsider_main(void *arg) {
  actor *a = arg;
  watchdog_enter("outsider", 0, 0);
  for (int i = 0; i < 8; i++) act(a);
  watchdog_leave();
  return NULL;
}

static void *drainer_main(void *arg) {
  actor *a = arg;
  watchdog_enter("drainer", 0, 0);
  for (int i = 0; i < 4; i++) {
    mp_status status =
        mp_pool_drain(a->l->pool[below(a, a->l->pools)], chance(a, 2) ? MP_FOREVER : some_time(a));
    CHECK(a->l->st, status == MP_OK || status == MP_TIMEOUT || status == MP_INTERRUPTED);
  }
  watchdog_leave();
  return NULL;
}

static void shut_down(actor *a, unsigned pool) {
  static const mp_shutdown_mode modes[] = {MP_SHUTDOWN_FINISH, MP_SHUTDOWN_CANCEL_PENDING,
                                           MP_SHUTDOWN_CANCEL_ALL};
  mp_shutdown_report report;
  mp_shutdown_mode mode = modes[below(a, 3)];
  uint64_t timeout_ns = a->l->calm || chance(a, 3) ? MP_FOREVER : 10 * some_time(a);
  mp_store_seq(&a->l->closing[pool], true);
  watchdog_enter("shutdown", pool, mode);
  CHECK(a->l->st, mp_pool_shutdown(a->l->pool[pool], timeout_ns, mode, &report) == MP_OK);
  watchdog_leave();
}

static void *closer_main(void *arg) {
  actor *a = arg;
  usleep(below(a, 4000));
  for (unsigned i = 0; i < a->l->pools; i++) shut_down(a, below(a, a->l->pools));
  return NULL;
}

/* A thread outside, or the owner, with its share of the units. */
static actor outsider(life *l, uint64_t *random, unsigned first, unsigned last) {
  return (actor){l, NULL, 2, NULL, RANKS, 0, first, last, next_random(random), 0};
}

static unsigned start(life *l, void *(*body)(void *), actor *actors, pthread_t *threads, unsigned n,
                      uint64_t *random, unsigned *at, unsigned share) {
  for (unsigned i = 0; i < n; i++, *at += share) {
    actors[i] = outsider(l, random, *at, *at + share);
    CHECK(l->st, pthread_create(&threads[i], NULL, body, &actors[i]) == 0);
  }
  return n;
}

static void join(pthread_t *threads, unsigned n) {
  for (unsigned i = 0; i < n; i++) pthread_join(threads[i], NULL);
}

/* The owner acts, then waits for everybody. */
static void live(life *l, uint64_t *random) {
  pthread_t outsiders[THREADS], drainers[THREADS], closers[THREADS];
  actor acting[THREADS], draining[THREADS], closing[THREADS];
  unsigned at = 0, share = UNITS / (THREADS + 1);
  actor owner = outsider(l, random, UNITS - share, UNITS);
  unsigned out = random_below(random, THREADS + 1), drain = random_below(random, THREADS),
           close = l->calm ? 0 : random_below(random, THREADS + 1);
  start(l, outsider_main, acting, outsiders, out, random, &at, share);
  start(l, drainer_main, draining, drainers, drain, random, &at, 0);
  start(l, closer_main, closing, closers, close, random, &at, 0);
  watchdog_enter("owner", 0, 0);
  for (int i = 0; i < 8; i++) {
    act(&owner);
    for (unsigned k = 0; k < l->pools; k++) mp_poll(l->pool[k], MP_FOREVER, 0);
  }
  join(outsiders, out);
  join(drainers, drain);
  for (unsigned i = 0; i < l->pools && l->calm; i++)
    for (unsigned k = 0; k < l->pools; k++) stress_settle(l->st, l->pool[k]);
  for (unsigned i = 0; i < l->pools; i++)
    if (l->calm || chance(&owner, 2)) shut_down(&owner, i);
  join(closers, close);
  watchdog_leave();
}

static void clear_board(life *l) {
  for (unsigned i = 0; i < RANKS * PLACES; i++) {
    place *p = &l->board[i / PLACES][i % PLACES];
    pthread_mutex_lock(&p->lock);
    mp_task *task = p->task;
    p->task = NULL;
    pthread_mutex_unlock(&p->lock);
    mp_task_release(task);
  }
}

/* Destroys the pools, perhaps while bodies are still inside, and checks what is left: nothing. */
static void end(life *l, uint64_t *random) {
  bool early = random_below(random, 2) == 0;
  watchdog_enter("end", early, mp_load_relaxed(&l->acting));
  if (random_below(random, 2) == 0) clear_board(l);
  for (unsigned i = 0; i < l->pools; i++) mp_store_seq(&l->closing[i], true);
  while (!early && mp_load_seq(&l->acting) != 0) usleep(50);
  for (unsigned i = 0; i < l->pools; i++) mp_pool_destroy(l->pool[i]);
  while (mp_load_seq(&l->acting) != 0) usleep(50);
  for (unsigned i = 0; i < l->pools; i++) {
    while (mp_mailbox_poll(l->mail[i], MP_FOREVER, 0, NULL) > 0) continue;
    mp_mailbox_close(l->mail[i]);
  }
  clear_board(l);
  /* a thread that was asked too late is on its way out */
  while (!fault_is_clean(&l->st->memory)) usleep(100);
  watchdog_leave();
}

static size_t check_units(life *l) {
  size_t accepted = 0;
  for (unsigned i = 0; i < UNITS; i++) {
    unit *u = &l->units[i];
    unsigned taken = mp_load_relaxed(&u->accepted), started = mp_load_relaxed(&u->started);
    CHECK(l->st, taken <= 1 && started <= taken);
    CHECK(l->st, mp_load_relaxed(&u->dropped) == taken);
    CHECK(l->st, mp_load_relaxed(&u->returned) == started && (!l->calm || started == taken));
    CHECK(l->st, mp_load_relaxed(&u->told) == mp_load_relaxed(&u->listened));
    CHECK(l->st, mp_load_relaxed(&u->results_dropped) == mp_load_relaxed(&u->results));
    accepted += taken;
  }
  CHECK(l->st, mp_load_relaxed(&l->started) == mp_load_relaxed(&l->stopped));
  CHECK(l->st, mp_load_relaxed(&l->closed) == l->pools);
  CHECK(l->st, mp_load_relaxed(&l->sent) == mp_load_relaxed(&l->delivered));
  return accepted;
}

static size_t live_once(stress *st, size_t number, uint64_t *random) {
  life *l = calloc(1, sizeof *l);
  CHECK(st, l != NULL);
  l->st = st;
  l->pools = 1 + random_below(random, 2);
  l->calm = random_below(random, 4) == 0;
  l->tight = random_below(random, 3) == 0;
  for (int i = 0; i < 2; i++) l->limited[i] = random_below(random, 4) == 0;
  for (unsigned i = 0; i < RANKS * PLACES; i++)
    pthread_mutex_init(&l->board[i / PLACES][i % PLACES].lock, NULL);
  snprintf(l->text, sizeof l->text, "%s%s", l->calm ? "calm" : "wild", l->tight ? " tight" : "");
  watchdog_case(number, l->text);
  for (unsigned i = 0; i < l->pools; i++) open_pool(l, i, random);
  live(l, random);
  end(l, random);
  size_t accepted = check_units(l);
  for (unsigned i = 0; i < RANKS * PLACES; i++)
    pthread_mutex_destroy(&l->board[i / PLACES][i % PLACES].lock);
  free(l);
  return accepted;
}

/* }====================================================== */

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  size_t tasks = 0;
  watchdog_start(&st);
  for (size_t i = 1; i <= CASES * st.scale; i++) {
    uint64_t own = next_random(&random);
    tasks += live_once(&st, i, &own);
  }
  return stress_end(&st, "%zu cases, %zu tasks", CASES * st.scale, tasks);
}
