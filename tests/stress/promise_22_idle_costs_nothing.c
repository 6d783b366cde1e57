/*
** Promise 22: idle costs nothing. A pool that has worked, with a deadline still armed, a task that
** is held up and a thread that waits for what depends on it, is left alone: none of these threads
** wakes up. Ten idle seconds at scale 10. Looks at /proc; elsewhere it only waits.
*/
#include "stress.h"

#include <dirent.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tally.h"

#define HOUR_NS ((uint64_t)3600 * 1000000000)

/*
** The number in the line that begins with `field`; 0 if there is none. With `field` NULL: does the
** file begin with "mp-"?
*/
static unsigned long read_field(const char *thread, const char *file_name, const char *field) {
  char path[300], line[128];
  unsigned long found = 0;
  snprintf(path, sizeof path, "/proc/self/task/%s/%s", thread, file_name);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL && found == 0) {
    if (field == NULL) found = strncmp(line, "mp-", 3) == 0;
    if (field != NULL && strncmp(line, field, strlen(field)) == 0)
      found = strtoul(line + strlen(field), NULL, 10);
  }
  fclose(file);
  return found;
}

/* How often our threads have gone to sleep so far. A sanitizer's own are left out. */
static unsigned long count_sleeps(unsigned *threads) {
  unsigned long sum = 0;
  DIR *tasks = opendir("/proc/self/task");
  *threads = 0;
  if (tasks == NULL) return 0;
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
    if (entry->d_name[0] == '.' || !read_field(entry->d_name, "comm", NULL)) continue;
    sum += read_field(entry->d_name, "status", "voluntary_ctxt_switches:");
    ++*threads;
  }
  closedir(tasks);
  return sum;
}

static mp_status run_nothing(mp_worker *worker, void *arg) {
  return (void)worker, (void)arg, MP_OK;
}

static mp_status run_held(mp_worker *worker, void *arg) {
  (void)worker;
  tally_await(arg, 1);
  return MP_OK;
}

static void *waiter_main(void *task) {
  mp_status status;
  do status = mp_wait(task, MP_FOREVER);
  while (status == MP_INTERRUPTED);
  return NULL;
}

static mp_task *submit(stress *st, mp_pool *pool, mp_task_run *run, void *arg,
                       mp_task *const *after) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_task *task;
  desc.run = run;
  desc.arg = arg;
  desc.after = after;
  desc.after_count = after != NULL;
  desc.timeout_ns = HOUR_NS;
  CHECK(st, mp_submit(pool, &desc, &task) == MP_OK);
  return task;
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  const mp_pool_config config = stress_config(&st);
  mp_pool *pool = stress_pool(&st, &config);
  mp_task_desc desc = MP_TASK_DESC_INIT;
  tally hold = TALLY_INIT;
  pthread_t waiter;
  unsigned threads;
  desc.run = run_nothing;
  CHECK(&st, mp_submit_batch(pool, &desc, 10000, 0, NULL) == MP_OK);
  stress_settle(&st, pool);
  mp_task *held = submit(&st, pool, run_held, &hold, NULL),
          *behind = submit(&st, pool, run_nothing, NULL, &held);
  CHECK(&st, pthread_create(&waiter, NULL, waiter_main, behind) == 0);
  CHECK(&st, pthread_setname_np(waiter, "mp-waiter") == 0);
  unsigned long before, now = count_sleeps(&threads);
  /* until all have gone to sleep, and have tidied up after their work (config.idle_after_ns) */
  do {
    before = now;
    usleep(500000);
    now = count_sleeps(&threads);
  } while (now != before);
  CHECK(&st, threads == 0 || threads == st.threads + 2); /* the timer, the waiter */
  const size_t seconds = st.scale < 10 ? st.scale : 10;
  sleep((unsigned)seconds);
  CHECK(&st, count_sleeps(&threads) == before);
  tally_add(&hold);
  pthread_join(waiter, NULL);
  mp_task_release(held);
  mp_task_release(behind);
  stress_settle(&st, pool);
  stress_pool_end(&st, pool);
  return stress_end(&st, "%zu seconds, %u threads, no wake-up", seconds, threads);
}
