#include "api/map.h"

#include "base/error.h"
#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/refusal.h"
#include "handles/handle.h"
#include "handles/outcome.h"
#include "handles/room.h"
#include "handles/submit.h"
#include "worker/vm.h"

/*
** map_chunk(function, list, first, count, seed or nil, on_error, name or nil, priority, pool or
** nil, offset or nil, deadline of waiting for room or nil) -> handle. list[first] is item `first +
** offset` of the whole: seeds and errors go by that.
*/
static int map_chunk(lua_State *L) {
  enum { FN = 1, LIST, FIRST, COUNT, SEED, ON_ERROR, NAME, PRIORITY, POOL, OFFSET, UNTIL, VALUES };
  lmp_context *context = lmp_context_of(L);
  lua_settop(L, UNTIL);
  lmp_encoding how = {.root = "args",
                      .direction = "to a worker",
                      .unnumbered = 5,
                      .list = LIST,
                      .list_first = lua_tointeger(L, FIRST),
                      .list_count = (uint32_t)lua_tointeger(L, COUNT),
                      .list_root = "list",
                      .list_offset = lua_tointeger(L, OFFSET)};
  mp_task_desc desc = MP_TASK_DESC_INIT;
  const lmp_run *run = context->vm == NULL ? NULL : context->vm->run;
  const lmp_payload payload = {.kind = LMP_CHUNK,
                               .dependencies = run == NULL ? 0 : (uint32_t)mp_task_id(run->task)};
  lmp_pool *pool = lmp_to_pool(L, context, POOL);
  desc.flags = MP_TASK_TIMED;
  desc.priority = (int)lua_tointeger(L, PRIORITY);
  lua_pushvalue(L, NAME);
  lua_pushvalue(L, FN);
  lua_pushinteger(L, how.list_first + how.list_offset);
  lua_pushvalue(L, SEED);
  lua_pushvalue(L, ON_ERROR);
  assert(lua_gettop(L) == VALUES + 4);
  lmp_buffer *buffer = lmp_submit_begin(L, pool);
  /* the Lua module raises it where map was called */
  if (!lmp_encode_values(L, context, buffer, &how, VALUES, 5)) {
    lua_pushnil(L);
    lmp_push_refusal(L, buffer, how.direction);
    return 2;
  }
  lmp_new_handle(L, context, NAME);
  double latest = lua_isnil(L, UNTIL) ? LMP_NEVER : lua_tonumber(L, UNTIL);
  return lmp_submit(L, context, buffer, &payload, &desc, lua_gettop(L), false, latest);
}

typedef struct collection {
  const lmp_handle *handle;
  lua_Integer first;
  uint32_t count;
} collection;

/* stack: collection, results, errors */
static int collect(lua_State *L) {
  collection *c = lua_touserdata(L, 1);
  lmp_decoder decoder;
  lmp_decode_begin(L, c->handle->context, mp_task_result(c->handle->task), &decoder, &c->count);
  for (uint32_t i = 0; i + 1 < c->count; i++) {
    lmp_decode_value(L, &decoder);
    lua_rawseti(L, 2, c->first + (lua_Integer)i);
  }
  lmp_decode_value(L, &decoder); /* {index, message, value, traceback} of each that failed */
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -1); i++) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
  }
  assert(lua_istable(L, -1) && c->count > 0);
  return 0;
}

/*
** collect_chunk(handle, results, first, errors) -> true and how many, or false and the error: fills
** results[first...], adds to errors
*/
static int collect_chunk(lua_State *L) {
  lmp_handle *handle = lmp_check_handle(L, 1);
  mp_task *task = handle->task;
  collection c = {.handle = handle, .first = lua_tointeger(L, 3)};
  lua_settop(L, 4);
  lua_getiuservalue(L, 1, LMP_HANDLE_NAME);
  lua_replace(L, 3);
  int name = lua_isnil(L, 3) ? 0 : 3;
  if (mp_task_state(task) != MP_STATE_DONE) {
    lmp_push_task_error(L, handle->context, task, name);
  } else if (mp_task_result(task) == NULL) { /* there was no memory for it */
    lmp_push_error(L, "memory", "%s", mp_status_text(MP_NOMEM));
  } else {
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 4);
    if (lmp_rebuild(L, handle->context, task, name, collect, &c, 2) >= 0) {
      lua_pushboolean(L, 1);
      lua_pushinteger(L, (lua_Integer)c.count - 1);
      return 2;
    }
  }
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

void lmp_open_map(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {
      {"map_chunk", map_chunk}, {"collect_chunk", collect_chunk}, {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
