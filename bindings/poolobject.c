/*
** poolobject.c - pools as Lua objects: configured, started on first use, shut down by call, by <close>, by garbage collection.
*/
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errors.h"
#include "handle.h"
#include "interrupt.h"
#include "options.h"

static const char *const pool_option_names[] = {"workers", "stack_size", "setup", "preload", "isolate", "log", "cancel_mode",
                                                "worker_memory_limit", NULL};
#define SETTLE_NS ((uint64_t)100000000) /* how long configure waits for the pool to be idle */

#define SHUTDOWN_SECONDS 30 /* unless told otherwise */
#define CLOSE_NS ((uint64_t)500000000) /* what is left of tasks that were asked to stop when their pool goes has so long */

static const char default_pool_key; /* its address: registry key of the default pool's object */

/*
** {======================================================
** What workers' states are made from
** =======================================================
*/

static void host_free(void *ud) { /* the engine's `closed`: any thread */
  lmp_host *host = ud;
  free(host->preload);
  free(host->vms);
  free(host);
}

/* C functions of package.preload: modules linked into the program. */
static void keep_preloads(lua_State *L, lmp_host *host) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  size_t n = 0;
  lua_pushnil(L);
  for (; lua_next(L, -2); n++) lua_pop(L, 1);
  host->preload = calloc(n + 1, sizeof *host->preload);
  if (host->preload == NULL) luaL_error(L, "not enough memory");
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lmp_preload *entry = &host->preload[host->preload_count];
    int value = lua_gettop(L);
    bool bare = lua_iscfunction(L, value) && lua_getupvalue(L, value, 1) == NULL;
    if (bare && lua_type(L, value - 1) == LUA_TSTRING && lua_rawlen(L, value - 1) < sizeof entry->name) {
      strcpy(entry->name, lua_tostring(L, value - 1));
      entry->function = lua_tocfunction(L, value);
      host->preload_count++;
    }
    lua_settop(L, value - 1);
  }
  lua_pop(L, 1);
}

static void push_preload_names(lua_State *L, int options) {
  if (lua_getfield(L, options, "preload") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  if (!lua_istable(L, -1)) luaL_error(L, "preload must be a list of module names, got %s", luaL_typename(L, -1));
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -1); i++) {
    if (lua_rawgeti(L, -1, i) != LUA_TSTRING) luaL_error(L, "preload must be a list of module names, got %s in it", luaL_typename(L, -1));
    lua_pop(L, 1);
  }
}

/* What each new state is given: written once, read by every worker when its state is made. */
static void encode_inherited(lua_State *L, lmp_pool *object, int options) {
  static const lmp_encoding how = {.root = "setup", .direction = "to a worker", .unnumbered = 4};
  int first = lua_gettop(L) + 1;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  lua_getfield(L, -2, "cpath");
  lua_remove(L, -3);
  push_preload_names(L, options);
  lua_getfield(L, options, "setup");
  lmp_buffer *buffer = lmp_encode_begin(L, object->context, object->pool);
  if (!lmp_encode_values(L, object->context, buffer, &how, first, 4)) {
    lmp_push_refusal(L, buffer, &how);
    lua_error(L);
  }
  object->host->inherit = lmp_encode_take(buffer);
  if (object->host->inherit == NULL) lmp_check(L, MP_NOMEM);
  lua_settop(L, first - 1);
}

/* Which of the names the option has: its index; `missing` without it. */
static int option_choice(lua_State *L, int options, const char *option, const char *const names[], int missing) {
  int found = -1;
  if (lua_getfield(L, options, option) == LUA_TNIL) found = missing;
  const char *name = luaL_tolstring(L, -1, NULL);
  for (int i = 0; found < 0 && names[i] != NULL; i++)
    if (lua_type(L, -2) == LUA_TSTRING && strcmp(name, names[i]) == 0) found = i;
  if (found < 0) {
    lua_pushfstring(L, "%s must be '%s'", option, names[0]);
    for (int i = 1; names[i] != NULL; i++) {
      lua_pushfstring(L, "%s '%s'", names[i + 1] == NULL ? " or" : ",", names[i]);
      lua_concat(L, 2);
    }
    luaL_error(L, "%s, got %s", lua_tostring(L, -1), name);
  }
  lua_pop(L, 2);
  return found;
}

static lmp_isolate option_isolate(lua_State *L, int options) {
  static const char *const names[] = {"none", "env", "state", NULL};
  return (lmp_isolate)option_choice(L, options, "isolate", names, LMP_ISOLATE_NONE);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_WAIT 1 /* ThreadSanitizer delivers none to a thread that only computes */
#endif
#endif

static lmp_cancel_mode option_cancel_mode(lua_State *L, int options) {
  static const char *const names[] = {"signal", "hook", "cooperative", NULL};
  lmp_cancel_mode mode = (lmp_cancel_mode)option_choice(L, options, "cancel_mode", names, LMP_CANCEL_SIGNAL);
#if defined(SIGNALS_WAIT)
  if (mode == LMP_CANCEL_SIGNAL) mode = LMP_CANCEL_HOOK;
#endif
  return mode;
}

static size_t option_worker_memory(lua_State *L, int options) {
  lua_Integer limit = lmp_option_integer(L, options, "worker_memory_limit", 1 << 20, (lua_Integer)1 << 40, 0);
  return limit == 0 ? SIZE_MAX : (size_t)limit;
}

/* The option, else the environment's MAKEPARALLEL_LOG, else silence. */
static void option_log(lua_State *L, int options, lmp_log *log) {
  log->function = LUA_NOREF;
  log->highest = MP_LOG_OFF;
  const char *text = getenv("MAKEPARALLEL_LOG");
  bool from_option = lua_getfield(L, options, "log") != LUA_TNIL;
  if (lua_isfunction(L, -1)) {
    if (text == NULL || !lmp_log_parse(log, text)) (void)!lmp_log_parse(log, "debug");
    log->function = luaL_ref(L, LUA_REGISTRYINDEX);
    return;
  }
  if (from_option) text = lua_tostring(L, -1);
  if (from_option ? text == NULL || !lmp_log_parse(log, text) : text != NULL && !lmp_log_parse(log, text)) {
    log->count = 0;
    log->highest = MP_LOG_OFF;
    if (from_option) luaL_error(L, "log must be a function, a level (off, error, warn, info, debug, trace) or area=level,..., got %s",
                                luaL_tolstring(L, -1, NULL));
    lua_warning(L, "makeparallel: MAKEPARALLEL_LOG is neither a level nor area=level,...", 0);
  }
  lua_pop(L, 1);
}

/* }====================================================== */

/*
** {======================================================
** Starting and stopping
** =======================================================
*/

static void link_pool(lua_State *L, lmp_context *context, lmp_pool *object) { /* its userdata on top */
  object->next = context->pools;
  if (object->next != NULL) object->next->prev = object;
  context->pools = object;
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_objects);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, object);
  lua_pop(L, 1);
}

static void unlink_pool(lmp_pool *object) {
  if (object->prev != NULL)
    object->prev->next = object->next;
  else if (object->context->pools == object)
    object->context->pools = object->next;
  if (object->next != NULL) object->next->prev = object->prev;
  object->next = object->prev = NULL;
}

static lmp_pool *push_object(lua_State *L, lmp_context *context) {
  lmp_pool *object = lua_newuserdatauv(L, sizeof *object, 0);
  memset(object, 0, sizeof *object);
  object->context = context;
  luaL_setmetatable(L, LMP_POOL);
  return object;
}

/* Options are checked in full before anything is started. Pushes the object. */
static lmp_pool *start_pool(lua_State *L, lmp_context *context, int options) {
  mp_pool_config config = mp_pool_config_default();
  config.workers = (unsigned)lmp_option_integer(L, options, "workers", 1, MP_WORKERS_MAX, 0);
  config.stack_size = (size_t)lmp_option_integer(L, options, "stack_size", 1 << 20, 1 << 30, 0);
  lmp_pool *object = push_object(L, context);
  lmp_host *host = object->host = calloc(1, sizeof *host);
  if (host == NULL) lmp_check(L, MP_NOMEM);
  host->vms = calloc((config.workers == 0 ? mp_cores() : config.workers) + config.workers_extra, sizeof *host->vms);
  host->log.function = LUA_NOREF;
  if (host->vms == NULL) lmp_check(L, MP_NOMEM);
  host->isolate = option_isolate(L, options);
  host->cancel_mode = option_cancel_mode(L, options);
  host->memory_limit = option_worker_memory(L, options);
  option_log(L, options, &host->log);
  keep_preloads(L, host);
  config.log = lmp_log_line;
  config.log_ud = &host->log;
  config.log_level = host->log.highest;
  config.worker_start = lmp_vm_start;
  config.worker_stop = lmp_vm_stop;
  config.worker_interrupt = host->cancel_mode == LMP_CANCEL_SIGNAL ? lmp_interrupt : NULL;
  config.worker_idle = lmp_vm_idle;
  config.worker_ud = config.closed_ud = host;
  config.closed = host_free;
  lmp_check(L, mp_pool_create(&config, &object->pool));
  object->mailbox = mp_pool_mailbox(object->pool);
  host->log.pool = object->pool;
  host->log.context = context;
  link_pool(L, context, object);
  encode_inherited(L, object, options);
  return object;
}

/* Shuts down and lets go. Never raises. Callbacks that were not delivered are not called any more. */
static void close_object(lua_State *L, lmp_pool *object) {
  lmp_context *context = object->context;
  mp_pool *pool = object->pool;
  lmp_host *host = object->host;
  if (context->scratch != NULL && pool != NULL && context->scratch->message.pool == pool) lmp_buffer_free(context->scratch);
  int log_function = host == NULL ? LUA_NOREF : host->log.function; /* workers may read it to the end */
  if (pool == NULL) {
    if (host != NULL) host_free(host); /* it was never given to a pool */
    object->host = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, log_function);
    return;
  }
  unlink_pool(object);
  object->pool = NULL;
  lmp_forget_pool(L, context, pool);
  if (host == NULL) { /* a worker's view */
    mp_mailbox_close(object->mailbox);
    return;
  }
  object->host = NULL;
  (void)!mp_pool_shutdown(pool, CLOSE_NS, MP_SHUTDOWN_CANCEL_ALL, NULL);
  lmp_message_free(host->inherit);
  host->inherit = NULL;
  mp_pool_destroy(pool);
  luaL_unref(L, LUA_REGISTRYINDEX, log_function);
}

static int pool_gc(lua_State *L) {
  close_object(L, lua_touserdata(L, 1));
  return 0;
}

/* A worker's own view of its pool: tasks inside tasks go there. */
static lmp_pool *view_pool(lua_State *L, lmp_context *context) {
  lmp_pool *object = push_object(L, context);
  object->pool = mp_worker_pool(context->vm->worker);
  link_pool(L, context, object);
  return object;
}

lmp_pool *lmp_default_pool(lua_State *L, lmp_context *context) {
  if (context->pool != NULL) return context->pool;
  if (context->was_shut_down) luaL_error(L, "pool is shut down (reset_shutdown lets a new one start)");
  lmp_pool *object;
  if (context->vm != NULL) {
    object = view_pool(L, context);
  } else {
    lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_options);
    object = start_pool(L, context, lua_gettop(L));
    lua_remove(L, -2);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  context->pool = object;
  return object;
}

lmp_pool *lmp_to_pool(lua_State *L, lmp_context *context, int index) {
  if (!lua_toboolean(L, index)) return lmp_default_pool(L, context);
  lmp_pool *object = luaL_testudata(L, index, LMP_POOL);
  if (object == NULL) luaL_error(L, "pool must be a pool, got %s", luaL_typename(L, index));
  if (object->pool == NULL) lmp_check(L, MP_SHUTDOWN);
  return object;
}

mp_mailbox *lmp_mailbox(lua_State *L, lmp_pool *object) {
  if (object->mailbox == NULL) lmp_check(L, mp_mailbox_create(object->pool, &object->mailbox));
  return object->mailbox;
}

lmp_pool *lmp_pool_find(lmp_context *context, const mp_pool *pool) {
  lmp_pool *object = context->pools;
  while (object != NULL && object->pool != pool) object = object->next;
  return object;
}

void lmp_push_pool(lua_State *L, lmp_context *context, const mp_pool *pool) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_objects);
  lua_rawgetp(L, -1, lmp_pool_find(context, pool));
  lua_remove(L, -2);
}

/* }====================================================== */

/*
** {======================================================
** Methods and functions
** =======================================================
*/

static lmp_pool *check_object(lua_State *L, int arg) { return luaL_checkudata(L, arg, LMP_POOL); }

static void set_count(lua_State *L, const char *field, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, field);
}

static int push_info(lua_State *L, lmp_pool *object) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  if (object->pool == NULL) lmp_check(L, MP_SHUTDOWN);
  mp_pool_get_info(object->pool, &info);
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
  set_count(L, "messages_dropped", info.messages_dropped);
  set_count(L, "bytes", info.bytes);
  set_count(L, "callback_errors", (uint64_t)object->context->callback_errors);
  lua_pushboolean(L, mp_pool_status(object->pool) != MP_OK);
  lua_setfield(L, -2, "shut_down");
  return 1;
}

static int pool_info(lua_State *L) { return push_info(L, check_object(L, 1)); }

static int get_thread_pool_info(lua_State *L) { return push_info(L, lmp_default_pool(L, lmp_context_of(L))); }

/* get_active_task_count() -> tasks submitted and not finished */
static int get_active_task_count(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  mp_pool_info info = MP_POOL_INFO_INIT;
  if (context->pool != NULL) mp_pool_get_info(context->pool->pool, &info);
  lua_pushinteger(L, (lua_Integer)(info.submitted - info.finished));
  return 1;
}

/* Shuts the pool down as the table at `options` (or nothing) says, delivers what callbacks are left, pushes the report. */
static int shut_down(lua_State *L, lmp_pool *object, int options) {
  static const char *const names[] = {"timeout", "cancel_pending", NULL};
  mp_shutdown_report report = {0, 0, 0};
  double timeout = SHUTDOWN_SECONDS;
  mp_shutdown_mode mode = MP_SHUTDOWN_CANCEL_PENDING;
  if (!lua_isnoneornil(L, options)) {
    luaL_checktype(L, options, LUA_TTABLE);
    lmp_check_option_names(L, options, names);
    if (lua_getfield(L, options, "timeout") != LUA_TNIL) timeout = lmp_to_seconds(L, -1, "timeout");
    if (lua_getfield(L, options, "cancel_pending") == LUA_TBOOLEAN && !lua_toboolean(L, -1)) mode = MP_SHUTDOWN_FINISH;
  }
  if (object->context->vm != NULL && object->host == NULL) luaL_error(L, "a pool cannot be shut down by one of its own tasks");
  if (object->pool != NULL) {
    lmp_check(L, mp_pool_shutdown(object->pool, lmp_to_ns(timeout), mode, &report));
    lmp_poll(L, object->context, MP_FOREVER, NULL);
  }
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
  if (object->pool == NULL || object->host == NULL) return 0;
  lmp_check(L, mp_pool_shutdown(object->pool, CLOSE_NS, MP_SHUTDOWN_CANCEL_ALL, NULL));
  lmp_poll(L, object->context, MP_FOREVER, NULL);
  return 0;
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

static void check_pool_options(lua_State *L, int options) {
  luaL_checktype(L, options, LUA_TTABLE);
  lmp_check_option_names(L, options, pool_option_names);
  lmp_option_integer(L, options, "workers", 1, MP_WORKERS_MAX, 0);
  lmp_option_integer(L, options, "stack_size", 1 << 20, 1 << 30, 0);
  option_isolate(L, options);
  option_cancel_mode(L, options);
  option_worker_memory(L, options);
  if (lua_getfield(L, options, "setup") != LUA_TNIL) lmp_check_callable(L, -1, "setup");
  push_preload_names(L, options);
  lua_settop(L, options);
}

/* pool(options) -> a further pool, with its own workers */
static int pool(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  lua_settop(L, 1);
  check_pool_options(L, 1);
  start_pool(L, lmp_context_of(L), 1);
  return 1;
}

static void close_default(lua_State *L, lmp_context *context) {
  lmp_pool *object = context->pool;
  if (object == NULL) return;
  context->pool = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  close_object(L, object);
  lua_pop(L, 1);
}

/* configure(options): for the default pool. A running one is replaced if nothing is left to do in it. */
static int configure(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lua_settop(L, 1);
  check_pool_options(L, 1);
  if (context->vm != NULL) luaL_error(L, "a pool cannot be configured by one of its own tasks");
  if (context->pool != NULL) {
    mp_status status = mp_pool_drain(context->pool->pool, SETTLE_NS); /* a cancelled task may still be on its way out */
    if (status == MP_TIMEOUT) luaL_error(L, "the pool has unfinished tasks; configure it before or after them");
    lmp_poll(L, context, MP_FOREVER, NULL); /* what its tasks have called back for */
    close_default(L, context);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_options);
  lmp_copy_fields(L, 1, 2);
  return 0;
}

/* shutdown(options) -> report: of the default pool; no other starts until reset_shutdown */
static int shutdown_default(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lmp_pool none = {.context = context};
  int n = shut_down(L, context->pool != NULL ? context->pool : &none, 1);
  context->was_shut_down = true;
  return n;
}

static int reset_shutdown(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  if (context->was_shut_down) close_default(L, context);
  context->was_shut_down = false;
  return 0;
}

static int is_pool(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, LMP_POOL) != NULL);
  return 1;
}

static int is_terminal(lua_State *L) { /* is stderr a terminal? */
  lua_pushboolean(L, isatty(2));
  return 1;
}

void lmp_open_pool(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {{"__gc", pool_gc}, {"__close", pool_close}, {"__tostring", pool_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"info", pool_info}, {"shutdown", pool_shutdown}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"pool", pool},
                                       {"configure", configure},
                                       {"shutdown", shutdown_default},
                                       {"reset_shutdown", reset_shutdown},
                                       {"get_thread_pool_info", get_thread_pool_info},
                                       {"get_active_task_count", get_active_task_count},
                                       {"is_pool", is_pool},
                                       {"is_terminal", is_terminal},
                                       {NULL, NULL}};
  lmp_new_class(L, context, LMP_POOL, meta, methods);
  luaL_getmetatable(L, LMP_POOL); /* the Lua modules add methods of theirs */
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "pool_methods");
  lua_pop(L, 1);
  lmp_set_functions(L, context, functions);
}

/* }====================================================== */
