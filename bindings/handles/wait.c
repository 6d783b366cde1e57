#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "handles/wait.h"

#include <time.h>

#include "handles/events.h"
#include "worker/interrupt.h"

/* how long the main state sleeps without a look for Ctrl-C and other pools' news */
#define SLICE_NS ((uint64_t)50 * 1000000)
/* and whoever waits for tasks of several pools, between two looks at those of the others */
#define MIXED_SLICE_NS ((uint64_t)5 * 1000000)

typedef struct wait {
  lua_State *L;
  lmp_context *context;
  lua_Hook hook; /* stays, and has been given its chance; or NULL */
} wait;

static wait begin_wait(lua_State *L, lmp_context *context) { return (wait){L, context, NULL}; }

/* Gives a hook on L its chance: it sees a function called, a line and an instruction. */
static int run_hook(lua_State *L) {
  if (luaL_loadstring(L, "return") != LUA_OK) lua_error(L);
  lua_call(L, 0, 0);
  return 0;
}

/*
** On another coroutine than the one which has the hook: that gets its chance here. One that takes
** itself away then, as handlers of signals do, is done with; one that stays, say a profiler's,
** stays where it was.
*/
static void lend_hook(lua_State *L, lua_State *from) {
  lua_Hook hook = lua_gethook(from), own = lua_gethook(L);
  int mask = lua_gethookmask(L), count = lua_gethookcount(L);
  lua_pushcfunction(L, run_hook);
  lua_sethook(L, hook, lua_gethookmask(from), lua_gethookcount(from));
  int status = lua_pcall(L, 0, 0, 0);
  if (lua_gethook(L) != hook && lua_gethook(from) == hook) lua_sethook(from, NULL, 0, 0);
  lua_sethook(L, own, mask, count);
  if (status != LUA_OK) lua_error(L);
}

/*
** Lua's interpreter answers Ctrl-C, and bindings of signals answer others, by setting a hook on the
** main coroutine, which runs at the next Lua instruction. There is none while we wait: so one is
** run.
*/
static void hear_interrupt(wait *w) {
  lua_State *main = w->context->main;
  lua_Hook hook = lua_gethook(main);
  if (hook == NULL || hook == w->hook) return;
  w->hook = hook;
  luaL_checkstack(w->L, 4, NULL);
  if (w->L == main)
    (void)run_hook(w->L);
  else
    lend_hook(w->L, main);
  if (lua_gethook(main) == NULL) w->hook = NULL; /* and will hear the next one */
}

static bool has_mail(const lmp_context *context) {
  if (context->events->late_count > 0) return true;
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
** {======================================================
** For tasks
** =======================================================
*/

/* References to tasks, which a finaliser gives back if an error leaves them behind. */
typedef struct hold {
  size_t n;
  mp_task *tasks[];
} hold;

#define HOLD "makeparallel.hold" /* the metatable's name in the registry */

static int release_hold(lua_State *L) {
  hold *h = lua_touserdata(L, 1);
  for (size_t i = 0; i < h->n; i++)
    if (h->tasks[i] != NULL) mp_task_release(h->tasks[i]);
  h->n = 0;
  return 0;
}

/* Pushes references to the tasks. */
static hold *push_hold(lua_State *L, mp_task *const *tasks, size_t n) {
  hold *h = lua_newuserdatauv(L, sizeof *h + n * sizeof *tasks, 0);
  h->n = 0;
  if (luaL_newmetatable(L, HOLD)) {
    lua_pushcfunction(L, release_hold);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  for (; h->n < n; h->n++) {
    h->tasks[h->n] = tasks[h->n];
    if (tasks[h->n] != NULL) mp_task_retain(tasks[h->n]);
  }
  return h;
}

typedef struct task_wait {
  wait base;
  mp_pool *pool;
  mp_task *const *tasks; /* borrowed until `held` */
  mp_task *const *own;   /* those of the pool; the others NULL */
  size_t n;
  bool owns;
  hold *held;
} task_wait;

/* Before Lua code runs that might let go of the handles. */
static void hold_tasks(task_wait *w) {
  if (w->held != NULL) return;
  bool mixed = w->own != w->tasks;
  w->held = push_hold(w->base.L, w->tasks, w->n);
  w->tasks = w->held->tasks;
  if (!mixed) w->own = w->tasks;
}

/* As hear; a hook, and what it calls, is the program's code. */
static void hear_holding(task_wait *w) {
  const lmp_context *context = w->base.context;
  if (context->vm == NULL && lua_gethook(context->main) != NULL) hold_tasks(w);
  hear(&w->base);
}

static void deliver(task_wait *w) {
  if (!has_mail(w->base.context)) return;
  hold_tasks(w);
  lmp_poll(w->base.L, w->base.context, MP_FOREVER, NULL);
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

/* One task that the running one needs in any case may run in place: that spares a thread. */
static bool run_in_place(task_wait *w, lmp_run *run, uint64_t timeout) {
  if (run == NULL || w->n != 1 || w->own[0] == NULL || timeout != MP_FOREVER) return false;
  hold_tasks(w);
  run->owns_inner = w->owns;
  bool ran = mp_worker_run(run->worker, w->own[0]) != 0;
  run->owns_inner = false;
  return ran;
}

static bool wait_for_tasks(task_wait *w, double deadline, size_t *index) {
  lmp_context *context = w->base.context;
  lmp_run *run = waiting_run(context, w->pool);
  for (;;) {
    deliver(w);
    const lmp_pool *object = lmp_pool_find(context, w->pool);
    mp_mailbox *mailbox = object == NULL ? NULL : object->mailbox;
    uint64_t timeout = slice(run, deadline);
    size_t found;
    if (run_in_place(w, run, timeout)) {
      hear_holding(w); /* what ran here may have ended because this task is to go */
      continue;
    }
    bool mixed = w->own != w->tasks;
    if (mixed && timeout > MIXED_SLICE_NS) timeout = MIXED_SLICE_NS;
    mp_status status = run != NULL
                           ? mp_worker_wait_any(run->worker, w->own, w->n, mailbox, timeout, &found)
                           : mp_wait_any(w->pool, w->own, w->n, mailbox, timeout, &found);
    if (mixed && has_ended(w->tasks, w->n, &found)) status = MP_OK;
    if (status == MP_OK && found < w->n) {
      deliver(w);
      assert(w->tasks[found] != NULL);
      *index = found;
      return true;
    }
    if (status != MP_OK && status != MP_TIMEOUT && status != MP_INTERRUPTED &&
        status != MP_CANCELLED)
      lmp_check(w->base.L, status);
    hear_holding(w);
    if (status == MP_TIMEOUT && (timeout == 0 || lmp_now() >= deadline)) return false;
  }
}

bool lmp_wait(lua_State *L, lmp_context *context, mp_pool *pool, mp_task *const *tasks, size_t n,
              bool owns, double deadline, size_t *index) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  task_wait w = {
      .base = begin_wait(L, context), .pool = pool, .tasks = tasks, .n = n, .owns = owns};
  w.own = own_tasks(L, pool, tasks, n);
  bool ended = wait_for_tasks(&w, deadline, index);
  if (w.held != NULL) {
    for (size_t i = 0; i < w.held->n; i++)
      if (w.held->tasks[i] != NULL) mp_task_release(w.held->tasks[i]);
    w.held->n = 0;
  }
  lua_settop(L, top);
  return ended;
}

/* }====================================================== */

/*
** {======================================================
** For callbacks, and for time to pass
** =======================================================
*/

/*
** The pool where news of a handle is on its way, or else any open one; NULL: none is open. A handle
** without a task is being submitted, by whoever called us.
*/
static mp_pool *listening_pool(lua_State *L, lmp_context *context) {
  const lmp_pool *object = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->handles->watched);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const lmp_handle *handle = lua_touserdata(L, -1);
    if (handle->task != NULL) object = lmp_pool_find(context, mp_task_pool(handle->task));
    if (object == NULL) continue;
    lua_pop(L, 2);
    break;
  }
  lua_pop(L, 1);
  if (object == NULL) object = lmp_open_pool_of(context);
  return object == NULL ? NULL : object->pool;
}

static bool has_several_pools(const lmp_context *context) {
  const lmp_pool *first = context->pools->first;
  return first != NULL && first->next != NULL;
}

/* Without a pool nothing happens meanwhile. */
static void nap(uint64_t ns) {
  const struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  (void)nanosleep(&time, NULL);
}

/*
** Sleeps for a slice, or until something happens. The pool is looked up anew each time: a callback
** may have closed the one before. False: the deadline has passed.
*/
static bool pass_time(wait *w, double deadline) {
  lmp_context *context = w->context;
  mp_pool *pool = listening_pool(w->L, context);
  const lmp_run *run = pool == NULL ? NULL : waiting_run(context, pool);
  uint64_t timeout = slice(run, deadline);
  size_t found;
  if (has_several_pools(context) && timeout > MIXED_SLICE_NS) timeout = MIXED_SLICE_NS;
  if (pool == NULL) {
    if (timeout > SLICE_NS) timeout = SLICE_NS;
    nap(timeout);
  } else {
    const lmp_pool *object = lmp_pool_find(context, pool);
    mp_status status =
        run != NULL ? mp_worker_wait_any(run->worker, NULL, 0, object->mailbox, timeout, &found)
                    : mp_wait_any(pool, NULL, 0, object->mailbox, timeout, &found);
    if (status == MP_FORKED || (status == MP_SHUTDOWN && deadline >= LMP_NEVER))
      lmp_check(w->L, status);
    if (status == MP_SHUTDOWN) nap(timeout < SLICE_NS ? timeout : SLICE_NS);
  }
  hear(w);
  return lmp_now() < deadline;
}

bool lmp_wait_mail(lua_State *L, lmp_context *context, double deadline) {
  wait w = begin_wait(L, context);
  lua_Integer delivered = context->events->delivered;
  luaL_checkstack(L, 8, NULL);
  do {
    if (has_mail(context)) lmp_poll(L, context, MP_FOREVER, NULL);
    /* by this loop, or by a task that ran in place meanwhile */
    if (context->events->delivered > delivered) return true;
  } while (pass_time(&w, deadline));
  return false;
}

void lmp_settle(lua_State *L, const lmp_handle *handle) {
  /* The engine sends the news soon after the end that others see. */
  while (handle->watched) (void)lmp_wait_mail(L, handle->context, LMP_NEVER);
}

void lmp_sleep_until(lua_State *L, lmp_context *context, double until) {
  while (lmp_wait_mail(L, context, until)) {
  }
}

/* }====================================================== */

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

void lmp_shut_down(lua_State *L, lmp_pool *object, uint64_t timeout_ns, mp_shutdown_mode mode,
                   mp_shutdown_report *report) {
  wait w = begin_wait(L, object->context);
  uint64_t deadline = timeout_ns == MP_FOREVER ? MP_FOREVER : mp_now() + timeout_ns;
  for (;;) {
    uint64_t now = mp_now(), left = deadline == MP_FOREVER ? MP_FOREVER : deadline - now;
    if (deadline < now) left = 0;
    mp_status status = mp_pool_shutdown(object->pool, left, mode, report);
    if (status != MP_INTERRUPTED) {
      lmp_check(L, status);
      return;
    }
    hear(&w);
    if (object->pool == NULL) return; /* closed by what ran meanwhile */
  }
}
