/*
** Beside tasks that come and go, others look at what the workers run: cancels of a task that does
** not stop, each of which looks for its body on every worker. What they see must be alive:
** AddressSanitizer and ThreadSanitizer judge.
*/
#include "stress.h"

#include <pthread.h>
#include <unistd.h>

#define LOOKERS 2

typedef struct looks {
  stress *st;
  mp_task *deaf;
  _Atomic bool entered, over;
  _Atomic size_t looked;
} looks;

static void on_interrupt(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local, (void)ud;
}
/* Long enough that a look finds most workers inside one. */
static mp_status run(mp_worker *worker, void *arg) {
  (void)worker, (void)arg;
  for (int i = 0; i < 20; i++) mp_pause();
  return MP_OK;
}

static mp_status run_deaf(mp_worker *worker, void *arg) {
  looks *l = arg;
  (void)worker;
  mp_store_release(&l->entered, true);
  while (!mp_load_acquire(&l->over)) usleep(1000);
  return MP_OK;
}

static void *looker_main(void *arg) {
  looks *l = arg;
  while (!mp_load_acquire(&l->over)) {
    CHECK(l->st, mp_cancel(l->deaf) == 0);
    mp_add_relaxed(&l->looked, 1);
  }
  return NULL;
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t n = 200000 * st.scale;
  pthread_t lookers[LOOKERS];
  looks l = {.st = &st};
  mp_pool_config config = stress_config(&st);
  config.workers = st.threads + 1;
  config.worker_interrupt = on_interrupt;
  mp_pool *pool = stress_pool(&st, &config);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_deaf;
  desc.arg = &l;
  CHECK(&st, mp_submit(pool, &desc, &l.deaf) == MP_OK);
  while (!mp_load_acquire(&l.entered)) usleep(100);
  for (int i = 0; i < LOOKERS; i++)
    CHECK(&st, pthread_create(&lookers[i], NULL, looker_main, &l) == 0);
  desc.run = run;
  for (size_t i = 0; i < n; i++) CHECK(&st, mp_submit(pool, &desc, NULL) == MP_OK);
  while (stress_info(pool).finished < n) usleep(1000);
  mp_store_release(&l.over, true);
  for (int i = 0; i < LOOKERS; i++) pthread_join(lookers[i], NULL);
  mp_task_release(l.deaf);
  stress_settle(&st, pool);
  stress_pool_end(&st, pool);
  return stress_end(&st, "%zu tasks beside %zu looks", n, (size_t)l.looked);
}
