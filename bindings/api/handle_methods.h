/*
** handle_methods.h - what a handle can do in Lua: results, state, metadata, callbacks; and waiting
** for several.
*/
#ifndef LMP_HANDLE_METHODS_H
#define LMP_HANDLE_METHODS_H

#include "base/context.h"

void lmp_open_handle(lua_State *L, lmp_context *context);

#endif
