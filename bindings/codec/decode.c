#include "codec/decode.h"

#include <string.h>

#include "base/compat.h"
#include "bug.h"
#include "codec/import.h"
#include "codec/value.h"

/*
** Hostile bytes: each read is checked, a count is never trusted further than the bytes behind it
** can fill, and depth is limited. A table is made with room for what its items and pairs could be
** at most, so no message makes us allocate beyond 16 times its size.
*/

#define ITEM_BYTES_MIN 1 /* of an item; it costs 16 bytes of table */
#define PAIR_BYTES_MIN 4 /* assumed of a pair when sizing; it costs up to 64 */

static void push_i64(lua_State *L, lmp_decoder *decoder) {
  lua_Integer value;
  memcpy(&value, lmp_take(L, decoder, sizeof value), sizeof value);
  lua_pushinteger(L, value);
}

static void push_i32(lua_State *L, lmp_decoder *decoder) {
  int32_t value;
  memcpy(&value, lmp_take(L, decoder, sizeof value), sizeof value);
  lua_pushinteger(L, value);
}

static void push_f64(lua_State *L, lmp_decoder *decoder) {
  lua_Number value;
  memcpy(&value, lmp_take(L, decoder, sizeof value), sizeof value);
  lua_pushnumber(L, value);
}

static void push_string(lua_State *L, lmp_decoder *decoder, size_t size) {
  const char *bytes = lmp_take(L, decoder, size);
  lua_pushlstring(L, bytes, size);
}

/*
** Pushes the next value if it is no table, function or attachment: most are not, and these need one
** stack slot and no depth.
*/
static inline bool decode_plain(lua_State *L, lmp_decoder *decoder) {
  switch ((unsigned char)*lmp_take(L, decoder, 1)) {
    case LMP_NIL: lua_pushnil(L); return true;
    case LMP_FALSE: lua_pushboolean(L, 0); return true;
    case LMP_TRUE: lua_pushboolean(L, 1); return true;
    case LMP_I8: lua_pushinteger(L, (signed char)*lmp_take(L, decoder, 1)); return true;
    case LMP_I32: push_i32(L, decoder); return true;
    case LMP_I64: push_i64(L, decoder); return true;
    case LMP_F64: push_f64(L, decoder); return true;
    case LMP_STR8: push_string(L, decoder, (unsigned char)*lmp_take(L, decoder, 1)); return true;
    case LMP_STR32: push_string(L, decoder, lmp_take_u32(L, decoder)); return true;
    default: decoder->at--; return false;
  }
}

static void decode_ref(lua_State *L, lmp_decoder *decoder) {
  uint32_t number = lmp_take_u32(L, decoder);
  if (decoder->refs == 0 || number >= decoder->objects)
    lmp_corrupt(L, decoder, "reference to nothing");
  if (lua_rawgeti(L, decoder->refs, (lua_Integer)number + 1) == LUA_TNIL)
    lmp_corrupt(L, decoder, "reference to nothing");
}

static int clamp(uint32_t count, size_t bytes, size_t least) {
  size_t most = bytes / least;
  if (most > INT32_MAX || MP_BUGGY(COUNT_TRUSTED)) most = INT32_MAX;
  return count < most ? (int)count : (int)most;
}

/*
** Pushes an item, key or value of a table. What comes behind it, in this table and around it, needs
** `claimed` bytes at least.
*/
static inline void decode_part(lua_State *L, lmp_decoder *decoder, int depth, size_t claimed) {
  assert(depth >= 0);
  if (decode_plain(L, decoder)) return;
  decoder->claimed = claimed;
  lmp_decode_at_depth(L, decoder, depth + 1);
}

static void decode_table(lua_State *L, lmp_decoder *decoder, int depth) {
  uint32_t items = lmp_take_u32(L, decoder), pairs = lmp_take_u32(L, decoder);
  size_t left = (size_t)(decoder->end - decoder->at), outer = decoder->claimed,
         rest = items + 2 * (size_t)pairs;
  left = left > outer ? left - outer : 0; /* the other bytes are for what is around this table */
  if (rest > left && !MP_BUGGY(COUNT_TRUSTED)) lmp_corrupt(L, decoder, "more items than bytes");
  luaL_checkstack(L, 8, "message nested too deeply");
  LMP_HEIGHT(base, L);
  lua_createtable(L, clamp(items, left, ITEM_BYTES_MIN), clamp(pairs, left, PAIR_BYTES_MIN));
  lmp_remember(L, decoder);
  rest += outer;
  for (uint32_t i = 1; i <= items; i++) {
    decode_part(L, decoder, depth, --rest);
    lua_rawseti(L, -2, i);
  }
  for (uint32_t i = 0; i < pairs; i++) {
    decode_part(L, decoder, depth, --rest);
    if (lua_isnil(L, -1) ||
        (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) != lua_tonumber(L, -1)))
      lmp_corrupt(L, decoder, "key is nil or NaN");
    decode_part(L, decoder, depth, --rest);
    lua_rawset(L, -3);
  }
  assert(lua_gettop(L) == base + 1);
  decoder->claimed = outer;
}

/*
** Metatable first, then the object: a table gets it when it is filled, a packed value is given to
** __mp_unpack.
*/
static void decode_object(lua_State *L, lmp_decoder *decoder, int depth) {
  int tag = (unsigned char)*lmp_take(L, decoder, 1);
  if (tag == LMP_CLASS)
    lmp_decode_class(L, decoder);
  else if (tag == LMP_IMPORT)
    lmp_decode_import(L, decoder);
  else
    lmp_corrupt(L, decoder, "no metatable");
  if (!lua_istable(L, -1))
    luaL_error(L, "metatable of a received value is a %s in this state", luaL_typename(L, -1));
  tag = (unsigned char)*lmp_take(L, decoder, 1);
  if (tag == LMP_TABLE) {
    decode_table(L, decoder, depth);
    lua_insert(L, -2);
    lua_setmetatable(L, -2);
  } else if (tag == LMP_PACKED) {
    uint32_t number = decoder->objects++; /* the object is numbered before its parts */
    lua_pushliteral(L, "__mp_unpack");
    if (lua_rawget(L, -2) != LUA_TFUNCTION)
      luaL_error(L, "a class with __mp_pack has no __mp_unpack in this state");
    lua_remove(L, -2);
    lmp_decode_at_depth(L, decoder, depth + 1);
    lua_call(L, 1, 1);
    if (decoder->refs != 0) {
      lua_pushvalue(L, -1);
      lua_rawseti(L, decoder->refs, (lua_Integer)number + 1);
    }
  } else {
    lmp_corrupt(L, decoder, "no object behind its metatable");
  }
}

/* What a tag that is not ours stands for knows whoever has registered its kind. */
static void decode_reference(lua_State *L, lmp_decoder *decoder, int depth) {
  const lmp_reference_kind *kind =
      lmp_reference_of(decoder->context, (unsigned char)decoder->at[-1]);
  if (kind == NULL) {
    decoder->at--;
    lmp_corrupt(L, decoder, "unknown tag");
  } else {
    LMP_HEIGHT(base, L);
    kind->decode(L, decoder, depth);
    assert(lua_gettop(L) == base + 1);
  }
}

void lmp_decode_at_depth(lua_State *L, lmp_decoder *decoder, int depth) {
  if (depth > LMP_DEPTH_MAX + 2) lmp_corrupt(L, decoder, "nested too deeply");
  luaL_checkstack(L, 8, "message nested too deeply");
  if (decode_plain(L, decoder)) return;
  switch ((unsigned char)*lmp_take(L, decoder, 1)) {
    case LMP_ENV:
      if (decoder->env != 0)
        lua_pushvalue(L, decoder->env);
      else
        lua_pushglobaltable(L);
      break;
    case LMP_TABLE: decode_table(L, decoder, depth); break;
    case LMP_META: decode_object(L, decoder, depth); break;
    case LMP_REF: decode_ref(L, decoder); break;
    case LMP_IMPORT:
      lmp_decode_import(L, decoder);
      lmp_remember(L, decoder);
      break;
    default: decode_reference(L, decoder, depth);
  }
}

void lmp_decode_begin(lua_State *L, lmp_context *context, const lmp_message *message,
                      lmp_decoder *decoder, uint32_t *count) {
  memset(decoder, 0, sizeof *decoder);
  decoder->message = message;
  decoder->context = context;
  decoder->at = message->bytes;
  decoder->end = message->bytes + message->size;
  const char *header = lmp_take(L, decoder, LMP_HEADER_SIZE);
  if (header[0] != LMP_FORMAT_VERSION) {
    decoder->at = message->bytes;
    lmp_corrupt(L, decoder, "unknown version");
  }
  if (header[1] & ~LMP_FLAG_SHARED) {
    decoder->at = message->bytes + 1;
    lmp_corrupt(L, decoder, "unknown flags");
  }
  memcpy(count, header + 2, sizeof *count);
  if (*count > (size_t)(decoder->end - decoder->at))
    lmp_corrupt(L, decoder, "more values than bytes");
  decoder->claimed = *count;
  if (header[1] & LMP_FLAG_SHARED) {
    luaL_checkstack(L, 1, NULL);
    lua_newtable(L);
    decoder->refs = lua_gettop(L);
  }
  assert(decoder->at <= decoder->end);
}

void lmp_decode_value(lua_State *L, lmp_decoder *decoder) {
  if (decoder->claimed > 0) decoder->claimed--;
  if (!decode_plain(L, decoder)) lmp_decode_at_depth(L, decoder, 0);
}

void lmp_decode_end(lua_State *L, lmp_decoder *decoder) {
  if (decoder->at != decoder->end) lmp_corrupt(L, decoder, "trailing bytes");
}

int lmp_decode_all(lua_State *L, lmp_context *context, const lmp_message *message) {
  LMP_HEIGHT(base, L);
  lmp_decoder decoder;
  uint32_t count;
  lmp_decode_begin(L, context, message, &decoder, &count);
  if (count > LMP_STACK_MAX) lmp_corrupt(L, &decoder, "too many values");
  luaL_checkstack(L, (int)count + 2, "too many values");
  for (uint32_t i = 0; i < count; i++) lmp_decode_value(L, &decoder);
  lmp_decode_end(L, &decoder);
  assert(lua_gettop(L) == base + (int)count + (decoder.refs != 0));
  return (int)count;
}

#define SIMPLE_BYTES_MAX 512

int lmp_decode_simple(lua_State *L, lmp_context *context, const lmp_message *message) {
  int base = lua_gettop(L);
  lmp_decoder decoder;
  uint32_t count;
  if (message == NULL) return 0;
  if (message->size > SIMPLE_BYTES_MAX) return -1;
  lmp_decode_begin(L, context, message, &decoder, &count);
  luaL_checkstack(L, (int)count + 2, "too many values");
  for (uint32_t i = 0; i < count; i++) {
    if (decode_plain(L, &decoder)) continue;
    lua_settop(L, base);
    return -1;
  }
  lmp_decode_end(L, &decoder);
  assert(decoder.refs == 0 || count == 0); /* nothing simple is shared */
  return (int)count;
}

void lmp_decode_first(lua_State *L, lmp_decoder *outer, const lmp_message *message) {
  lmp_decoder inner;
  uint32_t count;
  int base = lua_gettop(L);
  lmp_decode_begin(L, outer->context, message, &inner, &count);
  inner.env = outer->env;
  inner.beside = true;
  inner.number = outer->number;
  if (count == 0)
    lua_pushnil(L);
  else
    lmp_decode_value(L, &inner);
  outer->number = inner.number;
  lua_copy(L, -1, base + 1); /* the helper table may lie below it */
  lua_settop(L, base + 1);
}
