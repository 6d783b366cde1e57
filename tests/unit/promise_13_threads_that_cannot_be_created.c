/*
** Promise 13: threads that cannot be created make a smaller pool or a clean error; nothing leaks.
** The n-th pthread_create fails here.
*/
#include "unit.h"

#include <errno.h>
#include <string.h>

static _Atomic unsigned created; /* threads asked for since `allow` */
static _Atomic unsigned allowed = ~0u;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *),
                          void *arg) {
  if (mp_add_relaxed(&created, 1) >= mp_load_relaxed(&allowed)) return EAGAIN;
  return __real_pthread_create(thread, attr, entry, arg);
}

static void allow(unsigned n) {
  mp_store_relaxed(&created, 0);
  mp_store_relaxed(&allowed, n);
}

static int allow_all(void **state) {
  (void)state;
  allow(~0u);
  return 0;
}

enum { WORKERS = 4, N = 200 };

static void test_threads_fewer_than_asked_for_make_a_smaller_pool_that_works(void **state) {
  (void)state;
  for (unsigned n = 1; n <= WORKERS; n++) {
    world w;
    static probe probes[N];
    memset(probes, 0, sizeof probes);
    allow(n);
    world_open(&w, WORKERS);
    /* one of several that are fewer than wanted is left for deadlines */
    assert_int_equal(world_info(&w).workers, n == 1 || n == WORKERS ? n : n - 1);
    mp_task_desc desc = probe_desc(probes);
    assert_ok(mp_submit_batch(w.pool, &desc, N, sizeof *probes, NULL));
    world_drain(&w);
    assert_dropped_once(probes, N);
    world_assert_settled(&w);
    world_close(&w);
  }
}

static void test_threads_none_is_nothread_and_leaks_nothing(void **state) {
  world w = {.memory = FAULT_ALLOC_INIT};
  mp_pool *none = NULL;
  (void)state;
  allow(0);
  for (int owner_works = 0; owner_works <= 1; owner_works++) {
    mp_pool_config config = world_config(&w, WORKERS);
    config.owner_works = owner_works;
    assert_status(mp_pool_create(&config, &none), MP_NOTHREAD);
    assert_null(none);
    assert_true(fault_is_clean(&w.memory));
  }
}

static void test_threads_no_timer_refuses_the_first_deadline_and_takes_the_next(void **state) {
  world w;
  probe refused = {0}, taken = {0};
  mp_task *task = NULL;
  (void)state;
  world_open(&w, 1);
  mp_task_desc desc = probe_desc(&refused);
  desc.timeout_ns = HANG_SECONDS * SECOND;
  desc.done = probe_done;
  allow(0);
  assert_status(mp_submit(w.pool, &desc, &task), MP_NOTHREAD);
  assert_null(task);
  assert_int_equal(refused.dropped, 0); /* arg is still the caller's */
  assert_int_equal(world_info(&w).submitted, 0);
  allow(~0u);
  desc.arg = &taken;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_int_equal(refused.ran + refused.told, 0);
  world_close(&w);
}

typedef struct nest {
  unsigned depth;
} nest;

static mp_status run_nest(mp_worker *worker, void *arg) {
  nest *n = arg, inner = {n->depth - 1};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  if (n->depth == 0) return MP_OK;
  desc.run = run_nest;
  desc.arg = &inner;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, &task);
  if (status != MP_OK) return status;
  status = mp_wait(task, MP_FOREVER);
  if (status == MP_OK) status = mp_task_status(task);
  mp_task_release(task);
  return status;
}

static void test_threads_no_replacement_waits_inside_tasks_still_end(void **state) {
  world w;
  enum { TREES = 20 };
  nest nests[TREES];
  mp_task *tasks[TREES];
  (void)state;
  world_open(&w, 2);
  allow(0);
  for (int i = 0; i < TREES; i++) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    nests[i].depth = (unsigned)i;
    desc.run = run_nest;
    desc.arg = &nests[i];
    assert_ok(mp_submit(w.pool, &desc, &tasks[i]));
  }
  for (int i = 0; i < TREES; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
  assert_int_equal(world_info(&w).workers_extra, 0);
  world_close(&w);
}

#define test(name) cmocka_unit_test_teardown(name, allow_all)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(test_threads_fewer_than_asked_for_make_a_smaller_pool_that_works),
      test(test_threads_none_is_nothread_and_leaks_nothing),
      test(test_threads_no_timer_refuses_the_first_deadline_and_takes_the_next),
      test(test_threads_no_replacement_waits_inside_tasks_still_end),
  };
  return unit_main(tests);
}
