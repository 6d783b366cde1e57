#include "api/open.h"

#include <string.h>

#include "api/handle_methods.h"
#include "api/intask.h"
#include "api/log.h"
#include "api/loop.h"
#include "api/map.h"
#include "api/pool_methods.h"
#include "api/shared.h"
#include "api/task.h"
#include "api/task_object.h"
#include "base/error.h"
#include "base/options.h"
#include "codec/encode.h"
#include "codec/function.h"
#include "codec/import.h"
#include "codec/key.h"
#include "codec/names.h"
#include "codec/search.h"
#include "handles/events.h"
#include "handles/handle.h"
#include "handles/ledger.h"
#include "handles/pool.h"
#include "makeparallel_lua.h"
#include "worker/vm.h"

/* Its address is the registry key of the table of the core's functions. */
static const char core_key;

static int context_gc(lua_State *L) {
  lmp_context *context = lua_touserdata(L, 1);
  lmp_close_logs(context);
  lmp_ledger_close(L, context);
  (void)!lmp_scratch_free(context, NULL);
  context->pools->was_shut_down = true;
  return 0;
}

/* What a state keeps, in one block. */
typedef struct owned {
  lmp_context context;
  struct lmp_references references;
  struct lmp_search search;
  struct lmp_names names;
  struct lmp_codes codes;
  struct lmp_scratch scratch;
  struct lmp_ledger ledger;
  struct lmp_handles handles;
  struct lmp_pools pools;
  struct lmp_events events;
  struct lmp_tasks tasks;
  struct lmp_flights flights;
} owned;

static lmp_context *new_context(lua_State *L, lmp_vm *vm) {
  owned *o = lua_newuserdatauv(L, sizeof *o, 0);
  memset(o, 0, sizeof *o);
  lmp_context *context = &o->context;
  context->references = &o->references;
  context->search = &o->search;
  context->names = &o->names;
  context->codes = &o->codes;
  context->scratch = &o->scratch;
  context->ledger = &o->ledger;
  context->handles = &o->handles;
  context->pools = &o->pools;
  context->events = &o->events;
  context->tasks = &o->tasks;
  context->flights = &o->flights;
  context->vm = vm;
  context->pools->open_state = lmp_context_create;
  if (vm != NULL) vm->between_tasks = lmp_poll_idle;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, context_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lmp_context_begin(L, context);
  return context;
}

lmp_context *lmp_context_create(lua_State *L, lmp_vm *vm) {
  static void (*const parts[])(lua_State *, lmp_context *) = {
      lmp_open_errors,  lmp_open_scratch, lmp_open_search, lmp_open_imports, lmp_open_function,
      lmp_open_options, lmp_open_pool,    lmp_open_handle, lmp_open_loop,    lmp_open_task,
      lmp_open_map,     lmp_open_intask,  lmp_open_log,    lmp_open_key,     lmp_open_shared};
  LMP_HEIGHT(base, L);
  lmp_context *context = new_context(L, vm);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    parts[i](L, context);
    assert(lua_gettop(L) == base + 1); /* the table of functions */
  }
  lmp_context_end(L, context);
  lua_pushliteral(L, MP_VERSION);
  lua_setfield(L, -2, "version");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
  if (vm != NULL) { /* a worker needs no path to the core */
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_makeparallel_core);
    lua_setfield(L, -2, LMP_CORE);
    lua_pop(L, 1);
  }
  return context;
}

int luaopen_makeparallel_core(lua_State *L) {
  luaL_checkversion(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key) == LUA_TNIL) {
    lua_pop(L, 1);
    lmp_context_create(L, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key);
  }
  return 1;
}
