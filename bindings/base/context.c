#include "base/context.h"

/* Its address is the registry key of the context. */
static const char context_key;

void lmp_context_begin(lua_State *L, lmp_context *context) {
  assert(lua_touserdata(L, -1) == context);
  lua_rawsetp(L, LUA_REGISTRYINDEX, context);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  context->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  context->classes = lmp_new_table(L, NULL);
}

void lmp_context_end(lua_State *L, lmp_context *context) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, context);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
}

lmp_context *lmp_context_get(lua_State *L) {
  if (!lua_checkstack(L, 1)) return NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key);
  lmp_context *context = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return context;
}

/*
** {======================================================
** Tables, functions, metatables
** =======================================================
*/

int lmp_new_table(lua_State *L, const char *mode) {
  LMP_HEIGHT(base, L);
  lua_newtable(L);
  if (mode != NULL) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  assert(lua_gettop(L) == base + 1);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

void lmp_set_functions(lua_State *L, lmp_context *context, const luaL_Reg *functions) {
  lua_pushlightuserdata(L, context); /* the registry keeps the context alive */
  luaL_setfuncs(L, functions, 1);
}

void lmp_new_class(lua_State *L, lmp_context *context, const char *name,
                   const luaL_Reg *metamethods, const luaL_Reg *methods) {
  LMP_HEIGHT(base, L);
  luaL_newmetatable(L, name);
  lmp_set_functions(L, context, metamethods);
  if (methods != NULL) {
    lua_newtable(L);
    lmp_set_functions(L, context, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
}

lmp_class lmp_keep_class(lua_State *L, const char *name) {
  luaL_getmetatable(L, name);
  const void *address = lua_topointer(L, -1);
  assert(address != NULL); /* the class was made before */
  return (lmp_class){address, luaL_ref(L, LUA_REGISTRYINDEX)};
}

void lmp_add_class(lua_State *L, lmp_context *context, const char *name) {
  LMP_HEIGHT(base, L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->classes);
  luaL_getmetatable(L, name);
  assert(lua_istable(L, -1));
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, name);
  lua_pushstring(L, name);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
}

void lmp_copy_fields(lua_State *L, int from, int to) {
  assert(from > 0 && to > 0); /* absolute: what is pushed meanwhile does not move them */
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 4, NULL);
  lua_pushnil(L);
  while (lua_next(L, from)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
  assert(lua_gettop(L) == base);
}

/* }====================================================== */

/*
** {======================================================
** What the engine says, and time
** =======================================================
*/

void lmp_check(lua_State *L, mp_status status) {
  if (status != MP_OK) luaL_error(L, "%s", mp_status_text(status));
}

const char *lmp_state_name(mp_state state) {
  static const char *const names[] = {"waiting", "queued",    "running", "done",
                                      "failed",  "cancelled", "timeout"};
  assert((size_t)state < sizeof names / sizeof names[0]);
  return names[state];
}

double lmp_now(void) { return lmp_from_ns(mp_now()); }

uint64_t lmp_to_ns(double seconds) {
  return seconds > LMP_SECONDS_MAX ? MP_FOREVER : (uint64_t)(seconds * 1e9 + 0.5);
}

double lmp_from_ns(uint64_t ns) { return (double)ns / 1e9; }

double lmp_to_seconds(lua_State *L, int index, const char *name) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    double seconds = lua_tonumber(L, index);
    if (seconds >= 0 && seconds <= LMP_SECONDS_MAX) return seconds; /* false for NaN */
  }
  luaL_tolstring(L, index, NULL);
  luaL_error(L, "%s must be a finite number of seconds from 0 to 1e9, got %s", name,
             lua_tostring(L, -1));
  return 0;
}

double lmp_check_deadline(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? LMP_NEVER : lmp_now() + lmp_to_seconds(L, arg, "timeout");
}

/* }====================================================== */
