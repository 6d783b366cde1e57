/*
** bench.h - what the benchmark programs share: clocks, work of a known length, a count that proves
** each task ran, and the reports.
**
** A program is called as `program CASE [SCALE]` and prints `NAME VALUE UNIT` lines. It ends with 3
** if it has no such case and with 1 if a task did not run exactly once; without a case it does
** nothing, which shows that it can be started. Every program uses two executing threads. C11 and
** C++17.
*/
#ifndef BENCH_H
#define BENCH_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#define bench_pause() __builtin_ia32_pause()
#else
#define bench_pause() ((void)0)
#endif

#define FIB_N 30
#define FIB_SPAWNS 1346268 /* calls of fib(30) with n >= 2 */
#define FIB_RESULT 832040
#define FRAME_TASKS 16
#define FRAME_TASK_US 200
#define FRAME_SERIAL_US 3000

static double bench_scale = 1;

/* `n` at full size; never below 1. */
static inline long bench_sized(long n) {
  long scaled = (long)((double)n * bench_scale);
  return scaled < 1 ? 1 : scaled;
}

static inline uint64_t bench_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t bench_now(void) { return bench_clock(CLOCK_MONOTONIC); }

static inline void bench_sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

/*
** Keeps the CPU busy. Reading the clock takes too long to measure a microsecond with: the
** time-stamp counter is asked, where there is one.
*/
#if defined(__x86_64__) || defined(__i386__)
static double bench_ticks_per_us;

static inline void bench_calibrate(void) {
  uint64_t began = bench_now(), from = __builtin_ia32_rdtsc();
  while (bench_now() - began < 5000000) bench_pause();
  bench_ticks_per_us =
      (double)(__builtin_ia32_rdtsc() - from) * 1000 / (double)(bench_now() - began);
}

static inline void bench_work_us(double us) {
  uint64_t end = __builtin_ia32_rdtsc() + (uint64_t)(us * bench_ticks_per_us);
  while (__builtin_ia32_rdtsc() < end) bench_pause();
}
#else
static inline void bench_calibrate(void) {}

static inline void bench_work_us(double us) {
  uint64_t end = bench_now() + (uint64_t)(us * 1000);
  while (bench_now() < end) bench_pause();
}
#endif

/*
** Runs of tasks: one counter a thread, so that counting costs about a nanosecond.
*/
typedef struct bench_counter {
  volatile uint64_t runs;
  struct bench_counter *next;
  char own_cache_line[112];
} bench_counter;

static bench_counter *bench_counters;
static pthread_mutex_t bench_counters_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bench_counter *bench_own_counter;

static __attribute__((noinline, cold, unused)) bench_counter *bench_new_counter(void) {
  bench_counter *counter = (bench_counter *)aligned_alloc(128, sizeof(bench_counter));
  memset((void *)counter, 0, sizeof *counter);
  pthread_mutex_lock(&bench_counters_lock);
  counter->next = bench_counters;
  bench_counters = counter;
  pthread_mutex_unlock(&bench_counters_lock);
  return bench_own_counter = counter;
}

static inline void bench_tick(void) {
  bench_counter *counter = bench_own_counter;
  if (__builtin_expect(counter == NULL, 0)) counter = bench_new_counter();
  counter->runs = counter->runs + 1;
}

/* All tasks are over: were there n runs since the last call? */
static inline void bench_expect(long n) {
  uint64_t runs = 0;
  for (bench_counter *counter = bench_counters; counter != NULL; counter = counter->next) {
    runs += counter->runs;
    counter->runs = 0;
  }
  if (runs == (uint64_t)n) return;
  fprintf(stderr, "%llu tasks ran, not %ld\n", (unsigned long long)runs, n);
  exit(1);
}

/*
** Reports.
*/
static inline void bench_report(const char *name, double value, const char *unit) {
  printf("%s %.5g %s\n", name, value, unit);
}

static inline void bench_report_each(const char *name, uint64_t started, long n) {
  bench_report(name, (double)(bench_now() - started) / (double)n, "ns");
}

static inline int bench_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* NAME_p50 and NAME_p99, in microseconds. */
static inline void bench_report_spread(const char *name, double *us, long n) {
  char full[64];
  qsort(us, (size_t)n, sizeof *us, bench_compare);
  snprintf(full, sizeof full, "%s_p50", name);
  bench_report(full, us[n / 2], "us");
  snprintf(full, sizeof full, "%s_p99", name);
  bench_report(full, us[n * 99 / 100], "us");
}

static inline void bench_report_memory(const char *name) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  bench_report(name, (double)usage.ru_maxrss / 1024, "MB");
}

/* The CPU the process uses while nothing is to be done. */
static inline void bench_idle(void) {
  long ms = bench_sized(2000);
  bench_sleep_ms(600); /* for what is done once, when work has ended */
  uint64_t before = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
  bench_sleep_ms(ms);
  bench_report("idle",
               (double)(bench_clock(CLOCK_PROCESS_CPUTIME_ID) - before) / 1e6 * 2000 / (double)ms,
               "ms");
}

/* Each frame computes alone for 3 ms, then 16 tasks of 200 us must be over: how long these take. */
static inline void bench_frames(void (*frame)(void)) {
  long frames = bench_sized(200);
  double *us = (double *)calloc((size_t)frames, sizeof *us);
  for (long i = 0; i < frames; i++) {
    bench_work_us(FRAME_SERIAL_US);
    uint64_t started = bench_now();
    frame();
    us[i] = (double)(bench_now() - started) / 1000;
  }
  bench_report_spread("frame", us, frames);
  free(us);
}

/* After 2 ms of sleep each, `trip` returns how long it took, in ns. */
static inline void bench_from_rest(const char *name, uint64_t (*trip)(void)) {
  long n = bench_sized(1000);
  double *us = (double *)calloc((size_t)n, sizeof *us);
  for (long i = 0; i < n; i++) {
    bench_sleep_ms(2);
    us[i] = (double)trip() / 1000;
  }
  bench_report_spread(name, us, n);
  free(us);
}

/* Of two threads, how much of their time went into tasks of 1 us. */
static inline void bench_report_efficiency(uint64_t started, long n) {
  bench_report("one_us", 100.0 * (double)n * 1000 / 2 / (double)(bench_now() - started), "%");
}

typedef struct bench_case {
  const char *name;
  void (*run)(void);
} bench_case;

static inline int bench_main(int argc, char **argv, const bench_case *cases, size_t n) {
  if (argc < 2) return 0;
  if (argc > 2) bench_scale = atof(argv[2]);
  bench_calibrate();
  for (size_t i = 0; i < n; i++) {
    if (strcmp(argv[1], cases[i].name) != 0) continue;
    cases[i].run();
    return 0;
  }
  return 3;
}

#define BENCH_MAIN(cases) \
  int main(int argc, char **argv) { \
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases); \
  }

#endif
