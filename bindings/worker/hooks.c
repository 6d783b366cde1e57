#include "worker/hooks.h"

#include "worker/guards.h"
#include "worker/interrupt.h"

/*
** its address: registry key of a list, sethook and gethook of Lua's library; then, if setup has
** left a hook in Lua, that, its mask and its count
*/
static const char hook_key;
enum { SETHOOK = 1, GETHOOK, HOOK, MASK, COUNT };

/* debug.sethook: a hook of the program's own must not take ours away. */
static int guarded_sethook(lua_State *L) {
  lmp_vm *vm = lmp_vm_of(L);
  if (vm->host->cancel_mode == LMP_CANCEL_HOOK)
    return luaL_error(L, "debug.sethook is refused in a worker with cancel_mode = \"hook\": a "
                         "state has but one hook");
  vm->hook.changed = true;
  int n = lmp_call_original(L);
  if (lmp_must_stop(vm)) return lmp_raise_stop(L);
  return n;
}

void lmp_hook_open(lua_State *L) {
  int top = lua_gettop(L), list = top + 1;
  lua_newtable(L);
  if (lua_getglobal(L, "debug") == LUA_TTABLE &&
      lua_getfield(L, list + 1, "sethook") == LUA_TFUNCTION) {
    lua_getfield(L, list + 1, "gethook");
    lua_rawseti(L, list, GETHOOK);
    lua_pushvalue(L, -1);
    lua_rawseti(L, list, SETHOOK);
    lua_pushcclosure(L, guarded_sethook, 1);
    lua_setfield(L, list + 1, "sethook");
  }
  lua_settop(L, list);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &hook_key);
}

void lmp_hook_settle(lua_State *L, lmp_vm *vm) {
  int top = lua_gettop(L);
  if (lmp_is_interrupted(L)) return;
  vm->hook.function = lua_gethook(L);
  vm->hook.mask = lua_gethookmask(L);
  vm->hook.count = lua_gethookcount(L);
  if (vm->hook.changed) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &hook_key);
    lua_rawgeti(L, -1, GETHOOK);
    lua_call(L, 0, 3);
    for (int i = COUNT; i >= HOOK; i--) lua_rawseti(L, top + 1, i);
  }
  vm->hook.changed = false;
  lua_settop(L, top);
}

static int set_hook(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &hook_key);
  for (int i = SETHOOK; i <= COUNT; i++)
    if (i != GETHOOK) lua_rawgeti(L, 1, i);
  if (lua_isfunction(L, 3)) lua_call(L, 3, 0);
  return 0;
}

void lmp_hook_off(lua_State *L, lmp_vm *vm) {
  if (vm->hook.changed && !lmp_is_interrupted(L)) lua_sethook(L, NULL, 0, 0);
}

void lmp_hook_restore(lua_State *L, lmp_vm *vm) {
  vm->hook.changed = false;
  lua_sethook(L, vm->hook.function, vm->hook.mask, vm->hook.count);
  if (vm->hook.function == NULL) return;
  lua_pushcfunction(L, set_hook);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) lua_pop(L, 1);
}
