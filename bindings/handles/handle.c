#include "handles/handle.h"

#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/value.h"
#include "handles/ledger.h"

/*
** {======================================================
** Making and finding
** =======================================================
*/

lmp_handle *lmp_new_handle(lua_State *L, lmp_context *context, int name) {
  luaL_checkstack(L, 8, NULL);
  lmp_handle *handle = lua_newuserdatauv(L, sizeof *handle, 2);
  memset(handle, 0, sizeof *handle);
  handle->context = context;
  lmp_set_class(L, &context->handles->class);
  handle->entry = lmp_ledger_add(L, context);
  assert(handle->entry != 0 && lua_touserdata(L, -1) == handle);
  if (name != 0 && !lua_isnil(L, name)) {
    lua_pushvalue(L, name);
    lua_setiuservalue(L, -2, LMP_HANDLE_NAME);
  }
  return handle;
}

void lmp_push_handle(lua_State *L, lmp_context *context, mp_task *task, int name) {
  lmp_handle *handle = lmp_new_handle(L, context, name);
  mp_task_retain(task);
  lmp_handle_set(handle, task);
}

void lmp_handle_set(lmp_handle *handle, mp_task *task) {
  assert(handle->task == NULL && task != NULL);
  handle->task = task;
  lmp_ledger_hold(handle->context, handle->entry, task);
}

mp_task *lmp_to_task(lua_State *L, int index) {
  lmp_handle *handle = luaL_testudata(L, index, LMP_HANDLE);
  return handle == NULL ? NULL : handle->task;
}

lmp_handle *lmp_check_handle(lua_State *L, int index) {
  const lmp_context *context = lmp_context_of(L);
  lmp_handle *handle = lua_touserdata(L, index);
  if (handle == NULL || !lmp_has_class(L, index, &context->handles->class))
    luaL_typeerror(L, index, LMP_HANDLE);
  luaL_argcheck(L, handle->task != NULL, index, "handle was collected");
  return handle;
}

void lmp_push_extra(lua_State *L, int handle) {
  handle = lua_absindex(L, handle);
  if (lua_getiuservalue(L, handle, LMP_HANDLE_EXTRA) == LUA_TTABLE) return;
  lua_createtable(L, LMP_ON_END, 0);
  lua_insert(L, -2);
  lua_setfield(L, -2, "pool");
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, handle, LMP_HANDLE_EXTRA);
}

/* }====================================================== */

/*
** {======================================================
** Those that news is on its way to
** =======================================================
*/

void lmp_keep_handle(lua_State *L, lmp_handle *handle, int index) {
  assert(index > 0 && lua_touserdata(L, index) == handle);
  lua_rawgeti(L, LUA_REGISTRYINDEX, handle->context->handles->watched);
  lua_pushvalue(L, index);
  lua_rawsetp(L, -2, handle);
  lua_pop(L, 1);
  handle->watched = true;
}

void lmp_forget_handle(lua_State *L, lmp_handle *handle) {
  handle->watched = handle->follows = false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, handle->context->handles->watched);
  lua_pushnil(L);
  lua_rawsetp(L, -2, handle);
  lua_pop(L, 1);
}

void lmp_forget_pool(lua_State *L, lmp_context *context, const mp_pool *pool) {
  if (!lua_checkstack(L, 4)) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->handles->watched);
  lua_pushnil(L);
  while (lua_next(L, -2)) { /* stack: watched, key, handle */
    lmp_handle *handle = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (handle->task == NULL || mp_task_pool(handle->task) != pool) continue;
    handle->watched = handle->follows = false;
    lua_pushnil(L);
    lua_rawsetp(L, -3, handle);
  }
  lua_pop(L, 1);
}

/* }====================================================== */

/*
** {======================================================
** Travelling
** =======================================================
*/

static void retain_task(void *task) { mp_task_retain(task); }
static void release_task(void *task) { mp_task_release(task); }

static int encode_handle(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                         bool top);
static void decode_handle(lua_State *L, lmp_decoder *decoder, int depth);
static void decode_dependency(lua_State *L, lmp_decoder *decoder, int depth);

/* In a task's own result: a reference to the task itself would keep both for ever. */
static const lmp_reference_kind borrowed_kind = {.tag = LMP_HANDLE_REF};
static const lmp_reference_kind handle_kind = {.tag = LMP_HANDLE_REF,
                                               .class = LMP_HANDLE,
                                               .retain = retain_task,
                                               .release = release_task,
                                               .encode = encode_handle,
                                               .decode = decode_handle,
                                               .borrowed = &borrowed_kind};
/* A handle whose task's value the message waits for. */
static const lmp_reference_kind dependency_kind = {.tag = LMP_DEPENDENCY,
                                                   .retain = retain_task,
                                                   .release = release_task,
                                                   .decode = decode_dependency};

static int encode_handle(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                         bool top) {
  mp_task *task = ((const lmp_handle *)lua_touserdata(L, index))->task;
  if (task == NULL) return 0;
  if (top) return lmp_put_reference(buffer, &dependency_kind, task) ? 1 : -1;
  if (!lmp_put_reference(buffer, &handle_kind, task)) return -1;
  lua_getiuservalue(L, index, LMP_HANDLE_NAME);
  bool ok = lmp_encode_value(L, context, buffer, lua_gettop(L), 0, false);
  lua_pop(L, 1);
  return ok ? 1 : -1;
}

static void decode_handle(lua_State *L, lmp_decoder *decoder, int depth) {
  lmp_attachment *attachment = lmp_take_attachment(L, decoder, LMP_HANDLE_REF);
  lmp_decode_at_depth(L, decoder, depth + 1);
  if (lua_isnil(L, -1)) {
    lmp_push_handle(L, decoder->context, attachment->object, 0);
  } else {
    if (lua_type(L, -1) != LUA_TSTRING) lmp_corrupt(L, decoder, "a handle's name is no string");
    lmp_push_handle(L, decoder->context, attachment->object, lua_gettop(L));
  }
  lua_remove(L, -2);
  assert(lmp_to_task(L, -1) == attachment->object);
}

/*
** The first value another task returned. That task is done: it would not have let this one start
** otherwise.
*/
static void decode_dependency(lua_State *L, lmp_decoder *decoder, int depth) {
  const lmp_attachment *attachment = lmp_take_attachment(L, decoder, LMP_DEPENDENCY);
  const lmp_message *result = mp_task_result(attachment->object);
  (void)depth;
  if (result == NULL)
    lua_pushnil(L);
  else
    lmp_decode_first(L, decoder, result);
}

/* }====================================================== */

void lmp_handles_begin(lua_State *L, lmp_context *context) {
  context->handles->class = lmp_keep_class(L, LMP_HANDLE);
  context->handles->watched = lmp_new_table(L, NULL);
  lmp_add_reference(L, context, &handle_kind);
  lmp_add_reference(L, context, &dependency_kind);
  lmp_ledger_open(L, context);
}
