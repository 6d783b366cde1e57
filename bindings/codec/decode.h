/*
** decode.h - a message becomes values on the stack of a state.
*/
#ifndef LMP_DECODE_H
#define LMP_DECODE_H

#include "codec/reader.h"

/* Reads the header; the number of values in *count. A helper table may be pushed, and stays. */
void lmp_decode_begin(lua_State *L, lmp_context *context, const lmp_message *message,
                      lmp_decoder *decoder, uint32_t *count);
/* Pushes the next value; needs a slot of the stack. */
void lmp_decode_value(lua_State *L, lmp_decoder *decoder);
/* Checks that nothing is left. */
void lmp_decode_end(lua_State *L, lmp_decoder *decoder);
/* Pushes all values and returns how many; the helper table, if any, lies below them. */
int lmp_decode_all(lua_State *L, lmp_context *context, const lmp_message *message);
/*
** As lmp_decode_all for a short message of nothing but nil, booleans, numbers and texts; -1 for any
** other, and nothing is pushed. No message: no value.
*/
int lmp_decode_simple(lua_State *L, lmp_context *context, const lmp_message *message);
/* Pushes the first value of a message, or nil if it has none; nothing else stays on the stack. */
void lmp_decode_first(lua_State *L, lmp_decoder *outer, const lmp_message *message);
/* Pushes the next value, which is a part of one that is `depth` levels deep. */
void lmp_decode_at_depth(lua_State *L, lmp_decoder *decoder, int depth);

#endif
