/*
** ours.c - the engine: one worker, and the main thread, which runs tasks while it waits.
*/
#include "ours.h"

static void finish(mp_task *task) {
  check(mp_wait(task, MP_FOREVER));
  mp_task_release(task);
}

/*
** Throughput.
*/
static mp_status one_us(mp_worker *worker, void *arg) {
  bench_work_us(1);
  return count(worker, arg);
}

/* Tasks one by one, after a first round that makes the memory; returns when the second began. */
static uint64_t submit_twice(mp_task_run *run, long n) {
  mp_task_desc desc = describe(run, NULL);
  uint64_t started = 0;
  open_default();
  for (int round = 0; round < 2; round++) {
    started = bench_now();
    submit_each(&desc, n);
    drain();
    bench_expect(n);
  }
  return started;
}

static void case_empty(void) {
  long n = bench_sized(1000000);
  bench_report_each("empty", submit_twice(count, n), n);
}

static void case_one_us(void) {
  long n = bench_sized(200000);
  bench_report_efficiency(submit_twice(one_us, n), n);
}

static void case_batch(void) {
  long n = bench_sized(1000000);
  mp_task_desc desc = describe(count, NULL);
  uint64_t started = 0;
  open_default();
  for (int round = 0; round < 2; round++) {
    started = bench_now();
    check(mp_submit_batch(pool, &desc, (size_t)n, 0, NULL));
    drain();
    bench_expect(n);
  }
  bench_report_each("batch", started, n);
}

static void count_all(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  (void)arg;
  for (size_t i = begin; i < end; i++) bench_tick();
}

static void case_loop(void) {
  long n = bench_sized(1000000);
  open_default();
  for (int round = 0; round < 2; round++) {
    uint64_t started = bench_now();
    check(mp_for(pool, 0, (size_t)n, 1, count_all, NULL));
    bench_expect(n);
    if (round == 1) bench_report_each("loop", started, n);
  }
}

typedef struct fib_job {
  mp_job job;
  int n;
  long result;
} fib_job;

static long fib(mp_worker *worker, int n);

static void run_fib_job(mp_worker *worker, mp_job *job) {
  fib_job *f = (fib_job *)job;
  f->result = fib(worker, f->n);
}

static long fib(mp_worker *worker, int n) {
  if (n < 2) return n;
  fib_job f;
  f.n = n - 1;
  mp_fork(worker, &f.job, run_fib_job);
  long other = fib(worker, n - 2);
  mp_join(worker, &f.job);
  return f.result + other;
}

static mp_status run_fib(mp_worker *worker, void *arg) {
  *(long *)arg = fib(worker, FIB_N);
  return MP_OK;
}

static void case_fib(void) {
  long result = 0;
  mp_task_desc desc = describe(run_fib, &result);
  mp_task *task;
  open_default();
  uint64_t started = bench_now();
  check(mp_submit(pool, &desc, &task));
  finish(task);
  bench_report_each("fib", started, FIB_SPAWNS);
  if (result != FIB_RESULT) exit(1);
}

static mp_status spawn_next(mp_worker *worker, void *arg) {
  long left = (long)(intptr_t)arg;
  bench_tick();
  if (left > 1) {
    mp_task_desc desc = describe(spawn_next, (void *)(intptr_t)(left - 1));
    check(mp_submit(mp_worker_pool(worker), &desc, NULL));
  }
  return MP_OK;
}

static void case_spawn_chain(void) {
  long n = bench_sized(1000000);
  mp_task_desc desc = describe(spawn_next, (void *)(intptr_t)n);
  open_default();
  uint64_t started = bench_now();
  check(mp_submit(pool, &desc, NULL));
  drain();
  bench_report_each("spawn_chain", started, n);
  bench_expect(n);
}

/*
** Dependencies, built and run, and as a graph that is built once.
*/
static void case_chain(void) {
  long n = bench_sized(1000000);
  mp_task *last = NULL, *task;
  open_default();
  uint64_t started = bench_now();
  for (long i = 0; i < n; i++) {
    mp_task_desc desc = describe(count, NULL);
    desc.after = &last;
    desc.after_count = last != NULL;
    check(mp_submit(pool, &desc, &task));
    mp_task_release(last);
    last = task;
  }
  finish(last);
  bench_report_each("chain", started, n);
  bench_expect(n);
}

static long wave_side(void) {
  long side = 1;
  while (side * side < bench_sized(1000000)) side++;
  return side;
}

/* A square in which each task waits for the one above and the one to the left. */
static void run_wave(long side) {
  mp_task **row = calloc((size_t)side, sizeof(mp_task *));
  for (long i = 0; i < side; i++)
    for (long j = 0; j < side; j++) {
      mp_task *after[2], *task;
      mp_task_desc desc = describe(count, NULL);
      desc.after = after;
      if (i > 0) after[desc.after_count++] = row[j];
      if (j > 0) after[desc.after_count++] = row[j - 1];
      check(mp_submit(pool, &desc, &task));
      mp_task_release(row[j]);
      row[j] = task;
    }
  drain();
  for (long j = 0; j < side; j++) mp_task_release(row[j]);
  free(row);
}

static void case_wave(void) {
  long side = wave_side();
  open_default();
  uint64_t started = bench_now();
  run_wave(side);
  bench_report_each("wave", started, side * side);
  bench_expect(side * side);
}

/* All tasks exist at once: the first waits until the last was submitted. */
static void case_wave_memory(void) {
  long side = wave_side();
  int open = 0;
  mp_task_desc desc = describe(hold, &open);
  mp_task *first, *task, **row = calloc((size_t)side, sizeof(mp_task *));
  open_pool(2, 0);
  check(mp_submit(pool, &desc, &first));
  for (long i = 0; i < side; i++)
    for (long j = 0; j < side; j++) {
      mp_task *after[2] = {first, NULL};
      desc = describe(count, NULL);
      desc.after = after;
      if (i > 0) after[desc.after_count++] = row[j];
      if (j > 0) after[desc.after_count++] = row[j - 1];
      if (i == 0 && j == 0) desc.after_count = 1;
      check(mp_submit(pool, &desc, &task));
      mp_task_release(row[j]);
      row[j] = task;
    }
  bench_report_memory("wave_memory");
  __atomic_store_n(&open, 1, __ATOMIC_RELEASE);
  drain();
  bench_expect(side * side);
}

static void count_node(mp_worker *worker, void *arg) { (void)count(worker, arg); }

static void run_graph(mp_graph *graph, const char *name, long n) {
  for (int round = 0; round < 3; round++) {
    uint64_t started = bench_now();
    check(mp_graph_run(graph));
    bench_expect(n);
    if (round == 2) bench_report_each(name, started, n);
  }
  mp_graph_destroy(graph);
}

static void case_chain_graph(void) {
  long n = bench_sized(1000000);
  mp_graph *graph;
  uint32_t node;
  open_default();
  check(mp_graph_create(pool, &graph));
  for (long i = 0; i < n; i++) {
    check(mp_graph_add(graph, NULL, count_node, NULL, &node));
    if (node > 0) check(mp_graph_edge(graph, node - 1, node));
  }
  run_graph(graph, "chain_graph", n);
}

static void case_wave_graph(void) {
  uint32_t side = (uint32_t)wave_side(), node;
  mp_graph *graph;
  open_default();
  check(mp_graph_create(pool, &graph));
  for (uint32_t i = 0; i < side * side; i++) {
    check(mp_graph_add(graph, NULL, count_node, NULL, &node));
    if (node >= side) check(mp_graph_edge(graph, node - side, node));
    if (node % side > 0) check(mp_graph_edge(graph, node - 1, node));
  }
  run_graph(graph, "wave_graph", (long)side * side);
}

/*
** Latency.
*/
static uint64_t stamp;

static mp_status note_start(mp_worker *worker, void *arg) {
  (void)worker;
  (void)arg;
  __atomic_store_n(&stamp, bench_now(), __ATOMIC_RELEASE);
  return MP_OK;
}

static uint64_t submit_and_wait(void) {
  mp_task_desc desc = describe(note_start, NULL);
  mp_task *task;
  uint64_t started = bench_now();
  check(mp_submit(pool, &desc, &task));
  finish(task);
  return bench_now() - started;
}

static void case_from_idle(void) {
  open_default();
  bench_from_rest("from_idle", submit_and_wait);
}

/* The caller computes on: another thread must start the task. */
static uint64_t submit_and_compute(void) {
  mp_task_desc desc = describe(note_start, NULL);
  uint64_t started = bench_now(), ran;
  __atomic_store_n(&stamp, 0, __ATOMIC_RELAXED);
  check(mp_submit(pool, &desc, NULL));
  while ((ran = __atomic_load_n(&stamp, __ATOMIC_ACQUIRE)) == 0) bench_pause();
  return ran - started;
}

static void case_start_delay(void) {
  open_default();
  bench_from_rest("start_delay", submit_and_compute);
}

static void frame_body(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  (void)arg;
  for (size_t i = begin; i < end; i++) bench_work_us(FRAME_TASK_US);
}

static void one_frame(void) { check(mp_for(pool, 0, FRAME_TASKS, 1, frame_body, NULL)); }

static void case_frame(void) {
  open_default();
  bench_frames(one_frame);
}

static mp_status work_for(mp_worker *worker, void *arg) {
  (void)worker;
  bench_work_us((double)(intptr_t)arg);
  return MP_OK;
}

/* A task of high priority behind 5,000 normal ones of 20 us: from its submission to its start. */
static void case_priority_high(void) {
  mp_task_desc normal = describe(work_for, (void *)(intptr_t)20), high = describe(note_start, NULL);
  double us[9];
  high.priority = 1;
  open_pool(2, 0);
  for (int i = 0; i < 9; i++) {
    stamp = 0;
    submit_each(&normal, bench_sized(5000));
    uint64_t started = bench_now();
    check(mp_submit(pool, &high, NULL));
    while (__atomic_load_n(&stamp, __ATOMIC_ACQUIRE) == 0) usleep(50);
    us[i] = (double)(stamp - started) / 1000;
    drain();
  }
  qsort(us, 9, sizeof *us, bench_compare);
  bench_report("priority_high", us[4], "us");
}

static uint64_t pending;

static mp_status work_pending(mp_worker *worker, void *arg) {
  (void)work_for(worker, arg);
  __atomic_sub_fetch(&pending, 1, __ATOMIC_RELAXED);
  return MP_OK;
}

/* A task of low priority while 2,000 of high priority are always pending. */
static void case_priority_low(void) {
  mp_task_desc high = describe(work_pending, (void *)(intptr_t)10),
               low = describe(note_start, NULL);
  double ms[5];
  high.priority = 1;
  low.priority = -1;
  open_pool(2, 0);
  for (int i = 0; i < 5; i++) {
    uint64_t started = 0, end;
    stamp = 0;
    do {
      while (__atomic_load_n(&pending, __ATOMIC_RELAXED) < 2000) {
        __atomic_add_fetch(&pending, 1, __ATOMIC_RELAXED);
        check(mp_submit(pool, &high, NULL));
      }
      if (started == 0) {
        started = bench_now();
        check(mp_submit(pool, &low, NULL));
      }
      end = bench_now();
    } while (__atomic_load_n(&stamp, __ATOMIC_ACQUIRE) == 0 && end - started < 2000000000u);
    ms[i] = (double)((stamp != 0 ? stamp : end) - started) / 1e6;
    drain();
  }
  qsort(ms, 5, sizeof *ms, bench_compare);
  bench_report("priority_low", ms[2], "ms");
}

/*
** Waiting without a thread.
*/

/* Submits a task, suspends until it has ended, and again. */
typedef struct getter {
  long left;
  mp_task *child;
} getter;

static mp_status spawn_and_get(mp_worker *worker, void *arg) {
  getter *g = arg;
  mp_task_desc desc = describe(count, NULL);
  mp_task_release(g->child);
  g->child = NULL;
  if (g->left-- == 0) return MP_OK;
  check(mp_submit(pool, &desc, &g->child));
  check(mp_suspend(worker, &g->child, 1, NULL, MP_FOREVER));
  return MP_SUSPENDED;
}

static void case_spawn_get(void) {
  long n = bench_sized(1000000);
  getter g = {n, NULL};
  mp_task_desc desc = describe(spawn_and_get, &g);
  open_pool(2, 0);
  uint64_t started = bench_now();
  check(mp_submit(pool, &desc, NULL));
  drain();
  bench_report_each("spawn_get", started, n);
  bench_expect(n);
}

static mp_task *awaited;

static mp_status wait_for_it(mp_worker *worker, void *arg) {
  if (mp_worker_resumed(worker) != MP_INVALID) return count(worker, arg);
  check(mp_suspend(worker, &awaited, 1, NULL, MP_FOREVER));
  return MP_SUSPENDED;
}

static uint64_t suspended_now(void) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_pool_get_info(pool, &info);
  return info.suspended;
}

/* Tasks that all wait for one: what each takes meanwhile, and how long until all have gone on. */
static void case_waiters(void) {
  long n = bench_sized(100000);
  int go_on = 0;
  open_pool(2, 0);
  mp_task_desc held = describe(hold, &go_on), desc = describe(wait_for_it, NULL);
  check(mp_submit(pool, &held, &awaited));
  size_t before = mp_pool_bytes(pool);
  submit_each(&desc, n);
  while (suspended_now() < (uint64_t)n) bench_sleep_ms(1);
  bench_report("waiters_bytes", (double)(mp_pool_bytes(pool) - before) / (double)n, "B");
  __atomic_store_n(&go_on, 1, __ATOMIC_RELEASE);
  check(mp_wait(awaited, MP_FOREVER));
  uint64_t started = bench_now();
  drain();
  bench_report_each("waiters", started, n);
  bench_expect(n);
  mp_task_release(awaited);
}

#define SLEEPERS_SPREAD_US 100000

typedef struct sleeper {
  uint64_t until;
  double late_us;
} sleeper;

static mp_status sleep_until(mp_worker *worker, void *arg) {
  sleeper *s = arg;
  uint64_t now = bench_now();
  if (now < s->until) {
    check(mp_suspend(worker, NULL, 0, NULL, s->until - now));
    return MP_SUSPENDED;
  }
  s->late_us = (double)(now - s->until) / 1000;
  return count(worker, arg);
}

/* Tasks that sleep, each to a time of its own in a tenth of a second: how late they go on. */
static void case_sleepers(void) {
  long n = bench_sized(10000);
  sleeper *s = calloc((size_t)n, sizeof *s);
  double *us = calloc((size_t)n, sizeof *us);
  mp_task_desc desc = describe(sleep_until, NULL);
  open_pool(2, 0);
  uint64_t begin = bench_now() + 100000000;
  for (long i = 0; i < n; i++) {
    s[i].until = begin + (uint64_t)((double)i / (double)n * SLEEPERS_SPREAD_US * 1000);
    desc.arg = &s[i];
    check(mp_submit(pool, &desc, NULL));
  }
  drain();
  bench_expect(n);
  for (long i = 0; i < n; i++) us[i] = s[i].late_us;
  bench_report_spread("sleepers", us, n);
  free(us);
  free(s);
}

static void case_idle(void) {
  mp_task_desc desc = describe(count, NULL);
  open_pool(2, 0);
  submit_each(&desc, 1000);
  drain();
  bench_idle();
}

static const bench_case cases[] = {
    {"empty", case_empty},
    {"batch", case_batch},
    {"loop", case_loop},
    {"fib", case_fib},
    {"spawn_chain", case_spawn_chain},
    {"spawn_get", case_spawn_get},
    {"waiters", case_waiters},
    {"sleepers", case_sleepers},
    {"chain", case_chain},
    {"chain_graph", case_chain_graph},
    {"wave", case_wave},
    {"wave_graph", case_wave_graph},
    {"one_us", case_one_us},
    {"from_idle", case_from_idle},
    {"start_delay", case_start_delay},
    {"frame", case_frame},
    {"priority_high", case_priority_high},
    {"priority_low", case_priority_low},
    {"idle", case_idle},
    {"wave_memory", case_wave_memory},
};

BENCH_MAIN(cases)
