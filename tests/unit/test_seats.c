/* How many threads run at a time: replacements of workers that wait, spares, and when they go. */
#include "unit.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static mp_task *submit(mp_pool *pool, mp_task_run *run, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  assert_ok(mp_submit(pool, &desc, &task));
  return task;
}

static mp_status wait_for(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(arg, MP_FOREVER);
}

static mp_task *hold_a_task(world *w, probe *p, tally *hold) {
  p->hold = hold;
  return probe_submit(w, p);
}

/* Tasks that count how many of them run at a time. */
typedef struct crowd {
  _Atomic int now, most, left;
} crowd;

static mp_status be_in_the_crowd(mp_worker *worker, void *arg) {
  crowd *c = arg;
  (void)worker;
  int now = mp_add_relaxed(&c->now, 1) + 1, most = mp_load_relaxed(&c->most);
  while (now > most && !mp_cas_relaxed(&c->most, &most, now)) continue;
  usleep(200);
  mp_sub_relaxed(&c->now, 1);
  mp_sub_relaxed(&c->left, 1);
  return MP_OK;
}

static void test_seats_many_that_waited_come_back_no_more_run_than_workers(void **state) {
  enum { WAITERS = 60, TASKS = 2000 };
  world w;
  tally hold = TALLY_INIT;
  probe held = {0};
  mp_task *waiters[WAITERS];
  crowd c = {0, 0, TASKS};
  (void)state;
  world_open(&w, 2);
  mp_task *gate = hold_a_task(&w, &held, &hold);
  for (int i = 0; i < WAITERS; i++) waiters[i] = submit(w.pool, wait_for, gate);
  while (world_info(&w).running < WAITERS + 1) usleep(1000);
  for (int i = 0; i < TASKS; i++) mp_task_release(submit(w.pool, be_in_the_crowd, &c));
  tally_add(&hold);
  for (int i = 0; i < WAITERS; i++) assert_ends_and_release(waiters[i], MP_STATE_DONE, MP_OK);
  assert_true(mp_load_relaxed(&c.left) > 0);
  usleep(20000); /* those that were inside one go on; from here on it is two */
  mp_store_relaxed(&c.most, 0);
  world_drain(&w);
  assert_true(mp_load_relaxed(&c.most) <= 3);
  mp_task_release(gate);
  world_close(&w);
}

static void test_seats_spares_that_nobody_needs_end_and_new_ones_come(void **state) {
  enum { WAITERS = 20 };
  world w;
  (void)state;
  mp_pool_config config = world_config(&w, 2);
  config.idle_after_ns = 2 * MILLISECOND;
  world_open_with(&w, config);
  for (int round = 0; round < 3; round++) {
    tally hold = TALLY_INIT;
    probe held = {0};
    mp_task *waiters[WAITERS];
    mp_task *gate = hold_a_task(&w, &held, &hold);
    for (int i = 0; i < WAITERS; i++) waiters[i] = submit(w.pool, wait_for, gate);
    while (world_info(&w).running < WAITERS + 1) usleep(1000);
    assert_true(world_info(&w).workers_extra > WAITERS / 2);
    tally_add(&hold);
    for (int i = 0; i < WAITERS; i++) assert_ends_and_release(waiters[i], MP_STATE_DONE, MP_OK);
    mp_task_release(gate);
    while (world_info(&w).workers_extra > 0) usleep(1000);
  }
  world_close(&w);
}

/* A lone waiter with nothing else to do in its pool needs no replacement. */
static void test_seats_a_wait_without_other_work_takes_no_thread(void **state) {
  world w;
  tally hold = TALLY_INIT;
  probe held = {0};
  (void)state;
  world_open(&w, 2);
  mp_task *gate = hold_a_task(&w, &held, &hold);
  mp_task *waiter = submit(w.pool, wait_for, gate);
  usleep(20000);
  assert_int_equal(world_info(&w).workers_extra, 0);
  tally_add(&hold);
  assert_ends_and_release(waiter, MP_STATE_DONE, MP_OK);
  mp_task_release(gate);
  world_close(&w);
}

typedef struct heard {
  _Atomic int warnings;
  char last[200];
} heard;

static void hear(void *ud, mp_log_level level, const char *area, const char *line) {
  heard *h = ud;
  (void)area;
  if (level != MP_LOG_WARN) return;
  snprintf(h->last, sizeof h->last, "%s", line);
  mp_add_relaxed(&h->warnings, 1);
}

static mp_status wait_for_mail(mp_worker *worker, void *arg) {
  size_t index;
  return mp_worker_wait_any(worker, NULL, 0, arg, MP_FOREVER, &index);
}

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }

/* The only thread waits, and nobody can be had in its place: it does what comes. */
static void test_seats_no_replacement_is_told_once_and_work_goes_on(void **state) {
  world w;
  heard h = {0};
  probe others[20] = {{0}};
  mp_mailbox *box;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.workers_extra = 0;
  config.log = hear;
  config.log_ud = &h;
  world_open_with(&w, config);
  assert_ok(mp_mailbox_create(w.pool, &box));
  mp_task *waiter = submit(w.pool, wait_for_mail, box);
  for (size_t i = 0; i < LENGTH(others); i++) {
    assert_ends_and_release(probe_submit(&w, &others[i]), MP_STATE_DONE, MP_OK);
    usleep(1000);
  }
  assert_ok(mp_mailbox_send(box, on_letter, NULL, "x", 1));
  assert_ends_and_release(waiter, MP_STATE_DONE, MP_OK);
  assert_int_equal(mp_load_relaxed(&h.warnings), 1);
  assert_non_null(strstr(h.last, "workers_extra"));
  mp_mailbox_close(box);
  world_close(&w);
}

/*
** Past its deadline, and set aside, while nobody can be had in its place; then it waits for tasks
** that only it can run.
*/
typedef struct overdue {
  tally entered, back;
} overdue;

static mp_status wait_overdue(mp_worker *worker, void *arg) {
  overdue *o = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *tasks[2];
  mp_pool *pool = mp_worker_pool(worker);
  size_t index;
  mp_pool_info info = MP_POOL_INFO_INIT;
  tally_add(&o->entered);
  for (; info.stuck == 0; mp_pool_get_info(pool, &info)) usleep(1000);
  desc.run = run_nothing;
  for (int i = 0; i < 2; i++)
    if (mp_submit(pool, &desc, &tasks[i]) != MP_OK) abort();
  for (int i = 0; i < 2; i++) {
    if (mp_wait_any(pool, tasks, 2, NULL, MP_FOREVER, &index) != MP_OK) abort();
    mp_task_release(tasks[index]);
    tasks[index] = NULL;
  }
  tally_add(&o->back);
  return MP_OK;
}

static void test_seats_overdue_waiter_without_replacement_runs_what_is_queued(void **state) {
  world w;
  overdue o = {TALLY_INIT, TALLY_INIT};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.workers_extra = 0;
  config.stuck_grace_ns = MILLISECOND;
  world_open_with(&w, config);
  desc.run = wait_overdue;
  desc.arg = &o;
  desc.timeout_ns = MILLISECOND;
  submit_overdue(w.pool, &desc, &o.entered);
  tally_await(&o.back, 1); /* for the pool its task is over long before */
  world_close(&w);
}

/* A worker in the host's idle hook is not one that looks for work: others are woken. */
typedef struct hook {
  tally entered, release;
} hook;

static int idle(mp_worker *worker, void *local, void *ud) {
  hook *h = ud;
  (void)worker, (void)local;
  tally_add(&h->entered);
  tally_await(&h->release, 1);
  return 0;
}

static void test_idle_hook_that_takes_long_delays_no_task(void **state) {
  world w;
  hook h = {TALLY_INIT, TALLY_INIT};
  (void)state;
  mp_pool_config config = world_config(&w, 3);
  config.worker_idle = idle;
  config.worker_ud = &h;
  config.idle_after_ns = MILLISECOND;
  config.spin_ns = 0;
  world_open_with(&w, config);
  probe first = {0};
  assert_ends_and_release(probe_submit(&w, &first), MP_STATE_DONE, MP_OK);
  tally_await(&h.entered, 1);
  for (int i = 0; i < 2; i++) { /* the other two are there */
    tally entered = TALLY_INIT;
    probe p = {.entered = &entered};
    mp_task *task = probe_submit(&w, &p);
    tally_await(&entered, 1);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  }
  tally_add(&h.release);
  world_close(&w);
}

/* One worker has the seat, another is a spare: what their idle hook submits runs. */
typedef struct idlers {
  _Atomic bool has[8]; /* in this round, by the worker's index */
  _Atomic unsigned submitted, ran;
} idlers;

static mp_status count_run(mp_worker *worker, void *arg) {
  (void)worker;
  mp_add_relaxed((_Atomic unsigned *)arg, 1);
  return MP_OK;
}

static int idle_and_submit(mp_worker *worker, void *local, void *ud) {
  idlers *i = ud;
  unsigned index = mp_worker_index(worker);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)local;
  desc.run = count_run;
  desc.arg = &i->ran;
  /* once: the task makes its worker one that has something to tidy up again */
  if (index >= LENGTH(i->has) || mp_load_relaxed(&i->has[index])) return 0;
  if (mp_submit(mp_worker_pool(worker), &desc, NULL) == MP_OK) mp_add_relaxed(&i->submitted, 1);
  mp_store_release(&i->has[index], true); /* pairs with count_idlers */
  return 0;
}

static unsigned count_idlers(idlers *i) {
  unsigned n = 0;
  for (size_t k = 0; k < LENGTH(i->has); k++) n += mp_load_acquire(&i->has[k]);
  return n;
}

static mp_status wait_with_a_limit(mp_worker *worker, void *arg) {
  (void)arg;
  mp_task *leaf = submit(mp_worker_pool(worker), run_nothing, NULL); /* by a replacement */
  mp_status status = mp_wait(leaf, HANG_SECONDS * SECOND);
  mp_task_release(leaf);
  return status;
}

static void test_idle_hook_of_a_spare_submits_and_it_runs(void **state) {
  world w;
  idlers i = {.ran = 0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.worker_idle = idle_and_submit;
  config.worker_ud = &i;
  config.idle_after_ns = MILLISECOND;
  world_open_with(&w, config);
  for (int round = 0; round < 5; round++) {
    for (size_t k = 0; k < LENGTH(i.has); k++) mp_store_relaxed(&i.has[k], false);
    assert_ends_and_release(submit(w.pool, wait_with_a_limit, NULL), MP_STATE_DONE, MP_OK);
    while (count_idlers(&i) < 2) usleep(500);
    world_drain(&w);
  }
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL)); /* no hook any more */
  world_assert_settled(&w);
  assert_int_equal(mp_load_relaxed(&i.ran), mp_load_relaxed(&i.submitted));
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_seats_many_that_waited_come_back_no_more_run_than_workers),
      cmocka_unit_test(test_seats_spares_that_nobody_needs_end_and_new_ones_come),
      cmocka_unit_test(test_seats_a_wait_without_other_work_takes_no_thread),
      cmocka_unit_test(test_seats_no_replacement_is_told_once_and_work_goes_on),
      cmocka_unit_test(test_seats_overdue_waiter_without_replacement_runs_what_is_queued),
      cmocka_unit_test(test_idle_hook_that_takes_long_delays_no_task),
      cmocka_unit_test(test_idle_hook_of_a_spare_submits_and_it_runs),
  };
  return unit_main(tests);
}
