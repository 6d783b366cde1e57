/*
** key.c - the canonical encoding of arguments: equal bytes exactly for arguments that no plain
** function can tell apart by their contents.
**
** Every value says itself where it ends, so a list of values has one reading only. The order of a
** table's keys does not matter: its pairs are sorted by the key's bytes. Tables count by content,
** sharing and cycles included; what has no content that could be read (functions, userdata,
** coroutines, metatables) counts by identity: a number that its state never uses again. In a key
** that several states share there are no such numbers: there these must have a name (a module's, or
** that of mp.class).
**
**   nil false true          a tag
**   integer, float          a tag, 8 bytes; one NaN for all; -0.0 is not 0.0, 1 is not 1.0
**   string                  a tag, its length in 1 or 8 bytes, bytes
**   table                   TABLE, items 1, 2, 3 ...; PAIRS, key and value ...; END. Before it META
**                           and a name or number if it has a metatable
**   table seen before       REF and the how-manieth it was, from 0
**   others                  ID and 8 bytes, or NAME, a length in 4 bytes, and an IMPORT or CLASS as
**                           in value.h
*/
#include "codec/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/names.h"
#include "codec/value.h"

enum {
  NIL = 'n',
  FALSE_ = 'f',
  TRUE_ = 't',
  INTEGER = 'i',
  FLOAT = 'd',
  NAN_ = 'N',
  SHORT = 's',
  LONG = 'S',
  TABLE = 'T',
  PAIRS = 'p',
  END = 'e',
  META = 'M',
  REF = 'R',
  ID = '#',
  NAME = '@'
};

/* its address: registry key of [object] = number, weak keys; [1] = the last number given */
static const char ids_key;

typedef struct key {
  lua_State *L;
  lmp_context *context;
  bool shared; /* among states */
  char *bytes; /* `local`, or a userdata in `slot` */
  size_t size, capacity;
  /* stack indices: of the bytes; of [table] = number, or nil until there is a table */
  int slot, seen;
  uint32_t tables;
  char reason[128]; /* why a value was refused */
  char local[256];
} key;

static bool put_value(key *k, int index, int depth);

static bool refuse(key *k, const char *what, const char *why) {
  snprintf(k->reason, sizeof k->reason, "%s %s", what, why);
  return false;
}

static char *room(key *k, size_t size) {
  if (k->capacity - k->size < size) {
    size_t capacity = 2 * k->capacity > k->size + size ? 2 * k->capacity : k->size + size;
    char *more = lua_newuserdatauv(k->L, capacity, 0);
    memcpy(more, k->bytes, k->size);
    lua_replace(k->L, k->slot);
    k->bytes = more;
    k->capacity = capacity;
  }
  k->size += size;
  assert(k->size <= k->capacity);
  return k->bytes + k->size - size;
}

static bool put_tag(key *k, int tag) {
  *room(k, 1) = (char)tag;
  return true;
}

static bool put(key *k, int tag, const void *data, size_t size) {
  char *at = room(k, 1 + size);
  at[0] = (char)tag;
  memcpy(at + 1, data, size);
  return true;
}

static bool put_number(key *k, int index) {
  if (lua_isinteger(k->L, index)) {
    lua_Integer i = lua_tointeger(k->L, index);
    return put(k, INTEGER, &i, sizeof i);
  }
  lua_Number n = lua_tonumber(k->L, index);
  return n == n ? put(k, FLOAT, &n, sizeof n) : put_tag(k, NAN_);
}

static bool put_string(key *k, int index) {
  size_t size;
  const char *text = lua_tolstring(k->L, index, &size);
  unsigned char small = (unsigned char)size;
  if (small == size)
    put(k, SHORT, &small, 1);
  else
    put(k, LONG, &size, sizeof size);
  memcpy(room(k, size), text, size);
  return true;
}

static bool put_id(key *k, int index) {
  lua_State *L = k->L;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &ids_key) != LUA_TTABLE)
    luaL_error(L, "the table of identities is gone");
  int ids = lua_gettop(L);
  lua_pushvalue(L, index);
  if (lua_rawget(L, ids) == LUA_TNIL) {
    lua_rawgeti(L, ids, 1);
    lua_pushinteger(L, lua_tointeger(L, -1) + 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, ids, 1);
    lua_pushvalue(L, index);
    lua_pushvalue(L, -2);
    lua_rawset(L, ids);
  }
  lua_Integer id = lua_tointeger(L, -1);
  assert(id > 0);
  lua_settop(L, ids - 1);
  return put(k, ID, &id, sizeof id);
}

/*
** Writes the n strings on top, a class's name or module and field, as a message has them; pops
** them.
*/
static bool put_strings(key *k, int n) {
  lua_State *L = k->L;
  size_t sizes[2];
  uint32_t total = 1;
  assert(n == 1 || n == 2);
  for (int i = 0; i < n; i++) {
    (void)lua_tolstring(L, i - n, &sizes[i]);
    assert(sizes[i] <= LMP_NAME_MAX);
    total += 1 + (uint32_t)sizes[i];
  }
  put(k, NAME, &total, sizeof total);
  put_tag(k, n == 1 ? LMP_CLASS : LMP_IMPORT);
  for (int i = 0; i < n; i++) {
    put_tag(k, (int)(unsigned char)sizes[i]);
    memcpy(room(k, sizes[i]), lua_tostring(L, i - n), sizes[i]);
  }
  lua_pop(L, n);
  return true;
}

/*
** What a state that shares the key would find by name. A name in doubt could mean another function
** there.
*/
static bool put_name(key *k, int index, bool metatable) {
  int n = 0;
  if (metatable) {
    n = lmp_push_metatable_name(k->L, k->context, index);
  } else {
    lmp_name name = lmp_push_import_name(k->L, k->context, index);
    if (name.kind == LMP_NAME)
      n = 2;
    else if (name.kind != LMP_NO_NAME)
      lua_pop(k->L, 2);
  }
  if (n > 0) return put_strings(k, n);
  return refuse(k, metatable ? "the metatable of a table" : luaL_typename(k->L, index),
                "is in no module");
}

static bool put_opaque(key *k, int index) {
  if (!k->shared) return put_id(k, index);
  if (lua_isfunction(k->L, index)) return put_name(k, index, false);
  return refuse(k, luaL_typename(k->L, index), "means nothing in another state");
}

/*
** {======================================================
** Tables
** =======================================================
*/

typedef struct pair {
  const char *bytes; /* of the key's encoding, while sorting */
  size_t offset, size;
  lua_Integer number; /* in the list of keys */
} pair;

static int compare(const void *left, const void *right) {
  const pair *a = left, *b = right;
  int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
  return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool is_item(lua_State *L, int index, lua_Integer items) {
  return lua_isinteger(L, index) && lua_tointeger(L, index) >= 1 &&
         lua_tointeger(L, index) <= items;
}

static size_t count_pairs(lua_State *L, int table, lua_Integer items) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    n += !is_item(L, -1, items);
  }
  return n;
}

/* Writes the keys behind what there is, and lists them. Stack, at the end: pairs, keys */
static bool collect_keys(key *k, int table, lua_Integer items, pair *pairs, int depth) {
  lua_State *L = k->L;
  int keys = lua_gettop(L);
  lua_Integer n = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (is_item(L, -1, items)) continue;
    if (lua_istable(L, -1)) return refuse(k, "a table", "is the key of another table");
    pairs[n] = (pair){NULL, k->size, 0, n + 1};
    if (!put_value(k, lua_gettop(L), depth)) return false;
    pairs[n].size = k->size - pairs[n].offset;
    n++;
    lua_pushvalue(L, -1);
    lua_rawseti(L, keys, n);
  }
  for (lua_Integer i = 0; i < n; i++) pairs[i].bytes = k->bytes + pairs[i].offset;
  qsort(pairs, (size_t)n, sizeof *pairs, compare);
  return true;
}

/*
** The keys are written first, in whatever order they come; then the pairs behind them, sorted,
** which move to their place.
*/
static bool put_pairs(key *k, int table, lua_Integer items, int depth) {
  lua_State *L = k->L;
  size_t n = count_pairs(L, table, items), begin = k->size;
  if (n == 0) return true;
  pair *pairs = lua_newuserdatauv(L, n * sizeof *pairs, 0);
  lua_createtable(L, n < 1 << 20 ? (int)n : 1 << 20, 0);
  int keys = lua_gettop(L);
  if (!collect_keys(k, table, items, pairs, depth)) return false;
  size_t end = k->size;
  for (size_t i = 0; i < n; i++) {
    char *at = room(k, pairs[i].size);
    memcpy(at, k->bytes + pairs[i].offset, pairs[i].size);
    lua_rawgeti(L, keys, pairs[i].number);
    lua_rawget(L, table);
    if (!put_value(k, lua_gettop(L), depth)) return false;
    lua_pop(L, 1);
  }
  memmove(k->bytes + begin, k->bytes + end, k->size - end);
  k->size -= end - begin;
  assert(lua_gettop(L) == keys);
  lua_settop(L, keys - 2);
  return true;
}

/* True if the table was seen before, and is written so. */
static bool put_seen(key *k, int table) {
  lua_State *L = k->L;
  if (k->tables == 0) {
    lua_newtable(L);
    lua_replace(L, k->seen);
  }
  lua_pushvalue(L, table);
  bool seen = lua_rawget(L, k->seen) != LUA_TNIL;
  uint32_t number = (uint32_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (seen) return put(k, REF, &number, sizeof number);
  lua_pushvalue(L, table);
  lua_pushinteger(L, k->tables++);
  lua_rawset(L, k->seen);
  return false;
}

static bool put_table(key *k, int table, int depth) {
  lua_State *L = k->L;
  LMP_HEIGHT(base, L);
  if (depth > LMP_DEPTH_MAX) return refuse(k, "a table", "is nested too deeply");
  luaL_checkstack(L, 12, "arguments nested too deeply");
  if (put_seen(k, table)) return true;
  if (lua_getmetatable(L, table)) {
    put_tag(k, META);
    if (!(k->shared ? put_name(k, lua_gettop(L), true) : put_id(k, lua_gettop(L)))) return false;
    lua_pop(L, 1);
  }
  put_tag(k, TABLE);
  lua_Integer items = 0;
  for (; lua_rawgeti(L, table, items + 1) != LUA_TNIL; items++) {
    if (!put_value(k, lua_gettop(L), depth + 1)) return false;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
  put_tag(k, PAIRS);
  return put_pairs(k, table, items, depth + 1) && put_tag(k, END);
}

/* }====================================================== */

/* Writes the value at an absolute index; false with a reason, and things left on the stack. */
static bool put_value(key *k, int index, int depth) {
  switch (lua_type(k->L, index)) {
    case LUA_TNIL: return put_tag(k, NIL);
    case LUA_TBOOLEAN: return put_tag(k, lua_toboolean(k->L, index) ? TRUE_ : FALSE_);
    case LUA_TNUMBER: return put_number(k, index);
    case LUA_TSTRING: return put_string(k, index);
    case LUA_TTABLE: return put_table(k, index, depth);
    default: return put_opaque(k, index);
  }
}

/*
** key(shared, ...) -> the canonical encoding of the arguments, or nil and why there is none:
** "argument #2: a table is ..."
*/
static int make_key(lua_State *L) {
  key k;
  int last = lua_gettop(L);
  k.L = L;
  k.context = lmp_context_of(L);
  k.shared = lua_toboolean(L, 1);
  k.bytes = k.local;
  k.size = 0;
  k.capacity = sizeof k.local;
  k.tables = 0;
  luaL_checkstack(L, 12, NULL);
  lua_pushnil(L);
  lua_pushnil(L);
  k.slot = last + 1;
  k.seen = last + 2;
  for (int i = 2; i <= last; i++) {
    if (put_value(&k, i, 0)) continue;
    lua_pushnil(L);
    lua_pushfstring(L, "argument #%d: %s", i - 1, k.reason);
    return 2;
  }
  lua_pushlstring(L, k.bytes, k.size);
  return 1;
}

void lmp_open_key(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"key", make_key}, {NULL, NULL}};
  lua_createtable(L, 1, 0);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushinteger(L, 0);
  lua_rawseti(L, -2, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &ids_key);
  lmp_set_functions(L, context, functions);
}
