/*
** value.h - Lua values as bytes, between two states of one process.
**
** A message is a list of values. Layout: version, flags, u32 count, then each value: a tag byte and
** what the table says. Numbers are in the machine's own order: a message never leaves the process.
**
**   tag                  then
**   NIL FALSE TRUE ENV   -                       ENV: the globals table
**   I8 I32 I64 F64       the number
**   STR8 STR32           length, bytes
**   TABLE                u32 array items, u32 pairs; the items, then key and value of each pair
**   META                 how to find the metatable (a CLASS or IMPORT), then a TABLE or, for
**                        __mp_pack, PACKED and a value
**   REF                  u32: the n-th table or function of this message, again
**   IMPORT               u8 + module, u8 + field (empty: the module itself)
**   CLASS                u8 + the name given to mp.class
**   FUNCTION             u32 attachment (its code), u8 upvalues; each UPVALUE and a value, or
**                        UPVALUE_REF and u32
**   SOURCE               u32 length, Lua source
**   HANDLE               u32 attachment (a task), then its name (a string or NIL)
**   DEPENDENCY           u32 attachment (a task): the first value it returned
**   POOL_REF             -                       the pool through which the message goes
**   SHARED_CACHE, SHARED_METER  u32 attachment   what all states share by reference
**
** Tables and functions are numbered in the order in which they begin. Flag SHARED says that a REF
** occurs, so that the decoder need not remember them otherwise. Attachments are counted references
** beside the bytes: what cannot be copied. So no byte of a message is ever a pointer or bytecode,
** and hostile bytes can do no more than name a module to require.
*/
#ifndef LMP_VALUE_H
#define LMP_VALUE_H

#include <string.h>

#include "lmp.h"

enum {
  LMP_NIL,
  LMP_FALSE,
  LMP_TRUE,
  LMP_ENV,
  LMP_I8,
  LMP_I32,
  LMP_I64,
  LMP_F64,
  LMP_STR8,
  LMP_STR32,
  LMP_TABLE,
  LMP_META,
  LMP_PACKED,
  LMP_REF,
  LMP_IMPORT,
  LMP_CLASS,
  LMP_FUNCTION,
  LMP_UPVALUE,
  LMP_UPVALUE_REF,
  LMP_SOURCE_TEXT,
  LMP_HANDLE_REF,
  LMP_DEPENDENCY,
  LMP_POOL_REF,
  LMP_SHARED_CACHE,
  LMP_SHARED_METER
};

#define LMP_FORMAT_VERSION 1
#define LMP_FLAG_SHARED 1
#define LMP_HEADER_SIZE 6
#define LMP_DEPTH_MAX 200
#define LMP_MESSAGE_BYTES_MAX ((size_t)INT32_MAX)

typedef enum lmp_attachment_kind {
  LMP_ATTACH_CODE,
  LMP_ATTACH_TASK,
  LMP_ATTACH_DEPENDENCY,
  LMP_ATTACH_CACHE,
  LMP_ATTACH_METER
} lmp_attachment_kind;

typedef struct lmp_attachment {
  lmp_attachment_kind kind;
  bool borrowed; /* no reference is held: see borrow_own_task */
  void *object;  /* an mp_bytes, mp_task, mp_cache or mp_meter: a reference unless borrowed */
} lmp_attachment;

/*
** Finished bytes with their attachments; freed with lmp_message_free. Immutable: any number of
** decoders, on any thread.
*/
typedef struct lmp_message {
  mp_pool *pool; /* whose memory it is; outlives the message */
  char *bytes;
  uint32_t size, capacity;
  uint32_t attachment_count, attachment_capacity;
  lmp_attachment *attachments;
} lmp_message;

void lmp_release_attachments(lmp_message *message); /* only those */
void lmp_message_clear(lmp_message *message); /* frees what it holds, not itself; never raises */
/* it keeps its pool alive no longer: freed in `closed` at the latest */
MP_CHECKED mp_status lmp_message_weaken(lmp_message *message);
void lmp_message_free(void *message); /* for an allocated one; an mp_task_drop */

/*
** {======================================================
** Encoding
** =======================================================
*/

/* Where a message is written: owned by a context, kept between uses. */
struct lmp_buffer {
  lmp_message message;
  /* identity: address -> number, first a list, then a hash */
  struct lmp_identity *identities;
  uint32_t identity_count, identity_capacity;
  uint32_t *identity_index;
  uint32_t identity_index_size;
  uint32_t objects, upvalues; /* numbered so far */
  bool shared;
  bool memory;      /* failed for lack of memory */
  char reason[384]; /* why a value was refused */
  char path[512];   /* where, built from the inside out */
  uint32_t path_at;
  const char *root; /* what the path starts from */
};

/* What the values are. */
typedef struct lmp_encoding {
  const char *root;      /* "args" or "result", for the text of a refusal */
  const char *direction; /* "to a worker" */
  /* so many values come before [1]: the task's name, its function, its dependencies */
  int unnumbered;
  bool dependencies; /* a handle at the top level is a dependency */
  int list;          /* 0, or the stack index of a list of which some items follow as values */
  lua_Integer list_first;
  uint32_t list_count;
  const char *list_root;
  lua_Integer list_offset; /* of the list's index 0 in what it is a part of */
} lmp_encoding;

/* Starts a message in the context's scratch buffer. Memory comes from `pool`. */
lmp_buffer *lmp_encode_begin(lua_State *L, lmp_context *context, mp_pool *pool);
/*
** Writes the n values from stack index `first` on, and the items of the list, after begin; false
** with buffer->path and reason set. May raise (memory).
*/
bool lmp_encode_values(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                       const lmp_encoding *how, int first, int n);
/*
** For a message written value by value: starts it in `buffer` (which has its pool set), and closes
** it.
*/
void lmp_encode_start(lmp_buffer *buffer);
void lmp_encode_finish(lmp_buffer *buffer, uint32_t count);
/* Takes back what was written since the buffer had these counts; the identities with it. */
void lmp_encode_rewind(lmp_buffer *buffer, uint32_t size, uint32_t objects, uint32_t upvalues);
/* What follows shares nothing with what was written. */
void lmp_encode_separate(lmp_buffer *buffer);
/*
** After that, or when a message is done: what __mp_pack returned may go. Needs a slot of the stack;
** never raises.
*/
void lmp_forget_packed(lua_State *L, lmp_context *context);
/*
** Pushes the text of a refusal: "args[2].conn (userdata 'FILE*') cannot be sent to a worker: ..."
*/
void lmp_push_refusal(lua_State *L, const lmp_buffer *buffer, const lmp_encoding *how);
/* Raises that text, at whoever called the C function that runs. */
void lmp_raise_refusal(lua_State *L, const lmp_buffer *buffer, const lmp_encoding *how);
/* Moves the message out (into memory of the pool); NULL when out of memory. Never raises. */
lmp_message *lmp_encode_take(lmp_buffer *buffer);
/* Moves the message out into *message, which the caller owns. Never raises. */
void lmp_encode_move(lmp_buffer *buffer, lmp_message *message);
/* Forgets what was written; keeps a modest buffer. Never raises. */
void lmp_buffer_reset(lmp_buffer *buffer);
void lmp_buffer_free(lmp_buffer *buffer);

/* Writing. False or NULL: no memory, or the message would be too large. */
bool lmp_buffer_grow(lmp_buffer *buffer, size_t size);
/* Where the next `size` bytes go. */
static inline char *lmp_room(lmp_buffer *buffer, size_t size) {
  lmp_message *m = &buffer->message;
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
bool lmp_put_short(lmp_buffer *buffer, const char *text, size_t size); /* u8 + bytes, cut at 255 */
/* Attaches a reference (taken here); false: no memory. */
bool lmp_attach(lmp_buffer *buffer, lmp_attachment_kind kind, void *object, uint32_t *number);
/* The number of an address seen before, or UINT32_MAX after giving it `number`. */
uint32_t lmp_identify(lmp_buffer *buffer, const void *address, uint32_t number);
bool lmp_encode_value(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index, int depth,
                      bool top);
bool lmp_refuse(lmp_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lmp_path_prepend(lmp_buffer *buffer, const char *step);

/* }====================================================== */

/*
** {======================================================
** Decoding
** =======================================================
*/

typedef struct lmp_decoder {
  const lmp_message *message;
  lmp_context *context;
  const char *at, *end;
  int refs; /* stack index of the table of objects, 0: none occur */
  int env;  /* stack index of the globals to give to functions, 0: the state's own */
  uint32_t objects, upvalues;
  size_t claimed; /* bytes, at least, that values and tables already begun still need */
  bool inert;     /* no module is loaded, no function made: for checking bytes */
} lmp_decoder;

/* Reads the header; the number of values in *count. Raises "corrupt message at byte N: ...". */
void lmp_decode_begin(lua_State *L, lmp_context *context, const lmp_message *message,
                      lmp_decoder *decoder, uint32_t *count);
/* Pushes the next value; needs a slot of the stack. */
void lmp_decode_value(lua_State *L, lmp_decoder *decoder);
/* Checks that nothing is left. */
void lmp_decode_end(lua_State *L, lmp_decoder *decoder);
/*
** Pushes all values; returns how many. The helper table, if any, stays below them at the returned
** base.
*/
int lmp_decode_all(lua_State *L, lmp_context *context, const lmp_message *message);

/* For function.c: reading, with bounds. */
const char *lmp_take(lua_State *L, lmp_decoder *decoder, size_t size);
uint32_t lmp_take_u32(lua_State *L, lmp_decoder *decoder);
const char *lmp_take_short(lua_State *L, lmp_decoder *decoder, size_t *size);
void lmp_remember(lua_State *L, lmp_decoder *decoder); /* numbers the object on top */
int lmp_corrupt(lua_State *L, const lmp_decoder *decoder, const char *what);
lmp_attachment *lmp_take_attachment(lua_State *L, lmp_decoder *decoder, lmp_attachment_kind kind);
void lmp_decode_at_depth(lua_State *L, lmp_decoder *decoder, int depth);

/* }====================================================== */

#endif
