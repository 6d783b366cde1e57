/*
** growth.c - the engine with many tasks alive at once: what each costs, and what each holds. One
** worker, which is held up until all are there.
*/
#include "ours.h"

static uint64_t stamp;

static mp_status hold_and_note(mp_worker *worker, void *arg) {
  mp_status status = hold(worker, arg);
  stamp = bench_now();
  return status;
}

static mp_status note_end(mp_worker *worker, void *arg) {
  *(uint64_t *)arg = bench_now();
  return count(worker, NULL);
}

/*
** So many rounds that a million tasks are run, two at least; the first makes the memory and does
** not count.
*/
static long rounds_of(long n) {
  return 1 + (bench_sized(1000000) > n ? bench_sized(1000000) / n : 1);
}

/* ns per task of building, by `build`, and running n tasks; the median of the rounds. */
static void report_rounds(const char *name, long n, void (*build)(long n)) {
  long rounds = rounds_of(n);
  double *each = calloc((size_t)rounds, sizeof *each);
  open_pool(1, 0);
  for (long i = 0; i < rounds; i++) {
    int open = 0;
    uint64_t ended = 0;
    mp_task_desc gate = describe(hold_and_note, &open), last = describe(note_end, &ended);
    last.priority = -1;
    check(mp_submit(pool, &gate, NULL));
    uint64_t began = bench_now();
    build(n);
    uint64_t built = bench_now() - began;
    check(mp_submit(pool, &last, NULL));
    __atomic_store_n(&open, 1, __ATOMIC_RELEASE);
    drain();
    bench_expect(n + 1);
    each[i] = (double)(built + ended - stamp) / (double)n;
  }
  qsort(each + 1, (size_t)rounds - 1, sizeof *each, bench_compare);
  bench_report(name, each[1 + (rounds - 1) / 2], "ns");
  free(each);
}

static void build_plain(long n) {
  mp_task_desc desc = describe(count, NULL);
  submit_each(&desc, n);
}

static void case_live_1k(void) { report_rounds("live_1k", 1000, build_plain); }
static void case_live_100k(void) { report_rounds("live_100k", bench_sized(100000), build_plain); }
static void case_live_1m(void) { report_rounds("live_1m", bench_sized(1000000), build_plain); }

/* Task i waits for tasks i/2 and i/3. */
static void build_after(long n) {
  mp_task **tasks = calloc((size_t)n, sizeof(mp_task *));
  for (long i = 0; i < n; i++) {
    mp_task *after[2] = {tasks[i / 2], tasks[i / 3]};
    mp_task_desc desc = describe(count, NULL);
    desc.after = after;
    desc.after_count = i == 0 ? 0 : i / 2 == i / 3 ? 1 : 2;
    check(mp_submit(pool, &desc, &tasks[i]));
  }
  for (long i = 0; i < n; i++) mp_task_release(tasks[i]);
  free(tasks);
}

static void case_after_1k(void) { report_rounds("after_1k", 1000, build_after); }
static void case_after_100k(void) { report_rounds("after_100k", bench_sized(100000), build_after); }

static void count_node(mp_worker *worker, void *arg) { (void)count(worker, arg); }

/* The same dependencies as a graph that is built, run once and destroyed. */
static void report_graph(const char *name, long n) {
  long rounds = rounds_of(n);
  double *each = calloc((size_t)rounds, sizeof *each);
  open_default();
  for (long i = 0; i < rounds; i++) {
    mp_graph *graph;
    uint32_t node;
    uint64_t began = bench_now();
    check(mp_graph_create(pool, &graph));
    for (long j = 0; j < n; j++) {
      check(mp_graph_add(graph, NULL, count_node, NULL, &node));
      if (node > 0) check(mp_graph_edge(graph, node / 2, node));
      if (node / 3 != node / 2) check(mp_graph_edge(graph, node / 3, node));
    }
    check(mp_graph_run(graph));
    mp_graph_destroy(graph);
    each[i] = (double)(bench_now() - began) / (double)n;
    bench_expect(n);
  }
  qsort(each + 1, (size_t)rounds - 1, sizeof *each, bench_compare);
  bench_report(name, each[1 + (rounds - 1) / 2], "ns");
  free(each);
}

static void case_graph_1k(void) { report_graph("graph_1k", 1000); }
static void case_graph_100k(void) { report_graph("graph_100k", bench_sized(100000)); }

static size_t bytes_held(void) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_pool_get_info(pool, &info);
  return info.bytes;
}

static void case_pending_bytes(void) {
  long n = bench_sized(1000000);
  int open = 0;
  mp_task_desc gate = describe(hold, &open);
  open_pool(1, 0);
  check(mp_submit(pool, &gate, NULL));
  size_t before = bytes_held();
  build_plain(n);
  bench_report("pending_bytes", (double)(bytes_held() - before) / (double)n, "B");
  __atomic_store_n(&open, 1, __ATOMIC_RELEASE);
  drain();
}

static int threads_alive(void) {
  char line[128];
  int threads = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "Threads: %d", &threads) == 1) break;
  if (file != NULL) fclose(file);
  return threads;
}

static int most_threads;

/* A timeout each, none of which fires; all are armed when the threads are counted. */
static void build_timed(long n) {
  mp_task_desc desc = describe(count, NULL);
  desc.timeout_ns = (uint64_t)3600 * 1000000000u;
  submit_each(&desc, n);
  most_threads = threads_alive();
}

static void case_timeouts(void) {
  report_rounds("timeouts", bench_sized(1000000), build_timed);
  bench_report("timeouts_threads", most_threads - 2, "n"); /* beside the owner and the worker */
}

static const bench_case cases[] = {
    {"live_1k", case_live_1k},       {"live_100k", case_live_100k},
    {"live_1m", case_live_1m},       {"after_1k", case_after_1k},
    {"after_100k", case_after_100k}, {"graph_1k", case_graph_1k},
    {"graph_100k", case_graph_100k}, {"pending_bytes", case_pending_bytes},
    {"timeouts", case_timeouts},
};

BENCH_MAIN(cases)
