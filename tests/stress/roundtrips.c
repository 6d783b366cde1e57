/*
** One task at a time into a pool that has just run out of work: each submission meets a worker that
** is about to sleep, or about to be woken. A wake-up that is lost leaves the task where it is, and
** the program hangs. With no spinning, and with a pause of a random length in between.
*/
#include "stress.h"

static mp_status run(mp_worker *worker, void *arg) {
  return (void)worker, mp_add_relaxed((_Atomic size_t *)arg, 1), MP_OK;
}

static void go_round(stress *st, mp_pool *pool, uint64_t *random, _Atomic size_t *ran, bool wait) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task = NULL;
  size_t before = mp_load_relaxed(ran);
  desc.run = run;
  desc.arg = ran;
  for (uint32_t pauses = random_below(random, 1u << random_below(random, 12)); pauses > 0; pauses--)
    mp_pause();
  CHECK(st, mp_submit(pool, &desc, wait ? &task : NULL) == MP_OK);
  if (wait) {
    CHECK(st, mp_wait(task, MP_FOREVER) == MP_OK);
    mp_task_release(task);
  } else {
    while (mp_load_relaxed(ran) == before) mp_pause(); /* nobody else can find it */
  }
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  const size_t n = 20000 * st.scale;
  _Atomic size_t ran = 0;
  for (unsigned workers = 1; workers <= st.threads; workers++) {
    mp_pool_config config = stress_config(&st);
    config.workers = workers;
    config.spin_ns = config.spin_free_ns = 0;
    config.idle_after_ns = MP_FOREVER; /* who wakes up to tidy finds what it has missed */
    mp_pool *pool = stress_pool(&st, &config);
    for (size_t i = 0; i < n; i++) go_round(&st, pool, &random, &ran, i % 2 == 0);
    stress_pool_end(&st, pool);
    stress_goes_on();
  }
  CHECK(&st, ran == n * st.threads);
  return stress_end(&st, "%zu round trips", (size_t)ran);
}
