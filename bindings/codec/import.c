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

/* What an import says of a Lua function, behind its tag. */
typedef struct function_place {
  int32_t line; /* -1: it is none */
  uint32_t source;
} function_place;

static const function_place no_place = {-1, 0};

/* Writes the n strings on top, the name of a class or module and field, and pops them. */
static bool put_name(lua_State *L, lmp_buffer *buffer, int n, function_place place) {
  assert((n == 1 || n == 2) && lua_isstring(L, -1) && lua_isstring(L, -n));
  bool ok = n == 1 ? lmp_put_tag(buffer, LMP_CLASS)
                   : lmp_put_tagged(buffer, LMP_IMPORT, &place, sizeof place);
  for (int i = -n; i < 0 && ok; i++) {
    size_t size;
    const char *name = lua_tolstring(L, i, &size);
    ok = lmp_put_short(buffer, name, size);
  }
  lua_pop(L, n);
  return ok;
}

int lmp_encode_import(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  lmp_name name = lmp_push_import_name(L, context, index);
  if (name.kind == LMP_NO_NAME) return 0;
  if (name.kind != LMP_NAME && !lmp_is_trusted(buffer, lua_topointer(L, index))) {
    lua_pop(L, 2);
    return 0;
  }
  if (!name.standard) buffer->imports++;
  return put_name(L, buffer, 2, (function_place){name.line, name.source}) ? 1 : -1;
}

void lmp_note_refused(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  if (buffer->memory || buffer->refused != NULL) return;
  lmp_name name = lmp_push_import_name(L, context, index);
  if (name.kind == LMP_NO_NAME) return;
  lua_pop(L, 2);
  if (name.kind != LMP_NAME) buffer->refused = lua_topointer(L, index);
}

bool lmp_encode_metatable(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  int n = lmp_push_metatable_name(L, context, index);
  if (n > 0) buffer->imports++;
  if (n > 0) return put_name(L, buffer, n, no_place);
  if (lmp_push_holder(L, context, index)) {
    lmp_refuse(buffer,
               "(a table with a metatable) cannot be sent $direction: its metatable is in module "
               "'%s', which has it here only: %s",
               lua_tostring(L, -2), lua_tostring(L, -1));
    lua_pop(L, 2);
    return false;
  }
  return lmp_refuse(buffer,
                    "(a table with a metatable) cannot be sent $direction: its metatable is in no "
                    "module; register it in both with mp.class(name, metatable)");
}

bool lmp_refuse_c_function(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  if (!lmp_push_holder(L, context, index))
    return lmp_refuse(buffer, "(a C function) cannot be sent $direction: only those that a loaded "
                              "module holds can, by name");
  lmp_refuse(buffer, "(a C function) cannot be sent $direction: module '%s' has it here only: %s",
             lua_tostring(L, -2), lua_tostring(L, -1));
  lua_pop(L, 2);
  return false;
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

/*
** Is the error on top that `require` found no module of this name? That the module lacks another is
** its own failure.
*/
static bool is_not_found(lua_State *L, const char *module) {
  const char *text = luaL_tolstring(L, -1, NULL);
  const char *words = lua_pushfstring(L, "module '%s' not found:", module);
  bool missing = strncmp(text, words, strlen(words)) == 0;
  lua_pop(L, 2);
  return missing;
}

/* What stands in for `require` where a program has taken it from its globals. */
static int find_loaded(lua_State *L) {
  enum { NAME = 1, LOADED, PRELOAD };
  luaL_checkstring(L, NAME);
  lua_settop(L, NAME);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushvalue(L, NAME);
  if (lua_rawget(L, LOADED) != LUA_TNIL) return 1;
  lua_pushvalue(L, NAME);
  if (lua_rawget(L, PRELOAD) == LUA_TNIL)
    luaL_error(L, "module '%s' not found: it is not loaded, and the globals have no 'require'",
               lua_tostring(L, NAME));
  lua_pushvalue(L, NAME);
  lua_call(L, 1, 1);
  lua_pushvalue(L, NAME);
  lua_pushvalue(L, -2);
  lua_rawset(L, LOADED);
  return 1;
}

static void push_require(lua_State *L) {
  if (lua_getglobal(L, "require") != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_pushcfunction(L, find_loaded);
}

/*
** The field of the module that is so many bytes of the name: pushes it and returns true. Else has
** the reason at `why`, if that is nil yet or the one there is worth less. Raises if the module is
** there and fails to load.
*/
static bool push_from_module(lua_State *L, const char *name, size_t cut, size_t size, int why) {
  int top = lua_gettop(L);
  lua_pushlstring(L, name, cut);
  const char *module = lua_tostring(L, -1);
  push_require(L);
  lua_pushvalue(L, top + 1);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
    push_path(L, name, cut + 1, size);
    if (!lua_isnil(L, -1)) return true;
    if (cut < size) {
      lua_pushlstring(L, name + cut + 1, size - cut - 1);
      lua_pushfstring(L, "module '%s' has no field '%s'", module, lua_tostring(L, -1));
      lua_replace(L, why);
    }
  } else if (is_not_found(L, module)) {
    if (cut < size && lua_isnil(L, why)) lua_replace(L, why);
  } else {
    lua_error(L);
  }
  lua_settop(L, top);
  return false;
}

/* The same of a module that the name meant before, if it is still loaded and has the field. */
static bool push_remembered(lua_State *L, lmp_context *context, const char *name, size_t size) {
  int top = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->modules);
  lua_pushlstring(L, name, size);
  if (lua_rawget(L, -2) == LUA_TSTRING) {
    size_t cut = lua_rawlen(L, -1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->loaded);
    lua_insert(L, -2);
    lua_rawget(L, -2);
    push_path(L, name, cut + 1, size);
    if (!lua_isnil(L, -1)) return true;
  }
  lua_settop(L, top);
  return false;
}

static void remember_module(lua_State *L, lmp_context *context, const char *name, size_t cut,
                            size_t size) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->modules);
  lua_pushlstring(L, name, size);
  lua_pushlstring(L, name, cut);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void no_function(lua_State *L, const char *name, size_t size, int why) {
  lua_pushlstring(L, name, size);
  name = lua_tostring(L, -1);
  if (lua_isstring(L, why))
    luaL_error(L, "no function '%s' in any module of this worker: %s", name, lua_tostring(L, why));
  luaL_error(L, "no function '%s' in any module of this worker", name);
}

void lmp_push_named(lua_State *L, lmp_context *context, const char *name, size_t size) {
  int top = lua_gettop(L), why = top + 1;
  luaL_checkstack(L, 12, NULL);
  lua_pushglobaltable(L);
  push_path(L, name, 0, size);
  if (lua_isnil(L, -1) || size == 0) {
    lua_settop(L, top);
    if (push_remembered(L, context, name, size)) goto found;
    lua_pushnil(L);
    size_t cut = size;
    while (cut > 0 &&
           ((cut < size && name[cut] != '.') || !push_from_module(L, name, cut, size, why)))
      cut--;
    if (cut == 0) no_function(L, name, size, why);
    remember_module(L, context, name, cut, size);
  }
found:
  lua_copy(L, -1, top + 1);
  lua_settop(L, top + 1);
}

static int line_of(lua_State *L) { /* of the value on top; -1: it is no Lua function */
  lua_Debug ar;
  if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1)) return -1;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  return ar.linedefined;
}

/* The value on top: is it the Lua function of that place? */
static bool is_at(lua_State *L, function_place place) {
  lua_Debug ar;
  if (line_of(L) != place.line) return false;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  return lmp_source_mark(ar.source) == place.source;
}

/*
** The Lua function that begins in that line is meant. Where functions that a module made have
** changed places, another field holds it. Stack: module's name, module, field's name, field.
*/
static void find_by_place(lua_State *L, function_place place) {
  int field = lua_gettop(L), module = field - 2;
  if (line_of(L) == place.line) return;
  if (lua_istable(L, module)) {
    lua_pushnil(L);
    while (lua_next(L, module)) {
      if (is_at(L, place)) {
        lua_replace(L, field);
        lua_settop(L, field);
        return;
      }
      lua_pop(L, 1);
    }
  }
  const char *field_name = lua_tostring(L, field - 1), *module_name = lua_tostring(L, field - 3);
  if (lua_isnil(L, field))
    luaL_error(L, "module '%s' has no field '%s' in this state", module_name, field_name);
  luaL_error(L, "'%s' of module '%s' is another function in this state: line %d was sent",
             field_name, module_name, (int)place.line);
}

/* Stack: module, field's name (empty: the module itself); pushes the field, or nil. */
static void push_field(lua_State *L) {
  bool whole = lua_rawlen(L, -1) == 0;
  if (whole) {
    lua_pushvalue(L, -2);
  } else if (lua_istable(L, -2)) {
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
  } else {
    lua_pushnil(L);
  }
}

static void push_import(lua_State *L, const char *module, size_t module_size, const char *field,
                        size_t field_size, function_place place) {
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 12, NULL);
  lua_pushlstring(L, module, module_size);
  push_require(L);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  lua_pushlstring(L, field, field_size);
  push_field(L); /* stack: module's name, module, field's name, field */
  if (place.line >= 0 || lua_isnil(L, -1)) find_by_place(L, place);
  lua_replace(L, -4);
  lua_pop(L, 2);
  assert(lua_gettop(L) == base + 1);
}

void lmp_decode_import(lua_State *L, lmp_decoder *decoder) {
  size_t module_size, field_size;
  function_place place;
  memcpy(&place, lmp_take(L, decoder, sizeof place), sizeof place);
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
  push_import(L, module, module_size, field, field_size, place);
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
  lmp_push_named(L, lmp_context_of(L), name, size);
  return 1;
}

/* }====================================================== */

void lmp_open_imports(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"class", register_class}, {"named", named}, {NULL, NULL}};
  lmp_names_begin(L, context);
  lmp_set_functions(L, context, functions);
}
