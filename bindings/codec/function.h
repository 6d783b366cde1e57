/*
** function.h - how code travels: by name if a module holds it, else its bytecode once per worker
** and its upvalues with each call; and mp.source.
*/
#ifndef LMP_FUNCTION_H
#define LMP_FUNCTION_H

#include "codec/buffer.h"

/* Metatables, by name in the registry. */
#define LMP_CODE "makeparallel.code"
#define LMP_SOURCE "makeparallel.source"

/*
** __name of a metatable: its table stands for the globals, whatever it holds, and travels as these.
*/
#define LMP_GLOBALS "makeparallel.globals"

/* The code that this state has sent or received. Its context's own; registry references. */
struct lmp_codes {
  int of_function; /* [function] = code userdata, weak keys */
  int by_content;  /* [dump] = code userdata, weak values */
  int loaded;      /* [id of the bytes, or source text] = function made of it here, weak values */
  int given;       /* [function] = number of the message that has it, weak keys */
  lua_Integer messages; /* numbered so far */
};

/* Writes a function; false: refused or no memory. */
bool lmp_encode_function(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                         int depth);
/* "function <main.lua:30>" for the function at index, into text. */
void lmp_describe_function(lua_State *L, int index, char *text, size_t size);

void lmp_open_function(lua_State *L, lmp_context *context);

#endif
