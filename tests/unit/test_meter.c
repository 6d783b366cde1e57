/*
** The meter: counts and sums are exact, quantiles right to within a bucket, from any number of
** threads.
*/
#include "unit.h"

#include <pthread.h>

static mp_meter *open_meter(fault_alloc *memory) {
  mp_allocator hook = fault_allocator(memory);
  mp_meter *meter = NULL;
  assert_ok(mp_meter_create(&hook, &meter));
  return meter;
}

static void close_meter(mp_meter *meter, fault_alloc *memory) {
  mp_meter_release(meter);
  assert_true(fault_is_clean(memory));
}

static mp_meter_sum sum_of(mp_meter *meter) {
  mp_meter_sum sum;
  mp_meter_sum_init(&sum);
  mp_meter_add(meter, &sum);
  return sum;
}

static void test_meter_record_counts_and_sums(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_meter *meter = open_meter(&memory);
  (void)state;
  mp_meter_record(meter, 10, 0);
  mp_meter_record(meter, 30, 1);
  mp_meter_record(meter, 20, 0);
  mp_meter_sum sum = sum_of(meter);
  assert_int_equal(sum.completed, 2);
  assert_int_equal(sum.failed, 1);
  assert_int_equal(sum.total_ns, 60);
  assert_int_equal(sum.least_ns, 10);
  assert_int_equal(sum.most_ns, 30);
  close_meter(meter, &memory);
}

static void test_meter_without_calls_is_zero(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_meter *meter = open_meter(&memory);
  (void)state;
  mp_meter_sum sum = sum_of(meter);
  assert_int_equal(mp_meter_quantile(&sum, 0.5), 0);
  assert_true(sum.least_ns == UINT64_MAX);
  close_meter(meter, &memory);
}

static void test_meter_quantile_is_within_a_bucket(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_meter *meter = open_meter(&memory);
  (void)state;
  for (uint64_t i = 1; i <= 100000; i++) mp_meter_record(meter, i * 1000, 0);
  mp_meter_sum sum = sum_of(meter);
  const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999};
  for (size_t i = 0; i < LENGTH(shares); i++) {
    double exact = shares[i] * 100000 * 1000, got = (double)mp_meter_quantile(&sum, shares[i]);
    assert_true(got > exact * 0.87 && got < exact * 1.13);
  }
  assert_true(mp_meter_quantile(&sum, 1) <= sum.most_ns);
  close_meter(meter, &memory);
}

static void test_meter_every_power_of_two_has_its_bucket(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  (void)state;
  for (int power = 0; power < 64; power++) {
    for (int off = -1; off <= 1; off++) {
      mp_meter *meter = open_meter(&memory);
      uint64_t ns = ((uint64_t)1 << power) + (uint64_t)off;
      mp_meter_record(meter, ns, 0);
      mp_meter_sum sum = sum_of(meter);
      assert_true(mp_meter_quantile(&sum, 0.5) == ns);
      close_meter(meter, &memory);
    }
  }
}

static void test_meter_reset_forgets(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_meter *meter = open_meter(&memory);
  (void)state;
  mp_meter_record(meter, 10, 1);
  mp_meter_reset(meter);
  mp_meter_record(meter, 20, 0);
  mp_meter_sum sum = sum_of(meter);
  assert_int_equal(sum.completed + sum.failed, 1);
  assert_int_equal(sum.least_ns, 20);
  assert_int_equal(mp_meter_quantile(&sum, 0.5), 20);
  close_meter(meter, &memory);
}

static void test_meter_add_merges_several(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_meter *a = open_meter(&memory), *b = open_meter(&memory);
  (void)state;
  mp_meter_record(a, 10, 0);
  mp_meter_record(b, 1000, 1);
  mp_meter_sum sum = sum_of(a);
  mp_meter_add(b, &sum);
  assert_int_equal(sum.completed, 1);
  assert_int_equal(sum.failed, 1);
  assert_int_equal(sum.least_ns, 10);
  assert_int_equal(sum.most_ns, 1000);
  mp_meter_release(a);
  close_meter(b, &memory);
}

static void test_meter_create_without_memory_is_nomem(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_allocator hook = fault_allocator(&memory);
  mp_meter *meter;
  (void)state;
  fault_arm(&memory, 1, false);
  assert_status(mp_meter_create(&hook, &meter), MP_NOMEM);
  assert_true(fault_is_clean(&memory));
}

#define THREADS 4
#define TURNS 50000

static void *record_main(void *arg) {
  mp_meter_retain(arg);
  for (uint64_t i = 1; i <= TURNS; i++) mp_meter_record(arg, i, i % 10 == 0);
  mp_meter_release(arg);
  return NULL;
}

static void test_meter_several_threads_lose_nothing(void **state) {
  fault_alloc memory = FAULT_ALLOC_INIT;
  mp_meter *meter = open_meter(&memory);
  pthread_t threads[THREADS];
  (void)state;
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, record_main, meter), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  mp_meter_sum sum = sum_of(meter);
  assert_int_equal(sum.completed, THREADS * TURNS / 10 * 9);
  assert_int_equal(sum.failed, THREADS * TURNS / 10);
  assert_int_equal(sum.total_ns, (uint64_t)THREADS * TURNS * (TURNS + 1) / 2);
  assert_int_equal(sum.least_ns, 1);
  assert_int_equal(sum.most_ns, TURNS);
  close_meter(meter, &memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_meter_record_counts_and_sums),
      cmocka_unit_test(test_meter_without_calls_is_zero),
      cmocka_unit_test(test_meter_quantile_is_within_a_bucket),
      cmocka_unit_test(test_meter_every_power_of_two_has_its_bucket),
      cmocka_unit_test(test_meter_reset_forgets),
      cmocka_unit_test(test_meter_add_merges_several),
      cmocka_unit_test(test_meter_create_without_memory_is_nomem),
      cmocka_unit_test(test_meter_several_threads_lose_nothing),
  };
  return unit_main(tests);
}
