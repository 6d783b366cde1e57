/*
** Promise 8: a task starts only when all it depends on are done. Random graphs that are submitted
** while they run; in all but the first some nodes fail, are cancelled or time out, and then exactly
** their descendants do not run, and name a parent that did not succeed. Graphs of 100,000 nodes at
** scale 2.
*/
#include "stress.h"

#define PARENTS_MAX 6
#define FAR 5000   /* how far back a parent may lie */
#define RARE 20000 /* one node in so many ends badly, in each of three ways */

typedef struct node {
  mp_task *task;
  struct node *parents[PARENTS_MAX];
  uint32_t n;
  bool fails, cancelled;
  _Atomic uint32_t ran, early; /* early: a parent was not done */
} node;

static mp_status run(mp_worker *worker, void *arg) {
  node *own = arg;
  (void)worker;
  mp_add_relaxed(&own->ran, 1);
  for (uint32_t i = 0; i < own->n; i++)
    if (mp_task_state(own->parents[i]->task) != MP_STATE_DONE) mp_add_relaxed(&own->early, 1);
  return own->fails ? MP_FAILED : MP_OK;
}

static void submit_node(stress *st, mp_pool *pool, node *nodes, size_t i, bool healthy,
                        uint64_t *random) {
  node *own = &nodes[i];
  mp_task *after[PARENTS_MAX];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  own->n = i == 0 ? 0 : random_below(random, PARENTS_MAX + 1);
  own->fails = !healthy && random_below(random, RARE) == 0;
  for (uint32_t k = 0; k < own->n; k++) {
    size_t back = 1 + random_below(random, (uint32_t)(i < FAR                        ? i
                                                      : random_below(random, 4) == 0 ? FAR
                                                                                     : 20));
    own->parents[k] = &nodes[i - back]; /* also twice the same */
    after[k] = own->parents[k]->task;
  }
  desc.run = run;
  desc.arg = own;
  desc.after = after;
  desc.after_count = own->n;
  desc.priority = random_below(random, 16) == 0 ? (int)random_below(random, 3) - 1 : 0;
  if (!healthy && random_below(random, RARE) == 0) desc.timeout_ns = 1;
  CHECK(st, mp_submit(pool, &desc, &own->task) == MP_OK);
  if (!healthy && random_below(random, RARE) == 0) own->cancelled = mp_cancel(own->task);
}

static void check_node(stress *st, const node *own) {
  mp_state state = mp_task_state(own->task);
  bool blocked = false, named = false;
  for (uint32_t i = 0; i < own->n; i++) {
    bool bad = mp_task_state(own->parents[i]->task) != MP_STATE_DONE;
    blocked |= bad;
    named |= bad && mp_task_cause(own->task) == own->parents[i]->task;
  }
  CHECK(st, own->early == 0 && own->ran <= 1);
  CHECK(st, state != MP_STATE_DONE || own->ran == 1);
  CHECK(st, !blocked || (own->ran == 0 && state != MP_STATE_DONE));
  CHECK(st, (mp_task_status(own->task) == MP_DEPENDENCY) == (blocked && state == MP_STATE_FAILED));
  CHECK(st, mp_task_status(own->task) != MP_DEPENDENCY || named);
  CHECK(st, own->cancelled == (state == MP_STATE_CANCELLED));
  CHECK(st, state != MP_STATE_FAILED || blocked || own->fails);
}

/* Returns how many were done. */
static size_t run_graph(stress *st, mp_pool *pool, size_t n, bool healthy, uint64_t *random) {
  node *nodes = calloc(n, sizeof *nodes);
  size_t done = 0;
  for (size_t i = 0; i < n; i++) submit_node(st, pool, nodes, i, healthy, random);
  stress_settle(st, pool);
  for (size_t i = 0; i < n; i++) {
    check_node(st, &nodes[i]);
    done += mp_task_state(nodes[i].task) == MP_STATE_DONE;
  }
  CHECK(st, !healthy || done == n);
  for (size_t i = 0; i < n; i++) mp_task_release(nodes[i].task);
  free(nodes);
  return done;
}

#define GRAPHS 4

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  const mp_pool_config config = stress_config(&st);
  mp_pool *pool = stress_pool(&st, &config);
  const size_t n = 50000 * st.scale;
  size_t done = 0;
  for (int i = 0; i < GRAPHS; i++) done += run_graph(&st, pool, n, i == 0, &random);
  stress_pool_end(&st, pool);
  return stress_end(&st, "%d graphs of %zu nodes, %zu done", GRAPHS, n, done);
}
