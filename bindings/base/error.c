#include "base/error.h"

#include <stdarg.h>
#include <string.h>

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

/* A program may lie in a folder of that name, too. */
static bool is_file_of_ours(const char *name) {
  static const char *const names[] = {
      "adapter", "check",   "compat",       "context", "copas", "counter", "cqueues",  "each",
      "errors",  "gather",  "go",           "graph",   "imap",  "init",    "inworker", "luv",
      "map",     "memoize", "memoize_fast", "pace",    "part",  "pools",   "profiled", "progress",
      "ready",   "reduce",  "retry",        "stream",  "timer", "timers",  "worlds",   "wrap"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t size = strlen(names[i]);
    if (strncmp(name, names[i], size) == 0 && strcmp(name + size, ".lua") == 0) return true;
  }
  return false;
}

bool lmp_is_of_module(const char *source) {
  static const char folder[] = "makeparallel";
  const char *end = strrchr(source, '/');
  if (end == NULL || (size_t)(end - source) < sizeof folder) return false;
  const char *start = end - (sizeof folder - 1);
  return memcmp(start, folder, sizeof folder - 1) == 0 && (start[-1] == '/' || start[-1] == '@') &&
         is_file_of_ours(end + 1);
}

#define LEVELS_MAX 10 /* where the program may have called us from */

/* Pushes "main.lua:3: " for the program's own code that called, or "". */
static void push_place(lua_State *L) {
  lua_Debug ar;
  for (int level = 1; level <= LEVELS_MAX && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || lmp_is_of_module(ar.source)) continue;
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    return;
  }
  lua_pushliteral(L, "");
}

void lmp_check_open(lua_State *L, mp_status status, const char *text) {
  if (status != MP_SHUTDOWN) {
    lmp_check(L, status);
    return;
  }
  luaL_checkstack(L, 8, NULL);
  push_place(L);
  lmp_push_error(L, "shutdown", "%s%s", lua_tostring(L, -1),
                 text != NULL ? text : mp_status_text(MP_SHUTDOWN));
  lua_error(L);
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
