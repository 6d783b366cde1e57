/*
** names.h - what travels by name: values that package.loaded holds, as a module and a field of it;
** metatables by the name given to mp.class.
**
** Finding a name is one thing, writing it into a message another: the key of a cached call holds
** names, too, and has no message.
*/
#ifndef LMP_NAMES_H
#define LMP_NAMES_H

#include "codec/buffer.h"
#include "codec/reader.h"

/* What this state has learnt of package.loaded. Its context's own. */
struct lmp_names {
  struct lmp_known *known; /* values found there, by address; owned, freed by lmp_names_close */
  size_t capacity, count;
  int pairs; /* registry reference: [i] = {module, field} for the i-th entry of `known` */
  /* of what package.loaded held when `known` was made; 0: it is not, or not whole */
  lua_Integer loaded_mark;
};

/*
** {======================================================
** Finding
** =======================================================
*/

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

/* }====================================================== */

/*
** {======================================================
** Writing and reading
** =======================================================
*/

/*
** Writes the value at index as an IMPORT if package.loaded holds it; 1 done, 0 not found, -1 no
** memory.
*/
int lmp_encode_import(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Writes a metatable's name; false: refused or no memory. */
bool lmp_encode_metatable(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Push the value for a CLASS or IMPORT; need 8 slots of the stack. */
void lmp_decode_import(lua_State *L, lmp_decoder *decoder);
void lmp_decode_class(lua_State *L, lmp_decoder *decoder);
/*
** Pushes what "module.field" names, requiring the module: the longest prefix that is one. Raises if
** there is none.
*/
void lmp_push_named(lua_State *L, const char *name, size_t size);

/* }====================================================== */

/* The functions of the core: class, named. */
void lmp_open_names(lua_State *L, lmp_context *context);
/* Frees what was learnt. Never raises. */
void lmp_names_close(lua_State *L, lmp_context *context);

#endif
