#include "api/handle_methods.h"

#include "base/compat.h"
#include "base/error.h"
#include "bug.h"
#include "handles/events.h"
#include "handles/outcome.h"
#include "handles/wait.h"
#include "worker/interrupt.h"

/* seconds: how long leaving the scope of a handle waits for its task to stop */
#define CLOSE_GRACE 0.1

/*
** {======================================================
** Outcomes
** =======================================================
*/

static bool is_over(const lmp_handle *handle) {
  return mp_state_is_terminal(mp_task_state(handle->task));
}

/* Values of the finished task, or its error raised. */
static int push_outcome(lua_State *L, const lmp_handle *handle) {
  int n = lmp_push_handle_outcome(L, handle->context, 1);
  return n < 0 ? lua_error(L) : n;
}

/* stack: handle */
static bool wait_for(lua_State *L, const lmp_handle *handle, bool owns, double deadline) {
  size_t index;
  if (!is_over(handle) && !lmp_wait(L, handle->context, mp_task_pool(handle->task), &handle->task,
                                    1, owns, deadline, &index))
    return false;
  lmp_settle(L, handle);
  lmp_free_pool(L, 1);
  return true;
}

static bool wait_until(lua_State *L, const lmp_handle *handle, double deadline) {
  return wait_for(L, handle, false, deadline);
}

static void push_label(lua_State *L, const lmp_handle *handle) {
  if (lua_getiuservalue(L, 1, LMP_HANDLE_NAME) == LUA_TSTRING)
    lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
  else
    lua_pushfstring(L, "task #%I", (LUAI_UACINT)mp_task_id(handle->task));
  lua_remove(L, -2);
}

static void push_not_finished(lua_State *L, const lmp_handle *handle) { /* stack: handle, timeout */
  push_label(L, handle);
  lmp_push_error(L, "timeout", "%s is not finished after %f s", lua_tostring(L, -1),
                 lua_tonumber(L, 2));
  lua_pushinteger(L, (lua_Integer)mp_task_id(handle->task));
  lua_setfield(L, -2, "task_id");
}

/* }====================================================== */

/*
** {======================================================
** Methods: results
** =======================================================
*/

static int handle_get(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  double deadline = lmp_check_deadline(L, 2);
  if (!wait_until(L, handle, deadline)) {
    push_not_finished(L, handle);
    return lua_error(L);
  }
  return push_outcome(L, handle);
}

static int handle_pget(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  double deadline = lmp_check_deadline(L, 2);
  int n = -1;
  if (wait_until(L, handle, deadline))
    n = lmp_push_handle_outcome(L, handle->context, 1);
  else
    push_not_finished(L, handle);
  int pushed = n < 0 ? 1 : n;
  lua_pushboolean(L, n >= 0);
  lua_insert(L, -pushed - 1);
  return pushed + 1;
}

static int handle_try_get(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  if (!is_over(handle)) {
    lua_pushboolean(L, 0);
    return 1;
  }
  int n = push_outcome(L, handle);
  lua_pushboolean(L, 1);
  lua_insert(L, -n - 1);
  return n + 1;
}

static int handle_wait(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  lua_pushboolean(L, wait_until(L, handle, lmp_check_deadline(L, 2)));
  return 1;
}

/*
** wait_own(handle, timeout): as handle:wait(timeout), for one that the caller cancels if the wait
** ends early.
*/
static int wait_own(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  lua_pushboolean(L, wait_for(L, handle, true, lmp_check_deadline(L, 2)));
  return 1;
}

/* As lua_resume with the results dropped; false: the error is on top of L. */
static bool resume_main(lua_State *L, lua_State *co) {
  int n, status = lua_resume(co, L, 0, &n);
  if (status == LUA_OK || status == LUA_YIELD) {
    lua_pop(co, n);
    return true;
  }
  lua_xmove(co, L, 1);
  return false;
}

static bool resume_in_task(lua_State *L, lua_State *co) {
  int n = lmp_resume(L, co, 0);
  if (n > 0) lua_pop(L, n);
  return n >= 0;
}

/*
** resume(): called when the task that a coroutine awaits has ended. Upvalue 2: the coroutine; 3: a
** table whose [1] is true as long as it awaits. Whoever resumes it otherwise meanwhile lets it look
** again; when it is done with awaiting, what it yields is not for us.
*/
static int resume_awaiting(lua_State *L) {
  const lmp_context *context = lmp_context_of(L);
  lua_State *co = lua_tothread(L, lua_upvalueindex(2));
  luaL_checkstack(L, 8, NULL);
  bool awaits = lua_rawgeti(L, lua_upvalueindex(3), 1) != LUA_TNIL;
  if (!awaits || lua_status(co) != LUA_YIELD) return 0;
  if (context->vm != NULL ? resume_in_task(L, co) : resume_main(L, co)) return 0;
  luaL_traceback(L, co, luaL_tolstring(L, -1, NULL), 0); /* stack: error, its text, all */
  if (context->vm != NULL)
    lmp_close_coroutine(L, co); /* what it has open is closed */
  else if (lmp_closethread(co, L) != LUA_OK)
    lua_pop(co, 1);
  return lua_error(L);
}

static int await_again(lua_State *L, int status, lua_KContext kcontext) { /* stack: handle, table */
  lmp_handle *handle = lmp_check_handle(L, 1);
  (void)status;
  (void)kcontext;
  lua_settop(L, 2);
  if (!is_over(handle)) return lua_yieldk(L, 0, 0, await_again);
  lua_pushnil(L);
  lua_rawseti(L, 2, 1);
  lua_settop(L, 1);
  return push_outcome(L, handle);
}

/* await(): in a coroutine, yields until the task has ended; elsewhere waits */
static int handle_await(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  lua_settop(L, 1);
  if (is_over(handle)) return push_outcome(L, handle);
  if (!lua_isyieldable(L)) return handle_get(L);
  lua_createtable(L, 1, 0); /* 2 */
  lua_pushboolean(L, 1);
  lua_rawseti(L, 2, 1);
  lua_pushlightuserdata(L, handle->context);
  lua_pushthread(L);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, resume_awaiting, 3);
  lmp_on(L, handle->context, 1, LMP_ON_END, 3);
  return await_again(L, LUA_OK, 0);
}

/* }====================================================== */

/*
** {======================================================
** Methods: state
** =======================================================
*/

static int handle_is_ready(lua_State *L) {
  lua_pushboolean(L, is_over(lmp_check_handle(L, 1)));
  return 1;
}

static int handle_is_cancelled(lua_State *L) {
  lua_pushboolean(L, mp_task_state(lmp_check_handle(L, 1)->task) == MP_STATE_CANCELLED);
  return 1;
}

static int handle_status(lua_State *L) {
  lua_pushstring(L, lmp_state_name(mp_task_state(lmp_check_handle(L, 1)->task)));
  return 1;
}

static int handle_id(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_task_id(lmp_check_handle(L, 1)->task));
  return 1;
}

static int handle_name(lua_State *L) {
  lmp_check_handle(L, 1);
  lua_getiuservalue(L, 1, LMP_HANDLE_NAME);
  return 1;
}

static int handle_progress(lua_State *L) {
  lua_pushnumber(L, mp_task_progress(lmp_check_handle(L, 1)->task));
  return 1;
}

/*
** elapsed() -> seconds since it was submitted, of these waiting, of these running; frozen at the
** end
*/
static int handle_elapsed(lua_State *L) {
  uint64_t queued_ns, run_ns;
  mp_task_times(lmp_check_handle(L, 1)->task, &queued_ns, &run_ns);
  lua_pushnumber(L, lmp_from_ns(queued_ns + run_ns));
  lua_pushnumber(L, lmp_from_ns(queued_ns));
  lua_pushnumber(L, lmp_from_ns(run_ns));
  return 3;
}

static int handle_elapsed_time(lua_State *L) {
  handle_elapsed(L);
  lua_pop(L, 2);
  return 1;
}

static int handle_timeout(lua_State *L) {
  uint64_t timeout_ns = mp_task_timeout(lmp_check_handle(L, 1)->task);
  if (timeout_ns == 0)
    lua_pushnil(L);
  else
    lua_pushnumber(L, lmp_from_ns(timeout_ns));
  return 1;
}

/*
** Ends it: at once if it has not started; else it is asked to stop, and has until `deadline` to do
** so by itself.
*/
static void cancel_until(lua_State *L, const lmp_handle *handle, double deadline) {
  if (mp_cancel(handle->task) || is_over(handle)) return;
  if (deadline > 0) wait_until(L, handle, deadline);
  mp_cancel_now(handle->task);
}

/* cancel([grace]) -> is the outcome `cancelled`? It is decided when this returns */
static int handle_cancel(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  cancel_until(L, handle, lua_isnoneornil(L, 2) ? 0 : lmp_now() + lmp_to_seconds(L, 2, "grace"));
  lua_pushboolean(L, mp_task_state(handle->task) == MP_STATE_CANCELLED ||
                         (MP_BUGGY(CANCEL_LIES) && mp_task_cancel_requested(handle->task)));
  return 1;
}

static int handle_close(lua_State *L) {
  lmp_handle *handle = lua_touserdata(L, 1);
  if (handle->task != NULL) cancel_until(L, handle, lmp_now() + CLOSE_GRACE);
  return 0;
}

static int handle_tostring(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  push_label(L, handle);
  lua_pushfstring(L, "handle of %s (%s)", lua_tostring(L, -1),
                  lmp_state_name(mp_task_state(handle->task)));
  return 1;
}

static int handle_eq(lua_State *L) {
  lua_pushboolean(L, lmp_to_task(L, 1) != NULL && lmp_to_task(L, 1) == lmp_to_task(L, 2));
  return 1;
}

/* }====================================================== */

/*
** {======================================================
** Methods: metadata and callbacks
** =======================================================
*/

static void push_metadata(lua_State *L) {
  lmp_push_extra(L, 1);
  luaL_getsubtable(L, -1, "metadata");
}

static int handle_metadata(lua_State *L) {
  lmp_check_handle(L, 1);
  push_metadata(L);
  return 1;
}

static int handle_set_metadata(lua_State *L) {
  lmp_check_handle(L, 1);
  luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "a key expected");
  luaL_argcheck(L, lua_rawequal(L, 2, 2), 2, "a key expected, got NaN");
  lua_settop(L, 3);
  push_metadata(L);
  lua_insert(L, 2);
  lua_pop(L, 1);
  lua_settable(L, 2);
  lua_settop(L, 1);
  return 1;
}

static int handle_get_metadata(lua_State *L) {
  lmp_check_handle(L, 1);
  lua_settop(L, 2);
  push_metadata(L);
  lua_pushvalue(L, 2);
  lua_gettable(L, -2);
  return 1;
}

static int add_callback(lua_State *L, lmp_event event) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  lmp_on(L, handle->context, 1, event, 2);
  lua_settop(L, 1);
  return 1;
}

static int handle_on_complete(lua_State *L) { return add_callback(L, LMP_ON_COMPLETE); }
static int handle_on_error(lua_State *L) { return add_callback(L, LMP_ON_ERROR); }
static int handle_on_progress(lua_State *L) { return add_callback(L, LMP_ON_PROGRESS); }
static int watch(lua_State *L) { return add_callback(L, LMP_ON_END); }

/* }====================================================== */

/*
** {======================================================
** Several at once
** =======================================================
*/

/*
** wait_any(handles, count, deadline) -> index of one that has ended, or nil at the deadline;
** entries that are false are skipped
*/
static int wait_any(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  double deadline = luaL_optnumber(L, 3, LMP_NEVER);
  mp_task *few[16], **tasks = few;
  mp_pool *pool = NULL;
  size_t found;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argcheck(L, n >= 0 && n < INT32_MAX, 2, "bad count");
  if (n > 16) tasks = lua_newuserdatauv(L, (size_t)n * sizeof *tasks, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    /* the table keeps it */
    tasks[i] = lua_toboolean(L, -1) ? lmp_check_handle(L, lua_gettop(L))->task : NULL;
    if (tasks[i] != NULL) pool = mp_task_pool(tasks[i]);
    lua_pop(L, 1);
  }
  if (pool == NULL || !lmp_wait(L, context, pool, tasks, (size_t)n, false, deadline, &found))
    return 0;
  lua_rawgeti(L, 1, (lua_Integer)found + 1);
  const lmp_handle *handle = luaL_testudata(L, -1, LMP_HANDLE); /* callbacks may change the list */
  if (handle != NULL) lmp_settle(L, handle);
  lua_pushinteger(L, (lua_Integer)found + 1);
  return 1;
}

static int is_handle(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, LMP_HANDLE) != NULL);
  return 1;
}

static int now(lua_State *L) {
  lua_pushnumber(L, lmp_now());
  return 1;
}

/* deadline(timeout) -> the time `timeout` seconds from now; nil for nil */
static int deadline(lua_State *L) {
  double at = lmp_check_deadline(L, 1);
  if (at >= LMP_NEVER) return 0;
  lua_pushnumber(L, at);
  return 1;
}

/* }====================================================== */

void lmp_open_handle(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {{"__close", handle_close},
                                  {"__tostring", handle_tostring},
                                  {"__eq", handle_eq},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"get", handle_get},
                                     {"pget", handle_pget},
                                     {"try_get", handle_try_get},
                                     {"wait", handle_wait},
                                     {"await", handle_await},
                                     {"is_ready", handle_is_ready},
                                     {"is_cancelled", handle_is_cancelled},
                                     {"status", handle_status},
                                     {"id", handle_id},
                                     {"name", handle_name},
                                     {"progress", handle_progress},
                                     {"elapsed", handle_elapsed},
                                     {"timeout", handle_timeout},
                                     {"cancel", handle_cancel},
                                     {"metadata", handle_metadata},
                                     {"set_metadata", handle_set_metadata},
                                     {"get_metadata", handle_get_metadata},
                                     {"on_complete", handle_on_complete},
                                     {"on_error", handle_on_error},
                                     {"on_progress", handle_on_progress},
                                     /* as the Python package spells them */
                                     {"cancel_with_timeout", handle_cancel},
                                     {"elapsed_time", handle_elapsed_time},
                                     {"get_name", handle_name},
                                     {"get_task_id", handle_id},
                                     {"get_progress", handle_progress},
                                     {"get_timeout", handle_timeout},
                                     {"get_all_metadata", handle_metadata},
                                     {NULL, NULL}};
  static const luaL_Reg functions[] = {{"wait_any", wait_any},
                                       {"wait_own", wait_own},
                                       {"is_handle", is_handle},
                                       {"watch", watch},
                                       {"now", now},
                                       {"deadline", deadline},
                                       {NULL, NULL}};
  lmp_new_class(L, context, LMP_HANDLE, meta, methods);
  lmp_handles_begin(L, context);
  lmp_set_functions(L, context, functions);
}
