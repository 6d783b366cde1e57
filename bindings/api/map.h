/*
** map.h - pieces of mp.map: a chunk of a list goes out as one task, and its results are decoded
** straight into the list of results.
*/
#ifndef LMP_MAP_H
#define LMP_MAP_H

#include "base/context.h"

void lmp_open_map(lua_State *L, lmp_context *context);

#endif
