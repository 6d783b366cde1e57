/*
** import.h - what travels by name: it is written as its name, and found by it in the state that
** reads.
*/
#ifndef LMP_IMPORT_H
#define LMP_IMPORT_H

#include "codec/buffer.h"
#include "codec/reader.h"

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

/* The functions of the core: class, named. */
void lmp_open_imports(lua_State *L, lmp_context *context);

#endif
