#include "handles/outcome.h"

#include "base/error.h"
#include "codec/decode.h"
#include "codec/failure.h"
#include "worker/interrupt.h"

/* error object on top: who failed and when */
static void add_task(lua_State *L, mp_task *task, int name) {
  uint64_t queued_ns, run_ns;
  mp_task_times(task, &queued_ns, &run_ns);
  lua_pushinteger(L, (lua_Integer)mp_task_id(task));
  lua_setfield(L, -2, "task_id");
  lua_pushnumber(L, lmp_from_ns(queued_ns + run_ns));
  lua_setfield(L, -2, "elapsed");
  if (name == 0) return;
  lua_pushvalue(L, name);
  lua_setfield(L, -2, "task");
}

static void push_label(lua_State *L, mp_task *task, int name) {
  if (name != 0)
    lua_pushfstring(L, "task '%s'", lua_tostring(L, name));
  else
    lua_pushfstring(L, "task #%I", (LUAI_UACINT)mp_task_id(task));
}

/*
** {======================================================
** Rebuilding
** =======================================================
*/

/* A message that is decoded in a protected call. */
typedef struct rebuild {
  lmp_context *context;
  const lmp_message *message;
  lmp_decoder decoder;
} rebuild;

static int decode_results(lua_State *L) {
  const rebuild *r = lua_touserdata(L, 1);
  return lmp_decode_all(L, r->context, r->message);
}

/*
** Error value on top: its text takes its place. In a worker an end that cannot be caught goes on.
*/
static void caught(lua_State *L, const lmp_context *context) {
  if (context->vm != NULL && lmp_vm_caught(context->vm)) lmp_raise_stop(L);
  lmp_push_error_text(L);
  lua_remove(L, -2);
}

int lmp_rebuild(lua_State *L, lmp_context *context, mp_task *task, int name, lua_CFunction f,
                void *ud, int n) {
  int base = lua_gettop(L) - n;
  luaL_checkstack(L, 10, NULL);
  lua_pushcfunction(L, f);
  lua_insert(L, base + 1);
  lua_pushlightuserdata(L, ud);
  lua_insert(L, base + 2);
  int status = lua_pcall(L, n + 1, LUA_MULTRET, 0);
  if (status == LUA_OK) return lua_gettop(L) - base;
  caught(L, context);
  push_label(L, task, name);
  lmp_push_error(L, status == LUA_ERRMEM ? "memory" : "error",
                 "the result of %s cannot be rebuilt here: %s", lua_tostring(L, -1),
                 lua_tostring(L, -2));
  add_task(L, task, name);
  lua_copy(L, -1, base + 1);
  lua_settop(L, base + 1);
  return -1;
}

static int push_rebuilt(lua_State *L, lmp_context *context, mp_task *task, int name) {
  rebuild r = {.context = context, .message = mp_task_result(task)};
  return lmp_rebuild(L, context, task, name, decode_results, &r, 0);
}

static int decode_value(lua_State *L) {
  rebuild *r = lua_touserdata(L, 1);
  luaL_checkstack(L, 4, NULL);
  if (r->decoder.refs != 0) {
    lua_newtable(L);
    r->decoder.refs = lua_gettop(L);
  }
  lmp_decode_value(L, &r->decoder);
  lmp_decode_end(L, &r->decoder);
  return 1;
}

/*
** The last value of a failure, what the task raised, may be of a class that this state does not
** know: then the text tells why it is missing. stack: kind, message, traceback, name, has value
*/
static void push_raised(lua_State *L, rebuild *r, int base) {
  lua_pushcfunction(L, decode_value);
  lua_pushlightuserdata(L, r);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
  caught(L, r->context);
  lua_pushfstring(L, "%s\nnote: the value that was raised cannot be rebuilt here: %s",
                  lua_tostring(L, base + 2), lua_tostring(L, -1));
  lua_replace(L, base + 2);
  lua_pop(L, 1);
  lua_pushnil(L);
}

static void push_failure(lua_State *L, lmp_context *context, mp_task *task) {
  rebuild r = {.context = context, .message = mp_task_result(task)};
  uint32_t n;
  if (r.message == NULL) {
    lmp_push_error(L, "memory", "%s", mp_status_text(MP_NOMEM));
    return;
  }
  int top = lua_gettop(L);
  lmp_decode_begin(L, context, r.message, &r.decoder, &n);
  if (n != LMP_FAILURE_VALUES) luaL_error(L, "corrupt message: a failure of %d values", (int)n);
  int base = lua_gettop(L); /* a helper table may lie below */
  for (int i = 1; i < LMP_FAILURE_VALUES; i++) lmp_decode_value(L, &r.decoder);
  push_raised(L, &r, base);
  lmp_make_error(L);
  lua_copy(L, -1, top + 1);
  lua_settop(L, top + 1);
}

/* }====================================================== */

static void push_dependency_error(lua_State *L, lmp_context *context, mp_task *task, int name) {
  LMP_HEIGHT(base, L);
  mp_task *root = mp_task_cause(task);
  assert(root != NULL);
  /* the first of a chain is the one to know */
  while (mp_task_cause(root) != NULL) root = mp_task_cause(root);
  lmp_push_task_error(L, context, root, 0);
  lua_getfield(L, -1, "message"); /* stack: cause, its message */
  push_label(L, task, name);
  lmp_push_error(L, "dependency", "%s did not run: a task it depends on ended with: %s",
                 lua_tostring(L, -1), lua_tostring(L, -2));
  lua_pushvalue(L, -4);
  lua_setfield(L, -2, "cause");
  lua_replace(L, -4);
  lua_pop(L, 2);
  assert(lua_gettop(L) == base + 1);
}

void lmp_push_task_error(lua_State *L, lmp_context *context, mp_task *task, int name) {
  luaL_checkstack(L, 10, NULL);
  switch (mp_task_status(task)) {
    case MP_CANCELLED:
      push_label(L, task, name);
      lmp_push_error(L, "cancelled", "%s was cancelled", lua_tostring(L, -1));
      lua_remove(L, -2);
      break;
    case MP_TIMEOUT:
      push_label(L, task, name);
      lmp_push_error(L, "timeout", "%s timed out after %f s", lua_tostring(L, -1),
                     (LUAI_UACNUMBER)lmp_from_ns(mp_task_timeout(task)));
      lua_remove(L, -2);
      break;
    case MP_DEPENDENCY: push_dependency_error(L, context, task, name); break;
    default: push_failure(L, context, task); break;
  }
  add_task(L, task, name);
}

/* Most results are a few numbers and short texts, which nothing keeps from being made. */
int lmp_push_outcome(lua_State *L, lmp_context *context, mp_task *task, int name) {
  if (mp_task_state(task) == MP_STATE_DONE) {
    int n = lmp_decode_simple(L, context, mp_task_result(task));
    return n >= 0 ? n : push_rebuilt(L, context, task, name);
  }
  lmp_push_task_error(L, context, task, name);
  return -1;
}

int lmp_push_handle_outcome(lua_State *L, lmp_context *context, int index) {
  const lmp_handle *handle = lua_touserdata(L, index);
  luaL_checkstack(L, 10, NULL);
  index = lua_absindex(L, index);
  bool named = lua_getiuservalue(L, index, LMP_HANDLE_NAME) == LUA_TSTRING;
  int at = lua_gettop(L), n = lmp_push_outcome(L, context, handle->task, named ? at : 0);
  lua_remove(L, at);
  return n;
}

void lmp_push_handle_error(lua_State *L, lmp_context *context, int index) {
  const lmp_handle *handle = lua_touserdata(L, index);
  index = lua_absindex(L, index);
  bool named = lua_getiuservalue(L, index, LMP_HANDLE_NAME) == LUA_TSTRING;
  lmp_push_task_error(L, context, handle->task, named ? lua_gettop(L) : 0);
  lua_remove(L, -2);
}
