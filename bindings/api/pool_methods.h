/*
** pool_methods.h - pools in Lua: configure, limits, shut down, look at.
*/
#ifndef LMP_POOL_METHODS_H
#define LMP_POOL_METHODS_H

#include "base/context.h"

void lmp_open_pool(lua_State *L, lmp_context *context);

#endif
