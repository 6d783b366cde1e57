#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/value.h"
#include "handles/handle.h"
#include "handles/pool.h"
#include "makeparallel_lua.h"

#define CONSTANT ((size_t)64 << 10)
#define TIMES 16
/* six bytes stand for a handle, eight for a function of any size */
#define TIMES_ATTACHED 256
#define GARBAGE_MAX ((size_t)4 << 20) /* collected when there is more */

typedef struct harness {
  lua_State *L;
  size_t bytes, most; /* of Lua memory: now, and at most since it was set */
  size_t clean;       /* bytes after the last collection */
  lmp_context *context;
  lmp_attachment attachments[6];
} harness;

static harness *open_harness; /* the fuzzer has nowhere else to keep it */

static void *counted_realloc(void *ud, void *block, size_t size_old, size_t size_new) {
  harness *h = ud;
  h->bytes += size_new - (block == NULL ? 0 : size_old);
  if (h->bytes > h->most) h->most = h->bytes;
  if (size_new != 0) return realloc(block, size_new);
  free(block);
  return NULL;
}

static void collect(harness *h) {
  lua_gc(h->L, LUA_GCRESTART);
  lua_gc(h->L, LUA_GCCOLLECT);
  lua_gc(h->L, LUA_GCSTOP); /* what an input allocates is counted, garbage or not */
  h->clean = h->bytes;
}

/* What messages refer to: two functions, a task, a dependency; beside these a cache and a meter. */
static const char setup[] =
    "local core = ...\n"
    "core.class('point', {__mp_unpack = function(v) return {v} end})\n"
    "core.class('plain', {})\n"
    "local a, b = 1, 2\n"
    "local done = core.parallel(function() return {1} end, {name = 'done'})()\n"
    "done:get()\n"
    "return function() return print end, function() return a, b end, done\n";

static void attach_code(harness *h, int i, int index) {
  static const lmp_encoding how = {.root = "args", .direction = "to a worker"};
  lmp_buffer *buffer = lmp_encode_begin(h->L, h->context, h->context->pools->default_pool->pool);
  if (!lmp_encode_values(h->L, h->context, buffer, &how, index, 1)) abort();
  h->attachments[i] = buffer->message.attachments[0];
  mp_bytes_retain(h->attachments[i].object);
}

static void attach(harness *h, int i, int tag, void *object) {
  h->attachments[i] = (lmp_attachment){lmp_reference_of(h->context, tag), object};
}

static void attach_task(harness *h, int i, int index, int tag) {
  mp_task *task = lmp_to_task(h->L, index);
  mp_task_retain(task);
  attach(h, i, tag, task);
}

static void attach_shared(harness *h, int i) {
  const mp_cache_config config = MP_CACHE_CONFIG_INIT;
  mp_cache *cache;
  mp_meter *meter;
  if (mp_cache_create(&config, &cache) != MP_OK || mp_meter_create(NULL, &meter) != MP_OK) abort();
  attach(h, i, LMP_SHARED_CACHE, cache);
  attach(h, i + 1, LMP_SHARED_METER, meter);
}

void harness_open(void) {
  if (open_harness != NULL) return;
  harness *h = open_harness = calloc(1, sizeof *h);
  if (h == NULL) abort();
  h->L = lua_newstate(counted_realloc, h);
  luaL_openlibs(h->L);
  lua_settop(h->L, 0);
  if (luaL_loadstring(h->L, setup) != LUA_OK) abort();
  luaL_requiref(h->L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_getfield(h->L, -1, "pool");
  lua_getupvalue(h->L, -1, 1);
  h->context = lua_touserdata(h->L, -1);
  lua_pop(h->L, 2);
  lua_call(h->L, 1, 3);
  attach_code(h, 0, 1);
  attach_code(h, 1, 2);
  attach_task(h, 2, 3, LMP_HANDLE_REF);
  attach_task(h, 3, 3, LMP_DEPENDENCY);
  attach_shared(h, 4);
  lua_settop(h->L, 0);
  collect(h);
}

/*
** stack: light userdata message, light userdata harness. Each value is dropped when the next is
** wanted.
*/
static int decode(lua_State *L) {
  const lmp_message *message = lua_touserdata(L, 1);
  const harness *h = lua_touserdata(L, 2);
  lmp_decoder decoder;
  uint32_t count;
  lmp_decode_begin(L, h->context, message, &decoder, &count);
  decoder.inert = true;
  int top = lua_gettop(L);
  for (uint32_t i = 0; i < count; i++) {
    lmp_decode_value(L, &decoder);
    if (lua_gettop(L) != top + 1) abort(); /* one value, whatever it is */
    lua_settop(L, top);
  }
  lmp_decode_end(L, &decoder);
  return 0;
}

/* True if it is a message; *cost: memory it took at most. */
static bool decode_once(harness *h, lmp_message *message, size_t *cost) {
  lua_State *L = h->L;
  size_t before = h->most = h->bytes;
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, message);
  lua_pushlightuserdata(L, h);
  int status = lua_pcall(L, 2, 0, 0);
  *cost = h->most - before;
  lua_settop(L, 0);
  return status == LUA_OK;
}

/*
** Too much may be the string table that grew for earlier inputs: it counts only when it happens in
** a clean state.
*/
static void check_cost(harness *h, lmp_message *message, size_t cost, size_t limit) {
  if (cost <= limit) return;
  collect(h);
  (void)decode_once(h, message, &cost);
  if (cost <= limit) return;
  fprintf(stderr, "%zu bytes of input cost %zu bytes of memory, at most %zu are allowed\n",
          (size_t)message->size, cost, limit);
  abort();
}

bool harness_decode(const unsigned char *bytes, size_t size, bool attached) {
  harness *h = open_harness;
  lmp_message message = {.pool = h->context->pools->default_pool->pool, .size = (uint32_t)size};
  size_t cost;
  if (h->bytes > h->clean + GARBAGE_MAX) collect(h);
  message.bytes = malloc(size + (size == 0)); /* a block of its own: a read beyond it is found */
  if (message.bytes == NULL) abort();
  if (size > 0) memcpy(message.bytes, bytes, size);
  if (attached) {
    message.attachments = h->attachments;
    message.attachment_count = sizeof h->attachments / sizeof h->attachments[0];
  }
  bool good = decode_once(h, &message, &cost);
  check_cost(h, &message, cost, (attached ? TIMES_ATTACHED : TIMES) * size + CONSTANT);
  free(message.bytes);
  return good;
}
