#include "logging.h"

#include <stdio.h>
#include <string.h>

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace", NULL};

static bool parse_level(const char *text, size_t size, mp_log_level *level) {
  if (size == 3 && strncmp(text, "off", 3) == 0) {
    *level = MP_LOG_OFF;
    return true;
  }
  for (int i = 0; i <= MP_LOG_TRACE; i++) {
    if (strlen(level_names[i]) != size || strncmp(text, level_names[i], size) != 0) continue;
    *level = (mp_log_level)i;
    return true;
  }
  return false;
}

/* One rule: "level" or "area=level"; the area "makeparallel" stands for all. */
static bool parse_rule(lmp_log *log, const char *text, size_t size) {
  const char *equals = memchr(text, '=', size);
  size_t area = equals == NULL ? 0 : (size_t)(equals - text), skip = equals == NULL ? 0 : area + 1;
  mp_log_level level;
  if (equals == text || log->count == LMP_LOG_RULES || area >= sizeof log->rules[0].area ||
      !parse_level(text + skip, size - skip, &level))
    return false;
  if (area == strlen("makeparallel") && strncmp(text, "makeparallel", area) == 0) area = 0;
  memcpy(log->rules[log->count].area, text, area);
  log->rules[log->count].area[area] = '\0';
  log->rules[log->count].level = level;
  log->count++;
  if (level > log->highest) log->highest = level;
  return true;
}

bool lmp_log_parse(lmp_log *log, const char *text) {
  log->count = 0;
  log->highest = MP_LOG_OFF;
  for (;;) {
    size_t size = strcspn(text, ",");
    if (!parse_rule(log, text, size)) return false;
    if (text[size] == '\0') return true;
    text += size + 1;
  }
}

static bool wanted(const lmp_log *log, mp_log_level level, const char *area) {
  mp_log_level most = MP_LOG_OFF;
  for (int i = 0; i < log->count; i++) {
    if (strcmp(log->rules[i].area, area) == 0) return level <= log->rules[i].level;
    if (log->rules[i].area[0] == '\0') most = log->rules[i].level;
  }
  return level <= most;
}

static int call_function(lua_State *L) { /* stack: log, data, size */
  const lmp_log *log = lua_touserdata(L, 1);
  const char *data = lua_touserdata(L, 2);
  size_t size = (size_t)lua_tointeger(L, 3), area = strlen(data + 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, log->function);
  lua_pushstring(L, level_names[(int)data[0]]);
  lua_pushlstring(L, data + 1, area);
  lua_pushlstring(L, data + area + 2, size - area - 2);
  lua_call(L, 3, 0);
  return 0;
}

/* On the owner, while it polls. What the function raises cannot be logged; it becomes a warning. */
static void deliver(void *ud, const void *data, size_t size) {
  lmp_log *log = ud;
  lua_State *L = log->context == NULL ? NULL : log->context->polling;
  if (L == NULL || log->function == LUA_NOREF || !lua_checkstack(L, 8)) return;
  lua_pushcfunction(L, call_function);
  lua_pushlightuserdata(L, log);
  lua_pushlightuserdata(L, (void *)data);
  lua_pushinteger(L, (lua_Integer)size);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  if (lua_type(L, -1) == LUA_TSTRING) lua_warning(L, lua_tostring(L, -1), 0);
  lua_pop(L, 1);
}

void lmp_log_line(void *ud, mp_log_level level, const char *area, const char *line) {
  lmp_log *log = ud;
  char packed[1200];
  if (!wanted(log, level, area)) return;
  if (log->function == LUA_NOREF) {
    fprintf(stderr, "makeparallel: %s: %s: %s\n", level_names[level], area, line);
    return;
  }
  if (log->pool == NULL) return; /* while the pool is being made */
  packed[0] = (char)level;
  int size = snprintf(packed + 1, sizeof packed - 1, "%s%c%s", area, '\0', line);
  if (size >= (int)sizeof packed - 1) size = (int)sizeof packed - 2;
  (void)!mp_mailbox_send(mp_pool_mailbox(log->pool), deliver, log, packed, (size_t)size + 1);
}

/*
** log(level, area, text): a line in the log of this state's pool; dropped where there is none any
** more. Never waits
*/
static int log_text(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  int level = luaL_checkoption(L, 1, NULL, level_names);
  const char *area = luaL_checkstring(L, 2), *text = luaL_checkstring(L, 3);
  if (context->pool == NULL && context->was_shut_down) return 0;
  mp_pool_log(lmp_default_pool(L, context)->pool, (mp_log_level)level, area, "%s", text);
  return 0;
}

void lmp_open_logging(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"log", log_text}, {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
