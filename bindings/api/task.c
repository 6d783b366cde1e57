#include "api/task.h"

#include "api/task_call.h"
#include "api/task_object.h"
#include "base/options.h"

/*
** Stack: task, options. Pushes another task, with these options beside or in place of its own, and
** these flags.
*/
static int derive(lua_State *L, int more_flags) {
  lmp_context *context = lmp_context_of(L);
  assert(lmp_is_task(L, context, 1));
  lua_settop(L, 2);
  lmp_check_option_names(L, 2, lmp_task_options);
  lmp_copy_task(L, context, 1); /* 3: the new task */
  lua_newtable(L);              /* 4: its own options, then the given ones */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  lua_pushvalue(L, 1);
  for (int from = lua_rawget(L, 5) == LUA_TTABLE ? 6 : 2;; from = 2) {
    lmp_copy_fields(L, from, 4);
    if (from == 2) break;
  }
  lua_rawgeti(L, 1, LMP_TASK_FLAGS);
  int flags = (int)lua_tointeger(L, -1) & ~LMP_FLAG_OPTIONS;
  lua_pushvalue(L, 3);
  lmp_apply_options(L, context, 4, flags | more_flags);
  assert(lmp_is_task(L, context, -1));
  return 1;
}

/* stack: function or task, options */
static int make(lua_State *L, int flags) {
  lmp_context *context = lmp_context_of(L);
  lmp_check_function(L, 1);
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  if (lmp_is_task(L, context, 1)) { /* else its call would be a task that submits a task */
    if (lua_isnil(L, 2)) {
      lua_newtable(L);
      lua_replace(L, 2);
    }
    return derive(L, flags);
  }
  lmp_push_task(L, context, 1);
  if (lua_isnil(L, 2)) {
    lua_pushinteger(L, flags);
    lua_rawseti(L, -2, LMP_TASK_FLAGS);
  } else {
    lmp_apply_options(L, context, 2, flags);
  }
  assert(lua_gettop(L) == 3);
  return 1;
}

static int parallel(lua_State *L) { return make(L, 0); }
static int parallel_fast(lua_State *L) { return make(L, LMP_FLAG_UNTIMED); }
static int parallel_with_deps(lua_State *L) { return make(L, LMP_FLAG_TABLE); }
static int parallel_priority(lua_State *L) { return make(L, LMP_FLAG_PRIORITY); }

/*
** function_of(value) -> what runs when the value is called in a worker: a task's function, else
** itself; nil: it cannot be called
*/
static int function_of(lua_State *L) {
  luaL_checkany(L, 1);
  if (lmp_is_task(L, lmp_context_of(L), 1))
    lua_rawgeti(L, 1, LMP_TASK_FUNCTION);
  else if (lmp_can_run(L, 1))
    lua_pushvalue(L, 1);
  else
    lua_pushnil(L);
  return 1;
}

/* task:with(options) */
static int task_with(lua_State *L) {
  lmp_check_task(L, lmp_context_of(L), 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  return derive(L, 0);
}

/*
** rework(task, function or nil, seconds or nil, pool or nil) -> a copy that runs the function
** instead, whose timeout is at most so many seconds, and which goes to that pool unless it has one
** of its own. For the Lua modules, which have checked what they give.
*/
static int rework(lua_State *L) {
  enum { TASK = 1, FUNCTION, SECONDS, POOL, COPY };
  lmp_context *context = lmp_context_of(L);
  lmp_check_task(L, context, TASK);
  lua_settop(L, POOL);
  lmp_copy_task(L, context, TASK);
  if (!lua_isnil(L, FUNCTION)) {
    lua_pushvalue(L, FUNCTION);
    lua_rawseti(L, COPY, LMP_TASK_FUNCTION);
  }
  lua_rawgeti(L, TASK, LMP_TASK_TIMEOUT);
  double own = lua_tonumber(L, -1), seconds = lua_tonumber(L, SECONDS);
  if (!lua_isnil(L, SECONDS) && (own == 0 || seconds < own)) {
    lua_pushnumber(L, seconds < 1e-9 ? 1e-9 : seconds);
    lua_rawseti(L, COPY, LMP_TASK_TIMEOUT);
  }
  lua_rawgeti(L, TASK, LMP_TASK_POOL);
  if (!lua_toboolean(L, -1) && !lua_isnil(L, POOL)) {
    lua_pushvalue(L, POOL);
    lua_rawseti(L, COPY, LMP_TASK_POOL);
  }
  lua_rawgeti(L, TASK, LMP_TASK_FLAGS);
  lua_pushinteger(L, lua_tointeger(L, -1) | LMP_FLAG_FIELDS);
  lua_rawseti(L, COPY, LMP_TASK_FLAGS);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  lua_pushvalue(L, COPY);
  lua_pushvalue(L, TASK);
  lua_rawget(L, -3);
  lua_rawset(L, -3);
  lua_settop(L, COPY);
  return 1;
}

static int is_task_of_ours(lua_State *L) {
  lua_pushboolean(L, lmp_is_task(L, lmp_context_of(L), 1));
  return 1;
}

static int task_tostring(lua_State *L) {
  lmp_check_task(L, lmp_context_of(L), 1);
  lua_rawgeti(L, 1, LMP_TASK_NAME);
  if (lua_type(L, -1) == LUA_TSTRING)
    lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
  else
    lua_pushfstring(L, "task: %p", lua_topointer(L, 1));
  return 1;
}

void lmp_open_task(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {
      {"__call", lmp_task_call}, {"__tostring", task_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"with", task_with}, {"call", lmp_task_call_and_wait}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"function_of", function_of}, {"rework", rework}, {"is_task", is_task_of_ours}, {NULL, NULL}};
  static const struct {
    const char *name;
    lua_CFunction function;
  } makers[] = {{"parallel", parallel},
                {"parallel_fast", parallel_fast},
                {"parallel_with_deps", parallel_with_deps},
                {"parallel_priority", parallel_priority},
                {"spawn", lmp_spawn}};
  lmp_new_class(L, context, LMP_TASK, meta, methods);
  context->tasks->class = lmp_keep_class(L, LMP_TASK);
  context->tasks->options = lmp_new_table(L, "k");
  lmp_add_class(L, context, LMP_TASK);
  lmp_set_functions(L, context, functions);
  for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
    lua_pushlightuserdata(L, context);
    lua_pushstring(L, makers[i].name); /* for the text of errors */
    lua_pushcclosure(L, makers[i].function, 2);
    lua_setfield(L, -2, makers[i].name);
  }
}
