#include "handles/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/compat.h"
#include "base/error.h"
#include "codec/encode.h"
#include "codec/reader.h"
#include "codec/value.h"
#include "handles/handle.h"
#include "worker/host.h"
#include "worker/inherit.h"

/* Its address is the registry key of the default pool's object. */
static const char default_pool_key;

/*
** {======================================================
** Starting and stopping
** =======================================================
*/

/* its userdata on top */
static void link_pool(lua_State *L, lmp_context *context, lmp_pool *object) {
  assert(lua_touserdata(L, -1) == object && object->next == NULL && object->prev == NULL);
  object->next = context->pools->first;
  if (object->next != NULL) object->next->prev = object;
  context->pools->first = object;
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->objects);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, object);
  lua_pop(L, 1);
}

static void unlink_pool(lmp_pool *object) {
  if (object->prev != NULL)
    object->prev->next = object->next;
  else if (object->context->pools->first == object)
    object->context->pools->first = object->next;
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

/* In a state that is being closed nobody would let go of the pool again. */
static void check_no_finaliser(lua_State *L) {
  if (lua_gc(L, LUA_GCCOUNT) < 0) luaL_error(L, "a pool cannot be started inside __gc");
}

/*
** Shuts down and lets go. Never raises. Callbacks that were not delivered are not called any more.
*/
static void close_object(lua_State *L, lmp_pool *object) {
  lmp_context *context = object->context;
  mp_pool *pool = object->pool;
  lmp_host *host = object->host;
  bool free = pool == NULL || lmp_scratch_free(context, pool);
  /* The pool frees the host in its end, and its log may call the function until then. */
  int log_function = host == NULL || object->borrowed ? LUA_NOREF : host->log.function;
  if (pool == NULL) {
    if (host != NULL) lmp_host_free(host); /* the host was never given to a pool */
    object->host = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, log_function);
    return;
  }
  unlink_pool(object);
  object->pool = NULL;
  /* Only a state that is closed collects its default pool: there is no other from here on. */
  if (context->pools->default_pool == object) {
    context->pools->default_pool = NULL;
    context->pools->was_shut_down = true;
  }
  lmp_forget_pool(L, context, pool);
  lmp_inherit_forget(L, context, pool);
  if (object->borrowed) {
    mp_mailbox_close(object->mailbox); /* the view's own */
    object->host = NULL;
    return;
  }
  object->host = NULL;
  uint64_t deadline = mp_now() + LMP_CLOSE_NS, now;
  while ((now = mp_now()) < deadline &&
         mp_pool_shutdown(pool, deadline - now, MP_SHUTDOWN_CANCEL_ALL, NULL) == MP_INTERRUPTED)
    continue;
  lmp_log_close(pool); /* tasks may be released, and told of, behind the pool's end */
  if (free) mp_pool_destroy(pool);
  luaL_unref(L, LUA_REGISTRYINDEX, log_function);
}

/* a worker's stack, as far as it is used, its Lua state and what hangs on it, about */
#define WORKER_BYTES ((size_t)1 << 20)

/* stack: pool object, options */
static int inherit_protected(lua_State *L) {
  const lmp_pool *object = lua_touserdata(L, 1);
  lmp_host_inherit(L, object->context, object->host, object->pool, 2);
  return 0;
}

lmp_pool *lmp_start_pool(lua_State *L, lmp_context *context, int options) {
  check_no_finaliser(L);
  luaL_checkstack(L, 8, NULL);
  lmp_pool *object = push_object(L, context);
  lmp_host *host = object->host = calloc(1, sizeof *host);
  if (host == NULL) lmp_check(L, MP_NOMEM);
  host->open_state = context->pools->open_state;
  mp_pool_config config = lmp_host_prepare(L, host, options);
  /* The collector does not see what the threads of dropped pools weigh. */
  lmp_gc_press(L, (config.workers != 0 ? config.workers : mp_cores()) * WORKER_BYTES);
  lmp_check(L, mp_pool_create(&config, &object->pool));
  object->mailbox = mp_pool_mailbox(object->pool);
  host->log.pool = object->pool;
  host->log.context = context;
  link_pool(L, context, object);
  lua_pushcfunction(L, inherit_protected);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, options);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return object;
  close_object(L, object); /* and its threads: nobody has it */
  lua_error(L);
  return NULL;
}

int lmp_pool_gc(lua_State *L) {
  close_object(L, lua_touserdata(L, 1));
  return 0;
}

/* }====================================================== */

/*
** {======================================================
** The default one
** =======================================================
*/

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
  assert(lua_touserdata(L, -1) == object);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  context->pools->default_pool = object;
}

lmp_pool *lmp_adopt_pool(lua_State *L, lmp_context *context, mp_pool *pool, lmp_host *host) {
  lmp_pool *object = borrow_pool(L, context, pool, host);
  lmp_mailbox(L, object);
  set_default(L, context, object);
  return object;
}

lmp_pool *lmp_default_pool(lua_State *L, lmp_context *context) {
  if (context->pools->default_pool != NULL) return context->pools->default_pool;
  if (context->pools->was_shut_down)
    lmp_check_open(L, MP_SHUTDOWN, "pool is shut down (reset_shutdown lets a new one start)");
  lmp_pool *object;
  if (context->vm != NULL) {
    object = borrow_pool(L, context, mp_worker_pool(context->vm->worker), context->vm->host);
  } else {
    lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->options);
    object = lmp_start_pool(L, context, lua_gettop(L));
    lua_remove(L, -2);
    if (context->pools->default_pool != NULL) { /* code that ran meanwhile has started one */
      close_object(L, object);
      lua_pop(L, 1);
      return context->pools->default_pool;
    }
  }
  set_default(L, context, object);
  return object;
}

lmp_pool *lmp_open_pool_of(const lmp_context *context) {
  const lmp_pools *pools = context->pools;
  return pools->default_pool != NULL ? pools->default_pool : pools->first;
}

void lmp_close_logs(lmp_context *context) {
  for (const lmp_pool *object = context->pools->first; object != NULL; object = object->next)
    if (!object->borrowed) lmp_log_close(object->pool);
}

void lmp_close_default(lua_State *L, lmp_context *context) {
  lmp_pool *object = context->pools->default_pool;
  if (object == NULL) return;
  context->pools->default_pool = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_pool_key);
  close_object(L, object);
  lua_pop(L, 1);
}

void lmp_check_own_pool(lua_State *L, lmp_context *context) {
  if (context->vm != NULL) luaL_error(L, "a pool cannot be configured by one of its own tasks");
  if (context->pools->default_pool != NULL && context->pools->default_pool->borrowed)
    luaL_error(L, "the pool belongs to the program that Lua is embedded in");
}

/* }====================================================== */

/* growth that is not worth a step of the collector */
#define FELT_FROM ((size_t)256 << 10)
/* so many submissions are many small tasks, whose memory had better be used again at once */
#define FELT_CALLS 400

void lmp_feel_memory(lua_State *L, lmp_pool *object) {
  size_t bytes = mp_pool_bytes(object->pool), felt = object->bytes_felt;
  object->calls_felt++;
  if (bytes >= felt && bytes - felt < FELT_FROM) return;
  if (bytes >= felt && object->calls_felt < FELT_CALLS) {
    /* a few large ones: as the collector lets what is alive double before the next cycle */
    size_t alive = ((size_t)lua_gc(L, LUA_GCCOUNT) << 10) + felt;
    if (bytes - felt < alive) return;
  }
  object->bytes_felt = bytes;
  object->calls_felt = 0;
  if (bytes > felt) lmp_gc_press(L, bytes - felt);
}

/*
** {======================================================
** Finding
** =======================================================
*/

lmp_pool *lmp_to_pool(lua_State *L, lmp_context *context, int index) {
  if (!lua_toboolean(L, index)) return lmp_default_pool(L, context);
  lmp_pool *object = luaL_testudata(L, index, LMP_POOL);
  if (object == NULL) luaL_error(L, "pool must be a pool, got %s", luaL_typename(L, index));
  if (object->pool == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL);
  return object;
}

mp_mailbox *lmp_mailbox(lua_State *L, lmp_pool *object) {
  if (object->mailbox == NULL) lmp_check(L, mp_mailbox_create(object->pool, &object->mailbox));
  return object->mailbox;
}

lmp_pool *lmp_pool_find(lmp_context *context, const mp_pool *pool) {
  lmp_pool *object = context->pools->default_pool;
  if (object != NULL && object->pool == pool) return object;
  object = context->pools->first;
  while (object != NULL && object->pool != pool) object = object->next;
  return object;
}

void lmp_push_pool(lua_State *L, lmp_context *context, const mp_pool *pool) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->objects);
  lua_rawgetp(L, -1, lmp_pool_find(context, pool));
  lua_remove(L, -2);
}

void lmp_keep_pool(lua_State *L, int index, const lmp_pool *pool) {
  LMP_HEIGHT(base, L);
  lmp_handle *handle = lua_touserdata(L, index);
  if (handle->keeps_pool || pool == pool->context->pools->default_pool) return;
  luaL_checkstack(L, 6, NULL);
  int type = lua_getiuservalue(L, index, LMP_HANDLE_EXTRA);
  lmp_push_pool(L, pool->context, pool->pool);
  if (type == LUA_TTABLE)
    lua_setfield(L, -2, "pool");
  else
    lua_setiuservalue(L, index, LMP_HANDLE_EXTRA);
  lua_pop(L, 1);
  handle->keeps_pool = true;
  assert(lua_gettop(L) == base);
}

void lmp_free_pool(lua_State *L, int index) {
  LMP_HEIGHT(base, L);
  lmp_handle *handle = lua_touserdata(L, index);
  if (!handle->keeps_pool) return;
  int type = lua_getiuservalue(L, index, LMP_HANDLE_EXTRA);
  lua_pushnil(L);
  if (type == LUA_TTABLE)
    lua_setfield(L, -2, "pool");
  else
    lua_setiuservalue(L, index, LMP_HANDLE_EXTRA);
  lua_pop(L, 1);
  handle->keeps_pool = false;
  assert(lua_gettop(L) == base);
}

/* }====================================================== */

/*
** {======================================================
** Travelling
** =======================================================
*/

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
  /* The worker's own view of the pool is made if there is none yet. */
  if (decoder->context->vm != NULL) lmp_default_pool(L, decoder->context);
  lmp_push_pool(L, decoder->context, decoder->message->pool);
}

static const lmp_reference_kind pool_kind = {
    .tag = LMP_POOL_REF, .class = LMP_POOL, .encode = encode_pool, .decode = decode_pool};

/* }====================================================== */

void lmp_pools_begin(lua_State *L, lmp_context *context) {
  context->pools->options = lmp_new_table(L, NULL);
  context->pools->objects = lmp_new_table(L, "v");
  lmp_add_reference(L, context, &pool_kind);
}
