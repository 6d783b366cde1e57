/* process.c - a Lua module for tests: fork(2) and what goes with it; a handler of a signal. */
#define _POSIX_C_SOURCE 200809L /* sigaction */
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

static lua_State *usr1_state;
static volatile sig_atomic_t usr1_came;
static const char usr1_key;

static void on_usr1_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (!usr1_came) return;
  usr1_came = 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &usr1_key);
  lua_call(L, 0, 0);
}

static void on_usr1(int signal) {
  (void)signal;
  usr1_came = 1;
  lua_sethook(usr1_state, on_usr1_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* on_usr1(f): calls f after a SIGUSR1, by a hook on the main coroutine, as luaposix does. */
static int l_on_usr1(lua_State *L) {
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &usr1_key);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  usr1_state = lua_tothread(L, -1);
  struct sigaction action = {.sa_handler = on_usr1};
  if (sigaction(SIGUSR1, &action, NULL) != 0) return luaL_error(L, "cannot handle a signal");
  return 0;
}

int luaopen_process(lua_State *L);
__attribute__((visibility("default"))) int luaopen_process(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"fork", l_fork}, {"wait", l_wait}, {"exit", l_exit}, {"on_usr1", l_on_usr1}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
