/*
** Promise 2: a terminal state never changes, and all observers see it equal. 64 wait for the same
** tasks, outside and inside the pool, and see the same end and the same result. 100,000 tasks at
** scale 10.
*/
#include "stress.h"

#include <pthread.h>

#define OUTSIDE 32
#define INSIDE 32

typedef struct shared {
  stress *st;
  mp_pool *pool;
  mp_task **tasks;
  size_t n;
  pthread_barrier_t start;
} shared;

typedef struct observer {
  shared *all;
  size_t index;
  unsigned char *states;
} observer;

static int results[4];

static mp_status run(mp_worker *worker, void *arg) {
  uintptr_t what = (uintptr_t)arg;
  mp_worker_set_result(worker, &results[what % 4], NULL);
  for (uintptr_t i = what; i > 0; i--) mp_pause();
  return what % 4 == 0 ? MP_FAILED : MP_OK;
}

static void check_end(shared *all, mp_task *task) {
  mp_state state = mp_task_state(task);
  CHECK(all->st, mp_state_is_terminal(state));
  bool ran = state == MP_STATE_DONE || mp_task_status(task) == MP_FAILED;
  CHECK(all->st, mp_task_result(task) == (ran ? &results[(uintptr_t)mp_task_arg(task) % 4] : NULL));
  CHECK(all->st, (state == MP_STATE_DONE) == (mp_task_status(task) == MP_OK));
  CHECK(all->st, mp_task_state(task) == state);
}

static void *observer_main(void *arg) {
  observer *o = arg;
  shared *all = o->all;
  pthread_barrier_wait(&all->start);
  for (size_t i = 0; i < all->n; i++) {
    size_t index = 0;
    mp_status status;
    do
      status = o->index % 2 ? mp_wait(all->tasks[i], MP_FOREVER)
                            : mp_wait_any(all->pool, &all->tasks[i], 1, NULL, MP_FOREVER, &index);
    while (status == MP_INTERRUPTED);
    CHECK(all->st, status == MP_OK && index == 0);
    check_end(all, all->tasks[i]);
    o->states[i] = (unsigned char)mp_task_state(all->tasks[i]);
  }
  return NULL;
}

static mp_status observe_inside(mp_worker *worker, void *arg) {
  shared *all = arg;
  (void)worker;
  for (size_t i = all->n; i-- > 0;) {
    if (mp_wait(all->tasks[i], MP_FOREVER) != MP_OK) return MP_FAILED;
    check_end(all, all->tasks[i]);
  }
  return MP_OK;
}

static void submit_all(stress *st, shared *all, uint64_t *random) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  for (size_t i = 0; i < all->n; i++) {
    desc.run = run;
    desc.arg = (void *)(uintptr_t)(1 + random_below(random, 200));
    desc.timeout_ns = random_below(random, 8) == 0 ? 1 + random_below(random, 1000000) : 0;
    desc.after = i > 0 && random_below(random, 8) == 0 ? &all->tasks[i - 1] : NULL;
    desc.after_count = desc.after != NULL;
    CHECK(st, mp_submit(all->pool, &desc, &all->tasks[i]) == MP_OK);
    if (random_below(random, 16) == 0) mp_cancel(all->tasks[i]);
  }
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  const mp_pool_config config = stress_config(&st);
  shared all = {.st = &st, .pool = stress_pool(&st, &config), .n = 10000 * st.scale};
  observer observers[OUTSIDE];
  pthread_t threads[OUTSIDE];
  mp_task *inside[INSIDE];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  all.tasks = calloc(all.n, sizeof *all.tasks);
  submit_all(&st, &all, &random);
  pthread_barrier_init(&all.start, NULL, OUTSIDE);
  for (size_t i = 0; i < OUTSIDE; i++) {
    observers[i] = (observer){&all, i, malloc(all.n)};
    CHECK(&st, pthread_create(&threads[i], NULL, observer_main, &observers[i]) == 0);
  }
  desc.run = observe_inside;
  desc.arg = &all;
  CHECK(&st, mp_submit_batch(all.pool, &desc, INSIDE, 0, inside) == MP_OK);
  for (size_t i = 0; i < OUTSIDE; i++) pthread_join(threads[i], NULL);
  for (size_t i = 0; i < INSIDE; i++) {
    CHECK(&st,
          mp_wait(inside[i], MP_FOREVER) == MP_OK && mp_task_state(inside[i]) == MP_STATE_DONE);
    mp_task_release(inside[i]);
  }
  for (size_t i = 0; i < all.n; i++) {
    for (size_t o = 0; o < OUTSIDE; o++)
      CHECK(&st, observers[o].states[i] == (unsigned char)mp_task_state(all.tasks[i]));
    mp_task_release(all.tasks[i]);
  }
  for (size_t i = 0; i < OUTSIDE; i++) free(observers[i].states);
  stress_settle(&st, all.pool);
  stress_pool_end(&st, all.pool);
  pthread_barrier_destroy(&all.start);
  free(all.tasks);
  return stress_end(&st, "%zu tasks, %d observers each", all.n, OUTSIDE + INSIDE);
}
