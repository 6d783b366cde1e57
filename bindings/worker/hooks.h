/*
** hooks.h - debug hooks of the program's own: a task's ends with it, and one that setup has left is
** each task's.
*/
#ifndef LMP_HOOKS_H
#define LMP_HOOKS_H

#include "worker/vm.h"

/* A new state: its debug.sethook, if there is one. May raise. */
void lmp_hook_open(lua_State *L);
/*
** Settle: what L has now is what the state's tasks have, each; may raise. Off: a task on L is over,
** and its hook must not see what follows. Restore: L, a coroutine that tasks run on, has what was
** settled again. The last two never raise.
*/
void lmp_hook_settle(lua_State *L, lmp_vm *vm);
void lmp_hook_off(lua_State *L, lmp_vm *vm);
void lmp_hook_restore(lua_State *L, lmp_vm *vm);

#endif
