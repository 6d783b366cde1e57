/*
** import.h - what travels by name: it is written as its name, and found by it in the state that
** reads.
*/
#ifndef LMP_IMPORT_H
#define LMP_IMPORT_H

#include "codec/buffer.h"
#include "codec/reader.h"

/*
** Writes the value at index as an IMPORT if it has a name that counts; 1 done, 0 it has none, -1 no
** memory. A name in doubt counts for what the buffer trusts.
*/
int lmp_encode_import(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/*
** The table or function at index was refused: if it has a name that is in doubt, the buffer notes
** it, so that the message can be written again with that name.
*/
void lmp_note_refused(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Refuses the C function at index, which has no name, with the reason; returns false. */
bool lmp_refuse_c_function(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Writes a metatable's name; false: refused or no memory. */
bool lmp_encode_metatable(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Push the value for a CLASS or IMPORT; need 8 slots of the stack. */
void lmp_decode_import(lua_State *L, lmp_decoder *decoder);
void lmp_decode_class(lua_State *L, lmp_decoder *decoder);
/*
** Pushes what "module.field" names: a global's field, else a field of a module, which is required:
** the longest prefix that is one. Which one it was is remembered. Raises if there is none, with the
** loader's own words.
*/
void lmp_push_named(lua_State *L, lmp_context *context, const char *name, size_t size);

/* The functions of the core: class, named. */
void lmp_open_imports(lua_State *L, lmp_context *context);

#endif
