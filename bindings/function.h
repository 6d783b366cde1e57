/*
** function.h - how code travels: by name if a module holds it, else its bytecode once per worker
** and its upvalues with each call.
*/
#ifndef LMP_FUNCTION_H
#define LMP_FUNCTION_H

#include "value.h"

/*
** Writes the value at index as an IMPORT if package.loaded holds it (itself or as a field); 1 done,
** 0 not found, -1 no memory.
*/
int lmp_encode_import(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Learns the names of package.loaded anew if modules have come or gone; true if it did. */
bool lmp_refresh_names(lua_State *L, lmp_context *context);
/* Frees what was learnt. Never raises. */
void lmp_names_close(lua_State *L, lmp_context *context);
/* Writes a function. */
bool lmp_encode_function(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                         int depth);
/* Writes a metatable's name; false: refused or no memory. */
bool lmp_encode_metatable(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Pushes the value for a tag of function.c; needs 8 slots of the stack. */
void lmp_decode_import(lua_State *L, lmp_decoder *decoder);
void lmp_decode_class(lua_State *L, lmp_decoder *decoder);
void lmp_decode_function(lua_State *L, lmp_decoder *decoder, int depth);
void lmp_decode_source(lua_State *L, lmp_decoder *decoder);

/*
** Pushes what "module.field" names, requiring the module: the longest prefix that is one. Raises if
** there is none.
*/
void lmp_push_named(lua_State *L, const char *name, size_t size);
/* "function <main.lua:30>" for the function at index, into text. */
void lmp_describe_function(lua_State *L, int index, char *text, size_t size);

#endif
