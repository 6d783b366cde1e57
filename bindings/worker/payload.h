/*
** payload.h - the argument of a Lua task, as the engine keeps it: a message, and how it is to be
** run.
*/
#ifndef LMP_PAYLOAD_H
#define LMP_PAYLOAD_H

#include "codec/message.h"

typedef enum lmp_kind {
  LMP_CALL, /* values: name, function, dependencies, arguments; result: what it returns */
  /*
  ** values: name, function, first index, seed or nil, on_error, items; result: a value an item,
  ** then a list of {index, message, value if that can travel, traceback}
  */
  LMP_CHUNK
} lmp_kind;

/*
** The argument of a Lua task. Small messages lie behind it, in the task itself; there a small
** result takes its place.
*/
typedef struct lmp_payload {
  /*
  ** Where the bytes are says whose they are. NULL: attachments and bytes follow the payload, which
  ** is the argument. payload + 1: they are the result, which took the argument's place. Elsewhere:
  ** the argument, in memory of its own.
  */
  lmp_message message;
  uint32_t kind : 1;
  uint32_t memory_kib : 31; /* what it may allocate, in KiB; 0: any amount */
  /*
  ** Of a call: so many values go into the table that is the first argument; LMP_NO_TABLE: there is
  ** no such table. Of a chunk: the id of the task that it is a piece of, cut to 32 bits, or 0.
  */
  uint32_t dependencies;
  uint32_t place : 31; /* where it was started (unseen.h), or 0 */
  uint32_t quiet : 1;  /* how it failed is nothing to tell unasked */
} lmp_payload;
#define LMP_NO_TABLE UINT32_MAX
#define LMP_INLINE_MAX 128
/* every Lua task has so many bytes for its argument, and then for its result */
#define LMP_INLINE_MIN 112

/* The message of a payload, wherever it lies: a view of it, which owns nothing. Never raises. */
lmp_message lmp_payload_message(const lmp_payload *payload);
/* mp_task_drop: frees what the payload owns. Any thread. */
void lmp_drop_payload(void *arg);

#endif
