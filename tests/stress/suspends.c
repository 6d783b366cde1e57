/*
** Tasks that suspend at random, for tasks before them, for mail, for a time, and are cancelled,
** overdue, drained or shut down meanwhile; on strands, to which and from which they move as they
** suspend. A body is never inside twice at a time, nor two of a strand, nor called again after it
** has ended; each argument is dropped once, behind the body; nothing is left asleep.
*/
#include "stress.h"

#include <unistd.h>

#define TASKS_MAX 64
#define STEPS_MAX 6
#define STRANDS 2

typedef struct life life;

typedef struct step {
  life *life;
  unsigned rank;
  uint64_t random;
  unsigned left;   /* steps */
  int next_strand; /* on which its body is called next, or -1 */
  _Atomic unsigned inside, ended, dropped;
  mp_task *awaited[3];
} step;

struct life {
  stress *st;
  mp_pool *pool;
  mp_mailbox *mailbox;
  mp_strand *strands[STRANDS];
  _Atomic unsigned on_strand[STRANDS];
  mp_task *tasks[TASKS_MAX];
  step steps[TASKS_MAX];
  unsigned n;
  _Atomic size_t suspended;
};

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }

static uint64_t some_time(uint64_t *random) { return random_below(random, 200000); }

static int some_strand(uint64_t *random) { return (int)random_below(random, STRANDS + 1) - 1; }
static mp_strand *strand_of(life *l, int i) { return i < 0 ? NULL : l->strands[i]; }

/* It waits for tasks before it only, as dependencies do, so that nobody waits in a circle. */
static mp_status suspend(step *s, mp_worker *worker) {
  unsigned n = s->rank == 0 ? 0 : random_below(&s->random, 4);
  bool mail = random_below(&s->random, 4) == 0;
  for (unsigned i = 0; i < n; i++)
    s->awaited[i] = s->life->tasks[random_below(&s->random, s->rank)];
  bool patient = n > 0 && random_below(&s->random, 2) == 0;
  mp_mailbox *mailbox = mail ? s->life->mailbox : NULL;
  uint64_t timeout_ns = patient ? MP_FOREVER : some_time(&s->random);
  mp_add_relaxed(&s->life->suspended, 1);
  if (random_below(&s->random, 4) != 0)
    return mp_suspend(worker, s->awaited, n, mailbox, timeout_ns);
  int strand = some_strand(&s->random);
  mp_status status =
      mp_suspend_on(worker, strand_of(s->life, strand), s->awaited, n, mailbox, timeout_ns);
  if (status == MP_OK) s->next_strand = strand;
  return status;
}

static mp_status go_on(step *s, mp_worker *worker) {
  bool first = mp_worker_resumed(worker) == MP_INVALID;
  if (!first && mp_worker_cancelled(worker) && random_below(&s->random, 4) != 0)
    return MP_CANCELLED;
  if (random_below(&s->random, 8) == 0)
    (void)!mp_mailbox_send(s->life->mailbox, on_letter, NULL, "x", 1);
  if (random_below(&s->random, 8) == 0) (void)!mp_worker_sleep(worker, some_time(&s->random));
  if (s->rank > 0 && random_below(&s->random, 4) == 0)
    (void)mp_worker_run(worker, s->life->tasks[random_below(&s->random, s->rank)]);
  if (s->left == 0) return random_below(&s->random, 8) == 0 ? MP_FAILED : MP_OK;
  s->left--;
  mp_status status = suspend(s, worker);
  return status == MP_OK ? MP_SUSPENDED : status;
}

static mp_status run(mp_worker *worker, void *arg) {
  step *s = arg;
  CHECK(s->life->st, mp_add_acq_rel(&s->inside, 1) == 0);
  CHECK(s->life->st, mp_load_acquire(&s->ended) == 0 && mp_load_acquire(&s->dropped) == 0);
  int strand = s->next_strand;
  _Atomic unsigned *on = &s->life->on_strand[strand < 0 ? 0 : strand];
  if (strand >= 0) CHECK(s->life->st, mp_add_acq_rel(on, 1) == 0);
  mp_status status = go_on(s, worker);
  if (status != MP_SUSPENDED) mp_store_release(&s->ended, 1);
  if (strand >= 0) mp_sub_acq_rel(on, 1);
  mp_sub_acq_rel(&s->inside, 1);
  return status;
}

static void drop(void *arg) {
  step *s = arg;
  CHECK(s->life->st, mp_load_acquire(&s->inside) == 0);
  CHECK(s->life->st, mp_add_acq_rel(&s->dropped, 1) == 0);
}

static void submit_all(life *l, uint64_t *random) {
  for (unsigned i = 0; i < l->n; i++) {
    mp_task_desc desc = MP_TASK_DESC_INIT;
    step *s = &l->steps[i];
    *s = (step){.life = l, .rank = i, .random = next_random(random)};
    s->left = random_below(random, STEPS_MAX);
    s->next_strand = some_strand(random);
    desc.run = run;
    desc.drop = drop;
    desc.arg = s;
    desc.strand = strand_of(l, s->next_strand);
    desc.priority = random_below(random, 4) == 0 ? (int)random_below(random, 3) - 1 : 0;
    desc.timeout_ns = random_below(random, 8) == 0 ? 1 + some_time(random) : 0;
    if (i > 0 && random_below(random, 4) == 0) {
      desc.after = &l->tasks[random_below(random, i)];
      desc.after_count = 1;
    }
    CHECK(l->st, mp_submit(l->pool, &desc, &l->tasks[i]) == MP_OK);
  }
}

static void disturb(life *l, uint64_t *random) {
  for (unsigned i = random_below(random, 2 * l->n); i > 0; i--) {
    mp_task *task = l->tasks[random_below(random, l->n)];
    switch (random_below(random, 6)) {
      case 0: (void)!mp_cancel(task); break;
      case 1: (void)!mp_cancel_now(task); break;
      case 2: (void)!mp_mailbox_send(l->mailbox, on_letter, NULL, "x", 1); break;
      case 3: (void)mp_mailbox_poll(l->mailbox, MP_FOREVER, 1, NULL); break;
      case 4: (void)!mp_wait(task, some_time(random)); break;
      default: usleep(random_below(random, 100));
    }
  }
}

static size_t live_once(stress *st, uint64_t *random) {
  mp_pool_config config = stress_config(st);
  static life l; /* too large for the stack */
  config.workers = 1 + random_below(random, 8);
  config.spin_ns = random_below(random, 2) * 2000;
  config.owner_works = (int)random_below(random, 2);
  l = (life){.st = st, .pool = stress_pool(st, &config)};
  l.n = 1 + random_below(random, TASKS_MAX);
  CHECK(st, mp_mailbox_create(l.pool, &l.mailbox) == MP_OK);
  for (int i = 0; i < STRANDS; i++) CHECK(st, mp_strand_create(l.pool, &l.strands[i]) == MP_OK);
  submit_all(&l, random);
  disturb(&l, random);
  unsigned how = random_below(random, 4);
  if (how == 0)
    CHECK(st, mp_pool_drain(l.pool, MP_FOREVER) == MP_OK);
  else
    CHECK(st, mp_pool_shutdown(l.pool, how == 1 ? MP_FOREVER : some_time(random),
                               (mp_shutdown_mode)random_below(random, 3), NULL) == MP_OK);
  for (unsigned i = 0; i < l.n; i++) {
    CHECK(st, mp_state_is_terminal(mp_task_state(l.tasks[i])));
    mp_task_release(l.tasks[i]);
  }
  CHECK(st, stress_info(l.pool).suspended == 0 || how != 0);
  for (int i = 0; i < STRANDS; i++) mp_strand_release(l.strands[i]);
  mp_pool_destroy(l.pool);
  /* a body that a shutdown did not wait for ends a moment later */
  for (unsigned i = 0; i < l.n; i++)
    while (mp_load_acquire(&l.steps[i].dropped) == 0) usleep(50);
  mp_mailbox_close(l.mailbox);
  while (!fault_is_clean(&st->memory)) usleep(50);
  return mp_load_relaxed(&l.suspended);
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t n = 400 * st.scale;
  size_t suspended = 0;
  uint64_t random = st.seed;
  for (size_t i = 0; i < n; i++) {
    suspended += live_once(&st, &random);
    stress_goes_on();
  }
  return stress_end(&st, "%zu pools, suspended %zu times", n, suspended);
}
