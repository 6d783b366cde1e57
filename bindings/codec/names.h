/*
** names.h - what has a name in every state: values that package.loaded holds, as a module and a
** field of it; metatables, by the name given to mp.class.
**
** A name is worth something if `require` of the other state gives the same value. So whatever a
** module that cannot be required there holds has none, and what others put into a module's table
** has a name that is in doubt: a function whose code is not of the file that the module comes from
** (a patch, a mock, an extension), a table of such functions, and a table of mere data, which is as
** it is here.
**
** Finding a name is one thing, writing it into a message another (import.h): the key of a cached
** call holds names, too, and has no message.
*/
#ifndef LMP_NAMES_H
#define LMP_NAMES_H

#include "base/context.h"

#define LMP_NAME_MAX 255 /* bytes that a module's or a field's name may have to travel */

/* What this state has learnt of package.loaded. Its context's own. */
struct lmp_names {
  const struct lmp_known *known; /* values found there, by address; a userdata, or NULL */
  size_t capacity;
  /* registry reference: the userdata, whose value is a list of module, field, module, field ... */
  int keeper;
  int loaded;  /* registry reference: package.loaded */
  int modules; /* registry reference: ["module.fn"] = the module that it meant */
  /* of what package.loaded held when `known` was made; 0: it is not, or counts no more */
  lua_Integer loaded_mark;
};

typedef enum lmp_name_kind {
  LMP_NO_NAME,
  LMP_NAME,         /* of the value as the module makes it */
  LMP_NAME_OF_DATA, /* of a table without functions: as a metatable it has that name */
  LMP_NAME_IN_DOUBT
} lmp_name_kind;

/* A name that was found. Unless it is LMP_NO_NAME, module and field were pushed. */
typedef struct lmp_name {
  lmp_name_kind kind;
  int line;        /* where the Lua function begins; -1: it is something else */
  uint32_t source; /* of a Lua function that the module made: lmp_source_mark; or 0 */
  bool standard;   /* of Lua's own: to find it no module is loaded */
} lmp_name;

/* A number for what debug.getinfo calls a function's source. */
uint32_t lmp_source_mark(const char *source);
/* Learns the names of package.loaded anew if modules have come or gone; true if it did. */
bool lmp_refresh_names(lua_State *L, lmp_context *context);
/* What can be required has changed: names are learnt anew when one is looked for. */
void lmp_doubt_names(lmp_context *context);
/*
** The table or function at index, if package.loaded holds it, itself or as a field: pushes module
** and field (empty: the module itself).
*/
lmp_name lmp_push_import_name(lua_State *L, lmp_context *context, int index);
/*
** The metatable at index: pushes the name that mp.class gave it and returns 1, or module and field
** and returns 2, or nothing and returns 0.
*/
int lmp_push_metatable_name(lua_State *L, lmp_context *context, int index);
/*
** The module that holds the value at index, though it has no name that would be found elsewhere:
** pushes the module's name and why, or nothing and returns false.
*/
bool lmp_push_holder(lua_State *L, lmp_context *context, int index);

/* Names can be learnt from now on. */
void lmp_names_begin(lua_State *L, lmp_context *context);

#endif
