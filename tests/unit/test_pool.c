/* Creating a pool: its config, its threads' hooks, its memory, its numbers. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void assert_refused(world *w, mp_pool_config config) {
  mp_pool *pool = (mp_pool *)&pool;
  assert_status(mp_pool_create(&config, &pool), MP_INVALID);
  assert_ptr_equal(pool, &pool); /* untouched */
  assert_true(fault_is_clean(&w->memory));
}

static void test_pool_create_invalid_config_is_refused(void **state) {
  world w = {.memory = FAULT_ALLOC_INIT};
  const mp_pool_config good = world_config(&w, 1);
  mp_pool_config bad;
  (void)state;
  assert_refused(&w, (bad = good, bad.size = 0, bad));
  assert_refused(&w, (bad = good, bad.size = sizeof bad - 1, bad));
  assert_refused(&w, (bad = good, bad.workers = MP_WORKERS_MAX + 1, bad));
  assert_refused(&w, (bad = good, bad.workers = UINT32_MAX, bad));
  assert_refused(&w, (bad = good, bad.workers_extra = UINT32_MAX, bad));
  assert_refused(&w, (bad = good, bad.stack_size = 1, bad));
  assert_refused(&w, (bad = good, bad.stack_size = ((size_t)1 << 20) - 1, bad));
  assert_refused(&w, (bad = good, bad.stack_size = SIZE_MAX, bad));
  assert_refused(&w, (bad = good, bad.mailbox_max = 0, bad));
}

static void test_pool_create_defaults_give_one_worker_a_core(void **state) {
  world w;
  (void)state;
  world_open(&w, 0);
  mp_pool_info info = world_info(&w);
  assert_int_equal(info.workers, mp_cores());
  assert_int_equal(info.workers_extra, 0);
  assert_int_equal(info.submitted, 0);
  assert_int_equal(info.size, sizeof info);
  assert_ok(mp_pool_status(w.pool));
  world_close(&w);
}

static void test_pool_create_least_stack_still_runs_tasks(void **state) {
  world w;
  probe p = {0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.stack_size = (size_t)1 << 20;
  config.spin_ns = 0;
  world_open_with(&w, config);
  assert_ends_and_release(probe_submit(&w, &p), MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static void test_pool_create_impossible_stack_is_nothread_and_leaks_nothing(void **state) {
  world w = {.memory = FAULT_ALLOC_INIT};
  mp_pool *pool;
  (void)state;
  /* qemu-user spends a minute on tables for a terabyte */
  if (getenv("UNIT_EMULATED") != NULL) skip();
  for (int owner_works = 0; owner_works < 2; owner_works++) {
    mp_pool_config config = world_config(&w, 2);
    config.stack_size = SIZE_MAX > UINT32_MAX ? (size_t)((uint64_t)1 << 40) : (size_t)1 << 30;
    config.owner_works = owner_works;
    mp_status status = mp_pool_create(&config, &pool);
    if (status == MP_OK) mp_pool_destroy(pool); /* a machine that reserves as much a thread */
    assert_true(status == MP_NOTHREAD || status == MP_OK);
    assert_true(fault_is_clean(&w.memory));
  }
}

static void test_pool_create_two_pools_do_not_meet(void **state) {
  world a, b;
  probe p = {0}, q = {0};
  (void)state;
  world_open(&a, 1);
  world_open(&b, 1);
  mp_task *in_a = probe_submit(&a, &p), *in_b = probe_submit(&b, &q);
  assert_ptr_equal(mp_task_pool(in_a), a.pool);
  assert_ptr_equal(mp_task_pool(in_b), b.pool);
  assert_ends_and_release(in_a, MP_STATE_DONE, MP_OK);
  world_close(&a);
  assert_ends_and_release(in_b, MP_STATE_DONE, MP_OK);
  assert_int_equal(world_info(&b).submitted, 1);
  world_close(&b);
}

typedef struct hooks {
  _Atomic int started, stopped, wrong, closed;
} hooks;

typedef struct local {
  hooks *h;
  pthread_t thread;
  unsigned index;
} local;

static local locals[8];

static void *on_start(mp_worker *worker, void *ud) {
  hooks *h = ud;
  local *l = &locals[mp_worker_index(worker)];
  *l = (local){h, pthread_self(), mp_worker_index(worker)};
  mp_add_relaxed(&h->started, 1);
  return l;
}

static void on_stop(mp_worker *worker, void *given, void *ud) {
  hooks *h = ud;
  local *l = given;
  if (l->h != h || !pthread_equal(l->thread, pthread_self()) || l->index != mp_worker_index(worker))
    mp_add_relaxed(&h->wrong, 1);
  mp_add_relaxed(&h->stopped, 1);
}

static void on_closed(void *ud) { mp_add_relaxed(&((hooks *)ud)->closed, 1); }

static mp_status check_local(mp_worker *worker, void *arg) {
  const local *l = mp_worker_local(worker);
  (void)arg;
  return pthread_equal(l->thread, pthread_self()) ? MP_OK : MP_FAILED;
}

static void open_hooked(world *w, hooks *h, unsigned workers, unsigned workers_extra,
                        int owner_works) {
  mp_pool_config config = world_config(w, workers);
  config.workers_extra = workers_extra;
  config.worker_start = on_start;
  config.worker_stop = on_stop;
  config.worker_ud = h;
  config.closed = on_closed;
  config.closed_ud = h;
  config.owner_works = owner_works;
  world_open_with(w, config);
}

static void test_pool_worker_hooks_pair_on_each_thread(void **state) {
  (void)state;
  for (int owner_works = 0; owner_works < 2; owner_works++) {
    world w;
    hooks h = {0};
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *tasks[50];
    open_hooked(&w, &h, 3, 0, owner_works);
    desc.run = check_local;
    assert_ok(mp_submit_batch(w.pool, &desc, LENGTH(tasks), 0, tasks));
    for (size_t i = 0; i < LENGTH(tasks); i++)
      assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    world_close(&w);
    assert_int_equal(mp_load_relaxed(&h.started), 3 + owner_works);
    assert_int_equal(mp_load_relaxed(&h.stopped), 3 + owner_works);
    assert_int_equal(mp_load_relaxed(&h.wrong), 0);
    assert_int_equal(mp_load_relaxed(&h.closed), 1);
  }
}

typedef struct patience {
  mp_task *held;
  tally entered;
} patience;

static mp_status wait_for_held(mp_worker *worker, void *arg) {
  patience *p = arg;
  (void)worker;
  tally_add(&p->entered);
  return mp_wait(p->held, HANG_SECONDS * SECOND);
}

/* Hosts keep something for each index: there must be none beyond what the header says. */
static void test_pool_replacements_are_no_more_than_allowed(void **state) {
  enum { WORKERS = 2, EXTRA = 2, WAITERS = 6 };
  (void)state;
  for (int owner_works = 0; owner_works < 2; owner_works++) {
    world w;
    hooks h = {0};
    tally hold = TALLY_INIT, running = TALLY_INIT;
    probe held = {.hold = &hold, .entered = &running};
    patience p = {.entered = TALLY_INIT};
    mp_task_desc desc = MP_TASK_DESC_INIT;
    open_hooked(&w, &h, WORKERS, EXTRA, owner_works);
    p.held = probe_submit(&w, &held);
    tally_await(&running, 1);
    desc.run = wait_for_held;
    desc.arg = &p;
    assert_ok(mp_submit_batch(w.pool, &desc, WAITERS, 0, NULL));
    tally_await(&p.entered, WORKERS - 1 + EXTRA);
    usleep(20000); /* for the one too many: a shorter time could only miss it */
    tally_add(&hold);
    world_drain(&w);
    mp_task_release(p.held);
    world_close(&w);
    assert_int_equal(mp_load_relaxed(&h.started), WORKERS + EXTRA + owner_works);
    assert_int_equal(mp_load_relaxed(&h.wrong), 0);
  }
}

static void test_pool_closed_comes_after_the_last_handle(void **state) {
  world w;
  hooks h = {0};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  open_hooked(&w, &h, 1, 0, 0);
  desc.run = run_nothing;
  assert_ok(mp_submit(w.pool, &desc, &task));
  mp_pool_destroy(w.pool);
  assert_int_equal(mp_load_relaxed(&h.closed), 0);
  assert_true(mp_state_is_terminal(mp_task_state(task)));
  mp_task_release(task);
  assert_int_equal(mp_load_relaxed(&h.closed), 1);
  assert_true(fault_is_clean(&w.memory));
}

static void test_pool_realloc_is_counted_and_behaves_as_realloc(void **state) {
  world w;
  (void)state;
  world_open(&w, 1);
  size_t before = world_info(&w).bytes;
  char *block = mp_pool_realloc(w.pool, NULL, 0, 10);
  memcpy(block, "123456789", 10);
  assert_int_equal(world_info(&w).bytes, before + 10);
  block = mp_pool_realloc(w.pool, block, 10, 1000);
  assert_string_equal(block, "123456789");
  assert_int_equal(world_info(&w).bytes, before + 1000);
  assert_null(mp_pool_realloc(w.pool, block, 1000, 0));
  assert_null(mp_pool_realloc(w.pool, NULL, 0, 0));
  assert_int_equal(world_info(&w).bytes, before);
  fault_arm(&w.memory, 1, false);
  assert_null(mp_pool_realloc(w.pool, NULL, 0, 10));
  fault_disarm(&w.memory);
  world_close(&w);
}

static void test_pool_info_counts_each_outcome(void **state) {
  world w;
  probe ok = {0}, failing = {.outcome = MP_FAILED}, cancelling = {.outcome = MP_CANCELLED};
  (void)state;
  world_open(&w, 2);
  assert_ends_and_release(probe_submit(&w, &ok), MP_STATE_DONE, MP_OK);
  assert_ends_and_release(probe_submit(&w, &failing), MP_STATE_FAILED, MP_FAILED);
  assert_ends_and_release(probe_submit(&w, &cancelling), MP_STATE_CANCELLED, MP_CANCELLED);
  world_drain(&w);
  mp_pool_info info = world_info(&w);
  assert_int_equal(info.submitted, 3);
  assert_int_equal(info.done, 1);
  assert_int_equal(info.failed, 1);
  assert_int_equal(info.cancelled, 1);
  assert_int_equal(info.timed_out, 0);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_pool_info_waiting_and_running_are_told_apart(void **state) {
  world w;
  blockade b;
  probe queued = {0}, held = {0};
  (void)state;
  world_open(&w, 2);
  blockade_raise(&b, &w, 2);
  mp_task *first = probe_submit(&w, &queued), *second = probe_submit_after(&w, &held, &first, 1);
  assert_int_equal(world_info(&w).running, 2);
  assert_int_equal(world_info(&w).waiting, 2);
  blockade_lift(&b);
  assert_ends_and_release(second, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(first, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  world_assert_settled(&w);
  world_close(&w);
}

static void test_pool_drain_timeout_while_a_task_runs(void **state) {
  world w;
  blockade b;
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  assert_status(mp_pool_drain(w.pool, 0), MP_TIMEOUT);
  assert_status(mp_pool_drain(w.pool, MILLISECOND), MP_TIMEOUT);
  blockade_lift(&b);
  world_drain(&w);
  assert_ok(mp_pool_drain(w.pool, 0));
  world_close(&w);
}

static mp_status drain_inside(mp_worker *worker, void *arg) {
  (void)arg;
  mp_pool *pool = mp_worker_pool(worker);
  bool refused = mp_pool_drain(pool, MP_FOREVER) == MP_INVALID &&
                 mp_pool_shutdown(pool, 0, MP_SHUTDOWN_FINISH, NULL) == MP_INVALID;
  return refused ? MP_OK : MP_FAILED;
}

static void test_pool_drain_and_shutdown_on_a_worker_are_invalid(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  desc.run = drain_inside;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

/*
** Each submits the next before it ends: there is always one, but for an instant's look at the
** counters.
*/
static mp_status run_link(mp_worker *worker, void *arg) {
  _Atomic unsigned *left = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_link;
  desc.arg = arg;
  return mp_sub_relaxed(left, 1) == 1 ? MP_OK : mp_submit(mp_worker_pool(worker), &desc, NULL);
}

static void test_pool_drain_beside_a_chain_returns_when_it_is_over(void **state) {
  world w;
  (void)state;
  world_open(&w, 2);
  for (int chain = 0; chain < 60; chain++) {
    _Atomic unsigned left = 10000;
    mp_task_desc desc = MP_TASK_DESC_INIT;
    desc.run = run_link;
    desc.arg = &left;
    assert_ok(mp_submit(w.pool, &desc, NULL));
    while (mp_pool_drain(w.pool, 0) == MP_TIMEOUT) continue;
    assert_int_equal(left, 0);
  }
  world_close(&w);
}

/* A loop's only piece submits a task; a drain that sees the loop's end must see the task. */
typedef struct submitting {
  mp_pool *pool;
  _Atomic unsigned begun, done, drained; /* rounds */
  _Atomic bool early;
} submitting;

#define DRAINED_ROUNDS 500

static mp_status end_round(mp_worker *worker, void *arg) {
  submitting *s = arg;
  (void)worker;
  usleep(500);
  mp_add_seq(&s->done, 1);
  return MP_OK;
}

static void submit_in_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  submitting *s = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)worker, (void)begin, (void)end;
  mp_add_seq(&s->begun, 1);
  for (unsigned n = mp_load_relaxed(&s->begun) % 50 * 100; n > 0; n--) mp_pause();
  desc.run = end_round;
  desc.arg = s;
  if (mp_submit(s->pool, &desc, NULL) != MP_OK) abort();
}

static void *drain_rounds(void *arg) {
  submitting *s = arg;
  for (unsigned round = 1; round <= DRAINED_ROUNDS; round++) {
    while (mp_load_seq(&s->begun) < round) mp_pause();
    while (mp_pool_drain(s->pool, 0) == MP_TIMEOUT) continue;
    if (mp_load_seq(&s->done) < round) mp_store_seq(&s->early, true);
    mp_store_seq(&s->drained, round);
  }
  return NULL;
}

static void test_pool_drain_sees_what_a_loop_has_submitted(void **state) {
  world w;
  pthread_t thread;
  (void)state;
  mp_pool_config config = world_config(&w, 2);
  config.owner_works = 1;
  world_open_with(&w, config);
  submitting s = {.pool = w.pool};
  assert_int_equal(pthread_create(&thread, NULL, drain_rounds, &s), 0);
  for (unsigned round = 1; round <= DRAINED_ROUNDS; round++) {
    assert_ok(mp_for(w.pool, 0, 1, 1, submit_in_piece, &s));
    while (mp_load_seq(&s.drained) < round || mp_load_seq(&s.done) < round) usleep(50);
  }
  pthread_join(thread, NULL);
  assert_false(s.early);
  world_close(&w);
}

/* A body that is over, and goes on, has run the last task in place. */
typedef struct overdue {
  mp_pool *pool;
  tally entered, submitted, hold;
} overdue;

static mp_status run_last_in_place(mp_worker *worker, void *arg) {
  overdue *o = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *last;
  tally_add(&o->entered);
  while (!mp_worker_cancelled(worker)) usleep(100);
  desc.run = run_nothing;
  if (mp_submit(o->pool, &desc, &last) != MP_OK) abort();
  tally_add(&o->submitted);
  usleep(20000); /* for the drain to begin */
  if (mp_wait(last, MP_FOREVER) != MP_OK) abort();
  mp_task_release(last);
  tally_await(&o->hold, 1);
  return MP_OK;
}

static void test_pool_drain_hears_of_a_last_task_inside_a_body_that_is_over(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.stuck_max = 0;
  world_open_with(&w, config);
  overdue o = {w.pool, TALLY_INIT, TALLY_INIT, TALLY_INIT};
  desc.run = run_last_in_place;
  desc.arg = &o;
  desc.timeout_ns = MILLISECOND;
  submit_overdue(w.pool, &desc, &o.entered);
  tally_await(&o.submitted, 1);
  world_drain(&w);
  tally_add(&o.hold);
  world_close(&w);
}

static void test_pool_destroy_null_is_ignored(void **state) {
  (void)state;
  mp_pool_destroy(NULL);
}

/*
** What threads do at their end, when they are no workers any more.
*/
static pthread_key_t kept;
static void release_kept(void *task) { mp_task_release(task); }

static mp_status keep_a_handle(mp_worker *worker, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)arg;
  desc.run = run_nothing;
  if (mp_submit(mp_worker_pool(worker), &desc, &task) != MP_OK) return MP_FAILED;
  return pthread_setspecific(kept, task) == 0 ? MP_OK : MP_FAILED;
}

static void test_pool_handle_in_thread_local_storage_of_a_worker_does_not_keep_it(void **state) {
  world w;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  (void)state;
  assert_int_equal(pthread_key_create(&kept, release_kept), 0);
  world_open(&w, 1);
  desc.run = keep_a_handle;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  world_close(&w);
  pthread_key_delete(kept);
}

/* `closed` on the thread of a worker that was stuck may use another pool as any thread may. */
typedef struct closing {
  world other;
  mp_task *task;
  _Atomic bool closed;
} closing;

static void use_another_pool(void *ud) {
  closing *c = ud;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_nothing;
  mp_task_release(c->task);
  (void)!mp_submit(c->other.pool, &desc, NULL);
  mp_store_release(&c->closed, true);
}

static void test_pool_closed_on_a_thread_that_was_stuck_is_on_no_worker(void **state) {
  world w;
  closing c = {.closed = false};
  blockade b;
  probe p = {0};
  (void)state;
  world_open(&c.other, 1);
  c.task = probe_submit(&c.other, &p);
  assert_ends(c.task, MP_STATE_DONE, MP_OK);
  mp_pool_config config = world_config(&w, 1);
  config.closed = use_another_pool;
  config.closed_ud = &c;
  world_open_with(&w, config);
  blockade_raise(&b, &w, 1);
  mp_pool_destroy(w.pool);
  blockade_lift(&b);
  while (!mp_load_acquire(&c.closed)) usleep(1000);
  while (!fault_is_clean(&w.memory)) usleep(1000);
  world_drain(&c.other);
  world_close(&c.other);
}

/* A hook that opens and closes a mailbox leaves the pool's references as they were. */
static void *open_and_close(mp_worker *worker, void *ud) {
  mp_mailbox *box;
  (void)ud;
  if (mp_mailbox_create(mp_worker_pool(worker), &box) == MP_OK) mp_mailbox_close(box);
  return NULL;
}

static void test_pool_mailbox_of_a_start_hook_does_not_keep_it(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) {
    world w;
    mp_pool_config config = world_config(&w, 4);
    config.worker_start = open_and_close;
    world_open_with(&w, config);
    world_close(&w);
  }
}

/* The owner's slot has its hooks on the owner's thread. */
static void *own_thread(mp_worker *worker, void *ud) {
  static pthread_t threads[8];
  (void)ud;
  threads[mp_worker_index(worker)] = pthread_self();
  return &threads[mp_worker_index(worker)];
}

static void stop_on_own_thread(mp_worker *worker, void *mine, void *ud) {
  (void)worker;
  if (pthread_equal(*(pthread_t *)mine, pthread_self())) mp_add_relaxed((_Atomic unsigned *)ud, 1);
}

static void *release_main(void *task) {
  mp_task_release(task);
  return NULL;
}

static void test_pool_owner_stop_hook_runs_on_the_owner(void **state) {
  world w;
  _Atomic unsigned right = 0;
  probe p = {0};
  pthread_t thread;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.owner_works = 1;
  config.worker_start = own_thread;
  config.worker_stop = stop_on_own_thread;
  config.worker_ud = (void *)&right;
  world_open_with(&w, config);
  mp_task *task = probe_submit(&w, &p);
  assert_ends(task, MP_STATE_DONE, MP_OK);
  mp_pool_destroy(w.pool);
  assert_int_equal(mp_load_relaxed(&right), 2);
  assert_int_equal(pthread_create(&thread, NULL, release_main, task), 0); /* the last reference */
  pthread_join(thread, NULL);
  assert_true(fault_is_clean(&w.memory));
}

/* stuck_max 0: none is replaced, and nothing is refused for it. */
static void test_pool_stuck_max_zero_takes_tasks(void **state) {
  world w;
  probe p = {0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.stuck_max = 0;
  world_open_with(&w, config);
  assert_ends_and_release(probe_submit(&w, &p), MP_STATE_DONE, MP_OK);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pool_create_invalid_config_is_refused),
      cmocka_unit_test(test_pool_create_defaults_give_one_worker_a_core),
      cmocka_unit_test(test_pool_create_least_stack_still_runs_tasks),
      cmocka_unit_test(test_pool_create_impossible_stack_is_nothread_and_leaks_nothing),
      cmocka_unit_test(test_pool_create_two_pools_do_not_meet),
      cmocka_unit_test(test_pool_worker_hooks_pair_on_each_thread),
      cmocka_unit_test(test_pool_replacements_are_no_more_than_allowed),
      cmocka_unit_test(test_pool_closed_comes_after_the_last_handle),
      cmocka_unit_test(test_pool_realloc_is_counted_and_behaves_as_realloc),
      cmocka_unit_test(test_pool_info_counts_each_outcome),
      cmocka_unit_test(test_pool_info_waiting_and_running_are_told_apart),
      cmocka_unit_test(test_pool_drain_timeout_while_a_task_runs),
      cmocka_unit_test(test_pool_drain_and_shutdown_on_a_worker_are_invalid),
      cmocka_unit_test(test_pool_drain_beside_a_chain_returns_when_it_is_over),
      cmocka_unit_test(test_pool_drain_sees_what_a_loop_has_submitted),
      cmocka_unit_test(test_pool_drain_hears_of_a_last_task_inside_a_body_that_is_over),
      cmocka_unit_test(test_pool_destroy_null_is_ignored),
      cmocka_unit_test(test_pool_handle_in_thread_local_storage_of_a_worker_does_not_keep_it),
      cmocka_unit_test(test_pool_closed_on_a_thread_that_was_stuck_is_on_no_worker),
      cmocka_unit_test(test_pool_mailbox_of_a_start_hook_does_not_keep_it),
      cmocka_unit_test(test_pool_owner_stop_hook_runs_on_the_owner),
      cmocka_unit_test(test_pool_stuck_max_zero_takes_tasks),
  };
  return unit_main(tests);
}
