#include "handles/room.h"

#include "base/error.h"
#include "handles/wait.h"
#include "worker/host.h"

/* how long a task waits for room unless told otherwise: what it waits for may be behind it */
#define IN_TASK_SECONDS 30

/* 0: a full pool is not waited for. */
static double deadline_of(const lmp_pool *pool, const mp_task_desc *desc, double latest) {
  const lmp_host *host = pool->host;
  if (host->when_full != LMP_FULL_BLOCK) return 0;
  double patience = LMP_NEVER;
  if (host->full_timeout >= 0)
    patience = host->full_timeout;
  else if (pool->context->vm != NULL)
    patience = IN_TASK_SECONDS;
  if (desc->timeout_ns != 0 && lmp_from_ns(desc->timeout_ns) < patience)
    patience = lmp_from_ns(desc->timeout_ns);
  double end = lmp_now() + patience;
  return end < latest ? end : latest;
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

mp_status lmp_submit_waiting(lua_State *L, lmp_pool *pool, mp_task_desc *desc, double latest,
                             mp_task **task, mp_bytes **keeper, bool *raised) {
  mp_status status = mp_submit(pool->pool, desc, task);
  *raised = false;
  *keeper = NULL;
  if (status != MP_FULL && status != MP_MEMORY) return status;
  const uint64_t began = mp_now();
  const double deadline = deadline_of(pool, desc, latest);
  if (deadline > 0) {
    mp_status kept = mp_bytes_create(pool->pool, "", 0, keeper);
    if (kept != MP_OK) return kept;
  }
  lmp_push_pool(L, pool->context, pool->pool); /* a callback may let go of it */
  room_wait w = {pool, desc->arg_size + desc->held_bytes, deadline, true};
  while ((status == MP_FULL || status == MP_MEMORY) && w.found && w.deadline > 0) {
    lua_pushcfunction(L, wait_protected);
    lua_pushlightuserdata(L, &w);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
      *raised = true;
      return status;
    }
    if (pool->pool == NULL) return MP_SHUTDOWN; /* closed by a callback */
    desc->waited_ns = mp_now() - began;
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
