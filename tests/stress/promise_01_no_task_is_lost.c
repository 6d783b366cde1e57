/*
** Promise 1: no task is lost. Tasks that fail, are cancelled, time out, depend on one another and
** differ in priority, all at random: each ends exactly once in one of four ways, drops its argument
** once, tells its end once, and the pool's numbers agree with what the tasks counted. Ten million
** at scale 50.
*/
#include "stress.h"

#define RECENT 64 /* dependencies and victims are chosen among the latest */

typedef struct tallies {
  _Atomic size_t ended[4]; /* as told to `done`: done, failed, cancelled, timed out */
} tallies;

typedef struct subject {
  tallies *all;
  uint64_t random;
  _Atomic uint32_t ran, dropped, told;
  mp_task *task; /* a reference, until released by the submitter */
} subject;

static mp_status run(mp_worker *worker, void *arg) {
  subject *s = arg;
  mp_add_relaxed(&s->ran, 1);
  uint32_t what = random_below(&s->random, 16);
  if (what == 0) return MP_FAILED;
  if (what == 1) return MP_CANCELLED;
  if (what == 2) (void)!mp_worker_sleep(worker, random_below(&s->random, 50000));
  if (what == 3) (void)!mp_task_report(mp_worker_task(worker), 0.5, "half", 4);
  return mp_worker_cancelled(worker) ? MP_CANCELLED : MP_OK;
}

static void drop(void *arg) { mp_add_relaxed(&((subject *)arg)->dropped, 1); }

static void done(mp_task *task, mp_state state, void *arg) {
  subject *s = arg;
  (void)task;
  mp_add_relaxed(&s->told, 1);
  mp_add_relaxed(&s->all->ended[state - MP_STATE_DONE], 1);
}

static void submit_one(stress *st, mp_pool *pool, subject *subjects, size_t i, uint64_t *random) {
  subject *s = &subjects[i];
  mp_task *after[3];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  s->random = next_random(random);
  desc.run = run;
  desc.arg = s;
  desc.drop = drop;
  desc.done = done;
  desc.priority = random_below(random, 8) == 0 ? (int)random_below(random, 5) - 2 : 0;
  if (random_below(random, 8) == 0) desc.timeout_ns = 1 + random_below(random, 2000000);
  if (random_below(random, 16) == 0) desc.flags = MP_TASK_TIMED;
  if (i > RECENT && random_below(random, 4) == 0) {
    desc.after_count = 1 + random_below(random, 3);
    for (size_t k = 0; k < desc.after_count; k++)
      after[k] = subjects[i - 1 - random_below(random, RECENT)].task;
    desc.after = after;
  }
  CHECK(st, mp_submit(pool, &desc, &s->task) == MP_OK);
  if (i > RECENT && random_below(random, 8) == 0)
    mp_cancel(subjects[i - random_below(random, RECENT)].task);
  if (i > RECENT) mp_task_release(subjects[i - RECENT - 1].task);
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t n = 200000 * st.scale;
  uint64_t random = st.seed;
  tallies all = {{0}};
  subject *subjects = calloc(n, sizeof *subjects);
  const mp_pool_config config = stress_config(&st);
  mp_pool *pool = stress_pool(&st, &config);
  for (size_t i = 0; i < n; i++) {
    subjects[i].all = &all;
    submit_one(&st, pool, subjects, i, &random);
    if (i % 1000 == 0) mp_poll(pool, MP_FOREVER, 0);
  }
  for (size_t i = n - RECENT - 1; i < n; i++) mp_task_release(subjects[i].task);
  mp_pool_info info = stress_settle(&st, pool);
  /* bodies past their deadline are back too */
  CHECK(&st, mp_pool_shutdown(pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL) == MP_OK);
  mp_poll(pool, MP_FOREVER, 0);
  CHECK(&st, info.submitted == n);
  CHECK(&st, info.done == all.ended[0] && info.failed == all.ended[1]);
  CHECK(&st, info.cancelled == all.ended[2] && info.timed_out == all.ended[3]);
  for (size_t i = 0; i < n; i++)
    CHECK(&st, subjects[i].ran <= 1 && subjects[i].told == 1 && subjects[i].dropped == 1);
  stress_pool_end(&st, pool);
  free(subjects);
  return stress_end(&st, "%zu tasks: %zu done, %zu failed, %zu cancelled, %zu timed out", n,
                    (size_t)info.done, (size_t)info.failed, (size_t)info.cancelled,
                    (size_t)info.timed_out);
}
