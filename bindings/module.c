/*
** module.c - the state's context, and what every part of the bindings uses. Registration only; each
** part brings its own functions.
*/
#include <string.h>

#include "function.h"
#include "ledger.h"
#include "vm.h"

static const char context_key, core_key; /* their addresses: registry keys */

void lmp_check(lua_State *L, mp_status status) {
  if (status != MP_OK) luaL_error(L, "%s", mp_status_text(status));
}

double lmp_now(void) { return (double)mp_now() * 1e-9; }

uint64_t lmp_to_ns(double seconds) {
  return seconds > LMP_SECONDS_MAX ? MP_FOREVER : (uint64_t)(seconds * 1e9);
}

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

void lmp_set_functions(lua_State *L, lmp_context *context, const luaL_Reg *functions) {
  lua_pushlightuserdata(L, context); /* the registry keeps the context alive */
  luaL_setfuncs(L, functions, 1);
}

void lmp_new_class(lua_State *L, lmp_context *context, const char *name,
                   const luaL_Reg *metamethods, const luaL_Reg *methods) {
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
}

lmp_class lmp_keep_class(lua_State *L, const char *name) {
  luaL_getmetatable(L, name);
  const void *address = lua_topointer(L, -1);
  return (lmp_class){address, luaL_ref(L, LUA_REGISTRYINDEX)};
}

void lmp_add_class(lua_State *L, lmp_context *context, const char *name) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->classes);
  luaL_getmetatable(L, name);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, name);
  lua_pushstring(L, name);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void lmp_copy_fields(lua_State *L, int from, int to) {
  luaL_checkstack(L, 4, NULL);
  lua_pushnil(L);
  while (lua_next(L, from)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
}

lmp_context *lmp_context_get(lua_State *L) {
  if (!lua_checkstack(L, 1)) return NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key);
  lmp_context *context = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return context;
}

static int context_gc(lua_State *L) {
  lmp_context *context = lua_touserdata(L, 1);
  lmp_names_close(L, context);
  lmp_ledger_close(L, context);
  if (context->scratch != NULL) lmp_buffer_free(context->scratch);
  context->was_shut_down = true;
  return 0;
}

int lmp_new_table(lua_State *L, const char *mode) {
  lua_newtable(L);
  if (mode != NULL) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

static lmp_context *new_context(lua_State *L, lmp_vm *vm) {
  typedef struct owned {
    lmp_context context;
    lmp_buffer scratch;
    lmp_ledger ledger;
  } owned;
  owned *o = lua_newuserdatauv(L, sizeof *o, 0);
  memset(o, 0, sizeof *o);
  lmp_context *context = &o->context;
  context->scratch = &o->scratch;
  context->ledger = &o->ledger;
  context->vm = vm;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, context_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  context->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  context->watched = lmp_new_table(L, NULL);
  context->code_of = lmp_new_table(L, "k");
  context->code_by_content = lmp_new_table(L, "v");
  context->loaded_code = lmp_new_table(L, "v");
  context->classes = lmp_new_table(L, NULL);
  context->names = lmp_new_table(L, NULL);
  context->task_options = lmp_new_table(L, "k");
  context->pool_options = lmp_new_table(L, NULL);
  context->packed = lmp_new_table(L, NULL);
  context->pool_objects = lmp_new_table(L, "v");
  lmp_ledger_open(L, context);
  return context;
}

lmp_context *lmp_context_create(lua_State *L, lmp_vm *vm) {
  static void (*const parts[])(lua_State *, lmp_context *) = {
      lmp_open_errors, lmp_open_names,   lmp_open_function, lmp_open_options, lmp_open_pool,
      lmp_open_handle, lmp_open_events,  lmp_open_task,     lmp_open_map,     lmp_open_intask,
      lmp_open_limits, lmp_open_logging, lmp_open_key,      lmp_open_shared};
  lmp_context *context = new_context(L, vm);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) parts[i](L, context);
  lua_pushliteral(L, MP_VERSION);
  lua_setfield(L, -2, "version");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
  /* a worker needs no path to the core */
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_makeparallel_core);
  lua_setfield(L, -2, "makeparallel.core");
  lua_pop(L, 1);
  return context;
}

int luaopen_makeparallel_core(lua_State *L) {
  luaL_checkversion(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key) == LUA_TNIL) {
    lua_pop(L, 1);
    lmp_context_create(L, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key);
  }
  return 1;
}
