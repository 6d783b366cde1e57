/*
** compat.h - what differs between the versions of Lua, 5.4.4 to 5.5; nothing else in bindings/ asks
** for the version.
**
**   here              5.4                                         5.5
**   lmp_newstate      lua_newstate(f, ud)                         a third argument, the seed of the
**                     hashes of strings
**   lmp_closethread   lua_resetthread; from 5.4.6 on              lua_closethread only; the other
**                     is a macro that may go lua_closethread(L, from)
**   lmp_dump          lua_dump leaves to the writer what it puts  lua_dump restores the stack in
**                     the end, and before that calls the on the stack
**                     writer once more, with NULL, to move its result to a safe slot
**   lmp_gc_press      LUA_GCSTEP is given KiB, and does as much   bytes, and makes one step at most
**   LMP_STACK_MAX     LUAI_MAXSTACK in luaconf.h                  not public; the value is the same
**
** What differs and needs nothing here: LUA_RIDX_MAINTHREAD has another value but its name,
** luaL_openlibs is a macro, and a `for` loop's variable cannot be assigned to, which no file in
** lua/ does.
*/
#ifndef LMP_COMPAT_H
#define LMP_COMPAT_H

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdbool.h>

/*
** Before that, __close of a task that is made to go is called with a value that is gone, coroutines
** that wait in one another run out of C stack after 200, and errors in __close get lost.
*/
#if LUA_VERSION_NUM < 504 || (LUA_VERSION_NUM == 504 && LUA_VERSION_RELEASE_NUM < 50404)
#error "makeparallel needs Lua 5.4.4 or later: these headers are of an earlier version"
#endif

#define LMP_STACK_MAX 1000000 /* values a state's stack can hold */

/* An address on the C stack, in the caller's frame, which it grows away from towards lower ones. */
#if defined(__GNUC__)
#define LMP_C_STACK() ((const char *)__builtin_frame_address(0))
#else
#define LMP_C_STACK() ((const char *)&(volatile char){0})
#endif

/* A new state, or NULL without the memory for it. Never raises. */
static inline lua_State *lmp_newstate(lua_Alloc alloc, void *ud) {
#if LUA_VERSION_NUM >= 505
  return lua_newstate(alloc, ud, luaL_makeseed(NULL));
#else
  return lua_newstate(alloc, ud);
#endif
}

#define LMP_GC_STEP ((size_t)8 << 10) /* bytes; no more than the collector's own step */

/*
** Tells a collector that runs of so many bytes that it does not see. May run finalisers. In Lua 5.5
** a call makes one step at most, whatever it is told. That is a whole collection of the young in
** generational mode, where further ones would make old what is about to be dropped: the steps that
** incremental mode needs come to half of what calls for the next one.
*/
static inline void lmp_gc_press(lua_State *L, size_t bytes) {
  if (!lua_gc(L, LUA_GCISRUNNING)) return;
#if LUA_VERSION_NUM >= 505
  size_t tenth = ((size_t)lua_gc(L, LUA_GCCOUNT) << 10) / 10;
  int over = lua_gc(L, LUA_GCSTEP, bytes); /* 1: the cycle is over */
  for (size_t told = LMP_GC_STEP; over == 0 && told < bytes && told < tenth; told += LMP_GC_STEP)
    over = lua_gc(L, LUA_GCSTEP, LMP_GC_STEP);
#else
  (void)lua_gc(L, LUA_GCSTEP, bytes >> 10 < INT_MAX ? (int)(bytes >> 10) : INT_MAX);
#endif
}

/*
** Closes what is pending in the coroutine `co` and makes it usable again; `from` is who does so. As
** the function of Lua it stands for.
*/
static inline int lmp_closethread(lua_State *co, lua_State *from) {
#if LUA_VERSION_RELEASE_NUM >= 50406
  return lua_closethread(co, from);
#else
  (void)from;
  return lua_resetthread(co);
#endif
}

typedef struct lmp_dumper {
  luaL_Buffer buffer;
  int result; /* stack index of the slot for it */
  bool begun;
} lmp_dumper;

static inline int lmp_dump_write(lua_State *L, const void *data, size_t size, void *ud) {
  lmp_dumper *d = ud;
  if (!d->begun) luaL_buffinit(L, &d->buffer);
  d->begun = true;
  if (data != NULL) {
    luaL_addlstring(&d->buffer, data, size);
  } else {
    luaL_pushresult(&d->buffer);
    lua_replace(L, d->result);
  }
  return 0;
}

/* Replaces the Lua function on top of the stack by its bytecode, unstripped, as a string. */
static inline void lmp_dump(lua_State *L) {
  lmp_dumper d = {.result = lua_gettop(L), .begun = false};
  lua_pushvalue(L, -1);
  if (lua_dump(L, lmp_dump_write, &d, 0) != 0) luaL_error(L, "cannot dump a function");
#if LUA_VERSION_NUM < 505
  (void)lmp_dump_write(L, NULL, 0, &d);
#endif
  lua_settop(L, d.result);
}

#endif
