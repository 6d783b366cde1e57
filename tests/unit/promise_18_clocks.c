/*
** Promise 18: monotonic clocks only; wall-clock jumps change nothing. Every reading of the wall
** clock is caught here and answered with a time years off; nothing the engine does may ask for one.
*/
#include "unit.h"

#include <sys/time.h>
#include <time.h>

static _Atomic unsigned wall_readings;
static _Atomic int64_t shift_seconds; /* what the monotonic clock says more than the kernel's */

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
  int result = __real_clock_gettime(clock, time);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
    unsigned n = mp_add_relaxed(&wall_readings, 1);
    time->tv_sec += n % 2 ? 100000000 : -100000000;
  }
  if (clock == CLOCK_MONOTONIC) time->tv_sec += mp_load_relaxed(&shift_seconds);
  return result;
}

int __wrap_gettimeofday(struct timeval *time, void *zone);
int __wrap_gettimeofday(struct timeval *time, void *zone) {
  (void)zone;
  mp_add_relaxed(&wall_readings, 1);
  *time = (struct timeval){0, 0};
  return 0;
}

time_t __wrap_time(time_t *out);
time_t __wrap_time(time_t *out) {
  mp_add_relaxed(&wall_readings, 1);
  if (out != NULL) *out = 0;
  return 0;
}

static mp_status run_sleep(mp_worker *worker, void *arg) {
  return mp_worker_sleep(worker, *(uint64_t *)arg);
}

static void live_by_durations(void) {
  world w;
  uint64_t nap = 5 * MILLISECOND, long_nap = HANG_SECONDS * SECOND, queued, ran;
  probe p = {0};
  world_open(&w, 1);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *sleeping, *late, *behind;
  desc.run = run_sleep;
  desc.flags = MP_TASK_TIMED;
  uint64_t began = mp_now();
  desc.arg = &nap;
  assert_ok(mp_submit(w.pool, &desc, &sleeping));
  desc.arg = &long_nap;
  desc.timeout_ns = 20 * MILLISECOND;
  assert_ok(mp_submit(w.pool, &desc, &late));
  behind = probe_submit_after(&w, &p, &late, 1);
  assert_ends(sleeping, MP_STATE_DONE, MP_OK);
  mp_status soon = mp_wait(late, MILLISECOND);
  if (mp_now() - began < 20 * MILLISECOND) assert_status(soon, MP_TIMEOUT);
  assert_ends(late, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_ends_and_release(behind, MP_STATE_FAILED, MP_DEPENDENCY);
  assert_true(mp_now() - began >= 20 * MILLISECOND && mp_now() - began < HANG_SECONDS * SECOND);
  mp_task_times(sleeping, &queued, &ran);
  assert_true(ran >= nap && queued + ran < HANG_SECONDS * SECOND);
  mp_task_release(sleeping);
  mp_task_release(late);
  assert_ok(mp_pool_drain(w.pool, HANG_SECONDS * SECOND));
  mp_poll(w.pool, MILLISECOND, 0);
  assert_ok(mp_pool_shutdown(w.pool, HANG_SECONDS * SECOND, MP_SHUTDOWN_FINISH, NULL));
  world_close(&w);
}

static void test_clock_everything_with_a_duration_ignores_the_wall_clock(void **state) {
  (void)state;
  live_by_durations();
#ifdef __linux__ /* elsewhere a condition variable may need the wall clock, in slices */
  assert_int_equal(wall_readings, 0);
#endif
}

#if defined(__linux__) && !defined(MP_PORTABLE)
/*
** As libfaketime does it: this program's monotonic clock is ahead of the kernel's, or behind.
** Elsewhere a condition variable reads that clock itself.
*/
static void test_clock_shifted_for_this_program_sleeps_and_timeouts_end_all_the_same(void **state) {
  struct timespec t;
  (void)state;
  assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
  const int64_t shifts[] = {(int64_t)10 * 24 * 3600, 1 - (int64_t)t.tv_sec};
  for (size_t i = 0; i < LENGTH(shifts); i++) {
    mp_store_relaxed(&shift_seconds, shifts[i]);
    live_by_durations();
  }
  mp_store_relaxed(&shift_seconds, 0);
}
#endif

static void test_clock_the_catch_works(void **state) {
  struct timespec t;
  (void)state;
  mp_store_relaxed(&wall_readings, 0);
  assert_int_equal(clock_gettime(CLOCK_REALTIME, &t), 0);
  assert_true(time(NULL) == 0);
  assert_int_equal(wall_readings, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_clock_everything_with_a_duration_ignores_the_wall_clock),
#if defined(__linux__) && !defined(MP_PORTABLE)
    cmocka_unit_test(test_clock_shifted_for_this_program_sleeps_and_timeouts_end_all_the_same),
#endif
    cmocka_unit_test(test_clock_the_catch_works),
  };
  return unit_main(tests);
}
