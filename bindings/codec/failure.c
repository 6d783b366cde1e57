#include "codec/failure.h"

#include <string.h>

#include "base/error.h"
#include "codec/encode.h"
#include "codec/value.h"

#define DEEP 1000 /* levels: no deeper stack is shown from both ends */
#define DEEP_SHOWN 20

/* Its address is the registry key of the traceback of the last error. */
static const char traceback_key;

/*
** As luaL_traceback of a deep stack, but for its bottom: to find that, it walks the whole of it
** many times over.
*/
static void push_top_of_stack(lua_State *L) {
  lua_Debug ar;
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  luaL_addstring(&text, "stack traceback:");
  for (int level = 1; level <= DEEP_SHOWN && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sln", &ar);
    lua_pushfstring(L, "\n\t%s:", ar.short_src);
    luaL_addvalue(&text);
    if (ar.currentline > 0) {
      lua_pushfstring(L, "%d:", ar.currentline);
      luaL_addvalue(&text);
    }
    lua_pushfstring(L, " in %s",
                    ar.name != NULL   ? ar.name
                    : *ar.what == 'C' ? "a C function"
                                      : "a function");
    luaL_addvalue(&text);
  }
  luaL_addstring(&text, "\n\t...\t(more than 1000 levels)");
  luaL_pushresult(&text);
}

int lmp_keep_traceback(lua_State *L) { /* stack: the error value */
  lua_Debug ar;
  if (lua_getstack(L, DEEP, &ar))
    push_top_of_stack(L);
  else
    luaL_traceback(L, L, NULL, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
  return 1;
}

static void cut_text(lua_State *L) {
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  if (size <= LMP_MESSAGE_MAX) return;
  lua_pushlstring(L, text, LMP_MESSAGE_MAX);
  lua_pushfstring(L, "%s... (cut: %I bytes)", lua_tostring(L, -1), (LUAI_UACINT)size);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void lmp_forget_traceback(lua_State *L) {
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
}

void lmp_push_traceback(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key) == LUA_TSTRING) cut_text(L);
}

static int to_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* Error value on top: pushes its text, whatever its __tostring does. */
static void push_text(lua_State *L) {
  int value = lua_gettop(L), type = lua_type(L, value);
  bool plain =
      type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
  if (plain || luaL_getmetafield(L, value, "__tostring") != LUA_TNIL) {
    lua_settop(L, value);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, value);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
  } else if (type == LUA_TTABLE) {
    lua_pushliteral(L, "message");
    if (lua_rawget(L, value) == LUA_TSTRING) return;
  }
  lua_settop(L, value);
  lua_pushfstring(L, "(error object is a %s value)", lua_typename(L, type));
}

/*
** "... (global 'helper')": the commonest surprise of running elsewhere. Replaces the text on top.
*/
static void add_note(lua_State *L) {
  const char *text = lua_tostring(L, -1), *global = strstr(text, "a nil value (global '"), *end;
  char name[64];
  if (global == NULL) return;
  global += strlen("a nil value (global '");
  end = strchr(global, '\'');
  if (end == NULL || (size_t)(end - global) >= sizeof name) return;
  memcpy(name, global, (size_t)(end - global));
  name[end - global] = '\0';
  lua_pushfstring(L,
                  "%s\nnote: globals of the main program are not sent to workers; make '%s' local "
                  "or put it in a module",
                  text, name);
  lua_remove(L, -2);
}

void lmp_push_error_text(lua_State *L) {
  luaL_checkstack(L, 10, NULL);
  LMP_HEIGHT(base, L);
  push_text(L);
  add_note(L);
  cut_text(L);
  assert(lua_gettop(L) == base + 1 && lua_type(L, -1) == LUA_TSTRING);
}

bool lmp_encode_failure(lua_State *L, lmp_context *context, lmp_buffer *buffer, const char *kind,
                        const char *name, const char *prefix, bool with_traceback) {
  int value = lua_gettop(L);
  luaL_checkstack(L, 6, NULL);
  lua_pushstring(L, prefix);
  lua_pushvalue(L, value);
  lmp_push_error_text(L);
  lua_remove(L, -2);
  lua_concat(L, 2); /* stack: value, text */
  if (!with_traceback || lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key) != LUA_TSTRING) {
    lua_settop(L, value + 1);
    lua_pushnil(L);
  } else {
    cut_text(L);
  }
  assert(lua_gettop(L) == value + 2);
  lmp_encode_start(buffer);
  if (buffer->memory) return false;
  lua_pushstring(L, kind); /* stack: value, text, traceback, kind */
  lua_pushstring(L, name); /* nil for NULL */
  bool ok = lmp_encode_value(L, context, buffer, value + 3, 0, false) &&
            lmp_encode_value(L, context, buffer, value + 1, 0, false) &&
            lmp_encode_value(L, context, buffer, value + 2, 0, false) &&
            lmp_encode_value(L, context, buffer, value + 4, 0, false);
  if (ok) {
    uint32_t size = buffer->message.size;
    size_t length;
    bool huge = lua_type(L, value) == LUA_TSTRING && lua_tolstring(L, value, &length) != NULL &&
                length > LMP_MESSAGE_MAX;
    int sent = huge ? value + 1 : value;
    ok = lmp_put_tag(buffer, LMP_TRUE) && lmp_encode_attempt(L, context, buffer, sent);
    if (!ok && !buffer->memory) { /* the value cannot travel: its text does */
      buffer->message.size = size;
      ok = lmp_put_tag(buffer, LMP_FALSE) &&
           lmp_encode_value(L, context, buffer, value + 1, 0, false);
    }
  }
  lmp_forget_traceback(L);
  if (ok) lmp_encode_finish(buffer, LMP_FAILURE_VALUES);
  lua_settop(L, value);
  return ok;
}

static bool put_text(lmp_buffer *buffer, const char *text) {
  size_t size = strlen(text);
  return lmp_put_tag_u32(buffer, LMP_STR32, (uint32_t)size) && lmp_put(buffer, text, size);
}

lmp_message *lmp_plain_failure(mp_pool *pool, const char *kind, const char *text) {
  lmp_buffer buffer;
  memset(&buffer, 0, sizeof buffer);
  buffer.message.pool = pool;
  lmp_encode_start(&buffer);
  lmp_message *result = NULL;
  if (!buffer.memory && put_text(&buffer, kind) && put_text(&buffer, text) &&
      lmp_put_tag(&buffer, LMP_NIL) && lmp_put_tag(&buffer, LMP_NIL) &&
      lmp_put_tag(&buffer, LMP_FALSE) && lmp_put_tag(&buffer, LMP_NIL)) {
    lmp_encode_finish(&buffer, LMP_FAILURE_VALUES);
    result = lmp_encode_take(&buffer);
  }
  lmp_buffer_free(&buffer);
  return result;
}

/* Copies the string that is the next value, cut to size; false: it is none. */
static bool read_string(const char **at, char *text, size_t size) {
  const unsigned char *head = (const unsigned char *)*at;
  uint32_t length = head[1];
  size_t head_size = 2;
  if (*head == LMP_STR32) {
    memcpy(&length, head + 1, sizeof length);
    head_size = 1 + sizeof length;
  } else if (*head != LMP_STR8) {
    *at += 1; /* nil */
    return false;
  }
  size_t kept = length < size ? length : size - 1;
  memcpy(text, *at + head_size, kept);
  text[kept] = '\0';
  *at += head_size + length;
  return true;
}

void lmp_read_failure(const lmp_message *failure, char *text, size_t text_size, char *name,
                      size_t name_size) {
  char none[1];
  const char *at = failure->bytes + LMP_HEADER_SIZE;
  (void)read_string(&at, none, sizeof none); /* kind */
  (void)read_string(&at, text, text_size);
  (void)read_string(&at, none, sizeof none); /* traceback */
  if (!read_string(&at, name, name_size)) *name = '\0';
}
