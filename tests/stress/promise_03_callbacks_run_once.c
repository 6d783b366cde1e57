/*
** Promise 3, in C: each callback runs exactly once, on the thread that polls its mailbox, after the
** end; progress in order and before it. Half of the callbacks are asked for late, when the task may
** be over; callbacks submit, ask, wait, cancel and poll. A million at scale 10.
*/
#include "stress.h"

#include <pthread.h>

#define REPORTS 3
#define LAG 300 /* so many tasks later the late ones are asked for */

typedef struct life {
  stress *st;
  mp_pool *pool;
  pthread_t owner;
  size_t children; /* submitted by callbacks */
} life;

typedef struct subject {
  life *all;
  mp_task *task;
  double progress; /* the last one heard of */
  unsigned told, done;
  bool late;
  uint32_t deed; /* what its callback does besides */
} subject;

static mp_status run(mp_worker *worker, void *arg) {
  subject *s = arg;
  for (int i = 1; i <= REPORTS && s->deed % 2 == 0; i++)
    if (mp_task_report(mp_worker_task(worker), (double)i / REPORTS, NULL, 0) != MP_OK)
      return MP_FAILED;
  return s->deed % 5 == 0 ? MP_FAILED : MP_OK;
}

static mp_status run_child(mp_worker *worker, void *arg) { return (void)worker, (void)arg, MP_OK; }

static void on_progress(mp_task *task, double progress, const char *note, size_t length, void *ud) {
  subject *s = ud;
  (void)note, (void)length;
  CHECK(s->all->st, pthread_equal(pthread_self(), s->all->owner));
  CHECK(s->all->st, task == s->task && progress > s->progress);
  CHECK(s->all->st, s->told == 0);
  s->progress = progress;
}

/* Whatever a callback may do with whatever handle. */
static void do_something(subject *s) {
  life *l = s->all;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *child;
  desc.run = run_child;
  switch (s->deed % 8) {
    case 0: CHECK(l->st, mp_wait(s->task, MP_FOREVER) == MP_OK); break;
    case 1:
      CHECK(l->st, mp_submit(l->pool, &desc, &child) == MP_OK);
      CHECK(l->st, mp_wait(child, MP_FOREVER) == MP_OK);
      mp_task_release(child);
      l->children++;
      break;
    case 2: mp_cancel(s->task); break;
    case 3:
      mp_poll(l->pool, MP_FOREVER, 3); /* others' callbacks run inside */
      break;
    default: break;
  }
}

static void on_end(mp_task *task, mp_state state, void *ud) {
  subject *s = ud;
  CHECK(s->all->st, pthread_equal(pthread_self(), s->all->owner));
  CHECK(s->all->st, task == s->task && mp_state_is_terminal(state) && mp_task_state(task) == state);
  if (s->told++ == 0) do_something(s);
}

static void on_done(mp_task *task, mp_state state, void *arg) {
  subject *s = arg;
  CHECK(s->all->st, task == s->task && mp_task_state(task) == state);
  s->done++;
}

static void ask_late(subject *s) {
  if (s->late)
    CHECK(s->all->st, mp_task_notify(s->task, mp_pool_mailbox(s->all->pool), on_end, s) == MP_OK);
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const size_t n = 100000 * st.scale;
  uint64_t random = st.seed;
  mp_pool_config config = stress_config(&st);
  config.mailbox_max = REPORTS * n; /* none is dropped */
  life l = {&st, stress_pool(&st, &config), pthread_self(), 0};
  subject *subjects = calloc(n, sizeof *subjects);
  for (size_t i = 0; i < n; i++) {
    subject *s = &subjects[i];
    mp_task_desc desc = MP_TASK_DESC_INIT;
    *s = (subject){
        .all = &l, .late = random_below(&random, 2) == 0, .deed = random_below(&random, 1000)};
    desc.run = run;
    desc.arg = s;
    desc.done = on_done;
    desc.progress = on_progress;
    desc.notify = s->late ? NULL : on_end;
    desc.listener_ud = s;
    CHECK(&st, mp_submit(l.pool, &desc, &s->task) == MP_OK);
    if (i >= LAG) ask_late(&subjects[i - LAG]);
    if (i % 500 == 0) mp_poll(l.pool, MP_FOREVER, 0);
  }
  for (size_t i = n - LAG; i < n; i++) ask_late(&subjects[i]);
  do mp_poll(l.pool, MP_FOREVER, 0);
  while (stress_settle(&st, l.pool).submitted != n + l.children ||
         mp_mailbox_count(mp_pool_mailbox(l.pool)) > 0);
  for (size_t i = 0; i < n; i++) {
    CHECK(&st, subjects[i].told == 1 && subjects[i].done == 1);
    CHECK(&st, subjects[i].progress == (subjects[i].deed % 2 == 0 ? 1.0 : 0.0));
    mp_task_release(subjects[i].task);
  }
  free(subjects);
  stress_pool_end(&st, l.pool);
  return stress_end(&st, "%zu callbacks of ends, %zu tasks started in them", 2 * n, l.children);
}
