/*
** encode.h - values on the stack of a state become a message.
**
** One pass, in the state's scratch buffer. Functions are written by function.c, and what travels by
** reference by whoever has registered its kind (reference.h). No metamethod is called but
** __mp_pack.
*/
#ifndef LMP_ENCODE_H
#define LMP_ENCODE_H

#include "codec/buffer.h"

/* Where this state writes its messages. Its context's own; of others only this room looks inside,
** and whoever closes the pool whose memory the buffer has. */
struct lmp_scratch {
  lmp_buffer buffer;
  bool packing; /* __mp_pack runs for a message that is half written: none other may begin */
  int packed;   /* registry reference: nil, or a list of what __mp_pack returned for the message */
  lua_Integer packed_count;
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
/* Writes one value, `depth` levels deep; `top`: a handle is a dependency. False as above. */
bool lmp_encode_value(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index, int depth,
                      bool top);
/*
** When the message is done, or what follows shares nothing with it: what __mp_pack returned may go.
** Needs a slot of the stack; never raises.
*/
void lmp_forget_packed(lua_State *L, lmp_context *context);

void lmp_open_scratch(lua_State *L, lmp_context *context);
/* Gives the buffer's memory back, if it is of that pool; NULL: whatever it is. Never raises. */
void lmp_scratch_free(lmp_context *context, const mp_pool *pool);

#endif
