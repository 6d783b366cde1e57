#include "handles/wait.h"

#include "handles/events.h"
#include "worker/interrupt.h"

/* how long the main state sleeps without a look for Ctrl-C and other pools' news */
#define SLICE_NS ((uint64_t)50 * 1000000)
/* and whoever waits for tasks of several pools, between two looks at those of the others */
#define MIXED_SLICE_NS ((uint64_t)5 * 1000000)

typedef struct wait {
  lua_State *L;
  lmp_context *context;
  lua_Hook hook; /* heard: it has been given its chance */
} wait;

/*
** A hook that is there already may be Ctrl-C that came a moment ago: only on another coroutine,
** where it cannot be tried, it is let be.
*/
static wait begin_wait(lua_State *L, lmp_context *context) {
  return (wait){L, context, L == context->main ? NULL : lua_gethook(context->main)};
}

/*
** Lua's interpreter answers Ctrl-C by setting a hook on the main coroutine, which raises
** "interrupted!" at the next Lua instruction. There is none while we wait: so one is run, or, on
** another coroutine, the error is raised in its place.
*/
static void hear_interrupt(wait *w) {
  lua_Hook hook = lua_gethook(w->context->main);
  if (hook == NULL || hook == w->hook) return;
  w->hook = hook;
  if (w->L == w->context->main) {
    if (luaL_loadstring(w->L, "return") != LUA_OK) lua_error(w->L);
    lua_call(w->L, 0, 0);
  } else {
    lua_sethook(w->context->main, NULL, 0, 0);
    luaL_error(w->L, "interrupted!");
  }
}

static bool has_mail(const lmp_context *context) {
  for (const lmp_pool *pool = context->pools->first; pool != NULL; pool = pool->next)
    if (pool->mailbox != NULL && mp_mailbox_count(pool->mailbox) > 0) return true;
  return false;
}

/*
** The task that waits, if the engine knows it as one of the pool's own: then it wakes the wait when
** that is asked to stop.
*/
static lmp_run *waiting_run(const lmp_context *context, const mp_pool *pool) {
  lmp_run *run = context->vm == NULL ? NULL : context->vm->run;
  return run != NULL && mp_worker_pool(run->worker) == pool ? run : NULL;
}

/*
** How long to sleep at once. Such a task sleeps to the end: the engine wakes it for all it must
** hear.
*/
static uint64_t slice(const lmp_run *run, double deadline) {
  double left = deadline >= LMP_NEVER ? LMP_NEVER : deadline - lmp_now();
  uint64_t ns = left <= 0 ? 0 : lmp_to_ns(left);
  return run == NULL && ns > SLICE_NS ? SLICE_NS : ns;
}

/* Between two slices: was this state, or the task that runs on it, told to stop? */
static void hear(wait *w) {
  const lmp_context *context = w->context;
  if (context->vm == NULL)
    hear_interrupt(w);
  else if (context->vm->run != NULL && mp_worker_cancelled(context->vm->worker))
    lmp_raise_cancelled(w->L, context->vm->run);
}

/*
** The tasks that are the pool's, where some are not, in a userdata that is left on the stack; those
** of others are NULL. A wait listens to one pool: the others' are looked at between its slices.
*/
static mp_task *const *own_tasks(lua_State *L, const mp_pool *pool, mp_task *const *tasks,
                                 size_t n) {
  size_t own = 0;
  while (own < n && (tasks[own] == NULL || mp_task_pool(tasks[own]) == pool)) own++;
  if (own == n) return tasks;
  mp_task **copy = lua_newuserdatauv(L, n * sizeof *copy, 0);
  for (size_t i = 0; i < n; i++)
    copy[i] = tasks[i] != NULL && mp_task_pool(tasks[i]) == pool ? tasks[i] : NULL;
  return copy;
}

static bool has_ended(mp_task *const *tasks, size_t n, size_t *index) {
  for (size_t i = 0; i < n; i++) {
    if (tasks[i] == NULL || !mp_state_is_terminal(mp_task_state(tasks[i]))) continue;
    *index = i;
    return true;
  }
  return false;
}

bool lmp_wait(lua_State *L, lmp_context *context, mp_pool *pool, mp_task *const *tasks, size_t n,
              bool for_mail, double deadline, size_t *index) {
  wait w = begin_wait(L, context);
  mp_task *const *own = own_tasks(L, pool, tasks, n);
  lua_Integer delivered = context->events->delivered;
  const lmp_run *run = waiting_run(context, pool);
  for (;;) {
    if (has_mail(context)) lmp_poll(L, context, MP_FOREVER, NULL);
    /* by this loop, or by a task that ran in place meanwhile */
    if (for_mail && context->events->delivered > delivered) {
      *index = n;
      return true;
    }
    const lmp_pool *object = lmp_pool_find(context, pool);
    mp_mailbox *mailbox = object == NULL ? NULL : object->mailbox;
    uint64_t timeout = slice(run, deadline);
    size_t found;
    /* one that the task needs in any case may run in place: that spares a thread */
    if (run != NULL && n == 1 && own[0] != NULL && timeout == MP_FOREVER &&
        mp_worker_run(run->worker, own[0]) != 0)
      continue;
    if (own != tasks && timeout > MIXED_SLICE_NS) timeout = MIXED_SLICE_NS;
    mp_status status = run != NULL
                           ? mp_worker_wait_any(run->worker, own, n, mailbox, timeout, &found)
                           : mp_wait_any(pool, own, n, mailbox, timeout, &found);
    if (own != tasks && has_ended(tasks, n, &found)) status = MP_OK;
    if (status == MP_OK && found < n) {
      if (has_mail(context)) lmp_poll(L, context, MP_FOREVER, NULL);
      assert(own[found] != NULL || own != tasks);
      *index = found;
      return true;
    }
    if (status != MP_OK && status != MP_TIMEOUT && status != MP_INTERRUPTED &&
        status != MP_CANCELLED)
      lmp_check(L, status);
    hear(&w);
    if (status == MP_TIMEOUT && (timeout == 0 || lmp_now() >= deadline)) return false;
  }
}

bool lmp_wait_room(lua_State *L, lmp_pool *object, size_t bytes, double deadline) {
  lmp_context *context = object->context;
  wait w = begin_wait(L, context);
  mp_pool *pool = object->pool;
  const lmp_run *run = waiting_run(context, pool);
  for (;;) {
    if (has_mail(context)) lmp_poll(L, context, MP_FOREVER, NULL);
    if (object->pool == NULL) return true; /* closed by a callback: the caller sees */
    mp_status status = mp_wait_room(pool, bytes, object->mailbox, slice(run, deadline));
    if (status == MP_OK && !has_mail(context)) return true;
    if (status == MP_FULL) return false;
    if (status == MP_FORKED) lmp_check(L, status);
    hear(&w);
    if (status == MP_TIMEOUT && lmp_now() >= deadline) return false;
  }
}
