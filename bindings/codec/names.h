/*
** names.h - what has a name in every state: values that package.loaded holds, as a module and a
** field of it; metatables, by the name given to mp.class.
**
** Finding a name is one thing, writing it into a message another (import.h): the key of a cached
** call holds names, too, and has no message.
*/
#ifndef LMP_NAMES_H
#define LMP_NAMES_H

#include "base/context.h"

/* What this state has learnt of package.loaded. Its context's own. */
struct lmp_names {
  struct lmp_known *known; /* values found there, by address; owned, freed by lmp_names_close */
  size_t capacity, count;
  int pairs; /* registry reference: [i] = {module, field} for the i-th entry of `known` */
  /* of what package.loaded held when `known` was made; 0: it is not, or not whole */
  lua_Integer loaded_mark;
};

/* Learns the names of package.loaded anew if modules have come or gone; true if it did. */
bool lmp_refresh_names(lua_State *L, lmp_context *context);
/*
** The table or function at index, if package.loaded holds it (itself or as a field): pushes module
** and field (empty: the module itself) and returns 2. Else pushes nothing and returns 0.
*/
int lmp_push_import_name(lua_State *L, lmp_context *context, int index);
/*
** The metatable at index: pushes the name that mp.class gave it and returns 1, or module and field
** and returns 2, or nothing and returns 0.
*/
int lmp_push_metatable_name(lua_State *L, lmp_context *context, int index);

/* Names can be learnt from now on. */
void lmp_names_begin(lua_State *L, lmp_context *context);
/* Frees what was learnt. Never raises. */
void lmp_names_close(lua_State *L, lmp_context *context);

#endif
