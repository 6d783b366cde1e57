/*
** Promise 17: after fork(2) the child sees every pool as unusable, whatever call it makes, and
** never hangs. 2,000 forks with SCALE=10.
*/
#include "unit.h"

#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }
static void on_end(mp_task *task, mp_state state, void *ud) { (void)task, (void)state, (void)ud; }
static void on_progress(mp_task *task, double progress, const char *note, size_t length, void *ud) {
  (void)task, (void)progress, (void)note, (void)length, (void)ud;
}
static void on_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker, (void)begin, (void)end, (void)arg;
}
static void on_node(mp_worker *worker, void *arg) { (void)worker, (void)arg; }

#define EXPECT(condition) \
  if (!(condition)) return __LINE__

typedef struct things {
  world *w;
  mp_task *task;
  mp_mailbox *mailbox;
  mp_bytes *bytes;
  mp_graph *graph;
} things;

/* In the child: 0, or the line of what went wrong, modulo 256. */
static int try_everything(const things *t) {
  mp_pool *pool = t->w->pool;
  probe p = {0};
  const mp_task_desc desc = probe_desc(&p);
  mp_pool_info info = MP_POOL_INFO_INIT;
  size_t index, left;
  int fd;
  EXPECT(mp_pool_status(pool) == MP_FORKED);
  EXPECT(mp_submit(pool, &desc, NULL) == MP_FORKED);
  EXPECT(mp_pool_set_limits(pool, &(mp_limits){0}) == MP_FORKED);
  EXPECT(mp_submit_batch(pool, &desc, 10, 0, NULL) == MP_FORKED);
  EXPECT(mp_wait(t->task, MP_FOREVER) == MP_FORKED);
  EXPECT(mp_wait_any(pool, &t->task, 1, t->mailbox, MP_FOREVER, &index) == MP_FORKED);
  EXPECT(mp_cancel(t->task) == 0);
  EXPECT(mp_task_notify(t->task, t->mailbox, on_end, NULL) == MP_FORKED);
  EXPECT(mp_task_on_progress(t->task, t->mailbox, on_progress, NULL) == MP_FORKED);
  EXPECT(mp_task_report(t->task, 0.5, NULL, 0) == MP_FORKED);
  EXPECT(mp_mailbox_send(t->mailbox, on_letter, NULL, "x", 1) == MP_FORKED);
  EXPECT(mp_mailbox_poll(t->mailbox, MP_FOREVER, 0, &left) == 0);
  EXPECT(mp_poll(pool, MP_FOREVER, 0) == 0);
  EXPECT(mp_fd(pool, &fd) == MP_FORKED);
  EXPECT(mp_for(pool, 0, 100, 1, on_piece, NULL) == MP_FORKED);
  EXPECT(mp_graph_run(t->graph) == MP_FORKED);
  EXPECT(mp_pool_drain(pool, MP_FOREVER) == MP_FORKED);
  EXPECT(mp_pool_shutdown(pool, MP_FOREVER, MP_SHUTDOWN_CANCEL_PENDING, NULL) == MP_FORKED);
  mp_pool_get_info(pool, &info);
  mp_pool_log(pool, MP_LOG_ERROR, "child", "not heard");
  mp_graph_destroy(t->graph);
  mp_bytes_release(t->bytes);
  mp_task_release(t->task);
  mp_mailbox_close(t->mailbox);
  mp_pool_destroy(pool);
  EXPECT(p.ran == 0 && p.dropped == 0);
  return 0;
}

static void swallow(void *ud, mp_log_level level, const char *area, const char *line) {
  (void)ud, (void)level, (void)area, (void)line;
}

static mp_status keep_busy(mp_worker *worker, void *arg) {
  mp_pool *pool = mp_worker_pool(worker);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)!mp_mailbox_send(arg, on_letter, NULL, "x", 1);
  mp_pool_log(pool, MP_LOG_INFO, "task", "busy");
  desc.run = keep_busy;
  desc.arg = arg;
  desc.drop = NULL;
  mp_status status = mp_submit(pool, &desc, NULL);
  return status == MP_SHUTDOWN ? MP_OK : status;
}

/* A child that hangs is killed by its alarm, which the parent sees as a status that is not 0. */
static void fork_once(const things *t) {
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(60);
    _exit(try_everything(t) & 0xFF);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static void fork_often(int forks, int busy) {
  world w;
  things t = {&w, NULL, NULL, NULL, NULL};
  uint32_t node;
  /* malloc, which knows of fork: the lock of a fault_alloc could be held for ever */
  mp_pool_config config = mp_pool_config_default();
  config.workers = 2;
  config.log = swallow;
  config.mailbox_max = 16;
  assert_ok(mp_pool_create(&config, &w.pool));
  t.task = probe_submit(&w, &(probe){.outcome = MP_OK});
  assert_ends(t.task, MP_STATE_DONE, MP_OK);
  assert_ok(mp_mailbox_create(w.pool, &t.mailbox));
  assert_ok(mp_bytes_create(w.pool, "x", 2, &t.bytes));
  assert_ok(mp_graph_create(w.pool, &t.graph));
  assert_ok(mp_graph_add(t.graph, NULL, on_node, NULL, &node));
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = keep_busy;
  desc.arg = t.mailbox;
  for (int i = 0; i < busy; i++) assert_ok(mp_submit(w.pool, &desc, NULL));
  for (int i = 0; i < forks; i++) fork_once(&t);
  /* the parent's pool is as it was */
  assert_ok(mp_pool_shutdown(w.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  mp_graph_destroy(t.graph);
  mp_bytes_release(t.bytes);
  mp_task_release(t.task);
  mp_mailbox_close(t.mailbox);
  mp_pool_destroy(w.pool);
}

static void test_fork_idle_pool_child_is_told(void **state) {
  (void)state;
  fork_often(1, 0);
}

static void test_fork_busy_pool_child_never_hangs(void **state) {
  (void)state;
  const char *scale = getenv("SCALE");
  fork_often(200 * (scale != NULL ? atoi(scale) : 1), 4);
}

/* Long enough for whoever waits to sleep. */
static mp_status nap(mp_worker *worker, void *arg) {
  (void)worker, (void)arg;
  usleep(20000);
  return MP_OK;
}

static int use_own_pool(void) {
  mp_pool_config config = mp_pool_config_default();
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_pool *pool;
  mp_task *task;
  config.workers = 1;
  EXPECT(mp_pool_create(&config, &pool) == MP_OK);
  desc.run = nap;
  EXPECT(mp_submit(pool, &desc, &task) == MP_OK);
  EXPECT(mp_wait(task, MP_FOREVER) == MP_OK);
  mp_task_release(task);
  mp_pool_destroy(pool);
  return 0;
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_THREADS_IN_CHILDREN /* it allows none after a fork of several threads */
#endif
#endif

static void test_fork_child_can_have_a_pool_of_its_own(void **state) {
  world w;
  int status;
  (void)state;
#ifdef NO_THREADS_IN_CHILDREN
  skip();
#endif
  world_open(&w, 1);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(60);
    _exit(use_own_pool() & 0xFF);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  world_close(&w);
}

/* A task forks, and its body returns in the child: what is queued runs in the parent only. */
typedef struct forking {
  _Atomic unsigned runs[20];
  _Atomic unsigned children;
} forking;

static mp_status count_run(mp_worker *worker, void *arg) {
  (void)worker;
  mp_add_relaxed((_Atomic unsigned *)arg, 1);
  return MP_OK;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN_ENDS_THREADS 1
#endif
#endif

/*
** In a child whose only thread the engine will end, which ends the process: with no more ado, for a
** leak checker would miss the stacks of the threads that are not there. AddressSanitizer's own end
** of a thread may wait for a lock that another held at the fork: there the process ends before.
*/
#ifdef NO_THREADS_IN_CHILDREN /* nor does it bear atexit there */
static void let_thread_end(void) { alarm(60); }
#elif defined(ASAN_ENDS_THREADS)
int __cxa_thread_atexit_impl(void (*function)(void *), void *arg, void *dso);

static void leave(void *arg) { (void)arg, _exit(0); }

static void let_thread_end(void) {
  alarm(60);
  if (__cxa_thread_atexit_impl(leave, NULL, NULL) != 0) _exit(1);
}
#else
static void leave(void) { _exit(0); }

static void let_thread_end(void) {
  alarm(60);
  atexit(leave);
}
#endif

static mp_status fork_inside(mp_worker *worker, void *arg) {
  int status;
  (void)worker, (void)arg;
  pid_t child = fork();
  if (child < 0) return MP_FAILED;
  if (child == 0) {
    let_thread_end();
    return MP_OK;
  }
  return waitpid(child, &status, 0) == child && status == 0 ? MP_OK : MP_FAILED;
}

static void test_fork_inside_a_task_the_child_runs_nothing_more(void **state) {
  world w;
  (void)state;
  forking *f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(f != MAP_FAILED);
  mp_pool_config config = mp_pool_config_default();
  config.workers = 1;
  assert_ok(mp_pool_create(&config, &w.pool));
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = fork_inside;
  assert_ok(mp_submit(w.pool, &desc, &task));
  desc.run = count_run;
  for (size_t i = 0; i < LENGTH(f->runs); i++) {
    desc.arg = &f->runs[i];
    assert_ok(mp_submit(w.pool, &desc, NULL));
  }
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  for (size_t i = 0; i < LENGTH(f->runs); i++) assert_int_equal(mp_load_relaxed(&f->runs[i]), 1);
  mp_pool_destroy(w.pool);
  munmap(f, sizeof *f);
}

/* The same wherever the host's code runs: what begins in the parent ends there only. */
typedef enum fork_site {
  IN_LOOP_OUTSIDE,
  IN_LOOP,
  IN_JOB,
  IN_NODE,
  IN_DROP,
  IN_RESULT,
  IN_IDLE
} fork_site;

typedef struct counts {
  _Atomic unsigned runs[20], pieces[50];
} counts;

typedef struct fork_place {
  mp_job job;
  fork_site site;
  mp_pool *pool;
  counts *shared;
  pid_t parent;
  _Atomic bool begun;
  tally reaped;
  int status; /* of the child */
} fork_place;

static fork_place *forks;

static void fork_at(fork_site site) {
  fork_place *f = forks;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  if (site != f->site || mp_swap_acq_rel(&f->begun, true)) return;
  desc.run = count_run;
  desc.arg = f->shared->runs;
  if (mp_submit_batch(f->pool, &desc, LENGTH(f->shared->runs), sizeof *f->shared->runs, NULL))
    return;
  pid_t child = fork();
  if (child == 0) {
    let_thread_end();
    return;
  }
  if (child < 0 || waitpid(child, &f->status, 0) != child) f->status = -1;
  tally_add(&f->reaped);
}

static void piece_that_forks(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker, (void)arg;
  for (size_t i = begin; i < end; i++) mp_add_relaxed(&forks->shared->pieces[i], 1);
  fork_at(IN_LOOP_OUTSIDE);
  fork_at(IN_LOOP);
}

static void job_that_forks(mp_worker *worker, mp_job *job) {
  (void)worker, (void)job;
  fork_at(IN_JOB);
}

static void node_that_forks(mp_worker *worker, void *arg) {
  (void)worker;
  mp_add_relaxed((_Atomic unsigned *)arg, 1);
  fork_at(IN_NODE);
}

static void drop_that_forks(void *arg) {
  (void)arg;
  fork_at(IN_DROP);
}

static void result_that_forks(void *arg) {
  (void)arg;
  fork_at(IN_RESULT);
}

static int idle_that_forks(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local, (void)ud;
  fork_at(IN_IDLE);
  return 0;
}

static mp_status loop_that_forks(mp_pool *pool) {
  return mp_for(pool, 0, LENGTH(forks->shared->pieces), 1, piece_that_forks, NULL);
}

static mp_status run_a_graph_that_forks(mp_pool *pool) {
  mp_graph *graph;
  uint32_t node, last = 0;
  mp_status status = mp_graph_create(pool, &graph);
  for (size_t i = 0; i < LENGTH(forks->shared->pieces) && status == MP_OK; i++, last = node) {
    status = mp_graph_add(graph, NULL, node_that_forks, &forks->shared->pieces[i], &node);
    if (status == MP_OK && i > 0) status = mp_graph_edge(graph, last, node);
  }
  if (status == MP_OK) status = mp_graph_run(graph);
  mp_graph_destroy(graph);
  return status;
}

/* The caller of a loop or a graph may itself be in the child by now. */
static mp_status checked(const fork_place *f, mp_status status) {
  if (getpid() != f->parent) _exit(status == MP_FORKED ? 0 : 9);
  return status;
}

static mp_status task_that_forks(mp_worker *worker, void *arg) {
  fork_place *f = arg;
  if (f->site == IN_LOOP) return checked(f, loop_that_forks(f->pool));
  if (f->site == IN_NODE) return checked(f, run_a_graph_that_forks(f->pool));
  if (f->site == IN_JOB) mp_fork(worker, &f->job, job_that_forks);
  if (f->site == IN_JOB) mp_join(worker, &f->job);
  if (f->site == IN_RESULT) mp_worker_set_result(worker, f, result_that_forks);
  return MP_OK;
}

static void fork_there(fork_site site, unsigned workers, counts *shared) {
  fork_place f = {.site = site, .shared = shared, .parent = getpid(), .reaped = TALLY_INIT};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_pool_config config = mp_pool_config_default();
  world w;
  memset(shared, 0, sizeof *shared);
  forks = &f;
  config.workers = workers;
  config.worker_idle = idle_that_forks;
  config.idle_after_ns = MILLISECOND;
  assert_ok(mp_pool_create(&config, &w.pool));
  f.pool = w.pool;
  if (site == IN_LOOP_OUTSIDE) {
    mp_status status = loop_that_forks(w.pool);
    assert_ok(checked(&f, status));
  }
  desc.run = task_that_forks;
  desc.arg = &f;
  desc.drop = drop_that_forks;
  assert_ok(mp_submit(w.pool, &desc, NULL));
  tally_await(&f.reaped, 1);
  assert_int_equal(f.status, 0);
  world_drain(&w);
  bool pieces = site == IN_LOOP_OUTSIDE || site == IN_LOOP || site == IN_NODE;
  for (size_t i = 0; i < LENGTH(shared->pieces); i++)
    assert_int_equal(mp_load_relaxed(&shared->pieces[i]), pieces);
  for (size_t i = 0; i < LENGTH(shared->runs); i++)
    assert_int_equal(mp_load_relaxed(&shared->runs[i]), 1);
  mp_pool_destroy(w.pool);
}

static void *share(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED);
  return p;
}

static void test_fork_in_pieces_jobs_nodes_and_hooks_the_child_runs_nothing_more(void **state) {
  counts *shared = share(sizeof *shared);
  (void)state;
  for (int site = IN_LOOP_OUTSIDE; site <= IN_IDLE; site++)
    for (unsigned workers = 1; workers <= 2; workers++)
      fork_there((fork_site)site, workers, shared);
  munmap(shared, sizeof *shared);
}

/* A task's child waits in a pool of its own: no thread comes for the seat in the parent's. */
static mp_status fork_and_use_own_pool(mp_worker *worker, void *arg) {
  int status;
  (void)worker, (void)arg;
  pid_t child = fork();
  if (child < 0) return MP_FAILED;
  if (child == 0) {
    alarm(60);
    _exit(use_own_pool() & 0xFF);
  }
  return waitpid(child, &status, 0) == child && status == 0 ? MP_OK : MP_FAILED;
}

static void test_fork_inside_a_task_the_child_can_have_a_pool_of_its_own(void **state) {
  world w;
  mp_pool_config config = mp_pool_config_default();
  (void)state;
#ifdef NO_THREADS_IN_CHILDREN
  skip();
#endif
  counts *shared = share(sizeof *shared);
  config.workers = 1;
  assert_ok(mp_pool_create(&config, &w.pool));
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = fork_and_use_own_pool;
  assert_ok(mp_submit(w.pool, &desc, &task));
  desc.run = count_run;
  desc.arg = shared->runs;
  assert_ok(mp_submit_batch(w.pool, &desc, LENGTH(shared->runs), sizeof *shared->runs, NULL));
  assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  for (size_t i = 0; i < LENGTH(shared->runs); i++)
    assert_int_equal(mp_load_relaxed(&shared->runs[i]), 1);
  mp_pool_destroy(w.pool);
  munmap(shared, sizeof *shared);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fork_idle_pool_child_is_told),
      cmocka_unit_test(test_fork_busy_pool_child_never_hangs),
      cmocka_unit_test(test_fork_child_can_have_a_pool_of_its_own),
      cmocka_unit_test(test_fork_inside_a_task_the_child_runs_nothing_more),
      cmocka_unit_test(test_fork_in_pieces_jobs_nodes_and_hooks_the_child_runs_nothing_more),
      cmocka_unit_test(test_fork_inside_a_task_the_child_can_have_a_pool_of_its_own),
  };
  return unit_main(tests);
}
