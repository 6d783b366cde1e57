#include "codec/reader.h"

#include <string.h>

int lmp_corrupt(lua_State *L, const lmp_decoder *decoder, const char *what) {
  long at = (long)(decoder->at - decoder->message->bytes);
  return luaL_error(L, "corrupt message at byte %d: %s", (int)at, what);
}

const char *lmp_take_short(lua_State *L, lmp_decoder *decoder, size_t *size) {
  *size = (unsigned char)*lmp_take(L, decoder, 1);
  return lmp_take(L, decoder, *size);
}

lmp_attachment *lmp_take_attachment(lua_State *L, lmp_decoder *decoder, int tag) {
  uint32_t number = lmp_take_u32(L, decoder);
  if (number >= decoder->message->attachment_count ||
      decoder->message->attachments[number].kind->tag != tag)
    lmp_corrupt(L, decoder, "no such attachment");
  return &decoder->message->attachments[number];
}

void lmp_remember(lua_State *L, lmp_decoder *decoder) {
  decoder->objects++;
  if (decoder->refs == 0) return;
  assert(lua_istable(L, decoder->refs));
  lua_pushvalue(L, -1);
  lua_rawseti(L, decoder->refs, decoder->objects);
}
