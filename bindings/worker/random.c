#include "worker/random.h"

#include <string.h>

void lmp_push_randomseed(lua_State *L, const lmp_vm *vm) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->randomseed);
}

/* stack: the function that seeds, two integers */
static int seed_protected(lua_State *L) {
  lua_call(L, 2, 0);
  return 0;
}

/* A stream that no other state, and no other task of this one, has. */
static void begin_stream(lua_State *L, lmp_vm *vm) {
  lua_pushcfunction(L, seed_protected);
  lmp_push_randomseed(L, vm);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 2);
    return;
  }
  lua_pushinteger(L, (lua_Integer)mp_now());
  lua_pushinteger(L, (lua_Integer)((uintptr_t)vm ^ (uintptr_t)++vm->streams << 48));
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) lua_pop(L, 1);
  vm->seeded = false;
}

/* math.randomseed. Upvalues: Lua's own, the vm */
static int guarded_randomseed(lua_State *L) {
  lmp_vm *vm = lua_touserdata(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  vm->seeded = true;
  return lua_gettop(L);
}

/* The generator's state, the upvalue that the functions of the math library share; or NULL. */
static void *find_generator(lua_State *L, int randomseed, size_t *size) {
  void *generator = NULL;
  if (lua_getupvalue(L, randomseed, 1) == NULL) return NULL;
  *size = lua_rawlen(L, -1);
  if (lua_type(L, -1) == LUA_TUSERDATA) generator = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return generator;
}

void lmp_random_open(lua_State *L, lmp_vm *vm) {
  vm->generator = NULL;
  vm->randomseed = LUA_REFNIL;
  int top = lua_gettop(L);
  if (lua_getglobal(L, "math") == LUA_TTABLE &&
      lua_getfield(L, top + 1, "randomseed") == LUA_TFUNCTION) {
    vm->generator = find_generator(L, top + 2, &vm->generator_size);
    lua_pushlightuserdata(L, vm);
    lua_pushcclosure(L, guarded_randomseed, 2);
    lua_pushvalue(L, -1);
    vm->randomseed = luaL_ref(L, LUA_REGISTRYINDEX); /* it keeps the generator, too */
    lua_setfield(L, top + 1, "randomseed");
  }
  lua_settop(L, top);
  begin_stream(L, vm);
}

void lmp_random_begin_seeded(lua_State *L, lmp_vm *vm, lmp_random *random, bool outer) {
  random->kept = outer && vm->generator != NULL && vm->generator_size <= sizeof random->bytes;
  if (random->kept) memcpy(random->bytes, vm->generator, vm->generator_size);
  begin_stream(L, vm);
}

void lmp_random_end_seeded(lua_State *L, lmp_vm *vm, const lmp_random *random) {
  if (random->kept)
    memcpy(vm->generator, random->bytes, vm->generator_size);
  else /* the task below, or the next one, goes on with any stream but the seed's */
    begin_stream(L, vm);
  vm->seeded = random->kept;
}
