#define _POSIX_C_SOURCE 200809L /* popen, posix_spawn */
#include "worker/guards.h"

#include <errno.h>
#include <lauxlib.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#if defined(__GLIBC__)
#include <stdio_ext.h>
#endif

/* A process that is started meanwhile must not keep our end of the pipe open. */
#if defined(__linux__)
#define POPEN_READ "re"
#define POPEN_WRITE "we"
#else
#define POPEN_READ "r"
#define POPEN_WRITE "w"
#endif

extern char **environ;

int lmp_call_original(lua_State *L) {
  lua_CFunction function = lua_tocfunction(L, lua_upvalueindex(1));
  if (function != NULL && lua_getupvalue(L, lua_upvalueindex(1), 1) == NULL) return function(L);
  lua_settop(L, lua_gettop(L) - (function != NULL));
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/*
** {======================================================
** Processes
**
** As Lua's own io.popen and os.execute but for two things that reach beyond the thread. The first
** calls fflush(NULL), which waits for every stream that another thread is reading from: here this
** state's own are flushed. And system() keeps Ctrl-C from the whole process for as long as it
** waits. A process that starts here is to end by the signals that would end one which main starts.
** =======================================================
*/

static const lmp_vm *vm_of_guard(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/*
** A stream that is read, and is this state's alone: whoever flushes all streams meanwhile, as Lua's
** own io.popen does, need not wait for it.
*/
static void need_no_lock(FILE *stream) {
#if defined(__GLIBC__)
  (void)__fsetlocking(stream, FSETLOCKING_BYCALLER);
#else
  (void)stream;
#endif
}

/*
** io.open, io.tmpfile. Upvalues: Lua's own; a table of the files that may have something to flush,
** with weak values, which lose a file before its finaliser runs.
*/
static int open_file(lua_State *L) {
  enum { MODE = 2, FILES = 2 };
  const char *mode = lua_isstring(L, MODE) ? lua_tostring(L, MODE) : "r";
  bool writes = lua_isnone(L, 1) || strpbrk(mode, "wa+") != NULL; /* a temporary file, or a mode */
  int n = lmp_call_original(L);
  const luaL_Stream *stream = n == 1 ? luaL_testudata(L, -1, LUA_FILEHANDLE) : NULL;
  if (stream == NULL) return n;
  if (!writes) {
    need_no_lock(stream->f);
    return n;
  }
  lua_pushvalue(L, -1);
  lua_rawsetp(L, lua_upvalueindex(FILES), lua_touserdata(L, -2));
  return 1;
}

static void flush_files(lua_State *L, int files) {
  (void)fflush(stdout);
  lua_getfield(L, LUA_REGISTRYINDEX, "_IO_output"); /* liolib.c's */
  const luaL_Stream *output = luaL_testudata(L, -1, LUA_FILEHANDLE);
  if (output != NULL && output->closef != NULL) (void)fflush(output->f);
  lua_pop(L, 1);
  for (lua_pushnil(L); lua_next(L, files); lua_pop(L, 1)) {
    const luaL_Stream *stream = lua_touserdata(L, -1);
    if (stream->closef != NULL) (void)fflush(stream->f);
  }
}

static int close_process(lua_State *L) {
  luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  errno = 0;
  return luaL_execresult(L, pclose(stream->f));
}

static int popen_read_or_write(lua_State *L) {
  const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
  luaL_argcheck(L, (mode[0] == 'r' || mode[0] == 'w') && mode[1] == '\0', 2, "invalid mode");
  luaL_Stream *stream = lua_newuserdatauv(L, sizeof *stream, 0);
  stream->closef = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  mp_worker *worker = vm_of_guard(L)->worker;
  flush_files(L, lua_upvalueindex(2));
  errno = 0;
  mp_worker_open_signals(worker);
  stream->f = popen(command, mode[0] == 'r' ? POPEN_READ : POPEN_WRITE);
  int error = errno;
  mp_worker_block_signals(worker);
  errno = error;
  if (stream->f == NULL) return luaL_fileresult(L, 0, command);
  stream->closef = close_process;
  if (mode[0] == 'r') need_no_lock(stream->f);
  return 1;
}

/* The child's status as wait() has it, or -1 with errno. */
static int run_command(mp_worker *worker, const char *command) {
  char shell[] = "sh", option[] = "-c";
  char *const arguments[] = {shell, option, (char *)(uintptr_t)command, NULL};
  pid_t child;
  int status = -1;
  mp_worker_open_signals(worker);
  int error = posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ);
  mp_worker_block_signals(worker);
  if (error != 0) {
    errno = error;
    return -1;
  }
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  errno = 0;
  return status;
}

static int execute(lua_State *L) {
  const char *command = luaL_optstring(L, 1, NULL);
  if (command == NULL) {
    lua_pushboolean(L, 1); /* there is a shell */
    return 1;
  }
  (void)fflush(stdout);
  return luaL_execresult(L, run_command(vm_of_guard(L)->worker, command));
}

/* }====================================================== */

static int refused_exit(lua_State *L) {
  return luaL_error(L, "os.exit is refused in a worker: it would end the whole process; return or "
                       "raise an error instead");
}

/* The locale is every thread's: only the one that is set already can be chosen. */
static int guarded_setlocale(lua_State *L) {
  const char *wanted = luaL_optstring(L, 1, NULL);
  lua_settop(L, 2);
  lua_pushvalue(L, 1); /* it holds `wanted` */
  lua_pushnil(L);
  lua_replace(L, 1);
  (void)lmp_call_original(L);
  if (wanted == NULL || (lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), wanted) == 0)) return 1;
  luaL_pushfail(L);
  return 1;
}

/* One write a line, so that lines of several workers do not mix. */
static int print_line(lua_State *L) {
  int n = lua_gettop(L);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= n; i++) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&line);
  }
  luaL_addchar(&line, '\n');
  luaL_pushresult(&line);
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  bool written = fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0;
  if (!written) return luaL_error(L, "cannot print: %s", strerror(errno));
  return 0;
}

/*
** Runs the function in upvalue 1 alone among all workers: few C modules' initialisers are
** thread-safe.
*/
static int call_alone(lua_State *L) {
  const lmp_vm *vm = lua_touserdata(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  mp_worker_lock(vm->worker);
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  mp_worker_unlock(vm->worker);
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L);
}

/* function on top, replaced */
static void wrap(lua_State *L, lmp_vm *vm, lua_CFunction call) {
  lua_pushlightuserdata(L, vm);
  lua_pushcclosure(L, call, 2);
}

/* table on top */
static void wrap_field(lua_State *L, lmp_vm *vm, const char *name, lua_CFunction call) {
  if (lua_getfield(L, -1, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  wrap(L, vm, call);
  lua_setfield(L, -2, name);
}

/* A searcher for C modules: the library is opened, and its loader will run, alone. */
static int search_alone(lua_State *L) {
  lmp_vm *vm = lua_touserdata(L, lua_upvalueindex(2));
  int n = call_alone(L);
  if (n == 0 || !lua_isfunction(L, -n)) return n;
  lua_pushvalue(L, -n);
  wrap(L, vm, call_alone);
  lua_replace(L, -n - 1);
  return n;
}

/* package on top */
static void guard_searchers(lua_State *L, lmp_vm *vm) {
  if (lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    for (int i = 3; i <= 4; i++) {
      if (lua_rawgeti(L, -1, i) == LUA_TNIL) break;
      lua_pushlightuserdata(L, vm);
      lua_pushcclosure(L, search_alone, 2);
      lua_rawseti(L, -2, i);
    }
  }
  assert(lua_gettop(L) >= 3);
  lua_settop(L, 2);
  wrap_field(L, vm, "loadlib", call_alone);
}

/* A field of the table on top, if there is one, becomes this function, with an upvalue: vm. */
static void put_in_place(lua_State *L, lmp_vm *vm, const char *name, lua_CFunction function) {
  bool there = lua_getfield(L, -1, name) != LUA_TNIL;
  lua_pop(L, 1);
  if (!there) return;
  lua_pushlightuserdata(L, vm);
  lua_pushcclosure(L, function, 1);
  lua_setfield(L, -2, name);
}

static void guard_os(lua_State *L, lmp_vm *vm) { /* os on top */
  put_in_place(L, vm, "execute", execute);
  put_in_place(L, vm, "exit", refused_exit);
  if (lua_getfield(L, -1, "setlocale") == LUA_TNIL) return;
  lua_pushcclosure(L, guarded_setlocale, 1);
  lua_setfield(L, -2, "setlocale");
}

/*
** warn, as in a state of Lua's own: off until "@on". Where it is on, and whether a message goes on,
** is the vm's.
*/
static void warn(void *ud, const char *text, int to_be_continued) {
  lmp_vm *vm = ud;
  bool begins = !vm->warning.continues;
  vm->warning.continues = to_be_continued != 0;
  if (begins && !to_be_continued && *text == '@') {
    if (strcmp(text, "@on") == 0) vm->warning.on = true;
    if (strcmp(text, "@off") == 0) vm->warning.on = false;
    return;
  }
  if (!vm->warning.on) return;
  fprintf(stderr, "%s%s%s", begins ? "Lua warning: " : "", text, to_be_continued ? "" : "\n");
}

void lmp_guard_warnings(lua_State *L, lmp_vm *vm) {
  vm->warning.on = vm->warning.continues = false;
  lua_setwarnf(L, warn, vm);
}

/* stack: vm, io, files */
static void guard_open(lua_State *L, const char *name) {
  if (lua_getfield(L, 2, name) == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, open_file, 2);
    lua_setfield(L, 2, name);
  }
  lua_settop(L, 3);
}

static void guard_io(lua_State *L, lmp_vm *vm) { /* stack: vm, io */
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  guard_open(L, "open");
  guard_open(L, "tmpfile");
  if (lua_getfield(L, 2, "popen") == LUA_TNIL) return;
  lua_pushlightuserdata(L, vm);
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, popen_read_or_write, 2);
  lua_setfield(L, 2, "popen");
}

void lmp_guard_libraries(lua_State *L, lmp_vm *vm) { /* stack: vm */
  if (lua_getglobal(L, "print") != LUA_TNIL) {
    lua_pushcfunction(L, print_line);
    lua_setglobal(L, "print");
  }
  lua_settop(L, 1);
  if (lua_getglobal(L, "os") == LUA_TTABLE) guard_os(L, vm);
  lua_settop(L, 1);
  if (lua_getglobal(L, "io") == LUA_TTABLE) guard_io(L, vm);
  lua_settop(L, 1);
  if (lua_getglobal(L, "package") == LUA_TTABLE) guard_searchers(L, vm);
  lua_settop(L, 1);
}
