/*
** shared.h - what all states share by reference: a cache (mp.memoize_fast) and a meter
** (mp.profiled), as userdata that travel as attachments.
*/
#ifndef LMP_SHARED_H
#define LMP_SHARED_H

#include "base/context.h"

/* What a state computes for caches. Its context's own. */
struct lmp_flights {
  int count; /* results that it computes now */
};

void lmp_open_shared(lua_State *L, lmp_context *context);

#endif
