/* News of a task's end and of its progress: once each, in order, to the mailbox that asked. */
#include "unit.h"

#include <math.h>
#include <string.h>

static void test_done_runs_once_in_poll_after_the_end(void **state) {
  world w;
  probe p = {0};
  mp_task *task;
  (void)state;
  world_open(&w, 1);
  mp_task_desc desc = probe_desc(&p);
  desc.done = probe_done;
  assert_ok(mp_submit(w.pool, &desc, &task));
  assert_ends(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_int_equal(p.told, 0);
  assert_int_equal(p.dropped, 0); /* done wants the argument */
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 1);
  assert_int_equal(p.told, 1);
  assert_int_equal(p.told_state, MP_STATE_DONE);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 0);
  mp_task_release(task);
  assert_dropped_once(&p, 1);
  world_close(&w);
}

static void test_done_for_each_outcome_tells_the_state(void **state) {
  world w;
  blockade b;
  probe probes[4] = {{0}, {.outcome = MP_FAILED}, {0}, {0}};
  mp_task *tasks[4];
  const mp_state expected[] = {MP_STATE_DONE, MP_STATE_FAILED, MP_STATE_FAILED, MP_STATE_CANCELLED};
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  for (int i = 0; i < 4; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.done = probe_done;
    desc.after = &tasks[1];
    desc.after_count = i == 2;
    assert_ok(mp_submit(w.pool, &desc, &tasks[i]));
  }
  assert_int_equal(mp_cancel(tasks[3]), 1);
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 4);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(probes[i].told_state, expected[i]);
    assert_int_equal(probes[i].told, 1);
    mp_task_release(tasks[i]);
  }
  assert_dropped_once(probes, 4);
  world_close(&w);
}

static void test_done_in_a_mailbox_of_its_own_leaves_the_pools_alone(void **state) {
  world w;
  probe p = {0};
  mp_mailbox *mailbox;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  mp_task_desc desc = probe_desc(&p);
  desc.done = probe_done;
  desc.mailbox = mailbox;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  world_drain(&w);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 0);
  assert_int_equal(mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL), 1);
  assert_int_equal(p.told, 1);
  assert_dropped_once(&p, 1);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

static void test_done_mailbox_closed_task_still_drops_its_argument(void **state) {
  world w;
  blockade b;
  probe probes[2] = {{0}};
  mp_mailbox *mailbox;
  (void)state;
  world_open(&w, 1);
  blockade_raise(&b, &w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  for (int i = 0; i < 2; i++) {
    mp_task_desc desc = probe_desc(&probes[i]);
    desc.done = probe_done;
    desc.mailbox = mailbox;
    assert_ok(mp_submit(w.pool, &desc, NULL));
  }
  mp_mailbox_close(mailbox);
  blockade_lift(&b);
  world_drain(&w);
  world_close(&w);
  assert_int_equal(probes[0].told + probes[1].told, 0);
  assert_dropped_once(probes, 2);
}

typedef struct listener {
  int ends, discarded, reports, late; /* late: progress after the end */
  mp_state state;
  double last;
  char note[32];
} listener;

static void on_end(mp_task *task, mp_state state, void *ud) {
  listener *l = ud;
  if (task == NULL) {
    l->discarded++;
    return;
  }
  assert_true(mp_state_is_terminal(state));
  l->ends++;
  l->state = state;
}

static void on_progress(mp_task *task, double progress, const char *note, size_t note_length,
                        void *ud) {
  listener *l = ud;
  (void)task;
  if (l->ends > 0) l->late++;
  assert_true(progress >= l->last);
  l->last = progress;
  l->reports++;
  assert_true(note_length < sizeof l->note);
  l->note[0] = '\0';
  if (note != NULL) memcpy(l->note, note, note_length + 1);
}

static void test_notify_before_and_after_the_end_each_is_told_once(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold, .outcome = MP_FAILED};
  listener before = {0}, after = {0};
  mp_mailbox *mailbox;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  mp_task *task = probe_submit(&w, &p);
  assert_ok(mp_task_notify(task, mailbox, on_end, &before));
  assert_int_equal(mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL), 0);
  tally_add(&hold);
  world_drain(&w);
  assert_ok(mp_task_notify(task, mailbox, on_end, &after));
  mp_task_release(task); /* the messages hold it */
  assert_int_equal(mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL), 2);
  assert_int_equal(before.ends, 1);
  assert_int_equal(after.ends, 1);
  assert_int_equal(after.state, MP_STATE_FAILED);
  assert_int_equal(before.discarded + after.discarded, 0);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

static void test_notify_many_listeners_are_told_in_order_of_asking(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  static listener listeners[100];
  (void)state;
  memset(listeners, 0, sizeof listeners);
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  for (int i = 0; i < 100; i++)
    assert_ok(mp_task_notify(task, mp_pool_mailbox(w.pool), on_end, &listeners[i]));
  tally_add(&hold);
  world_drain(&w);
  for (int i = 0; i < 100; i++) {
    assert_int_equal(mp_poll(w.pool, MP_FOREVER, 1), 1);
    assert_int_equal(listeners[i].ends, 1);
  }
  mp_task_release(task);
  world_close(&w);
}

static void test_notify_mailbox_closed_is_told_so(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  listener undelivered = {0}, unposted = {0};
  mp_mailbox *first, *second;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &first));
  assert_ok(mp_mailbox_create(w.pool, &second));
  mp_task *task = probe_submit(&w, &p);
  assert_ok(mp_task_notify(task, first, on_end, &undelivered));
  assert_ok(mp_task_notify(task, second, on_end, &unposted));
  mp_mailbox_close(second);
  tally_add(&hold);
  world_drain(&w);
  mp_mailbox_close(first);
  mp_task_release(task);
  world_close(&w);
  assert_int_equal(undelivered.discarded, 1);
  assert_int_equal(unposted.discarded, 1);
  assert_int_equal(undelivered.ends + unposted.ends, 0);
}

static mp_status report_steps(mp_worker *worker, void *arg) {
  mp_task *task = mp_worker_task(worker);
  int steps = *(int *)arg;
  for (int i = 1; i <= steps; i++)
    if (mp_task_report(task, (double)i / steps, "step", 4) != MP_OK) return MP_FAILED;
  return MP_OK;
}

static mp_task *submit_reporter(world *w, blockade *b, int *steps) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  blockade_raise(b, w, 1);
  desc.run = report_steps;
  desc.arg = steps;
  assert_ok(mp_submit(w->pool, &desc, &task));
  return task;
}

static void test_progress_arrives_in_order_before_the_end(void **state) {
  world w;
  blockade b;
  int steps = 1000;
  listener l = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *task = submit_reporter(&w, &b, &steps);
  assert_ok(mp_task_on_progress(task, mp_pool_mailbox(w.pool), on_progress, &l));
  assert_ok(mp_task_notify(task, mp_pool_mailbox(w.pool), on_end, &l));
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 1001);
  assert_int_equal(l.reports, 1000);
  assert_int_equal(l.ends, 1);
  assert_int_equal(l.late, 0);
  assert_true(l.last == 1.0 && mp_task_progress(task) == 1.0);
  assert_string_equal(l.note, "step");
  mp_task_release(task);
  world_close(&w);
}

static void test_progress_end_told_elsewhere_first_is_still_delivered(void **state) {
  world w;
  blockade b;
  int steps = 10;
  listener here = {0}, there = {0};
  mp_mailbox *mailbox;
  (void)state;
  world_open(&w, 1);
  assert_ok(mp_mailbox_create(w.pool, &mailbox));
  mp_task *task = submit_reporter(&w, &b, &steps);
  assert_ok(mp_task_on_progress(task, mailbox, on_progress, &there));
  assert_ok(mp_task_notify(task, mailbox, on_end, &there));
  assert_ok(mp_task_notify(task, mp_pool_mailbox(w.pool), on_end, &here));
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 1);
  assert_int_equal(here.ends, 1);
  mp_mailbox_poll(mailbox, MP_FOREVER, 0, NULL);
  assert_int_equal(there.reports, 10);
  assert_int_equal(there.late, 0);
  assert_int_equal(there.ends, 1);
  mp_task_release(task);
  mp_mailbox_close(mailbox);
  world_close(&w);
}

/* An allocator that keeps a thread waiting between its look at the task's state and its message. */
typedef struct slow_memory {
  mp_allocator rest;
  pthread_t slow;
  _Atomic bool on;
  tally reached, go;
} slow_memory;

static void *slow_realloc(void *ud, void *block, size_t size_old, size_t size_new) {
  slow_memory *m = ud;
  if (mp_load_acquire(&m->on) && size_new != 0 && pthread_equal(pthread_self(), m->slow)) {
    tally_add(&m->reached);
    tally_await(&m->go, 1);
  }
  return m->rest.realloc(m->rest.ud, block, size_old, size_new);
}

typedef struct outsider {
  slow_memory *memory;
  mp_task *task;
} outsider;

static void *report_slowly(void *arg) {
  outsider *o = arg;
  o->memory->slow = pthread_self();
  mp_store_release(&o->memory->on, true);
  assert_ok(mp_task_report(o->task, 0.5, NULL, 0));
  return NULL;
}

static void test_progress_that_comes_after_the_end_was_told_is_not_delivered(void **state) {
  world w = {.memory = FAULT_ALLOC_INIT};
  slow_memory memory = {
      .rest = fault_allocator(&w.memory), .reached = TALLY_INIT, .go = TALLY_INIT};
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  listener l = {0};
  pthread_t thread;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.allocator = (mp_allocator){slow_realloc, &memory};
  assert_ok(mp_pool_create(&config, &w.pool));
  mp_task *task = probe_submit(&w, &p);
  outsider o = {&memory, task};
  assert_ok(mp_task_on_progress(task, mp_pool_mailbox(w.pool), on_progress, &l));
  assert_ok(mp_task_notify(task, mp_pool_mailbox(w.pool), on_end, &l));
  assert_int_equal(pthread_create(&thread, NULL, report_slowly, &o), 0);
  tally_await(&memory.reached, 1);
  tally_add(&hold);
  world_drain(&w);
  mp_poll(w.pool, MP_FOREVER, 0);
  assert_int_equal(l.ends, 1);
  tally_add(&memory.go);
  pthread_join(thread, NULL);
  mp_poll(w.pool, MP_FOREVER, 0);
  assert_int_equal(l.reports + l.late, 0);
  mp_task_release(task);
  world_close(&w);
}

static void test_progress_two_subscribers_both_hear(void **state) {
  world w;
  blockade b;
  int steps = 5;
  listener first = {0}, second = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *task = submit_reporter(&w, &b, &steps);
  assert_ok(mp_task_on_progress(task, mp_pool_mailbox(w.pool), on_progress, &first));
  assert_ok(mp_task_on_progress(task, mp_pool_mailbox(w.pool), on_progress, &second));
  blockade_lift(&b);
  world_drain(&w);
  mp_task_release(task); /* progress on its way holds it */
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 10);
  assert_int_equal(first.reports, 5);
  assert_int_equal(second.reports, 5);
  world_close(&w);
}

static void test_progress_full_mailbox_drops_and_counts_but_tells_the_end(void **state) {
  world w;
  blockade b;
  int steps = 100;
  listener l = {0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.mailbox_max = 8;
  world_open_with(&w, config);
  mp_task *task = submit_reporter(&w, &b, &steps);
  assert_ok(mp_task_on_progress(task, mp_pool_mailbox(w.pool), on_progress, &l));
  assert_ok(mp_task_notify(task, mp_pool_mailbox(w.pool), on_end, &l));
  blockade_lift(&b);
  world_drain(&w);
  assert_int_equal(mp_task_state(task), MP_STATE_DONE);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 9);
  assert_int_equal(l.reports, 8);
  assert_int_equal(l.ends, 1);
  assert_int_equal(world_info(&w).messages_dropped, 92);
  mp_task_release(task);
  world_close(&w);
}

static void test_progress_invalid_value_is_refused_and_the_old_one_stays(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe p = {.hold = &hold};
  const double bad[] = {NAN, INFINITY, -INFINITY, -0.1, 1.1};
  (void)state;
  world_open(&w, 1);
  mp_task *task = probe_submit(&w, &p);
  assert_true(mp_task_progress(task) == 0.0);
  assert_ok(mp_task_report(task, 0.25, NULL, 0));
  for (size_t i = 0; i < LENGTH(bad); i++)
    assert_status(mp_task_report(task, bad[i], NULL, 0), MP_INVALID);
  assert_true(mp_task_progress(task) == 0.25);
  tally_add(&hold);
  assert_ends(task, MP_STATE_DONE, MP_OK);
  assert_ok(mp_task_report(task, 0.5, NULL, 0)); /* too late: ignored */
  assert_true(mp_task_progress(task) == 0.25);
  mp_task_release(task);
  world_close(&w);
}

static void test_progress_huge_note_is_nomem(void **state) {
  world w;
  blockade b;
  int steps = 0;
  listener l = {0};
  (void)state;
  world_open(&w, 1);
  mp_task *task = submit_reporter(&w, &b, &steps);
  assert_ok(mp_task_on_progress(task, mp_pool_mailbox(w.pool), on_progress, &l));
  assert_status(mp_task_report(task, 0.5, "", SIZE_MAX), MP_NOMEM);
  assert_status(mp_task_report(task, 0.5, "", SIZE_MAX - 40), MP_NOMEM);
  blockade_lift(&b);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static void test_notify_and_progress_mailbox_of_another_pool_are_foreign(void **state) {
  world a, b;
  probe p = {0};
  listener l = {0};
  (void)state;
  world_open(&a, 1);
  world_open(&b, 1);
  mp_task *task = probe_submit(&a, &p);
  assert_status(mp_task_notify(task, mp_pool_mailbox(b.pool), on_end, &l), MP_FOREIGN);
  assert_status(mp_task_on_progress(task, mp_pool_mailbox(b.pool), on_progress, &l), MP_FOREIGN);
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_close(&b);
  world_close(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_done_runs_once_in_poll_after_the_end),
      cmocka_unit_test(test_done_for_each_outcome_tells_the_state),
      cmocka_unit_test(test_done_in_a_mailbox_of_its_own_leaves_the_pools_alone),
      cmocka_unit_test(test_done_mailbox_closed_task_still_drops_its_argument),
      cmocka_unit_test(test_notify_before_and_after_the_end_each_is_told_once),
      cmocka_unit_test(test_notify_many_listeners_are_told_in_order_of_asking),
      cmocka_unit_test(test_notify_mailbox_closed_is_told_so),
      cmocka_unit_test(test_progress_arrives_in_order_before_the_end),
      cmocka_unit_test(test_progress_end_told_elsewhere_first_is_still_delivered),
      cmocka_unit_test(test_progress_that_comes_after_the_end_was_told_is_not_delivered),
      cmocka_unit_test(test_progress_two_subscribers_both_hear),
      cmocka_unit_test(test_progress_full_mailbox_drops_and_counts_but_tells_the_end),
      cmocka_unit_test(test_progress_invalid_value_is_refused_and_the_old_one_stays),
      cmocka_unit_test(test_progress_huge_note_is_nomem),
      cmocka_unit_test(test_notify_and_progress_mailbox_of_another_pool_are_foreign),
  };
  return unit_main(tests);
}
