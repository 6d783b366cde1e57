/*
** guards.h - the functions of Lua's library that reach beyond a state, as a worker has them:
** os.exit, os.setlocale, os.execute, io.popen, print, and what loads C modules.
*/
#ifndef LMP_GUARDS_H
#define LMP_GUARDS_H

#include "worker/vm.h"

/*
** Replaces those that a new state has: a host's sandbox may have left libraries out. The vm must be
** the only value on the stack. May raise.
*/
void lmp_guard_libraries(lua_State *L, lmp_vm *vm);
/* Where `warn` of a new state goes: to stderr, once it is on. Never raises. */
void lmp_guard_warnings(lua_State *L, lmp_vm *vm);

/*
** In a function that stands for one of Lua's library, which is its first upvalue: calls that with
** the arguments on the stack, and returns how many results are on top. The library's own is called
** as if by the program: the same names in its errors, the same events for a hook. May raise.
*/
int lmp_call_original(lua_State *L);

#endif
