/*
** bare.c - no library: two threads and a futex each. What the kernel takes for what the cases ask,
** and so the least that anybody who sleeps and wakes can take.
*/
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

static uint32_t asked, answered;
static uint64_t stamp;

static void sleep_while(uint32_t *word, uint32_t value) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(uint32_t *word) {
  __atomic_add_fetch(word, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *note_start(void *arg) {
  for (uint32_t seen = 0;; seen++) {
    sleep_while(&asked, seen);
    __atomic_store_n(&stamp, bench_now(), __ATOMIC_RELEASE);
  }
  return arg;
}

static void *answer(void *arg) {
  for (uint32_t seen = 0;; seen++) {
    sleep_while(&asked, seen);
    wake(&answered);
  }
  return arg;
}

static void start(void *(*body)(void *)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, NULL) != 0) abort();
}

static uint64_t until_started(void) {
  uint64_t started = bench_now(), ran;
  __atomic_store_n(&stamp, 0, __ATOMIC_RELAXED);
  wake(&asked);
  while ((ran = __atomic_load_n(&stamp, __ATOMIC_ACQUIRE)) == 0) bench_pause();
  return ran - started;
}

static uint64_t until_seen(void) {
  uint64_t started = bench_now();
  (void)until_started();
  return bench_now() - started;
}

static void case_start_delay(void) {
  start(note_start);
  bench_from_rest("start_delay", until_started);
}

/* The thread that was woken does the work. */
static void case_from_idle(void) {
  start(note_start);
  bench_from_rest("from_idle", until_seen);
}

/*
** There and back, both asleep between: `taskset -c 0 build/bench/bare trip` beside `trip_pinned` of
** the suite `lua`.
*/
static void case_trip(void) {
  long n = bench_sized(5000);
  double *us = calloc((size_t)n, sizeof *us);
  start(answer);
  for (long i = 0; i < n; i++) {
    uint64_t started = bench_now();
    uint32_t seen = answered;
    wake(&asked);
    sleep_while(&answered, seen);
    us[i] = (double)(bench_now() - started) / 1000;
  }
  bench_report_spread("trip", us, n);
  free(us);
}

static const bench_case cases[] = {
    {"from_idle", case_from_idle}, {"start_delay", case_start_delay}, {"trip", case_trip}};

BENCH_MAIN(cases)
