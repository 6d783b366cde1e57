/*
** embed.c - a program's own pool runs Lua tasks (makeparallel_lua.h). What may raise runs inside a
** protected call.
*/
#include <stdlib.h>
#include <string.h>

#include "api/open.h"
#include "api/task_call.h"
#include "handles/events.h"
#include "handles/outcome.h"
#include "makeparallel_lua.h"
#include "worker/host.h"

struct mp_lua { /* never defined: an mp_lua is an lmp_host */
  char unused;
};

/*
** {======================================================
** Preparing a pool
** =======================================================
*/

mp_status mp_lua_prepare(const mp_lua_config *config, mp_pool_config *pool_config, mp_lua **lua) {
  if (config->size != sizeof *config || pool_config->size != sizeof *pool_config) return MP_INVALID;
  if (config->cancel_mode > MP_LUA_CANCEL_COOPERATIVE) return MP_INVALID;
  lmp_host *host = calloc(1, sizeof *host);
  if (host == NULL) return MP_NOMEM;
  host->open_state = lmp_context_create;
  host->lua = *config;
  host->cancel_mode = (lmp_cancel_mode)config->cancel_mode;
  host->memory_limit = config->memory_limit == 0 ? SIZE_MAX : config->memory_limit;
  host->when_full = LMP_FULL_ERROR;
  host->log.function = LUA_NOREF;
  if (config->trace != NULL) host->trace = lmp_trace_open(config->trace);
  mp_status status = config->trace != NULL && host->trace == NULL ? MP_SYSTEM
                     : lmp_host_make_vms(host, pool_config)       ? MP_OK
                                                                  : MP_NOMEM;
  if (status != MP_OK) {
    lmp_host_free(host);
    return status;
  }
  lmp_host_hook(host, pool_config);
  *lua = (mp_lua *)host;
  return MP_OK;
}

void mp_lua_discard(mp_lua *lua) {
  lmp_host *host = (lmp_host *)lua;
  if (host == NULL) return;
  host->outer.closed = NULL; /* the program's hooks belong to a pool that never was */
  lmp_host_free(host);
}

/* }====================================================== */

/*
** {======================================================
** Protected calls
** =======================================================
*/

/* What a protected call is given, and what it brings back. */
typedef struct request {
  lmp_context *context;
  mp_pool *pool;
  const mp_lua_task *options;
  mp_task *task;
  mp_status status;
  int values;
} request;

/* Calls f(request, the n values on top). An error is left on top, and its status returned. */
static mp_status protect(lua_State *L, lua_CFunction f, request *r, int n) {
  if (!lua_checkstack(L, 4)) return MP_NOMEM;
  r->status = MP_OK;
  lua_pushcfunction(L, f);
  lua_insert(L, -n - 1);
  lua_pushlightuserdata(L, r);
  lua_insert(L, -n - 1);
  int status = lua_pcall(L, n + 1, LUA_MULTRET, 0);
  if (status == LUA_OK) return r->status;
  if (r->status != MP_OK) return r->status;
  return status == LUA_ERRMEM ? MP_NOMEM : MP_INVALID;
}

/* }====================================================== */

/*
** {======================================================
** Attaching
** =======================================================
*/

static int attach(lua_State *L) {
  request *r = lua_touserdata(L, 1);
  lmp_host *host = mp_pool_get_config(r->pool)->worker_ud;
  lmp_adopt_pool(L, r->context, r->pool, host);
  lua_newtable(L); /* no options */
  lmp_host_inherit(L, r->context, host, r->pool, lua_gettop(L));
  return 0;
}

mp_status mp_lua_attach(lua_State *L, mp_pool *pool) {
  request r = {.context = lmp_context_get(L), .pool = pool};
  if (mp_pool_get_config(pool)->worker_start != lmp_vm_start) return MP_INVALID;
  if (r.context == NULL || r.context->pools->default_pool != NULL || r.context->vm != NULL)
    return MP_INVALID;
  mp_status status = mp_pool_status(pool);
  if (status != MP_OK) return status;
  int top = lua_gettop(L);
  status = protect(L, attach, &r, 0);
  lua_settop(L, top);
  if (status != MP_OK) mp_lua_detach(L);
  return status;
}

static int detach(lua_State *L) {
  request *r = lua_touserdata(L, 1);
  lmp_close_default(L, r->context);
  return 0;
}

void mp_lua_detach(lua_State *L) {
  request r = {.context = lmp_context_get(L)};
  if (r.context == NULL || r.context->pools->default_pool == NULL ||
      !r.context->pools->default_pool->borrowed)
    return;
  int top = lua_gettop(L);
  (void)!protect(L, detach, &r, 0);
  lua_settop(L, top);
}

/* }====================================================== */

/*
** {======================================================
** Working
** =======================================================
*/

typedef struct poll_request {
  request base;
  uint64_t budget_ns;
  size_t delivered;
} poll_request;

static int poll(lua_State *L) {
  poll_request *r = lua_touserdata(L, 1);
  r->delivered = (size_t)lmp_poll(L, r->base.context, r->budget_ns, NULL);
  return 0;
}

size_t mp_lua_poll(lua_State *L, uint64_t budget_ns) {
  poll_request r = {.base = {.context = lmp_context_get(L)}, .budget_ns = budget_ns};
  if (r.base.context == NULL) return 0;
  int top = lua_gettop(L);
  (void)!protect(L, poll, &r.base, 0);
  lua_settop(L, top);
  return r.delivered;
}

static int submit(lua_State *L) { /* stack: request, function, arguments */
  request *r = lua_touserdata(L, 1);
  r->status = lmp_submit_values(L, r->context, r->options, 2, &r->task);
  if (r->status != MP_OK) return luaL_error(L, "%s", mp_status_text(r->status));
  return 0;
}

static int push_text(lua_State *L) {
  lua_pushstring(L, lua_touserdata(L, 1));
  return 1;
}

/* The text takes the place of the n values on top, one or more; there may be no memory for it. */
static mp_status refuse(lua_State *L, int n, const char *text, mp_status status) {
  lua_settop(L, -n - 1);
  lua_pushcfunction(L, push_text);
  if (!lua_checkstack(L, 1)) {
    lua_pop(L, 1);
    lua_pushnil(L);
    return status;
  }
  lua_pushlightuserdata(L, (void *)(uintptr_t)text);
  (void)lua_pcall(L, 1, 1, 0); /* the text, or that there is no memory */
  return status;
}

mp_status mp_submit_lua(lua_State *L, int args, const mp_lua_task *options, mp_task **task) {
  static const mp_lua_task plain = MP_LUA_TASK_INIT;
  request r = {.context = lmp_context_get(L), .options = options != NULL ? options : &plain};
  if (args < 0 || args >= lua_gettop(L)) return MP_INVALID;
  const char *wrong = r.context == NULL                 ? "makeparallel is not open in this state"
                      : r.options->size != sizeof plain ? "the options have another size"
                                                        : NULL;
  if (wrong != NULL) return refuse(L, args + 1, wrong, MP_INVALID);
  if (!lua_checkstack(L, 4)) return refuse(L, args + 1, mp_status_text(MP_NOMEM), MP_NOMEM);
  mp_status status = protect(L, submit, &r, args + 1);
  if (status == MP_OK) *task = r.task;
  return status;
}

static int push_results(lua_State *L) {
  request *r = lua_touserdata(L, 1);
  r->values = lmp_push_outcome(L, r->context, r->task, 0);
  return r->values < 0 ? 1 : r->values;
}

int mp_push_results(lua_State *L, mp_task *task) {
  request r = {.context = lmp_context_get(L), .task = task};
  if (r.context == NULL) return 0;
  return protect(L, push_results, &r, 0) == MP_OK ? r.values : -1;
}

/* }====================================================== */
