/*
** Promise 4: cancel tells the truth. Several threads cancel the same task while it is queued,
** starts, runs and ends: mp_cancel says 1 exactly when the outcome is `cancelled`.
*/
#include "stress.h"

#include <pthread.h>
#include <sched.h>

#define CANCELLERS 2
/*
** tasks that may be submitted before the slowest of them gets there: what is long over is no race
*/
#define AHEAD 8

typedef struct race {
  stress *st;
  mp_task **tasks;
  size_t n;
  uint64_t random;
  unsigned char *said; /* what this thread's mp_cancel returned, for each task */
  _Atomic size_t *submitted;
  _Atomic size_t asked; /* tasks cancelled so far */
} race;

static mp_status run(mp_worker *worker, void *arg) {
  (void)worker;
  for (uintptr_t i = (uintptr_t)arg; i > 0; i--) mp_pause();
  return MP_OK; /* never cancelled by itself */
}

static void *canceller_main(void *arg) {
  race *r = arg;
  for (size_t i = 0; i < r->n; i++) {
    while (mp_load_acquire(r->submitted) <= i) sched_yield();
    for (uint32_t pauses = random_below(&r->random, 60); pauses > 0; pauses--) mp_pause();
    r->said[i] = (unsigned char)mp_cancel(r->tasks[i]);
    mp_store_release(&r->asked, i + 1);
  }
  return NULL;
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t n = 300000 * st.scale;
  uint64_t random = st.seed;
  size_t cancelled = 0;
  _Atomic size_t submitted = 0;
  mp_task **tasks = calloc(n, sizeof *tasks);
  const mp_pool_config config = stress_config(&st);
  mp_pool *pool = stress_pool(&st, &config);
  race races[CANCELLERS];
  pthread_t threads[CANCELLERS];
  for (int c = 0; c < CANCELLERS; c++) {
    races[c] = (race){&st, tasks, n, next_random(&random), calloc(n, 1), &submitted, 0};
    CHECK(&st, pthread_create(&threads[c], NULL, canceller_main, &races[c]) == 0);
  }
  for (size_t i = 0; i < n; i++) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    desc.run = run;
    desc.arg = (void *)(uintptr_t)random_below(&random, 40);
    desc.after = i > 0 && random_below(&random, 4) == 0 ? &tasks[i - 1] : NULL;
    desc.after_count = desc.after != NULL;
    for (int c = 0; c < CANCELLERS; c++)
      while (i > mp_load_acquire(&races[c].asked) + AHEAD) sched_yield();
    CHECK(&st, mp_submit(pool, &desc, &tasks[i]) == MP_OK);
    mp_store_release(&submitted, i + 1);
  }
  for (int c = 0; c < CANCELLERS; c++) pthread_join(threads[c], NULL);
  mp_pool_info info = stress_settle(&st, pool);
  for (size_t i = 0; i < n; i++) {
    bool is_cancelled = mp_task_state(tasks[i]) == MP_STATE_CANCELLED;
    for (int c = 0; c < CANCELLERS; c++) {
      if (races[c].said[i]) CHECK(&st, is_cancelled);
      CHECK(&st, mp_task_cancel_requested(tasks[i]));
    }
    if (is_cancelled) CHECK(&st, races[0].said[i] || races[1].said[i]);
    CHECK(&st, mp_cancel(tasks[i]) == is_cancelled); /* and it stays so */
    cancelled += is_cancelled;
    mp_task_release(tasks[i]);
  }
  CHECK(&st, info.cancelled == cancelled);
  for (int c = 0; c < CANCELLERS; c++) free(races[c].said);
  stress_pool_end(&st, pool);
  free(tasks);
  return stress_end(&st, "%zu races, %zu cancelled", n, cancelled);
}
