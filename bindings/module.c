/*
** module.c - opens the core: makes the state's context and lets each part bring its functions.
*/
#include <string.h>

#include "codec/encode.h"
#include "codec/function.h"
#include "codec/key.h"
#include "codec/names.h"
#include "ledger.h"
#include "base/options.h"
#include "base/error.h"
#include "handle.h"
#include "lmp.h"
#include "api/log.h"
#include "shared.h"
#include "api/task.h"
#include "worker/vm.h"

/* Its address is the registry key of the table of the core's functions. */
static const char core_key;

static int context_gc(lua_State *L) {
  lmp_context *context = lua_touserdata(L, 1);
  lmp_names_close(L, context);
  lmp_ledger_close(L, context);
  lmp_scratch_free(context, NULL);
  context->was_shut_down = true;
  return 0;
}

static lmp_context *new_context(lua_State *L, lmp_vm *vm) {
  typedef struct owned {
    lmp_context context;
    struct lmp_references references;
    struct lmp_names names;
    struct lmp_codes codes;
    struct lmp_scratch scratch;
    lmp_ledger ledger;
  } owned;
  owned *o = lua_newuserdatauv(L, sizeof *o, 0);
  memset(o, 0, sizeof *o);
  lmp_context *context = &o->context;
  context->references = &o->references;
  context->names = &o->names;
  context->codes = &o->codes;
  context->scratch = &o->scratch;
  context->ledger = &o->ledger;
  context->vm = vm;
  if (vm != NULL) vm->between_tasks = lmp_poll_idle;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, context_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lmp_context_begin(L, context);
  context->watched = lmp_new_table(L, NULL);
  context->task_options = lmp_new_table(L, "k");
  context->pool_options = lmp_new_table(L, NULL);
  context->pool_objects = lmp_new_table(L, "v");
  lmp_ledger_open(L, context);
  return context;
}

lmp_context *lmp_context_create(lua_State *L, lmp_vm *vm) {
  static void (*const parts[])(lua_State *, lmp_context *) = {
      lmp_open_errors, lmp_open_scratch, lmp_open_names,   lmp_open_function, lmp_open_options,
      lmp_open_pool,   lmp_open_handle,  lmp_open_events,  lmp_open_task,     lmp_open_map,
      lmp_open_intask, lmp_open_limits,  lmp_open_logging, lmp_open_key,      lmp_open_shared};
  lmp_context *context = new_context(L, vm);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) parts[i](L, context);
  lua_pushliteral(L, MP_VERSION);
  lua_setfield(L, -2, "version");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
  /* a worker needs no path to the core */
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_makeparallel_core);
  lua_setfield(L, -2, "makeparallel.core");
  lua_pop(L, 1);
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
