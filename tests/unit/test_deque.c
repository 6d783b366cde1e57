/* The work-stealing deque: both ends alone, then owner and thieves at once. */
#include "deque.h"
#include "unit.h"

#include <string.h>

#define THIEVES 3
#define ROUNDS 20000

typedef struct fixture {
  mp_deque deque;
  mp_entry jobs[MP_DEQUE_CAPACITY + 1];
} fixture;

static fixture *fresh(void) {
  static fixture f;
  memset(&f, 0, sizeof f);
  return &f;
}

static void fill(fixture *f) {
  for (int i = 0; i < MP_DEQUE_CAPACITY; i++)
    assert_true(mp_deque_push_owner(&f->deque, &f->jobs[i], 0));
}

static void test_deque_fresh_is_empty(void **state) {
  fixture *f = fresh();
  (void)state;
  assert_true(mp_deque_empty(&f->deque));
  assert_null(mp_deque_pop_owner(&f->deque));
  assert_null(mp_deque_steal(&f->deque));
}

static void test_deque_pop_newest_first(void **state) {
  fixture *f = fresh();
  (void)state;
  fill(f);
  for (int i = MP_DEQUE_CAPACITY - 1; i >= 0; i--)
    assert_ptr_equal(mp_deque_pop_owner(&f->deque), &f->jobs[i]);
  assert_null(mp_deque_pop_owner(&f->deque));
  assert_true(mp_deque_empty(&f->deque));
}

static void test_deque_steal_oldest_first(void **state) {
  fixture *f = fresh();
  (void)state;
  fill(f);
  for (int i = 0; i < MP_DEQUE_CAPACITY; i++)
    assert_ptr_equal(mp_deque_steal(&f->deque), &f->jobs[i]);
  assert_null(mp_deque_steal(&f->deque));
}

static void test_deque_push_full_is_refused_until_one_is_taken(void **state) {
  fixture *f = fresh();
  (void)state;
  fill(f);
  mp_entry *extra = &f->jobs[MP_DEQUE_CAPACITY];
  assert_false(mp_deque_push_owner(&f->deque, extra, 0));
  assert_ptr_equal(mp_deque_steal(&f->deque), &f->jobs[0]);
  assert_true(mp_deque_push_owner(&f->deque, extra, 0));
  assert_false(mp_deque_push_owner(&f->deque, &f->jobs[0], 0));
  assert_ptr_equal(mp_deque_pop_owner(&f->deque), extra);
}

static void test_deque_push_pop_many_times_wraps(void **state) {
  fixture *f = fresh();
  (void)state;
  for (int i = 0; i < 5 * MP_DEQUE_CAPACITY; i++) {
    assert_true(mp_deque_push_owner(&f->deque, &f->jobs[0], 0));
    assert_true(mp_deque_push_owner(&f->deque, &f->jobs[1], 0));
    assert_ptr_equal(mp_deque_steal(&f->deque), &f->jobs[0]);
    assert_ptr_equal(mp_deque_pop_owner(&f->deque), &f->jobs[1]);
    assert_true(mp_deque_empty(&f->deque));
  }
}

static void test_deque_group_only_its_pieces_are_given(void **state) {
  fixture *f = fresh();
  mp_deque *d = &f->deque;
  (void)state;
  assert_int_equal(mp_deque_newest_group_owner(d), 0);
  assert_false(mp_deque_holds_owner(d, 7));
  assert_true(mp_deque_push_owner(d, &f->jobs[0], 7));
  assert_true(mp_deque_push_owner(d, &f->jobs[1], 0));
  assert_int_equal(mp_deque_newest_group_owner(d), 0);
  assert_true(mp_deque_holds_owner(d, 7));
  assert_false(mp_deque_holds_owner(d, 9));
  assert_true(mp_deque_offers(d, 7));
  assert_false(mp_deque_offers(d, 9));
  assert_null(mp_deque_steal_group(d, 9));
  assert_ptr_equal(mp_deque_steal_group(d, 7), &f->jobs[0]);
  assert_null(mp_deque_steal_group(d, 7)); /* what is oldest now is a task */
  assert_ptr_equal(mp_deque_pop_owner(d), &f->jobs[1]);
  assert_true(mp_deque_empty(d));
}

/* Counts how often each was taken. */
typedef struct contest {
  mp_deque deque;
  mp_entry jobs[ROUNDS];
  _Atomic unsigned times[ROUNDS];
  _Atomic bool over;
} contest;

static void took(contest *c, mp_entry *job) {
  if (job != NULL) mp_add_relaxed(&c->times[job - c->jobs], 1);
}

static void *thief_main(void *arg) {
  contest *c = arg;
  while (!mp_load_acquire(&c->over)) took(c, mp_deque_steal(&c->deque));
  return NULL;
}

static void test_deque_owner_beside_thieves_each_job_is_taken_once(void **state) {
  static contest c;
  pthread_t thieves[THIEVES];
  (void)state;
  for (int i = 0; i < THIEVES; i++)
    assert_int_equal(pthread_create(&thieves[i], NULL, thief_main, &c), 0);
  for (int i = 0; i < ROUNDS; i++) {
    while (!mp_deque_push_owner(&c.deque, &c.jobs[i], 0)) took(&c, mp_deque_pop_owner(&c.deque));
    if (i % 3 == 0) took(&c, mp_deque_pop_owner(&c.deque));
  }
  for (mp_entry *job; (job = mp_deque_pop_owner(&c.deque)) != NULL;) took(&c, job);
  while (!mp_deque_empty(&c.deque)) continue;
  mp_store_release(&c.over, true);
  for (int i = 0; i < THIEVES; i++) pthread_join(thieves[i], NULL);
  for (int i = 0; i < ROUNDS; i++) assert_int_equal(mp_load_relaxed(&c.times[i]), 1);
}

/* One job at a time: the owner and a thief race for the last one. */
static void test_deque_last_job_is_taken_once_and_none_is_lost(void **state) {
  enum { TIMES = 10 };
  static contest c;
  pthread_t thief;
  (void)state;
  for (int time = 0; time < TIMES; time++) {
    memset(&c, 0, sizeof c);
    assert_int_equal(pthread_create(&thief, NULL, thief_main, &c), 0);
    for (int i = 0; i < ROUNDS; i++) {
      assert_true(mp_deque_push_owner(&c.deque, &c.jobs[i], 0));
      for (int pauses = i % 16; pauses > 0; pauses--) mp_pause();
      took(&c, mp_deque_pop_owner(&c.deque));
    }
    mp_store_release(&c.over, true);
    pthread_join(thief, NULL);
    assert_true(mp_deque_empty(&c.deque));
    for (int i = 0; i < ROUNDS; i++) assert_int_equal(mp_load_relaxed(&c.times[i]), 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_deque_fresh_is_empty),
      cmocka_unit_test(test_deque_pop_newest_first),
      cmocka_unit_test(test_deque_steal_oldest_first),
      cmocka_unit_test(test_deque_push_full_is_refused_until_one_is_taken),
      cmocka_unit_test(test_deque_push_pop_many_times_wraps),
      cmocka_unit_test(test_deque_group_only_its_pieces_are_given),
      cmocka_unit_test(test_deque_owner_beside_thieves_each_job_is_taken_once),
      cmocka_unit_test(test_deque_last_job_is_taken_once_and_none_is_lost),
  };
  return unit_main(tests);
}
