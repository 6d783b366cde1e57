#include "room.h"

#include "handle.h"
#include "base/options.h"
#include "worker/host.h"

#define TASKS_MAX ((lua_Integer)1 << 40)
/* how long a task waits for room unless told otherwise: what it waits for may be behind it */
#define IN_TASK_SECONDS 30

static double deadline_of(const lmp_pool *pool) {
  const lmp_host *host = pool->host;
  if (host->when_full != LMP_FULL_BLOCK) return 0;
  if (host->full_timeout >= 0) return lmp_now() + host->full_timeout;
  return pool->context->vm != NULL ? lmp_now() + IN_TASK_SECONDS : LMP_NEVER;
}

typedef struct room_wait {
  lmp_pool *pool;
  size_t bytes;
  double deadline;
  bool found;
} room_wait;

static int wait_protected(lua_State *L) {
  room_wait *w = lua_touserdata(L, 1);
  w->found = lmp_wait_room(L, w->pool, w->bytes, w->deadline);
  return 0;
}

mp_status lmp_submit_waiting(lua_State *L, lmp_pool *pool, mp_task_desc *desc, mp_task **task,
                             bool *raised) {
  mp_status status = mp_submit(pool->pool, desc, task);
  *raised = false;
  if (status != MP_FULL && status != MP_MEMORY) return status;
  room_wait w = {pool, desc->arg_size + desc->held_bytes, deadline_of(pool), true};
  while ((status == MP_FULL || status == MP_MEMORY) && w.found && w.deadline > 0) {
    lua_pushcfunction(L, wait_protected);
    lua_pushlightuserdata(L, &w);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
      *raised = true;
      return status;
    }
    if (pool->pool == NULL) return MP_SHUTDOWN; /* closed by a callback */
    if (w.found) status = mp_submit(pool->pool, desc, task);
  }
  return status;
}

int lmp_push_full(lua_State *L, const lmp_pool *pool, mp_status status) {
  if (status == MP_OK) return 0;
  if ((status != MP_FULL && status != MP_MEMORY) || pool->host->when_full != LMP_FULL_BLOCK)
    lmp_check(L, status);
  lua_pushnil(L);
  lua_pushstring(L, mp_status_text(status));
  return 2;
}

/*
** {======================================================
** Functions
** =======================================================
*/

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
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pool_options); /* 3 */
  lua_pushvalue(L, 1);
  lua_setfield(L, 3, option);
  if (context->pool == NULL) return 0;
  lmp_limits_read(L, &checked, 3);
  lmp_check(L, mp_pool_set_limits(context->pool->pool, &checked.limits));
  return 0;
}

static int set_max_concurrent_tasks(lua_State *L) {
  return set_limit(L, "max_concurrent_tasks", TASKS_MAX);
}
static int configure_memory_limit(lua_State *L) {
  return set_limit(L, "memory_limit_percent", 100);
}

/* }====================================================== */

void lmp_open_limits(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"set_max_concurrent_tasks", set_max_concurrent_tasks},
                                       {"configure_memory_limit", configure_memory_limit},
                                       {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
