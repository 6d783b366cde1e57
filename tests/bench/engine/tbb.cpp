// tbb.cpp - oneTBB: two threads, main being one of them.
#include "bench.h"

#include <atomic>
#include <deque>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace {

using range = tbb::blocked_range<long>;

template <typename Body> uint64_t submit_twice(long n, Body body) {
  tbb::task_group group;
  uint64_t started = 0;
  for (int round = 0; round < 2; round++) {
    started = bench_now();
    for (long i = 0; i < n; i++) group.run(body);
    group.wait();
    bench_expect(n);
  }
  return started;
}

void case_empty() {
  long n = bench_sized(1000000);
  bench_report_each("empty", submit_twice(n, [] { bench_tick(); }), n);
}

void case_one_us() {
  long n = bench_sized(200000);
  bench_report_efficiency(submit_twice(n, [] { bench_work_us(1), bench_tick(); }), n);
}

// There is no batch of tasks: a loop cut into pieces of one stands for both.
template <typename Partitioner> void report_loop(const char *name, Partitioner partitioner) {
  long n = bench_sized(1000000);
  for (int round = 0; round < 2; round++) {
    uint64_t started = bench_now();
    tbb::parallel_for(
        range(0, n, 1),
        [](const range &piece) {
          for (long i = piece.begin(); i < piece.end(); i++) bench_tick();
        },
        partitioner);
    bench_expect(n);
    if (round == 1) bench_report_each(name, started, n);
  }
}

void case_batch() { report_loop("batch", tbb::simple_partitioner()); }
void case_loop() { report_loop("loop", tbb::auto_partitioner()); }

long fib(int n) {
  if (n < 2) return n;
  long a, b;
  tbb::task_group group;
  group.run([&a, n] { a = fib(n - 1); });
  b = fib(n - 2);
  group.wait();
  return a + b;
}

void case_fib() {
  uint64_t started = bench_now();
  long result = fib(FIB_N);
  bench_report_each("fib", started, FIB_SPAWNS);
  if (result != FIB_RESULT) exit(1);
}

void spawn_next(tbb::task_group &group, long left) {
  bench_tick();
  if (left > 1) group.run([&group, left] { spawn_next(group, left - 1); });
}

void case_spawn_chain() {
  long n = bench_sized(1000000);
  tbb::task_group group;
  uint64_t started = bench_now();
  group.run([&] { spawn_next(group, n); });
  group.wait();
  bench_report_each("spawn_chain", started, n);
  bench_expect(n);
}

using message = tbb::flow::continue_msg;
using node = tbb::flow::continue_node<message>;

void add_node(tbb::flow::graph &graph, std::deque<node> &nodes) {
  nodes.emplace_back(graph, [](const message &) {
    bench_tick();
    return message();
  });
}

void run_nodes(tbb::flow::graph &graph, std::deque<node> &nodes) {
  nodes[0].try_put(message());
  graph.wait_for_all();
  bench_expect((long)nodes.size());
}

// Built and run, then run twice more. Taking a million nodes apart takes seconds: the process
// just ends.
template <typename Build>
void report_graph(const char *dynamic, const char *prebuilt, Build build) {
  uint64_t started = bench_now();
  tbb::flow::graph graph;
  std::deque<node> nodes;
  build(graph, nodes);
  run_nodes(graph, nodes);
  long n = (long)nodes.size();
  if (dynamic) bench_report_each(dynamic, started, n);
  for (int round = 0; round < 2; round++) {
    started = bench_now();
    run_nodes(graph, nodes);
    if (prebuilt && round == 1) bench_report_each(prebuilt, started, n);
  }
  fflush(stdout);
}

void build_chain(tbb::flow::graph &graph, std::deque<node> &nodes) {
  for (long i = 0, n = bench_sized(1000000); i < n; i++) {
    add_node(graph, nodes);
    if (i > 0) tbb::flow::make_edge(nodes[i - 1], nodes[i]);
  }
}

void build_wave(tbb::flow::graph &graph, std::deque<node> &nodes) {
  long side = 1;
  while (side * side < bench_sized(1000000)) side++;
  for (long i = 0; i < side * side; i++) {
    add_node(graph, nodes);
    if (i >= side) tbb::flow::make_edge(nodes[i - side], nodes[i]);
    if (i % side > 0) tbb::flow::make_edge(nodes[i - 1], nodes[i]);
  }
}

[[noreturn]] void leave() {
  fflush(stdout);
  _exit(0);
}

void case_chain() { report_graph("chain", nullptr, build_chain), leave(); }
void case_chain_graph() { report_graph(nullptr, "chain_graph", build_chain), leave(); }
void case_wave() { report_graph("wave", nullptr, build_wave), leave(); }
void case_wave_graph() { report_graph(nullptr, "wave_graph", build_wave), leave(); }

void case_wave_memory() {
  tbb::flow::graph graph;
  std::deque<node> nodes;
  build_wave(graph, nodes);
  run_nodes(graph, nodes);
  bench_report_memory("wave_memory");
  leave();
}

uint64_t submit_and_wait() {
  uint64_t started = bench_now();
  tbb::task_group group;
  group.run([] { bench_tick(); });
  group.wait();
  return bench_now() - started;
}

void case_from_idle() { bench_from_rest("from_idle", submit_and_wait); }

std::atomic<uint64_t> stamp;
tbb::task_arena *arena;

uint64_t submit_and_compute() {
  uint64_t started = bench_now(), ran;
  stamp = 0;
  arena->enqueue([] { stamp = bench_now(); });
  while ((ran = stamp) == 0) bench_pause();
  return ran - started;
}

void case_start_delay() {
  arena = new tbb::task_arena(2, 1);
  bench_from_rest("start_delay", submit_and_compute);
}

void one_frame() {
  tbb::parallel_for(
      range(0, FRAME_TASKS, 1),
      [](const range &piece) {
        for (long i = piece.begin(); i < piece.end(); i++) bench_work_us(FRAME_TASK_US);
      },
      tbb::simple_partitioner());
}

void case_frame() { bench_frames(one_frame); }

// Priorities are those of arenas. Two workers, as main only submits.
void case_priority_high() {
  tbb::task_arena high(3, 1, tbb::task_arena::priority::high),
      normal(3, 1, tbb::task_arena::priority::normal);
  static std::atomic<long> pending;
  double us[9];
  for (double &each : us) {
    stamp = 0;
    for (long i = 0, n = bench_sized(5000); i < n; i++) {
      pending++;
      normal.enqueue([] { bench_work_us(20), pending--; });
    }
    uint64_t started = bench_now();
    high.enqueue([] { stamp = bench_now(); });
    while (stamp == 0) usleep(50);
    each = (double)(stamp - started) / 1000;
    while (pending > 0) usleep(50);
  }
  qsort(us, 9, sizeof *us, bench_compare);
  bench_report("priority_high", us[4], "us");
}

void case_idle() {
  tbb::parallel_for(0, 1000, [](int) { bench_work_us(5); });
  bench_idle();
}

const bench_case cases[] = {
    {"empty", case_empty},
    {"batch", case_batch},
    {"loop", case_loop},
    {"fib", case_fib},
    {"spawn_chain", case_spawn_chain},
    {"chain", case_chain},
    {"chain_graph", case_chain_graph},
    {"wave", case_wave},
    {"wave_graph", case_wave_graph},
    {"one_us", case_one_us},
    {"from_idle", case_from_idle},
    {"start_delay", case_start_delay},
    {"frame", case_frame},
    {"priority_high", case_priority_high},
    {"idle", case_idle},
    {"wave_memory", case_wave_memory},
};

} // namespace

int main(int argc, char **argv) {
  int threads = argc > 1 && strcmp(argv[1], "priority_high") == 0 ? 3 : 2;
  tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
