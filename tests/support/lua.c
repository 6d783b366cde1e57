/*
** lua.c - a Lua interpreter to be compiled with a sanitizer: Debian's own cannot load a module
** built with one. lua [-W] [-e CODE]... [SCRIPT [ARGUMENT...]]
*/
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static lua_State *main_state;

static void raise_interrupted(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

/* Ctrl-C, as in Lua's own interpreter. */
static void on_sigint(int number) {
  signal(number, SIG_DFL);
  lua_sethook(main_state, raise_interrupted,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static int with_traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

/* Calls the chunk below its n arguments, if it could be loaded. */
static int run(lua_State *L, int loaded, int n) {
  if (loaded == LUA_OK) {
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, 1);
    loaded = lua_pcall(L, n, 0, 1);
  }
  if (loaded != LUA_OK) fprintf(stderr, "lua: %s\n", lua_tostring(L, -1));
  lua_settop(L, 0);
  return loaded;
}

static int run_script(lua_State *L, int argc, char **argv) {
  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setglobal(L, "arg");
  int loaded = luaL_loadfile(L, argv[0]);
  for (int i = 1; i < argc && loaded == LUA_OK; i++) lua_pushstring(L, argv[i]);
  return run(L, loaded, argc - 1);
}

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  int at = 1, status = LUA_OK;
  if (L == NULL) return 1;
  luaL_openlibs(L);
  main_state = L;
  signal(SIGINT, on_sigint);
  for (; at < argc && argv[at][0] == '-' && status == LUA_OK; at++) {
    if (strcmp(argv[at], "-W") == 0)
      lua_warning(L, "@on", 0);
    else if (strcmp(argv[at], "-e") == 0 && at + 1 < argc)
      at++, status = run(L, luaL_loadstring(L, argv[at]), 0);
    else
      status = LUA_ERRRUN;
  }
  if (at < argc && status == LUA_OK) status = run_script(L, argc - at, argv + at);
  lua_close(L);
  return status == LUA_OK ? 0 : 1;
}
