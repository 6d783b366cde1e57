/*
** How much a pool takes at a time: refusals, waiting for room, callers that run what does not fit.
*/
#include "cgroup.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>

#include "admit.h"
#include "os.h"

static void open_limited(world *w, unsigned workers, mp_limits limits) {
  mp_pool_config config = world_config(w, workers);
  config.limits = limits;
  config.caller_runs = 1;
  world_open_with(w, config);
}

static mp_status try_submit(world *w, probe *p, unsigned flags, mp_task **task) {
  mp_task_desc desc = probe_desc(p);
  desc.flags = flags;
  return mp_submit(w->pool, &desc, task);
}

static void test_admission_never_exceeds_and_gives_back_all_or_nothing(void **state) {
  mp_admission a;
  bool counted;
  const mp_limits limits = {.tasks = 10, .queue = 5, .queue_bytes = 1000};
  (void)state;
  memset(&a, 0, sizeof a);
  assert_ok(mp_admit(&a, 1000, 1000000, &counted)); /* no limits: nothing is counted */
  assert_false(counted);
  assert_ok(mp_admission_set(&a, &limits));
  assert_ok(mp_admit(&a, 5, 999, &counted));
  assert_true(counted);
  assert_status(mp_admit(&a, 1, 1, &counted), MP_FULL); /* the queue */
  assert_int_equal(a.tasks, 5);
  assert_false(mp_admission_leave_queue(&a, 5, 999));
  assert_ok(mp_admit(&a, 5, 1000, &counted));
  assert_false(mp_admission_leave_queue(&a, 5, 0));
  assert_status(mp_admit(&a, 1, 1, &counted), MP_FULL); /* tasks, and bytes */
  assert_false(mp_admission_end(&a, 1));
  assert_status(mp_admit(&a, 1, 1, &counted), MP_FULL); /* bytes */
  assert_int_equal(a.tasks, 9);
  assert_int_equal(a.queue, 0);
  assert_false(mp_admission_has_room(&a, 1));
  assert_false(mp_admission_leave_queue(&a, 0, 1));
  assert_true(mp_admission_has_room(&a, 1));
  assert_int_equal(a.tasks_peak, 10);
  assert_int_equal(a.refused, 3);
  assert_status(mp_admit(&a, SIZE_MAX, 1, &counted), MP_FULL);
}

static void test_admission_memory_is_a_share_of_what_there_is(void **state) {
  mp_admission a;
  uint64_t available, total;
  bool counted;
  (void)state;
  memset(&a, 0, sizeof a);
  assert_status(mp_admission_set(&a, &(mp_limits){.memory_percent = 101}), MP_INVALID);
  assert_ok(mp_admission_set(&a, &(mp_limits){.memory_percent = 100}));
  assert_ok(mp_admit(&a, 1, 1, &counted));
  mp_usable_memory(&available, &total);
  if (total == 0) skip(); /* a system that does not say */
  /* the tests themselves need more */
  assert_ok(mp_admission_set(&a, &(mp_limits){.memory_percent = 1}));
  assert_status(mp_admit(&a, 1, 1, &counted), MP_MEMORY);
  assert_false(mp_admission_has_room(&a, 1));
  assert_ok(mp_admission_set(&a, &(mp_limits){0}));
  assert_true(mp_admission_has_room(&a, 1));
}

static void test_limit_of_tasks_refuses_until_one_has_ended(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe probes[3] = {{.hold = &hold}, {.hold = &hold}, {0}};
  mp_task *tasks[3];
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 2});
  assert_ok(try_submit(&w, &probes[0], 0, &tasks[0]));
  assert_ok(try_submit(&w, &probes[1], 0, &tasks[1]));
  assert_status(try_submit(&w, &probes[2], 0, &tasks[2]), MP_FULL);
  assert_int_equal(probes[2].dropped, 0); /* it is the caller's still */
  assert_status(mp_wait_room(w.pool, 0, NULL, MILLISECOND), MP_TIMEOUT);
  tally_add(&hold);
  assert_ok(mp_wait_room(w.pool, 0, NULL, MP_FOREVER));
  assert_ok(try_submit(&w, &probes[2], 0, &tasks[2]));
  for (int i = 0; i < 3; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_int_equal(world_info(&w).refused, 1);
  assert_int_equal(world_info(&w).tasks_peak, 2);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_limit_of_queue_counts_what_has_not_started_and_not_been_cancelled(void **state) {
  world w;
  blockade b;
  probe probes[4] = {{0}};
  mp_task *tasks[4];
  (void)state;
  open_limited(&w, 1, (mp_limits){.queue = 2});
  blockade_raise(&b, &w, 1);
  assert_ok(try_submit(&w, &probes[0], 0, &tasks[0]));
  assert_ok(try_submit(&w, &probes[1], 0, &tasks[1]));
  assert_int_equal(world_info(&w).queue, 2);
  assert_status(try_submit(&w, &probes[2], 0, &tasks[2]), MP_FULL);
  assert_int_equal(mp_cancel(tasks[0]), 1);
  assert_int_equal(world_info(&w).queue, 1);
  assert_ok(mp_wait_room(w.pool, 0, NULL, MP_FOREVER)); /* at once, though no worker is free */
  assert_ok(try_submit(&w, &probes[2], 0, &tasks[2]));
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(world_info(&w).queue, 0);
  for (int i = 0; i < 3; i++) mp_task_release(tasks[i]);
  world_close(&w);
}

static void test_limit_of_bytes_counts_what_arguments_hold(void **state) {
  world w;
  blockade b;
  (void)state;
  open_limited(&w, 1, (mp_limits){.queue_bytes = 100000});
  blockade_raise(&b, &w, 1);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_nothing;
  desc.held_bytes = 60000;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  assert_true(world_info(&w).queue_bytes >= 60000);
  assert_status(mp_submit(w.pool, &desc, NULL), MP_FULL);
  assert_status(mp_wait_room(w.pool, 60000, NULL, MILLISECOND), MP_TIMEOUT);
  assert_ok(mp_wait_room(w.pool, 30000, NULL, MILLISECOND)); /* a smaller one would fit */
  desc.held_bytes = 100000;
  assert_status(mp_submit(w.pool, &desc, NULL), MP_FULL);
  assert_status(mp_wait_room(w.pool, 100000, NULL, MP_FOREVER), MP_FULL); /* it never fits */
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(world_info(&w).queue_bytes, 0);
  world_close(&w);
}

static void test_limit_tasks_that_wait_for_dependencies_leave_when_they_end(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe parent = {.hold = &hold, .outcome = MP_FAILED}, child = {0}, other = {0};
  mp_task *first, *second, *third;
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 2});
  assert_ok(try_submit(&w, &parent, 0, &first));
  mp_task_desc desc = probe_desc(&child);
  desc.after = &first;
  desc.after_count = 1;
  assert_ok(mp_submit(w.pool, &desc, &second));
  assert_status(try_submit(&w, &other, 0, &third), MP_FULL);
  tally_add(&hold);
  assert_ends_and_release(second, MP_STATE_FAILED, MP_DEPENDENCY);
  mp_task_release(first);
  world_drain(&w);
  assert_int_equal(world_info(&w).queue, 0);
  assert_ok(try_submit(&w, &other, 0, &third));
  assert_ends_and_release(third, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static void test_limit_batch_is_admitted_whole_or_not(void **state) {
  world w;
  blockade b;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 10});
  blockade_raise(&b, &w, 1);
  desc.run = run_nothing;
  assert_status(mp_submit_batch(w.pool, &desc, 10, 0, NULL), MP_FULL); /* the blockade is one */
  assert_ok(mp_submit_batch(w.pool, &desc, 9, 0, NULL));
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(world_info(&w).tasks_peak, 10);
  assert_int_equal(world_info(&w).done, 10);
  world_close(&w);
}

static void test_limit_set_while_tasks_are_in_leaves_them_alone(void **state) {
  world w;
  blockade b;
  probe p = {0}, q = {0};
  mp_task *task, *other;
  (void)state;
  open_limited(&w, 1, (mp_limits){0});
  blockade_raise(&b, &w, 1);
  assert_ok(try_submit(&w, &p, 0, &task));
  assert_ok(mp_pool_set_limits(w.pool, &(mp_limits){.tasks = 1}));
  assert_ok(try_submit(&w, &q, 0, &other)); /* what was in before does not count */
  assert_status(try_submit(&w, &q, 0, NULL), MP_FULL);
  blockade_lift(&b);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(other, MP_STATE_DONE, MP_OK);
  assert_status(mp_pool_set_limits(w.pool, &(mp_limits){.memory_percent = 1000}), MP_INVALID);
  world_close(&w);
}

static void test_limit_caller_runs_what_does_not_fit_on_its_own_thread(void **state) {
  world w;
  blockade b;
  probe probes[2] = {{0}};
  mp_task *queued, *own;
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 2});
  blockade_raise(&b, &w, 1);
  assert_ok(try_submit(&w, &probes[0], MP_TASK_CALLER_RUNS, &queued));
  assert_int_equal(probes[0].ran, 0);
  assert_ok(try_submit(&w, &probes[1], MP_TASK_CALLER_RUNS, &own));
  assert_int_equal(mp_task_state(own), MP_STATE_DONE);
  assert_int_equal(probes[1].ran, 1);
  assert_int_equal(world_info(&w).tasks_peak, 2);
  blockade_lift(&b);
  assert_ends_and_release(queued, MP_STATE_DONE, MP_OK);
  mp_task_release(own);
  world_drain(&w);
  world_assert_settled(&w);
  world_close(&w);
}

/* A task that submits a child to its own full pool, and has to run it itself. */
static mp_status run_parent(mp_worker *worker, void *arg) {
  mp_task_desc desc = probe_desc(arg);
  mp_task *child;
  if (mp_submit(mp_worker_pool(worker), &desc, &child) != MP_FULL) return MP_FAILED;
  desc.flags = MP_TASK_CALLER_RUNS;
  if (mp_submit(mp_worker_pool(worker), &desc, &child) != MP_OK) return MP_FAILED;
  mp_status status = mp_task_state(child) == MP_STATE_DONE ? MP_OK : MP_FAILED;
  mp_task_release(child);
  return status;
}

static void test_limit_worker_runs_its_child_itself(void **state) {
  world w;
  probe child = {0};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 1});
  desc.run = run_parent;
  desc.arg = &child;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_dropped_once(&child, 1);
  world_close(&w);
}

/* Its dependency is the caller itself: run by the caller it would wait for ever. */
static mp_status submit_what_follows_me(mp_worker *worker, void *arg) {
  mp_task *me = mp_worker_task(worker);
  mp_task_desc desc = probe_desc(arg);
  desc.flags = MP_TASK_CALLER_RUNS;
  desc.after = &me;
  desc.after_count = 1;
  return mp_submit(mp_worker_pool(worker), &desc, NULL);
}

static void test_limit_caller_does_not_run_what_depends_on_it(void **state) {
  world w;
  probe p = {0};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 1});
  desc.run = submit_what_follows_me;
  desc.arg = &p;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_FAILED, MP_FULL);
  assert_int_equal(mp_load_relaxed(&p.ran), 0);
  world_close(&w);
}

static void test_limit_has_room_as_soon_as_the_end_is_seen(void **state) {
  world w;
  (void)state;
  open_limited(&w, 2, (mp_limits){.tasks = 1});
  for (int i = 0; i < 5000; i++) {
    probe p = {0};
    mp_task *task;
    assert_ok(try_submit(&w, &p, 0, &task));
    while (!mp_state_is_terminal(mp_task_state(task))) continue;
    mp_task_release(task);
  }
  world_close(&w);
}

static void *shut_down(void *pool) {
  usleep(2000);
  assert_ok(mp_pool_shutdown(pool, 0, MP_SHUTDOWN_CANCEL_ALL, NULL));
  return NULL;
}

static void test_wait_for_room_ends_when_the_pool_shuts_down(void **state) {
  world w;
  probe p = {.until_cancelled = true, .outcome = MP_CANCELLED};
  pthread_t thread;
  mp_task *task;
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 1});
  assert_ok(try_submit(&w, &p, 0, &task));
  assert_int_equal(pthread_create(&thread, NULL, shut_down, w.pool), 0);
  assert_ok(mp_wait_room(w.pool, 0, NULL, MP_FOREVER));
  pthread_join(thread, NULL);
  mp_task_release(task);
  world_close(&w);
}

/* Two threads that submit as fast as they can: the peak stays at the limit. */
typedef struct submitter {
  mp_pool *pool;
  pthread_t thread;
  unsigned left;
} submitter;

static void *submit_many(void *arg) {
  submitter *me = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_nothing;
  while (me->left > 0) {
    mp_status status = mp_submit(me->pool, &desc, NULL);
    if (status == MP_OK)
      me->left--;
    else
      (void)!mp_wait_room(me->pool, 0, NULL, MP_FOREVER);
  }
  return NULL;
}

typedef struct contender {
  mp_admission *admission;
  size_t max;
  unsigned times;
  bool exceeded;
  pthread_t thread;
} contender;

static void *contend(void *arg) {
  contender *c = arg;
  for (unsigned i = 0; i < c->times; i++) {
    bool counted;
    if (mp_admit(c->admission, 1, 1, &counted) != MP_OK) continue;
    if (mp_load_relaxed(&c->admission->tasks) > c->max) c->exceeded = true;
    mp_admission_leave_queue(c->admission, 1, 1);
    mp_admission_end(c->admission, 1);
  }
  return NULL;
}

static void test_admission_beside_others_never_exceeds(void **state) {
  mp_admission a;
  enum { THREADS = 3, MAX = 2 };
  contender contenders[THREADS];
  const mp_limits limits = {.tasks = MAX};
  (void)state;
  memset(&a, 0, sizeof a);
  assert_ok(mp_admission_set(&a, &limits));
  for (int i = 0; i < THREADS; i++) {
    contenders[i] = (contender){.admission = &a, .max = MAX, .times = 300000};
    assert_int_equal(pthread_create(&contenders[i].thread, NULL, contend, &contenders[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(contenders[i].thread, NULL);
    assert_false(contenders[i].exceeded);
  }
  assert_int_equal(a.tasks + a.queue + a.queue_bytes, 0);
  assert_true(a.tasks_peak <= MAX);
}

static void test_limit_submission_that_fails_leaves_its_room(void **state) {
  world w;
  char large[1000] = {0};
  probe p = {0};
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 2, .queue = 2, .queue_bytes = 10000});
  mp_task_desc desc = probe_desc(&p);
  desc.run = run_nothing;
  desc.drop = NULL;
  desc.arg = large;
  desc.arg_size = sizeof large;
  for (int i = 0; i < 5; i++) {
    fault_arm(&w.memory, 1, true);
    assert_status(mp_submit(w.pool, &desc, NULL), MP_NOMEM);
    assert_status(mp_submit_batch(w.pool, &desc, 2, 0, NULL), MP_NOMEM);
    fault_disarm(&w.memory);
  }
  assert_int_equal(world_info(&w).queue + world_info(&w).queue_bytes, 0);
  for (int i = 0; i < 5; i++) {
    assert_ok(mp_submit_batch(w.pool, &desc, 2, 0, NULL));
    world_drain(&w);
  }
  world_close(&w);
}

static void test_limit_peak_is_never_above_it(void **state) {
  world w;
  submitter submitters[2];
  enum { N = 100000, MAX = 7 };
  (void)state;
  open_limited(&w, 2, (mp_limits){.tasks = MAX});
  for (size_t i = 0; i < LENGTH(submitters); i++) {
    submitters[i] = (submitter){.pool = w.pool, .left = N};
    assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_many, &submitters[i]), 0);
  }
  for (size_t i = 0; i < LENGTH(submitters); i++) pthread_join(submitters[i].thread, NULL);
  world_drain(&w);
  mp_pool_info info = world_info(&w);
  assert_int_equal(info.done, LENGTH(submitters) * N);
  assert_true(info.tasks_peak <= MAX);
  world_close(&w);
}

/*
** A task with a `done` counts until that was called: news that nobody fetches are no endless
** memory.
*/
static void test_limit_of_tasks_counts_news_that_are_not_fetched(void **state) {
  world w;
  probe probes[3] = {{0}};
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 2});
  for (int i = 0; i < 2; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.done = probe_done;
    assert_ok(mp_submit(w.pool, &desc, NULL));
  }
  world_drain(&w);
  assert_status(try_submit(&w, &probes[2], 0, NULL), MP_FULL);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 1), 1);
  assert_ok(mp_wait_room(w.pool, 0, NULL, MP_FOREVER));
  assert_ok(try_submit(&w, &probes[2], 0, NULL));
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 1);
  world_drain(&w);
  world_close(&w);
}

/* What a task says it holds may be more than can be counted. */
static void test_limit_held_bytes_near_the_greatest_number_do_not_wrap(void **state) {
  world w;
  probe p = {0};
  (void)state;
  open_limited(&w, 1, (mp_limits){.tasks = 10, .queue_bytes = 4096});
  mp_task_desc desc = probe_desc(&p);
  desc.held_bytes = SIZE_MAX;
  assert_status(mp_submit(w.pool, &desc, NULL), MP_FULL);
  desc.held_bytes = SIZE_MAX - 127;
  assert_status(mp_submit(w.pool, &desc, NULL), MP_FULL);
  assert_status(mp_submit_batch(w.pool, &desc, 2, 0, NULL), MP_NOMEM);
  assert_ok(try_submit(&w, &p, 0, NULL));
  world_drain(&w);
  world_close(&w);
}

/* Cancelled while what they depend on runs: they hold no room until that ends. */
static void test_limit_of_queue_cancelled_dependents_leave_at_once(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe parent = {.entered = &entered, .hold = &hold}, children[2] = {{0}}, next = {0};
  mp_task *tasks[2], *last;
  (void)state;
  open_limited(&w, 1, (mp_limits){.queue = 2, .queue_bytes = 100000});
  mp_task *root = probe_submit(&w, &parent);
  tally_await(&entered, 1);
  for (int i = 0; i < 2; i++) tasks[i] = probe_submit_after(&w, &children[i], &root, 1);
  assert_status(try_submit(&w, &next, 0, NULL), MP_FULL);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(mp_cancel(tasks[i]), 1);
    assert_int_equal(world_info(&w).queue, 1 - i);
    assert_ok(mp_wait_room(w.pool, 0, NULL, MP_FOREVER));
    mp_task_release(tasks[i]);
  }
  assert_ok(try_submit(&w, &next, 0, &last));
  assert_int_equal(world_info(&w).queue, 1);
  tally_add(&hold);
  assert_ends_and_release(root, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(last, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_int_equal(world_info(&w).queue, 0);
  assert_dropped_once(children, 2);
  world_assert_settled(&w);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_admission_never_exceeds_and_gives_back_all_or_nothing),
      cmocka_unit_test(test_admission_memory_is_a_share_of_what_there_is),
      cmocka_unit_test(test_limit_of_tasks_refuses_until_one_has_ended),
      cmocka_unit_test(test_limit_of_queue_counts_what_has_not_started_and_not_been_cancelled),
      cmocka_unit_test(test_limit_of_bytes_counts_what_arguments_hold),
      cmocka_unit_test(test_limit_tasks_that_wait_for_dependencies_leave_when_they_end),
      cmocka_unit_test(test_limit_batch_is_admitted_whole_or_not),
      cmocka_unit_test(test_limit_set_while_tasks_are_in_leaves_them_alone),
      cmocka_unit_test(test_limit_caller_runs_what_does_not_fit_on_its_own_thread),
      cmocka_unit_test(test_limit_worker_runs_its_child_itself),
      cmocka_unit_test(test_wait_for_room_ends_when_the_pool_shuts_down),
      cmocka_unit_test(test_limit_peak_is_never_above_it),
      cmocka_unit_test(test_limit_caller_does_not_run_what_depends_on_it),
      cmocka_unit_test(test_limit_has_room_as_soon_as_the_end_is_seen),
      cmocka_unit_test(test_admission_beside_others_never_exceeds),
      cmocka_unit_test(test_limit_submission_that_fails_leaves_its_room),
      cmocka_unit_test(test_limit_of_tasks_counts_news_that_are_not_fetched),
      cmocka_unit_test(test_limit_held_bytes_near_the_greatest_number_do_not_wrap),
      cmocka_unit_test(test_limit_of_queue_cancelled_dependents_leave_at_once),
  };
  return unit_main(tests);
}
