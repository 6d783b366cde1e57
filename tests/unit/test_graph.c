/* The reusable graph: order, repetition, cycles by name, changes between runs, size. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 100000

/* Each node notes the how-manieth it was. */
typedef struct trace {
  _Atomic uint32_t next;
  uint32_t at[NODES_MAX];
} trace;

typedef struct step {
  trace *trace;
  uint32_t index;
} step;

static trace traced;
static step steps[NODES_MAX];

static void run_step(mp_worker *worker, void *arg) {
  step *s = arg;
  (void)worker;
  s->trace->at[s->index] += mp_add_relaxed(&s->trace->next, 1) + 1;
}

static void reset_trace(void) {
  memset(&traced, 0, sizeof traced);
  for (uint32_t i = 0; i < NODES_MAX; i++) steps[i] = (step){&traced, i};
}

static mp_graph *graph_of(world *w, uint32_t n) {
  mp_graph *graph;
  reset_trace();
  assert_ok(mp_graph_create(w->pool, &graph));
  for (uint32_t i = 0, node; i < n; i++) {
    assert_ok(mp_graph_add(graph, NULL, run_step, &steps[i], &node));
    assert_int_equal(node, i);
  }
  return graph;
}

static void edge(mp_graph *graph, uint32_t before, uint32_t after) {
  assert_ok(mp_graph_edge(graph, before, after));
}

static void run_again(mp_graph *graph) {
  memset(&traced, 0, sizeof traced);
  assert_ok(mp_graph_run(graph));
}

static void test_graph_run_empty_is_ok(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, 0);
  assert_ok(mp_graph_run(graph));
  mp_graph_destroy(graph);
  mp_graph_destroy(NULL);
  world_close(&w);
}

static void test_graph_run_diamond_in_order_as_often_as_asked(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  mp_graph *graph = graph_of(&w, 4);
  edge(graph, 0, 1);
  edge(graph, 0, 2);
  edge(graph, 1, 3);
  edge(graph, 2, 3);
  for (int i = 0; i < 2000; i++) {
    run_again(graph);
    assert_int_equal(traced.at[0], 1);
    assert_int_equal(traced.at[3], 4);
    assert_int_equal(traced.at[1] + traced.at[2], 5);
  }
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_run_does_not_allocate_after_the_first(void **state) {
  world w;
  (void)state;
  mp_pool_config config = world_config(&w, 2);
  config.workers_extra = 0; /* a worker that waits could need another in its place */
  world_open_with(&w, config);
  mp_graph *graph = graph_of(&w, 50);
  for (uint32_t i = 1; i < 50; i++) edge(graph, (i - 1) / 2, i);
  run_again(graph);
  fault_arm(&w.memory, 1, true);
  for (int i = 0; i < 10; i++) run_again(graph);
  assert_int_equal(fault_disarm(&w.memory), 0);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_edge_twice_counts_once(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, 2);
  for (int i = 0; i < 100; i++) edge(graph, 1, 0);
  run_again(graph);
  assert_int_equal(traced.at[1], 1);
  assert_int_equal(traced.at[0], 2);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_edge_and_add_misuse_is_invalid(void **state) {
  world w;
  uint32_t node = 77;
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, 2);
  assert_status(mp_graph_edge(graph, 0, 2), MP_INVALID);
  assert_status(mp_graph_edge(graph, 2, 0), MP_INVALID);
  assert_status(mp_graph_edge(graph, UINT32_MAX, UINT32_MAX), MP_INVALID);
  assert_status(mp_graph_add(graph, "x", NULL, NULL, &node), MP_INVALID);
  assert_int_equal(node, 77);
  mp_graph_destroy(graph);
  world_close(&w);
}

static mp_graph *named_graph(world *w, const char *const *names, uint32_t n) {
  mp_graph *graph;
  reset_trace();
  assert_ok(mp_graph_create(w->pool, &graph));
  for (uint32_t i = 0, node; i < n; i++)
    assert_ok(mp_graph_add(graph, names[i], run_step, &steps[i], &node));
  return graph;
}

static void test_graph_run_cycle_is_named_and_nothing_runs(void **state) {
  world w;
  const char *const names[] = {"root", "a", "b", "leaf"};
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = named_graph(&w, names, 4);
  edge(graph, 0, 1);
  edge(graph, 1, 2);
  edge(graph, 2, 1);
  edge(graph, 2, 3);
  assert_string_equal(mp_graph_cycle(graph), "");
  for (int i = 0; i < 2; i++) {
    assert_status(mp_graph_run(graph), MP_CYCLE);
    const char *cycle = mp_graph_cycle(graph);
    assert_true(strcmp(cycle, "a -> b -> a") == 0 || strcmp(cycle, "b -> a -> b") == 0);
  }
  assert_int_equal(traced.next, 0);
  assert_int_equal(world_info(&w).submitted, 0);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_run_self_edge_is_a_cycle_of_one(void **state) {
  world w;
  const char *const names[] = {"self", NULL};
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = named_graph(&w, names, 2);
  edge(graph, 1, 1);
  assert_status(mp_graph_run(graph), MP_CYCLE);
  assert_string_equal(mp_graph_cycle(graph), "#1 -> #1");
  edge(graph, 0, 0);
  assert_string_equal(mp_graph_cycle(graph), ""); /* it changed */
  assert_status(mp_graph_run(graph), MP_CYCLE);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_cycle_far_from_the_nodes_it_holds_up_is_found(void **state) {
  world w;
  enum { TAIL = 2000 };
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, TAIL + 2);
  /* node 0 is the far end of what the cycle holds up */
  for (uint32_t i = 0; i < TAIL; i++) edge(graph, i + 1, i);
  edge(graph, TAIL, TAIL + 1);
  edge(graph, TAIL + 1, TAIL);
  assert_status(mp_graph_run(graph), MP_CYCLE);
  const char *cycle = mp_graph_cycle(graph);
  assert_true(strcmp(cycle, "#2000 -> #2001 -> #2000") == 0 ||
              strcmp(cycle, "#2001 -> #2000 -> #2001") == 0);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_cycle_long_is_written_with_its_middle_left_out(void **state) {
  world w;
  enum { N = 5000 };
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, N);
  for (uint32_t i = 0; i < N; i++) edge(graph, i, (i + 1) % N);
  assert_status(mp_graph_run(graph), MP_CYCLE);
  const char *cycle = mp_graph_cycle(graph), *first_end = strstr(cycle, " -> "), *last = cycle;
  for (const char *at = cycle; (at = strstr(at, " -> ")) != NULL;) last = at += 4;
  assert_non_null(first_end);
  assert_int_equal(strlen(last), first_end - cycle);
  assert_memory_equal(last, cycle, strlen(last)); /* it closes where it began */
  assert_non_null(strstr(cycle, "..."));
  assert_true(strlen(cycle) < 4096);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_graph_change_between_runs_is_taken_up(void **state) {
  world w;
  uint32_t node;
  (void)state;
  world_open(&w, 2);
  mp_graph *graph = graph_of(&w, 2);
  run_again(graph);
  edge(graph, 1, 0);
  run_again(graph);
  assert_int_equal(traced.at[1], 1);
  assert_ok(mp_graph_add(graph, "third", run_step, &steps[2], &node));
  edge(graph, node, 1);
  run_again(graph);
  assert_int_equal(traced.at[2], 1);
  assert_int_equal(traced.at[0], 3);
  edge(graph, 0, 2);
  assert_status(mp_graph_run(graph), MP_CYCLE);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void run_shape(uint32_t n, void (*add_edges)(mp_graph *graph, uint32_t n),
                      void (*check)(uint32_t n)) {
  world w;
  world_open(&w, 2);
  mp_graph *graph = graph_of(&w, n);
  add_edges(graph, n);
  for (int i = 0; i < 2; i++) {
    run_again(graph);
    check(n);
  }
  mp_graph_destroy(graph);
  world_close(&w);
}

static void chain(mp_graph *graph, uint32_t n) {
  for (uint32_t i = 1; i < n; i++) edge(graph, i, i - 1);
}
static void check_chain(uint32_t n) {
  for (uint32_t i = 0; i < n; i++) assert_int_equal(traced.at[i], n - i);
}

static void fan(mp_graph *graph, uint32_t n) {
  for (uint32_t i = 1; i + 1 < n; i++) {
    edge(graph, 0, i);
    edge(graph, i, n - 1);
  }
}
static void check_fan(uint32_t n) {
  assert_int_equal(traced.at[0], 1);
  assert_int_equal(traced.at[n - 1], n);
}

/* Each node after up to three earlier ones. */
static uint32_t earlier(uint32_t i, uint32_t k) {
  return (uint32_t)((i * 2654435761u + k * 40503u) % i);
}

static void random_edges(mp_graph *graph, uint32_t n) {
  for (uint32_t i = 1; i < n; i++)
    for (uint32_t k = 0; k < i % 4; k++) edge(graph, earlier(i, k), i);
}
static void check_random(uint32_t n) {
  for (uint32_t i = 1; i < n; i++)
    for (uint32_t k = 0; k < i % 4; k++) assert_true(traced.at[earlier(i, k)] < traced.at[i]);
}

static void test_graph_run_100000_nodes_chain_fan_and_random(void **state) {
  (void)state;
  run_shape(NODES_MAX, chain, check_chain);
  run_shape(NODES_MAX, fan, check_fan);
  run_shape(NODES_MAX, random_edges, check_random);
}

/* A node that asks its own graph for what it may not do now. */
static mp_graph *asked;
static mp_status answers[3];

static void ask_own_graph(mp_worker *worker, void *arg) {
  uint32_t node;
  (void)worker, (void)arg;
  answers[0] = mp_graph_run(asked);
  answers[1] = mp_graph_add(asked, NULL, ask_own_graph, NULL, &node);
  answers[2] = mp_graph_edge(asked, 0, 0);
}

static void test_graph_change_or_run_while_running_is_busy(void **state) {
  world w;
  uint32_t node;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_graph_create(w.pool, &asked));
  assert_ok(mp_graph_add(asked, NULL, ask_own_graph, NULL, &node));
  assert_ok(mp_graph_run(asked));
  for (int i = 0; i < 3; i++) assert_status(answers[i], MP_BUSY);
  mp_graph_destroy(asked);
  world_close(&w);
}

static mp_status run_graph(mp_worker *worker, void *arg) { return (void)worker, mp_graph_run(arg); }

static void test_graph_run_inside_a_task_works(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, 100);
  random_edges(graph, 100);
  desc.run = run_graph;
  desc.arg = graph;
  for (int i = 0; i < 50; i++) {
    mp_task *task;
    memset(&traced, 0, sizeof traced);
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    check_random(100);
  }
  mp_graph_destroy(graph);
  world_close(&w);
}

#define LONG 5000

/* The first node submits a task of high priority; those after its beginning take no time. */
typedef struct beside {
  mp_pool *pool;
  probe probe;
  _Atomic unsigned before; /* nodes that ran before it */
} beside;

static void run_beside(mp_worker *worker, void *arg) {
  beside *b = arg;
  (void)worker;
  if (mp_load_relaxed(&b->probe.ran) > 0) return;
  if (mp_add_relaxed(&b->before, 1) == 0) {
    mp_task_desc desc = probe_desc(&b->probe);
    desc.priority = 1;
    if (mp_submit(b->pool, &desc, NULL) != MP_OK) abort();
  }
  usleep(200);
}

static void assert_runs_beside(bool chain) {
  world w;
  mp_graph *graph;
  world_open(&w, 1);
  beside b = {.pool = w.pool};
  assert_ok(mp_graph_create(w.pool, &graph));
  for (uint32_t i = 0, node; i < LONG; i++) {
    assert_ok(mp_graph_add(graph, NULL, run_beside, &b, &node));
    if (chain && node > 0) edge(graph, node - 1, node);
  }
  assert_ok(mp_graph_run(graph));
  assert_in_range(b.before, 1, 5);
  mp_graph_destroy(graph);
  world_close(&w);
}

static void test_a_task_of_high_priority_runs_between_two_nodes(void **state) {
  (void)state;
  assert_runs_beside(false);
  assert_runs_beside(true);
}

/*
** A node that returns when the pool has given it up makes others ready; nobody is left to run them.
*/
#define FOLLOWERS 2000

typedef struct late {
  mp_graph *graph;
  tally entered, hold;
  mp_status status;
} late;

static void return_late(mp_worker *worker, void *arg) {
  late *l = arg;
  (void)worker;
  tally_add(&l->entered);
  tally_await(&l->hold, 1);
}

static void follow(mp_worker *worker, void *arg) { (void)worker, (void)arg; }

static void *visitor_main(void *arg) {
  late *l = arg;
  l->status = mp_graph_run(l->graph);
  return NULL;
}

static void test_graph_whose_node_returns_when_the_pool_goes_ends_too(void **state) {
  static world worlds[20]; /* the last thread may still be on its way out of the allocator */
  (void)state;
  for (int round = 0; round < 20; round++) {
    world *w = &worlds[round];
    pthread_t visitor;
    uint32_t first, node;
    late l = {.entered = TALLY_INIT, .hold = TALLY_INIT};
    world_open(w, 1);
    assert_ok(mp_graph_create(w->pool, &l.graph));
    assert_ok(mp_graph_add(l.graph, NULL, return_late, &l, &first));
    for (int i = 0; i < FOLLOWERS; i++) {
      assert_ok(mp_graph_add(l.graph, NULL, follow, NULL, &node));
      edge(l.graph, first, node);
    }
    assert_int_equal(pthread_create(&visitor, NULL, visitor_main, &l), 0);
    tally_await(&l.entered, 1);
    assert_ok(mp_pool_shutdown(w->pool, 0, MP_SHUTDOWN_CANCEL_ALL, NULL));
    tally_add(&l.hold);
    mp_pool_destroy(w->pool);
    pthread_join(visitor, NULL);
    assert_status(l.status, MP_SHUTDOWN);
    mp_graph_destroy(l.graph);
    /* the worker was given up; the pool goes when its thread does */
    while (fault_live_bytes(&w->memory) > 0) usleep(1000);
    assert_true(fault_is_clean(&w->memory));
  }
}

/* On the owner, while it waits for another task: that ends meanwhile, and so does the pool. */
typedef struct departure {
  late visit; /* entered: by the node; hold: of the task that the owner waits for */
  mp_pool *pool;
} departure;

static void *closer_main(void *arg) {
  departure *d = arg;
  (void)!mp_pool_shutdown(d->pool, 0, MP_SHUTDOWN_CANCEL_ALL, NULL);
  return NULL;
}

static void close_the_pool(mp_worker *worker, void *arg) {
  departure *d = arg;
  pthread_t closer;
  (void)worker;
  tally_add(&d->visit.hold);
  if (pthread_create(&closer, NULL, closer_main, d) == 0) pthread_join(closer, NULL);
}

static void test_graph_whose_nodes_the_owner_leaves_behind_ends_with_the_pool(void **state) {
  enum { FEW = 3 };
  static world w; /* as above */
  static departure d;
  (void)state;
  d = (departure){.visit = {.entered = TALLY_INIT, .hold = TALLY_INIT}};
  mp_pool_config config = world_config(&w, 1);
  config.owner_works = 1;
  world_open_with(&w, config);
  d.pool = w.pool;
  pthread_t visitor;
  uint32_t first, node;
  probe busy = {.hold = &d.visit.hold, .entered = &d.visit.entered};
  mp_task *task = probe_submit(&w, &busy);
  tally_await(&d.visit.entered, 1);
  assert_ok(mp_graph_create(w.pool, &d.visit.graph));
  assert_ok(mp_graph_add(d.visit.graph, NULL, close_the_pool, &d, &first));
  for (int i = 0; i < FEW; i++) {
    assert_ok(mp_graph_add(d.visit.graph, NULL, follow, NULL, &node));
    edge(d.visit.graph, first, node);
  }
  assert_int_equal(pthread_create(&visitor, NULL, visitor_main, &d.visit), 0);
  assert_ok(mp_wait(task, MP_FOREVER));
  pthread_join(visitor, NULL);
  assert_status(d.visit.status, MP_SHUTDOWN);
  mp_task_release(task);
  mp_graph_destroy(d.visit.graph);
  mp_pool_destroy(w.pool);
  while (!fault_is_clean(&w.memory)) usleep(1000);
}

static void test_graph_run_after_shutdown_is_refused(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  mp_graph *graph = graph_of(&w, 3);
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  assert_status(mp_graph_run(graph), MP_SHUTDOWN);
  assert_int_equal(traced.next, 0);
  mp_graph_destroy(graph);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_graph_run_empty_is_ok),
      cmocka_unit_test(test_graph_run_diamond_in_order_as_often_as_asked),
      cmocka_unit_test(test_graph_run_does_not_allocate_after_the_first),
      cmocka_unit_test(test_graph_edge_twice_counts_once),
      cmocka_unit_test(test_graph_edge_and_add_misuse_is_invalid),
      cmocka_unit_test(test_graph_run_cycle_is_named_and_nothing_runs),
      cmocka_unit_test(test_graph_run_self_edge_is_a_cycle_of_one),
      cmocka_unit_test(test_graph_cycle_far_from_the_nodes_it_holds_up_is_found),
      cmocka_unit_test(test_graph_cycle_long_is_written_with_its_middle_left_out),
      cmocka_unit_test(test_graph_change_between_runs_is_taken_up),
      cmocka_unit_test(test_graph_run_100000_nodes_chain_fan_and_random),
      cmocka_unit_test(test_graph_change_or_run_while_running_is_busy),
      cmocka_unit_test(test_graph_run_inside_a_task_works),
      cmocka_unit_test(test_a_task_of_high_priority_runs_between_two_nodes),
      cmocka_unit_test(test_graph_whose_node_returns_when_the_pool_goes_ends_too),
      cmocka_unit_test(test_graph_whose_nodes_the_owner_leaves_behind_ends_with_the_pool),
      cmocka_unit_test(test_graph_run_after_shutdown_is_refused),
  };
  return unit_main(tests);
}
