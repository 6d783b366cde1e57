#include "base/error.h"

#include <stdarg.h>

static void set_string(lua_State *L, const char *field, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

void lmp_push_error(lua_State *L, const char *kind, const char *format, ...) {
  LMP_HEIGHT(base, L);
  va_list args;
  luaL_checkstack(L, 6, NULL);
  lua_createtable(L, 0, 8);
  set_string(L, "kind", kind);
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lua_setfield(L, -2, "message");
  luaL_setmetatable(L, LMP_ERROR);
  assert(lua_gettop(L) == base + 1);
}

/* stack: kind, message, traceback, task's name, has value, value */
void lmp_make_error(lua_State *L) {
  static const char *const fields[] = {"kind", "message", "traceback", "task", NULL, "value"};
  int base = lua_gettop(L) - LMP_FAILURE_VALUES;
  assert(base >= 0);
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, 0, 8);
  for (int i = 0; i < LMP_FAILURE_VALUES; i++) {
    if (fields[i] == NULL) continue;
    lua_pushvalue(L, base + 1 + i);
    lua_setfield(L, -2, fields[i]);
  }
  luaL_setmetatable(L, LMP_ERROR);
  if (lua_getmetatable(L, base + 6)) { /* a task's error passed on by another task? */
    luaL_getmetatable(L, LMP_ERROR);
    if (lua_rawequal(L, -1, -2)) {
      lua_pushvalue(L, base + 6);
      lua_setfield(L, -4, "cause");
    }
    lua_pop(L, 2);
  }
  assert(lua_gettop(L) == base + LMP_FAILURE_VALUES + 1);
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
}

static int error_tostring(lua_State *L) {
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "message");
  luaL_tolstring(L, -1, NULL);
  lua_getfield(L, 1, "traceback");
  if (lua_type(L, -1) == LUA_TSTRING)
    lua_pushfstring(L, "%s\nworker %s", lua_tostring(L, -2), lua_tostring(L, -1));
  else
    lua_pop(L, 1);
  return 1;
}

/* new_error(kind, message) */
static int new_error(lua_State *L) {
  lmp_push_error(L, luaL_checkstring(L, 1), "%s", luaL_checkstring(L, 2));
  return 1;
}

void lmp_open_errors(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {{"__tostring", error_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"new_error", new_error}, {NULL, NULL}};
  /* no __metatable field: it is a plain table that may be inspected */
  luaL_newmetatable(L, LMP_ERROR);
  luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
  lmp_add_class(L, context, LMP_ERROR);
  lmp_set_functions(L, context, functions);
}
