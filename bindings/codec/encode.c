#include "codec/encode.h"

#include <string.h>

#include "base/compat.h"
#include "codec/function.h"
#include "codec/import.h"
#include "codec/names.h"
#include "codec/refusal.h"
#include "codec/value.h"

/*
** {======================================================
** Values
** =======================================================
*/

static bool encode_number(lua_State *L, lmp_buffer *buffer, int index) {
  if (!lua_isinteger(L, index)) {
    lua_Number n = lua_tonumber(L, index);
    return lmp_put_tagged(buffer, LMP_F64, &n, sizeof n);
  }
  lua_Integer i = lua_tointeger(L, index);
  if (i == (int8_t)i) {
    int8_t small = (int8_t)i;
    return lmp_put_tagged(buffer, LMP_I8, &small, sizeof small);
  }
  if (i == (int32_t)i) {
    int32_t medium = (int32_t)i;
    return lmp_put_tagged(buffer, LMP_I32, &medium, sizeof medium);
  }
  return lmp_put_tagged(buffer, LMP_I64, &i, sizeof i);
}

static bool encode_string(lua_State *L, lmp_buffer *buffer, int index) {
  size_t size;
  const char *s = lua_tolstring(L, index, &size);
  bool small = size < 256;
  size_t head = small ? 2 : 5;
  if (size > LMP_MESSAGE_BYTES_MAX) return lmp_refuse(buffer, "value too large (more than 2 GiB)");
  char *at = lmp_room(buffer, head + size);
  if (at == NULL) return false;
  at[0] = small ? LMP_STR8 : LMP_STR32;
  if (small) {
    at[1] = (char)(unsigned char)size;
  } else {
    uint32_t size32 = (uint32_t)size;
    memcpy(at + 1, &size32, sizeof size32);
  }
  memcpy(at + head, s, size);
  buffer->message.size += (uint32_t)(head + size);
  return true;
}

/* Numbers and short strings are most of what there is: no call for them. Others go the long way. */
static inline bool encode_inner(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                                int depth) {
  switch (lua_type(L, index)) {
    case LUA_TNUMBER: return encode_number(L, buffer, index);
    case LUA_TSTRING: return encode_string(L, buffer, index);
    default: return lmp_encode_value(L, context, buffer, index, depth, false);
  }
}

/*
** One pass: keys 1, 2, 3 ... in this order are items, whatever follows is pairs; the two counts are
** filled in afterwards.
*/
static bool encode_table(lua_State *L, lmp_context *context, lmp_buffer *buffer, int table,
                         int depth) {
  if (lmp_room(buffer, 9) == NULL) return false;
  uint32_t counts_at = buffer->message.size + 1, items = 0, pairs = 0;
  buffer->message.bytes[buffer->message.size] = LMP_TABLE;
  buffer->message.size += 9;
  assert(table > 0 && lua_istable(L, table));
  luaL_checkstack(L, 8, "value nested too deeply");
  lua_pushnil(L);
  int key = lua_gettop(L);
  while (lua_next(L, table)) { /* stack: key, value */
    bool item =
        pairs == 0 && lua_isinteger(L, key) && lua_tointeger(L, key) == (lua_Integer)items + 1;
    if (!item && !encode_inner(L, context, buffer, key, depth + 1)) {
      lmp_path_prepend(buffer, "[key]");
      return false;
    }
    if (!encode_inner(L, context, buffer, key + 1, depth + 1)) {
      lmp_path_key(L, buffer, key); /* an index: a refusal leaves values above it */
      return false;
    }
    if (item)
      items++;
    else
      pairs++;
    lua_pop(L, 1);
    assert(lua_gettop(L) == key);
  }
  memcpy(buffer->message.bytes + counts_at, &items, sizeof items);
  memcpy(buffer->message.bytes + counts_at + 4, &pairs, sizeof pairs);
  return true;
}

void lmp_forget_packed(lua_State *L, lmp_buffer *buffer) {
  if (buffer->packed_count == 0) return;
  luaL_unref(L, LUA_REGISTRYINDEX, buffer->packed);
  buffer->packed_count = 0;
}

/*
** Keeps the value on top until the message is done: what was written is known by its address, and
** what the value holds, too.
*/
static void keep_packed(lua_State *L, lmp_buffer *buffer) {
  LMP_HEIGHT(base, L);
  if (buffer->packed_count == 0) {
    lua_newtable(L);
    buffer->packed = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, buffer->packed);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, ++buffer->packed_count);
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
}

/* An object that is being packed, and those around it. */
struct lmp_packing {
  uint32_t number;
  const struct lmp_packing *outer;
};

/* It is not there yet where it is unpacked: nothing in its packed value can refer to it. */
static bool is_being_packed(const lmp_buffer *buffer, uint32_t number) {
  const struct lmp_packing *p = buffer->packing;
  while (p != NULL && p->number != number) p = p->outer;
  return p != NULL;
}

/* __mp_pack(object) gives a plain value in its place; the other side calls __mp_unpack(value). */
static bool encode_packed(lua_State *L, lmp_context *context, lmp_buffer *buffer, int object,
                          int depth) {
  const struct lmp_packing here = {buffer->objects - 1, buffer->packing};
  lua_pushvalue(L, object); /* stack: metatable, pack, object */
  lua_call(L, 1, 1);
  if (!lmp_put_tag(buffer, LMP_PACKED)) return false;
  keep_packed(L, buffer);
  buffer->packing = &here;
  bool ok = lmp_encode_value(L, context, buffer, lua_gettop(L), depth + 1, false);
  buffer->packing = here.outer;
  if (!ok) lmp_path_prepend(buffer, "<packed>");
  lua_pop(L, 1);
  return ok;
}

static bool encode_object(lua_State *L, lmp_context *context, lmp_buffer *buffer, int table,
                          int depth) {
  if (!lua_getmetatable(L, table)) return encode_table(L, context, buffer, table, depth);
  int metatable = lua_gettop(L);
  if (!lmp_put_tag(buffer, LMP_META) || !lmp_encode_metatable(L, context, buffer, metatable))
    return false;
  lua_pushliteral(L, "__mp_pack");
  bool ok;
  if (lua_rawget(L, metatable) == LUA_TFUNCTION) {
    ok = encode_packed(L, context, buffer, table, depth);
  } else {
    lua_pop(L, 1);
    ok = encode_table(L, context, buffer, table, depth);
  }
  if (ok) lua_settop(L, metatable - 1);
  return ok;
}

/* What has an identity: tables and functions. */
static bool encode_shared(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                          int depth) {
  bool table = lua_type(L, index) == LUA_TTABLE;
  if (depth > LMP_DEPTH_MAX)
    return lmp_refuse(buffer, "is nested deeper than %d tables", LMP_DEPTH_MAX);
  luaL_checkstack(L, 10, "value nested too deeply");
  const void *address = lua_topointer(L, index);
  uint32_t seen = lmp_identify(buffer, address, buffer->objects);
  if (buffer->memory) return false;
  if (seen != UINT32_MAX) {
    if (is_being_packed(buffer, seen))
      return lmp_refuse(buffer, "(a table) cannot be sent $direction: what __mp_pack returned for "
                                "it refers to it");
    buffer->shared = true;
    return lmp_put_tag_u32(buffer, LMP_REF, seen);
  }
  buffer->objects++;
  int import = table ? lmp_encode_import(L, context, buffer, index) : 0;
  if (import != 0) return import > 0;
  bool ok = table ? encode_object(L, context, buffer, index, depth)
                  : lmp_encode_function(L, context, buffer, index, depth);
  if (!ok) lmp_note_refused(L, context, buffer, index);
  return ok;
}

bool lmp_encode_environment(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                            int depth) {
  if (depth > LMP_DEPTH_MAX)
    return lmp_refuse(buffer, "is nested deeper than %d tables", LMP_DEPTH_MAX);
  luaL_checkstack(L, 10, "value nested too deeply");
  uint32_t seen = lmp_identify(buffer, lua_topointer(L, index), buffer->objects);
  if (buffer->memory) return false;
  if (seen != UINT32_MAX) {
    buffer->shared = true;
    return lmp_put_tag_u32(buffer, LMP_REF, seen);
  }
  buffer->objects++;
  int import = lmp_encode_import(L, context, buffer, index);
  if (import != 0) return import > 0;
  return lmp_put_tag(buffer, LMP_META) && lmp_put_tag(buffer, LMP_ENV) &&
         encode_table(L, context, buffer, index, depth);
}

static bool encode_userdata(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                            bool top) {
  const lmp_reference_kind *kind = lmp_find_reference(L, context, index);
  LMP_HEIGHT(base, L);
  int written = kind == NULL ? 0 : kind->encode(L, context, buffer, index, top);
  assert(written < 0 || lua_gettop(L) == base);
  return written == 0 ? lmp_refuse_userdata(L, buffer, index) : written > 0;
}

bool lmp_encode_value(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index, int depth,
                      bool top) {
  switch (lua_type(L, index)) {
    case LUA_TNIL: return lmp_put_tag(buffer, LMP_NIL);
    case LUA_TBOOLEAN: return lmp_put_tag(buffer, lua_toboolean(L, index) ? LMP_TRUE : LMP_FALSE);
    case LUA_TNUMBER: return encode_number(L, buffer, index);
    case LUA_TSTRING: return encode_string(L, buffer, index);
    case LUA_TTABLE:
    case LUA_TFUNCTION: return encode_shared(L, context, buffer, index, depth);
    case LUA_TUSERDATA: return encode_userdata(L, context, buffer, index, top);
    case LUA_TTHREAD:
      return lmp_refuse(buffer,
                        "(a coroutine) cannot be sent $direction: it cannot leave its Lua state");
    default:
      return lmp_refuse(
          buffer, "(light userdata) cannot be sent $direction: an address means nothing elsewhere");
  }
}

typedef struct attempt {
  lmp_context *context;
  lmp_buffer *buffer;
} attempt;

/* stack: attempt, value */
static int encode_attempted(lua_State *L) {
  const attempt *a = lua_touserdata(L, 1);
  lua_pushboolean(L, lmp_encode_value(L, a->context, a->buffer, 2, 0, false));
  return 1;
}

bool lmp_encode_attempt(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index) {
  attempt a = {context, buffer};
  int top = lua_gettop(L);
  uint32_t size = buffer->message.size, objects = buffer->objects, upvalues = buffer->upvalues;
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, encode_attempted);
  lua_pushlightuserdata(L, &a);
  lua_pushvalue(L, index);
  int status = lua_pcall(L, 2, 1, 0);
  if (status == LUA_ERRMEM) lua_error(L);
  bool ok = status == LUA_OK && lua_toboolean(L, -1);
  if (!ok) lmp_encode_rewind(buffer, size, objects, upvalues);
  lua_settop(L, top);
  return ok;
}

struct lmp_level {
  lmp_buffer buffer;
  /*
  ** Where on the C stack the message was begun. Whoever writes it is still at work only for code
  ** that runs further down, towards lower addresses: an error that ended it has unwound the stack.
  */
  const char *frame;
  struct lmp_level *below, *above;
  /* of the buffer's pool, which was closed while the message was written: it lasts so long */
  mp_bytes *keeper;
};

static bool is_in_use(const struct lmp_level *level, const char *here) {
  return level->buffer.message.size > 0 && level->frame > here;
}

/* Gives the buffer's memory back, and lets the pool go that was kept for it. */
static void free_level(struct lmp_level *level) {
  lmp_buffer_free(&level->buffer);
  if (level->keeper != NULL) mp_bytes_release(level->keeper);
  level->keeper = NULL;
}

/* A level, which the registry keeps. Finalisers may run. */
static struct lmp_level *make_level(lua_State *L) {
  luaL_checkstack(L, 2, NULL);
  struct lmp_level *level = lua_newuserdatauv(L, sizeof *level, 0);
  memset(level, 0, sizeof *level);
  (void)luaL_ref(L, LUA_REGISTRYINDEX);
  return level;
}

static struct lmp_level *level_above(lua_State *L, struct lmp_level *below) {
  if (below->above != NULL) return below->above;
  struct lmp_level *level = make_level(L);
  while (below->above != NULL) below = below->above; /* a finaliser has made some meanwhile */
  level->below = below;
  return below->above = level;
}

/* The innermost level of the code that calls from here. */
static struct lmp_level *find_level(lua_State *L, struct lmp_scratch *scratch, const char *here) {
  struct lmp_level *level = scratch->top;
  while (!is_in_use(level, here) && level->below != NULL) level = level->below;
  if (is_in_use(level, here)) level = level_above(L, level);
  return scratch->top = level;
}

void lmp_encode_prepare(lua_State *L, lmp_context *context) {
  (void)find_level(L, context->scratch, LMP_C_STACK());
}

lmp_buffer *lmp_encode_begin(lua_State *L, lmp_context *context, mp_pool *pool) {
  const char *here = LMP_C_STACK();
  struct lmp_level *level = find_level(L, context->scratch, here);
  lmp_buffer *buffer = &level->buffer;
  level->frame = here;
  lmp_forget_packed(L, buffer); /* an error may have left some */
  if (buffer->message.pool != pool) {
    free_level(level);
    buffer->message.pool = pool;
  }
  assert(buffer->message.pool == pool && pool != NULL);
  buffer->as_globals = false; /* an error may have left it so */
  lmp_encode_start(buffer);
  return buffer;
}

/* The value on top or at `index` was refused: where it stood. */
static void refused_at(lmp_buffer *buffer, const char *root, lua_Integer number) {
  char step[32];
  buffer->root = root;
  snprintf(step, sizeof step, "[%lld]", (long long)number);
  lmp_path_prepend(buffer, step);
}

static bool encode_items(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                         const lmp_encoding *how) {
  luaL_checkstack(L, 2, NULL);
  for (uint32_t i = 0; i < how->list_count; i++) {
    lua_rawgeti(L, how->list, how->list_first + i);
    if (!encode_inner(L, context, buffer, lua_gettop(L), 0)) {
      refused_at(buffer, how->list_root, how->list_first + how->list_offset + i);
      return false;
    }
    lua_pop(L, 1);
  }
  return true;
}

static bool encode_list(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                        const lmp_encoding *how, int first, int n) {
  int top = lua_gettop(L);
  bool ok = true;
  assert(first > 0 && first + n <= top + 1 && how->unnumbered <= n);
  for (int i = 0; i < n && ok; i++) {
    ok = lmp_encode_value(L, context, buffer, first + i, 0, how->dependencies);
    if (ok) continue;
    if (i >= how->unnumbered)
      refused_at(buffer, how->root, i + 1 - how->unnumbered);
    else
      buffer->root = "function";
  }
  ok = ok && (how->list == 0 || encode_items(L, context, buffer, how));
  if (ok)
    lmp_encode_finish(buffer, (uint32_t)n + how->list_count);
  else
    lua_settop(L, top);
  return ok;
}

/* As lmp_encode_values, once. */
static bool encode_once(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                        const lmp_encoding *how, int first, int n) {
  lua_Integer learnt = context->names->loaded_mark;
  if (buffer->memory) return false;
  bool done = encode_list(L, context, buffer, how, first, n);
  /* What was refused may belong to a module that was loaded since the names were learnt. */
  if (buffer->memory ||
      (!done && !lmp_refresh_names(L, context) && context->names->loaded_mark == learnt))
    return false;
  if (context->names->loaded_mark == learnt) return done;
  /* The names were learnt anew, perhaps on the way: what has one now must travel by it. */
  lmp_forget_packed(L, buffer);
  lmp_encode_start(buffer);
  return !buffer->memory && encode_list(L, context, buffer, how, first, n);
}

/*
** What was refused may travel after all, by a name that is in doubt: the other side looks whether
** it has the same.
*/
static bool encode_trusting(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                            const lmp_encoding *how, int first, int n) {
  const void *trusted[LMP_TRUSTED_MAX];
  for (uint32_t count = 0;; count++) {
    if (encode_once(L, context, buffer, how, first, n)) return true;
    if (buffer->memory || buffer->refused == NULL || count == LMP_TRUSTED_MAX) return false;
    if (buffer->as_globals && buffer->names_own) return false;
    trusted[count] = buffer->refused;
    lmp_forget_packed(L, buffer);
    lmp_encode_start(buffer);
    memcpy(buffer->trusted, trusted, sizeof trusted);
    buffer->trusted_count = count + 1;
  }
}

/*
** As lmp_encode_values. An environment is one for all functions of a message: that a later one
** needs its fields shows when an earlier one has been written without.
*/
static bool encode_all(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                       const lmp_encoding *how, int first, int n) {
  buffer->as_globals = true;
  buffer->names_own = false;
  bool done = encode_trusting(L, context, buffer, how, first, n);
  buffer->as_globals = false;
  if (done || buffer->memory || !buffer->names_own) return done;
  lmp_forget_packed(L, buffer);
  lmp_encode_start(buffer);
  return !buffer->memory && encode_trusting(L, context, buffer, how, first, n);
}

bool lmp_encode_values(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                       const lmp_encoding *how, int first, int n) {
  LMP_HEIGHT(base, L);
  bool done = encode_all(L, context, buffer, how, first, n);
  assert(lua_gettop(L) == base);
  lmp_forget_packed(L, buffer);
  return done;
}

/* }====================================================== */

void lmp_open_scratch(lua_State *L, lmp_context *context) {
  context->scratch->first = context->scratch->top = make_level(L);
}

bool lmp_scratch_free(lmp_context *context, mp_pool *pool) {
  const char *here = LMP_C_STACK();
  bool kept = true;
  for (struct lmp_level *level = context->scratch->first; level != NULL; level = level->above) {
    if (pool != NULL && level->buffer.message.pool != pool) continue;
    if (pool == NULL || !is_in_use(level, here))
      free_level(level);
    else if (level->keeper == NULL && mp_bytes_create(pool, "", 0, &level->keeper) != MP_OK)
      kept = false;
  }
  return kept;
}
