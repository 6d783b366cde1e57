/* The waitlist: a change wakes those whom it concerns and no others. */
#include "waitlist.h"
#include "unit.h"

typedef struct guest {
  mp_waiter waiter; /* first: concerns() gets it */
  mp_parker parker;
  const void *key;
} guest;

static bool concerns(const mp_waiter *waiter, const void *key) {
  return ((const guest *)waiter)->key == key;
}

static void join(mp_waitlist *list, guest *g, const void *key) {
  assert_ok(mp_parker_init(&g->parker));
  g->waiter.parker = &g->parker;
  g->waiter.concerns = concerns;
  g->key = key;
  mp_waitlist_join(list, &g->waiter);
}

static bool take_token(guest *g) { return mp_swap_acquire(&g->parker.gate.word, 0) != 0; }

static void leave(mp_waitlist *list, guest *g) {
  mp_waitlist_leave(list, &g->waiter);
  mp_parker_close(&g->parker);
}

static void test_waitlist_signal_wakes_whom_it_concerns(void **state) {
  enum { N = 200 }; /* more than are woken in one pass */
  static guest guests[N];
  mp_waitlist list;
  int keys[3];
  (void)state;
  assert_ok(mp_waitlist_init(&list));
  for (int i = 0; i < N; i++) join(&list, &guests[i], &keys[i % 2]);
  mp_waitlist_signal(&list, &keys[2]);
  for (int i = 0; i < N; i++) assert_false(take_token(&guests[i]));
  mp_waitlist_signal(&list, &keys[1]);
  for (int i = 0; i < N; i++) assert_int_equal(take_token(&guests[i]), i % 2);
  mp_waitlist_signal(&list, NULL);
  for (int i = 0; i < N; i++) assert_true(take_token(&guests[i]));
  for (int i = 0; i < N; i += 2) leave(&list, &guests[i]);
  mp_waitlist_signal(&list, NULL);
  for (int i = 0; i < N; i++) assert_int_equal(take_token(&guests[i]), i % 2);
  for (int i = 1; i < N; i += 2) leave(&list, &guests[i]);
  mp_waitlist_close(&list);
}

/* Waiters come and go while others signal: their memory is theirs again when they have left. */
typedef struct bustle {
  mp_waitlist list;
  _Atomic bool over;
  int key;
} bustle;

static void *signal_main(void *arg) {
  bustle *b = arg;
  while (!mp_load_relaxed(&b->over)) mp_waitlist_signal(&b->list, &b->key);
  return NULL;
}

static bool never(void *ud) { return (void)ud, false; }

static void test_waitlist_waiters_come_and_go_beside_signals(void **state) {
  static bustle b;
  pthread_t threads[2];
  (void)state;
  assert_ok(mp_waitlist_init(&b.list));
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, signal_main, &b), 0);
  for (int i = 0; i < 5000; i++) {
    guest g;
    join(&b.list, &g, &b.key);
    assert_ok(mp_park_sleep_unless(NULL, false, &g.parker, MP_FOREVER, never, NULL));
    leave(&b.list, &g);
  }
  mp_store_relaxed(&b.over, true);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  mp_waitlist_close(&b.list);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_waitlist_signal_wakes_whom_it_concerns),
      cmocka_unit_test(test_waitlist_waiters_come_and_go_beside_signals),
  };
  return unit_main(tests);
}
