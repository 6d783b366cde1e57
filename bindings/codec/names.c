#include "codec/names.h"

#include <string.h>

#include "codec/search.h"

/*
** {======================================================
** The table of what is known, by address
** =======================================================
*/

struct lmp_known {
  const void *address;
  lua_Integer name; /* its module's place in the list; its field's is the next */
  int line;         /* as lmp_name */
  uint32_t source;  /* as lmp_name */
  uint8_t kind;     /* lmp_name_kind */
  uint8_t rank;     /* of the module: of two names for a value the lower one is taken */
};

/* What is being learnt, with its places on the stack. */
typedef struct learning {
  struct lmp_known *known; /* a userdata at `keeper` */
  size_t capacity, count;
  int keeper, list, files; /* files: [source] = true for what modules come from */
  lua_Integer names;       /* strings in the list */
} learning;

static size_t slot_of(size_t capacity, const void *address) {
  uint64_t x = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ULL; /* Fibonacci hashing (Knuth) */
  return (size_t)(x >> 20) & (capacity - 1);
}

/* The place of an address in the table, or the free one where it belongs. */
static size_t place_of(const struct lmp_known *known, size_t capacity, const void *address) {
  size_t i = slot_of(capacity, address);
  while (known[i].address != NULL && known[i].address != address) i = (i + 1) & (capacity - 1);
  return i;
}

static const struct lmp_known *find_known(const struct lmp_names *names, const void *address) {
  if (names->known == NULL) return NULL;
  const struct lmp_known *entry = &names->known[place_of(names->known, names->capacity, address)];
  return entry->address == NULL ? NULL : entry;
}

static void grow_known(lua_State *L, learning *l) {
  size_t capacity = l->capacity == 0 ? 1024 : l->capacity * 2;
  struct lmp_known *known = lua_newuserdatauv(L, capacity * sizeof *known, 1);
  memset(known, 0, capacity * sizeof *known);
  for (size_t i = 0; i < l->capacity; i++)
    if (l->known[i].address != NULL)
      known[place_of(known, capacity, l->known[i].address)] = l->known[i];
  l->known = known;
  l->capacity = capacity;
  lua_replace(L, l->keeper);
}

/* }====================================================== */

/*
** {======================================================
** What a worker's module holds as well
** =======================================================
*/

/* Of _G last: a function that is in a module has its name from there. */
enum { RANK_STANDARD, RANK_C, RANK_LUA, RANK_GLOBALS };

/* A module whose fields are being learnt. */
typedef struct module {
  const char *name;
  lmp_origin origin;
  bool globals;
} module;

/* Is the Lua function that `ar` tells of written where the module comes from? */
static bool is_own(const module *m, const lua_Debug *ar) {
  const lmp_origin *o = &m->origin;
  if (o->source == NULL || strcmp(o->source, ar->source) != 0) return false;
  return o->last == 0 || (ar->linedefined >= o->first && ar->lastlinedefined <= o->last);
}

static void describe(lua_State *L, lua_Debug *ar) { /* the function on top */
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", ar);
}

static bool is_module_file(lua_State *L, const learning *l, const lua_Debug *ar) {
  bool found = lua_getfield(L, l->files, ar->source) != LUA_TNIL;
  lua_pop(L, 1);
  return found;
}

uint32_t lmp_source_mark(const char *source) {
  uint32_t mark = 0x811c9dc5;
  for (; *source != '\0'; source++)
    mark = (mark ^ (unsigned char)*source) * 0x01000193; /* FNV-1a */
  return mark;
}

/* Of the function on top. */
static lmp_name_kind kind_of_function(lua_State *L, const module *m, struct lmp_known *entry) {
  lua_Debug ar;
  if (lua_iscfunction(L, -1)) return LMP_NAME;
  if (m->globals || m->origin.kind == LMP_STANDARD) return LMP_NO_NAME; /* the program's */
  describe(L, &ar);
  entry->line = ar.linedefined;
  if (!is_own(m, &ar)) return LMP_NAME_IN_DOUBT;
  entry->source = lmp_source_mark(ar.source);
  return LMP_NAME;
}

/*
** The table on top: the module's, a class or a namespace of it, or data. So many fields are enough
** to tell.
*/
static lmp_name_kind kind_of_table(lua_State *L, const learning *l, const module *m, bool whole) {
  enum { FIELDS_MAX = 256 };
  int table = lua_gettop(L), fields = 0, others = 0, functions = 0, own = 0;
  if (m->origin.kind == LMP_STANDARD) /* package.loaded and the like; the rest is the program's */
    return whole || strcmp(m->name, "package") == 0 ? LMP_NAME : LMP_NO_NAME;
  lua_pushnil(L);
  while (own == 0 && fields < FIELDS_MAX && lua_next(L, table)) {
    fields++;
    if (lua_type(L, -1) == LUA_TFUNCTION) {
      lua_Debug ar;
      functions++;
      describe(L, &ar);
      if (*ar.what == 'C' || is_own(m, &ar))
        own++;
      else if (!is_module_file(L, l, &ar))
        others++;
    }
    lua_pop(L, 1);
  }
  lua_settop(L, table);
  if (own > 0) return LMP_NAME;
  if (others > 0) return LMP_NAME_IN_DOUBT;
  if (whole || functions > 0 || fields == 0) return LMP_NAME;
  if (!lua_getmetatable(L, table)) return LMP_NAME_OF_DATA;
  lua_pop(L, 1);
  return LMP_NAME;
}

/* }====================================================== */

/*
** {======================================================
** Learning: what package.loaded holds
** =======================================================
*/

static int rank_of(const module *m) {
  if (m->globals) return RANK_GLOBALS;
  if (m->origin.kind == LMP_STANDARD) return RANK_STANDARD;
  return m->origin.kind == LMP_C_LOADER ? RANK_C : RANK_LUA;
}

/* Is the name of module and field, on top, to be taken rather than the entry's? */
static bool is_better(lua_State *L, const learning *l, const struct lmp_known *entry,
                      const struct lmp_known *other) {
  if (other->kind != entry->kind) return other->kind < entry->kind;
  if (other->rank != entry->rank) return other->rank < entry->rank;
  lua_rawgeti(L, l->list, entry->name);
  lua_rawgeti(L, l->list, entry->name + 1);
  int order = strcmp(lua_tostring(L, -4), lua_tostring(L, -2));
  if (order == 0) order = strcmp(lua_tostring(L, -3), lua_tostring(L, -1));
  lua_pop(L, 2);
  return order < 0;
}

static void append_name(lua_State *L, learning *l, int index) {
  lua_pushvalue(L, index);
  lua_rawseti(L, l->list, ++l->names);
}

/* The value on top, under the names of module and field below it; leaves all. */
static void add_known(lua_State *L, learning *l, const module *m, bool whole) {
  LMP_HEIGHT(base, L);
  struct lmp_known entry = {
      .address = lua_topointer(L, -1), .line = -1, .rank = (uint8_t)rank_of(m)};
  entry.kind = (uint8_t)(lua_istable(L, -1) ? kind_of_table(L, l, m, whole)
                                            : kind_of_function(L, m, &entry));
  if (entry.kind == LMP_NO_NAME) return;
  if (l->count * 2 >= l->capacity) grow_known(L, l);
  struct lmp_known *place = &l->known[place_of(l->known, l->capacity, entry.address)];
  if (place->address != NULL) {
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    bool better = is_better(L, l, place, &entry);
    lua_pop(L, 2);
    if (!better) return;
  } else {
    l->count++;
  }
  entry.name = l->names + 1;
  append_name(L, l, lua_gettop(L) - 2);
  append_name(L, l, lua_gettop(L) - 1);
  *place = entry;
  assert(lua_gettop(L) == base);
}

static bool is_importable(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TTABLE || lua_type(L, index) == LUA_TFUNCTION;
}

static bool is_name(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TSTRING && lua_rawlen(L, index) <= LMP_NAME_MAX;
}

/*
** Stack: the module's name, the module. Of _G only C functions: the host's own globals are not in a
** worker.
*/
static void add_module(lua_State *L, learning *l, const module *m) {
  int value = lua_gettop(L);
  lua_pushvalue(L, value - 1);
  lua_pushliteral(L, "");
  lua_pushvalue(L, value); /* stack: name, module, name, "", module */
  add_known(L, l, m, true);
  lua_settop(L, value);
  if (!lua_istable(L, value)) return;
  lua_pushnil(L);
  while (lua_next(L, value)) { /* stack: name, module, key, field */
    bool wanted = m->globals ? lua_iscfunction(L, -1) : is_importable(L, -1);
    if (wanted && is_name(L, -2) && lua_rawlen(L, -2) > 0) {
      lua_pushvalue(L, value - 1);
      lua_pushvalue(L, -3);
      lua_pushvalue(L, -3);
      add_known(L, l, m, false);
      lua_pop(L, 3);
    }
    lua_pop(L, 1);
  }
  assert(lua_gettop(L) == value);
}

/* A number, not 0, that changes when a module comes, goes or is replaced. */
static lua_Integer mark_loaded(lua_State *L, const lmp_context *context) {
  lua_Unsigned mark = 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->loaded);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    mark += (lua_Unsigned)(uintptr_t)lua_topointer(L, -1) * 0x9e3779b97f4a7c15ULL;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return (lua_Integer)(mark | 1);
}

/*
** The files that modules come from are needed before the first function is judged. Pushes a table
** of what was found: [name] = the file's source, or an lmp_origin_kind; of what package.preload
** has, nothing.
*/
static void find_modules(lua_State *L, lmp_context *context, learning *l, int loaded) {
  lua_newtable(L);
  int found = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, loaded)) {
    if (is_name(L, -2) && is_importable(L, -1)) {
      lmp_origin origin = lmp_find_module(L, context, lua_tostring(L, -2));
      if (origin.kind == LMP_LUA_FILE || (origin.kind == LMP_LUA_LOADER && origin.last == 0)) {
        lua_pushboolean(L, 1);
        lua_setfield(L, l->files, origin.source);
      }
      if (origin.kind != LMP_LUA_FILE) {
        lua_pop(L, 1);
        lua_pushinteger(L, origin.kind);
      }
      lua_pushvalue(L, -3);
      lua_insert(L, -2); /* stack: name, module, name, what was found */
      if (origin.kind == LMP_LUA_LOADER)
        lua_pop(L, 2);
      else
        lua_rawset(L, found);
    }
    lua_pop(L, 1);
  }
  assert(lua_gettop(L) == found);
}

/* The origin of the module whose name is at -2; pushes a value that keeps its source. */
static lmp_origin origin_of(lua_State *L, lmp_context *context, int found) {
  lua_pushvalue(L, -2);
  switch (lua_rawget(L, found)) {
    case LUA_TSTRING: return (lmp_origin){.kind = LMP_LUA_FILE, .source = lua_tostring(L, -1)};
    case LUA_TNUMBER: return (lmp_origin){.kind = (lmp_origin_kind)lua_tointeger(L, -1)};
    default: lua_pop(L, 1); return lmp_find_module(L, context, lua_tostring(L, -2));
  }
}

/* Stack: loaded, found */
static void add_modules(lua_State *L, lmp_context *context, learning *l) {
  int found = lua_gettop(L), loaded = found - 1;
  lua_pushnil(L);
  while (lua_next(L, loaded)) { /* stack: ..., name, module */
    if (is_name(L, -2) && is_importable(L, -1)) {
      module m = {.name = lua_tostring(L, -2), .origin = origin_of(L, context, found)};
      m.globals = strcmp(m.name, "_G") == 0;
      lua_pushvalue(L, -3);
      lua_pushvalue(L, -3); /* above what keeps the origin's source */
      if (m.origin.kind != LMP_NOT_FOUND) add_module(L, l, &m);
      lua_pop(L, 3);
    }
    lua_pop(L, 1);
  }
  assert(lua_gettop(L) == found);
}

/* What was known is replaced at the end, in one step: an error on the way leaves it as it was. */
static void learn_names(lua_State *L, lmp_context *context, lua_Integer loaded_mark) {
  struct lmp_names *names = context->names;
  int top = lua_gettop(L);
  learning l = {.keeper = top + 1, .list = top + 2, .files = top + 3};
  luaL_checkstack(L, 30, NULL);
  lua_pushnil(L);
  lua_newtable(L);
  lua_newtable(L);
  grow_known(L, &l);
  lua_rawgeti(L, LUA_REGISTRYINDEX, names->loaded);
  find_modules(L, context, &l, lua_gettop(L));
  add_modules(L, context, &l);
  lua_pushvalue(L, l.list);
  lua_setiuservalue(L, l.keeper, 1);
  lua_pushvalue(L, l.keeper);
  lua_rawseti(L, LUA_REGISTRYINDEX, names->keeper);
  names->known = l.known;
  names->capacity = l.capacity;
  assert(loaded_mark != 0 && l.count < l.capacity);
  names->loaded_mark = loaded_mark;
  lua_settop(L, top);
}

bool lmp_refresh_names(lua_State *L, lmp_context *context) {
  lua_Integer mark = mark_loaded(L, context);
  if (mark == context->names->loaded_mark) return false;
  learn_names(L, context, mark);
  return true;
}

void lmp_doubt_names(lmp_context *context) { context->names->loaded_mark = 0; }

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
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->keeper);
  lua_getiuservalue(L, -1, 1);
  lua_rawgeti(L, -1, entry->name);
  lua_rawgeti(L, -2, entry->name + 1); /* stack: keeper, list, module, field */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->loaded);
  lua_pushvalue(L, -3);
  lua_rawget(L, -2);
  if (lua_rawlen(L, top + 4) > 0 && lua_istable(L, -1)) {
    lua_pushvalue(L, top + 4);
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

static lmp_name push_name(lua_State *L, lmp_context *context, int index) {
  const struct lmp_known *entry = find_known(context->names, lua_topointer(L, index));
  if (entry == NULL) return (lmp_name){.kind = LMP_NO_NAME};
  lmp_name name = {.kind = (lmp_name_kind)entry->kind,
                   .line = entry->line,
                   .source = entry->source,
                   .standard = entry->rank == RANK_STANDARD || entry->rank == RANK_GLOBALS};
  if (!push_valid_name(L, context, entry, index)) name.kind = LMP_NO_NAME;
  return name;
}

lmp_name lmp_push_import_name(lua_State *L, lmp_context *context, int index) {
  if (context->names->loaded_mark == 0) (void)lmp_refresh_names(L, context);
  lmp_name name = push_name(L, context, index);
  if (name.kind == LMP_NO_NAME && lua_type(L, index) == LUA_TFUNCTION && /* most tables are data */
      lmp_refresh_names(L, context))
    name = push_name(L, context, index);
  return name;
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
  lmp_name name = push_name(L, context, index);
  if (name.kind == LMP_NO_NAME && lmp_refresh_names(L, context))
    name = push_name(L, context, index);
  if (name.kind != LMP_NO_NAME && name.kind != LMP_NAME_IN_DOUBT) return 2;
  lua_settop(L, lua_gettop(L) - (name.kind == LMP_NO_NAME ? 0 : 2));
  assert(lua_gettop(L) == base);
  return 0;
}

/* Is the value at index that on top, or a field of it? */
static bool holds(lua_State *L, int index) {
  int holder = lua_gettop(L);
  bool found = lua_rawequal(L, holder, index);
  if (found || !lua_istable(L, holder)) return found;
  lua_pushnil(L);
  while (!found && lua_next(L, holder)) {
    found = lua_rawequal(L, -1, index);
    lua_pop(L, 1);
  }
  lua_settop(L, holder);
  return found;
}

/* The module's name at -1; pushes why a state elsewhere would not find what it holds. */
static void push_why(lua_State *L, lmp_context *context) {
  if (!is_name(L, -1)) {
    lua_pushliteral(L, "has a name of more than 255 bytes");
    return;
  }
  lmp_origin origin = lmp_find_module(L, context, lua_tostring(L, -1));
  lua_pop(L, 1);
  if (origin.kind != LMP_NOT_FOUND)
    lua_pushliteral(L, "holds it, but did not bring it");
  else
    lmp_push_not_found(L, context, lua_tostring(L, -1));
}

bool lmp_push_holder(lua_State *L, lmp_context *context, int index) {
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 20, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->loaded);
  int loaded = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, loaded)) { /* stack: loaded, name, module */
    bool found = lua_type(L, -2) == LUA_TSTRING && holds(L, index);
    lua_pop(L, 1);
    if (!found) continue;
    lua_remove(L, loaded);
    push_why(L, context);
    assert(lua_gettop(L) == base + 2);
    return true;
  }
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
  return false;
}

/* }====================================================== */

void lmp_names_begin(lua_State *L, lmp_context *context) {
  lua_newuserdatauv(L, 0, 1);
  context->names->keeper = luaL_ref(L, LUA_REGISTRYINDEX);
  context->names->modules = lmp_new_table(L, NULL);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  context->names->loaded = luaL_ref(L, LUA_REGISTRYINDEX);
}
