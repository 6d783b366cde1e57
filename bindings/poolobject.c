/*
** poolobject.c - pools as Lua objects: configured, started on first use, shut down by call, by
** <close>, by garbage collection.
*/
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec/encode.h"
#include "codec/reader.h"
#include "codec/value.h"
#include "handle.h"
#include "worker/host.h"
#include "base/options.h"

#define SETTLE_NS ((uint64_t)100000000) /* how long configure waits for the pool to be idle */

#define SHUTDOWN_SECONDS 30 /* unless told otherwise */
/* what is left of tasks that were asked to stop when their pool goes has so long */
#define CLOSE_NS ((uint64_t)400000000)

static const char default_pool_key; /* its address: registry key of the default pool's object */

/*
** {======================================================
** Starting and stopping
** =======================================================
*/

/* its userdata on top */
static void link_pool(lua_State *L, lmp_context *context, lmp_pool *object) {
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
  lmp_pool *object = push_object(L, context);
  lmp_host *host = object->host = calloc(1, sizeof *host);
  if (host == NULL) lmp_check(L, MP_NOMEM);
  host->open_state = lmp_context_create;
  mp_pool_config config = lmp_host_prepare(L, host, options);
  lmp_check(L, mp_pool_create(&config, &object->pool));
  object->mailbox = mp_pool_mailbox(object->pool);
  host->log.pool = object->pool;
  host->log.context = context;
  link_pool(L, context, object);
  lmp_host_inherit(L, context, host, object->pool, options);
  return object;
}

/*
** Shuts down and lets go. Never raises. Callbacks that were not delivered are not called any more.
*/
static void close_object(lua_State *L, lmp_pool *object) {
  lmp_context *context = object->context;
  mp_pool *pool = object->pool;
  lmp_host *host = object->host;
  if (pool != NULL) lmp_scratch_free(context, pool);
  /* workers may read it to the end */
  int log_function = host == NULL || object->borrowed ? LUA_NOREF : host->log.function;
  if (pool == NULL) {
    if (host != NULL) lmp_host_free(host); /* it was never given to a pool */
    object->host = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, log_function);
    return;
  }
  unlink_pool(object);
  object->pool = NULL;
  lmp_forget_pool(L, context, pool);
  if (object->borrowed) {
    mp_mailbox_close(object->mailbox); /* its own */
    object->host = NULL;
    return;
  }
  object->host = NULL;
  (void)!mp_pool_shutdown(pool, CLOSE_NS, MP_SHUTDOWN_CANCEL_ALL, NULL);
  mp_pool_destroy(pool);
  luaL_unref(L, LUA_REGISTRYINDEX, log_function);
}

static int pool_gc(lua_State *L) {
  close_object(L, lua_touserdata(L, 1));
  return 0;
}

static lmp_pool *borrow_pool(lua_State *L, lmp_context *context, mp_pool *pool, lmp_host *host) {
  lmp_pool *object = push_object(L, context);
  object->pool = pool;
  object->host = host;
  object->borrowed = true;
  link_pool(L, context, object);
  return object;
}

/* its userdata on top, popped */
static void set_default(lua_State *L, lmp_context *context, lmp_pool *object) {
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  context->pool = object;
}

lmp_pool *lmp_adopt_pool(lua_State *L, lmp_context *context, mp_pool *pool, lmp_host *host) {
  lmp_pool *object = borrow_pool(L, context, pool, host);
  lmp_mailbox(L, object);
  set_default(L, context, object);
  return object;
}

lmp_pool *lmp_default_pool(lua_State *L, lmp_context *context) {
  if (context->pool != NULL) return context->pool;
  if (context->was_shut_down)
    luaL_error(L, "pool is shut down (reset_shutdown lets a new one start)");
  lmp_pool *object;
  if (context->vm != NULL) {
    object = borrow_pool(L, context, mp_worker_pool(context->vm->worker), context->vm->host);
  } else {
    lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_options);
    object = start_pool(L, context, lua_gettop(L));
    lua_remove(L, -2);
  }
  set_default(L, context, object);
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

/* A pool travels as the one through which its message goes: there is nothing to refer to. */
static int encode_pool(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                       bool top) {
  const lmp_pool *object = lua_touserdata(L, index);
  (void)context;
  (void)top;
  if (object->pool != buffer->message.pool) return 0;
  return lmp_put_tag(buffer, LMP_POOL_REF) ? 1 : -1;
}

static void decode_pool(lua_State *L, lmp_decoder *decoder, int depth) {
  (void)depth;
  /* a worker's own view of it */
  if (decoder->context->vm != NULL) lmp_default_pool(L, decoder->context);
  lmp_push_pool(L, decoder->context, decoder->message->pool);
}

static const lmp_reference_kind pool_kind = {
    .tag = LMP_POOL_REF, .class = LMP_POOL, .encode = encode_pool, .decode = decode_pool};

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
  set_count(L, "refused", info.refused);
  set_count(L, "queue", info.queue);
  set_count(L, "queue_bytes", info.queue_bytes);
  set_count(L, "peak", info.tasks_peak);
  set_count(L, "messages_dropped", info.messages_dropped);
  set_count(L, "bytes", info.bytes);
  set_count(L, "callback_errors", (uint64_t)object->context->callback_errors);
  lua_pushboolean(L, mp_pool_status(object->pool) != MP_OK);
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
  if (context->pool != NULL) mp_pool_get_info(context->pool->pool, &info);
  lua_pushinteger(L, (lua_Integer)(info.submitted - info.finished));
  return 1;
}

/* Shuts a pool of this state's own down and delivers what callbacks are left. */
static void shut(lua_State *L, lmp_pool *object, uint64_t timeout_ns, mp_shutdown_mode mode,
                 mp_shutdown_report *report) {
  lmp_check(L, mp_pool_shutdown(object->pool, timeout_ns, mode, report));
  if (report->stuck == 0) { /* nobody is left who would write */
    lmp_trace_close(object->host->trace);
    object->host->trace = NULL;
  }
  lmp_poll(L, object->context, MP_FOREVER, NULL);
}

/* Shuts the pool down as the table at `options` (or nothing) says, pushes the report. */
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
    shut(L, object, CLOSE_NS, MP_SHUTDOWN_CANCEL_ALL, &report);
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

/* pool(options) -> a further pool, with its own workers */
static int pool(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  lua_settop(L, 1);
  lmp_host_check(L, 1);
  start_pool(L, lmp_context_of(L), 1);
  return 1;
}

void lmp_close_default(lua_State *L, lmp_context *context) {
  lmp_pool *object = context->pool;
  if (object == NULL) return;
  context->pool = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  close_object(L, object);
  lua_pop(L, 1);
}

void lmp_check_own_pool(lua_State *L, lmp_context *context) {
  if (context->vm != NULL) luaL_error(L, "a pool cannot be configured by one of its own tasks");
  if (context->pool != NULL && context->pool->borrowed)
    luaL_error(L, "the pool belongs to the program that Lua is embedded in");
}

/*
** configure(options): for the default pool. A running one is replaced if nothing is left to do in
** it.
*/
static int configure(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lua_settop(L, 1);
  lmp_host_check(L, 1);
  lmp_check_own_pool(L, context);
  if (context->pool != NULL) {
    /* a cancelled task may still be on its way out */
    mp_status status = mp_pool_drain(context->pool->pool, SETTLE_NS);
    if (status == MP_TIMEOUT)
      luaL_error(L, "the pool has unfinished tasks; configure it before or after them");
    lmp_poll(L, context, MP_FOREVER, NULL); /* what its tasks have called back for */
    lmp_close_default(L, context);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_options);
  lmp_copy_fields(L, 1, 2);
  return 0;
}

/* shutdown(options) -> report: of the default pool; no other starts until reset_shutdown */
static int shutdown_default(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lmp_pool none = {.context = context, .borrowed = context->vm != NULL};
  int n = shut_down(L, context->pool != NULL ? context->pool : &none, 1);
  context->was_shut_down = true;
  return n;
}

static int reset_shutdown(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  if (context->was_shut_down) lmp_close_default(L, context);
  context->was_shut_down = false;
  return 0;
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

void lmp_open_pool(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {
      {"__gc", pool_gc}, {"__close", pool_close}, {"__tostring", pool_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"info", pool_info}, {"shutdown", pool_shutdown}, {NULL, NULL}};
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
  lmp_add_reference(L, context, &pool_kind);
  luaL_getmetatable(L, LMP_POOL); /* the Lua modules add methods of theirs */
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "pool_methods");
  lua_pop(L, 1);
  lmp_set_functions(L, context, functions);
}

/* }====================================================== */
