#include "api/pool_methods.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/options.h"
#include "handles/events.h"
#include "handles/pool.h"
#include "handles/wait.h"
#include "worker/host.h"

#define SETTLE_NS ((uint64_t)100000000) /* how long configure waits for the pool to be idle */
#define SHUTDOWN_SECONDS 30             /* unless told otherwise */
#define TASKS_MAX ((lua_Integer)1 << 40)

/*
** {======================================================
** Looking
** =======================================================
*/

static lmp_pool *check_object(lua_State *L, int arg) { return luaL_checkudata(L, arg, LMP_POOL); }

static void set_count(lua_State *L, const char *field, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, field);
}

static int push_info(lua_State *L, lmp_pool *object) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  if (object->pool == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL);
  /* all that is asked of the pool, before a finaliser may close it */
  mp_pool_get_info(object->pool, &info);
  bool shut_down = mp_pool_status(object->pool) != MP_OK;
  lua_Integer callback_errors = object->context->events->callback_errors;
  lua_createtable(L, 0, 14);
  set_count(L, "workers", info.workers);
  set_count(L, "workers_extra", info.workers_extra);
  set_count(L, "submitted", info.submitted);
  set_count(L, "finished", info.finished);
  set_count(L, "done", info.done);
  set_count(L, "failed", info.failed);
  set_count(L, "cancelled", info.cancelled);
  set_count(L, "timed_out", info.timed_out);
  set_count(L, "waiting", info.waiting);
  set_count(L, "running", info.running);
  set_count(L, "stuck", info.stuck);
  set_count(L, "refused", info.refused);
  set_count(L, "queue", info.queue);
  set_count(L, "queue_bytes", info.queue_bytes);
  set_count(L, "peak", info.tasks_peak);
  set_count(L, "messages_dropped", info.messages_dropped);
  set_count(L, "bytes", info.bytes);
  set_count(L, "callback_errors", (uint64_t)callback_errors);
  lua_pushboolean(L, shut_down);
  lua_setfield(L, -2, "shut_down");
  return 1;
}

static int pool_info(lua_State *L) { return push_info(L, check_object(L, 1)); }

static int get_thread_pool_info(lua_State *L) {
  return push_info(L, lmp_default_pool(L, lmp_context_of(L)));
}

/* get_active_task_count() -> tasks submitted and not finished */
static int get_active_task_count(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  mp_pool_info info = MP_POOL_INFO_INIT;
  if (context->pools->default_pool != NULL)
    mp_pool_get_info(context->pools->default_pool->pool, &info);
  lua_pushinteger(L, (lua_Integer)(info.submitted - info.finished));
  return 1;
}

static int pool_tostring(lua_State *L) {
  const lmp_pool *object = check_object(L, 1);
  mp_pool_info info = MP_POOL_INFO_INIT;
  if (object->pool != NULL) mp_pool_get_info(object->pool, &info);
  if (object->pool == NULL || mp_pool_status(object->pool) != MP_OK)
    lua_pushliteral(L, "pool (shut down)");
  else
    lua_pushfstring(L, "pool of %d workers", (int)info.workers);
  return 1;
}

static int is_pool(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, LMP_POOL) != NULL);
  return 1;
}

static int is_terminal(lua_State *L) { /* is_terminal() -> is stderr one?, its columns or nil */
  struct winsize size;
  lua_pushboolean(L, isatty(STDERR_FILENO));
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 1;
  lua_pushinteger(L, size.ws_col);
  return 2;
}

/* }====================================================== */

/*
** {======================================================
** Shutting down
** =======================================================
*/

/* Shuts a pool of this state's own down and delivers what callbacks are left. */
static void shut(lua_State *L, lmp_pool *object, uint64_t timeout_ns, mp_shutdown_mode mode,
                 mp_shutdown_report *report) {
  lmp_shut_down(L, object, timeout_ns, mode, report);
  if (object->pool == NULL) return;
  if (report->stuck == 0) { /* nobody is left who would write */
    lmp_trace_close(object->host->trace);
    object->host->trace = NULL;
  }
  lmp_poll(L, object->context, MP_FOREVER, NULL);
}

/*
** Shuts the pool, which is kept by the stack, down as the table at `options` (or nothing) says,
** pushes the report.
*/
static int shut_down(lua_State *L, lmp_pool *object, int options) {
  static const char *const names[] = {"timeout", "cancel_pending", NULL};
  mp_shutdown_report report = {0, 0, 0};
  double timeout = SHUTDOWN_SECONDS;
  mp_shutdown_mode mode = MP_SHUTDOWN_CANCEL_PENDING;
  if (!lua_isnoneornil(L, options)) {
    luaL_checktype(L, options, LUA_TTABLE);
    lmp_check_option_names(L, options, names);
    if (lua_getfield(L, options, "timeout") != LUA_TNIL) timeout = lmp_to_seconds(L, -1, "timeout");
    if (lua_getfield(L, options, "cancel_pending") == LUA_TBOOLEAN && !lua_toboolean(L, -1))
      mode = MP_SHUTDOWN_FINISH;
  }
  if (object->borrowed)
    luaL_error(L, object->context->vm != NULL
                      ? "a pool cannot be shut down by one of its own tasks"
                      : "the pool belongs to the program that Lua is embedded in");
  if (object->pool != NULL) shut(L, object, lmp_to_ns(timeout), mode, &report);
  lua_createtable(L, 0, 3);
  set_count(L, "done", report.done);
  set_count(L, "cancelled", report.cancelled);
  set_count(L, "stuck", report.stuck);
  return 1;
}

static int pool_shutdown(lua_State *L) { return shut_down(L, check_object(L, 1), 2); }

/* Leaving the pool's scope: what runs is asked to stop at once. */
static int pool_close(lua_State *L) {
  lmp_pool *object = check_object(L, 1);
  mp_shutdown_report report;
  if (object->pool != NULL && !object->borrowed)
    shut(L, object, LMP_CLOSE_NS, MP_SHUTDOWN_CANCEL_ALL, &report);
  return 0;
}

/* shutdown(options) -> report: of the default pool; no other starts until reset_shutdown */
static int shutdown_default(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lmp_pool none = {.context = context, .borrowed = context->vm != NULL}, *object = &none;
  lua_settop(L, 1);
  if (context->pools->default_pool != NULL) {
    object = context->pools->default_pool;
    lmp_push_pool(L, context, object->pool); /* it stays there, whatever runs meanwhile */
  }
  int n = shut_down(L, object, 1);
  context->pools->was_shut_down = true;
  return n;
}

static int reset_shutdown(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  const lmp_pool *pool = context->pools->default_pool;
  /* a shutdown that Ctrl-C has ended goes on */
  bool begun = context->vm == NULL && pool != NULL && mp_pool_status(pool->pool) == MP_SHUTDOWN;
  if (context->pools->was_shut_down || begun) lmp_close_default(L, context);
  context->pools->was_shut_down = false;
  return 0;
}

/* }====================================================== */

/*
** {======================================================
** Making and setting
** =======================================================
*/

/*
** Checks the table of options at index 1, and puts one in its place without those that are false:
** not given, or given back. But for `log`, where that means something.
*/
static void check_options(lua_State *L) {
  lmp_host_check_names(L, 1);
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, 1)) { /* stack: options, given, name, value */
    if (lua_toboolean(L, -1) || strcmp(lua_tostring(L, -2), "log") == 0) {
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, 2);
    }
    lua_pop(L, 1);
  }
  lmp_host_check(L, 2);
}

/* pool(options) -> a further pool, with its own workers */
static int pool(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  lua_settop(L, 1);
  check_options(L);
  lua_replace(L, 1);
  lmp_start_pool(L, lmp_context_of(L), 1);
  return 1;
}

/*
** configure(options): for the default pool. A running one is replaced if nothing is left to do in
** it.
*/
static int configure(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lua_settop(L, 1);
  check_options(L);
  lmp_check_own_pool(L, context);
  if (context->pools->default_pool != NULL) {
    /* a cancelled task may still be on its way out */
    mp_status status = mp_pool_drain(context->pools->default_pool->pool, SETTLE_NS);
    if (status == MP_TIMEOUT)
      luaL_error(L, "the pool has unfinished tasks; configure it before or after them");
    lmp_poll(L, context, MP_FOREVER, NULL); /* what its tasks have called back for */
    lmp_close_default(L, context);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->options); /* 3 */
  lua_pushnil(L);
  while (lua_next(L, 1)) { /* stack: options, given, kept, name, value */
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushvalue(L, -1);
    lua_rawget(L, 2);
    lua_rawset(L, 3);
  }
  return 0;
}

/* Sets one limit of the default pool: now if it runs, and for the next one. nil: none. */
static int set_limit(lua_State *L, const char *option, lua_Integer high) {
  lmp_context *context = lmp_context_of(L);
  lmp_host checked;
  lua_settop(L, 1);
  lmp_check_own_pool(L, context);
  lua_newtable(L); /* 2 */
  lua_pushvalue(L, 1);
  lua_setfield(L, 2, option);
  (void)lmp_option_integer(L, 2, option, 1, high, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->options); /* 3 */
  lua_pushvalue(L, 1);
  lua_setfield(L, 3, option);
  lmp_limits_read(L, &checked, 3);
  if (context->pools->default_pool == NULL) return 0; /* a finaliser may have closed it */
  lmp_check(L, mp_pool_set_limits(context->pools->default_pool->pool, &checked.limits));
  return 0;
}

static int set_max_concurrent_tasks(lua_State *L) {
  return set_limit(L, "max_concurrent_tasks", TASKS_MAX);
}
static int configure_memory_limit(lua_State *L) {
  return set_limit(L, "memory_limit_percent", 100);
}

/* }====================================================== */

void lmp_open_pool(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {
      {"__gc", lmp_pool_gc}, {"__close", pool_close}, {"__tostring", pool_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"info", pool_info}, {"shutdown", pool_shutdown}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"pool", pool},
                                       {"configure", configure},
                                       {"shutdown", shutdown_default},
                                       {"reset_shutdown", reset_shutdown},
                                       {"get_thread_pool_info", get_thread_pool_info},
                                       {"get_active_task_count", get_active_task_count},
                                       {"set_max_concurrent_tasks", set_max_concurrent_tasks},
                                       {"configure_memory_limit", configure_memory_limit},
                                       {"is_pool", is_pool},
                                       {"is_terminal", is_terminal},
                                       {NULL, NULL}};
  lmp_new_class(L, context, LMP_POOL, meta, methods);
  lmp_pools_begin(L, context);
  luaL_getmetatable(L, LMP_POOL); /* the Lua modules add methods of theirs */
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "pool_methods");
  lua_pop(L, 1);
  lmp_set_functions(L, context, functions);
}
