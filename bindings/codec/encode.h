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

/*
** Where this state writes its messages: each on a level of its own, which is free again when the
** message was moved out of it, or when whoever began it is gone. Code of the program's may run
** while one is half written (a finaliser, __mp_pack, a loader) and send messages as well: on the
** level above. Its context's own; only this room looks inside.
*/
struct lmp_scratch {
  struct lmp_level *first, *top; /* the bottom one; the one that was begun last */
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

/*
** Makes room for a message that the caller is about to begin, which runs no finaliser then: they
** may close the pool that it is for, so that is looked up in between.
*/
void lmp_encode_prepare(lua_State *L, lmp_context *context);
/* Starts a message in a scratch buffer of the context's. Memory comes from `pool`. */
lmp_buffer *lmp_encode_begin(lua_State *L, lmp_context *context, mp_pool *pool);
/*
** Writes the n values from stack index `first` on, and the items of the list, after begin; false
** with buffer->path and reason set. May raise (memory).
*/
bool lmp_encode_values(lua_State *L, lmp_context *context, lmp_buffer *buffer,
                       const lmp_encoding *how, int first, int n);
/*
** Writes one value, or nothing and returns false: it cannot travel, or its own __mp_pack raises.
** May raise (memory).
*/
bool lmp_encode_attempt(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index);
/* Writes one value, `depth` levels deep; `top`: a handle is a dependency. False as above. */
bool lmp_encode_value(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index, int depth,
                      bool top);
/*
** Writes a table that reads through to the globals: its own fields, and that it does so. False as
** above.
*/
bool lmp_encode_environment(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                            int depth);
/*
** When the message is done, or what follows shares nothing with it: what __mp_pack returned may go.
** Needs a slot of the stack; never raises.
*/
void lmp_forget_packed(lua_State *L, lmp_buffer *buffer);

void lmp_open_scratch(lua_State *L, lmp_context *context);
/*
** The pool is about to be closed: gives back the memory that the buffers have of it; where a
** message is half written the pool is kept until that is over. False: it cannot be kept, for lack
** of memory. NULL: gives everything back. Never raises.
*/
MP_CHECKED bool lmp_scratch_free(lmp_context *context, mp_pool *pool);

#endif
