/*
** key.h - the canonical encoding of arguments, for memoize: the function `key` of the core.
*/
#ifndef LMP_KEY_H
#define LMP_KEY_H

#include "base/context.h"

void lmp_open_key(lua_State *L, lmp_context *context);

#endif
