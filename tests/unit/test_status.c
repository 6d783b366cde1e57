/* Every status has a text of its own; values that are no status have one too. */
#include "unit.h"

#include <string.h>

static void test_status_text_every_status_is_distinct(void **state) {
  (void)state;
  for (int a = 0; a < MP_STATUS_COUNT; a++) {
    const char *text = mp_status_text((mp_status)a);
    assert_non_null(text);
    assert_true(strlen(text) > 0);
    assert_string_not_equal(text, "unknown status");
    for (int b = 0; b < a; b++) assert_string_not_equal(text, mp_status_text((mp_status)b));
  }
}

static void test_status_text_no_status_is_unknown(void **state) {
  (void)state;
  const int values[] = {MP_STATUS_COUNT, MP_STATUS_COUNT + 1, -1, 1 << 30};
  for (size_t i = 0; i < LENGTH(values); i++)
    assert_string_equal(mp_status_text((mp_status)values[i]), "unknown status");
}

static void test_status_order_is_the_abi(void **state) {
  (void)state;
  assert_int_equal(MP_OK, 0);
  assert_int_equal(MP_NOMEM, 1);
  assert_int_equal(MP_DEPENDENCY, 7);
  assert_int_equal(MP_FORKED, 10);
  assert_int_equal(MP_BUSY, 15);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_status_text_every_status_is_distinct),
      cmocka_unit_test(test_status_text_no_status_is_unknown),
      cmocka_unit_test(test_status_order_is_the_abi),
  };
  return unit_main(tests);
}
