#include "actor.h"

/*
** {======================================================
** What must hold
** =======================================================
*/

void check_worker(const actor *a) {
  const life *l = a->l;
  mp_pool *pool = a->pool == INNER ? a->inner : l->pool[a->pool];
  CHECK(l->st, mp_worker_pool(a->worker) == pool);
  CHECK(l->st, mp_worker_task(a->worker) == a->task);
  bool asked_before = a->task != NULL && mp_task_cancel_requested(a->task);
  bool cancelled = mp_worker_cancelled(a->worker);
  bool asked = a->task != NULL && mp_task_cancel_requested(a->task);
  CHECK(l->st, cancelled || !asked_before);
  CHECK(l->st, !cancelled || asked || (a->pool != INNER && is_closing(l, a->pool)));
}

/* The end of a task that somebody has waited for. */
void check_end(const life *l, const mp_task *task, const unit *u) {
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
void check_whole(const actor *a, unsigned pool, mp_status status) {
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
void divide(actor *a, actor *parts, unsigned n, unsigned pool) {
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

void run_part(mp_worker *worker, actor *part) {
  mp_add_seq(&part->l->acting, 1);
  part->worker = worker;
  check_worker(part);
  if (part->ran++ == 0) act(part);
  check_worker(part);
  mp_sub_seq(&part->l->acting, 1);
}

void check_parts(const actor *a, const actor *parts, unsigned n, unsigned runs, bool all) {
  for (unsigned i = 0; i < n; i++)
    CHECK(a->l->st, all ? parts[i].ran == runs : parts[i].ran <= runs);
}

/* The first pool, or the second; in a tight case none goes back from the second. */
unsigned any_pool(actor *a) {
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

/* For whom this thread polls, if what it delivers may act for it. */
static _Thread_local actor *poller;

void poll_and_act(actor *a, mp_mailbox *mailbox) {
  actor *before = poller;
  poller = a->depth < DEPTH ? a : NULL;
  a->depth++;
  mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL);
  a->depth--;
  poller = before;
}

static void on_notify(mp_task *task, mp_state state, void *ud) {
  unit *u = ud;
  CHECK(u->life->st, mp_state_is_terminal(state) && (task == NULL || mp_task_arg(task) == u));
  mp_add_relaxed(&u->told, 1);
  actor *a = task != NULL ? poller : NULL;
  if (a == NULL || !chance(a, 4)) return;
  poller = NULL;
  act(a);
  poller = a;
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
  actor a = {.l = l,
             .worker = worker,
             .pool = u->pool,
             .task = mp_worker_task(worker),
             .rank = u->rank,
             .first = u->first,
             .last = u->last,
             .random = u->seed};
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
mp_task *get_from_board(actor *a, unsigned rank, unit **u) {
  place *p = &a->l->board[below(a, rank)][below(a, PLACES)];
  pthread_mutex_lock(&p->lock);
  mp_task *task = p->task;
  if (task != NULL) mp_task_retain(task);
  *u = p->unit;
  pthread_mutex_unlock(&p->lock);
  return task;
}

void clear_board(life *l) {
  for (unsigned i = 0; i < RANKS * PLACES; i++) {
    place *p = &l->board[i / PLACES][i % PLACES];
    pthread_mutex_lock(&p->lock);
    mp_task *task = p->task;
    p->task = NULL;
    pthread_mutex_unlock(&p->lock);
    mp_task_release(task);
  }
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

void await_room(actor *a, unsigned pool) {
  size_t max = chance(a, 2) ? SOON_NS : 0;
  watchdog_enter("room", pool, (unsigned)max);
  mp_status status =
      mp_wait_room(a->l->pool[pool], 0, NULL, a->worker == NULL && max != 0 ? MP_FOREVER : max);
  watchdog_leave();
  CHECK(a->l->st, status == MP_OK || status == MP_TIMEOUT || status == MP_CANCELLED ||
                      (status == MP_INTERRUPTED && is_outside(a, pool)));
}

mp_task_desc describe(actor *a, unit *u) {
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

static void check_submitted(const actor *a, unsigned pool, mp_status status) {
  const life *l = a->l;
  CHECK(l->st, status == MP_OK || (status == MP_FULL && l->limited[pool]) ||
                   (status == MP_STUCK && !l->calm) ||
                   (status == MP_SHUTDOWN && is_closing(l, pool)));
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
    await_room(a, u->pool);
  }
  watchdog_leave();
  check_submitted(a, u->pool, status);
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

/* Waits for one of them in some way, perhaps in vain; *index: which has ended, or n. */
void wait_somehow(actor *a, unsigned pool, mp_task **tasks, size_t n, uint64_t timeout_ns,
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
void await_all(actor *a, unsigned pool, mp_task **tasks, unit **units, size_t n) {
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

/* Submits some, one by one, each perhaps after others; how many. */
size_t submit_some(actor *a, unsigned pool, mp_mailbox *mailbox, mp_task **tasks, unit **units) {
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

size_t submit_batch(actor *a, unsigned pool, mp_task **tasks, unit **units) {
  unsigned n = a->last - a->first < CHILDREN ? a->last - a->first : CHILDREN;
  if (a->rank == 0 || n == 0) return 0;
  for (unsigned i = 0; i < n; i++) {
    units[i] = plan(a, pool, 0);
    tasks[i] = NULL;
  }
  mp_task_desc desc = describe(a, units[0]);
  desc.timeout_ns = 0;
  desc.progress = NULL;
  desc.notify = NULL;
  mp_status status = mp_submit_batch(a->l->pool[pool], &desc, n, sizeof(unit), tasks);
  check_submitted(a, pool, status);
  for (unsigned i = 0; i < n && status == MP_OK; i++) mp_add_relaxed(&units[i]->accepted, 1);
  return n;
}

/* }====================================================== */
