/*
** steps.c - the steps that an actor takes.
*/
#include <sys/wait.h>
#include <unistd.h>

#include "actor.h"

/*
** {======================================================
** Children
** =======================================================
*/

static void step_batch(actor *a) {
  mp_task *tasks[CHILDREN];
  unit *units[CHILDREN];
  unsigned pool = any_pool(a);
  size_t n = submit_batch(a, pool, tasks, units);
  await_all(a, pool, tasks, units, n);
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
    poll_and_act(a, mailbox);
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

/* A loop in a pool of its own, whose owner is this thread, which may be a worker of another. */
static void step_pool(actor *a) {
  actor parts[PARTS];
  unsigned n = 1 + below(a, PARTS);
  if (a->l->tight || a->depth >= DEPTH || !chance(a, 3)) return;
  mp_pool_config c = stress_config(a->l->st);
  c.workers = 1 + below(a, 2);
  c.owner_works = chance(a, 2);
  mp_pool *pool = stress_pool(a->l->st, &c);
  divide(a, parts, n, INNER);
  for (unsigned i = 0; i < n; i++) parts[i].inner = pool;
  watchdog_enter("inner", c.workers, n);
  CHECK(a->l->st, mp_for(pool, 0, n, 1, run_pieces, parts) == MP_OK);
  check_parts(a, parts, n, 1, true);
  mp_pool_destroy(pool);
  watchdog_leave();
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

static void on_news(mp_task *task, mp_state state, void *ud) {
  life *l = ud;
  (void)task;
  CHECK(l->st, mp_state_is_terminal(state));
  mp_add_relaxed(&l->told, 1);
}

/* The owner is to hear of somebody's task. */
static void step_news(actor *a) {
  unit *u;
  mp_task *task = get_from_board(a, RANKS, &u);
  if (task == NULL) return;
  CHECK(a->l->st, mp_task_notify(task, a->l->mail[u->pool], on_news, a->l) == MP_OK);
  mp_add_relaxed(&a->l->asked, 1);
  mp_task_release(task);
}

static void step_limits(actor *a) {
  unsigned pool = below(a, a->l->pools);
  if (!a->l->limited[pool]) return;
  const mp_limits limits = {.tasks = below(a, 2) * (1 + below(a, 16)),
                            .queue = below(a, 2) * (1 + below(a, 16))};
  CHECK(a->l->st, mp_pool_set_limits(a->l->pool[pool], &limits) == MP_OK);
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

void act(actor *a) {
  static void (*const steps[])(actor *) = {
      step_children, step_children, step_children, step_batch,  step_mail,
      step_mail,     step_shared,   step_shared,   step_shared, step_fork,
      step_fork,     step_loop,     step_loop,     step_graph,  step_pool,
      step_sleep,    step_sleep,    step_cancel,   step_send,   step_letters,
      step_news,     step_room,     step_limits,   step_drain,  step_process};
  for (unsigned n = 1 + below(a, 3); n > 0; n--) steps[below(a, sizeof steps / sizeof *steps)](a);
}

/* }====================================================== */
