#include "handles/outcome.h"

#include "base/error.h"
#include "codec/decode.h"

int lmp_push_results(lua_State *L, lmp_context *context, mp_task *task) {
  const lmp_message *result = mp_task_result(task);
  return result == NULL ? 0 : lmp_decode_all(L, context, result);
}

/* error object on top: who failed and when */
static void add_task(lua_State *L, mp_task *task, int name) {
  uint64_t queued_ns, run_ns;
  mp_task_times(task, &queued_ns, &run_ns);
  lua_pushinteger(L, (lua_Integer)mp_task_id(task));
  lua_setfield(L, -2, "task_id");
  lua_pushnumber(L, (lua_Number)(queued_ns + run_ns) * 1e-9);
  lua_setfield(L, -2, "elapsed");
  if (name == 0) return;
  lua_pushvalue(L, name);
  lua_setfield(L, -2, "task");
}

static void push_label(lua_State *L, mp_task *task, int name) {
  if (name != 0)
    lua_pushfstring(L, "task '%s'", lua_tostring(L, name));
  else
    lua_pushfstring(L, "task #%I", (LUAI_UACINT)mp_task_id(task));
}

static void push_failure(lua_State *L, lmp_context *context, mp_task *task) {
  const lmp_message *result = mp_task_result(task);
  int base = lua_gettop(L);
  if (result == NULL) {
    lmp_push_error(L, "memory", "%s", mp_status_text(MP_NOMEM));
    return;
  }
  int n = lmp_decode_all(L, context, result);
  if (n != LMP_FAILURE_VALUES) luaL_error(L, "corrupt message: a failure of %d values", n);
  lmp_make_error(L);
  lua_copy(L, -1, base + 1); /* a helper table may lie below */
  lua_settop(L, base + 1);
}

static void push_dependency_error(lua_State *L, lmp_context *context, mp_task *task, int name) {
  LMP_HEIGHT(base, L);
  mp_task *root = mp_task_cause(task);
  assert(root != NULL);
  /* the first of a chain is the one to know */
  while (mp_task_cause(root) != NULL) root = mp_task_cause(root);
  lmp_push_task_error(L, context, root, 0);
  lua_getfield(L, -1, "message"); /* stack: cause, its message */
  push_label(L, task, name);
  lmp_push_error(L, "dependency", "%s did not run: a task it depends on ended with: %s",
                 lua_tostring(L, -1), lua_tostring(L, -2));
  lua_pushvalue(L, -4);
  lua_setfield(L, -2, "cause");
  lua_replace(L, -4);
  lua_pop(L, 2);
  assert(lua_gettop(L) == base + 1);
}

void lmp_push_task_error(lua_State *L, lmp_context *context, mp_task *task, int name) {
  luaL_checkstack(L, 10, NULL);
  switch (mp_task_status(task)) {
    case MP_CANCELLED:
      push_label(L, task, name);
      lmp_push_error(L, "cancelled", "%s was cancelled", lua_tostring(L, -1));
      lua_remove(L, -2);
      break;
    case MP_TIMEOUT:
      push_label(L, task, name);
      lmp_push_error(L, "timeout", "%s timed out after %f s", lua_tostring(L, -1),
                     (LUAI_UACNUMBER)((double)mp_task_timeout(task) * 1e-9));
      lua_remove(L, -2);
      break;
    case MP_DEPENDENCY: push_dependency_error(L, context, task, name); break;
    default: push_failure(L, context, task); break;
  }
  add_task(L, task, name);
}

void lmp_push_handle_error(lua_State *L, lmp_context *context, int index) {
  const lmp_handle *handle = lua_touserdata(L, index);
  index = lua_absindex(L, index);
  bool named = lua_getiuservalue(L, index, LMP_HANDLE_NAME) == LUA_TSTRING;
  lmp_push_task_error(L, context, handle->task, named ? lua_gettop(L) : 0);
  lua_remove(L, -2);
}
