/*
** How long a thread spins: what it learns from spins that find something, and from those that do
** not.
*/
#include "spin.h"
#include "unit.h"

/*
** Spins that find what `found` says, until one is a probe: how many there were, the probe included.
*/
static unsigned spins_to_probe(const mp_scheduler *scheduler, mp_spin_budget *budget, bool found) {
  for (unsigned n = 1;; n++) {
    mp_spin spin = mp_spin_begin(scheduler, budget);
    mp_spin_end(&spin, found);
    if (spin.probe) return n;
  }
}

static void test_spin_that_fails_shortens_the_next_and_probes_grow_rare(void **state) {
  static mp_scheduler scheduler; /* of which only this is looked at */
  mp_spin_budget budget;
  (void)state;
  scheduler.config.spin_ns = 1000;
  scheduler.config.spin_free_ns = 8000;
  mp_spin_budget_init(&budget, 8000);
  for (unsigned want = 8000; want > 1000; want /= 2) {
    mp_spin spin = mp_spin_begin(&scheduler, &budget);
    assert_int_equal(spin.free_ns, want);
    mp_spin_end(&spin, false);
  }
  unsigned before = spins_to_probe(&scheduler, &budget, false), now;
  while ((now = spins_to_probe(&scheduler, &budget, false)) > before) before = now;
  assert_true(now > 100 && now == before); /* rare, but not ever rarer */
  mp_spin spin = mp_spin_begin(&scheduler, &budget);
  assert_int_equal(spin.free_ns, 1000); /* a probe that fails teaches nothing else */
  mp_spin_end(&spin, true);
  spin = mp_spin_begin(&scheduler, &budget);
  assert_int_equal(spin.free_ns, 4000);
  (void)spins_to_probe(&scheduler, &budget, true);
  assert_true(spins_to_probe(&scheduler, &budget, true) < 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_spin_that_fails_shortens_the_next_and_probes_grow_rare),
  };
  return unit_main(tests);
}
