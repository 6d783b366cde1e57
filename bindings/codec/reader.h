/*
** reader.h - reading a message byte by byte, with bounds: what every decoding function stands on.
**
** Bytes may be hostile: each read is checked, and raises "corrupt message at byte N: ...".
*/
#ifndef LMP_READER_H
#define LMP_READER_H

#include <string.h>

#include "codec/message.h"

/* On the C stack of whoever decodes; for one message, once. */
typedef struct lmp_decoder {
  const lmp_message *message;
  lmp_context *context;
  const char *at, *end;
  int refs;           /* stack index of the table of objects, 0: none occur */
  int env;            /* stack index of the globals to give to functions, 0: the state's own */
  lua_Integer number; /* of the message, and those beside it in one call; 0: none yet */
  bool beside;        /* it is the message of a value that another one waited for */
  uint32_t objects, upvalues; /* numbered so far */
  size_t claimed;             /* bytes, at least, that values and tables already begun still need */
  bool inert;                 /* no module is loaded, no function made: for checking bytes */
} lmp_decoder;

/* Raises, with the place. */
int lmp_corrupt(lua_State *L, const lmp_decoder *decoder, const char *what);

/* The next `size` bytes. */
static inline const char *lmp_take(lua_State *L, lmp_decoder *decoder, size_t size) {
  const char *at = decoder->at;
  assert(at <= decoder->end);
  if ((size_t)(decoder->end - at) < size) lmp_corrupt(L, decoder, "truncated");
  decoder->at = at + size;
  return at;
}
static inline uint32_t lmp_take_u32(lua_State *L, lmp_decoder *decoder) {
  uint32_t value;
  memcpy(&value, lmp_take(L, decoder, sizeof value), sizeof value);
  return value;
}
/* u8 + bytes */
const char *lmp_take_short(lua_State *L, lmp_decoder *decoder, size_t *size);
/* An attachment's number; it must be of the kind with this tag. */
lmp_attachment *lmp_take_attachment(lua_State *L, lmp_decoder *decoder, int tag);
/* Numbers the table or function on top. */
void lmp_remember(lua_State *L, lmp_decoder *decoder);

#endif
