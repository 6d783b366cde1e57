#include "worker/call.h"

#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/failure.h"
#include "codec/function.h"
#include "codec/import.h"
#include "codec/refusal.h"
#include "worker/fail.h"
#include "worker/hooks.h"
#include "worker/payload.h"

static const lmp_encoding result_encoding = {.root = "result", .direction = "back"};

/*
** {======================================================
** Results
** =======================================================
*/

/*
** Takes the message out of the buffer: into the place of the argument if it is small, else into
** memory of its own. NULL: no memory.
*/
static lmp_message *take_result(lmp_run *run, lmp_buffer *buffer) {
  const lmp_message *m = &buffer->message;
  lmp_payload *payload = run->payload;
  if (m->attachment_count > 0 || m->size > LMP_INLINE_MIN - sizeof *payload)
    return lmp_encode_take(buffer);
  lmp_drop_payload(payload);
  payload->message =
      (lmp_message){.pool = m->pool, .bytes = (char *)(payload + 1), .size = m->size};
  assert(sizeof *payload + m->size <= LMP_INLINE_MIN);
  memcpy(payload->message.bytes, m->bytes, m->size);
  lmp_buffer_reset(buffer);
  return &payload->message;
}

/*
** The buffer takes over the memory of the arguments, which have been decoded, if that is larger
** than its own: the memory is there, and in the cache. What has been written moves along.
*/
static void reuse_argument(lmp_run *run, lmp_buffer *buffer) {
  lmp_message *argument = &run->payload->message, *m = &buffer->message;
  if (argument->bytes == NULL || argument->capacity <= m->capacity) return;
  assert(m->size <= argument->capacity && argument->pool == m->pool);
  lmp_message small = *argument;
  small.bytes = m->bytes;
  small.capacity = m->capacity;
  if (m->size > 0) memcpy(argument->bytes, m->bytes, m->size); /* 0: there was no memory to begin */
  m->bytes = argument->bytes;
  m->capacity = argument->capacity;
  memset(argument, 0, sizeof *argument);
  lmp_message_clear(&small);
}

/* "result[1].file (userdata 'FILE*') cannot be sent back from task 'load' <main.lua:30>: ..." */
static void refuse_result(lua_State *L, lmp_run *run, const lmp_buffer *buffer, int function) {
  lmp_encoding how = result_encoding;
  char where[100];
  lmp_describe_function(L, function, where, sizeof where);
  const char *at = strchr(where, '<');
  if (run->name != NULL)
    how.direction = lua_pushfstring(L, "back from task '%s' %s", run->name, at != NULL ? at : "");
  else
    how.direction = lua_pushfstring(L, "back from %s", where);
  lmp_push_refusal(L, buffer, how.direction);
  lmp_fail(L, run, "send", false);
}

/* }====================================================== */

/*
** {======================================================
** Calling
** =======================================================
*/

static void push_dependency_table(lua_State *L, int first, uint32_t n) {
  LMP_HEIGHT(base, L);
  assert(n > 0 && base >= first + (int)n - 1);
  lua_createtable(L, (int)n, 1);
  for (uint32_t i = 0; i < n; i++) {
    lua_pushvalue(L, first + (int)i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
  lua_replace(L, first);
  if (n > 1) { /* the other values go to the top, and off it */
    lua_rotate(L, first + 1, 1 - (int)n);
    lua_pop(L, (int)n - 1);
  }
  assert(lua_gettop(L) == base + 1 - (int)n && lua_istable(L, first));
}

void lmp_find_function(lua_State *L, lmp_run *run, int function) {
  LMP_HEIGHT(base, L);
  if (lua_type(L, function) == LUA_TSTRING) { /* "module.fn" */
    size_t size;
    const char *name = lua_tolstring(L, function, &size);
    if (run->span != NULL) lmp_trace_name(run->span, name);
    lmp_push_named(L, run->vm->context, name, size);
    lua_replace(L, function);
  } else if (run->span != NULL) {
    char where[100];
    lmp_describe_function(L, function, where, sizeof where);
    lmp_trace_name(run->span, where);
  }
  if (run->span != NULL && run->name != NULL) lmp_trace_name(run->span, run->name);
  assert(lua_gettop(L) == base);
}

void lmp_run_call(lua_State *L, lmp_run *run, lmp_decoder *decoder, uint32_t count, int handler) {
  uint32_t dependencies = run->payload->dependencies;
  int base = lua_gettop(L); /* stack from base: name, function, arguments */
  luaL_checkstack(L, (int)count + 10, "too many arguments");
  for (uint32_t i = 0; i < count; i++) lmp_decode_value(L, decoder);
  lmp_decode_end(L, decoder);
  assert(lua_gettop(L) == base + (int)count);
  run->name = lua_tostring(L, base + 1);
  lmp_find_function(L, run, base + 2);
  if (dependencies == 0) {
    lua_newtable(L);
    lua_pushinteger(L, 0);
    lua_setfield(L, -2, "n");
    lua_insert(L, base + 3);
  } else if (dependencies != LMP_NO_TABLE) {
    push_dependency_table(L, base + 3, dependencies);
  }
  lua_pushvalue(L, base + 2);
  lua_insert(L, base + 2); /* one copy stays below the call, to name the function in errors */
  int status = lua_pcall(L, lua_gettop(L) - base - 3, LUA_MULTRET, handler);
  lmp_hook_off(L, run->vm);
  if (lmp_was_cancelled(run)) {
    run->status = MP_CANCELLED;
    if (status != LUA_OK) lmp_forget_traceback(L);
    return;
  }
  if (status != LUA_OK) {
    lmp_fail_run(L, run, status);
    return;
  }
  lmp_context *context = run->vm->context;
  lmp_buffer *buffer = lmp_encode_begin(L, context, mp_worker_pool(run->worker));
  reuse_argument(run, buffer);
  if (!lmp_encode_values(L, context, buffer, &result_encoding, base + 3,
                         lua_gettop(L) - base - 2)) {
    refuse_result(L, run, buffer, base + 2);
    return;
  }
  run->result = take_result(run, buffer);
  if (run->result == NULL) run->status = MP_NOMEM;
}

/* }====================================================== */
