/*
** A million tasks that do nothing but count, submitted one by one, in batches and by one another.
*/
#include "stress.h"

typedef struct counts {
  _Atomic size_t ran, dropped;
} counts;

static mp_status run(mp_worker *worker, void *arg) {
  (void)worker;
  mp_add_relaxed(&((counts *)arg)->ran, 1);
  return MP_OK;
}

static void drop(void *arg) { mp_add_relaxed(&((counts *)arg)->dropped, 1); }

static mp_task_desc plain_desc(counts *c) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run;
  desc.arg = c;
  desc.drop = drop;
  return desc;
}

#define CHILDREN 1000

static mp_status run_parent(mp_worker *worker, void *arg) {
  const mp_task_desc desc = plain_desc(arg);
  for (int i = 0; i < CHILDREN; i++) {
    mp_status status = mp_submit(mp_worker_pool(worker), &desc, NULL);
    if (status != MP_OK) return status;
  }
  return MP_OK;
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t each = 333000 * st.scale;
  counts c = {0, 0};
  mp_task_desc desc = plain_desc(&c), parent = MP_TASK_DESC_INIT;
  mp_pool_config config = stress_config(&st);
  config.allocator = (mp_allocator){NULL, NULL}; /* malloc, for its speed and its own checks */
  mp_pool *pool = stress_pool(&st, &config);
  parent.run = run_parent;
  parent.arg = &c;
  for (size_t i = 0; i < each; i++) CHECK(&st, mp_submit(pool, &desc, NULL) == MP_OK);
  for (size_t i = 0; i < each / 1000; i++)
    CHECK(&st, mp_submit_batch(pool, &desc, 1000, 0, NULL) == MP_OK);
  for (size_t i = 0; i < each / CHILDREN; i++) CHECK(&st, mp_submit(pool, &parent, NULL) == MP_OK);
  mp_pool_info info = stress_settle(&st, pool);
  CHECK(&st, c.ran == 3 * each && c.dropped == 3 * each);
  CHECK(&st, info.done == 3 * each + each / CHILDREN);
  stress_pool_end(&st, pool);
  return stress_end(&st, "%zu tasks", (size_t)info.done);
}
