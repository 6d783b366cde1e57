#include "codec/function.h"

#include <stdio.h>
#include <string.h>

#include "base/compat.h"
#include "bug.h"
#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/import.h"
#include "codec/refusal.h"
#include "codec/value.h"

/*
** {======================================================
** Code
** =======================================================
*/

/* A function's bytecode, held once per content. */
typedef struct code {
  mp_bytes *bytes; /* a reference, or NULL */
  mp_pool *pool;
} code;

static int code_gc(lua_State *L) {
  code *c = luaL_checkudata(L, 1, LMP_CODE);
  mp_bytes *bytes = c->bytes;
  c->bytes = NULL;
  if (bytes != NULL) mp_bytes_release(bytes);
  return 0;
}

/*
** The code of the function at index if it was sent by value before, perhaps through another pool;
** or NULL.
*/
static const code *find_code(lua_State *L, const lmp_context *context, int index) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->codes->of_function);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  const code *c = lua_touserdata(L, -1); /* the table keeps it as long as the function lives */
  lua_pop(L, 2);
  return c;
}

/* The same made anew, or found by what the function dumps to. */
static const code *make_code(lua_State *L, const lmp_context *context, mp_pool *pool, int index) {
  int top = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->codes->of_function); /* top + 1 */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->codes->by_content);  /* top + 2 */
  lua_pushvalue(L, index);
  lmp_dump(L); /* top + 3 */
  lua_pushvalue(L, -1);
  code *c = NULL;
  if (lua_rawget(L, top + 2) != LUA_TNIL) c = lua_touserdata(L, -1);
  if (c == NULL || c->pool != pool) {
    size_t size;
    const char *bytes = lua_tolstring(L, top + 3, &size);
    lua_settop(L, top + 3);
    c = lua_newuserdatauv(L, sizeof *c, 0);
    c->bytes = NULL;
    c->pool = pool;
    luaL_setmetatable(L, LMP_CODE);
    lmp_check(L, mp_bytes_create(pool, bytes, size, &c->bytes));
    lua_pushvalue(L, top + 3);
    lua_pushvalue(L, -2);
    lua_rawset(L, top + 2);
  }
  lua_pushvalue(L, index);
  lua_pushvalue(L, -2);
  lua_rawset(L, top + 1);
  assert(c->pool == pool && c->bytes != NULL);
  lua_settop(L, top);
  return c;
}

void lmp_describe_function(lua_State *L, int index, char *text, size_t size) {
  lua_Debug ar;
  if (!lua_isfunction(L, index)) {
    snprintf(text, size, "a %s", luaL_typename(L, index));
    return;
  }
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &ar);
  if (*ar.what == 'C')
    snprintf(text, size, "a C function");
  else
    snprintf(text, size, "function <%s:%d>", ar.short_src, ar.linedefined);
}

static void path_upvalue(lua_State *L, lmp_buffer *buffer, int function, const char *name) {
  char step[160], where[100];
  if (buffer->memory) return;
  lmp_describe_function(L, function, where, sizeof where);
  snprintf(step, sizeof step, ".<upvalue '%.40s' of %s>", name, where);
  lmp_path_prepend(buffer, step);
}

/* Is the text a string of the function's code, as each global that it names is? */
static bool is_in_code(const mp_bytes *bytes, const char *text, size_t size) {
  size_t length;
  const char *at = mp_bytes_data(bytes, &length), *end = at + length;
  while (size > 0 && (size_t)(end - at) > size) {
    at = memchr(at + 1, *text, (size_t)(end - at) - size);
    if (at == NULL) return false;
    /* before a string stands its length and one, with a bit that depends on the version */
    bool whole = size > 100 || ((unsigned char)at[-1] & 0x7f) == size + 1;
    if (whole && memcmp(at, text, size) == 0) return true;
  }
  return false;
}

/* Does the function name a field that the table on top has of its own? */
static bool names_own(lua_State *L, const mp_bytes *bytes) {
  int table = lua_gettop(L);
  bool found = false;
  for (lua_pushnil(L); !found && lua_next(L, table); lua_pop(L, 1)) {
    size_t size;
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &size) : NULL;
    found = name != NULL && is_in_code(bytes, name, size);
  }
  lua_settop(L, table);
  return found;
}

typedef enum upvalue_kind { A_VALUE, THE_GLOBALS, ENVIRONMENT } upvalue_kind;

/*
** The upvalue on top: is it the globals? Or does it, as _ENV, read through to them, as test
** frameworks, sandboxes and modules make it: then it is an environment if what it has of its own is
** used, else as good as the globals, which are not sent.
*/
static upvalue_kind kind_of_upvalue(lua_State *L, lmp_buffer *buffer, const char *name,
                                    const mp_bytes *bytes) {
  int table = lua_gettop(L);
  if (!lua_istable(L, table)) return A_VALUE;
  luaL_checkstack(L, 5, NULL);
  lua_pushglobaltable(L);
  upvalue_kind kind = lua_rawequal(L, -1, table) ? THE_GLOBALS : A_VALUE;
  if (kind == A_VALUE && strcmp(name, "_ENV") == 0 && lua_getmetatable(L, table)) {
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    if (lua_rawequal(L, -1, table + 1)) kind = THE_GLOBALS;
    lua_pushliteral(L, "__name");
    bool named = lua_rawget(L, table + 2) == LUA_TSTRING;
    bool ours = named && strcmp(lua_tostring(L, -1), LMP_GLOBALS) == 0;
    lua_settop(L, table);
    if (kind == THE_GLOBALS && !ours) {
      bool own = names_own(L, bytes);
      if (own) buffer->names_own = true;
      if (own || !buffer->as_globals) kind = ENVIRONMENT;
    }
  }
  lua_settop(L, table);
  return kind;
}

static bool encode_upvalue_value(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                                 upvalue_kind kind, int depth) {
  int value = lua_gettop(L);
  if (!lmp_put_tag(buffer, LMP_UPVALUE)) return false;
  switch (kind) {
    case THE_GLOBALS: return lmp_put_tag(buffer, LMP_ENV);
    case ENVIRONMENT: return lmp_encode_environment(L, context, buffer, value, depth + 1);
    default: return lmp_encode_value(L, context, buffer, value, depth + 1, false);
  }
}

static bool encode_upvalue(lua_State *L, lmp_context *context, lmp_buffer *buffer, int function,
                           int n, const mp_bytes *bytes, int depth) {
  const char *name = lua_getupvalue(L, function, n); /* stack: value */
  upvalue_kind kind = kind_of_upvalue(L, buffer, name, bytes);
  if (kind == ENVIRONMENT && buffer->as_globals)
    return lmp_refuse(buffer, "cannot be sent $direction"); /* encode_all begins anew */
  uint32_t seen = lmp_identify(buffer, lua_upvalueid(L, function, n), buffer->upvalues);
  bool ok;
  if (buffer->memory) return false;
  if (seen != UINT32_MAX && !MP_BUGGY(UPVALUES_APART)) {
    buffer->shared = true;
    ok = lmp_put_tag_u32(buffer, LMP_UPVALUE_REF, seen);
  } else {
    buffer->upvalues++;
    ok = encode_upvalue_value(L, context, buffer, kind, depth);
    if (!ok) path_upvalue(L, buffer, function, name);
  }
  if (ok) lua_pop(L, 1);
  return ok;
}

static void decode_function(lua_State *L, lmp_decoder *decoder, int depth);
static void retain_code(void *bytes) { mp_bytes_retain(bytes); }
static void release_code(void *bytes) { mp_bytes_release(bytes); }

/* The attachment of a function is its bytecode. */
static const lmp_reference_kind code_kind = {
    .tag = LMP_FUNCTION, .retain = retain_code, .release = release_code, .decode = decode_function};

bool lmp_encode_function(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                         int depth) {
  const code *c = find_code(L, context, index);
  if (c == NULL || buffer->trusted_count > 0) {
    int import = lmp_encode_import(L, context, buffer, index);
    if (import != 0) return import > 0;
    if (lua_iscfunction(L, index)) return lmp_refuse_c_function(L, context, buffer, index);
  }
  if (c == NULL || c->pool != buffer->message.pool)
    c = make_code(L, context, buffer->message.pool, index);
  int n = 0;
  while (lua_getupvalue(L, index, n + 1) != NULL) {
    lua_pop(L, 1);
    n++;
  }
  /* the message keeps them; `c` may be replaced by what is sent while an upvalue is packed */
  const mp_bytes *bytes = c->bytes;
  if (!lmp_put_reference(buffer, &code_kind, c->bytes) || !lmp_put_tag(buffer, n)) return false;
  for (int i = 1; i <= n; i++)
    if (!encode_upvalue(L, context, buffer, index, i, bytes, depth)) return false;
  return true;
}

static void load_code(lua_State *L, const mp_bytes *bytes) {
  size_t size;
  const char *data = mp_bytes_data(bytes, &size);
  if (luaL_loadbufferx(L, data, size, "=(task)", "b") != LUA_OK) lua_error(L);
  /* Loading never collects garbage; where nothing else is allocated, nobody would. */
  lua_pushliteral(L, "");
  lua_pop(L, 1);
}

/*
** Has the function no upvalue but the globals? Then one function object serves every call. If it
** has one upvalue, its tag and that of its value are the next two bytes of the message.
*/
static bool is_plain(const lmp_decoder *decoder, int n) {
  if (decoder->env != 0) return n == 0;
  const char *at = decoder->at;
  return n == 0 || (n == 1 && decoder->end - at >= 2 && at[0] == LMP_UPVALUE && at[1] == LMP_ENV);
}

/* The function on top has n upvalues at least: nothing later joins or sets one it lacks. */
static void check_upvalues(lua_State *L, lmp_decoder *decoder, int n) {
  if (n == 0) return;
  if (lua_getupvalue(L, -1, n) == NULL)
    lmp_corrupt(L, decoder, "more upvalues than the function has");
  lua_pop(L, 1);
}

/*
** Is the function on top, made for an earlier message, as good as new? A task may have set its
** upvalue, which is to be the globals.
*/
static bool is_pristine(lua_State *L, int n) {
  if (n == 0 || lua_getupvalue(L, -1, 1) == NULL) return true;
  lua_pushglobaltable(L);
  bool pristine = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return pristine;
}

/*
** Does the message have the function on top already, for another function of the same code? A
** message with one attachment has one function.
*/
static bool is_given(lua_State *L, lmp_decoder *decoder) {
  struct lmp_codes *codes = decoder->context->codes;
  if (decoder->message->attachment_count < 2 && !decoder->beside) return false;
  if (decoder->number == 0) decoder->number = ++codes->messages;
  lua_rawgeti(L, LUA_REGISTRYINDEX, codes->given);
  lua_pushvalue(L, -2);
  bool given = lua_rawget(L, -2) != LUA_TNIL && lua_tointeger(L, -1) == decoder->number;
  lua_pop(L, 1);
  if (!given) {
    lua_pushvalue(L, -2);
    lua_pushinteger(L, decoder->number);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
  return given;
}

static void push_plain(lua_State *L, lmp_decoder *decoder, const mp_bytes *bytes, int n) {
  lua_Integer id = (lua_Integer)mp_bytes_id(bytes);
  lua_rawgeti(L, LUA_REGISTRYINDEX, decoder->context->codes->loaded);
  if (lua_rawgeti(L, -1, id) == LUA_TNIL || !is_pristine(L, n) || is_given(L, decoder)) {
    lua_pop(L, 1);
    load_code(L, bytes); /* sets the first upvalue to the globals */
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, id);
    (void)is_given(L, decoder);
  }
  lua_remove(L, -2);
  check_upvalues(L, decoder, n);
  decoder->at += 2 * n;
  decoder->upvalues += (uint32_t)n;
  lmp_remember(L, decoder);
  if (n == 0 || decoder->refs == 0) return;
  lua_pushvalue(L, -1); /* another function of the message may share its _ENV */
  lua_rawseti(L, decoder->refs, -2 * (lua_Integer)decoder->upvalues);
  lua_pushinteger(L, 1);
  lua_rawseti(L, decoder->refs, -2 * (lua_Integer)decoder->upvalues - 1);
}

/*
** The n-th upvalue of a message, from 1, is known by its function, in refs[-2n], and by its place
** in that function, in refs[-2n - 1].
*/
static void remember_upvalue(lua_State *L, lmp_decoder *decoder, int function, int i) {
  lua_Integer n = (lua_Integer)++decoder->upvalues;
  if (decoder->refs == 0) return;
  lua_pushvalue(L, function);
  lua_rawseti(L, decoder->refs, -2 * n);
  lua_pushinteger(L, i);
  lua_rawseti(L, decoder->refs, -2 * n - 1);
}

static void join_upvalue(lua_State *L, lmp_decoder *decoder, int function, int i) {
  LMP_HEIGHT(base, L);
  lua_Integer n = (lua_Integer)lmp_take_u32(L, decoder) + 1;
  if (decoder->refs == 0 || n > (lua_Integer)decoder->upvalues)
    lmp_corrupt(L, decoder, "reference to no upvalue");
  if (lua_rawgeti(L, decoder->refs, -2 * n) != LUA_TFUNCTION ||
      lua_rawgeti(L, decoder->refs, -2 * n - 1) != LUA_TNUMBER)
    lmp_corrupt(L, decoder, "reference to no upvalue");
  assert(lua_gettop(L) == base + 2);
  lua_upvaluejoin(L, function, i, lua_gettop(L) - 1, (int)lua_tointeger(L, -1));
  lua_pop(L, 2);
}

static void decode_function(lua_State *L, lmp_decoder *decoder, int depth) {
  const lmp_attachment *attachment = lmp_take_attachment(L, decoder, LMP_FUNCTION);
  int n = (unsigned char)*lmp_take(L, decoder, 1);
  if (is_plain(decoder, n)) {
    push_plain(L, decoder, attachment->object, n);
    return;
  }
  load_code(L, attachment->object);
  check_upvalues(L, decoder, n);
  int function = lua_gettop(L);
  lmp_remember(L, decoder); /* before its upvalues, of which the function may be one */
  for (int i = 1; i <= n; i++) {
    int tag = (unsigned char)*lmp_take(L, decoder, 1);
    if (tag == LMP_UPVALUE_REF) {
      join_upvalue(L, decoder, function, i);
      continue;
    }
    if (tag != LMP_UPVALUE) lmp_corrupt(L, decoder, "no upvalue");
    remember_upvalue(L, decoder, function, i);
    lmp_decode_at_depth(L, decoder, depth + 1);
    lua_setupvalue(L, function, i);
    assert(lua_gettop(L) == function);
  }
}

static void decode_source(lua_State *L, lmp_decoder *decoder, int depth) {
  uint32_t size = lmp_take_u32(L, decoder);
  (void)depth;
  const char *text = lmp_take(L, decoder, size);
  if (decoder->inert) {
    lua_pushlstring(L, text, size);
    return;
  }
  LMP_HEIGHT(base, L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, decoder->context->codes->loaded);
  lua_pushlstring(L, text, size);
  lua_pushvalue(L, -1);
  if (decoder->env != 0 || lua_rawget(L, -3) == LUA_TNIL || !is_pristine(L, 1)) {
    lua_pop(L, 1);
    /* The chunk's name must end with a zero, which the text in the message does not. */
    if (luaL_loadbufferx(L, text, size, lua_tostring(L, -1), "t") != LUA_OK) lua_error(L);
    if (decoder->env != 0) {
      lua_pushvalue(L, decoder->env);
      lua_setupvalue(L, -2, 1);
    } else {
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, -5);
    }
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  assert(lua_gettop(L) == base + 1);
}

static int encode_source(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                         bool top) {
  size_t size;
  (void)context;
  (void)top;
  lua_getiuservalue(L, index, 1);
  const char *text = lua_tolstring(L, -1, &size);
  bool ok = lmp_put_tag_u32(buffer, LMP_SOURCE_TEXT, (uint32_t)size) && lmp_put(buffer, text, size);
  lua_pop(L, 1);
  return ok ? 1 : -1;
}

/* mp.source(text) */
static int make_source(lua_State *L) {
  luaL_checkstring(L, 1);
  if (luaL_loadbufferx(L, lua_tostring(L, 1), lua_rawlen(L, 1), lua_tostring(L, 1), "t") != LUA_OK)
    return luaL_argerror(L, 1, lua_tostring(L, -1));
  lua_newuserdatauv(L, 0, 1);
  luaL_setmetatable(L, LMP_SOURCE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

/* }====================================================== */

static const lmp_reference_kind source_kind = {
    .tag = LMP_SOURCE_TEXT, .class = LMP_SOURCE, .encode = encode_source, .decode = decode_source};

void lmp_open_function(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"source", make_source}, {NULL, NULL}};
  static const luaL_Reg code_meta[] = {{"__gc", code_gc}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  lmp_new_class(L, context, LMP_CODE, code_meta, none);
  lmp_new_class(L, context, LMP_SOURCE, none, none);
  lmp_add_reference(L, context, &code_kind);
  lmp_add_reference(L, context, &source_kind);
  context->codes->of_function = lmp_new_table(L, "k");
  context->codes->by_content = lmp_new_table(L, "v");
  context->codes->loaded = lmp_new_table(L, "v");
  context->codes->given = lmp_new_table(L, "k");
  lmp_set_functions(L, context, functions);
}
