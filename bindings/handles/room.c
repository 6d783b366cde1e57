#include "handles/room.h"

#include "base/error.h"
#include "handles/wait.h"
#include "worker/host.h"

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
                             mp_bytes **keeper, bool *raised) {
  mp_status status = mp_submit(pool->pool, desc, task);
  *raised = false;
  *keeper = NULL;
  if (status != MP_FULL && status != MP_MEMORY) return status;
  if (deadline_of(pool) > 0) {
    mp_status kept = mp_bytes_create(pool->pool, "", 0, keeper);
    if (kept != MP_OK) return kept;
  }
  lmp_push_pool(L, pool->context, pool->pool); /* a callback may let go of it */
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
  if ((status != MP_FULL && status != MP_MEMORY) || pool->host->when_full != LMP_FULL_BLOCK)
    lmp_check_open(L, status, NULL);
  lua_pushnil(L);
  lua_pushstring(L, mp_status_text(status));
  return 2;
}
