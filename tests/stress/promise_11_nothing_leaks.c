/*
** Promise 11: nothing leaks. Rounds of tasks of every kind whose handles are dropped: after each,
** the pool holds no more bytes than after the first, but for the blocks it keeps for the next; no
** thread is added. Then pools come and go, and all is as at the start. Ten million dropped handles
** at scale 50, 10,000 pools at scale 25.
*/
#include "stress.h"

#include <string.h>
#include <unistd.h>

#define ROUNDS 10
/* slabs that a few blocks on the owner's lists keep, heaps grown */
#define KEPT_BYTES ((size_t)12 << 20)

static unsigned count_threads(void) {
  char line[128];
  unsigned n = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0; /* no Linux: not looked at */
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "Threads: %u", &n) == 1) break;
  fclose(file);
  return n;
}

static mp_status run(mp_worker *worker, void *arg) {
  unsigned char what = *(unsigned char *)arg;
  if (what % 16 == 0) mp_worker_set_result(worker, malloc(100), free);
  if (what % 16 == 1) (void)!mp_task_report(mp_worker_task(worker), 0.5, "half", 4);
  return what % 16 == 2 ? MP_FAILED : MP_OK;
}

static void on_end(mp_task *task, mp_state state, void *ud) { (void)task, (void)state, (void)ud; }
static void on_progress(mp_task *task, double progress, const char *note, size_t length, void *ud) {
  (void)task, (void)progress, (void)note, (void)length, (void)ud;
}

static void run_round(stress *st, mp_pool *pool, size_t n, uint64_t *random) {
  mp_task *last = NULL;
  for (size_t i = 0; i < n; i++) {
    unsigned char arg[300];
    mp_task *task;
    mp_task_desc desc = MP_TASK_DESC_INIT;
    memset(arg, (int)random_below(random, 256), sizeof arg);
    desc.run = run;
    desc.arg = arg;
    desc.arg_size = random_below(random, 4) == 0 ? sizeof arg : 1;
    desc.notify = arg[0] % 8 == 3 ? on_end : NULL;
    desc.progress = arg[0] % 8 == 4 ? on_progress : NULL;
    desc.timeout_ns = arg[0] % 8 == 5 ? 1 + random_below(random, 1000000) : 0;
    desc.after = last != NULL && arg[0] % 8 == 6 ? &last : NULL;
    desc.after_count = desc.after != NULL;
    CHECK(st, mp_submit(pool, &desc, &task) == MP_OK);
    if (arg[0] % 32 == 7) mp_cancel(task);
    mp_task_release(last);
    last = task;
    if (i % 256 == 0) mp_poll(pool, MP_FOREVER, 0);
  }
  mp_task_release(last);
  stress_settle(st, pool);
  mp_poll(pool, MP_FOREVER, 0);
}

/* Idle workers give back what no task is in. */
static void await_bytes(stress *st, mp_pool *pool, size_t most) {
  for (int i = 0; stress_info(pool).bytes > most; i++) {
    CHECK(st, i < 30000);
    usleep(1000);
  }
}

static void run_pool(stress *st, uint64_t *random) {
  mp_pool_config config = stress_config(st);
  mp_pool *pool = stress_pool(st, &config);
  run_round(st, pool, random_below(random, 50), random);
  stress_pool_end(st, pool);
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  mp_pool_config config = stress_config(&st);
  config.idle_after_ns = 1000000;
  mp_pool *pool = stress_pool(&st, &config);
  const size_t each = 20000 * st.scale, pools = 400 * st.scale;
  run_round(&st, pool, each, &random);
  size_t bytes = stress_info(pool).bytes;
  unsigned threads = count_threads();
  for (int i = 1; i < ROUNDS; i++) {
    run_round(&st, pool, each, &random);
    await_bytes(&st, pool, bytes + KEPT_BYTES);
    CHECK(&st, count_threads() == threads);
  }
  stress_pool_end(&st, pool);
  threads = count_threads();
  for (size_t i = 0; i < pools; i++) run_pool(&st, &random);
  CHECK(&st, count_threads() == threads);
  return stress_end(&st, "%zu dropped handles, %zu pools", ROUNDS * each, pools);
}
