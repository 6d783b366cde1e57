/* Strands: tasks that run one at a time, in order, on whichever worker is free. */
#include "unit.h"

#include <stdlib.h>

/* What the tasks of a strand share, without atomics: that they may is the point. */
typedef struct diary {
  unsigned inside, overlaps, n;
  unsigned order[4096];
} diary;

typedef struct entry {
  diary *book;
  mp_strand *moves_to; /* suspends first, to go on there; with `moves` */
  bool moves;
  unsigned number;
  tally *entered, *hold;   /* may be NULL */
  mp_task *const *awaited; /* it waits for this one in its place, or suspended; may be NULL */
  bool suspends;           /* for that one */
  _Atomic unsigned calls, dropped;
} entry;

static void write_down(diary *book, unsigned number) {
  book->overlaps += book->inside++ != 0;
  book->order[book->n++] = number;
  for (volatile int i = 0; i < 50; i++) continue;
  book->inside--;
}

static mp_status run_entry(mp_worker *worker, void *arg) {
  entry *e = arg;
  unsigned calls = mp_add_relaxed(&e->calls, 1);
  if (e->moves && calls == 0) {
    if (mp_suspend_on(worker, e->moves_to, NULL, 0, NULL, 0) != MP_OK) return MP_FAILED;
    return MP_SUSPENDED;
  }
  write_down(e->book, e->number);
  if (e->entered != NULL) tally_add(e->entered);
  if (e->hold != NULL) tally_await(e->hold, 1);
  if (e->awaited == NULL) return MP_OK;
  if (e->suspends && !mp_state_is_terminal(mp_task_state(*e->awaited))) {
    if (mp_worker_cancelled(worker)) return MP_CANCELLED;
    if (mp_suspend(worker, e->awaited, 1, NULL, MP_FOREVER) != MP_OK) return MP_FAILED;
    return MP_SUSPENDED;
  }
  return e->suspends ? MP_OK : mp_wait(*e->awaited, MP_FOREVER);
}

static void drop_entry(void *arg) { mp_add_relaxed(&((entry *)arg)->dropped, 1); }

static mp_task_desc describe(mp_strand *strand, entry *e) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_entry;
  desc.drop = drop_entry;
  desc.arg = e;
  desc.strand = strand;
  return desc;
}

static mp_task *submit_entry(world *w, mp_strand *strand, entry *e) {
  mp_task_desc desc = describe(strand, e);
  mp_task *task;
  assert_ok(mp_submit(w->pool, &desc, &task));
  return task;
}

static mp_strand *new_strand(world *w) {
  mp_strand *strand;
  assert_ok(mp_strand_create(w->pool, &strand));
  return strand;
}

static void test_strand_runs_one_at_a_time_in_order(void **state) {
  enum { MANY = 2000 };
  (void)state;
  for (unsigned workers = 1; workers <= 4; workers += 3) {
    world w;
    diary *book = calloc(1, sizeof *book);
    entry *entries = calloc(MANY, sizeof *entries);
    assert_true(book != NULL && entries != NULL);
    world_open(&w, workers);
    mp_strand *strand = new_strand(&w);
    for (unsigned i = 0; i < MANY; i++) {
      entries[i] = (entry){.book = book, .number = i};
      mp_task_release(submit_entry(&w, strand, &entries[i]));
    }
    mp_strand_release(strand); /* the tasks have their own */
    world_drain(&w);
    assert_int_equal(book->n, MANY);
    assert_int_equal(book->overlaps, 0);
    for (unsigned i = 0; i < MANY; i++) {
      assert_int_equal(book->order[i], i);
      assert_int_equal(entries[i].dropped, 1);
    }
    world_assert_settled(&w);
    world_close(&w);
    free(entries);
    free(book);
  }
}

static void test_strand_takes_a_batch_and_priorities_and_dependencies(void **state) {
  enum { MANY = 300 };
  world w;
  diary book = {0};
  entry batch[MANY], urgent = {.book = &book, .number = MANY}, last = {.book = &book};
  mp_task *tasks[MANY];
  (void)state;
  world_open(&w, 3);
  mp_strand *strand = new_strand(&w);
  for (unsigned i = 0; i < MANY; i++) batch[i] = (entry){.book = &book, .number = i};
  mp_task_desc desc = describe(strand, batch);
  assert_ok(mp_submit_batch(w.pool, &desc, MANY, sizeof *batch, tasks));
  desc = describe(strand, &urgent);
  desc.priority = 1;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  desc = describe(strand, &last);
  desc.after = tasks;
  desc.after_count = MANY;
  mp_task *end;
  assert_ok(mp_submit(w.pool, &desc, &end));
  assert_ends_and_release(end, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_int_equal(book.n, MANY + 2);
  assert_int_equal(book.overlaps, 0);
  for (unsigned i = 0; i < MANY; i++) mp_task_release(tasks[i]);
  mp_strand_release(strand);
  world_close(&w);
}

static void test_strand_beside_another_runs_at_the_same_time(void **state) {
  world w;
  diary books[2] = {{0}, {0}};
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  (void)state;
  world_open(&w, 2);
  mp_strand *strands[2] = {new_strand(&w), new_strand(&w)};
  entry entries[2];
  mp_task *tasks[2];
  for (int i = 0; i < 2; i++) {
    entries[i] = (entry){.book = &books[i], .entered = &entered, .hold = &hold};
    tasks[i] = submit_entry(&w, strands[i], &entries[i]);
  }
  tally_await(&entered, 2);
  tally_add(&hold);
  for (int i = 0; i < 2; i++) {
    assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    mp_strand_release(strands[i]);
  }
  world_close(&w);
}

static void test_strand_goes_on_while_one_of_its_tasks_is_suspended(void **state) {
  world w;
  diary book = {0};
  (void)state;
  for (unsigned workers = 1; workers <= 2; workers++) {
    book = (diary){.n = 0};
    world_open(&w, workers);
    mp_strand *strand = new_strand(&w);
    mp_task *second = NULL;
    tally hold = TALLY_INIT;
    entry first = {.book = &book, .number = 1, .hold = &hold, .awaited = &second, .suspends = true};
    entry other = {.book = &book, .number = 2};
    mp_task *task = submit_entry(&w, strand, &first);
    second = submit_entry(&w, strand, &other);
    tally_add(&hold);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    assert_int_equal(book.overlaps, 0);
    assert_int_equal(book.n, 3); /* first, other, first again */
    assert_int_equal(book.order[1], 2);
    mp_task_release(second);
    mp_strand_release(strand);
    world_close(&w);
  }
}

static void test_strand_task_is_waited_for_by_one_who_is_not_on_it(void **state) {
  world w;
  diary book = {0}, outside = {0};
  (void)state;
  world_open(&w, 1);
  mp_strand *strand = new_strand(&w);
  tally hold = TALLY_INIT;
  mp_task *inner = NULL;
  entry waits = {.book = &outside, .hold = &hold, .awaited = &inner}, other = {.book = &book};
  mp_task *task = submit_entry(&w, NULL, &waits);
  inner = submit_entry(&w, strand, &other);
  tally_add(&hold);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  mp_task_release(inner);
  mp_strand_release(strand);
  world_close(&w);
}

static void test_strand_task_behind_the_one_who_waits_is_a_cycle(void **state) {
  world w;
  diary book = {0};
  (void)state;
  world_open(&w, 2);
  mp_strand *strand = new_strand(&w);
  tally hold = TALLY_INIT;
  mp_task *inner = NULL;
  entry waits = {.book = &book, .hold = &hold, .awaited = &inner}, other = {.book = &book};
  mp_task *task = submit_entry(&w, strand, &waits);
  inner = submit_entry(&w, strand, &other);
  tally_add(&hold);
  assert_ends_and_release(task, MP_STATE_FAILED, MP_CYCLE);
  assert_ends_and_release(inner, MP_STATE_DONE, MP_OK);
  mp_strand_release(strand);
  world_close(&w);
}

/* The result of a task that nobody has a handle to is dropped behind its end. */
typedef struct dropper {
  diary *book;
  tally *released;
  _Atomic bool waited;
} dropper;

static void drop_result(void *value) {
  dropper *d = value;
  tally_await(d->released, 1);
  mp_store_release(&d->waited, true);
}

static mp_status leave_result(mp_worker *worker, void *arg) {
  mp_worker_set_result(worker, arg, drop_result);
  return MP_OK;
}

static void test_strand_goes_on_while_a_result_is_dropped(void **state) {
  world w;
  diary book = {0};
  tally released = TALLY_INIT;
  dropper d = {&book, &released, false};
  (void)state;
  world_open(&w, 2);
  mp_strand *strand = new_strand(&w);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = leave_result;
  desc.arg = &d;
  desc.strand = strand;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  entry next = {.book = &book, .entered = &released};
  assert_ends_and_release(submit_entry(&w, strand, &next), MP_STATE_DONE, MP_OK);
  while (!mp_load_acquire(&d.waited)) usleep(100);
  mp_strand_release(strand);
  world_close(&w);
}

typedef struct submitter {
  mp_strand *strand;
  entry *other;
  _Atomic int status;
} submitter;

static mp_status submit_when_full(mp_worker *worker, void *arg) {
  submitter *s = arg;
  mp_task_desc desc = describe(s->strand, s->other);
  desc.flags = MP_TASK_CALLER_RUNS;
  mp_store_release(&s->status, (int)mp_submit(mp_worker_pool(worker), &desc, NULL));
  return MP_OK;
}

static void test_strand_of_the_caller_is_no_place_to_wait_when_the_pool_is_full(void **state) {
  world w;
  diary book = {0};
  entry other = {.book = &book};
  mp_pool_config config = world_config(&w, 1);
  (void)state;
  config.limits.tasks = 1;
  world_open_with(&w, config);
  mp_strand *strand = new_strand(&w);
  submitter s = {strand, &other, MP_OK};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = submit_when_full;
  desc.arg = &s;
  desc.strand = strand;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  assert_int_equal(s.status, MP_FULL);
  mp_strand_release(strand);
  world_close(&w);
}

static void test_strand_a_task_moves_to_one_and_off_it(void **state) {
  enum { MANY = 200 };
  world w;
  diary *book = calloc(1, sizeof *book);
  static entry entries[MANY];
  (void)state;
  assert_non_null(book);
  world_open(&w, 4);
  mp_strand *strand = new_strand(&w);
  for (unsigned i = 0; i < MANY; i++) {
    entries[i] = (entry){.book = book, .moves = true, .moves_to = strand};
    mp_task_release(submit_entry(&w, NULL, &entries[i]));
  }
  world_drain(&w);
  assert_int_equal(book->overlaps, 0);
  assert_int_equal(book->n, MANY);
  /* off it: one that holds does not keep it from going on */
  diary other = {0};
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  entry away = {.book = &other, .moves = true, .entered = &entered, .hold = &hold};
  mp_task *task = submit_entry(&w, strand, &away);
  tally_await(&entered, 1);
  entry on = {.book = book};
  assert_ends_and_release(submit_entry(&w, strand, &on), MP_STATE_DONE, MP_OK);
  tally_add(&hold);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  mp_strand_release(strand);
  world_close(&w);
  free(book);
}

static void test_strand_cancelled_tasks_make_way(void **state) {
  enum { LINE = 6 };
  (void)state;
  for (int queued = 0; queued < 2; queued++) {
    world w;
    diary book = {0};
    blockade b;
    tally entered = TALLY_INIT, hold = TALLY_INIT;
    entry entries[LINE];
    mp_task *tasks[LINE];
    world_open(&w, 2);
    mp_strand *strand = new_strand(&w);
    /* the first stands in a queue, or is inside */
    if (queued) blockade_raise(&b, &w, 2);
    for (unsigned i = 0; i < LINE; i++) {
      entries[i] = (entry){.book = &book, .number = i};
      if (i == 0 && !queued) entries[i].entered = &entered, entries[i].hold = &hold;
      tasks[i] = submit_entry(&w, strand, &entries[i]);
    }
    if (!queued) tally_await(&entered, 1);
    for (unsigned i = 0; i < LINE; i += 2) mp_cancel(tasks[i]);
    if (queued) blockade_lift(&b);
    tally_add(&hold);
    for (unsigned i = 0; i < LINE; i++) {
      bool ran = i % 2 == 1 || (i == 0 && !queued);
      assert_ends_and_release(tasks[i], ran ? MP_STATE_DONE : MP_STATE_CANCELLED,
                              ran ? MP_OK : MP_CANCELLED);
    }
    world_drain(&w);
    for (unsigned i = 0; i < LINE; i++) assert_int_equal(entries[i].dropped, 1);
    mp_strand_release(strand);
    world_close(&w);
  }
}

/* The first is inside, and deaf; the others are in line, one of them to go on. */
static void test_strand_a_shutdown_ends_those_in_line(void **state) {
  enum { LINE = 20 };
  (void)state;
  for (int mode = MP_SHUTDOWN_FINISH; mode <= MP_SHUTDOWN_CANCEL_ALL; mode++) {
    static world w;
    static diary book;
    static tally entered, hold;
    static entry entries[LINE];
    mp_task *tasks[LINE];
    entered = hold = (tally)TALLY_INIT;
    book = (diary){.n = 0};
    world_open(&w, 2);
    mp_strand *strand = new_strand(&w);
    for (unsigned i = 0; i < LINE; i++) {
      entries[i] = (entry){.book = &book, .number = i};
      if (i == 0) entries[i].entered = &entered, entries[i].hold = &hold;
      bool comes_back = i % 3 == 1;
      if (comes_back) entries[i].moves = true, entries[i].moves_to = strand;
      tasks[i] = submit_entry(&w, comes_back ? NULL : strand, &entries[i]);
      if (i == 0) tally_await(&entered, 1);
    }
    assert_ok(mp_pool_shutdown(w.pool, 5 * MILLISECOND, (mp_shutdown_mode)mode, NULL));
    for (unsigned i = 0; i < LINE; i++) {
      assert_true(mp_state_is_terminal(mp_task_state(tasks[i])));
      mp_task_release(tasks[i]);
    }
    tally_add(&hold);
    mp_strand_release(strand);
    mp_pool_destroy(w.pool);
    for (unsigned i = 0; i < LINE; i++)
      while (mp_load_acquire(&entries[i].dropped) == 0) usleep(100);
    while (!fault_is_clean(&w.memory)) usleep(100);
    assert_int_equal(book.overlaps, 0);
  }
}

static void test_strand_of_another_pool_is_refused(void **state) {
  world w, other;
  entry e = {0};
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  world_open(&other, 1);
  mp_strand *strand = new_strand(&other);
  mp_task_desc desc = describe(strand, &e);
  assert_status(mp_submit(w.pool, &desc, &task), MP_FOREIGN);
  assert_status(mp_submit_batch(w.pool, &desc, 1, 0, &task), MP_FOREIGN);
  entry moves = {.moves = true, .moves_to = strand};
  assert_ends_and_release(submit_entry(&w, NULL, &moves), MP_STATE_FAILED, MP_FAILED);
  mp_strand_retain(strand);
  mp_strand_release(strand);
  mp_strand_release(strand);
  mp_strand_release(NULL);
  world_close(&other);
  world_close(&w);
}

static void test_strand_outlives_its_pool(void **state) {
  world w;
  diary book = {0};
  entry e = {.book = &book};
  (void)state;
  world_open(&w, 1);
  mp_strand *strand = new_strand(&w);
  assert_ends_and_release(submit_entry(&w, strand, &e), MP_STATE_DONE, MP_OK);
  mp_pool_destroy(w.pool);
  mp_strand_release(strand);
  assert_true(fault_is_clean(&w.memory));
}

static void test_strand_without_memory_says_so(void **state) {
  world w;
  mp_strand *strand;
  diary book = {0};
  (void)state;
  world_open(&w, 1);
  fault_arm(&w.memory, 1, false);
  assert_status(mp_strand_create(w.pool, &strand), MP_NOMEM);
  (void)fault_disarm(&w.memory);
  strand = new_strand(&w);
  for (size_t n = 1; n < 8; n++) {
    entry e = {.book = &book};
    mp_task_desc desc = describe(strand, &e);
    mp_task *task;
    fault_arm(&w.memory, n, false);
    mp_status status = mp_submit(w.pool, &desc, &task);
    (void)fault_disarm(&w.memory);
    if (status == MP_OK)
      assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    else
      assert_status(status, MP_NOMEM);
  }
  mp_strand_release(strand);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_strand_runs_one_at_a_time_in_order),
      cmocka_unit_test(test_strand_takes_a_batch_and_priorities_and_dependencies),
      cmocka_unit_test(test_strand_beside_another_runs_at_the_same_time),
      cmocka_unit_test(test_strand_goes_on_while_one_of_its_tasks_is_suspended),
      cmocka_unit_test(test_strand_task_is_waited_for_by_one_who_is_not_on_it),
      cmocka_unit_test(test_strand_task_behind_the_one_who_waits_is_a_cycle),
      cmocka_unit_test(test_strand_goes_on_while_a_result_is_dropped),
      cmocka_unit_test(test_strand_of_the_caller_is_no_place_to_wait_when_the_pool_is_full),
      cmocka_unit_test(test_strand_a_task_moves_to_one_and_off_it),
      cmocka_unit_test(test_strand_cancelled_tasks_make_way),
      cmocka_unit_test(test_strand_a_shutdown_ends_those_in_line),
      cmocka_unit_test(test_strand_of_another_pool_is_refused),
      cmocka_unit_test(test_strand_outlives_its_pool),
      cmocka_unit_test(test_strand_without_memory_says_so),
  };
  return unit_main(tests);
}
