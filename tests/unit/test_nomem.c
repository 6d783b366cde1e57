/*
** Every allocation of the engine fails in turn, once and from then on: an error or a smaller
** success, no leak, no hang, no lost task.
*/
#include "unit.h"

#include <string.h>

/*
** One thing to try in a fresh pool while memory fails. Returns MP_OK or MP_NOMEM; counts in
** `accepted` the tasks it got in.
*/
typedef struct trial {
  world w;
  mp_pool_config config;
  size_t accepted;
  _Atomic size_t ran, dropped;
} trial;

typedef mp_status attempt(trial *t);

static void open_trial(trial *t) {
  memset(t, 0, sizeof *t);
  t->config = world_config(&t->w, 2);
  t->config.workers_extra = 2;
  world_open_with(&t->w, t->config);
}

/* Everything accepted has run or been dropped, everything allocated comes back. */
static void close_trial(trial *t) {
  world_drain(&t->w);
  mp_poll(t->w.pool, MP_FOREVER, 0);
  world_assert_settled(&t->w);
  assert_true(world_info(&t->w).submitted >= t->accepted);
  assert_int_equal(t->ran, t->accepted);
  world_close(&t->w);
  assert_int_equal(t->dropped, t->accepted);
}

/* Fails allocation 1, 2, 3 ... until the attempt asks for no more. */
static void fail_each(attempt *try, bool lasting) {
  size_t failures = 1;
  for (size_t nth = 1; failures > 0; nth++) {
    trial t;
    open_trial(&t);
    fault_arm(&t.w.memory, nth, lasting);
    mp_status status = try(&t);
    failures = fault_disarm(&t.w.memory);
    assert_true(status == MP_OK || (status == MP_NOMEM && failures > 0));
    close_trial(&t);
  }
}

static void fail_each_once_and_for_ever(attempt *try) {
  fail_each(try, false);
  fail_each(try, true);
}

static mp_status run_counted(mp_worker *worker, void *arg) {
  (void)worker;
  mp_add_relaxed(&((trial *)arg)->ran, 1);
  return MP_OK;
}

static void drop_counted(void *arg) { mp_add_relaxed(&((trial *)arg)->dropped, 1); }
static void done_nothing(mp_task *task, mp_state state, void *arg) {
  (void)task, (void)state, (void)arg;
}

static mp_task_desc counted_desc(trial *t) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_counted;
  desc.drop = drop_counted;
  desc.arg = t;
  return desc;
}

static mp_status submit_counted(trial *t, const mp_task_desc *desc, mp_task **task) {
  mp_status status = mp_submit(t->w.pool, desc, task);
  if (status == MP_OK) t->accepted++;
  return status;
}

/*
** {======================================================
** What is tried
** =======================================================
*/

static mp_status try_submit(trial *t) {
  mp_task_desc desc = counted_desc(t);
  return submit_counted(t, &desc, NULL);
}

static mp_status try_submit_with_everything(trial *t) {
  mp_task *parents[4] = {NULL}, *task = NULL;
  mp_task_desc desc = counted_desc(t);
  mp_status status = MP_OK;
  for (size_t i = 0; i < LENGTH(parents) && status == MP_OK; i++)
    status = submit_counted(t, &desc, &parents[i]);
  if (status == MP_OK) {
    desc.after = parents;
    desc.after_count = LENGTH(parents);
    desc.done = done_nothing;
    desc.timeout_ns = 1000 * SECOND;
    desc.flags = MP_TASK_TIMED;
    status = submit_counted(t, &desc, &task);
    assert_true((task != NULL) == (status == MP_OK));
  }
  mp_task_release(task);
  for (size_t i = 0; i < LENGTH(parents); i++) mp_task_release(parents[i]);
  return status;
}

/*
** Its argument does not share the task's block; `drop` and `run` get the copy, which begins with
** where to count.
*/
typedef struct large {
  trial *t;
  char filling[1000];
} large;

static mp_status run_large(mp_worker *worker, void *arg) {
  return run_counted(worker, ((large *)arg)->t);
}
static void drop_large(void *arg) { drop_counted(((large *)arg)->t); }

static mp_status try_submit_large(trial *t) {
  large l = {.t = t};
  mp_task_desc desc = counted_desc(t);
  desc.run = run_large;
  desc.drop = drop_large;
  desc.arg = &l;
  desc.arg_size = sizeof l;
  desc.done = done_nothing;
  return submit_counted(t, &desc, NULL);
}

static mp_status try_submit_batch(trial *t) {
  enum { N = 1000 }; /* several slabs */
  static mp_task *tasks[N];
  mp_task_desc desc = counted_desc(t);
  mp_status status = mp_submit_batch(t->w.pool, &desc, N, 0, tasks);
  if (status != MP_OK) return status;
  t->accepted += N;
  for (size_t i = 0; i < N; i++) mp_task_release(tasks[i]);
  return MP_OK;
}

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }
static void on_end(mp_task *task, mp_state state, void *ud) { (void)task, (void)state, (void)ud; }
static void on_progress(mp_task *task, double progress, const char *note, size_t length, void *ud) {
  (void)task, (void)progress, (void)note, (void)length, (void)ud;
}

/* None of them fits into a block. */
static mp_status try_submit_batch_of_large(trial *t) {
  enum { N = 100 };
  static large args[N];
  mp_task_desc desc = counted_desc(t);
  for (size_t i = 0; i < N; i++) args[i].t = t;
  desc.run = run_large;
  desc.drop = drop_large;
  desc.arg = args;
  desc.arg_size = sizeof args[0];
  mp_status status = mp_submit_batch(t->w.pool, &desc, N, sizeof args[0], NULL);
  if (status == MP_OK) t->accepted += N;
  return status;
}

static mp_status try_mailbox(trial *t) {
  mp_mailbox *mailbox = NULL;
  mp_status status = mp_mailbox_create(t->w.pool, &mailbox);
  if (status != MP_OK) return status;
  status = mp_mailbox_send(mailbox, on_letter, NULL, "letter", 7);
  assert_int_equal(mp_mailbox_count(mailbox), status == MP_OK);
  mp_mailbox_close(mailbox);
  return status;
}

/* Subscribes to a task held by its parent, reports for it, then lets it end. */
static mp_status try_listening(trial *t) {
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  mp_task_desc parent_desc = probe_desc(&p), desc = counted_desc(t);
  mp_task *parent = NULL, *task = NULL;
  mp_status status = mp_submit(t->w.pool, &parent_desc, &parent);
  if (status != MP_OK) return status;
  desc.after = &parent;
  desc.after_count = 1;
  status = submit_counted(t, &desc, &task);
  if (status == MP_OK) status = mp_task_notify(task, mp_pool_mailbox(t->w.pool), on_end, NULL);
  if (status == MP_OK)
    status = mp_task_on_progress(task, mp_pool_mailbox(t->w.pool), on_progress, NULL);
  if (status == MP_OK) status = mp_task_report(task, 0.5, "half", 4);
  tally_add(&hold);
  if (task != NULL) assert_ends(task, MP_STATE_DONE, MP_OK);
  if (task != NULL && status == MP_OK)
    status = mp_task_notify(task, mp_pool_mailbox(t->w.pool), on_end, NULL);
  mp_task_release(task);
  assert_ends_and_release(parent, MP_STATE_DONE, MP_OK);
  return status;
}

static void run_node(mp_worker *worker, void *arg) { (void)worker, (void)arg; }

static mp_status build_graph(mp_graph *graph, bool cyclic) {
  uint32_t node, before = 0;
  for (int i = 0; i < 40; i++) {
    mp_status status = mp_graph_add(graph, i % 2 ? "name" : NULL, run_node, NULL, &node);
    if (status == MP_OK && i > 0) status = mp_graph_edge(graph, before, node);
    if (status != MP_OK) return status;
    before = node;
  }
  return cyclic ? mp_graph_edge(graph, before, 0) : MP_OK;
}

static mp_status run_graph(trial *t, bool cyclic) {
  mp_graph *graph = NULL;
  mp_status status = mp_graph_create(t->w.pool, &graph);
  if (status == MP_OK) status = build_graph(graph, cyclic);
  if (status == MP_OK) status = mp_graph_run(graph);
  mp_graph_destroy(graph);
  return status == MP_CYCLE && cyclic ? MP_OK : status;
}

static mp_status try_graph(trial *t) { return run_graph(t, false); }
static mp_status try_cyclic_graph(trial *t) { return run_graph(t, true); }

static mp_status try_graph_again_after_failure(trial *t) {
  mp_graph *graph = NULL;
  mp_status status = mp_graph_create(t->w.pool, &graph);
  if (status == MP_OK) status = build_graph(graph, false);
  if (status == MP_OK) {
    status = mp_graph_run(graph);
    fault_disarm(&t->w.memory);
    assert_ok(mp_graph_run(graph));
    fault_arm(&t->w.memory, status == MP_OK ? 0 : 1, false);
    /* so that fail_each goes on */
    if (status != MP_OK) assert_null(mp_pool_realloc(t->w.pool, NULL, 0, 1));
  }
  mp_graph_destroy(graph);
  return status;
}

static mp_status try_bytes(trial *t) {
  mp_bytes *bytes = NULL;
  mp_status status = mp_bytes_create(t->w.pool, "x", 1, &bytes);
  if (status == MP_OK) mp_bytes_release(bytes);
  return status;
}

static void add_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker;
  mp_add_relaxed((_Atomic size_t *)arg, end - begin);
}

static mp_status try_for(trial *t) {
  _Atomic size_t covered = 0;
  mp_status status = mp_for(t->w.pool, 0, 1000, 1, add_piece, &covered);
  assert_int_equal(covered, status == MP_OK ? 1000 : 0);
  return status;
}

/*
** Inside tasks: submitting, and waiting in a way that needs replacement workers. What fails there
** must not lose a task.
*/
static mp_status submit_and_wait(mp_worker *worker, void *arg) {
  trial *t = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *first = NULL, *second = NULL;
  desc.run = run_nothing;
  desc.priority = -1;
  mp_status status = mp_submit(mp_worker_pool(worker), &desc, &first);
  desc.after = &first;
  desc.after_count = 1;
  if (status == MP_OK) status = mp_submit(mp_worker_pool(worker), &desc, &second);
  if (status == MP_OK) status = mp_wait(second, MP_FOREVER);
  mp_task_release(second);
  mp_task_release(first);
  run_counted(worker, t);
  return status;
}

static mp_status try_waiting_inside(trial *t) {
  enum { N = 6 };
  mp_task *tasks[N] = {NULL};
  mp_status status = MP_OK;
  mp_task_desc desc = counted_desc(t);
  desc.run = submit_and_wait;
  for (int i = 0; i < N && status == MP_OK; i++) status = submit_counted(t, &desc, &tasks[i]);
  for (int i = 0; i < N && tasks[i] != NULL; i++) {
    assert_ok(mp_wait(tasks[i], MP_FOREVER));
    if (mp_task_state(tasks[i]) != MP_STATE_DONE) assert_status(mp_task_status(tasks[i]), MP_NOMEM);
    mp_task_release(tasks[i]);
  }
  return status;
}

#define NOMEM_TEST(name, try) \
  static void test_##name##_out_of_memory_fails_cleanly(void **state) { \
    (void)state; \
    fail_each_once_and_for_ever(try); \
  }

NOMEM_TEST(submit, try_submit)
NOMEM_TEST(submit_with_everything, try_submit_with_everything)
NOMEM_TEST(submit_large, try_submit_large)
NOMEM_TEST(submit_batch, try_submit_batch)
NOMEM_TEST(submit_batch_of_large, try_submit_batch_of_large)
NOMEM_TEST(mailbox, try_mailbox)
NOMEM_TEST(listening, try_listening)
NOMEM_TEST(graph, try_graph)
NOMEM_TEST(cyclic_graph, try_cyclic_graph)
NOMEM_TEST(graph_again, try_graph_again_after_failure)
NOMEM_TEST(bytes, try_bytes)
NOMEM_TEST(for, try_for)
NOMEM_TEST(waiting_inside, try_waiting_inside)

/* }====================================================== */

static void create_failing(int owner_works, bool lasting) {
  size_t failures = 1, smaller = 0;
  for (size_t nth = 1; failures > 0; nth++) {
    fault_alloc memory = FAULT_ALLOC_INIT;
    mp_pool_config config = mp_pool_config_default();
    mp_pool *pool = NULL;
    config.allocator = fault_allocator(&memory);
    config.workers = 3;
    config.owner_works = owner_works;
    fault_arm(&memory, nth, lasting);
    mp_status status = mp_pool_create(&config, &pool);
    failures = fault_disarm(&memory);
    if (status == MP_OK) {
      mp_pool_info info = MP_POOL_INFO_INIT;
      mp_pool_get_info(pool, &info);
      assert_true(failures > 0 ? info.workers < 3 : info.workers == 3);
      smaller += info.workers < 3;
      mp_task_desc desc = MP_TASK_DESC_INIT;
      mp_task *task;
      desc.run = run_nothing;
      assert_ok(mp_submit(pool, &desc, &task));
      assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
      mp_pool_destroy(pool);
    } else {
      assert_status(status, MP_NOMEM);
      assert_null(pool);
    }
    assert_true(fault_is_clean(&memory));
  }
  assert_int_equal(smaller, 2); /* with one worker and with two */
}

static void test_pool_create_out_of_memory_is_smaller_or_nomem(void **state) {
  (void)state;
  for (int owner_works = 0; owner_works < 2; owner_works++) {
    create_failing(owner_works, false);
    create_failing(owner_works, true);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pool_create_out_of_memory_is_smaller_or_nomem),
      cmocka_unit_test(test_submit_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_submit_with_everything_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_submit_large_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_submit_batch_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_submit_batch_of_large_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_mailbox_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_listening_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_graph_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_cyclic_graph_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_graph_again_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_bytes_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_for_out_of_memory_fails_cleanly),
      cmocka_unit_test(test_waiting_inside_out_of_memory_fails_cleanly),
  };
  return unit_main(tests);
}
