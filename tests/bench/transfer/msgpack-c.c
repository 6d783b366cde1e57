/*
** msgpack-c.c - msgpack-c, the C library, with a writer and a reader of Lua values such as one has
** to write for it.
*/
#include <msgpack.h>

#include "transfer.h"

static msgpack_sbuffer buffer;

static void write_value(lua_State *L, msgpack_packer *packer, int index);

/* How many items a list has at keys 1, 2, 3 ... in order, and how many other pairs there are. */
static void measure(lua_State *L, int table, size_t *items, size_t *pairs) {
  *items = *pairs = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (*pairs == 0 && lua_isinteger(L, -1) && lua_tointeger(L, -1) == (lua_Integer)*items + 1)
      *items += 1;
    else
      *pairs += 1;
  }
}

static void write_table(lua_State *L, msgpack_packer *packer, int table) {
  size_t items, pairs;
  luaL_checkstack(L, 4, NULL);
  measure(L, table, &items, &pairs);
  if (pairs == 0) {
    msgpack_pack_array(packer, items);
    for (size_t i = 1; i <= items; i++) {
      lua_rawgeti(L, table, (lua_Integer)i);
      write_value(L, packer, lua_gettop(L));
      lua_pop(L, 1);
    }
    return;
  }
  msgpack_pack_map(packer, items + pairs);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    int value = lua_gettop(L);
    write_value(L, packer, value - 1);
    write_value(L, packer, value);
    lua_pop(L, 1);
  }
}

static void write_value(lua_State *L, msgpack_packer *packer, int index) {
  size_t size;
  const char *text;
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      lua_toboolean(L, index) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
      break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index))
        msgpack_pack_int64(packer, lua_tointeger(L, index));
      else
        msgpack_pack_double(packer, lua_tonumber(L, index));
      break;
    case LUA_TSTRING:
      text = lua_tolstring(L, index, &size);
      msgpack_pack_str(packer, size);
      msgpack_pack_str_body(packer, text, size);
      break;
    case LUA_TTABLE: write_table(L, packer, index); break;
    default: msgpack_pack_nil(packer);
  }
}

static void push_object(lua_State *L, const msgpack_object *object) {
  luaL_checkstack(L, 4, NULL);
  switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN: lua_pushboolean(L, object->via.boolean); break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: lua_pushinteger(L, (lua_Integer)object->via.i64); break;
    case MSGPACK_OBJECT_FLOAT64: lua_pushnumber(L, object->via.f64); break;
    case MSGPACK_OBJECT_STR: lua_pushlstring(L, object->via.str.ptr, object->via.str.size); break;
    case MSGPACK_OBJECT_ARRAY:
      lua_createtable(L, (int)object->via.array.size, 0);
      for (uint32_t i = 0; i < object->via.array.size; i++) {
        push_object(L, &object->via.array.ptr[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      break;
    case MSGPACK_OBJECT_MAP:
      lua_createtable(L, 0, (int)object->via.map.size);
      for (uint32_t i = 0; i < object->via.map.size; i++) {
        push_object(L, &object->via.map.ptr[i].key);
        push_object(L, &object->via.map.ptr[i].val);
        lua_rawset(L, -3);
      }
      break;
    default: lua_pushnil(L);
  }
}

static void transfer_encode(lua_State *L) {
  msgpack_packer packer;
  msgpack_sbuffer_clear(&buffer);
  msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
  write_value(L, &packer, 1);
}

static void transfer_decode(lua_State *L) {
  msgpack_unpacked unpacked;
  msgpack_unpacked_init(&unpacked);
  if (msgpack_unpack_next(&unpacked, buffer.data, buffer.size, NULL) != MSGPACK_UNPACK_SUCCESS)
    exit(1);
  push_object(L, &unpacked.data);
  msgpack_unpacked_destroy(&unpacked);
}

int main(int argc, char **argv) {
  static const bench_case cases[] = TRANSFER_CASES;
  transfer_open();
  msgpack_sbuffer_init(&buffer);
  return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
