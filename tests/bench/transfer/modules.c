/*
** modules.c - Lua modules that turn a value into a string and back: `modules NAME [CASE [SCALE]]`.
** Ends with 1 if there is no such module.
*/
#include "transfer.h"

static int encoder, decoder; /* registry references, each in its state */
static char bytes[1 << 20];
static size_t size;

static void transfer_encode(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, encoder);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  const char *text = lua_tolstring(L, -1, &size);
  if (size > sizeof bytes) exit(1);
  memcpy(bytes, text, size); /* between two threads it would have to be */
}

static void transfer_decode(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, decoder);
  lua_pushlstring(L, bytes, size);
  lua_call(L, 1, 1);
}

/*
** A reference to the first of the functions that the module has. Debian has some modules in Lua for
** 5.3 only.
*/
static int find_function(lua_State *L, const char *module, const char *one, const char *other) {
  lua_pushfstring(L,
                  "package.path = package.path .. ';/usr/share/lua/5.3/?.lua' local m = require "
                  "'%s' return m['%s'] or m['%s']",
                  module, one, other);
  transfer_run(L, lua_tostring(L, -1), 0);
  int reference = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_settop(L, 0);
  return reference;
}

int main(int argc, char **argv) {
  static const bench_case cases[] = TRANSFER_CASES;
  if (argc < 2) return 1;
  transfer_open();
  encoder = find_function(sender, argv[1], "encode", "pack");
  decoder = find_function(receiver, argv[1], "decode", "unpack");
  if (argc == 2) return 0;
  return bench_main(argc - 1, argv + 1, cases, sizeof cases / sizeof *cases);
}
