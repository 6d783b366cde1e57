/*
** shared.h - what all states share by reference: a cache (mp.memoize_fast) and a meter
** (mp.profiled), as userdata that travel as attachments.
*/
#ifndef LMP_SHARED_H
#define LMP_SHARED_H

#include "lmp.h"

void lmp_open_shared(lua_State *L, lmp_context *context);

#endif
