#include "codec/import.h"

#include <string.h>

#include "codec/names.h"
#include "codec/refusal.h"
#include "codec/value.h"

/*
** {======================================================
** Writing
** =======================================================
*/

/* Writes the n strings on top, the name of a class or module and field, and pops them. */
static bool put_name(lua_State *L, lmp_buffer *buffer, int n) {
  assert((n == 1 || n == 2) && lua_isstring(L, -1) && lua_isstring(L, -n));
  bool ok = lmp_put_tag(buffer, n == 1 ? LMP_CLASS : LMP_IMPORT);
  for (int i = -n; i < 0 && ok; i++) {
    size_t size;
    const char *name = lua_tolstring(L, i, &size);
    ok = lmp_put_short(buffer, name, size);
  }
  lua_pop(L, n);
  return ok;
}

int lmp_encode_import(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  int n = lmp_push_import_name(L, context, index);
  if (n == 0) return 0;
  return put_name(L, buffer, n) ? 1 : -1;
}

bool lmp_encode_metatable(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  int n = lmp_push_metatable_name(L, context, index);
  if (n > 0) return put_name(L, buffer, n);
  return lmp_refuse(buffer,
                    "(a table with a metatable) cannot be sent $direction: its metatable is in no "
                    "module; register it in both with mp.class(name, metatable)");
}

/* }====================================================== */

/*
** {======================================================
** Reading
** =======================================================
*/

static void push_path(lua_State *L, const char *name, size_t from, size_t size) {
  while (from < size) {
    size_t to = from;
    while (to < size && name[to] != '.') to++;
    lua_pushlstring(L, name + from, to - from);
    if (lua_istable(L, -2))
      lua_rawget(L, -2);
    else
      lua_pushnil(L);
    lua_remove(L, -2);
    from = to + 1;
  }
}

void lmp_push_named(lua_State *L, const char *name, size_t size) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  lua_pushglobaltable(L);
  push_path(L, name, 0, size);
  if (!lua_isnil(L, -1) && size > 0) return;
  lua_settop(L, top);
  for (size_t cut = size; cut > 0; cut--) {
    if (cut < size && name[cut] != '.') continue;
    lua_getglobal(L, "require");
    lua_pushlstring(L, name, cut);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
      push_path(L, name, cut + 1, size);
      if (!lua_isnil(L, -1)) return;
    } else if (strstr(luaL_tolstring(L, -1, NULL), "not found:") == NULL) {
      lua_error(L); /* the module is there and fails to load */
    }
    lua_settop(L, top);
  }
  lua_pushlstring(L, name, size);
  luaL_error(L, "no function '%s' in any module of this worker", lua_tostring(L, -1));
}

static void push_import(lua_State *L, const char *module, size_t module_size, const char *field,
                        size_t field_size) {
  luaL_checkstack(L, 6, NULL);
  lua_getglobal(L, "require");
  lua_pushlstring(L, module, module_size);
  lua_call(L, 1, 1);
  if (field_size == 0) return;
  lua_pushlstring(L, field, field_size);
  if (lua_istable(L, -2))
    lua_rawget(L, -2);
  else
    lua_pushnil(L);
  if (lua_isnil(L, -1))
    luaL_error(L, "module '%s' has no field '%s' in this state", lua_tostring(L, -3),
               lua_tostring(L, -2));
  lua_remove(L, -2);
}

void lmp_decode_import(lua_State *L, lmp_decoder *decoder) {
  size_t module_size, field_size;
  const char *module = lmp_take_short(L, decoder, &module_size);
  const char *field = lmp_take_short(L, decoder, &field_size);
  if (decoder->inert) {
    lua_newtable(L);
    return;
  }
  if (decoder->env != 0 && field_size == 0 && module_size == 2 && memcmp(module, "_G", 2) == 0) {
    lua_pushvalue(L, decoder->env);
    return;
  }
  push_import(L, module, module_size, field, field_size);
}

void lmp_decode_class(lua_State *L, lmp_decoder *decoder) {
  size_t size;
  const char *name = lmp_take_short(L, decoder, &size);
  lua_rawgeti(L, LUA_REGISTRYINDEX, decoder->context->classes);
  lua_pushlstring(L, name, size);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TNIL)
    luaL_error(
        L,
        "class '%s' is not registered in this state: call mp.class in the module that defines it",
        lua_tostring(L, -2));
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* }====================================================== */

/*
** {======================================================
** Functions of the core
** =======================================================
*/

/* mp.class(name, metatable) */
static int register_class(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  size_t size;
  luaL_checklstring(L, 1, &size);
  luaL_argcheck(L, size > 0 && size < 256, 1, "a name of 1 to 255 bytes expected");
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->classes);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_rawset(L, 3);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  lua_rawset(L, 3);
  lua_settop(L, 2);
  return 1;
}

/* named(name) -> the function "module.fn" stands for in this state */
static int named(lua_State *L) {
  size_t size;
  const char *name = luaL_checklstring(L, 1, &size);
  lmp_push_named(L, name, size);
  return 1;
}

/* }====================================================== */

void lmp_open_imports(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"class", register_class}, {"named", named}, {NULL, NULL}};
  lmp_names_begin(L, context);
  lmp_set_functions(L, context, functions);
}
