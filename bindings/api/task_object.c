#include "api/task_object.h"

#include "base/options.h"
#include "codec/function.h"
#include "handles/handle.h"
#include "handles/pool.h"

const char *const lmp_task_options[] = {"name",        "timeout",      "priority",    "after",
                                        "on_complete", "on_error",     "on_progress", "metadata",
                                        "pool",        "memory_limit", "retry",       NULL};
static const char *const kept_names[] = {"after", "on_complete", "on_error", "on_progress",
                                         "metadata"};

/*
** {======================================================
** Checking
** =======================================================
*/

bool lmp_can_run(lua_State *L, int arg) {
  int type = lua_type(L, arg);
  if (type == LUA_TFUNCTION || type == LUA_TSTRING || luaL_testudata(L, arg, LMP_SOURCE) != NULL)
    return true;
  if (luaL_getmetafield(L, arg, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

void lmp_check_function(lua_State *L, int arg) {
  if (lmp_can_run(L, arg)) return;
  luaL_error(L, "bad argument #%d to '%s' (function or module name expected, got %s)", arg,
             lua_tostring(L, lua_upvalueindex(2)), luaL_typename(L, arg));
}

static void check_after(lua_State *L, int value) {
  if (lua_isnil(L, value) || lmp_to_task(L, value) != NULL) return;
  if (!lua_istable(L, value))
    luaL_error(L, "after must be a list of handles, got %s", luaL_typename(L, value));
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, value); i++) {
    lua_rawgeti(L, value, i);
    if (lmp_to_task(L, -1) == NULL)
      luaL_error(L, "after must be a list of handles, got %s in it", luaL_typename(L, -1));
    lua_pop(L, 1);
  }
}

bool lmp_is_task(lua_State *L, const lmp_context *context, int arg) {
  return lua_istable(L, arg) && lmp_has_class(L, arg, &context->tasks->class);
}

void lmp_check_task(lua_State *L, const lmp_context *context, int arg) {
  if (!lmp_is_task(L, context, arg)) luaL_typeerror(L, arg, "task");
}

/* }====================================================== */

/*
** {======================================================
** Making
** =======================================================
*/

static void set_integer(lua_State *L, int field, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_rawseti(L, -2, field);
}

void lmp_push_task(lua_State *L, const lmp_context *context, int function) {
  LMP_HEIGHT(base, L);
  lua_createtable(L, LMP_TASK_MEMORY, 0);
  lua_pushvalue(L, function);
  lua_rawseti(L, -2, LMP_TASK_FUNCTION);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, LMP_TASK_NAME);
  set_integer(L, LMP_TASK_PRIORITY, 0);
  lua_pushnumber(L, 0);
  lua_rawseti(L, -2, LMP_TASK_TIMEOUT);
  set_integer(L, LMP_TASK_FLAGS, 0);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, LMP_TASK_POOL);
  set_integer(L, LMP_TASK_MEMORY, 0);
  lmp_set_class(L, &context->tasks->class);
  assert(lua_gettop(L) == base + 1);
}

void lmp_copy_task(lua_State *L, const lmp_context *context, int task) {
  lua_createtable(L, LMP_TASK_MEMORY, 0);
  assert(task > 0);
  for (int i = 1; i <= LMP_TASK_MEMORY; i++) {
    lua_rawgeti(L, task, i);
    lua_rawseti(L, -2, i);
  }
  lmp_set_class(L, &context->tasks->class);
}

/* }====================================================== */

/*
** {======================================================
** Options
** =======================================================
*/

/* Options that stay: checked, and copied into a table beside the task (on top of the stack). */
static bool keep_options(lua_State *L, lmp_context *context, int options) {
  int task = lua_gettop(L), kept = task + 1;
  bool any = false;
  lua_newtable(L);
  /* those of the task this one is made from stay below */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  for (size_t i = 0; i < sizeof kept_names / sizeof kept_names[0]; i++) {
    lua_getfield(L, options, kept_names[i]);
    if (!lua_isnil(L, -1)) {
      if (i == 0)
        check_after(L, lua_gettop(L));
      else if (i < 4)
        lmp_check_callable(L, -1, kept_names[i]);
      else if (!lua_istable(L, -1))
        luaL_error(L, "metadata must be a table, got %s", luaL_typename(L, -1));
      any = true;
    }
    lua_setfield(L, kept, kept_names[i]);
  }
  if (any) {
    assert(lua_gettop(L) == kept + 1);
    lua_pushvalue(L, task);
    lua_pushvalue(L, kept);
    lua_rawset(L, kept + 1);
  }
  lua_settop(L, task);
  return any;
}

/*
** The function is wrapped before it is sent; how, lua/makeparallel/retry.lua knows. Stack: task,
** what the option said; the latter is popped.
*/
static void wrap_in_retry(lua_State *L) {
  int task = lua_gettop(L) - 1;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "makeparallel.core");
  if (lua_istable(L, -1) && lua_getfield(L, -1, "part") == LUA_TFUNCTION) {
    lua_pushliteral(L, "retry");
  } else { /* of the Lua modules none is loaded yet */
    lua_getglobal(L, "require");
    lua_pushliteral(L, "makeparallel.retry");
  }
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "option");
  lua_rawgeti(L, task, LMP_TASK_FUNCTION);
  lua_pushvalue(L, task + 1);
  lua_call(L, 2, 2); /* the wrapped function, or nil and why not */
  if (lua_isnil(L, -2)) luaL_error(L, "%s", lua_tostring(L, -1));
  lua_pop(L, 1);
  lua_rawseti(L, task, LMP_TASK_FUNCTION);
  lua_settop(L, task);
}

void lmp_apply_options(lua_State *L, lmp_context *context, int options, int flags) {
  LMP_HEIGHT(base, L);
  lmp_check_option_names(L, options, lmp_task_options);
  if (lua_getfield(L, options, "name") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "name must be a string, got %s", luaL_typename(L, -1));
    lua_rawseti(L, -2, LMP_TASK_NAME);
  } else {
    lua_pop(L, 1);
  }
  if (lua_getfield(L, options, "timeout") != LUA_TNIL) {
    double seconds = lmp_to_seconds(L, -1, "timeout");
    lua_pushnumber(L, seconds < 1e-9 ? 1e-9 : seconds); /* 0 stands for none */
    lua_rawseti(L, -3, LMP_TASK_TIMEOUT);
  }
  lua_pop(L, 1);
  if (lua_getfield(L, options, "pool") != LUA_TNIL) {
    lmp_to_pool(L, context, -1);
    lua_rawseti(L, -2, LMP_TASK_POOL);
  } else {
    lua_pop(L, 1);
  }
  lua_getfield(L, options, "priority");
  if (!lua_isnil(L, -1)) {
    lua_pushinteger(L, lmp_option_integer(L, options, "priority", INT32_MIN, INT32_MAX, 0));
    lua_rawseti(L, -3, LMP_TASK_PRIORITY);
  }
  lua_pop(L, 1);
  lua_Integer memory =
      lmp_option_integer(L, options, "memory_limit", 1 << 16, (lua_Integer)1 << 40, 0);
  if (memory != 0) set_integer(L, LMP_TASK_MEMORY, (memory + 1023) >> 10);
  if (lua_getfield(L, options, "retry") != LUA_TNIL)
    wrap_in_retry(L);
  else
    lua_pop(L, 1);
  if (keep_options(L, context, options)) flags |= LMP_FLAG_OPTIONS;
  set_integer(L, LMP_TASK_FLAGS, flags | LMP_FLAG_FIELDS);
  assert(lua_gettop(L) == base);
}

void lmp_push_kept(lua_State *L, const lmp_context *context) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* }====================================================== */
