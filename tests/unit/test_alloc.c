/*
** Memory through the host's hook: counted, sized right, aligned where promised, failing without a
** trace.
*/
#include "alloc.h"
#include "unit.h"

#include <string.h>

typedef struct fixture {
  fault_alloc memory;
  mp_alloc alloc;
} fixture;

static void open_fixture(fixture *f) {
  f->memory = (fault_alloc)FAULT_ALLOC_INIT;
  mp_allocator hook = fault_allocator(&f->memory);
  mp_alloc_init(&f->alloc, &hook);
}

static size_t counted(fixture *f) { return mp_load_relaxed(&f->alloc.bytes); }

static void assert_closed(fixture *f) {
  assert_int_equal(counted(f), 0);
  assert_true(fault_is_clean(&f->memory));
}

static void test_alloc_get_and_free_bytes_are_counted(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  void *a = mp_alloc_get(&f.alloc, 100), *b = mp_alloc_get(&f.alloc, 1);
  assert_non_null(a);
  assert_non_null(b);
  assert_int_equal(counted(&f), 101);
  mp_alloc_free(&f.alloc, a, 100);
  assert_int_equal(counted(&f), 1);
  mp_alloc_free(&f.alloc, b, 1);
  assert_closed(&f);
}

static void test_alloc_zeroed_all_bytes_are_zero(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  const char zero[500] = {0};
  char *block = mp_alloc_zeroed(&f.alloc, sizeof zero);
  assert_memory_equal(block, zero, sizeof zero);
  mp_alloc_free(&f.alloc, block, sizeof zero);
  assert_closed(&f);
}

static void test_alloc_resize_content_and_count_follow(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  char *block = mp_alloc_get(&f.alloc, 8);
  memcpy(block, "1234567", 8);
  block = mp_alloc_resize(&f.alloc, block, 8, 4000);
  assert_string_equal(block, "1234567");
  assert_int_equal(counted(&f), 4000);
  block = mp_alloc_resize(&f.alloc, block, 4000, 8);
  assert_string_equal(block, "1234567");
  assert_int_equal(counted(&f), 8);
  mp_alloc_free(&f.alloc, block, 8);
  assert_closed(&f);
}

static void test_alloc_resize_fails_old_block_stays(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  char *block = mp_alloc_get(&f.alloc, 8);
  memcpy(block, "1234567", 8);
  fault_arm(&f.memory, 1, false);
  assert_null(mp_alloc_resize(&f.alloc, block, 8, 4000));
  assert_string_equal(block, "1234567");
  assert_int_equal(counted(&f), 8);
  mp_alloc_free(&f.alloc, block, 8);
  assert_closed(&f);
}

static void test_alloc_every_function_out_of_memory_is_null_and_uncounted(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  fault_arm(&f.memory, 1, true);
  assert_null(mp_alloc_get(&f.alloc, 10));
  assert_null(mp_alloc_zeroed(&f.alloc, 10));
  assert_null(mp_alloc_aligned(&f.alloc, 10));
  assert_null(mp_alloc_resize(&f.alloc, NULL, 0, 10));
  assert_closed(&f);
}

static void test_alloc_aligned_any_size_is_on_a_line_and_zeroed(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  for (size_t size = 1; size < 600; size += 37) {
    char *block = mp_alloc_aligned(&f.alloc, size);
    assert_int_equal((uintptr_t)block % MP_CACHE_LINE, 0);
    for (size_t i = 0; i < size; i++) assert_int_equal(block[i], 0);
    memset(block, 1, size);
    mp_alloc_free_aligned(&f.alloc, block, size);
  }
  assert_closed(&f);
}

static void test_alloc_free_null_is_ignored(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  mp_alloc_free(&f.alloc, NULL, 5);
  mp_alloc_free_aligned(&f.alloc, NULL, 5);
  assert_closed(&f);
}

static void test_alloc_init_without_hook_uses_malloc(void **state) {
  mp_alloc alloc;
  const mp_allocator none = {NULL, NULL};
  (void)state;
  mp_alloc_init(&alloc, &none);
  char *block = mp_alloc_get(&alloc, 16);
  block = mp_alloc_resize(&alloc, block, 16, 1 << 20);
  block[(1 << 20) - 1] = 1;
  mp_alloc_free(&alloc, block, 1 << 20);
  assert_int_equal(mp_load_relaxed(&alloc.bytes), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alloc_get_and_free_bytes_are_counted),
      cmocka_unit_test(test_alloc_zeroed_all_bytes_are_zero),
      cmocka_unit_test(test_alloc_resize_content_and_count_follow),
      cmocka_unit_test(test_alloc_resize_fails_old_block_stays),
      cmocka_unit_test(test_alloc_every_function_out_of_memory_is_null_and_uncounted),
      cmocka_unit_test(test_alloc_aligned_any_size_is_on_a_line_and_zeroed),
      cmocka_unit_test(test_alloc_free_null_is_ignored),
      cmocka_unit_test(test_alloc_init_without_hook_uses_malloc),
  };
  return unit_main(tests);
}
