/*
** Parking: who is woken, who is counted, and that no wake-up is lost between a submitter and a
** sleeper.
*/
#include "park.h"
#include "unit.h"

typedef struct fixture {
  mp_park park;
  mp_parker parkers[3];
} fixture;

static void open_fixture(fixture *f) {
  assert_ok(mp_park_init(&f->park));
  for (int i = 0; i < 3; i++) assert_ok(mp_parker_init(&f->parkers[i]));
}

static void close_fixture(fixture *f) {
  for (int i = 0; i < 3; i++) mp_parker_close(&f->parkers[i]);
  mp_park_close(&f->park);
}

static void announce(fixture *f, int i) {
  mp_park_search_begin(&f->park);
  mp_park_announce(&f->park, &f->parkers[i]);
}

static uint32_t sleepers(fixture *f) { return mp_load_relaxed(&f->park.sleepers); }
static uint32_t searchers(fixture *f) { return mp_load_relaxed(&f->park.searchers); }
static uint32_t token(fixture *f, int i) { return mp_load_relaxed(&f->parkers[i].gate.word); }

static void test_park_announce_a_searcher_becomes_a_sleeper(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  mp_park_search_begin(&f.park);
  assert_int_equal(searchers(&f), 1);
  mp_park_announce(&f.park, &f.parkers[0]);
  assert_int_equal(searchers(&f), 0);
  assert_int_equal(sleepers(&f), 1);
  mp_park_retract(&f.park, &f.parkers[0]);
  assert_int_equal(searchers(&f), 1);
  assert_int_equal(sleepers(&f), 0);
  assert_true(mp_park_search_end(&f.park));
  close_fixture(&f);
}

static void test_park_notify_wakes_only_the_latest_sleeper(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  for (int i = 0; i < 3; i++) announce(&f, i);
  mp_park_notify(&f.park);
  assert_int_equal(token(&f, 2), 1);
  assert_int_equal(token(&f, 0) + token(&f, 1), 0);
  assert_int_equal(sleepers(&f), 2);
  assert_int_equal(searchers(&f), 1);
  assert_ok(mp_park_sleep(&f.park, &f.parkers[2], MP_FOREVER));
  assert_int_equal(token(&f, 2), 0);
  close_fixture(&f);
}

static void test_park_notify_somebody_searches_wakes_nobody(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  announce(&f, 0);
  mp_park_search_begin(&f.park);
  mp_park_notify(&f.park);
  assert_int_equal(token(&f, 0), 0);
  assert_int_equal(sleepers(&f), 1);
  assert_true(mp_park_search_end(&f.park)); /* the last searcher is told to make up for it */
  mp_park_notify(&f.park);
  assert_int_equal(token(&f, 0), 1);
  close_fixture(&f);
}

static void test_park_search_end_only_the_last_is_told(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  mp_park_search_begin(&f.park);
  mp_park_search_begin(&f.park);
  assert_false(mp_park_search_end(&f.park));
  assert_true(mp_park_search_end(&f.park));
  close_fixture(&f);
}

static void test_park_poke_wakes_this_one_whatever_the_searchers(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  for (int i = 0; i < 3; i++) announce(&f, i);
  mp_park_search_begin(&f.park);
  mp_park_poke(&f.park, &f.parkers[1]);
  assert_int_equal(token(&f, 1), 1);
  assert_int_equal(sleepers(&f), 2);
  mp_park_poke(&f.park, &f.parkers[1]); /* no sleeper any more: nothing happens */
  assert_int_equal(sleepers(&f), 2);
  assert_int_equal(searchers(&f), 2);
  close_fixture(&f);
}

static void test_park_wake_all_wakes_each(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  for (int i = 0; i < 3; i++) announce(&f, i);
  mp_park_wake_all(&f.park);
  for (int i = 0; i < 3; i++) assert_ok(mp_park_sleep(&f.park, &f.parkers[i], MP_FOREVER));
  assert_int_equal(sleepers(&f), 0);
  assert_int_equal(searchers(&f), 3);
  close_fixture(&f);
}

static void test_park_sleep_deadline_passed_is_no_sleeper_any_more(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  announce(&f, 0);
  assert_status(mp_park_sleep(&f.park, &f.parkers[0], mp_os_now() + MILLISECOND), MP_TIMEOUT);
  assert_int_equal(sleepers(&f), 0);
  assert_int_equal(searchers(&f), 1);
  close_fixture(&f);
}

static void test_park_retract_after_a_claim_takes_the_token(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  announce(&f, 0);
  mp_park_notify(&f.park);
  mp_park_retract(&f.park, &f.parkers[0]);
  assert_int_equal(token(&f, 0), 0);
  assert_int_equal(searchers(&f), 1);
  close_fixture(&f);
}

/* One submitter, two sleepers that follow the protocol of park.h over a counter as the queue. */
#define ITEMS 20000

typedef struct relay {
  fixture f;
  _Atomic int queued, taken;
} relay;

typedef struct sleeper {
  relay *r;
  int index;
} sleeper;

static bool take_item(relay *r) {
  int n = mp_load_seq(&r->queued);
  while (n > 0)
    if (mp_cas_seq(&r->queued, &n, n - 1)) return true;
  return false;
}

static void *sleeper_main(void *arg) {
  sleeper *s = arg;
  relay *r = s->r;
  mp_parker *parker = &r->f.parkers[s->index];
  mp_park_search_begin(&r->f.park);
  while (mp_load_seq(&r->taken) < ITEMS) {
    if (take_item(r)) {
      if (mp_park_search_end(&r->f.park) && mp_load_seq(&r->queued) > 0) mp_park_notify(&r->f.park);
      if (mp_add_seq(&r->taken, 1) + 1 == ITEMS) mp_park_wake_all(&r->f.park);
      mp_park_search_begin(&r->f.park);
      continue;
    }
    mp_park_announce(&r->f.park, parker);
    if (mp_load_seq(&r->queued) > 0 || mp_load_seq(&r->taken) >= ITEMS)
      mp_park_retract(&r->f.park, parker);
    else
      (void)!mp_park_sleep(&r->f.park, parker, MP_FOREVER);
  }
  (void)!mp_park_search_end(&r->f.park);
  return NULL;
}

static void test_park_submitter_beside_sleepers_no_item_is_left_lying(void **state) {
  static relay r;
  pthread_t threads[2];
  sleeper sleeping[2] = {{&r, 0}, {&r, 1}};
  (void)state;
  open_fixture(&r.f);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, sleeper_main, &sleeping[i]), 0);
  for (int i = 0; i < ITEMS; i++) {
    mp_add_seq(&r.queued, 1);
    mp_park_notify(&r.f.park);
  }
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  assert_int_equal(mp_load_relaxed(&r.taken), ITEMS);
  assert_int_equal(sleepers(&r.f), 0);
  assert_int_equal(searchers(&r.f), 0);
  close_fixture(&r.f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_park_announce_a_searcher_becomes_a_sleeper),
      cmocka_unit_test(test_park_notify_wakes_only_the_latest_sleeper),
      cmocka_unit_test(test_park_notify_somebody_searches_wakes_nobody),
      cmocka_unit_test(test_park_search_end_only_the_last_is_told),
      cmocka_unit_test(test_park_poke_wakes_this_one_whatever_the_searchers),
      cmocka_unit_test(test_park_wake_all_wakes_each),
      cmocka_unit_test(test_park_sleep_deadline_passed_is_no_sleeper_any_more),
      cmocka_unit_test(test_park_retract_after_a_claim_takes_the_token),
      cmocka_unit_test(test_park_submitter_beside_sleepers_no_item_is_left_lying),
  };
  return unit_main(tests);
}
