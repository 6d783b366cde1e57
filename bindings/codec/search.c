#define _POSIX_C_SOURCE 200809L /* getcwd */
#include "codec/search.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The stack of search->seen. */
enum { PACKAGE = 1, PRELOAD, PATH_NAME, CPATH_NAME, PATH, CPATH, SEEN_TOP = CPATH };
/* What search->kept holds; worker/inherit.c has places of its own from 10 on. */
enum { SEEN = 1, HOME, STAYS };

/*
** {======================================================
** The package table
** =======================================================
*/

/* Pushes what stands there on the stack of search->seen. */
static void push_seen(lua_State *L, const lmp_context *context, int place) {
  lua_pushvalue(context->search->seen, place);
  lua_xmove(context->search->seen, L, 1);
}

void lmp_push_path(lua_State *L, lmp_context *context, const char *which) {
  LMP_HEIGHT(base, L);
  push_seen(L, context, PACKAGE);
  if (lua_istable(L, -1)) {
    lua_pushstring(L, which);
    lua_rawget(L, -2);
    lua_remove(L, -2);
  }
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "");
  }
  assert(lua_gettop(L) == base + 1);
}

void lmp_set_path(lua_State *L, lmp_context *context, const char *which) {
  LMP_HEIGHT(base, L);
  push_seen(L, context, PACKAGE);
  if (lua_istable(L, -1)) {
    lua_pushstring(L, which);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
  }
  lua_pop(L, 2);
  assert(lua_gettop(L) == base - 1);
}

void lmp_push_preload(lua_State *L, lmp_context *context) { push_seen(L, context, PRELOAD); }

static lua_Unsigned mix(lua_Unsigned mark, const void *data, size_t size) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < size; i++) mark = (mark ^ bytes[i]) * 0x100000001b3ULL; /* FNV-1a */
  return mark;
}

lua_Unsigned lmp_loader_mark(lua_State *L) {
  size_t size;
  const char *name = lua_tolstring(L, -2, &size);
  lua_Unsigned mark = mix(0xcbf29ce484222325ULL, name, size);
  lua_Debug ar;
  lua_CFunction function = lua_tocfunction(L, -1);
  if (function != NULL) return mix(mark, &function, sizeof function);
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  mark = mix(mark, &ar.linedefined, sizeof ar.linedefined);
  return mix(mark, ar.source, strlen(ar.source));
}

static bool is_loader(lua_State *L) { /* name, function on top */
  return lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TFUNCTION;
}

lua_Unsigned lmp_search_mark(lua_State *L, const char *path, const char *cpath, int preload) {
  LMP_HEIGHT(base, L);
  lua_Unsigned mark = mix(0xcbf29ce484222325ULL, path, strlen(path) + 1), loaders = 0;
  mark = mix(mark, cpath, strlen(cpath) + 1);
  luaL_checkstack(L, 4, NULL);
  for (lua_pushnil(L); lua_next(L, preload); lua_pop(L, 1))
    if (is_loader(L)) loaders += lmp_loader_mark(L);
  assert(lua_gettop(L) == base);
  return mix(mark, &loaders, sizeof loaders);
}

/*
** A number that changes when a loader comes, goes or is replaced, in this state. On search->seen
** nothing raises: no key is made up, and nothing is allocated.
*/
static lua_Unsigned mark_preload(lua_State *seen) {
  lua_Unsigned mark = 0;
  lua_pushnil(seen);
  while (lua_next(seen, PRELOAD)) {
    lua_Unsigned entry = (lua_Unsigned)(uintptr_t)lua_topointer(seen, -1);
    if (lua_type(seen, -2) == LUA_TSTRING)
      entry ^= (lua_Unsigned)(uintptr_t)lua_tostring(seen, -2) << 7;
    mark += (entry | 1) * 0x9e3779b97f4a7c15ULL;
    lua_pop(seen, 1);
  }
  return mark;
}

/* The bytes of a field of package, which are its own as long as it stays there; or NULL. */
static const char *look_at(lua_State *seen, int name) {
  lua_pushvalue(seen, name);
  lua_rawget(seen, PACKAGE);
  return lua_tostring(seen, -1);
}

/* What differs is looked at in full. */
static void look_closely(lua_State *L, lmp_context *context, lua_Unsigned preload_mark) {
  struct lmp_search *search = context->search;
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  lmp_push_path(L, context, "path");
  lmp_push_path(L, context, "cpath");
  lmp_push_preload(L, context); /* stack: path, cpath, preload */
  search->mark =
      lmp_search_mark(L, lua_tostring(L, top + 1), lua_tostring(L, top + 2), lua_gettop(L));
  search->preload_mark = preload_mark;
  lua_settop(L, top);
  search->path = look_at(search->seen, PATH_NAME);
  lua_replace(search->seen, PATH);
  search->cpath = look_at(search->seen, CPATH_NAME);
  lua_replace(search->seen, CPATH);
}

bool lmp_search_look(lua_State *L, lmp_context *context) {
  struct lmp_search *search = context->search;
  lua_State *seen = search->seen;
  assert(lua_gettop(seen) == SEEN_TOP);
  if (!search->has_package) return false;
  lua_Unsigned preload_mark = mark_preload(seen);
  bool same = preload_mark == search->preload_mark && look_at(seen, PATH_NAME) == search->path &&
              look_at(seen, CPATH_NAME) == search->cpath;
  lua_settop(seen, SEEN_TOP);
  if (same) return false;
  lua_Unsigned before = search->mark;
  look_closely(L, context, preload_mark);
  return search->mark != before;
}

/* }====================================================== */

/* The value on top, popped, is kept at that place. */
static void keep(lua_State *L, const lmp_context *context, lua_Integer place) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->search->kept);
  lua_insert(L, -2);
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
}

/*
** {======================================================
** Finding
** =======================================================
*/

static bool is_readable(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) return false;
  fclose(file);
  return true;
}

/* The file of a module among the templates of `path`: pushes its name and returns true. */
static bool find_file(lua_State *L, const char *name, const char *path) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  name = luaL_gsub(L, name, ".", LUA_DIRSEP);
  while (*path != '\0') {
    size_t size = strcspn(path, ";");
    if (size > 0) {
      lua_pushlstring(L, path, size);
      const char *file = luaL_gsub(L, lua_tostring(L, -1), "?", name);
      if (is_readable(file)) {
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
        return true;
      }
      lua_settop(L, top + 1);
    }
    path += size + (path[size] == ';');
  }
  lua_settop(L, top);
  return false;
}

static bool is_standard(const char *module) {
  static const char *const standard[] = {"_G", "coroutine", "debug",  "io",    "math",
                                         "os", "package",   "string", "table", "utf8"};
  for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++)
    if (strcmp(module, standard[i]) == 0) return true;
  return false;
}

static bool is_ours(const char *module) {
  return strcmp(module, "makeparallel") == 0 || strncmp(module, "makeparallel.", 13) == 0;
}

/* Is the loader on top one of those that cannot travel? */
static bool stays(lua_State *L, lmp_context *context) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->search->kept);
  lua_rawgeti(L, -1, STAYS);
  lua_pushvalue(L, -3);
  bool found = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 3);
  return found;
}

void lmp_preload_stays(lua_State *L, lmp_context *context) {
  LMP_HEIGHT(base, L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->search->kept);
  lua_rawgeti(L, -1, STAYS);
  lua_pushvalue(L, -3);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  lua_pop(L, 3);
  assert(lua_gettop(L) == base - 1);
}

/* Of the loader on top. */
static lmp_origin origin_of_loader(lua_State *L, lmp_context *context) {
  lua_Debug ar;
  if (lua_iscfunction(L, -1)) return (lmp_origin){.kind = LMP_C_LOADER};
  if (stays(L, context)) return (lmp_origin){.kind = LMP_NOT_FOUND};
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  bool chunk = *ar.what == 'm';
  return (lmp_origin){.kind = LMP_LUA_LOADER,
                      .source = ar.source,
                      .first = chunk ? 0 : ar.linedefined,
                      .last = chunk ? 0 : ar.lastlinedefined};
}

/* Pushes the file's name as debug.getinfo has it, or nothing. */
static bool find_lua_file(lua_State *L, lmp_context *context, const char *name) {
  lmp_push_path(L, context, "path");
  bool found = find_file(L, name, lua_tostring(L, -1));
  if (!found && is_ours(name)) {
    lmp_push_home(L, context);
    lua_replace(L, -2);
    found = find_file(L, name, lua_tostring(L, -1));
  }
  if (found) {
    lua_pushfstring(L, "@%s", lua_tostring(L, -1));
    lua_replace(L, -3);
  }
  lua_pop(L, 1);
  return found;
}

static bool find_c_file(lua_State *L, lmp_context *context, const char *name) {
  lmp_push_path(L, context, "cpath");
  bool found = find_file(L, name, lua_tostring(L, -1));
  lua_pop(L, found ? 2 : 1);
  return found;
}

lmp_origin lmp_find_module(lua_State *L, lmp_context *context, const char *name) {
  LMP_HEIGHT(base, L);
  lmp_origin origin = {.kind = LMP_NOT_FOUND};
  luaL_checkstack(L, 8, NULL);
  lmp_push_preload(L, context);
  lua_pushstring(L, name);
  if (lua_rawget(L, -2) == LUA_TFUNCTION) origin = origin_of_loader(L, context);
  lua_replace(L, -2);
  assert(lua_gettop(L) == base + 1);
  if (is_standard(name)) return (lmp_origin){.kind = LMP_STANDARD};
  if (strcmp(name, LMP_CORE) == 0) return (lmp_origin){.kind = LMP_C_LOADER};
  if (origin.kind != LMP_NOT_FOUND) return origin;
  if (find_lua_file(L, context, name)) {
    lua_replace(L, -2);
    return (lmp_origin){.kind = LMP_LUA_FILE, .source = lua_tostring(L, -1)};
  }
  if (find_c_file(L, context, name)) origin.kind = LMP_C_LOADER;
  assert(lua_gettop(L) == base + 1);
  return origin;
}

/* Adds the files that a path stands for to the text on top. */
static void add_files(lua_State *L, lmp_context *context, const char *name, const char *which) {
  int text = lua_gettop(L);
  lmp_push_path(L, context, which);
  const char *path = lua_tostring(L, -1);
  if (*path != '\0') {
    path = luaL_gsub(L, path, "?", luaL_gsub(L, name, ".", LUA_DIRSEP));
    path = luaL_gsub(L, path, ";", "'\n\tno file '");
    lua_pushfstring(L, "%s\n\tno file '%s'", lua_tostring(L, text), path);
    lua_replace(L, text);
  }
  lua_settop(L, text);
}

void lmp_push_not_found(lua_State *L, lmp_context *context, const char *name) {
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 8, NULL);
  lmp_push_preload(L, context);
  lua_pushstring(L, name);
  bool loader = lua_rawget(L, -2) == LUA_TFUNCTION;
  lua_pop(L, 2);
  if (loader) {
    lua_pushfstring(L, "module '%s' not found: its function in package.preload cannot be sent",
                    name);
  } else {
    lua_pushfstring(L, "module '%s' not found:\n\tno field package.preload['%s']", name, name);
    add_files(L, context, name, "path");
    add_files(L, context, name, "cpath");
  }
  assert(lua_gettop(L) == base + 1);
}

/* }====================================================== */

/*
** {======================================================
** Our own modules
** =======================================================
*/

void lmp_push_home(lua_State *L, lmp_context *context) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->search->kept);
  lua_rawgeti(L, -1, HOME);
  lua_remove(L, -2);
  assert(lua_type(L, -1) == LUA_TSTRING);
}

void lmp_search_home(lua_State *L, lmp_context *context) { keep(L, context, HOME); }

/*
** A searcher, the last one: a part of makeparallel that is loaded late is found where the rest was,
** though package.path has changed.
*/
static int search_home(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  const char *name = luaL_checkstring(L, 1);
  if (!is_ours(name)) return 0;
  lmp_push_home(L, context);
  errno = 0;
  if (!find_file(L, name, lua_tostring(L, -1))) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) return 0;
    return luaL_error(L, "cannot load module '%s': %s", name, strerror(errno));
  }
  const char *file = lua_tostring(L, -1);
  if (luaL_loadfile(L, file) != LUA_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name, file,
                      lua_tostring(L, -1));
  lua_pushstring(L, file);
  return 2;
}

static void add_searcher(lua_State *L, lmp_context *context) { /* package on top */
  lua_pushliteral(L, "searchers");
  if (lua_rawget(L, -2) == LUA_TTABLE) {
    lua_pushlightuserdata(L, context); /* the registry keeps the context alive */
    lua_pushcclosure(L, search_home, 1);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  lua_pop(L, 1);
}

/* }====================================================== */

/* Fills the stack of search->seen. */
static void begin_seeing(lua_State *L, lmp_context *context) {
  lua_State *seen = context->search->seen;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushliteral(L, "package");
  context->search->has_package = lua_rawget(L, -2) == LUA_TTABLE;
  if (context->search->has_package) {
    add_searcher(L, context);
  } else {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushliteral(L, "path");
  lua_pushliteral(L, "cpath");
  lua_pushnil(L);
  lua_pushnil(L);
  lua_xmove(L, seen, SEEN_TOP);
  lua_pop(L, 1);
}

/*
** The path on top: its templates with the directory of now before those that are relative, for the
** program may change it.
*/
static void make_absolute(lua_State *L) {
  char directory[PATH_MAX];
  const char *path = lua_tostring(L, -1);
  if (getcwd(directory, sizeof directory) == NULL) return;
  int top = lua_gettop(L);
  luaL_checkstack(L, 4, NULL);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  while (*path != '\0') {
    size_t size = strcspn(path, ";");
    if (size > 0 && *path != '/') {
      luaL_addstring(&text, directory);
      luaL_addchar(&text, '/');
    }
    luaL_addlstring(&text, path, size);
    path += size;
    if (*path == ';') luaL_addchar(&text, *path++);
  }
  luaL_pushresult(&text);
  lua_replace(L, top);
}

void lmp_open_search(lua_State *L, lmp_context *context) {
  struct lmp_search *search = context->search;
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 12, NULL);
  search->kept = lmp_new_table(L, NULL);
  search->seen = lua_newthread(L);
  keep(L, context, SEEN);
  lua_createtable(L, 0, 1);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  keep(L, context, STAYS);
  begin_seeing(L, context);
  lmp_push_path(L, context, "path");
  if (context->vm == NULL) make_absolute(L);
  lmp_search_home(L, context);
  assert(lua_gettop(L) == base);
}
