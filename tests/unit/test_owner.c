/*
** The owner at work: it runs tasks while it waits, does not overflow its stack, and tells whoever
** drains.
*/
#include "unit.h"

#include <stdlib.h>

static void open_owner(world *w, unsigned workers) {
  mp_pool_config config = world_config(w, workers);
  config.owner_works = 1;
  world_open_with(w, config);
}

typedef struct where {
  pthread_t thread;
  unsigned index;
} where;

static mp_status note_where(mp_worker *worker, void *arg) {
  *(where *)arg = (where){pthread_self(), mp_worker_index(worker)};
  return MP_OK;
}

static void test_owner_waits_and_runs_what_is_queued(void **state) {
  world w;
  blockade b;
  where at[10];
  mp_task *tasks[10];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  open_owner(&w, 1);
  blockade_raise(&b, &w, 1); /* nobody else can */
  desc.run = note_where;
  desc.arg = at;
  assert_ok(mp_submit_batch(w.pool, &desc, LENGTH(at), sizeof *at, tasks));
  for (size_t i = 0; i < LENGTH(at); i++) {
    assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    assert_true(pthread_equal(at[i].thread, pthread_self()));
  }
  blockade_lift(&b);
  world_close(&w);
}

static mp_status lift(mp_worker *worker, void *arg) {
  (void)worker;
  blockade_lift(arg);
  return MP_OK;
}

static void test_owner_drains_and_runs_what_is_queued(void **state) {
  world w;
  blockade b;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  open_owner(&w, 1);
  blockade_raise(&b, &w, 1);
  desc.run = lift; /* only the owner can */
  desc.arg = &b;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  assert_ok(mp_pool_drain(w.pool, MP_FOREVER));
  world_close(&w);
}

static void test_owner_with_a_limit_does_not_help(void **state) {
  world w;
  blockade b;
  probe p = {0};
  (void)state;
  open_owner(&w, 1);
  blockade_raise(&b, &w, 1);
  mp_task *task = probe_submit(&w, &p);
  assert_status(mp_wait(task, MILLISECOND), MP_TIMEOUT);
  assert_int_equal(p.ran, 0);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  blockade_lift(&b);
  world_close(&w);
}

/* Long work in the background, in which the owner takes part while it waits for something else. */
#define LONG 20000

typedef struct background {
  mp_pool *pool;
  pthread_t owner, thread; /* thread: that runs the loop, if one does */
  tally entered, hold; /* of the awaited task; the first step that the owner takes lets it end */
  _Atomic bool begun;  /* the owner has taken a step */
  _Atomic bool over;   /* its wait is */
  _Atomic size_t ran;  /* steps before that */
} background;

static void run_steps(mp_worker *worker, size_t begin, size_t end, void *arg) {
  background *b = arg;
  (void)worker;
  if (pthread_equal(pthread_self(), b->owner) && !mp_load_relaxed(&b->begun)) {
    mp_store_relaxed(&b->begun, true);
    tally_add(&b->hold);
  }
  for (size_t i = begin; i < end && !mp_load_relaxed(&b->over); i++) {
    mp_add_relaxed(&b->ran, 1);
    usleep(200);
  }
}

static mp_status run_loop(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, LONG, 1, run_steps, arg);
}

/* Now and then it waits itself. */
static void run_node(mp_worker *worker, void *arg) { (void)worker, (void)arg; }

static mp_status run_link(mp_worker *worker, void *arg) {
  mp_graph *graph;
  uint32_t node;
  run_steps(worker, 0, 1, arg);
  if (mp_load_relaxed(&((background *)arg)->over)) return MP_OK;
  if (mp_graph_create(mp_worker_pool(worker), &graph) != MP_OK ||
      mp_graph_add(graph, NULL, run_node, NULL, &node) != MP_OK || mp_graph_run(graph) != MP_OK)
    abort();
  mp_graph_destroy(graph);
  return MP_OK;
}

/* The caller of the loop is no worker: the owner may be the first in it. */
static void *loop_main(void *arg) {
  background *b = arg;
  if (mp_for(b->pool, 0, LONG, 1, run_steps, b) != MP_OK) abort();
  return NULL;
}

static void begin_loop_outside(world *w, background *b) {
  b->pool = w->pool;
  if (pthread_create(&b->thread, NULL, loop_main, b) != 0) abort();
}

/* Whoever runs the task stays in its loop to the end: not the owner. */
static void submit_loop(world *w, background *b) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_loop;
  desc.arg = b;
  assert_ok(mp_submit(w->pool, &desc, NULL));
  while (mp_load_relaxed(&b->ran) == 0) usleep(100);
}

/* For one thread: where two run it, some links are no continuation. */
static void submit_chain(world *w, background *b) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *before = NULL, *task;
  desc.run = run_link;
  desc.arg = b;
  for (int i = 0; i < LONG; i++) {
    desc.after = &before;
    desc.after_count = before != NULL;
    assert_ok(mp_submit(w->pool, &desc, &task));
    mp_task_release(before);
    before = task;
  }
  mp_task_release(before);
}

/* `others`: workers beside the one that runs what is awaited. */
static void assert_owner_comes_back(unsigned others, void (*submit)(world *w, background *b)) {
  world w;
  background b = {.owner = pthread_self(), .entered = TALLY_INIT, .hold = TALLY_INIT};
  probe awaited = {.entered = &b.entered, .hold = &b.hold};
  open_owner(&w, 1 + others);
  mp_task *task = probe_submit(&w, &awaited);
  tally_await(&b.entered, 1);
  submit(&w, &b);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_in_range(mp_load_relaxed(&b.ran), 1, LONG - 1);
  assert_true(b.begun);
  mp_store_relaxed(&b.over, true);
  if (b.pool != NULL) pthread_join(b.thread, NULL);
  world_drain(&w);
  world_close(&w);
}

static void test_owner_leaves_long_work_when_its_wait_is_over(void **state) {
  (void)state;
  assert_owner_comes_back(1, submit_loop);
  assert_owner_comes_back(0, submit_chain);
  assert_owner_comes_back(0, begin_loop_outside);
}

static mp_status note_where_and_end(mp_worker *worker, void *arg) {
  (void)note_where(worker, arg);
  return MP_OK;
}

static void test_owner_runs_no_continuation_of_lower_priority_than_what_it_waits_for(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe awaited = {.entered = &entered, .hold = &hold}, first = {.entered = &hold};
  where at;
  mp_task_desc desc = probe_desc(&awaited);
  mp_task *task, *before;
  (void)state;
  open_owner(&w, 1);
  desc.priority = 5;
  assert_ok(mp_submit(w.pool, &desc, &task));
  tally_await(&entered, 1);
  desc = probe_desc(&first);
  desc.priority = 5;
  assert_ok(mp_submit(w.pool, &desc, &before)); /* only the owner can run it */
  desc = (mp_task_desc)MP_TASK_DESC_INIT;
  desc.run = note_where_and_end;
  desc.arg = &at;
  desc.after = &before;
  desc.after_count = 1;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  mp_task_release(before);
  while (world_info(&w).finished < 3) usleep(100); /* the worker finds it */
  assert_false(pthread_equal(at.thread, pthread_self()));
  world_close(&w);
}

static void *drainer_main(void *arg) {
  world *w = arg;
  return (void *)(uintptr_t)mp_pool_drain(w->pool, MP_FOREVER);
}

static mp_status lift_and_wait_for_drainer(mp_worker *worker, void *arg) {
  (void)worker;
  tally_await(arg, 1);
  /* the drainer and the workers should sleep by now; if not, the test only proves less */
  usleep(2000);
  return MP_OK;
}

static void test_owner_ends_the_last_task_the_drainer_hears_of_it(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    world w;
    blockade b;
    tally go = TALLY_INIT;
    pthread_t thread;
    void *status;
    mp_task *task;
    mp_task_desc desc = MP_TASK_DESC_INIT;
    open_owner(&w, 1);
    blockade_raise(&b, &w, 1);
    desc.run = lift_and_wait_for_drainer;
    desc.arg = &go;
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_int_equal(pthread_create(&thread, NULL, drainer_main, &w), 0);
    blockade_lift(&b);
    tally_add(&go);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    pthread_join(thread, &status);
    assert_ok((mp_status)(uintptr_t)status);
    world_close(&w);
  }
}

/*
** Many tasks wait for one that ends when all have begun or the stack is used up: an owner that kept
** on helping would run each on top of the one before.
*/
#define WAITING 20000

typedef struct crowd {
  tally hold;
  mp_task *gate;
  _Atomic int begun;
} crowd;

static mp_status wait_for_gate(mp_worker *worker, void *arg) {
  crowd *c = arg;
  (void)worker;
  mp_add_relaxed(&c->begun, 1);
  return mp_wait(c->gate, MP_FOREVER);
}

static mp_status open_gate_later(mp_worker *worker, void *arg) {
  crowd *c = arg;
  /* as long as tasks begin, the owner digs deeper */
  for (int last = -1, now = 0; now != last && now < WAITING; now = mp_load_relaxed(&c->begun)) {
    last = now;
    if (mp_worker_sleep(worker, 50 * MILLISECOND) != MP_OK) return MP_CANCELLED;
  }
  return MP_OK;
}

static void test_owner_helps_only_while_its_stack_allows(void **state) {
  world w;
  crowd c = {.hold = TALLY_INIT};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task **tasks = calloc(WAITING, sizeof *tasks);
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.owner_works = 1;
  config.workers_extra = 4;
  world_open_with(&w, config);
  desc.arg = &c;
  desc.run = open_gate_later;
  assert_ok(mp_submit(w.pool, &desc, &c.gate));
  /* on the worker, not on the owner */
  while (mp_task_state(c.gate) != MP_STATE_RUNNING) usleep(100);
  desc.run = wait_for_gate;
  assert_ok(mp_submit_batch(w.pool, &desc, WAITING, 0, tasks));
  for (int i = 0; i < WAITING; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
  mp_task_release(c.gate);
  free(tasks);
  world_close(&w);
}

/* The only worker goes on when what it has queued has run: by the owner, which sleeps by then. */
static mp_status await_what_the_owner_runs(mp_worker *worker, void *arg) {
  tally *ran = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  usleep(20000); /* if the owner does not sleep yet, the test only proves less */
  desc.run = probe_run;
  desc.arg = &(probe){.entered = ran};
  mp_task *task;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, &task);
  if (status != MP_OK) return status;
  tally_await(ran, 1);
  status = mp_wait(task, MP_FOREVER); /* the probe is on this stack */
  mp_task_release(task);
  return status;
}

static void test_owner_drains_and_runs_what_comes_later(void **state) {
  world w;
  tally ran = TALLY_INIT;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  open_owner(&w, 1);
  desc.run = await_what_the_owner_runs;
  desc.arg = &ran;
  assert_ok(mp_submit(w.pool, &desc, &task));
  while (mp_task_state(task) != MP_STATE_RUNNING) usleep(100); /* on the worker */
  world_drain(&w);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_owner_waits_and_runs_what_is_queued),
      cmocka_unit_test(test_owner_drains_and_runs_what_is_queued),
      cmocka_unit_test(test_owner_with_a_limit_does_not_help),
      cmocka_unit_test(test_owner_leaves_long_work_when_its_wait_is_over),
      cmocka_unit_test(test_owner_runs_no_continuation_of_lower_priority_than_what_it_waits_for),
      cmocka_unit_test(test_owner_ends_the_last_task_the_drainer_hears_of_it),
      cmocka_unit_test(test_owner_helps_only_while_its_stack_allows),
      cmocka_unit_test(test_owner_drains_and_runs_what_comes_later),
  };
  return unit_main(tests);
}
