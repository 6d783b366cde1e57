#include "worker/log_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lmp_log_levels[] = {"error", "warn", "info", "debug", "trace", NULL};

static bool parse_level(const char *text, size_t size, mp_log_level *level) {
  if (size == 3 && strncmp(text, "off", 3) == 0) {
    *level = MP_LOG_OFF;
    return true;
  }
  for (int i = 0; i <= MP_LOG_TRACE; i++) {
    if (strlen(lmp_log_levels[i]) != size || strncmp(text, lmp_log_levels[i], size) != 0) continue;
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
  assert(log->count <= LMP_LOG_RULES);
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
  lua_pushstring(L, lmp_log_levels[(int)data[0]]);
  lua_pushlstring(L, data + 1, area);
  lua_pushlstring(L, data + area + 2, size - area - 2);
  lua_call(L, 3, 0);
  return 0;
}

static void to_stderr(mp_log_level level, const char *area, const char *line, size_t size) {
  fprintf(stderr, "makeparallel: %s: %s: %.*s\n", lmp_log_levels[level], area, (int)size, line);
}

/* On the owner, while it polls. A line that the function does not take goes to stderr. */
static void deliver(void *ud, const void *data, size_t size) {
  lmp_log *log = ud;
  lua_State *L = log->context == NULL ? NULL : log->context->polling;
  if (L == NULL || log->function == LUA_NOREF || !lua_checkstack(L, 8)) return;
  lua_pushcfunction(L, call_function);
  lua_pushlightuserdata(L, log);
  lua_pushlightuserdata(L, (void *)data);
  lua_pushinteger(L, (lua_Integer)size);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  /* one byte, the area and its end, the line, which has none */
  const char *level = data, *area = level + 1, *line = area + strlen(area) + 1;
  const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "failed";
  to_stderr((mp_log_level)*level, area, line, size - (size_t)(line - level));
  to_stderr(MP_LOG_ERROR, "log", why, strlen(why));
  lua_pop(L, 1);
}

void lmp_log_without_pool(const char *area, const char *line) {
  lmp_log log;
  const char *text = getenv("MAKEPARALLEL_LOG");
  if (text == NULL || !lmp_log_parse(&log, text) || wanted(&log, MP_LOG_ERROR, area))
    to_stderr(MP_LOG_ERROR, area, line, strlen(line));
}

/* its address: the area of no line, but of the news that the log is closed, under the log's lock */
static const char closing[] = "closing";

void lmp_log_close(mp_pool *pool) { mp_pool_log(pool, MP_LOG_ERROR, closing, "%s", ""); }

void lmp_log_line(void *ud, mp_log_level level, const char *area, const char *line) {
  lmp_log *log = ud;
  char packed[1200];
  if (area == closing) {
    log->closed = true;
    return;
  }
  if (!wanted(log, level, area)) return;
  if (log->function == LUA_NOREF || log->closed) {
    to_stderr(level, area, line, strlen(line));
    return;
  }
  if (log->pool == NULL) return; /* while the pool is being made */
  assert(level >= MP_LOG_ERROR && level <= MP_LOG_TRACE);
  packed[0] = (char)level;
  int size = snprintf(packed + 1, sizeof packed - 1, "%s%c%s", area, '\0', line);
  if (size >= (int)sizeof packed - 1) size = (int)sizeof packed - 2;
  (void)!mp_mailbox_send(mp_pool_mailbox(log->pool), deliver, log, packed, (size_t)size + 1);
}
