/* Fork and join, and mp_for: from outside, inside tasks, nested, over every shape of range. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/*
** {======================================================
** Fork and join
** =======================================================
*/

typedef struct fib {
  mp_job job; /* first: a job is its fib */
  unsigned n, value;
} fib;

static void fib_job(mp_worker *worker, mp_job *job) {
  fib *f = (fib *)job, left = {.n = f->n - 1}, right = {.n = f->n - 2};
  if (f->n < 2) {
    f->value = f->n;
    return;
  }
  mp_fork(worker, &left.job, fib_job);
  fib_job(worker, &right.job);
  mp_join(worker, &left.job);
  f->value = left.value + right.value;
}

static mp_status fib_task(mp_worker *worker, void *arg) {
  fib_job(worker, arg);
  return MP_OK;
}

static void run_body(world *w, mp_task_run *run, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  assert_ok(mp_submit(w->pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
}

static void test_fork_join_fib_at_any_number_of_workers(void **state) {
  (void)state;
  for (unsigned workers = 1; workers <= 4; workers++) {
    world w;
    fib f = {.n = 20};
    world_open(&w, workers);
    run_body(&w, fib_task, &f);
    assert_int_equal(f.value, 6765);
    world_close(&w);
  }
}

#define JOBS 3000 /* more than a deque holds */

typedef struct counted {
  mp_job job;
  _Atomic int runs;
} counted;

static void count_run(mp_worker *worker, mp_job *job) {
  (void)worker;
  mp_add_relaxed(&((counted *)job)->runs, 1);
}

static mp_status fork_many(mp_worker *worker, void *arg) {
  counted *jobs = arg;
  for (int i = 0; i < JOBS; i++) mp_fork(worker, &jobs[i].job, count_run);
  for (int i = JOBS - 1; i >= 0; i--) mp_join(worker, &jobs[i].job);
  return MP_OK;
}

static mp_status fork_many_join_oldest_first(mp_worker *worker, void *arg) {
  counted *jobs = arg;
  for (int i = 0; i < JOBS; i++) mp_fork(worker, &jobs[i].job, count_run);
  for (int i = 0; i < JOBS; i++) mp_join(worker, &jobs[i].job);
  return MP_OK;
}

static void fork_with(mp_task_run *run) {
  for (unsigned workers = 1; workers <= 3; workers++) {
    world w;
    static counted jobs[JOBS];
    memset(jobs, 0, sizeof jobs);
    world_open(&w, workers);
    run_body(&w, run, jobs);
    for (int i = 0; i < JOBS; i++) assert_int_equal(jobs[i].runs, 1);
    world_close(&w);
  }
}

static void test_fork_more_than_a_deque_holds_each_runs_once(void **state) {
  (void)state;
  fork_with(fork_many);
}

static void test_join_in_the_wrong_order_each_still_runs_once(void **state) {
  (void)state;
  fork_with(fork_many_join_oldest_first);
}

typedef struct mixed {
  counted job;
  probe probe;
} mixed;

static mp_status submit_between(mp_worker *worker, void *arg) {
  mixed *m = arg;
  mp_task_desc desc = probe_desc(&m->probe);
  mp_fork(worker, &m->job.job, count_run);
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, NULL);
  mp_join(worker, &m->job.job);
  return status;
}

static void test_join_finds_a_task_on_top_of_the_job(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  for (int i = 0; i < 100; i++) {
    mixed m = {.job = {.runs = 0}};
    run_body(&w, submit_between, &m);
    world_drain(&w);
    assert_int_equal(m.job.runs, 1);
    assert_int_equal(m.probe.ran, 1);
    assert_dropped_once(&m.probe, 1);
  }
  world_close(&w);
}

/*
** {======================================================
** mp_for
** =======================================================
*/

#define RANGE 50000

static _Atomic unsigned char covered[RANGE];
static _Atomic size_t smallest_piece;

static void cover(mp_worker *worker, size_t begin, size_t end, void *arg) {
  size_t smallest = mp_load_relaxed(&smallest_piece), piece = end - begin;
  size_t last = *(size_t *)arg;
  (void)worker;
  while (end != last && piece < smallest && !mp_cas_relaxed(&smallest_piece, &smallest, piece))
    continue;
  for (size_t i = begin; i < end; i++) mp_add_relaxed(&covered[i], 1);
}

static void cover_range(mp_pool *pool, size_t first, size_t last, size_t grain) {
  for (size_t i = 0; i < RANGE; i++) mp_store_relaxed(&covered[i], 0);
  mp_store_relaxed(&smallest_piece, SIZE_MAX);
  assert_ok(mp_for(pool, first, last, grain, cover, &last));
  for (size_t i = 0; i < RANGE; i++) assert_int_equal(covered[i], i >= first && i < last);
  assert_true(smallest_piece >= grain);
}

static void cover_shapes(mp_pool *pool) {
  const size_t grains[] = {0, 1, 7, 1000, RANGE, SIZE_MAX};
  for (size_t i = 0; i < LENGTH(grains); i++) {
    cover_range(pool, 0, RANGE, grains[i]);
    cover_range(pool, 17, 18, grains[i]);
    cover_range(pool, 3, 1003, grains[i]);
  }
  cover_range(pool, 0, 0, 0);
  cover_range(pool, 10, 5, 0);
}

static void test_for_from_outside_covers_each_index_once(void **state) {
  (void)state;
  for (unsigned workers = 1; workers <= 3; workers++) {
    world w;
    world_open(&w, workers);
    cover_shapes(w.pool);
    world_assert_settled(&w);
    world_close(&w);
  }
}

static void test_for_by_the_owner_at_work_covers_each_index_once(void **state) {
  world w;
  (void)state;
  mp_pool_config config = world_config(&w, 2);
  config.owner_works = 1;
  world_open_with(&w, config);
  cover_shapes(w.pool);
  world_close(&w);
}

typedef struct sum {
  mp_pool *pool;
  _Atomic uint64_t total;
} sum;

static void add_inner(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  for (size_t i = begin; i < end; i++) mp_add_relaxed(&((sum *)arg)->total, i);
}

static void add_outer(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  for (size_t i = begin; i < end; i++)
    if (mp_for(((sum *)arg)->pool, 0, 100, 3, add_inner, arg) != MP_OK)
      mp_add_relaxed(&((sum *)arg)->total, 1u << 30);
}

static mp_status sum_nested(mp_worker *worker, void *arg) {
  sum *s = arg;
  s->pool = mp_worker_pool(worker);
  return mp_for(s->pool, 0, 200, 1, add_outer, s);
}

static void test_for_nested_in_tasks_and_in_itself_adds_up(void **state) {
  (void)state;
  for (unsigned workers = 1; workers <= 4; workers++) {
    world w;
    sum s = {.total = 0};
    world_open(&w, workers);
    run_body(&w, sum_nested, &s);
    assert_int_equal(s.total, 200 * 4950);
    s.total = 0;
    s.pool = w.pool;
    assert_ok(mp_for(w.pool, 0, 200, 1, add_outer, &s));
    assert_int_equal(s.total, 200 * 4950);
    world_assert_settled(&w);
    world_close(&w);
  }
}

/*
** A long loop, and a task that is submitted by one of its first pieces. What comes after
** that has begun is left out.
*/
#define LONG 20000

typedef struct long_loop {
  mp_pool *pool;
  probe beside;       /* the task */
  int priority;       /* its */
  _Atomic size_t ran; /* indices before the task has begun */
} long_loop;

static void run_long(mp_worker *worker, size_t begin, size_t end, void *arg) {
  long_loop *l = arg;
  (void)worker;
  if (begin == 0) {
    mp_task_desc desc = probe_desc(&l->beside);
    desc.priority = l->priority;
    if (mp_submit(l->pool, &desc, NULL) != MP_OK) abort();
  }
  for (size_t i = begin; i < end; i++) {
    if (mp_load_relaxed(&l->beside.ran) > 0) return;
    mp_add_relaxed(&l->ran, 1);
    usleep(200);
  }
}

static mp_status run_long_loop(mp_worker *worker, void *arg) {
  long_loop *l = arg;
  return mp_for(mp_worker_pool(worker), 0, LONG, 1, run_long, l);
}

static void assert_runs_beside_a_loop(unsigned workers, bool in_task, int priority) {
  world w;
  world_open(&w, workers);
  long_loop l = {.pool = w.pool, .priority = priority};
  if (in_task)
    run_body(&w, run_long_loop, &l);
  else
    assert_ok(mp_for(w.pool, 0, LONG, 1, run_long, &l));
  assert_in_range(l.ran, 1, LONG - 1);
  world_drain(&w);
  world_close(&w);
}

static void test_a_task_of_any_priority_runs_beside_a_long_loop(void **state) {
  (void)state;
  for (int priority = 1; priority >= -1; priority--) {
    assert_runs_beside_a_loop(1, false, priority);
    assert_runs_beside_a_loop(2, false, priority);
    assert_runs_beside_a_loop(2, true, priority);
    assert_runs_beside_a_loop(4, true, priority);
  }
}

/* The same while another worker is inside one item until the task has run. */
typedef struct held_loop {
  long_loop loop; /* first: run_long gets it */
  tally entered, hold;
  _Atomic unsigned taken; /* pieces begun */
} held_loop;

static void run_held(mp_worker *worker, size_t begin, size_t end, void *arg) {
  held_loop *l = arg;
  if (mp_add_relaxed(&l->taken, 1) == 1) { /* the second: on another worker */
    tally_add(&l->entered);
    tally_await(&l->hold, 1);
  } else if (begin == 0) {
    tally_await(&l->entered, 1);
    run_long(worker, begin, end, arg);
  } else {
    run_long(worker, begin, end, arg);
  }
}

static void
test_a_task_of_high_priority_runs_beside_a_loop_of_which_one_item_takes_long(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  held_loop l = {
      .loop = {.pool = w.pool, .priority = 1}, .entered = TALLY_INIT, .hold = TALLY_INIT};
  l.loop.beside.entered = &l.hold; /* its beginning lets the item end */
  assert_ok(mp_for(w.pool, 0, LONG, 1, run_held, &l));
  assert_in_range(l.loop.ran, 1, LONG / 2);
  world_drain(&w);
  world_close(&w);
}

static void test_for_does_not_allocate(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  fault_arm(&w.memory, 1, true);
  cover_range(w.pool, 0, RANGE, 0);
  assert_int_equal(fault_disarm(&w.memory), 0);
  world_close(&w);
}

static void test_for_after_shutdown_is_refused_and_calls_nothing(void **state) {
  world w;
  sum s = {.total = 0};
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  assert_status(mp_for(w.pool, 0, 10, 0, add_inner, &s), MP_SHUTDOWN);
  assert_status(mp_for(w.pool, 0, 0, 0, add_inner, &s), MP_SHUTDOWN);
  assert_int_equal(s.total, 0);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fork_join_fib_at_any_number_of_workers),
      cmocka_unit_test(test_fork_more_than_a_deque_holds_each_runs_once),
      cmocka_unit_test(test_join_in_the_wrong_order_each_still_runs_once),
      cmocka_unit_test(test_join_finds_a_task_on_top_of_the_job),
      cmocka_unit_test(test_for_from_outside_covers_each_index_once),
      cmocka_unit_test(test_for_by_the_owner_at_work_covers_each_index_once),
      cmocka_unit_test(test_for_nested_in_tasks_and_in_itself_adds_up),
      cmocka_unit_test(test_a_task_of_any_priority_runs_beside_a_long_loop),
      cmocka_unit_test(
          test_a_task_of_high_priority_runs_beside_a_loop_of_which_one_item_takes_long),
      cmocka_unit_test(test_for_does_not_allocate),
      cmocka_unit_test(test_for_after_shutdown_is_refused_and_calls_nothing),
  };
  return unit_main(tests);
}
