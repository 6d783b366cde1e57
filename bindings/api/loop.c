#include "api/loop.h"

#include "base/error.h"
#include "handles/events.h"
#include "handles/wait.h"

/* poll([budget_seconds]) -> delivered, left */
static int poll(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lua_Integer left;
  uint64_t budget = lua_isnoneornil(L, 1) ? MP_FOREVER : lmp_to_ns(lmp_to_seconds(L, 1, "budget"));
  lua_settop(L, 0);
  lua_pushinteger(L, lmp_poll(L, context, budget, &left));
  lua_pushinteger(L, left);
  return 2;
}

/* wait_mail(deadline) -> was a callback delivered? */
static int wait_mail(lua_State *L) {
  double deadline = luaL_optnumber(L, 1, LMP_NEVER);
  lua_pushboolean(L, lmp_wait_mail(L, lmp_context_of(L), deadline));
  return 1;
}

/*
** A task whose end somebody wants to hear of, or NULL. A handle without one is being submitted, by
** whoever called us. stack: watched
*/
static const mp_task *find_watched(lua_State *L) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const lmp_handle *handle = lua_touserdata(L, -1);
    if (handle->task != NULL) return handle->task;
  }
  return NULL;
}

/*
** next_mail(deadline) -> how many callbacks were delivered, 0 at the deadline; nil if none can come
** any more
*/
static int next_mail(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  double deadline = luaL_optnumber(L, 1, LMP_NEVER);
  lua_Integer before = context->events->delivered;
  lua_settop(L, 0);
  if (lmp_poll(L, context, MP_FOREVER, NULL) == 0) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, context->handles->watched);
    if (find_watched(L) == NULL) return 0;
    (void)lmp_wait_mail(L, context, deadline);
  }
  lua_pushinteger(L, context->events->delivered - before);
  return 1;
}

/*
** fd([pool or handle]) -> a descriptor that is readable when poll has work of that pool (or of the
** handle's); default: the default pool
*/
static int fd(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  mp_task *task = lmp_to_task(L, 1);
  lmp_pool *pool =
      task != NULL ? lmp_pool_find(context, mp_task_pool(task)) : lmp_to_pool(L, context, 1);
  int descriptor;
  if (pool == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL);
  lmp_check(L, mp_mailbox_fd(lmp_mailbox(L, pool), &descriptor));
  lua_pushinteger(L, descriptor);
  return 1;
}

void lmp_open_loop(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {
      {"poll", poll}, {"next_mail", next_mail}, {"fd", fd}, {"wait_mail", wait_mail}, {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
