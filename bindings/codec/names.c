#include "codec/names.h"

#include <string.h>

/*
** {======================================================
** The table of what is known, by address
** =======================================================
*/

struct lmp_known {
  const void *address;
  lua_Integer name; /* in names->pairs */
};

static size_t slot_of(const struct lmp_names *names, const void *address) {
  uint64_t x = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ULL; /* Fibonacci hashing (Knuth) */
  return (size_t)(x >> 20) & (names->capacity - 1);
}

static const struct lmp_known *find_known(const struct lmp_names *names, const void *address) {
  if (names->capacity == 0) return NULL;
  for (size_t i = slot_of(names, address);; i = (i + 1) & (names->capacity - 1)) {
    const struct lmp_known *entry = &names->known[i];
    if (entry->address == NULL) return NULL;
    if (entry->address == address) return entry;
  }
}

static void put_known(struct lmp_names *names, const void *address, lua_Integer name) {
  size_t i = slot_of(names, address);
  assert(names->count < names->capacity); /* the search ends at a free place */
  while (names->known[i].address != NULL) i = (i + 1) & (names->capacity - 1);
  names->known[i] = (struct lmp_known){address, name};
  names->count++;
}

static void grow_known(lua_State *L, struct lmp_names *names) {
  size_t capacity = names->capacity == 0 ? 1024 : names->capacity * 2,
         old_capacity = names->capacity;
  struct lmp_known *old = names->known;
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  struct lmp_known *known = alloc(ud, NULL, 0, capacity * sizeof *known);
  if (known == NULL) luaL_error(L, "not enough memory");
  memset(known, 0, capacity * sizeof *known);
  names->known = known;
  names->capacity = capacity;
  names->count = 0;
  for (size_t i = 0; i < old_capacity; i++)
    if (old[i].address != NULL) put_known(names, old[i].address, old[i].name);
  alloc(ud, old, old_capacity * sizeof *old, 0);
}

/* }====================================================== */

/*
** {======================================================
** Learning: what package.loaded holds
** =======================================================
*/

/* Stack: module name at -3 (string), field name at -2 (string or nil), value on top; leaves all. */
static void add_known(lua_State *L, lmp_context *context, int pairs) {
  LMP_HEIGHT(base, L);
  const void *address = lua_topointer(L, -1);
  if (find_known(context->names, address) != NULL) return; /* the first name wins */
  if (context->names->count * 2 >= context->names->capacity) grow_known(L, context->names);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, -4);
  lua_rawseti(L, -2, 1);
  if (lua_isstring(L, -3))
    lua_pushvalue(L, -3);
  else
    lua_pushliteral(L, "");
  lua_rawseti(L, -2, 2);
  lua_Integer name = (lua_Integer)lua_rawlen(L, pairs) + 1;
  lua_rawseti(L, pairs, name);
  assert(lua_gettop(L) == base);
  put_known(context->names, address, name);
}

static bool is_standard(const char *module) {
  static const char *const standard[] = {"_G", "coroutine", "debug",  "io",    "math",
                                         "os", "package",   "string", "table", "utf8"};
  for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++)
    if (strcmp(module, standard[i]) == 0) return true;
  return false;
}

/* Could a worker require it? stack index of the package table. */
static bool can_be_required(lua_State *L, const char *module, int package) {
  static const char *const paths[] = {"path", "cpath"};
  int top = lua_gettop(L);
  bool found = is_standard(module);
  if (!found && lua_getfield(L, package, "preload") == LUA_TTABLE)
    found = lua_getfield(L, -1, module) == LUA_TFUNCTION;
  for (int i = 0; i < 2 && !found; i++) {
    lua_settop(L, top);
    lua_getfield(L, package, "searchpath");
    lua_pushstring(L, module);
    lua_getfield(L, package, paths[i]);
    found = lua_pcall(L, 2, 1, 0) == LUA_OK && lua_isstring(L, -1);
  }
  lua_settop(L, top);
  return found;
}

/*
** Stack: module name at -2, module on top. Of _G only C functions: the host's own globals are not
** in a worker.
*/
static void add_module(lua_State *L, lmp_context *context, int pairs, bool globals) {
  int module = lua_gettop(L);
  lua_pushvalue(L, -2);
  lua_pushnil(L);
  lua_pushvalue(L, module); /* stack: ..., module, name, nil, module */
  add_known(L, context, pairs);
  lua_pop(L, 2);
  if (lua_type(L, module) != LUA_TTABLE) {
    lua_pop(L, 1);
    return;
  }
  lua_pushnil(L);
  while (lua_next(L, module)) { /* stack: module, name, key, value */
    int type = lua_type(L, -1);
    bool wanted = globals ? lua_iscfunction(L, -1) : type == LUA_TFUNCTION || type == LUA_TTABLE;
    if (lua_type(L, -2) == LUA_TSTRING && wanted) add_known(L, context, pairs);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* A number, not 0, that changes when a module comes, goes or is replaced. */
static lua_Integer mark_loaded(lua_State *L) {
  lua_Unsigned mark = 0;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    mark += (lua_Unsigned)(uintptr_t)lua_topointer(L, -1) * 0x9e3779b97f4a7c15ULL;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return (lua_Integer)(mark | 1);
}

static void learn_names(lua_State *L, lmp_context *context, lua_Integer loaded_mark) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 20, NULL);
  lua_newtable(L);
  int pairs = lua_gettop(L);
  if (context->names->known != NULL)
    memset(context->names->known, 0, context->names->capacity * sizeof *context->names->known);
  context->names->count = 0;
  /* An error on the way leaves names that are right, but not all: the next look learns anew. */
  context->names->loaded_mark = 0;
  lua_pushvalue(L, pairs);
  lua_rawseti(L, LUA_REGISTRYINDEX, context->names->pairs);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  int loaded = lua_gettop(L);
  bool has_package = lua_getfield(L, loaded, "package") == LUA_TTABLE;
  int package = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, loaded)) {
    int type = lua_type(L, -1);
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "_G";
    if (strcmp(name, "_G") != 0 && (type == LUA_TTABLE || type == LUA_TFUNCTION) &&
        (has_package ? can_be_required(L, name, package) : is_standard(name)))
      add_module(L, context, pairs, false);
    lua_pop(L, 1);
  }
  lua_pushliteral(L, "_G");
  if (lua_getfield(L, loaded, "_G") == LUA_TTABLE) add_module(L, context, pairs, true);
  assert(loaded_mark != 0);
  context->names->loaded_mark = loaded_mark;
  lua_settop(L, top);
}

bool lmp_refresh_names(lua_State *L, lmp_context *context) {
  lua_Integer mark = mark_loaded(L);
  if (mark == context->names->loaded_mark) return false;
  learn_names(L, context, mark);
  return true;
}

/* }====================================================== */

/*
** {======================================================
** Finding
** =======================================================
*/

/* Pushes module and field of an entry if package.loaded still holds the value at index there. */
static bool push_valid_name(lua_State *L, lmp_context *context, const struct lmp_known *entry,
                            int index) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->pairs);
  lua_rawgeti(L, -1, entry->name);
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2); /* stack: pairs, pair, module, field */
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, -3);
  lua_rawget(L, -2);
  if (lua_rawlen(L, -3) > 0 && lua_istable(L, -1)) {
    lua_pushvalue(L, -3);
    lua_rawget(L, -2);
  }
  assert(index > 0 && lua_gettop(L) >= top + 6);
  bool valid = lua_rawequal(L, -1, index);
  if (valid) {
    lua_settop(L, top + 4);
    lua_replace(L, top + 2);
    lua_replace(L, top + 1); /* stack: module, field */
  } else {
    lua_settop(L, top);
  }
  return valid;
}

static const struct lmp_known *look_up(lua_State *L, lmp_context *context, int index) {
  const void *address = lua_topointer(L, index);
  const struct lmp_known *entry = find_known(context->names, address);
  if (entry == NULL && (context->names->known == NULL || lua_type(L, index) == LUA_TFUNCTION) &&
      lmp_refresh_names(L, context))
    entry = find_known(context->names, address);
  return entry;
}

/* As lmp_push_import_name, for any value. */
static int push_name(lua_State *L, lmp_context *context, int index) {
  const struct lmp_known *entry = look_up(L, context, index);
  return entry != NULL && push_valid_name(L, context, entry, index) ? 2 : 0;
}

int lmp_push_import_name(lua_State *L, lmp_context *context, int index) {
  if (lua_type(L, index) == LUA_TTABLE) {
    if (context->names->loaded_mark == 0) (void)lmp_refresh_names(L, context);
    if (find_known(context->names, lua_topointer(L, index)) == NULL)
      return 0; /* most tables are data */
  }
  return push_name(L, context, index);
}

int lmp_push_metatable_name(lua_State *L, lmp_context *context, int index) {
  LMP_HEIGHT(base, L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->classes);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) == LUA_TSTRING) {
    lua_remove(L, -2);
    assert(lua_gettop(L) == base + 1);
    return 1;
  }
  lua_pop(L, 2);
  int n = push_name(L, context, index);
  if (n == 0 && lmp_refresh_names(L, context)) n = push_name(L, context, index);
  assert(lua_gettop(L) == base + n);
  return n;
}

/* }====================================================== */

void lmp_names_begin(lua_State *L, lmp_context *context) {
  context->names->pairs = lmp_new_table(L, NULL);
}

void lmp_names_close(lua_State *L, lmp_context *context) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  struct lmp_names *names = context->names;
  alloc(ud, names->known, names->capacity * sizeof *names->known, 0);
  names->known = NULL;
  names->capacity = names->count = 0;
}
