#include "base/options.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_SIZE 32

static int least(int a, int b, int c) {
  int m = a < b ? a : b;
  return m < c ? m : c;
}

/*
** Edits that make one name the other: insert, delete, replace, swap neighbours (Damerau's distance,
** restricted form).
*/
static int distance(const char *a, const char *b) {
  int d[NAME_MAX_SIZE + 1][NAME_MAX_SIZE + 1];
  int n = (int)strlen(a), m = (int)strlen(b);
  if (n > NAME_MAX_SIZE || m > NAME_MAX_SIZE) return NAME_MAX_SIZE;
  for (int i = 0; i <= n; i++) d[i][0] = i;
  for (int j = 0; j <= m; j++) d[0][j] = j;
  for (int i = 1; i <= n; i++) {
    for (int j = 1; j <= m; j++) {
      d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
          d[i - 2][j - 2] + 1 < d[i][j])
        d[i][j] = d[i - 2][j - 2] + 1;
    }
  }
  return d[n][m];
}

/* Pushes why the string key on top of the stack is no option. */
static void push_unknown(lua_State *L, const char *near) {
  if (near != NULL)
    lua_pushfstring(L, "unknown option '%s' (did you mean '%s'?)", lua_tostring(L, -1), near);
  else
    lua_pushfstring(L, "unknown option '%s'", lua_tostring(L, -1));
}

bool lmp_push_unknown_option(lua_State *L, int options, const char *const names[]) {
  assert(options > 0); /* absolute */
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 6, NULL);
  lua_pushnil(L);
  while (lua_next(L, options)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) {
      lua_pushfstring(L, "an option's name must be a string, got %s", luaL_typename(L, -1));
      lua_remove(L, -2);
      return true;
    }
    const char *name = lua_tostring(L, -1), *near = NULL;
    int best = 3; /* two edits away is near */
    for (size_t i = 0; names[i] != NULL && best > 0; i++) {
      int far = distance(name, names[i]);
      if (far >= best) continue;
      best = far;
      near = names[i];
    }
    if (best == 0) continue;
    push_unknown(L, near);
    lua_remove(L, -2);
    assert(lua_gettop(L) == base + 1);
    return true;
  }
  return false;
}

void lmp_check_option_names(lua_State *L, int options, const char *const names[]) {
  if (lmp_push_unknown_option(L, options, names)) luaL_error(L, "%s", lua_tostring(L, -1));
}

lua_Integer lmp_option_integer(lua_State *L, int options, const char *name, lua_Integer low,
                               lua_Integer high, lua_Integer missing) {
  int is_integer = 1;
  if (lua_getfield(L, options, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return missing;
  }
  lua_Integer value =
      lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is_integer) : (is_integer = 0);
  if (!is_integer || value < low || value > high) {
    luaL_tolstring(L, -1, NULL);
    luaL_error(L, "%s must be an integer from %I to %I, got %s", name, (LUAI_UACINT)low,
               (LUAI_UACINT)high, lua_tostring(L, -1));
  }
  lua_pop(L, 1);
  return value;
}

int lmp_option_choice(lua_State *L, int options, const char *option, const char *const names[],
                      int missing) {
  LMP_HEIGHT(base, L);
  int found = -1;
  if (lua_getfield(L, options, option) == LUA_TNIL) found = missing;
  const char *name = luaL_tolstring(L, -1, NULL);
  for (int i = 0; found < 0 && names[i] != NULL; i++)
    if (lua_type(L, -2) == LUA_TSTRING && strcmp(name, names[i]) == 0) found = i;
  if (found < 0) {
    lua_pushfstring(L, "%s must be '%s'", option, names[0]);
    for (int i = 1; names[i] != NULL; i++) {
      lua_pushfstring(L, "%s '%s'", names[i + 1] == NULL ? " or" : ",", names[i]);
      lua_concat(L, 2);
    }
    luaL_error(L, "%s, got %s", lua_tostring(L, -1), name);
  }
  lua_pop(L, 2);
  assert(lua_gettop(L) == base);
  return found;
}

void lmp_check_callable(lua_State *L, int index, const char *name) {
  if (lua_type(L, index) == LUA_TFUNCTION) return;
  if (luaL_getmetafield(L, index, "__call") == LUA_TNIL)
    luaL_error(L, "%s must be a function, got %s", name, luaL_typename(L, index));
  lua_pop(L, 1);
}

/*
** unknown_option(options, names) -> why one of the options is unknown, or nil. For the Lua modules,
** which raise it at their caller.
*/
static int unknown_option(lua_State *L) {
  const char *names[32];
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  size_t n = lua_rawlen(L, 2);
  luaL_argcheck(L, n < 32, 2, "too many names");
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    names[i] = lua_tostring(L, -1); /* the table keeps it */
    lua_pop(L, 1);
  }
  names[n] = NULL;
  return lmp_push_unknown_option(L, 1, names) ? 1 : 0;
}

void lmp_open_options(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"unknown_option", unknown_option}, {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
