/*
** ours.c - the bindings' own format, as a task's arguments take it: into a message in memory of the
** pool, and out of it.
*/
#include "transfer.h"
#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/refusal.h"
#include "handles/pool.h"
#include "makeparallel_lua.h"

static lmp_message *message;

static lmp_context *open_core(lua_State *L) {
  luaL_requiref(L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_settop(L, 0);
  return lmp_context_get(L);
}

static void transfer_encode(lua_State *L) {
  static const lmp_encoding how = {.root = "args", .direction = "to a worker"};
  lmp_context *context = lmp_context_get(L);
  lmp_buffer *buffer = lmp_encode_begin(L, context, context->pools->default_pool->pool);
  if (!lmp_encode_values(L, context, buffer, &how, 1, 1))
    lmp_raise_refusal(L, buffer, how.direction);
  message = lmp_encode_take(buffer);
}

static void transfer_decode(lua_State *L) {
  lmp_decode_all(L, lmp_context_get(L), message);
  lmp_message_free(message);
}

int main(int argc, char **argv) {
  static const bench_case cases[] = TRANSFER_CASES;
  transfer_open();
  lmp_default_pool(sender, open_core(sender));
  lua_settop(sender, 0);
  open_core(receiver);
  return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
