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

/* Sleeps in another thread, so that the test can look at it, until a token or the deadline. */
typedef struct slumber {
  fixture *f;
  int index;
  uint64_t deadline;
  bool (*called_off)(void *ud);
  mp_status status;
  pthread_t thread;
} slumber;

static bool never(void *ud) { return (void)ud, false; }
static bool at_once(void *ud) { return (void)ud, true; }

static void *slumber_main(void *arg) {
  slumber *s = arg;
  mp_park_search_begin(&s->f->park);
  s->status = mp_park_sleep_unless(&s->f->park, true, &s->f->parkers[s->index], s->deadline,
                                   s->called_off, NULL);
  return NULL;
}

/* Returns when it is among the sleepers. */
static void fall_asleep(slumber *s, fixture *f, int index, uint64_t deadline) {
  *s = (slumber){f, index, deadline, never, MP_FAILED, 0};
  uint32_t before = mp_load_seq(&f->park.sleepers);
  assert_int_equal(pthread_create(&s->thread, NULL, slumber_main, s), 0);
  while (mp_load_seq(&f->park.sleepers) == before) usleep(100);
}

static mp_status awake(slumber *s) {
  pthread_join(s->thread, NULL);
  return s->status;
}

static uint32_t sleepers(fixture *f) { return mp_load_relaxed(&f->park.sleepers); }
static uint32_t searchers(fixture *f) { return mp_load_relaxed(&f->park.searchers); }
static void test_park_sleep_called_off_is_a_searcher_again(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  mp_park_search_begin(&f.park);
  assert_int_equal(searchers(&f), 1);
  assert_ok(mp_park_sleep_unless(&f.park, true, &f.parkers[0], MP_FOREVER, at_once, NULL));
  assert_int_equal(searchers(&f), 1);
  assert_int_equal(sleepers(&f), 0);
  assert_true(mp_park_search_end(&f.park));
  close_fixture(&f);
}

static void test_park_notify_wakes_only_the_latest_sleeper(void **state) {
  fixture f;
  slumber s[3];
  (void)state;
  open_fixture(&f);
  for (int i = 0; i < 3; i++) fall_asleep(&s[i], &f, i, MP_FOREVER);
  assert_int_equal(searchers(&f), 0);
  mp_park_notify(&f.park);
  assert_ok(awake(&s[2]));
  assert_int_equal(sleepers(&f), 2);
  assert_int_equal(searchers(&f), 1);
  mp_park_wake_all(&f.park);
  for (int i = 0; i < 2; i++) assert_ok(awake(&s[i]));
  assert_int_equal(sleepers(&f), 0);
  assert_int_equal(searchers(&f), 3);
  close_fixture(&f);
}

static void test_park_notify_somebody_searches_wakes_nobody(void **state) {
  fixture f;
  slumber s;
  (void)state;
  open_fixture(&f);
  fall_asleep(&s, &f, 0, MP_FOREVER);
  mp_park_search_begin(&f.park);
  mp_park_notify(&f.park);
  assert_int_equal(sleepers(&f), 1);
  assert_true(mp_park_search_end(&f.park)); /* the last searcher is told to make up for it */
  mp_park_notify(&f.park);
  assert_ok(awake(&s));
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

static void post_token(fixture *f, int index) {
  mp_store_release(&f->parkers[index].gate.word, 1);
  mp_os_gate_wake_one(&f->parkers[index].gate);
}

static void test_park_token_wakes_this_one_whatever_the_searchers(void **state) {
  fixture f;
  slumber s[3];
  (void)state;
  open_fixture(&f);
  for (int i = 0; i < 3; i++) fall_asleep(&s[i], &f, i, MP_FOREVER);
  mp_park_search_begin(&f.park);
  post_token(&f, 1);
  assert_ok(awake(&s[1]));
  assert_int_equal(sleepers(&f), 2);
  assert_int_equal(searchers(&f), 2);
  mp_park_wake_all(&f.park);
  assert_ok(awake(&s[0]));
  assert_ok(awake(&s[2]));
  close_fixture(&f);
}

static void test_park_sleep_deadline_passed_is_no_sleeper_any_more(void **state) {
  fixture f;
  slumber s;
  (void)state;
  open_fixture(&f);
  fall_asleep(&s, &f, 0, mp_os_now() + 20 * MILLISECOND);
  assert_status(awake(&s), MP_TIMEOUT);
  assert_int_equal(sleepers(&f), 0);
  assert_int_equal(searchers(&f), 1);
  close_fixture(&f);
}

static void test_park_sleep_outside_the_list_only_a_token_wakes(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  assert_status(
      mp_park_sleep_unless(NULL, false, &f.parkers[0], mp_os_now() + MILLISECOND, never, NULL),
      MP_TIMEOUT);
  assert_int_equal(sleepers(&f) + searchers(&f), 0);
  assert_ok(mp_park_sleep_unless(NULL, false, &f.parkers[0], MP_FOREVER, at_once, NULL));
  close_fixture(&f);
}

/* A token that came before the last look is not a reason to wake: what it was for was seen. */
static void test_park_sleep_token_from_before_is_taken(void **state) {
  fixture f;
  (void)state;
  open_fixture(&f);
  post_token(&f, 0);
  assert_status(
      mp_park_sleep_unless(NULL, false, &f.parkers[0], mp_os_now() + MILLISECOND, never, NULL),
      MP_TIMEOUT);
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

static bool has_item_or_ends(void *arg) {
  relay *r = arg;
  return mp_load_seq(&r->queued) > 0 || mp_load_seq(&r->taken) >= ITEMS;
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
    (void)!mp_park_sleep_unless(&r->f.park, true, parker, MP_FOREVER, has_item_or_ends, r);
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
      cmocka_unit_test(test_park_sleep_called_off_is_a_searcher_again),
      cmocka_unit_test(test_park_notify_wakes_only_the_latest_sleeper),
      cmocka_unit_test(test_park_notify_somebody_searches_wakes_nobody),
      cmocka_unit_test(test_park_search_end_only_the_last_is_told),
      cmocka_unit_test(test_park_token_wakes_this_one_whatever_the_searchers),
      cmocka_unit_test(test_park_sleep_deadline_passed_is_no_sleeper_any_more),
      cmocka_unit_test(test_park_sleep_outside_the_list_only_a_token_wakes),
      cmocka_unit_test(test_park_sleep_token_from_before_is_taken),
      cmocka_unit_test(test_park_submitter_beside_sleepers_no_item_is_left_lying),
  };
  return unit_main(tests);
}
