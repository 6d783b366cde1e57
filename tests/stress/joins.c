/*
** A task behind two that end at the same moment runs once; one behind a task that fails names it as
** soon as it is seen to have failed.
*/
#include "stress.h"

typedef struct pair {
  _Atomic unsigned arrived, ran, dropped;
} pair;

/* Returns when its twin does. */
static mp_status run_twin(mp_worker *worker, void *arg) {
  pair *p = arg;
  (void)worker;
  mp_add_acq_rel(&p->arrived, 1);
  while (mp_load_acquire(&p->arrived) < 2) mp_pause();
  return MP_OK;
}

static mp_status run_child(mp_worker *worker, void *arg) {
  return (void)worker, mp_add_relaxed(&((pair *)arg)->ran, 1), MP_OK;
}
static mp_status fail(mp_worker *worker, void *arg) { return (void)worker, (void)arg, MP_FAILED; }
static void drop(void *arg) { mp_add_relaxed(&((pair *)arg)->dropped, 1); }

static mp_task *submit(stress *st, mp_pool *pool, mp_task_run *run, pair *p, mp_task *const *after,
                       size_t n) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task = NULL;
  desc.run = run;
  desc.arg = p;
  desc.drop = run == run_child ? drop : NULL;
  desc.after = after;
  desc.after_count = n;
  CHECK(st, mp_submit(pool, &desc, &task) == MP_OK);
  return task;
}

static void join_twins(stress *st, mp_pool *pool) {
  pair p = {0};
  mp_task *twins[2], *child;
  for (int i = 0; i < 2; i++) twins[i] = submit(st, pool, run_twin, &p, NULL, 0);
  child = submit(st, pool, run_child, &p, twins, 2);
  CHECK(st, mp_wait(child, MP_FOREVER) == MP_OK && mp_task_state(child) == MP_STATE_DONE);
  CHECK(st, p.ran == 1);
  mp_task_release(child);
  for (int i = 0; i < 2; i++) mp_task_release(twins[i]);
  CHECK(st, mp_pool_drain(pool, MP_FOREVER) == MP_OK);
  CHECK(st, p.ran == 1 && p.dropped == 1);
}

static void fail_before(stress *st, mp_pool *pool) {
  pair p = {0};
  mp_task *parent = submit(st, pool, fail, &p, NULL, 0),
          *child = submit(st, pool, run_child, &p, &parent, 1);
  while (!mp_state_is_terminal(mp_task_state(child))) continue;
  CHECK(st, mp_task_cause(child) == parent);
  CHECK(st, mp_task_status(child) == MP_DEPENDENCY && p.ran == 0);
  mp_task_release(child);
  mp_task_release(parent);
  /* the argument of what never ran may go after the end was seen */
  CHECK(st, mp_pool_drain(pool, MP_FOREVER) == MP_OK);
  CHECK(st, p.dropped == 1);
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t n = 2000 * st.scale;
  mp_pool_config config = stress_config(&st);
  config.workers = st.threads < 2 ? 2 : st.threads;
  mp_pool *pool = stress_pool(&st, &config);
  for (size_t i = 0; i < n; i++) join_twins(&st, pool);
  for (size_t i = 0; i < n; i++) fail_before(&st, pool);
  stress_settle(&st, pool);
  stress_pool_end(&st, pool);
  return stress_end(&st, "%zu joins, %zu failures", n, n);
}
