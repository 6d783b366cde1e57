#include "unit.h"

#include <string.h>

mp_pool_config world_config(world *w, unsigned workers) {
  mp_pool_config config = mp_pool_config_default();
  config.workers = workers;
  config.allocator = fault_allocator(&w->memory);
  return config;
}

void world_open(world *w, unsigned workers) { world_open_with(w, world_config(w, workers)); }

void world_open_with(world *w, mp_pool_config config) {
  w->memory = (fault_alloc)FAULT_ALLOC_INIT;
  config.allocator = fault_allocator(&w->memory);
  assert_ok(mp_pool_create(&config, &w->pool));
}

void world_close(world *w) {
  mp_pool_destroy(w->pool);
  assert_int_equal(fault_live_bytes(&w->memory), 0);
  assert_true(fault_is_clean(&w->memory));
}

mp_pool_info world_info(world *w) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_pool_get_info(w->pool, &info);
  return info;
}

void world_assert_settled(world *w) {
  mp_pool_info info = world_info(w);
  assert_int_equal(info.finished, info.done + info.failed + info.cancelled + info.timed_out);
  assert_int_equal(info.submitted, info.finished);
  assert_int_equal(info.waiting, 0);
  assert_int_equal(info.running, 0);
}

void world_drain(world *w) { assert_ok(mp_pool_drain(w->pool, MP_FOREVER)); }

mp_status probe_run(mp_worker *worker, void *arg) {
  probe *p = arg;
  mp_add_relaxed(&p->ran, 1);
  if (p->sequence != NULL) mp_store_relaxed(&p->order, mp_add_relaxed(p->sequence, 1) + 1);
  if (p->entered != NULL) tally_add(p->entered);
  if (p->hold != NULL) tally_await(p->hold, 1);
  if (p->until_cancelled)
    while (mp_worker_sleep(worker, HANG_SECONDS * SECOND) == MP_OK) continue;
  return p->outcome;
}

void probe_drop(void *arg) { mp_add_relaxed(&((probe *)arg)->dropped, 1); }

void probe_done(mp_task *task, mp_state state, void *arg) {
  probe *p = arg;
  (void)task;
  mp_add_relaxed(&p->told, 1);
  mp_store_relaxed(&p->told_state, (int)state);
}

mp_task_desc probe_desc(probe *p) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = probe_run;
  desc.arg = p;
  desc.drop = probe_drop;
  return desc;
}

mp_task *probe_submit(world *w, probe *p) { return probe_submit_after(w, p, NULL, 0); }

mp_task *probe_submit_after(world *w, probe *p, mp_task *const *after, size_t n) {
  mp_task_desc desc = probe_desc(p);
  mp_task *task = NULL;
  desc.after = after;
  desc.after_count = n;
  assert_ok(mp_submit(w->pool, &desc, &task));
  return task;
}

void assert_dropped_once(const probe *probes, size_t n) {
  for (size_t i = 0; i < n; i++) assert_int_equal(mp_load_relaxed(&probes[i].dropped), 1);
}

void assert_ends(mp_task *task, mp_state state, mp_status status) {
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_task_state(task), state);
  assert_status(mp_task_status(task), status);
}

void assert_ends_and_release(mp_task *task, mp_state state, mp_status status) {
  assert_ends(task, state, status);
  mp_task_release(task);
}

static mp_status block(mp_worker *worker, void *arg) {
  blockade *b = arg;
  (void)worker;
  tally_add(&b->entered);
  tally_await(&b->hold, 1);
  return MP_OK;
}

void blockade_raise(blockade *b, world *w, unsigned workers) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  *b = (blockade){TALLY_INIT, TALLY_INIT, workers};
  desc.run = block;
  desc.arg = b;
  assert_ok(mp_submit_batch(w->pool, &desc, workers, 0, NULL));
  tally_await(&b->entered, workers);
}

void blockade_lift(blockade *b) { tally_add(&b->hold); }

mp_status run_nothing(mp_worker *worker, void *arg) {
  (void)worker;
  (void)arg;
  return MP_OK;
}

void submit_overdue(mp_pool *pool, const mp_task_desc *desc, tally *entered) {
  while (tally_read(entered) == 0) {
    mp_task *task;
    assert_ok(mp_submit(pool, desc, &task));
    assert_ends_and_release(task, MP_STATE_TIMED_OUT, MP_TIMEOUT);
    for (int i = 0; i < 100 && tally_read(entered) == 0; i++) usleep(1000);
  }
}
