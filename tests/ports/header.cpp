// A C++ program that uses the public header's types, macros and functions.
#include "makeparallel.h"

namespace {

mp_status run(mp_worker *worker, void *arg) {
  *static_cast<unsigned *>(arg) = mp_worker_index(worker) + 1;
  return MP_OK;
}

} // namespace

int main() {
  mp_pool_config config = mp_pool_config_default();
  config.workers = 1;
  mp_pool *pool = nullptr;
  if (mp_pool_create(&config, &pool) != MP_OK) return 1;
  unsigned seen = 0;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = run;
  desc.arg = &seen;
  mp_task *task = nullptr;
  if (mp_submit(pool, &desc, &task) != MP_OK || mp_wait(task, MP_FOREVER) != MP_OK) return 1;
  mp_state state = mp_task_state(task);
  mp_task_release(task);
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_pool_get_info(pool, &info);
  mp_pool_destroy(pool);
  return mp_state_is_terminal(state) && seen == 1 && info.done == 1 ? 0 : 1;
}
