#include "api/log.h"

#include "handles/pool.h"
#include "worker/log_sink.h"

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

void lmp_open_log(lua_State *L, lmp_context *context) {
  static const luaL_Reg functions[] = {{"log", log_text}, {NULL, NULL}};
  lmp_set_functions(L, context, functions);
}
