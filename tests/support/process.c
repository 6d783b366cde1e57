/* process.c - a Lua module for tests: fork(2) and what goes with it. */
#include <lauxlib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_SECONDS 60

/* fork(): the child's id, 0 in the child. A child that hangs is ended by its alarm. */
static int l_fork(lua_State *L) {
  pid_t child = fork();
  if (child < 0) return luaL_error(L, "cannot fork");
  if (child == 0) alarm(HANG_SECONDS);
  lua_pushinteger(L, child);
  return 1;
}

/* wait(child): how it ended: its exit code, or 128 and the signal. */
static int l_wait(lua_State *L) {
  int status;
  pid_t child = (pid_t)luaL_checkinteger(L, 1);
  while (waitpid(child, &status, 0) != child) continue;
  lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return 1;
}

/* exit(code): at once; nothing is closed. */
static int l_exit(lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
  return 0;
}

int luaopen_process(lua_State *L);
__attribute__((visibility("default"))) int luaopen_process(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"fork", l_fork}, {"wait", l_wait}, {"exit", l_exit}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
