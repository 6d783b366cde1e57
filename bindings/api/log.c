#include "api/log.h"

#include <stdio.h>
#include <string.h>

#include "handles/pool.h"
#include "worker/log_sink.h"
#include "worker/vm.h"

/*
** log(level, area, text): a line in the log of this state's pool; dropped where there is none any
** more. Never waits
*/
static int log_text(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  int level = luaL_checkoption(L, 1, NULL, lmp_log_levels);
  const char *area = luaL_checkstring(L, 2), *text = luaL_checkstring(L, 3);
  if (context->pools->default_pool == NULL && context->pools->was_shut_down) return 0;
  mp_pool_log(lmp_default_pool(L, context)->pool, (mp_log_level)level, area, "%s", text);
  return 0;
}

/* Has the default pool, when there is one, no log? */
static bool is_off(lua_State *L, const lmp_context *context) {
  int top = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->options);
  if (lua_istable(L, -1)) lua_getfield(L, -1, "log");
  bool off = lua_type(L, -1) == LUA_TBOOLEAN ||
             (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "off") == 0);
  lua_settop(L, top);
  return off;
}

/*
** tell(area, text): an error that nobody looked at, in a line; also where there is no pool, or none
** any more: then it goes to stderr unless the environment says otherwise.
*/
static int tell(lua_State *L) {
  const lmp_context *context = lmp_context_of(L);
  const char *area = luaL_checkstring(L, 1), *text = luaL_checkstring(L, 2);
  const lmp_pool *object = context->pools->default_pool;
  char line[400];
  snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\r\n"), text);
  if (context->vm != NULL)
    mp_pool_log(mp_worker_pool(context->vm->worker), MP_LOG_ERROR, area, "%s", line);
  else if (object != NULL)
    mp_pool_log(object->pool, MP_LOG_ERROR, area, "%s", line);
  else if (!is_off(L, context))
    lmp_log_without_pool(area, line);
  return 0;
}

void lmp_open_log(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"log", log_text}, {"tell", tell}, {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
