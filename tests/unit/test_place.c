/* On which CPU a worker goes on. */
#include "cgroup.h"
#include "place.h"
#include "unit.h"

static void test_place_settle_worker_leaves_its_wakers_cpu_after_a_long_job(void **state) {
  static mp_scheduler scheduler; /* of which only this is looked at */
  static mp_worker worker = {.scheduler = &scheduler};
  (void)state;
  if (mp_usable_cores() < 2 || mp_os_cpu() < 0) skip();
  scheduler.config.cores = 2;
  mp_store_relaxed(&scheduler.seats.running, 1);
  for (int i = 0; i < 100; i++) {
    mp_store_relaxed(&scheduler.park.waker_cpu, mp_os_cpu());
    worker.place.beside_ns = mp_os_now(); /* it has come just now: nothing happens */
    mp_place_settle(&worker);
    if (worker.place.beside_ns != 0) break; /* else this thread has slept for long in between */
  }
  assert_true(worker.place.beside_ns != 0);
  int moved = 0;
  for (int i = 0; i < 10; i++) { /* the kernel may bring it back, but not each time */
    int before = mp_os_cpu();
    worker.place.beside_ns = mp_os_now() - SECOND;
    mp_store_relaxed(&scheduler.park.waker_cpu, before);
    mp_place_settle(&worker);
    assert_true(worker.place.beside_ns == 0);
    moved += mp_os_cpu() != before;
  }
  assert_true(moved > 0);
  mp_store_relaxed(&scheduler.park.waker_cpu, -1);
  worker.place.beside_ns =
      mp_os_now() - SECOND; /* beside nobody: it stays, and is not asked again */
  mp_place_settle(&worker);
  assert_true(worker.place.beside_ns == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_place_settle_worker_leaves_its_wakers_cpu_after_a_long_job),
  };
  return unit_main(tests);
}
