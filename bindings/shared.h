/*
** shared.h - what all states share by reference: a cache (mp.memoize_fast) and a meter
** (mp.profiled), as userdata that travel as attachments.
*/
#ifndef LMP_SHARED_H
#define LMP_SHARED_H

#include "value.h"

/* The cache or meter at `index` and which of the two it is; NULL: the value is neither. */
void *lmp_to_shared(lua_State *L, int index, lmp_attachment_kind *kind);
/* Pushes a userdata for it, with a reference of its own. */
void lmp_push_shared(lua_State *L, lmp_attachment_kind kind, void *object);

#endif
