/*
** reference.h - what travels by reference: code, tasks, pools, caches, meters.
**
** A message cannot hold such a thing as bytes, so an attachment beside the bytes refers to it. How
** a kind of thing is retained, released, written and read is told by its lmp_reference_kind, which
** the room that knows the thing registers when it opens. So the codec knows none of them but code.
*/
#ifndef LMP_REFERENCE_H
#define LMP_REFERENCE_H

#include "base/context.h"
#include "codec/value.h"

struct lmp_buffer;
struct lmp_decoder;

typedef struct lmp_reference_kind lmp_reference_kind;
struct lmp_reference_kind {
  int tag; /* what stands for it in a message */
  /* of its userdata, the metatable's name in the registry; NULL: no userdata is of this kind */
  const char *class;
  /*
  ** Of the object of an attachment; any thread. release NULL: the attachment holds no reference.
  ** Both NULL: it needs no attachment.
  */
  void (*retain)(void *object);
  void (*release)(void *object);
  /*
  ** Writes the userdata at index: 1 done, 0 this one cannot travel, -1 no memory. `top`: it is a
  ** value of the message, not a part of one. NULL without a class.
  */
  int (*encode)(lua_State *L, lmp_context *context, struct lmp_buffer *buffer, int index, bool top);
  /* Pushes the value whose tag has been read; needs 8 slots of the stack. */
  void (*decode)(lua_State *L, struct lmp_decoder *decoder, int depth);
  /* The same kind for an attachment that holds no reference; NULL: none is like that. */
  const lmp_reference_kind *borrowed;
};

/* What lies beside a message's bytes: 16 bytes, for small messages lie in their task. */
typedef struct lmp_attachment {
  const lmp_reference_kind *kind;
  void *object; /* a reference, if the kind has a release */
} lmp_attachment;

#define LMP_REFERENCE_CLASSES_MAX 8

/* The kinds that a state knows, which are the same in all states. Its context's own. */
struct lmp_references {
  const lmp_reference_kind *by_tag[LMP_TAG_COUNT];
  struct {
    const void *metatable;
    const lmp_reference_kind *kind;
  } by_class[LMP_REFERENCE_CLASSES_MAX];
  int class_count;
};

/* Registers a kind, whose class has its metatable already. */
void lmp_add_reference(lua_State *L, lmp_context *context, const lmp_reference_kind *kind);
/* The kind of the userdata at index, or NULL. Needs a slot of the stack; never raises. */
const lmp_reference_kind *lmp_find_reference(lua_State *L, const lmp_context *context, int index);
/* The kind that a tag stands for, or NULL. Never raises. */
const lmp_reference_kind *lmp_reference_of(const lmp_context *context, int tag);

#endif
