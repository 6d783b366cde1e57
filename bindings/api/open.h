/*
** open.h - opens the core: makes the state's context and lets each part bring its functions.
*/
#ifndef LMP_OPEN_H
#define LMP_OPEN_H

#include "base/context.h"

/*
** Makes the state's context and metatables; `vm` is the worker it belongs to, or NULL. Once per
** state.
*/
lmp_context *lmp_context_create(lua_State *L, lmp_vm *vm);

#endif
