/*
** All at once, for long: pools that live for 20,000 tasks each, which fail, are cancelled, time
** out, depend on one another, differ in priority, report progress and submit others, from several
** threads, until the pool is drained, shut down in some way or destroyed under them. After each
** life the sums agree, every handle is terminal and the live bytes are what they were before: none.
**
** `make soak` runs it with SOAK_SCALE=20: ten million tasks. Tells how far it is on stderr.
*/
#include "stress.h"

#include <pthread.h>
#include <unistd.h>

#define SUBMITTERS 2
#define EACH 10000 /* tasks of one submitter in one life */
#define RECENT 64  /* dependencies and victims are chosen among the latest */

typedef struct life {
  stress *st;
  mp_pool *pool;
  _Atomic size_t started, dropped, children, told, discarded;
} life;

typedef struct submitter {
  life *life;
  uint64_t random;
  mp_task *tasks[EACH];
  size_t accepted, refused, listened;
} submitter;

static void drop(void *arg) { mp_add_relaxed(&((life *)arg)->dropped, 1); }

static mp_status run_child(mp_worker *worker, void *arg) {
  return (void)worker, mp_add_relaxed(&((life *)arg)->started, 1), MP_OK;
}

static mp_status submit_child(life *l) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run_child;
  desc.arg = l;
  desc.drop = drop;
  mp_status status = mp_submit(l->pool, &desc, NULL);
  if (status == MP_OK) mp_add_relaxed(&l->children, 1);
  return status == MP_SHUTDOWN ? MP_OK : status;
}

static mp_status run(mp_worker *worker, void *arg) {
  life *l = arg;
  mp_task *own = mp_worker_task(worker);
  mp_add_relaxed(&l->started, 1);
  switch (mp_task_id(own) % 64) {
    case 0: return MP_FAILED;
    case 1: return MP_CANCELLED;
    case 2: return mp_worker_sleep(worker, 20000) == MP_OK ? MP_OK : MP_CANCELLED;
    case 3: return mp_task_report(own, 0.5, "half", 4);
    case 4:
    case 5: return submit_child(l);
    case 6: mp_worker_set_result(worker, malloc(64), free); return MP_OK;
    default: return MP_OK;
  }
}

static void on_progress(mp_task *task, double progress, const char *note, size_t length, void *ud) {
  (void)task, (void)progress, (void)note, (void)length, (void)ud;
}

static void on_end(mp_task *task, mp_state state, void *ud) {
  life *l = ud;
  CHECK(l->st, mp_state_is_terminal(state));
  mp_add_relaxed(task != NULL ? &l->told : &l->discarded, 1);
}

static mp_task_desc random_desc(submitter *s, mp_task **after) {
  uint64_t *random = &s->random;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run;
  desc.arg = s->life;
  desc.drop = drop;
  desc.listener_ud = s->life;
  if (random_below(random, 8) == 0) desc.notify = on_end;
  if (random_below(random, 16) == 0) desc.progress = on_progress;
  if (random_below(random, 8) == 0) desc.priority = (int)random_below(random, 5) - 2;
  if (random_below(random, 16) == 0) desc.timeout_ns = 1 + random_below(random, 2000000);
  if (random_below(random, 16) == 0) desc.flags = MP_TASK_TIMED;
  if (s->accepted < RECENT || random_below(random, 4) != 0) return desc;
  desc.after_count = 1 + random_below(random, 3);
  for (size_t i = 0; i < desc.after_count; i++)
    after[i] = s->tasks[s->accepted - 1 - random_below(random, RECENT)];
  desc.after = after;
  return desc;
}

static void *submitter_main(void *arg) {
  submitter *s = arg;
  while (s->accepted + s->refused < EACH) {
    mp_task *after[3];
    mp_task_desc desc = random_desc(s, after);
    mp_status status = mp_submit(s->life->pool, &desc, &s->tasks[s->accepted]);
    CHECK(s->life->st, status == MP_OK || status == MP_SHUTDOWN);
    if (status == MP_OK) {
      s->accepted++;
      s->listened += desc.notify != NULL;
    } else {
      s->refused++;
    }
    if (s->accepted > RECENT && random_below(&s->random, 16) == 0)
      mp_cancel(s->tasks[s->accepted - 1 - random_below(&s->random, RECENT)]);
  }
  return NULL;
}

/* Some lives end by themselves, in others the shutdown comes while tasks are being submitted. */
static mp_shutdown_report end_life(life *l, pthread_t *threads, uint64_t *random) {
  mp_shutdown_report report;
  bool early = random_below(random, 2) == 0;
  uint64_t timeout_ns = random_below(random, 4) == 0 ? random_below(random, 3000000) : MP_FOREVER;
  if (early)
    usleep(random_below(random, 20000));
  else
    for (int i = 0; i < SUBMITTERS; i++) pthread_join(threads[i], NULL);
  mp_poll(l->pool, MP_FOREVER, 0);
  CHECK(l->st, mp_pool_shutdown(l->pool, timeout_ns, (mp_shutdown_mode)random_below(random, 3),
                                &report) == MP_OK);
  if (early)
    for (int i = 0; i < SUBMITTERS; i++) pthread_join(threads[i], NULL);
  return report;
}

static void check_sums(life *l, const submitter *submitters) {
  size_t accepted = l->children, listened = 0, ended[4] = {0};
  for (int i = 0; i < SUBMITTERS; i++) {
    const submitter *s = &submitters[i];
    CHECK(l->st, s->accepted + s->refused == EACH);
    accepted += s->accepted;
    listened += s->listened;
    for (size_t k = 0; k < s->accepted; k++) {
      mp_state state = mp_task_state(s->tasks[k]);
      CHECK(l->st, mp_state_is_terminal(state));
      ended[state - MP_STATE_DONE]++;
    }
  }
  mp_pool_info info = stress_info(l->pool);
  CHECK(l->st, info.submitted == accepted && info.finished == accepted);
  CHECK(l->st, info.done + info.failed + info.cancelled + info.timed_out == accepted);
  /* children only succeed, or are cancelled */
  CHECK(l->st, info.failed == ended[1] && info.timed_out == ended[3]);
  CHECK(l->st, info.done + info.cancelled == ended[0] + ended[2] + l->children);
  CHECK(l->st, l->started <= accepted && l->told <= listened);
}

/* Returns how many tasks were tried. */
static size_t live_once(stress *st, submitter *submitters, uint64_t *random) {
  mp_pool_config config = stress_config(st);
  config.workers = 1 + random_below(random, 2 * st->threads);
  config.spin_ns = random_below(random, 2) * 2000;
  config.mailbox_max = 1 + random_below(random, 5000);
  life l = {.st = st, .pool = stress_pool(st, &config)};
  pthread_t threads[SUBMITTERS];
  size_t accepted = 0, listened = 0;
  for (int i = 0; i < SUBMITTERS; i++) {
    submitters[i].life = &l;
    submitters[i].random = next_random(random);
    submitters[i].accepted = submitters[i].refused = submitters[i].listened = 0;
    CHECK(st, pthread_create(&threads[i], NULL, submitter_main, &submitters[i]) == 0);
  }
  mp_shutdown_report report = end_life(&l, threads, random);
  check_sums(&l, submitters);
  bool handles_first = random_below(random, 2) == 0;
  if (!handles_first) mp_pool_destroy(l.pool);
  for (int i = 0; i < SUBMITTERS; i++) {
    for (size_t k = 0; k < submitters[i].accepted; k++) mp_task_release(submitters[i].tasks[k]);
    accepted += submitters[i].accepted;
    listened += submitters[i].listened;
  }
  if (handles_first) mp_pool_destroy(l.pool);
  /* a thread that was asked too late is on its way out */
  while (report.stuck > 0 && !fault_is_clean(&st->memory)) usleep(100);
  CHECK(st, fault_is_clean(&st->memory));
  CHECK(st, l.dropped == accepted + l.children && l.told + l.discarded == listened);
  return SUBMITTERS * EACH + l.children;
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed, told_ns = mp_now();
  const size_t wanted = 500000 * st.scale;
  submitter *submitters = calloc(SUBMITTERS, sizeof *submitters);
  size_t tasks = 0, lives = 0;
  bool told = false;
  for (; tasks < wanted; lives++) {
    tasks += live_once(&st, submitters, &random);
    if (mp_now() - told_ns < (uint64_t)1000000000) continue;
    told_ns = mp_now();
    told = true;
    stress_goes_on();
    fprintf(stderr, "\rsoak: %zu of %zu tasks, %zu pools, %zu bytes live ", tasks, wanted,
            lives + 1, fault_live_bytes(&st.memory));
  }
  if (told) fprintf(stderr, "\n");
  free(submitters);
  return stress_end(&st, "%zu pools, %zu tasks tried, %zu bytes live", lives, tasks,
                    fault_live_bytes(&st.memory));
}
