/*
** sessions.c - tasks that wait without a thread (mp_suspend): ten thousand sessions at once, each a
** state machine, on two workers. All wait for one task that loads what they share; then each thinks
** for a moment, and pays into one account, one after the other (a strand): without a lock.
**
**   cc -Iengine examples/sessions.c build/libmakeparallel.a -lpthread -o sessions && ./sessions
*/
#include <makeparallel.h>
#include <stdio.h>
#include <stdlib.h>

enum { SESSIONS = 10000 };

typedef struct session {
  enum { NEW, LOADING, THINKING, PAYING } at;
  mp_task *const *shared; /* borrowed: held until all sessions are over, as is what follows */
  mp_strand *account;
  long *balance; /* touched on the strand only */
} session;

static mp_status load_shared(mp_worker *worker, void *arg) {
  (void)arg;
  return mp_worker_sleep(worker, 50 * 1000000);
}

/* Called again whenever what it asked for may be there: `at` says where it goes on. */
static mp_status run_session(mp_worker *worker, void *arg) {
  session *s = arg;
  mp_status status = MP_OK;
  if (mp_worker_cancelled(worker)) return MP_CANCELLED;
  if (s->at == NEW) {
    s->at = LOADING;
    status = mp_suspend(worker, s->shared, 1, NULL, MP_FOREVER);
    return status == MP_OK ? MP_SUSPENDED : status;
  }
  if (s->at == LOADING) {
    if (mp_task_state(*s->shared) != MP_STATE_DONE) return MP_FAILED;
    s->at = THINKING;
    status = mp_suspend(worker, NULL, 0, NULL, 10 * 1000000);
    return status == MP_OK ? MP_SUSPENDED : status;
  }
  if (s->at == THINKING) {
    if (mp_worker_resumed(worker) != MP_TIMEOUT) return MP_FAILED;
    s->at = PAYING;
    status = mp_suspend_on(worker, s->account, NULL, 0, NULL, 0);
    return status == MP_OK ? MP_SUSPENDED : status;
  }
  ++*s->balance;
  return MP_OK;
}

int main(void) {
  mp_pool_config config = mp_pool_config_default();
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_pool *pool;
  mp_task *shared;
  mp_strand *account;
  long balance = 0;
  session *sessions = calloc(SESSIONS, sizeof *sessions);
  config.workers = 2;
  if (sessions == NULL || mp_pool_create(&config, &pool) != MP_OK) return 1;
  if (mp_strand_create(pool, &account) != MP_OK) return 1;
  desc.run = load_shared;
  if (mp_submit(pool, &desc, &shared) != MP_OK) return 1;
  desc.run = run_session;
  for (int i = 0; i < SESSIONS; i++) {
    sessions[i] = (session){.shared = &shared, .account = account, .balance = &balance};
    desc.arg = &sessions[i];
    if (mp_submit(pool, &desc, NULL) != MP_OK) return 1;
  }
  if (mp_pool_drain(pool, MP_FOREVER) != MP_OK) return 1;
  mp_pool_get_info(pool, &info);
  printf("%llu tasks done, the balance is %ld\n", (unsigned long long)info.done, balance);
  mp_strand_release(account);
  mp_task_release(shared);
  mp_pool_destroy(pool);
  free(sessions);
  return 0;
}
