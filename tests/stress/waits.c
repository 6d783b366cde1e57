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
#include <string.h>
#include <unistd.h>

#include "actor.h"

#define CASES 250

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
  for (int i = 0; i < 16; i++) act(a);
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
  usleep(below(a, 10000));
  for (unsigned i = 0; i < a->l->pools; i++) shut_down(a, below(a, a->l->pools));
  return NULL;
}

/* A thread outside, or the owner, with its share of the units. */
static actor outsider(life *l, uint64_t *random, unsigned first, unsigned last) {
  return (actor){.l = l,
                 .pool = OUTSIDE,
                 .rank = RANKS,
                 .first = first,
                 .last = last,
                 .random = next_random(random)};
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
  for (int i = 0; i < 16; i++) {
    act(&owner);
    for (unsigned k = 0; k < l->pools; k++) poll_and_act(&owner, mp_pool_mailbox(l->pool[k]));
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
  CHECK(l->st, mp_load_relaxed(&l->asked) == mp_load_relaxed(&l->told));
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
