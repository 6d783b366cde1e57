/*
** buffer.h - where a message is written: its memory, the references beside it, and which objects it
** has met.
**
** A buffer belongs to one lua_State and is kept between uses. Nothing here raises: what fails for
** lack of memory sets buffer->memory, what is refused has its reason in the buffer (refusal.h).
*/
#ifndef LMP_BUFFER_H
#define LMP_BUFFER_H

#include <string.h>

#include "codec/message.h"

#define LMP_TRUSTED_MAX 8

typedef struct lmp_buffer {
  lmp_message message;
  /* identity: address -> number, first a list, then a hash */
  struct lmp_identity *identities;
  uint32_t identity_count, identity_capacity;
  uint32_t *identity_index;
  uint32_t identity_index_size;
  uint32_t objects, upvalues; /* numbered so far */
  uint32_t imports;           /* names written that may make the reader load a module */
  bool shared;                /* an object was written that is referred to again */
  bool memory;                /* failed for lack of memory */
  char reason[384];           /* why a value was refused */
  char path[512];             /* where, built from the inside out */
  uint32_t path_at;
  const char *root; /* what the path starts from */
  /*
  ** What has a name in doubt and cannot travel otherwise: the last such that was met, or NULL; and
  ** what of it travels by its name in this message.
  */
  const void *refused, *trusted[LMP_TRUSTED_MAX];
  uint32_t trusted_count;
  /*
  ** An environment that reads through to the globals is written as these; and met was a function
  ** that names another field of it.
  */
  bool as_globals, names_own;
  /* what __mp_pack returned for this message: a list in the registry, if there are any */
  int packed;
  lua_Integer packed_count;
  const struct lmp_packing *packing; /* the objects whose packed value is being written */
} lmp_buffer;

/*
** {======================================================
** Beginning and ending a message
** =======================================================
*/

/*
** Starts a message that is written value by value in `buffer`, which has its pool set; and closes
** it, with `count` values.
*/
void lmp_encode_start(lmp_buffer *buffer);
void lmp_encode_finish(lmp_buffer *buffer, uint32_t count);
/* Takes back what was written since the buffer had these counts; the identities with it. */
void lmp_encode_rewind(lmp_buffer *buffer, uint32_t size, uint32_t objects, uint32_t upvalues);
/* What follows shares nothing with what was written. */
void lmp_encode_separate(lmp_buffer *buffer);
/* Moves the message out (into memory of the pool); NULL when out of memory. */
lmp_message *lmp_encode_take(lmp_buffer *buffer);
/* Moves the message out into *message, which the caller owns. */
void lmp_encode_move(lmp_buffer *buffer, lmp_message *message);
/* Forgets what was written; keeps a modest buffer. */
void lmp_buffer_reset(lmp_buffer *buffer);
void lmp_buffer_free(lmp_buffer *buffer);

/* }====================================================== */

/*
** {======================================================
** Writing. False or NULL: no memory, or the message would be too large
** =======================================================
*/

bool lmp_buffer_grow(lmp_buffer *buffer, size_t size);
/* Where the next `size` bytes go. */
static inline char *lmp_room(lmp_buffer *buffer, size_t size) {
  lmp_message *m = &buffer->message;
  assert(m->size <= m->capacity);
  if (m->capacity - m->size < size && !lmp_buffer_grow(buffer, size)) return NULL;
  return m->bytes + m->size;
}
bool lmp_put(lmp_buffer *buffer, const void *data, size_t size);
/* A tag and a number in one step. */
static inline bool lmp_put_tagged(lmp_buffer *buffer, int tag, const void *data, size_t size) {
  char *at = lmp_room(buffer, 1 + size);
  if (at == NULL) return false;
  at[0] = (char)tag;
  memcpy(at + 1, data, size);
  buffer->message.size += (uint32_t)(1 + size);
  return true;
}
static inline bool lmp_put_tag(lmp_buffer *buffer, int tag) {
  return lmp_put_tagged(buffer, tag, "", 0);
}
bool lmp_put_tag_u32(lmp_buffer *buffer, int tag, uint32_t value);
bool lmp_put_short(lmp_buffer *buffer, const char *text, size_t size); /* u8 + bytes, up to 255 */
/* Attaches an object, with a reference taken here. */
bool lmp_attach(lmp_buffer *buffer, const lmp_reference_kind *kind, void *object, uint32_t *number);
/* Attaches it and writes the kind's tag and the attachment's number. */
bool lmp_put_reference(lmp_buffer *buffer, const lmp_reference_kind *kind, void *object);
/* Does what is at the address travel by a name that is in doubt? */
static inline bool lmp_is_trusted(const lmp_buffer *buffer, const void *address) {
  for (uint32_t i = 0; i < buffer->trusted_count; i++)
    if (buffer->trusted[i] == address) return true;
  return false;
}
/* The number of an address seen before, or UINT32_MAX after giving it `number`. */
uint32_t lmp_identify(lmp_buffer *buffer, const void *address, uint32_t number);

/* }====================================================== */

#endif
