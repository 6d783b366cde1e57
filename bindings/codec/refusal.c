#include "codec/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_SHOWN 160 /* of a path to what was refused */

bool lmp_refuse(lmp_buffer *buffer, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(buffer->reason, sizeof buffer->reason, format, args);
  va_end(args);
  buffer->path_at = sizeof buffer->path - 1;
  buffer->path[buffer->path_at] = '\0';
  return false;
}

void lmp_path_prepend(lmp_buffer *buffer, const char *step) {
  size_t size = strlen(step);
  if (buffer->memory) return;
  if (size + 8 > buffer->path_at) { /* keep the outer end readable: drop from the inner */
    const char *cut = "...";
    size_t keep = 60;
    memmove(buffer->path + sizeof buffer->path - 1 - strlen(cut) - keep,
            buffer->path + buffer->path_at, keep);
    memcpy(buffer->path + sizeof buffer->path - 1 - strlen(cut), cut, strlen(cut) + 1);
    buffer->path_at = (uint32_t)(sizeof buffer->path - 1 - strlen(cut) - keep);
    if (size + 8 > buffer->path_at) return;
  }
  assert(size <= buffer->path_at);
  buffer->path_at -= (uint32_t)size;
  memcpy(buffer->path + buffer->path_at, step, size);
}

static bool is_name(const char *s, size_t size) {
  if (size == 0 || size > 60 || (s[0] >= '0' && s[0] <= '9')) return false;
  for (size_t i = 0; i < size; i++) {
    char c = s[i];
    if (!(c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
      return false;
  }
  return true;
}

void lmp_path_key(lua_State *L, lmp_buffer *buffer, int index) {
  char step[96];
  if (lua_isinteger(L, index)) {
    snprintf(step, sizeof step, "[%lld]", (long long)lua_tointeger(L, index));
  } else if (lua_type(L, index) == LUA_TNUMBER) {
    snprintf(step, sizeof step, "[%.14g]", (double)lua_tonumber(L, index));
  } else if (lua_type(L, index) == LUA_TSTRING) {
    size_t size;
    const char *key = lua_tolstring(L, index, &size);
    if (is_name(key, size))
      snprintf(step, sizeof step, ".%s", key);
    else
      snprintf(step, sizeof step, "[\"%.60s\"]", key);
  } else {
    snprintf(step, sizeof step, "[%s key]", luaL_typename(L, index));
  }
  lmp_path_prepend(buffer, step);
}

void lmp_push_refusal(lua_State *L, const lmp_buffer *buffer, const char *direction) {
  assert(buffer->memory || (buffer->root != NULL && buffer->path_at < sizeof buffer->path));
  LMP_HEIGHT(base, L);
  if (buffer->memory) {
    lua_pushliteral(L, "not enough memory");
    return;
  }
  const char *path = buffer->path + buffer->path_at;
  size_t size = strlen(path);
  lua_pushlstring(L, path, size > PATH_SHOWN ? PATH_SHOWN : size);
  lua_pushfstring(L, "%s%s%s %s", buffer->root, lua_tostring(L, -1), size > PATH_SHOWN ? "..." : "",
                  buffer->reason);
  lua_remove(L, -2);
  luaL_gsub(L, lua_tostring(L, -1), "$direction", direction);
  lua_remove(L, -2);
  assert(lua_gettop(L) == base + 1);
}

void lmp_raise_refusal(lua_State *L, const lmp_buffer *buffer, const char *direction) {
  lmp_push_refusal(L, buffer, direction);
  luaL_error(L, "%s", lua_tostring(L, -1));
}

bool lmp_refuse_userdata(lua_State *L, lmp_buffer *buffer, int index) {
  char text[64] = "userdata";
  if (lua_getmetatable(L, index)) {
    lua_pushliteral(L, "__name");
    if (lua_rawget(L, -2) == LUA_TSTRING)
      snprintf(text, sizeof text, "userdata '%.40s'", lua_tostring(L, -1));
    lua_pop(L, 2);
  }
  return lmp_refuse(buffer,
                    "(%s) cannot be sent $direction: it belongs to its own Lua state; open or make "
                    "it where it is used",
                    text);
}
