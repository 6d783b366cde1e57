/*
** Promise 14: a shutdown returns by its deadline and reports; afterwards every handle is terminal.
** Pools that live briefly: several threads submit while one shuts down at a random moment, one life
** in sixteen with a body that does not return before. What was accepted ends, what was refused did
** not run, accepted + refused == tried, no thread and no byte stays behind. 10,000 shutdowns at
** scale 50.
*/
#include "stress.h"

#include <pthread.h>
#include <unistd.h>

#define SUBMITTERS 3
#define HANG_NS ((uint64_t)20 * 1000000000)

typedef struct life {
  stress *st;
  mp_pool *pool;
  uint64_t random;
  _Atomic size_t ran, dropped;
  _Atomic bool held, let_go; /* a body that is stuck: it is in; it may leave */
} life;

typedef struct submitter {
  life *life;
  uint64_t random;
  size_t accepted, refused;
} submitter;

static mp_status run(mp_worker *worker, void *arg) {
  life *l = arg;
  mp_add_relaxed(&l->ran, 1);
  (void)!mp_worker_sleep(worker, mp_task_id(mp_worker_task(worker)) % 8 == 0 ? 20000 : 0);
  return MP_OK;
}

static mp_status run_stuck(mp_worker *worker, void *arg) {
  life *l = arg;
  (void)worker;
  mp_add_relaxed(&l->ran, 1);
  mp_store_release(&l->held, true);
  while (!mp_load_acquire(&l->let_go)) usleep(50); /* deaf to cancelling */
  return MP_OK;
}

static void drop(void *arg) { mp_add_relaxed(&((life *)arg)->dropped, 1); }
static void done(mp_task *task, mp_state state, void *arg) { (void)task, (void)state, (void)arg; }

static void *submitter_main(void *arg) {
  submitter *s = arg;
  mp_task *last = NULL;
  while (s->refused < 20) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *task = NULL;
    desc.run = run;
    desc.arg = s->life;
    desc.drop = drop;
    desc.done = random_below(&s->random, 8) == 0 ? done : NULL;
    desc.priority = (int)random_below(&s->random, 3) - 1;
    desc.timeout_ns = random_below(&s->random, 8) == 0 ? 1 + random_below(&s->random, 300000) : 0;
    desc.after = last != NULL && random_below(&s->random, 4) == 0 ? &last : NULL;
    desc.after_count = desc.after != NULL;
    mp_status status = mp_submit(s->life->pool, &desc, &task);
    CHECK(s->life->st, status == MP_OK || status == MP_SHUTDOWN);
    if (status == MP_OK) {
      s->accepted++;
      mp_task_release(last);
      last = task;
    } else {
      s->refused++;
    }
  }
  mp_task_release(last);
  return NULL;
}

static void *drainer_main(void *arg) {
  life *l = arg;
  mp_status status;
  do status = mp_pool_drain(l->pool, MP_FOREVER); /* ends at the latest with the shutdown */
  while (status == MP_INTERRUPTED);
  CHECK(l->st, status == MP_OK);
  return NULL;
}

/* A task whose body is in and stays there. */
static mp_task *get_stuck(life *l) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run_stuck;
  desc.arg = l;
  desc.drop = drop;
  CHECK(l->st, mp_submit(l->pool, &desc, &task) == MP_OK);
  while (!mp_load_acquire(&l->held)) usleep(50);
  return task;
}

static uint64_t worst_overrun_ns;

/*
** Shuts down and notes by how much it outlasted its deadline. Time decides nothing here, but what
** takes seconds hangs.
*/
static mp_shutdown_report shut_down(life *l, uint64_t timeout_ns, mp_shutdown_mode mode) {
  mp_shutdown_report report;
  uint64_t began = mp_now();
  CHECK(l->st, mp_pool_shutdown(l->pool, timeout_ns, mode, &report) == MP_OK);
  if (timeout_ns == MP_FOREVER) return report;
  uint64_t took = mp_now() - began, overrun = took > timeout_ns ? took - timeout_ns : 0;
  CHECK(l->st, overrun < HANG_NS);
  if (overrun > worst_overrun_ns) worst_overrun_ns = overrun;
  return report;
}

static size_t live_once(stress *st, uint64_t *random) {
  mp_pool_config config = stress_config(st);
  config.spin_ns = random_below(random, 2) * 2000;
  life l = {.st = st, .pool = stress_pool(st, &config)};
  submitter submitters[SUBMITTERS];
  pthread_t threads[SUBMITTERS], drainer;
  mp_task *stuck = random_below(random, 16) == 0 ? get_stuck(&l) : NULL;
  for (int i = 0; i < SUBMITTERS; i++) {
    submitters[i] = (submitter){.life = &l, .random = next_random(random)};
    CHECK(st, pthread_create(&threads[i], NULL, submitter_main, &submitters[i]) == 0);
  }
  CHECK(st, pthread_create(&drainer, NULL, drainer_main, &l) == 0);
  usleep(random_below(random, 500));
  mp_shutdown_mode mode = (mp_shutdown_mode)random_below(random, 3);
  uint64_t timeout_ns =
      stuck != NULL || random_below(random, 3) == 0 ? random_below(random, 1000000) : MP_FOREVER;
  mp_shutdown_report report = shut_down(&l, timeout_ns, mode);
  if (stuck != NULL) {
    CHECK(st, report.stuck >= 1 && mp_task_state(stuck) == MP_STATE_CANCELLED);
    mp_task_release(stuck);
  }
  for (int i = 0; i < SUBMITTERS; i++) pthread_join(threads[i], NULL);
  pthread_join(drainer, NULL);
  size_t accepted = stuck != NULL;
  for (int i = 0; i < SUBMITTERS; i++) accepted += submitters[i].accepted;
  mp_pool_info info = stress_info(l.pool);
  CHECK(st, info.submitted == accepted && info.finished == accepted);
  /*
  ** a submission may be between its acceptance and the queue when the deadline passes: it ends, but
  ** too late for the report
  */
  CHECK(st, report.done + report.cancelled <= accepted);
  if (timeout_ns == MP_FOREVER)
    CHECK(st, report.done + report.cancelled == accepted && report.stuck == 0);
  mp_pool_destroy(l.pool);
  mp_store_release(&l.let_go, true);
  /* a thread that was asked too late is on its way out */
  while (report.stuck > 0 && !fault_is_clean(&st->memory)) usleep(100);
  CHECK(st, fault_is_clean(&st->memory));
  CHECK(st, l.dropped == accepted && l.ran <= accepted);
  return accepted;
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  const size_t lives = 200 * st.scale;
  size_t tasks = 0;
  for (size_t i = 0; i < lives; i++) {
    tasks += live_once(&st, &random);
    stress_goes_on();
  }
  return stress_end(&st, "%zu pools, %zu tasks, deadlines missed by up to %.1f ms", lives, tasks,
                    (double)worst_overrun_ns / 1e6);
}
