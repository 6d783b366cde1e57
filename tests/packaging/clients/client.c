/* A program of somebody who has only what `make install` put down. */
#include <makeparallel.h>
#include <stdio.h>

static mp_status answer(mp_worker *worker, void *arg) {
  (void)worker;
  *(int *)arg = 42;
  return MP_OK;
}

int main(void) {
  mp_pool_config config = mp_pool_config_default();
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_pool *pool;
  mp_task *task;
  int value = 0;
  if (mp_pool_create(&config, &pool) != MP_OK) return 1;
  desc.run = answer;
  desc.arg = &value;
  if (mp_submit(pool, &desc, &task) != MP_OK || mp_wait(task, MP_FOREVER) != MP_OK) return 1;
  mp_task_release(task);
  mp_pool_destroy(pool);
  printf("%d\n", value);
  return 0;
}
