/* Shared immutable blocks. */
#include "unit.h"

#include <string.h>

static void test_bytes_create_copies(void **state) {
  world w;
  char text[] = "hello";
  mp_bytes *bytes;
  size_t size = 0;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_bytes_create(w.pool, text, sizeof text, &bytes));
  text[0] = 'J';
  assert_string_equal(mp_bytes_data(bytes, &size), "hello");
  assert_int_equal(size, sizeof text);
  mp_bytes_release(bytes);
  world_close(&w);
}

static void test_bytes_create_empty_has_size_zero(void **state) {
  world w;
  mp_bytes *bytes;
  size_t size = 1;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_bytes_create(w.pool, NULL, 0, &bytes));
  mp_bytes_data(bytes, &size);
  assert_int_equal(size, 0);
  mp_bytes_release(bytes);
  world_close(&w);
}

static void test_bytes_create_huge_is_nomem(void **state) {
  world w;
  mp_bytes *bytes = NULL;
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 8, SIZE_MAX - 64, SIZE_MAX / 2};
  (void)state;
  world_open(&w, 1);
  for (size_t i = 0; i < LENGTH(sizes); i++)
    assert_status(mp_bytes_create(w.pool, "", sizes[i], &bytes), MP_NOMEM);
  assert_null(bytes);
  world_close(&w);
}

static void test_bytes_id_is_never_used_again(void **state) {
  world w;
  uint64_t last = 0;
  (void)state;
  world_open(&w, 1);
  for (int i = 0; i < 1000; i++) {
    mp_bytes *bytes;
    assert_ok(mp_bytes_create(w.pool, "x", 1, &bytes));
    assert_true(mp_bytes_id(bytes) > last);
    last = mp_bytes_id(bytes);
    mp_bytes_release(bytes);
  }
  world_close(&w);
}

static void test_bytes_outlive_the_pool_handle(void **state) {
  world w;
  mp_bytes *bytes;
  size_t size;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_bytes_create(w.pool, "x", 2, &bytes));
  mp_bytes_retain(bytes);
  mp_bytes_release(bytes);
  mp_pool_destroy(w.pool);
  assert_string_equal(mp_bytes_data(bytes, &size), "x");
  mp_bytes_release(bytes);
  assert_true(fault_is_clean(&w.memory));
}

static mp_status read_and_release(mp_worker *worker, void *arg) {
  size_t size;
  const char *text = mp_bytes_data(arg, &size);
  (void)worker;
  mp_status status = strcmp(text, "shared") == 0 ? MP_OK : MP_FAILED;
  mp_bytes_release(arg);
  return status;
}

static void test_bytes_shared_by_many_tasks_are_freed_by_the_last(void **state) {
  world w;
  enum { N = 1000 };
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_bytes *bytes;
  (void)state;
  world_open(&w, 3);
  assert_ok(mp_bytes_create(w.pool, "shared", 7, &bytes));
  for (int i = 0; i < N; i++) mp_bytes_retain(bytes);
  desc.run = read_and_release;
  desc.arg = bytes;
  assert_ok(mp_submit_batch(w.pool, &desc, N, 0, NULL));
  mp_bytes_release(bytes);
  world_drain(&w);
  assert_int_equal(world_info(&w).done, N);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bytes_create_copies),
      cmocka_unit_test(test_bytes_create_empty_has_size_zero),
      cmocka_unit_test(test_bytes_create_huge_is_nomem),
      cmocka_unit_test(test_bytes_id_is_never_used_again),
      cmocka_unit_test(test_bytes_outlive_the_pool_handle),
      cmocka_unit_test(test_bytes_shared_by_many_tasks_are_freed_by_the_last),
  };
  return unit_main(tests);
}
