#include "worker/chunk.h"

#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/failure.h"
#include "codec/names.h"
#include "codec/refusal.h"
#include "codec/value.h"
#include "worker/call.h"
#include "worker/fail.h"
#include "worker/interrupt.h"
#include "worker/random.h"

typedef struct chunk {
  lmp_run *run;
  lmp_decoder *decoder;
  lmp_buffer *buffer; /* the chunk's own: a call may submit, which uses the context's */
  uint32_t count, at; /* how many items there are, and how many have been begun */
  lua_Integer first;  /* index of the first item in the whole list */
  lua_Integer seed;
  bool seeded;
  uint32_t size, objects, upvalues; /* of the buffer before the item at work */
} chunk;

static int buffer_gc(lua_State *L) {
  lmp_forget_packed(L, lua_touserdata(L, 1));
  lmp_buffer_free(lua_touserdata(L, 1));
  return 0;
}

/* A buffer that Lua owns, left on the stack. */
static lmp_buffer *push_buffer(lua_State *L, mp_pool *pool) {
  lmp_buffer *buffer = lua_newuserdatauv(L, sizeof *buffer, 0);
  memset(buffer, 0, sizeof *buffer);
  buffer->message.pool = pool;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, buffer_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lmp_encode_start(buffer);
  if (buffer->memory) luaL_error(L, "not enough memory");
  return buffer;
}

static void seed_item(lua_State *L, const chunk *c, int randomseed) {
  if (!c->seeded) return;
  if (lua_isnil(L, randomseed)) luaL_error(L, "this worker has no math.randomseed");
  lua_pushvalue(L, randomseed);
  lua_pushinteger(L, c->seed);
  lua_pushinteger(L, c->first + (lua_Integer)c->at - 1);
  lua_call(L, 2, 0);
}

static void encode_result(lua_State *L, chunk *c) { /* result on top */
  lmp_context *context = c->run->vm->context;
  lua_Integer learnt = context->names->loaded_mark;
  if (lmp_encode_value(L, context, c->buffer, lua_gettop(L), 0, false)) return;
  if (!c->buffer->memory &&
      (lmp_refresh_names(L, context) || context->names->loaded_mark != learnt)) {
    lmp_encode_rewind(c->buffer, c->size, c->objects, c->upvalues);
    if (lmp_encode_value(L, context, c->buffer, lua_gettop(L), 0, false)) return;
  }
  lmp_encoding how = {.root = "result", .direction = "back from a mapped function"};
  c->buffer->root = how.root;
  lmp_push_refusal(L, c->buffer, how.direction);
  lua_error(L);
}

/*
** Runs the items from `at` on until one raises. Stack: chunk, function, refs, env, what seeds.
*/
static int run_items(lua_State *L) {
  chunk *c = lua_touserdata(L, 1);
  assert(lua_gettop(L) == 5);
  if (c->decoder->refs != 0) c->decoder->refs = 3;
  if (c->decoder->env != 0) c->decoder->env = 4;
  while (c->at < c->count) {
    c->at++;
    c->size = c->buffer->message.size;
    c->objects = c->buffer->objects;
    c->upvalues = c->buffer->upvalues;
    seed_item(L, c, 5);
    lua_pushvalue(L, 2);
    lmp_decode_value(L, c->decoder);
    lua_call(L, 1, 1);
    encode_result(L, c);
    lmp_encode_separate(c->buffer); /* results of different calls share nothing */
    lmp_forget_packed(L, c->buffer);
    lua_pop(L, 1);
    assert(lua_gettop(L) == 5);
    if (mp_worker_cancelled(c->run->worker)) { /* between items a chunk stops by itself */
      c->run->saw_cancel = true;
      return 0;
    }
  }
  return 0;
}

/* The error value at `value` goes into the failure on top, if it can travel. */
static void keep_value(lua_State *L, chunk *c, int value) {
  uint32_t size = c->buffer->message.size, objects = c->buffer->objects,
           upvalues = c->buffer->upvalues;
  if (!lmp_encode_attempt(L, c->run->vm->context, c->buffer, value)) return;
  lmp_encode_rewind(c->buffer, size, objects, upvalues);
  lua_pushvalue(L, value);
  lua_setfield(L, -2, "value");
}

/*
** Error value on top: a nil takes the item's place, and the failure is kept in the table at
** `errors` for the end of the message.
*/
static void keep_error(lua_State *L, chunk *c, int errors) {
  LMP_HEIGHT(base, L);
  lmp_encode_rewind(c->buffer, c->size, c->objects, c->upvalues);
  lmp_forget_packed(L, c->buffer);
  if (!lmp_put_tag(c->buffer, LMP_NIL)) luaL_error(L, "not enough memory");
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, c->first + (lua_Integer)c->at - 1);
  lua_setfield(L, -2, "index");
  keep_value(L, c, lua_gettop(L) - 1);
  lmp_push_traceback(L);
  lua_setfield(L, -2, "traceback");
  lua_insert(L, -2); /* stack: failure, error value */
  lmp_push_error_text(L);
  lua_setfield(L, -3, "message");
  lua_pop(L, 1);
  lua_rawseti(L, errors, (lua_Integer)lua_rawlen(L, errors) + 1);
  assert(lua_gettop(L) == base - 1);
}

static void finish(lua_State *L, chunk *c, int errors) {
  assert(c->at <= c->count);
  if (!lmp_encode_value(L, c->run->vm->context, c->buffer, errors, 0, false))
    luaL_error(L, "not enough memory");
  lmp_encode_finish(c->buffer, c->at + 1);
  c->run->result = lmp_encode_take(c->buffer);
  if (c->run->result == NULL) c->run->status = MP_NOMEM;
}

void lmp_run_chunk(lua_State *L, lmp_run *run, lmp_decoder *decoder, uint32_t count, int handler) {
  enum { HEAD = 5 };
  int base = lua_gettop(L); /* from base: name, function, first index, seed, on_error */
  luaL_checkstack(L, 20, NULL);
  if (count < HEAD) lmp_corrupt(L, decoder, "not a chunk");
  for (int i = 0; i < HEAD; i++) lmp_decode_value(L, decoder);
  run->name = lua_tostring(L, base + 1);
  chunk c = {.run = run,
             .decoder = decoder,
             .count = count - HEAD,
             .first = lua_tointeger(L, base + 3),
             .seed = lua_tointeger(L, base + 4),
             .seeded = lua_isinteger(L, base + 4)};
  const char *on_error = luaL_checkstring(L, base + 5);
  /* "raise": the first failure is the chunk's. "keep": what came before it counts. */
  bool stop = strcmp(on_error, "raise") == 0, keep = strcmp(on_error, "keep") == 0;
  c.buffer = push_buffer(L, mp_worker_pool(run->worker));
  lua_newtable(L);
  int errors = lua_gettop(L), refs = decoder->refs, env = decoder->env;
  lmp_find_function(L, run, base + 2);
  while (c.at < c.count && !run->saw_cancel) {
    lua_pushcfunction(L, run_items);
    lua_pushlightuserdata(L, &c);
    lua_pushvalue(L, base + 2);
    if (refs != 0)
      lua_pushvalue(L, refs);
    else
      lua_pushnil(L);
    if (env != 0)
      lua_pushvalue(L, env);
    else
      lua_pushnil(L);
    lmp_push_randomseed(L, run->vm);
    int status = lua_pcall(L, 5, 0, handler);
    if (status == LUA_OK) continue;
    (void)lmp_vm_caught(run->vm); /* a luaL_Buffer tells a refusal as any error */
    if (status == LUA_ERRMEM || stop || run->stop != LMP_GOES_ON) {
      lmp_fail_run(L, run, status);
      return;
    }
    keep_error(L, &c, errors);
    if (keep) break;
  }
  if (run->saw_cancel)
    run->status = MP_CANCELLED;
  else
    finish(L, &c, errors);
}
