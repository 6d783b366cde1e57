/*
** smallest.c - the least program that runs Lua tasks on a pool of its own.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <makeparallel_lua.h>
#include <stdio.h>

int main(void) {
  mp_lua *lua;
  mp_pool *pool;
  mp_task *task;
  mp_lua_config lua_config = mp_lua_config_default();
  mp_pool_config config = mp_pool_config_default();
  if (mp_lua_prepare(&lua_config, &config, &lua) != MP_OK ||
      mp_pool_create(&config, &pool) != MP_OK)
    return 1;

  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_settop(L, 0);
  if (mp_lua_attach(L, pool) != MP_OK) return 1;

  if (luaL_loadstring(L, "local a, b = ... return a * b, 'on a worker'") != LUA_OK) return 1;
  lua_pushinteger(L, 6);
  lua_pushinteger(L, 7);
  if (mp_submit_lua(L, 2, NULL, &task) != MP_OK || mp_wait(task, MP_FOREVER) != MP_OK) return 1;
  if (mp_push_results(L, task) == 2)
    printf("%d %s\n", (int)lua_tointeger(L, -2), lua_tostring(L, -1));
  mp_task_release(task);

  lua_close(L);
  mp_pool_destroy(pool);
  return 0;
}
