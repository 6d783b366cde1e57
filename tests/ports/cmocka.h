/*
** cmocka.h - of cmocka, what the unit tests use, in one header: for targets Debian has no cmocka
** for (musl, cross compilers).
**
** A check that fails ends the program at once and says where; skip() ends its test. Output ends
** with cmocka's own line, which `make unit` prints. Needs what cmocka.h needs: setjmp.h, stdarg.h,
** stddef.h, stdint.h before it.
*/
#ifndef TESTS_PORTS_CMOCKA_H
#define TESTS_PORTS_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
  const char *name;
  void (*function)(void **state);
  int (*teardown)(void **state); /* or NULL */
};

#define cmocka_unit_test(function) \
  { #function, function, NULL }
#define cmocka_unit_test_teardown(function, teardown) \
  { #function, function, teardown }
#define cmocka_run_group_tests(tests, setup, teardown) \
  cmocka_run(tests, sizeof(tests) / sizeof(tests)[0], (setup) == NULL && (teardown) == NULL)

static jmp_buf cmocka_skipped;

static inline int cmocka_run(const struct CMUnitTest *tests, size_t n, int no_fixtures) {
  if (!no_fixtures) abort(); /* no program has any */
  for (volatile size_t i = 0; i < n; i++) {
    void *state = NULL;
    printf("[ RUN      ] %s\n", tests[i].name);
    fflush(stdout);
    if (setjmp(cmocka_skipped) == 0) tests[i].function(&state);
    if (tests[i].teardown != NULL && tests[i].teardown(&state) != 0) abort();
  }
  printf("[==========] %u test(s) run.\n", (unsigned)n);
  return 0;
}

#define skip() longjmp(cmocka_skipped, 1)

__attribute__((format(printf, 3, 4))) _Noreturn static inline void
cmocka_fail(const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s:%d: ", file, line);
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  va_end(args);
  _Exit(1);
}

#define fail_msg(...) cmocka_fail(__FILE__, __LINE__, __VA_ARGS__)
#define cmocka_check(condition, what) \
  do { \
    if (!(condition)) cmocka_fail(__FILE__, __LINE__, "%s does not hold", what); \
  } while (0)

static inline void cmocka_integers(uintmax_t a, uintmax_t b, int equal, const char *what,
                                   const char *file, int line) {
  if ((a == b) != equal) cmocka_fail(file, line, "%s: 0x%jx, 0x%jx", what, a, b);
}

#define cmocka_compare(a, b, equal, what) \
  cmocka_integers((uintmax_t)(a), (uintmax_t)(b), equal, what, __FILE__, __LINE__)

#define assert_true(c) cmocka_check(c, #c)
#define assert_false(c) cmocka_check(!(c), "not " #c)
#define assert_null(p) cmocka_check((p) == NULL, #p " == NULL")
#define assert_non_null(p) cmocka_check((p) != NULL, #p " != NULL")
#define assert_int_equal(a, b) cmocka_compare(a, b, 1, #a " == " #b)
#define assert_int_not_equal(a, b) cmocka_compare(a, b, 0, #a " != " #b)
#define assert_ptr_equal(a, b) cmocka_compare((uintptr_t)(a), (uintptr_t)(b), 1, #a " == " #b)
#define assert_ptr_not_equal(a, b) cmocka_compare((uintptr_t)(a), (uintptr_t)(b), 0, #a " != " #b)
#define assert_in_range(v, low, high) \
  cmocka_check((uintmax_t)(v) >= (uintmax_t)(low) && (uintmax_t)(v) <= (uintmax_t)(high), \
               #v " from " #low " to " #high)
#define assert_memory_equal(a, b, size) cmocka_check(memcmp(a, b, size) == 0, #a " equals " #b)

static inline void cmocka_strings(const char *a, const char *b, int equal, const char *what,
                                  const char *file, int line) {
  if ((strcmp(a, b) == 0) != equal) cmocka_fail(file, line, "%s: \"%s\", \"%s\"", what, a, b);
}

#define assert_string_equal(a, b) cmocka_strings(a, b, 1, #a " == " #b, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) cmocka_strings(a, b, 0, #a " != " #b, __FILE__, __LINE__)

#endif
