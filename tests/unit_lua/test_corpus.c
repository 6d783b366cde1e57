/*
** The seeds of the decoder's fuzzer are messages: a format that changes without them leaves the
** fuzzer at the door.
*/
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "codec/value.h"
#include "support.h"

#define CORPUS "tests/fuzz/corpus" /* make runs the programs where it runs itself */
#define SEED_MAX 65536

static size_t read_seed(const char *name, unsigned char *bytes) {
  char path[512];
  snprintf(path, sizeof path, CORPUS "/%s", name);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  size_t size = fread(bytes, 1, SEED_MAX, file);
  fclose(file);
  return size;
}

static void test_decode_each_seed_is_read_to_its_end(void **state) {
  unsigned char *bytes = malloc(SEED_MAX);
  size_t seeds = 0;
  (void)state;
  DIR *directory = opendir(CORPUS);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    size_t size = read_seed(entry->d_name, bytes);
    if (!harness_decode(bytes, size, true)) fail_msg("%s is no message", entry->d_name);
    seeds++;
  }
  closedir(directory);
  free(bytes);
  assert_true(seeds >= 30);
}

/* A name that is a handle with a name that is a handle ... */
static void test_decode_handles_named_by_handles_are_refused(void **state) {
  enum { LEVELS = 200000, EACH = 5 };
  unsigned char *bytes = calloc(1, LMP_HEADER_SIZE + LEVELS * EACH);
  (void)state;
  bytes[0] = LMP_FORMAT_VERSION;
  bytes[2] = 1;
  for (size_t i = 0; i < LEVELS; i++) {
    bytes[LMP_HEADER_SIZE + i * EACH] = LMP_HANDLE_REF;
    bytes[LMP_HEADER_SIZE + i * EACH + 1] = 2;
  }
  assert_false(harness_decode(bytes, LMP_HEADER_SIZE + LEVELS * EACH, true));
  free(bytes);
}

/* Upvalues are joined only where both functions have them. */
static void test_decode_upvalues_that_functions_lack_are_refused(void **state) {
  static const unsigned char too_many[] = {1,
                                           LMP_FLAG_SHARED,
                                           2,
                                           0,
                                           0,
                                           0,
                                           LMP_FUNCTION,
                                           1,
                                           0,
                                           0,
                                           0,
                                           2,
                                           LMP_UPVALUE,
                                           LMP_NIL,
                                           LMP_UPVALUE,
                                           LMP_NIL,
                                           LMP_FUNCTION,
                                           1,
                                           0,
                                           0,
                                           0,
                                           9,
                                           LMP_UPVALUE_REF,
                                           0,
                                           0,
                                           0,
                                           0,
                                           LMP_UPVALUE_REF,
                                           0,
                                           0,
                                           0,
                                           0,
                                           LMP_UPVALUE_REF,
                                           0,
                                           0,
                                           0,
                                           0,
                                           LMP_UPVALUE_REF,
                                           0,
                                           0,
                                           0,
                                           0,
                                           LMP_UPVALUE_REF,
                                           0,
                                           0,
                                           0,
                                           0};
  (void)state;
  assert_false(harness_decode(too_many, sizeof too_many, true));
}

static int open_once(void **state) {
  (void)state;
  harness_open();
  return 0;
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_decode_each_seed_is_read_to_its_end),
      cmocka_unit_test(test_decode_handles_named_by_handles_are_refused),
      cmocka_unit_test(test_decode_upvalues_that_functions_lack_are_refused),
  };
  alarm(HANG_SECONDS);
  return cmocka_run_group_tests(tests, open_once, NULL);
}
