/*
** openmp.c - OpenMP tasks, built with gcc's library and with clang's: a team of two, main being one
** of them.
*/
#include "bench.h"

#include <omp.h>

/* Runs `statement` on one thread of the team, with another at hand. */
#define ON_TEAM(statement) \
  do { \
    _Pragma("omp parallel") _Pragma("omp single") { statement; } \
  } while (0)

static void submit_ticks(long n) {
  for (long i = 0; i < n; i++) {
#pragma omp task
    bench_tick();
  }
#pragma omp taskwait
}

static void submit_one_us(long n) {
  for (long i = 0; i < n; i++) {
#pragma omp task
    {
      bench_work_us(1);
      bench_tick();
    }
  }
#pragma omp taskwait
}

static uint64_t submit_twice(void (*submit)(long n), long n) {
  uint64_t started = 0;
  for (int round = 0; round < 2; round++) {
    started = bench_now();
    ON_TEAM(submit(n));
    bench_expect(n);
  }
  return started;
}

static void case_empty(void) {
  long n = bench_sized(1000000);
  bench_report_each("empty", submit_twice(submit_ticks, n), n);
}

static void case_one_us(void) {
  long n = bench_sized(200000);
  bench_report_efficiency(submit_twice(submit_one_us, n), n);
}

/* There is no batch of tasks: a loop of tasks stands for it. */
static void submit_batch(long n) {
#pragma omp taskloop grainsize(1)
  for (long i = 0; i < n; i++) bench_tick();
}

static void case_batch(void) {
  long n = bench_sized(1000000);
  bench_report_each("batch", submit_twice(submit_batch, n), n);
}

static void case_loop(void) {
  long n = bench_sized(1000000);
  uint64_t started = 0;
  for (int round = 0; round < 2; round++) {
    started = bench_now();
#pragma omp parallel for schedule(guided)
    for (long i = 0; i < n; i++) bench_tick();
    bench_expect(n);
  }
  bench_report_each("loop", started, n);
}

static long fib(int n) {
  long a, b;
  if (n < 2) return n;
#pragma omp task shared(a) firstprivate(n)
  a = fib(n - 1);
  b = fib(n - 2);
#pragma omp taskwait
  return a + b;
}

static void case_fib(void) {
  long result = 0;
  uint64_t started = bench_now();
  ON_TEAM(result = fib(FIB_N));
  bench_report_each("fib", started, FIB_SPAWNS);
  if (result != FIB_RESULT) exit(1);
}

static void spawn_next(long left) {
  bench_tick();
  if (left > 1) {
#pragma omp task firstprivate(left)
    spawn_next(left - 1);
  }
}

/* Far below a million: clang's library takes time, gcc's memory, for every ancestor. */
static void case_spawn_chain(void) {
  long n = bench_sized(5000);
  uint64_t started = bench_now();
  ON_TEAM(_Pragma("omp taskgroup") { spawn_next(n); });
  bench_report_each("spawn_chain", started, n);
  bench_expect(n);
}

static void submit_chain(long n) {
  static char link;
  (void)link;
  for (long i = 0; i < n; i++) {
#pragma omp task depend(inout : link)
    bench_tick();
  }
#pragma omp taskwait
}

static void case_chain(void) {
  long n = bench_sized(1000000);
  bench_report_each("chain", submit_twice(submit_chain, n), n);
}

static void submit_wave(long side) {
  char *grid = calloc((size_t)(side * side), 1);
  for (long i = 0; i < side * side; i++) {
    char *own = grid + i, *above = i >= side ? own - side : own,
         *left = i % side > 0 ? own - 1 : own;
    (void)above;
    (void)left;
#pragma omp task depend(in : *above, *left) depend(out : *own)
    bench_tick();
  }
#pragma omp taskwait
  free(grid);
}

static void case_wave(void) {
  long side = 1;
  while (side * side < bench_sized(1000000)) side++;
  uint64_t started = bench_now();
  ON_TEAM(submit_wave(side));
  bench_report_each("wave", started, side * side);
  bench_expect(side * side);
}

static void one_frame(void) {
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < FRAME_TASKS; i++) bench_work_us(FRAME_TASK_US);
}

static void case_frame(void) { bench_frames(one_frame); }

static void case_idle(void) {
  ON_TEAM(submit_ticks(1000));
  bench_idle();
}

static const bench_case cases[] = {
    {"empty", case_empty},
    {"batch", case_batch},
    {"loop", case_loop},
    {"fib", case_fib},
    {"spawn_chain", case_spawn_chain},
    {"chain", case_chain},
    {"wave", case_wave},
    {"one_us", case_one_us},
    {"frame", case_frame},
    {"idle", case_idle},
};

int main(int argc, char **argv) {
  omp_set_dynamic(0);
  omp_set_num_threads(2);
  return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
