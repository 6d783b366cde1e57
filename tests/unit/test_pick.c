/*
** Which entry a worker takes next: no level starves beside endless work at the others, and among
** equals the older runs before long, also where a worker feeds itself.
*/
#include "unit.h"

#define PICKS_MAX 128 /* of a worker, until every level has been served */

/* A task that submits itself again and again, until it is told to stop. */
typedef struct feeder {
  _Atomic bool stop;
  _Atomic unsigned runs;
  int priority;
} feeder;

static void submit(mp_pool *pool, mp_task_run *run, void *arg, int priority) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run;
  desc.arg = arg;
  desc.priority = priority;
  assert_ok(mp_submit(pool, &desc, NULL));
}

static mp_status feed(mp_worker *worker, void *arg) {
  feeder *f = arg;
  mp_add_relaxed(&f->runs, 1);
  if (!mp_load_relaxed(&f->stop)) submit(mp_worker_pool(worker), feed, f, f->priority);
  return MP_OK;
}

/* What is to have its turn: notes how often the feeders ran until then, and stops them. */
typedef struct guest {
  feeder *feeders;
  size_t n;
  unsigned before, after;
} guest;

static unsigned runs_of(const guest *g) {
  unsigned runs = 0;
  for (size_t i = 0; i < g->n; i++) runs += mp_load_relaxed(&g->feeders[i].runs);
  return runs;
}

static mp_status be_served(mp_worker *worker, void *arg) {
  guest *g = arg;
  (void)worker;
  g->after = runs_of(g);
  for (size_t i = 0; i < g->n; i++) mp_store_relaxed(&g->feeders[i].stop, true);
  return MP_OK;
}

/* A task of this priority beside endless work at these. */
static unsigned served_after(int priority, const int *endless, size_t n) {
  world w;
  feeder feeders[3] = {{0}};
  blockade b;
  guest g = {feeders, n, 0, 0};
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  for (size_t i = 0; i < n; i++) {
    feeders[i].priority = endless[i];
    submit(w.pool, feed, &feeders[i], endless[i]);
  }
  submit(w.pool, be_served, &g, priority);
  blockade_lift(&b);
  world_drain(&w);
  world_close(&w);
  return g.after;
}

static void test_pick_no_level_starves_beside_endless_work_at_the_others(void **state) {
  (void)state;
  static const int high_low[] = {1, -1}, high[] = {3}, normal[] = {0}, high_normal[] = {1, 0};
  assert_true(served_after(0, high_low, 2) <= PICKS_MAX);
  assert_true(served_after(0, high, 1) <= PICKS_MAX);
  assert_true(served_after(-7, normal, 1) <= PICKS_MAX);
  assert_true(served_after(-7, high_normal, 2) <= PICKS_MAX);
  assert_true(served_after(2, high_normal + 1, 1) <= PICKS_MAX);
}

/* On one worker: a task queues the guest, then what feeds itself, which lies above it. */
static mp_status queue_both(mp_worker *worker, void *arg) {
  guest *g = arg;
  submit(mp_worker_pool(worker), be_served, g, 0);
  submit(mp_worker_pool(worker), feed, g->feeders, 0);
  return MP_OK;
}

static void test_pick_older_of_equals_runs_though_the_worker_feeds_itself(void **state) {
  world w;
  feeder f = {0};
  guest g = {&f, 1, 0, 0};
  (void)state;
  world_open(&w, 1);
  submit(w.pool, queue_both, &g, 0);
  world_drain(&w);
  assert_true(g.after <= 64 + 1);
  world_close(&w);
}

/* In the deque of a worker that is inside a long task, beside another that feeds itself. */
typedef struct slow {
  guest g;
  tally queued, release;
} slow;

static mp_status queue_and_stay(mp_worker *worker, void *arg) {
  slow *s = arg;
  submit(mp_worker_pool(worker), be_served, &s->g, 0);
  submit(mp_worker_pool(worker), feed, s->g.feeders, 0); /* stolen at once or later */
  tally_add(&s->queued);
  tally_await(&s->release, 1);
  return MP_OK;
}

static void test_pick_what_a_busy_worker_has_queued_is_run_by_others(void **state) {
  world w;
  feeder f = {0};
  slow s = {{&f, 1, 0, 0}, TALLY_INIT, TALLY_INIT};
  (void)state;
  world_open(&w, 2);
  submit(w.pool, queue_and_stay, &s, 0);
  tally_await(&s.queued, 1);
  while (!mp_load_relaxed(&f.stop)) usleep(100);
  tally_add(&s.release);
  world_drain(&w);
  world_close(&w);
}

/* Two workers inside long tasks, one with much in its deque; the third feeds itself. */
#define MUCH 500

typedef struct two_slow {
  guest g;
  tally entered, queued, release;
} two_slow;

static void enter_with_other(two_slow *s) {
  tally_add(&s->entered);
  tally_await(&s->entered, 2);
}

static mp_status stay(two_slow *s) {
  tally_add(&s->queued);
  tally_await(&s->release, 1);
  return MP_OK;
}

static mp_status queue_much_and_stay(mp_worker *worker, void *arg) {
  enter_with_other(arg);
  for (int i = 0; i < MUCH; i++) submit(mp_worker_pool(worker), run_nothing, NULL, 0);
  return stay(arg);
}

static mp_status queue_guest_and_stay(mp_worker *worker, void *arg) {
  enter_with_other(arg);
  submit(mp_worker_pool(worker), be_served, &((two_slow *)arg)->g, 0);
  return stay(arg);
}

static void test_pick_much_in_one_busy_workers_deque_delays_no_others(void **state) {
  (void)state;
  for (int round = 0; round < 6; round++) {
    world w;
    blockade b;
    feeder f = {0};
    two_slow s = {{&f, 1, 0, 0}, TALLY_INIT, TALLY_INIT, TALLY_INIT};
    world_open(&w, 3);
    blockade_raise(&b, &w, 1);
    submit(w.pool, round % 2 ? queue_much_and_stay : queue_guest_and_stay, &s, 0);
    submit(w.pool, round % 2 ? queue_guest_and_stay : queue_much_and_stay, &s, 0);
    tally_await(&s.queued, 2);
    submit(w.pool, feed, &f, 0);
    blockade_lift(&b);
    while (!mp_load_relaxed(&f.stop)) usleep(100);
    tally_add(&s.release);
    world_drain(&w);
    assert_true(s.g.after <= 8 * PICKS_MAX);
    world_close(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pick_no_level_starves_beside_endless_work_at_the_others),
      cmocka_unit_test(test_pick_older_of_equals_runs_though_the_worker_feeds_itself),
      cmocka_unit_test(test_pick_what_a_busy_worker_has_queued_is_run_by_others),
      cmocka_unit_test(test_pick_much_in_one_busy_workers_deque_delays_no_others),
  };
  return unit_main(tests);
}
