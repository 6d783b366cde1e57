/*
** ours.h - what the programs share that measure the engine: its pool, tasks that count themselves.
*/
#ifndef OURS_H
#define OURS_H

#include "bench.h"
#include "makeparallel.h"

static mp_pool *pool;

static void check(mp_status status) {
  if (status == MP_OK) return;
  fprintf(stderr, "%s\n", mp_status_text(status));
  exit(1);
}

static void open_pool(unsigned workers, int owner_works) {
  mp_pool_config config = mp_pool_config_default();
  config.workers = workers;
  config.owner_works = owner_works;
  check(mp_pool_create(&config, &pool));
}

static void open_default(void) { open_pool(1, 1); }

static mp_task_desc describe(mp_task_run *run, void *arg) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run;
  desc.arg = arg;
  return desc;
}

static void drain(void) { check(mp_pool_drain(pool, MP_FOREVER)); }

static mp_status count(mp_worker *worker, void *arg) {
  (void)worker;
  (void)arg;
  bench_tick();
  return MP_OK;
}

static void submit_each(const mp_task_desc *desc, long n) {
  for (long i = 0; i < n; i++) check(mp_submit(pool, desc, NULL));
}

static mp_status hold(mp_worker *worker, void *arg) {
  (void)worker;
  while (!__atomic_load_n((int *)arg, __ATOMIC_ACQUIRE)) bench_sleep_ms(1);
  return MP_OK;
}

#endif
