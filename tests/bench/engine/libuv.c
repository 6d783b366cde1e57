/*
** libuv.c - libuv's thread pool: two threads, beside the loop's, which alone may submit.
*/
#include "bench.h"

#include <uv.h>

static uv_loop_t *loop;

static void tick_work(uv_work_t *work) {
  (void)work;
  bench_tick();
}

static void one_us_work(uv_work_t *work) {
  bench_work_us(1);
  tick_work(work);
}

static void done(uv_work_t *work, int status) {
  (void)work;
  (void)status;
}

static uint64_t submit_twice(uv_work_cb run, long n) {
  uv_work_t *works = calloc((size_t)n, sizeof *works);
  uint64_t started = 0;
  for (int round = 0; round < 2; round++) {
    started = bench_now();
    for (long i = 0; i < n; i++) uv_queue_work(loop, &works[i], run, done);
    uv_run(loop, UV_RUN_DEFAULT);
    bench_expect(n);
  }
  return started;
}

static void case_empty(void) {
  long n = bench_sized(1000000);
  bench_report_each("empty", submit_twice(tick_work, n), n);
}

static void case_one_us(void) {
  long n = bench_sized(200000);
  bench_report_efficiency(submit_twice(one_us_work, n), n);
}

static long left;

static void spawn_next(uv_work_t *work, int status) {
  (void)status;
  if (--left > 0) uv_queue_work(loop, work, tick_work, spawn_next);
}

/* A task cannot submit: the loop does when it hears of the end. */
static void case_spawn_chain(void) {
  long n = bench_sized(50000);
  uv_work_t work;
  left = n;
  uint64_t started = bench_now();
  uv_queue_work(loop, &work, tick_work, spawn_next);
  uv_run(loop, UV_RUN_DEFAULT);
  bench_report_each("spawn_chain", started, n);
  bench_expect(n);
}

static uint64_t submit_and_wait(void) {
  uv_work_t work;
  uint64_t started = bench_now();
  uv_queue_work(loop, &work, tick_work, done);
  uv_run(loop, UV_RUN_DEFAULT);
  return bench_now() - started;
}

static void case_from_idle(void) { bench_from_rest("from_idle", submit_and_wait); }

static uint64_t stamp;

static void stamp_work(uv_work_t *work) {
  (void)work;
  __atomic_store_n(&stamp, bench_now(), __ATOMIC_RELEASE);
}

static uint64_t submit_and_compute(void) {
  uv_work_t work;
  uint64_t started = bench_now(), ran;
  stamp = 0;
  uv_queue_work(loop, &work, stamp_work, done);
  while ((ran = __atomic_load_n(&stamp, __ATOMIC_ACQUIRE)) == 0) bench_pause();
  uv_run(loop, UV_RUN_DEFAULT);
  return ran - started;
}

static void case_start_delay(void) { bench_from_rest("start_delay", submit_and_compute); }

static void frame_work(uv_work_t *work) {
  (void)work;
  bench_work_us(FRAME_TASK_US);
}

static void one_frame(void) {
  static uv_work_t works[FRAME_TASKS];
  for (int i = 0; i < FRAME_TASKS; i++) uv_queue_work(loop, &works[i], frame_work, done);
  uv_run(loop, UV_RUN_DEFAULT);
}

static void case_frame(void) { bench_frames(one_frame); }

static void case_idle(void) {
  submit_twice(tick_work, 1000);
  bench_idle();
}

static const bench_case cases[] = {
    {"empty", case_empty},         {"spawn_chain", case_spawn_chain}, {"one_us", case_one_us},
    {"from_idle", case_from_idle}, {"start_delay", case_start_delay}, {"frame", case_frame},
    {"idle", case_idle},
};

int main(int argc, char **argv) {
  setenv("UV_THREADPOOL_SIZE", "2", 1);
  loop = uv_default_loop();
  return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
