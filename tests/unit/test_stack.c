/*
** What runs on top of a thread that waits, and for whom: nothing that may wait for what lies below,
** so that two threads that wait without a circle never wait for ever.
*/
#include "unit.h"

#include <string.h>

static mp_pool *open_pool(world *w, unsigned workers, int owner_works) {
  mp_pool_config config = world_config(w, workers);
  config.owner_works = owner_works;
  world_open_with(w, config);
  return w->pool;
}

static mp_task *submit(mp_pool *pool, mp_task_run *run, void *arg, int priority) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  desc.priority = priority;
  assert_ok(mp_submit(pool, &desc, &task));
  return task;
}

/* Waits until somebody sleeps in a wait, or is about to: a moment that no test relies on. */
static void a_moment(void) { usleep(20000); }

/*
** {======================================================
** Joins
** =======================================================
*/

/* A task that loops; while it joins the last piece, another task, which waits for it, is queued. */
typedef struct joining {
  mp_pool *pool;
  mp_task *looper;
  tally begun, release;
  _Atomic int first;
} joining;

static void piece_of_joining(mp_worker *worker, size_t begin, size_t end, void *arg) {
  joining *j = arg;
  (void)worker, (void)begin, (void)end;
  bool first = mp_add_acq_rel(&j->first, 1) == 0;
  tally_add(&j->begun);
  tally_await(first ? &j->begun : &j->release, first ? 2 : 1);
}

static mp_status run_looper(mp_worker *worker, void *arg) {
  joining *j = arg;
  return mp_for(mp_worker_pool(worker), 0, 2, 1, piece_of_joining, j);
}

static mp_status wait_for_looper(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(((joining *)arg)->looper, MP_FOREVER);
}

static void test_join_a_task_that_waits_for_the_joiner_does_not_run_on_top_of_it(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    world w;
    joining j = {open_pool(&w, 2, 0), NULL, TALLY_INIT, TALLY_INIT, 0};
    j.looper = submit(w.pool, run_looper, &j, 0);
    tally_await(&j.begun, 2);
    mp_task *waits = submit(w.pool, wait_for_looper, &j, 0);
    if (i % 2) a_moment();
    tally_add(&j.release);
    assert_ends_and_release(waits, MP_STATE_DONE, MP_OK);
    assert_ends_and_release(j.looper, MP_STATE_DONE, MP_OK);
    world_close(&w);
  }
}

/* Tasks that each loop, and whose second piece submits the next one: nothing recurses. */
typedef struct relay {
  mp_pool *pool;
  _Atomic unsigned depth_max, runs;
  unsigned n;
} relay;

static _Thread_local unsigned depth;

static mp_status run_relay(mp_worker *worker, void *arg);

static void piece_of_relay(mp_worker *worker, size_t begin, size_t end, void *arg) {
  relay *r = arg;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)worker;
  desc.run = run_relay;
  desc.arg = r;
  for (; begin < end; begin++)
    if (begin == 1 && mp_add_relaxed(&r->runs, 1) < r->n)
      assert_ok(mp_submit(r->pool, &desc, NULL));
    else
      usleep(50);
}

static mp_status run_relay(mp_worker *worker, void *arg) {
  relay *r = arg;
  unsigned now = ++depth, most = mp_load_relaxed(&r->depth_max);
  while (now > most && !mp_cas_relaxed(&r->depth_max, &most, now)) continue;
  mp_status status = mp_for(mp_worker_pool(worker), 0, 2, 1, piece_of_relay, r);
  depth--;
  return status;
}

static void test_join_tasks_that_arrive_meanwhile_do_not_pile_up_on_the_stack(void **state) {
  world w;
  relay r = {open_pool(&w, 2, 0), 0, 0, 2000};
  (void)state;
  mp_task_release(submit(w.pool, run_relay, &r, 0));
  world_drain(&w);
  assert_int_equal(mp_load_relaxed(&r.depth_max), 1);
  world_close(&w);
}

/* A forked piece below a task that was queued after it: the joiner finds it. */
typedef struct buried {
  mp_job job;
  world *w;
  probe above[3];
  bool ran;
} buried;

static void run_buried(mp_worker *worker, mp_job *job) {
  (void)worker;
  ((buried *)job)->ran = true;
}

static mp_status bury_and_join(mp_worker *worker, void *arg) {
  buried *b = arg;
  mp_fork(worker, &b->job, run_buried);
  for (size_t i = 0; i < LENGTH(b->above); i++) {
    mp_task_desc desc = probe_desc(&b->above[i]);
    assert_ok(mp_submit(b->w->pool, &desc, NULL));
  }
  mp_join(worker, &b->job);
  bool right = b->ran;
  for (size_t i = 0; i < LENGTH(b->above); i++) right &= b->above[i].ran == 0;
  return right ? MP_OK : MP_FAILED;
}

static void test_join_finds_its_piece_below_tasks_and_runs_none_of_them(void **state) {
  world w;
  buried b = {.w = &w};
  mp_pool_config config = world_config(&w, 1);
  (void)state;
  config.workers_extra = 0;
  world_open_with(&w, config);
  assert_ends_and_release(submit(w.pool, bury_and_join, &b, 0), MP_STATE_DONE, MP_OK);
  world_drain(&w);
  assert_dropped_once(b.above, LENGTH(b.above));
  world_close(&w);
}

static _Atomic unsigned took_part[256];

static void note_worker(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)begin, (void)end, (void)arg;
  mp_add_relaxed(&took_part[mp_worker_index(worker)], 1);
  usleep(2000);
}

static mp_status loop_in_task(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 2000, 1, note_worker, arg);
}

static unsigned count_took_part(void) {
  unsigned n = 0;
  for (size_t i = 0; i < LENGTH(took_part); i++) n += mp_load_relaxed(&took_part[i]) > 0;
  return n;
}

static void test_for_all_of_many_workers_take_part(void **state) {
  world w;
  (void)state;
  memset(took_part, 0, sizeof took_part);
  mp_pool_config config = world_config(&w, 100);
  config.stack_size = 1 << 20;
  world_open_with(&w, config);
  assert_ends_and_release(submit(w.pool, loop_in_task, NULL, 0), MP_STATE_DONE, MP_OK);
  assert_in_range(count_took_part(), 65, 101);
  world_close(&w);
}

/* Neither goes on before the other has begun. */
static void await_the_other(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker, (void)begin, (void)end;
  tally_add(arg);
  tally_await(arg, 2);
}

static mp_status loop_for_two(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 2, 1, await_the_other, arg);
}

static void test_for_one_worker_and_the_owner_both_take_part(void **state) {
  world w;
  tally begun = TALLY_INIT;
  (void)state;
  open_pool(&w, 1, 1);
  assert_ends_and_release(submit(w.pool, loop_for_two, &begun, 0), MP_STATE_DONE, MP_OK);
  world_close(&w);
}

/* }====================================================== */

/*
** {======================================================
** Waits
** =======================================================
*/

/* A waits for X, which runs elsewhere; its child Y, queued behind, waits for A. */
typedef struct family {
  mp_pool *pool;
  mp_task *a;
  tally x_runs, x_ends;
} family;

static mp_status run_x(mp_worker *worker, void *arg) {
  (void)worker;
  tally_add(&((family *)arg)->x_runs);
  tally_await(&((family *)arg)->x_ends, 1);
  return MP_OK;
}

static mp_status run_y(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_wait(arg, MP_FOREVER);
}

static mp_status run_a(mp_worker *worker, void *arg) {
  family *f = arg;
  mp_task *x = submit(f->pool, run_x, f, 0);
  tally_await(&f->x_runs, 1);
  mp_task *y = submit(f->pool, run_y, mp_worker_task(worker), 0);
  mp_task_release(y);
  mp_status status = mp_wait(x, MP_FOREVER);
  mp_task_release(x);
  return status;
}

static void test_wait_a_child_that_waits_for_its_parent_runs_elsewhere(void **state) {
  world w;
  family f = {open_pool(&w, 2, 0), NULL, TALLY_INIT, TALLY_INIT};
  (void)state;
  f.a = submit(w.pool, run_a, &f, 0);
  tally_await(&f.x_runs, 1);
  a_moment();
  tally_add(&f.x_ends);
  assert_ends(f.a, MP_STATE_DONE, MP_OK);
  world_drain(&w);
  mp_task_release(f.a);
  world_close(&w);
}

/* The owner runs A, which waits for what a worker does; T, in the queue, waits for A. */
static mp_status run_owners(mp_worker *worker, void *arg) {
  family *f = arg;
  (void)worker;
  tally_add(&f->x_runs);
  return mp_wait(f->a, MP_FOREVER);
}

static void *end_x_later(void *arg) {
  family *f = arg;
  tally_await(&f->x_runs, 2);
  a_moment();
  tally_add(&f->x_ends);
  return NULL;
}

static void test_wait_owner_inside_a_task_runs_nothing_that_may_wait_for_it(void **state) {
  world w;
  family f = {open_pool(&w, 1, 1), NULL, TALLY_INIT, TALLY_INIT};
  pthread_t thread;
  (void)state;
  f.a = submit(w.pool, run_x, &f, 0); /* the worker's */
  tally_await(&f.x_runs, 1);
  mp_task *outer = submit(w.pool, run_owners, &f, 0); /* the owner's */
  mp_task *t = submit(w.pool, run_y, outer, 0);
  assert_int_equal(pthread_create(&thread, NULL, end_x_later, &f), 0);
  assert_ends(outer, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(t, MP_STATE_DONE, MP_OK);
  mp_task_release(outer); /* t has waited for it */
  pthread_join(thread, NULL);
  assert_ends_and_release(f.a, MP_STATE_DONE, MP_OK);
  world_close(&w);
}

/* Two pools of one worker each: P's task waits for Q's, which waits for another of P's. */
typedef struct across {
  mp_pool *p, *q;
  _Atomic int depth;
} across;

static mp_status wait_in_p(mp_worker *worker, void *arg) {
  across *a = arg;
  (void)worker;
  mp_task *leaf = submit(a->p, run_nothing, NULL, 0);
  mp_status status = mp_wait(leaf, MP_FOREVER);
  mp_task_release(leaf);
  return status;
}

static mp_status wait_in_q(mp_worker *worker, void *arg) {
  across *a = arg;
  (void)worker;
  mp_task *task = submit(a->q, wait_in_p, a, 0);
  mp_status status = mp_wait(task, MP_FOREVER);
  mp_task_release(task);
  return status;
}

static void test_wait_for_another_pools_task_gives_the_seat_away(void **state) {
  world p, q;
  across a = {open_pool(&p, 1, 0), open_pool(&q, 1, 0), 0};
  (void)state;
  for (int i = 0; i < 50; i++)
    assert_ends_and_release(submit(p.pool, wait_in_q, &a, 0), MP_STATE_DONE, MP_OK);
  world_drain(&q);
  world_close(&p);
  world_close(&q);
}

/* One thread owns two pools: P's task, Q's on top of it, P's again, which sleeps. */
static mp_status descend(mp_worker *worker, void *arg) {
  across *a = arg;
  mp_pool *here = mp_worker_pool(worker);
  if (mp_add_relaxed(&a->depth, 1) == 2) return mp_worker_sleep(worker, MILLISECOND);
  mp_task *task = submit(here == a->p ? a->q : a->p, descend, a, 0);
  mp_status status = mp_wait(task, MP_FOREVER);
  mp_task_release(task);
  return status;
}

static void test_wait_owner_of_two_pools_goes_from_one_to_the_other_and_back(void **state) {
  world p, q;
  blockade busy[2];
  (void)state;
  across a = {open_pool(&p, 1, 1), open_pool(&q, 1, 1), 0};
  blockade_raise(&busy[0], &p, 1); /* the owner runs the rest */
  blockade_raise(&busy[1], &q, 1);
  assert_ends_and_release(submit(p.pool, descend, &a, 0), MP_STATE_DONE, MP_OK);
  for (int i = 0; i < 2; i++) blockade_lift(&busy[i]);
  world_close(&p);
  world_close(&q);
}

/*
** A, P's only worker's task, owns Q and waits there for T, which waits for P's task B. And T2,
** queued in Q, waits for A: it must not run on top of it.
*/
typedef struct owned_pool {
  world *q;
  mp_pool *p;
  mp_task *a, *b;
  tally t_runs;
} owned_pool;

static mp_status run_t(mp_worker *worker, void *arg) {
  owned_pool *o = arg;
  (void)worker;
  tally_add(&o->t_runs);
  a_moment();
  return mp_wait(o->b, MP_FOREVER);
}

static mp_status own_a_pool(mp_worker *worker, void *arg) {
  owned_pool *o = arg;
  mp_pool *q = open_pool(o->q, 1, 1);
  o->b = submit(mp_worker_pool(worker), run_nothing, NULL, 0);
  mp_task *t = submit(q, run_t, o, 0);
  tally_await(&o->t_runs, 1);
  mp_task *t2 = submit(q, run_y, mp_worker_task(worker), 0);
  mp_status status = mp_wait(t, MP_FOREVER);
  mp_task_release(t);
  mp_task_release(t2);
  mp_task_release(o->b);
  return status;
}

static void test_wait_owner_inside_another_pools_task_keeps_to_the_rules_of_both(void **state) {
  world p, q;
  owned_pool o = {.q = &q, .p = open_pool(&p, 1, 0), .t_runs = TALLY_INIT};
  (void)state;
  o.a = submit(p.pool, own_a_pool, &o, 0);
  assert_ends(o.a, MP_STATE_DONE, MP_OK);
  world_drain(&q);
  mp_task_release(o.a);
  world_close(&q);
  world_close(&p);
}

/* Two nodes of a graph: one loops, the other waits for a message that it sends afterwards. */
typedef struct siblings {
  mp_mailbox *box;
  mp_graph *graph;
  _Atomic int pieces;
  tally begun;
} siblings;

static void on_letter(void *ud, const void *data, size_t size) { (void)ud, (void)data, (void)size; }

static void piece_of_sender(mp_worker *worker, size_t begin, size_t end, void *arg) {
  siblings *s = arg;
  (void)worker, (void)begin, (void)end;
  bool first = mp_add_relaxed(&s->pieces, 1) % 2 == 0;
  if (!first) a_moment();
  tally_add(&s->begun);
  if (first) tally_await(&s->begun, 2);
}

static void send_after_a_loop(mp_worker *worker, void *arg) {
  siblings *s = arg;
  (void)!mp_for(mp_worker_pool(worker), 0, 2, 1, piece_of_sender, s);
  (void)!mp_mailbox_send(s->box, on_letter, NULL, "x", 1);
}

static void wait_for_letter(mp_worker *worker, void *arg) {
  size_t index;
  siblings *s = arg;
  (void)!mp_worker_wait_any(worker, NULL, 0, s->box, MP_FOREVER, &index);
  (void)mp_mailbox_poll(s->box, MP_FOREVER, 0, NULL);
}

static void test_join_in_one_node_takes_no_other_node_that_may_wait_for_it(void **state) {
  (void)state;
  for (int round = 0; round < 10; round++) {
    world w;
    siblings s = {.pieces = 0, .begun = TALLY_INIT};
    uint32_t node;
    open_pool(&w, 2, 0);
    assert_ok(mp_mailbox_create(w.pool, &s.box));
    assert_ok(mp_graph_create(w.pool, &s.graph));
    assert_ok(mp_graph_add(s.graph, NULL, wait_for_letter, &s, &node));
    assert_ok(mp_graph_add(s.graph, NULL, send_after_a_loop, &s, &node));
    assert_ok(mp_graph_run(s.graph));
    mp_graph_destroy(s.graph);
    mp_mailbox_close(s.box);
    world_close(&w);
  }
}

static mp_status wait_for_itself(mp_worker *worker, void *arg) {
  size_t index;
  mp_task *self = mp_worker_task(worker);
  (void)arg;
  if (mp_wait(self, MP_FOREVER) != MP_CYCLE) return MP_FAILED;
  if (mp_worker_wait_any(worker, &self, 1, NULL, MP_FOREVER, &index) != MP_CYCLE) return MP_FAILED;
  return mp_wait(self, MILLISECOND) == MP_TIMEOUT ? MP_OK : MP_FAILED;
}

static void test_wait_for_what_lies_below_is_a_cycle_not_a_hang(void **state) {
  world w;
  (void)state;
  open_pool(&w, 1, 0);
  assert_ends_and_release(submit(w.pool, wait_for_itself, NULL, 0), MP_STATE_DONE, MP_OK);
  world_close(&w);
}

static void test_wait_any_for_another_pools_task_or_mailbox_is_foreign(void **state) {
  world p, q;
  mp_mailbox *box;
  size_t index;
  (void)state;
  world_open(&p, 1);
  world_open(&q, 1);
  mp_task *tasks[2] = {submit(p.pool, run_nothing, NULL, 0), submit(q.pool, run_nothing, NULL, 0)};
  assert_status(mp_wait_any(p.pool, tasks, 2, NULL, MP_FOREVER, &index), MP_FOREIGN);
  assert_ok(mp_mailbox_create(q.pool, &box));
  assert_status(mp_wait_any(p.pool, tasks, 1, box, MP_FOREVER, &index), MP_FOREIGN);
  assert_status(mp_wait_room(p.pool, 0, box, MP_FOREVER), MP_FOREIGN);
  mp_mailbox_close(box);
  for (int i = 0; i < 2; i++) mp_task_release(tasks[i]);
  world_drain(&p);
  world_drain(&q);
  world_close(&p);
  world_close(&q);
}

/* }====================================================== */

/*
** {======================================================
** Little stack, few threads
** =======================================================
*/

/* Calls `then` on the last of the worker's stack. */
static mp_status dig(mp_worker *worker, mp_task_run *then, void *arg) {
  volatile char room[4096];
  room[0] = room[sizeof room - 1] = 1;
  if (mp_worker_stack_left(worker) < 256 * 1024) return then(worker, arg);
  mp_status status = dig(worker, then, arg);
  return room[0] == 1 ? status : MP_FAILED; /* looked at afterwards, so it is there meanwhile */
}

static mp_status bury_one_and_join(mp_worker *worker, void *arg) {
  buried *b = arg;
  const mp_task_desc desc = probe_desc(&b->above[0]);
  mp_fork(worker, &b->job, run_buried);
  assert_ok(mp_submit(b->w->pool, &desc, NULL));
  mp_join(worker, &b->job);
  return b->ran ? MP_OK : MP_FAILED;
}

static mp_status join_deep_down(mp_worker *worker, void *arg) {
  return dig(worker, bury_one_and_join, arg);
}

static void test_join_on_a_used_up_stack_its_job_runs_elsewhere(void **state) {
  enum { N = 2 };
  (void)state;
  for (unsigned workers = 1; workers <= N; workers++) {
    world w;
    buried b[N] = {{.w = &w}, {.w = &w}};
    mp_task *tasks[N];
    mp_pool_config config = world_config(&w, workers);
    config.stack_size = 1024 * 1024;
    world_open_with(&w, config);
    for (int i = 0; i < N; i++) tasks[i] = submit(w.pool, join_deep_down, &b[i], 0);
    for (int i = 0; i < N; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    world_drain(&w);
    for (int i = 0; i < N; i++) assert_dropped_once(b[i].above, 1);
    world_close(&w);
  }
}

/*
** The owner runs T1, whose `drop` waits for U, which a worker runs; T2, queued meanwhile, waits for
** T1: on top of the drop it would wait for ever.
*/
typedef struct dropping {
  mp_pool *pool;
  mp_task *t1, *t2, *u;
  tally u_runs, go;
  mp_status waited;
} dropping;

static mp_status run_u(mp_worker *worker, void *arg) {
  dropping *d = arg;
  (void)worker;
  tally_add(&d->u_runs);
  tally_await(&d->go, 1);
  a_moment(); /* in which the owner begins to wait */
  return MP_OK;
}

static void wait_in_drop(void *arg) {
  dropping *d = arg;
  d->t2 = submit(d->pool, run_y, d->t1, 0);
  tally_add(&d->go);
  d->waited = mp_wait(d->u, MP_FOREVER);
}

static void test_wait_in_a_drop_the_owner_runs_nothing_that_waits_for_that_task(void **state) {
  world w;
  dropping d = {.pool = open_pool(&w, 1, 1), .u_runs = TALLY_INIT, .go = TALLY_INIT, .waited = 1};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  d.u = submit(w.pool, run_u, &d, 0);
  tally_await(&d.u_runs, 1);
  desc.run = run_nothing;
  desc.arg = &d;
  desc.drop = wait_in_drop;
  assert_ok(mp_submit(w.pool, &desc, &d.t1));
  assert_ends(d.t1, MP_STATE_DONE, MP_OK); /* the worker is busy, so it is the owner's */
  assert_ok(d.waited);
  assert_ends_and_release(d.t2, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(d.u, MP_STATE_DONE, MP_OK);
  mp_task_release(d.t1);
  world_close(&w);
}

/*
** A job that a thief runs is a graph, of which the joiner takes a node; the node's second successor
** lies in the joiner's own deque, and nobody else can run it.
*/
typedef struct helping {
  mp_job job;
  mp_pool *pool;
  mp_graph *graph;
  mp_mailbox *box;
  _Atomic bool stolen;
  _Atomic unsigned nodes;
} helping;

static helping *helps;

static void run_empty_node(mp_worker *worker, void *arg) {
  (void)worker;
  mp_add_relaxed(&((helping *)arg)->nodes, 1);
}

static void send_to_sibling(mp_worker *worker, void *arg) {
  run_empty_node(worker, arg);
  assert_ok(mp_mailbox_send(((helping *)arg)->box, on_letter, NULL, "x", 1));
}

static void wait_for_sibling(mp_worker *worker, void *arg) {
  size_t index;
  helping *h = arg;
  run_empty_node(worker, arg);
  (void)!mp_wait_any(h->pool, NULL, 0, h->box, MP_FOREVER, &index);
}

static void run_graph_in_job(mp_worker *worker, mp_job *job) {
  (void)worker, (void)job;
  mp_store_relaxed(&helps->stolen, true);
  (void)!mp_graph_run(helps->graph);
}

static mp_status join_a_graph(mp_worker *worker, void *arg) {
  helping *h = arg;
  mp_fork(worker, &h->job, run_graph_in_job);
  while (!mp_load_relaxed(&h->stolen)) usleep(100);
  mp_join(worker, &h->job);
  return MP_OK;
}

static void test_join_runs_what_it_has_queued_itself_for_the_job(void **state) {
  (void)state;
  for (int round = 0; round < 5; round++) {
    world w;
    helping h = {.stolen = false};
    uint32_t first, waits, next[2];
    mp_pool_config config = world_config(&w, 2);
    config.workers_extra = 0;
    world_open_with(&w, config);
    helps = &h;
    h.pool = w.pool;
    assert_ok(mp_mailbox_create(w.pool, &h.box));
    assert_ok(mp_graph_create(w.pool, &h.graph));
    assert_ok(mp_graph_add(h.graph, NULL, run_empty_node, &h, &first));
    assert_ok(mp_graph_add(h.graph, NULL, wait_for_sibling, &h, &waits));
    assert_ok(mp_graph_add(h.graph, NULL, run_empty_node, &h, &next[0]));
    assert_ok(mp_graph_add(h.graph, NULL, send_to_sibling, &h, &next[1]));
    for (int i = 0; i < 2; i++) assert_ok(mp_graph_edge(h.graph, first, next[i]));
    assert_ends_and_release(submit(w.pool, join_a_graph, &h, 0), MP_STATE_DONE, MP_OK);
    assert_int_equal(mp_load_relaxed(&h.nodes), 4);
    mp_graph_destroy(h.graph);
    mp_mailbox_close(h.box);
    world_close(&w);
  }
}

/*
** No thread more can be had. X has given its seat away, for another task ran; then that one only
** looks at X again and again, and what would end X's wait is queued.
*/
typedef struct polling {
  mp_mailbox *box;
  mp_task *x;
  tally x_runs, poller_runs, go;
} polling;

static mp_status run_mail_waiter(mp_worker *worker, void *arg) {
  size_t index;
  polling *p = arg;
  tally_add(&p->x_runs);
  return mp_wait_any(mp_worker_pool(worker), NULL, 0, p->box, MP_FOREVER, &index);
}

static mp_status poll_x(mp_worker *worker, void *arg) {
  polling *p = arg;
  mp_status status;
  (void)worker;
  tally_add(&p->poller_runs);
  tally_await(&p->go, 1);
  do status = mp_wait(p->x, MILLISECOND);
  while (status == MP_TIMEOUT);
  return status;
}

static mp_status send_letter(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_mailbox_send(((polling *)arg)->box, on_letter, NULL, "x", 1);
}

static void test_wait_without_a_seat_runs_what_is_queued_when_the_others_only_poll(void **state) {
  world w;
  polling p = {.x_runs = TALLY_INIT, .poller_runs = TALLY_INIT, .go = TALLY_INIT};
  (void)state;
  mp_pool_config config = world_config(&w, 2);
  config.workers_extra = 0;
  world_open_with(&w, config);
  assert_ok(mp_mailbox_create(w.pool, &p.box));
  p.x = submit(w.pool, run_mail_waiter, &p, 0);
  tally_await(&p.x_runs, 1);
  mp_task *poller = submit(w.pool, poll_x, &p, 0);
  tally_await(&p.poller_runs, 1);
  mp_task *letter = submit(w.pool, send_letter, &p, 0);
  a_moment(); /* in which X gives its seat away */
  tally_add(&p.go);
  assert_ends_and_release(poller, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(p.x, MP_STATE_DONE, MP_OK);
  assert_ends_and_release(letter, MP_STATE_DONE, MP_OK);
  mp_mailbox_close(p.box);
  world_close(&w);
}

/* A task that submits one like itself and waits for it, as deep as it goes. */
typedef struct recursion {
  mp_pool *pool;
  _Atomic unsigned depth, refused;
} recursion;

static mp_status submit_and_wait(mp_worker *worker, void *arg) {
  recursion *r = arg;
  (void)worker;
  if (mp_load_relaxed(&r->refused) > 0) return MP_OK;
  mp_add_relaxed(&r->depth, 1);
  mp_task *task = submit(r->pool, submit_and_wait, r, 0);
  mp_status status = mp_wait(task, MP_FOREVER);
  mp_task_release(task);
  if (status == MP_NOTHREAD) mp_add_relaxed(&r->refused, 1);
  return status;
}

static void test_wait_too_deep_for_stack_and_threads_ends_with_nothread(void **state) {
  (void)state;
  for (int extra = 0; extra <= 1; extra++) {
    world w;
    recursion r = {0};
    mp_pool_config config = world_config(&w, 1);
    config.stack_size = 1024 * 1024;
    config.workers_extra = extra;
    world_open_with(&w, config);
    r.pool = w.pool;
    mp_task_release(submit(w.pool, submit_and_wait, &r, 0));
    world_drain(&w);
    assert_int_equal(mp_load_relaxed(&r.refused), 1); /* the innermost; the others' tasks end */
    assert_true(mp_load_relaxed(&r.depth) > 10);
    world_assert_settled(&w);
    world_close(&w);
  }
}

/* A result goes with its handle, though the task ran on the stack of the one that waited. */
typedef struct results {
  mp_pool *pool;
  _Atomic int live, most;
} results;

static void drop_result(void *arg) { mp_sub_relaxed(&((results *)arg)->live, 1); }

static mp_status set_result(mp_worker *worker, void *arg) {
  results *r = arg;
  int now = mp_add_relaxed(&r->live, 1) + 1, most = mp_load_relaxed(&r->most);
  while (now > most && !mp_cas_relaxed(&r->most, &most, now)) continue;
  mp_worker_set_result(worker, r, drop_result);
  return MP_OK;
}

static mp_status one_after_the_other(mp_worker *worker, void *arg) {
  results *r = arg;
  mp_status status = MP_OK;
  (void)worker;
  for (int i = 0; i < 500 && status == MP_OK; i++) {
    mp_task *task = submit(r->pool, set_result, r, 0);
    status = mp_wait(task, MP_FOREVER);
    mp_task_release(task);
  }
  return status;
}

/* The first that is waited for lies below all the others. */
static mp_status many_in_order(mp_worker *worker, void *arg) {
  results *r = arg;
  mp_task *tasks[100];
  mp_status status = MP_OK;
  (void)worker;
  for (size_t i = 0; i < LENGTH(tasks); i++) tasks[i] = submit(r->pool, set_result, r, 0);
  for (size_t i = 0; i < LENGTH(tasks); i++) {
    if (status == MP_OK) status = mp_wait(tasks[i], MP_FOREVER);
    mp_task_release(tasks[i]);
  }
  return status;
}

static void test_wait_in_place_the_result_goes_with_the_handle(void **state) {
  mp_task_run *const runs[] = {one_after_the_other, many_in_order};
  (void)state;
  for (size_t i = 0; i < LENGTH(runs); i++) {
    world w;
    results r = {open_pool(&w, 1, 0), 0, 0};
    assert_ends_and_release(submit(w.pool, runs[i], &r, 0), MP_STATE_DONE, MP_OK);
    assert_in_range(mp_load_relaxed(&r.most), 1, 4);
    world_close(&w);
    assert_int_equal(mp_load_relaxed(&r.live), 0);
  }
}

/*
** On the waiter's stack runs only what alone can end its wait: else what runs there might wait for
** what the waiter does next.
*/
typedef struct waiting_way {
  mp_status (*wait)(mp_worker *worker, mp_task **tasks);
  uint64_t timeout_ns;
  bool in_place;
} waiting_way;

typedef struct on_whose_stack {
  const waiting_way *way;
  pthread_t waiter;
  _Atomic bool waits; /* what is queued when it does no longer may run there as anywhere */
  _Atomic unsigned on_the_waiters, ran;
} on_whose_stack;

static mp_status note_stack(mp_worker *worker, void *arg) {
  on_whose_stack *o = arg;
  (void)worker;
  bool there = mp_load_relaxed(&o->waits) && pthread_equal(o->waiter, pthread_self());
  mp_add_relaxed(&o->on_the_waiters, there);
  mp_add_relaxed(&o->ran, 1);
  return MP_OK;
}

static mp_status wait_for_both_in_turn(mp_worker *worker, mp_task **tasks) {
  (void)worker;
  mp_status status = mp_wait(tasks[0], MP_FOREVER);
  return status != MP_OK ? status : mp_wait(tasks[1], MP_FOREVER);
}

static mp_status wait_for_either(mp_worker *worker, mp_task **tasks) {
  size_t index;
  return mp_wait_any(mp_worker_pool(worker), tasks, 2, NULL, MP_FOREVER, &index);
}

static mp_status wait_until_asked_to_stop(mp_worker *worker, mp_task **tasks) {
  size_t index;
  return mp_worker_wait_any(worker, tasks, 1, NULL, MP_FOREVER, &index);
}

static mp_status run_both_here(mp_worker *worker, mp_task **tasks) {
  bool right = mp_worker_run(worker, tasks[0]) && mp_worker_run(worker, tasks[1]);
  right &= !mp_worker_run(worker, tasks[0]);
  return right && mp_task_state(tasks[1]) == MP_STATE_DONE ? MP_OK : MP_FAILED;
}

static mp_status wait_in_a_way(mp_worker *worker, void *arg) {
  on_whose_stack *o = arg;
  mp_task *tasks[2];
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = note_stack;
  desc.arg = o;
  desc.timeout_ns = o->way->timeout_ns;
  o->waiter = pthread_self();
  for (int i = 0; i < 2; i++) assert_ok(mp_submit(mp_worker_pool(worker), &desc, &tasks[i]));
  mp_store_relaxed(&o->waits, true);
  mp_status status = o->way->wait(worker, tasks);
  mp_store_relaxed(&o->waits, false);
  for (int i = 0; i < 2; i++) mp_task_release(tasks[i]);
  return status;
}

static void test_wait_only_what_alone_ends_it_runs_on_the_waiters_stack(void **state) {
  const waiting_way ways[] = {{wait_for_both_in_turn, 0, true},
                              {wait_for_both_in_turn, HANG_SECONDS * SECOND, false},
                              {wait_for_either, 0, false},
                              {wait_until_asked_to_stop, 0, false},
                              {run_both_here, 0, true}};
  (void)state;
  for (size_t i = 0; i < LENGTH(ways); i++) {
    world w;
    on_whose_stack o = {.way = &ways[i]};
    open_pool(&w, 1, 0);
    mp_task *task = submit(w.pool, wait_in_a_way, &o, 0);
    world_drain(&w);
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    assert_int_equal(mp_load_relaxed(&o.ran), 2);
    assert_int_equal(mp_load_relaxed(&o.on_the_waiters), ways[i].in_place ? 2 : 0);
    world_close(&w);
  }
}

/* Which is asked to stop while the one that it waits for, queued at first, does not end. */
static mp_status wait_for_one_that_is_held(mp_worker *worker, void *arg) {
  mp_task *task = submit(mp_worker_pool(worker), probe_run, arg, 0);
  size_t index;
  mp_status status = mp_worker_wait_any(worker, &task, 1, NULL, MP_FOREVER, &index);
  mp_task_release(task);
  return status;
}

static void test_wait_ends_when_asked_to_stop_though_the_other_does_not(void **state) {
  world w;
  tally entered = TALLY_INIT, hold = TALLY_INIT;
  probe p = {.entered = &entered, .hold = &hold};
  (void)state;
  open_pool(&w, 1, 0);
  mp_task *task = submit(w.pool, wait_for_one_that_is_held, &p, 0);
  tally_await(&entered, 1);
  (void)mp_cancel(task);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  tally_add(&hold);
  world_drain(&w);
  world_close(&w);
}

/* }====================================================== */

/*
** {======================================================
** The owner's patience
** =======================================================
*/

typedef struct background {
  pthread_t owner;
  _Atomic unsigned by_owner, ran;
} background;

static mp_status run_background(mp_worker *worker, void *arg) {
  background *b = arg;
  (void)worker;
  mp_add_relaxed(&b->ran, 1);
  if (pthread_equal(pthread_self(), b->owner)) mp_add_relaxed(&b->by_owner, 1);
  usleep(1000);
  return MP_OK;
}

static void nap_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  (void)worker, (void)begin, (void)end, (void)arg;
  usleep(500);
}

static mp_status nap(mp_worker *worker, void *arg) {
  (void)worker, (void)arg;
  usleep(500);
  return MP_OK;
}

static void test_owner_waits_runs_nothing_of_lower_priority(void **state) {
  world w;
  background b = {.owner = pthread_self()};
  (void)state;
  open_pool(&w, 1, 1);
  for (int i = 0; i < 50; i++) mp_task_release(submit(w.pool, run_background, &b, -1));
  for (int frame = 0; frame < 10; frame++) {
    mp_task *tasks[4];
    for (int i = 0; i < 4; i++) tasks[i] = submit(w.pool, nap, NULL, frame % 2 ? 5 : 0);
    for (int i = 0; i < 4; i++) assert_ends_and_release(tasks[i], MP_STATE_DONE, MP_OK);
    assert_ok(mp_for(w.pool, 0, 8, 1, nap_piece, NULL));
  }
  assert_int_equal(mp_load_relaxed(&b.by_owner), 0);
  world_drain(&w); /* it waits for all, so it may run all */
  assert_int_equal(mp_load_relaxed(&b.ran), 50);
  world_close(&w);
}

/* In a loop the owner runs its pieces, not the tasks that are queued beside it. */
static void test_owner_loops_runs_pieces_only(void **state) {
  world w;
  background b = {.owner = pthread_self()};
  blockade blocked;
  (void)state;
  open_pool(&w, 1, 1);
  blockade_raise(&blocked, &w, 1);
  for (int i = 0; i < 50; i++) mp_task_release(submit(w.pool, run_background, &b, i % 3 - 1));
  for (int frame = 0; frame < 5; frame++) assert_ok(mp_for(w.pool, 0, 8, 1, nap_piece, NULL));
  assert_int_equal(mp_load_relaxed(&b.ran), 0);
  blockade_lift(&blocked);
  world_drain(&w);
  world_close(&w);
}

/* }====================================================== */

/*
** {======================================================
** For whom a piece runs
** =======================================================
*/

typedef struct owned {
  mp_pool *pool;
  tally begun, release;
  mp_task *seen[4];
  _Atomic int cancelled, pieces;
  int result;
} owned;

static void piece_of_owned(mp_worker *worker, size_t begin, size_t end, void *arg) {
  owned *o = arg;
  (void)end;
  o->seen[begin % 4] = mp_worker_task(worker);
  if (begin == 3) mp_worker_set_result(worker, &o->result, NULL);
  tally_add(&o->begun);
  tally_await(&o->release, 1);
  while (mp_load_relaxed(&o->cancelled) < 4 && !mp_worker_cancelled(worker)) usleep(100);
  mp_add_relaxed(&o->cancelled, mp_worker_cancelled(worker));
}

static mp_status run_owned(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 4, 1, piece_of_owned, arg);
}

static void test_for_every_piece_runs_for_the_task_that_loops_and_sees_its_cancel(void **state) {
  world w;
  owned o = {open_pool(&w, 4, 0), TALLY_INIT, TALLY_INIT, {NULL}, 0, 0, 7};
  (void)state;
  mp_task *task = submit(w.pool, run_owned, &o, 0);
  tally_await(&o.begun, 4);
  for (int i = 0; i < 4; i++) assert_ptr_equal(o.seen[i], task);
  assert_int_equal(mp_cancel(task), 0);
  tally_add(&o.release);
  assert_ends(task, MP_STATE_DONE, MP_OK); /* all pieces had begun, so the loop is whole */
  assert_int_equal(mp_load_relaxed(&o.cancelled), 4);
  assert_ptr_equal(mp_task_result(task), &o.result);
  mp_task_release(task);
  world_close(&w);
}

static void count_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  owned *o = arg;
  (void)worker, (void)begin, (void)end;
  mp_add_relaxed(&o->pieces, 1);
  tally_add(&o->begun);
  tally_await(&o->release, 1);
}

static mp_status run_counted(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 1000, 1, count_piece, arg);
}

static void test_for_a_cancelled_task_takes_no_further_piece(void **state) {
  world w;
  owned o = {.pool = open_pool(&w, 2, 0), .begun = TALLY_INIT, .release = TALLY_INIT};
  (void)state;
  mp_task *task = submit(w.pool, run_counted, &o, 0);
  tally_await(&o.begun, 2);
  assert_int_equal(mp_cancel(task), 0);
  tally_add(&o.release);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_in_range(mp_load_relaxed(&o.pieces), 2, 2);
  world_close(&w);
}

typedef struct nodes {
  mp_graph *graph;
  tally begun, release;
  _Atomic int runs;
  mp_task *_Atomic seen;
} nodes;

static void run_node(mp_worker *worker, void *arg) {
  nodes *n = arg;
  mp_store_relaxed(&n->seen, mp_worker_task(worker));
  if (mp_add_relaxed(&n->runs, 1) > 0) return;
  tally_add(&n->begun);
  tally_await(&n->release, 1);
}

static mp_status run_nodes(mp_worker *worker, void *arg) {
  (void)worker;
  return mp_graph_run(((nodes *)arg)->graph);
}

static void test_graph_a_cancelled_task_begins_no_further_node(void **state) {
  world w;
  nodes n = {.begun = TALLY_INIT, .release = TALLY_INIT};
  uint32_t node, last = 0;
  (void)state;
  open_pool(&w, 2, 0);
  assert_ok(mp_graph_create(w.pool, &n.graph));
  for (int i = 0; i < 10; i++, last = node) {
    assert_ok(mp_graph_add(n.graph, NULL, run_node, &n, &node));
    if (i > 0) assert_ok(mp_graph_edge(n.graph, last, node));
  }
  mp_task *task = submit(w.pool, run_nodes, &n, 0);
  tally_await(&n.begun, 1);
  assert_ptr_equal(mp_load_relaxed(&n.seen), task);
  assert_int_equal(mp_cancel(task), 0);
  tally_add(&n.release);
  assert_ends_and_release(task, MP_STATE_CANCELLED, MP_CANCELLED);
  assert_int_equal(mp_load_relaxed(&n.runs), 1);
  assert_ok(mp_graph_run(n.graph)); /* it can run again, whole */
  assert_int_equal(mp_load_relaxed(&n.runs), 11);
  mp_graph_destroy(n.graph);
  world_close(&w);
}

/*
** A piece of one task beside another task that is over its deadline: only the other is interrupted.
*/
typedef struct two_tasks {
  mp_pool *pool;
  tally late_begun, late_ends, begun;
  _Atomic int hits;
  pthread_t late_thread;
} two_tasks;

static two_tasks *interrupts_of;
static _Thread_local bool in_innocent;

static void on_interrupt(mp_worker *worker, void *local, void *ud) {
  (void)worker, (void)local, (void)ud;
  if (in_innocent) mp_add_relaxed(&interrupts_of->hits, 1);
}

static void late_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  two_tasks *t = arg;
  (void)worker, (void)begin, (void)end;
  tally_add(&t->late_begun);
  tally_await(&t->late_ends, 1);
}

static mp_status run_late(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 2, 1, late_piece, arg);
}

static void innocent_piece(mp_worker *worker, size_t begin, size_t end, void *arg) {
  two_tasks *t = arg;
  (void)worker, (void)begin, (void)end;
  in_innocent = true;
  tally_add(&t->begun);
  usleep(2000);
  in_innocent = false;
}

static mp_status run_innocent(mp_worker *worker, void *arg) {
  return mp_for(mp_worker_pool(worker), 0, 100, 1, innocent_piece, arg);
}

static void test_interrupt_of_a_late_task_hits_no_piece_of_another(void **state) {
  world w;
  two_tasks t = {.late_begun = TALLY_INIT, .late_ends = TALLY_INIT, .begun = TALLY_INIT};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *late;
  (void)state;
  interrupts_of = &t;
  mp_pool_config config = world_config(&w, 3);
  config.worker_interrupt = on_interrupt;
  config.stuck_grace_ns = 10 * MILLISECOND;
  world_open_with(&w, config);
  desc.run = run_late;
  desc.arg = &t;
  desc.timeout_ns = 20 * MILLISECOND;
  assert_ok(mp_submit(w.pool, &desc, &late));
  tally_await(&t.late_begun, 2);
  mp_task *innocent = submit(w.pool, run_innocent, &t, 0);
  tally_await(&t.begun, 5);
  assert_ends(late, MP_STATE_TIMED_OUT, MP_TIMEOUT);
  assert_ends_and_release(innocent, MP_STATE_DONE, MP_OK);
  assert_int_equal(mp_load_relaxed(&t.hits), 0);
  tally_add(&t.late_ends);
  mp_task_release(late);
  world_close(&w);
}

/* }====================================================== */

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_join_a_task_that_waits_for_the_joiner_does_not_run_on_top_of_it),
      cmocka_unit_test(test_join_tasks_that_arrive_meanwhile_do_not_pile_up_on_the_stack),
      cmocka_unit_test(test_join_finds_its_piece_below_tasks_and_runs_none_of_them),
      cmocka_unit_test(test_for_all_of_many_workers_take_part),
      cmocka_unit_test(test_for_one_worker_and_the_owner_both_take_part),
      cmocka_unit_test(test_wait_a_child_that_waits_for_its_parent_runs_elsewhere),
      cmocka_unit_test(test_wait_owner_inside_a_task_runs_nothing_that_may_wait_for_it),
      cmocka_unit_test(test_wait_for_another_pools_task_gives_the_seat_away),
      cmocka_unit_test(test_wait_owner_of_two_pools_goes_from_one_to_the_other_and_back),
      cmocka_unit_test(test_wait_owner_inside_another_pools_task_keeps_to_the_rules_of_both),
      cmocka_unit_test(test_join_in_one_node_takes_no_other_node_that_may_wait_for_it),
      cmocka_unit_test(test_wait_for_what_lies_below_is_a_cycle_not_a_hang),
      cmocka_unit_test(test_wait_any_for_another_pools_task_or_mailbox_is_foreign),
      cmocka_unit_test(test_join_on_a_used_up_stack_its_job_runs_elsewhere),
      cmocka_unit_test(test_wait_in_a_drop_the_owner_runs_nothing_that_waits_for_that_task),
      cmocka_unit_test(test_join_runs_what_it_has_queued_itself_for_the_job),
      cmocka_unit_test(test_wait_without_a_seat_runs_what_is_queued_when_the_others_only_poll),
      cmocka_unit_test(test_wait_too_deep_for_stack_and_threads_ends_with_nothread),
      cmocka_unit_test(test_wait_in_place_the_result_goes_with_the_handle),
      cmocka_unit_test(test_wait_only_what_alone_ends_it_runs_on_the_waiters_stack),
      cmocka_unit_test(test_wait_ends_when_asked_to_stop_though_the_other_does_not),
      cmocka_unit_test(test_owner_waits_runs_nothing_of_lower_priority),
      cmocka_unit_test(test_owner_loops_runs_pieces_only),
      cmocka_unit_test(test_for_every_piece_runs_for_the_task_that_loops_and_sees_its_cancel),
      cmocka_unit_test(test_for_a_cancelled_task_takes_no_further_piece),
      cmocka_unit_test(test_graph_a_cancelled_task_begins_no_further_node),
      cmocka_unit_test(test_interrupt_of_a_late_task_hits_no_piece_of_another),
  };
  return unit_main(tests);
}
