/*
** clock.c - the monotonic clock in seconds, for subjects that have none: local clock = require
** "clock".
*/
#include <lauxlib.h>
#include <time.h>

static int now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
  return 1;
}

__attribute__((visibility("default"))) int luaopen_clock(lua_State *L) {
  lua_pushcfunction(L, now);
  return 1;
}
