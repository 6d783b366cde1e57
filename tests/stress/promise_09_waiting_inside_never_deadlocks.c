/*
** Promise 9: waiting inside a task never deadlocks. Fib by submit and wait with one worker and few
** replacements, by fork and join, loops in loops, graphs in tasks.
*/
#include "stress.h"

typedef struct fib {
  mp_job job; /* first: a job is its fib */
  unsigned n, value;
} fib;

static unsigned fib_of(unsigned n) { return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2); }

static mp_status fib_by_waiting(mp_worker *worker, void *arg) {
  fib *f = arg, part[2] = {{.n = f->n - 1}, {.n = f->n - 2}};
  mp_task *tasks[2] = {NULL, NULL};
  mp_status status = MP_OK;
  if (f->n < 2) {
    f->value = f->n;
    return MP_OK;
  }
  for (int i = 0; i < 2 && status == MP_OK; i++) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    desc.run = fib_by_waiting;
    desc.arg = &part[i];
    status = mp_submit(mp_worker_pool(worker), &desc, &tasks[i]);
  }
  for (int i = 0; i < 2; i++) {
    if (tasks[i] != NULL && mp_wait(tasks[i], MP_FOREVER) != MP_OK) status = MP_FAILED;
    mp_task_release(tasks[i]);
  }
  f->value = part[0].value + part[1].value;
  return status;
}

static void fib_by_joining(mp_worker *worker, mp_job *job) {
  fib *f = (fib *)job, left = {.n = f->n - 1}, right = {.n = f->n - 2};
  if (f->n < 2) {
    f->value = f->n;
    return;
  }
  mp_fork(worker, &left.job, fib_by_joining);
  fib_by_joining(worker, &right.job);
  mp_join(worker, &left.job);
  f->value = left.value + right.value;
}

static mp_status fib_as_task(mp_worker *worker, void *arg) {
  fib_by_joining(worker, arg);
  return MP_OK;
}

static void add_range(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  for (size_t i = begin; i < end; i++) mp_add_relaxed((_Atomic size_t *)arg, i);
}

typedef struct loops {
  mp_pool *pool;
  _Atomic size_t sum, errors;
} loops;

static void loop_inside(mp_worker *worker, size_t begin, size_t end, void *arg) {
  loops *l = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++)
    if (mp_for(l->pool, 0, 100, 1, add_range, &l->sum) != MP_OK) mp_add_relaxed(&l->errors, 1);
}

static mp_status loop_in_task(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 20, 1, loop_inside, arg);
}

static void count_node(mp_worker *worker, void *arg) {
  (void)worker, mp_add_relaxed((_Atomic size_t *)arg, 1);
}

#define NODES 200

/* Builds a graph of its own and runs it ten times. */
static mp_status graph_in_task(mp_worker *worker, void *arg) {
  mp_graph *graph;
  uint32_t node;
  mp_status status = mp_graph_create(mp_worker_pool(worker), &graph);
  if (status != MP_OK) return status;
  for (uint32_t i = 0; i < NODES && status == MP_OK; i++) {
    status = mp_graph_add(graph, NULL, count_node, arg, &node);
    if (status == MP_OK && i > 0) status = mp_graph_edge(graph, i / 3, node);
    if (status == MP_OK && i > 9) status = mp_graph_edge(graph, i - 7, node);
  }
  for (int i = 0; i < 10 && status == MP_OK; i++) status = mp_graph_run(graph);
  mp_graph_destroy(graph);
  return status;
}

static mp_task *submit(stress *st, mp_pool *pool, mp_task_run *run, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  CHECK(st, mp_submit(pool, &desc, &task) == MP_OK);
  return task;
}

static void finish(stress *st, mp_task *task) {
  CHECK(st, mp_wait(task, MP_FOREVER) == MP_OK);
  CHECK(st, mp_task_state(task) == MP_STATE_DONE);
  mp_task_release(task);
}

#define KINDS 4
#define ROUNDS 20 /* tasks in a mix */
#define MIXES 40  /* per pool */

static void mix(stress *st, mp_pool *pool, uint64_t *random) {
  mp_task *tasks[ROUNDS];
  fib waiting[ROUNDS], joining[ROUNDS];
  loops l = {.pool = pool};
  _Atomic size_t nodes = 0;
  size_t looped = 0, graphs = 0;
  for (int i = 0; i < ROUNDS; i++) {
    uint32_t kind = random_below(random, KINDS), n = 8 + random_below(random, 6);
    waiting[i] = joining[i] = (fib){.n = n};
    if (kind == 0) tasks[i] = submit(st, pool, fib_by_waiting, &waiting[i]);
    if (kind == 1) tasks[i] = submit(st, pool, fib_as_task, &joining[i]);
    if (kind == 2) tasks[i] = submit(st, pool, loop_in_task, &l), looped++;
    if (kind == 3) tasks[i] = submit(st, pool, graph_in_task, &nodes), graphs++;
  }
  for (int i = 0; i < ROUNDS; i++) {
    finish(st, tasks[i]);
    CHECK(st, waiting[i].value == 0 || waiting[i].value == fib_of(waiting[i].n));
    CHECK(st, joining[i].value == 0 || joining[i].value == fib_of(joining[i].n));
  }
  CHECK(st, l.errors == 0 && l.sum == looped * 20 * 4950);
  CHECK(st, nodes == graphs * NODES * 10);
}

static void run_with(stress *st, unsigned workers, unsigned extra, int owner_works,
                     uint64_t *random) {
  mp_pool_config config = stress_config(st);
  config.workers = workers;
  config.workers_extra = extra;
  config.owner_works = owner_works;
  mp_pool *pool = stress_pool(st, &config);
  fib f = {.n = 17};
  finish(st, submit(st, pool, fib_by_waiting, &f));
  CHECK(st, f.value == fib_of(17));
  for (size_t i = 0; i < st->scale * MIXES; i++) mix(st, pool, random);
  stress_settle(st, pool);
  stress_pool_end(st, pool);
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  run_with(&st, 1, 0, 0, &random);
  run_with(&st, 1, 256, 0, &random);
  run_with(&st, 1, 4, 1, &random);
  run_with(&st, st.threads, 2, 0, &random);
  run_with(&st, st.threads, 256, 1, &random);
  return stress_end(&st, "5 pools, %zu mixed tasks", 5 * MIXES * st.scale * ROUNDS);
}
