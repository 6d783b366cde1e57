#include "api/intask.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handles/handle.h"
#include "handles/pool.h"
#include "handles/wait.h"
#include "worker/interrupt.h"

#define READ_MAX ((size_t)64 << 10) /* bytes of the input at a time */

static lmp_run *current_run(lmp_context *context) {
  return context->vm == NULL ? NULL : context->vm->run;
}

static lmp_run *need_run(lua_State *L, const char *what) {
  lmp_run *run = current_run(lmp_context_of(L));
  if (run == NULL) luaL_error(L, "%s: no task is running here", what);
  return run;
}

/* The task that an id or a handle at `arg` names: by id only one that runs on this worker. */
static mp_task *named_task(lua_State *L, int arg) {
  mp_task *task = lmp_to_task(L, arg);
  if (task != NULL) return task;
  if (!lua_isinteger(L, arg)) luaL_typeerror(L, arg, "handle or a task's id");
  lua_Integer id = lua_tointeger(L, arg);
  for (const lmp_run *run = current_run(lmp_context_of(L)); run != NULL; run = run->outer)
    if ((lua_Integer)mp_task_id(run->task) == id) return run->task;
  luaL_error(
      L, "report_progress: no task with id %I runs on this worker (a handle works from anywhere)",
      (LUAI_UACINT)id);
  return NULL;
}

/* A number before a number is an id; a fraction before one is a fraction with a wrong note. */
static bool names_task(lua_State *L) {
  int type = lua_type(L, 1);
  if (type == LUA_TNUMBER) return lua_isinteger(L, 1) && lua_type(L, 2) == LUA_TNUMBER;
  return lua_gettop(L) > 1 && (type == LUA_TUSERDATA || lua_type(L, 2) == LUA_TNUMBER);
}

/* report_progress([handle or id,] fraction [, note]) */
static int report_progress(lua_State *L) {
  int arg = names_task(L) ? 2 : 1;
  mp_task *task = arg == 2 ? named_task(L, 1) : need_run(L, "report_progress")->task;
  if (lua_type(L, arg) != LUA_TNUMBER) luaL_typeerror(L, arg, "number");
  double progress = lua_tonumber(L, arg);
  if (!(progress >= 0 && progress <= 1)) {
    lua_pushfstring(L, "progress must be a number from 0 to 1, got %f", (LUAI_UACNUMBER)progress);
    luaL_argerror(L, arg, lua_tostring(L, -1));
  }
  int note = arg + 1;
  if (!lua_isnoneornil(L, note) && lua_type(L, note) != LUA_TSTRING)
    luaL_typeerror(L, note, "a note, a string,");
  size_t size = 0;
  const char *text = luaL_optlstring(L, note, NULL, &size);
  lmp_check(L, mp_task_report(task, progress, text, size));
  return 0;
}

/*
** cancelled() -> was the running task asked to stop? A task that saw true counts as cancelled
** however it ends.
*/
static int cancelled(lua_State *L) {
  lmp_run *run = current_run(lmp_context_of(L));
  bool asked = run != NULL && mp_worker_cancelled(run->worker);
  if (asked) run->saw_cancel = true;
  lua_pushboolean(L, asked);
  return 1;
}

/*
** pause(seconds): as sleep, but callbacks run meanwhile, and the worker's seat is free: for long
** waits that nobody needs to see as a busy worker
*/
static int pause_seconds(lua_State *L) {
  lmp_sleep_until(L, lmp_context_of(L), lmp_now() + lmp_to_seconds(L, 1, "pause"));
  return 0;
}

/*
** sleep(seconds): in a task ends with an error as soon as the task is cancelled; elsewhere
** callbacks run meanwhile
*/
static int sleep_seconds(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  double seconds = lmp_to_seconds(L, 1, "sleep");
  lmp_run *run = current_run(context);
  if (run == NULL) {
    lmp_sleep_until(L, context, lmp_now() + seconds);
    return 0;
  }
  if (mp_worker_sleep(run->worker, lmp_to_ns(seconds)) == MP_OK) return 0;
  return lmp_raise_cancelled(L, run);
}

/* current() -> handle of the running task, or nil */
static int current(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  const lmp_run *run = current_run(context);
  if (run == NULL) return 0;
  if (run->name != NULL)
    lua_pushstring(L, run->name);
  else
    lua_pushnil(L);
  lmp_push_handle(L, context, run->task, lua_gettop(L));
  return 1;
}

/*
** world() -> a table for what the Lua modules keep: the running task's, which goes with it, or
** where none runs the state's
*/
static int world(lua_State *L) {
  /* its address is the registry key of the state's */
  static const char state_key;
  lmp_run *run = current_run(lmp_context_of(L));
  int type = run != NULL ? lua_rawgeti(L, LUA_REGISTRYINDEX, run->world)
                         : lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  if (type != LUA_TNIL) return 1;
  lua_newtable(L);
  lua_pushvalue(L, -1);
  if (run != NULL)
    run->world = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return 1;
}

static int get_current_task_id(lua_State *L) {
  const lmp_run *run = current_run(lmp_context_of(L));
  if (run == NULL)
    lua_pushnil(L);
  else
    lua_pushinteger(L, (lua_Integer)mp_task_id(run->task));
  return 1;
}

/* is_slow() -> may a read of the input wait for long? Not where it is a file */
static int is_slow(lua_State *L) {
  struct stat status;
  lua_pushboolean(L, fstat(STDIN_FILENO, &status) != 0 || !S_ISREG(status.st_mode));
  return 1;
}

/*
** read_some() -> what the input has, as soon as it has any; "" when a signal came first, nil at the
** end. Beside what C's stdin has read already
*/
static int read_some(lua_State *L) {
  luaL_Buffer buffer;
  char *space = luaL_buffinitsize(L, &buffer, READ_MAX);
  ssize_t n = read(STDIN_FILENO, space, READ_MAX);
  if (n < 0 && errno != EINTR) return luaL_error(L, "cannot read: %s", strerror(errno));
  if (n == 0) return 0;
  luaL_pushresultsize(&buffer, n < 0 ? 0 : (size_t)n);
  return 1;
}

void lmp_open_intask(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"report_progress", report_progress},
                                       {"cancelled", cancelled},
                                       {"sleep", sleep_seconds},
                                       {"read_some", read_some},
                                       {"is_slow", is_slow},
                                       {"pause", pause_seconds},
                                       {"current", current},
                                       {"world", world},
                                       {"get_current_task_id", get_current_task_id},
                                       {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
