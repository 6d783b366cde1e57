/*
** message.h - finished bytes with the attachments beside them: what a task is given, and what it
** leaves.
**
** A message is immutable once it is written: any number of decoders may read it, on any thread.
** Whoever owns it frees it, on any thread. Nothing here raises.
*/
#ifndef LMP_MESSAGE_H
#define LMP_MESSAGE_H

#include "codec/reference.h"

typedef struct lmp_message {
  mp_pool *pool; /* whose memory it is; outlives the message */
  char *bytes;
  uint32_t size, capacity;
  uint32_t attachment_count, attachment_capacity;
  lmp_attachment *attachments;
} lmp_message;

/* Releases what the attachments refer to; the rest of the message stays. */
void lmp_release_attachments(lmp_message *message);
/* Frees what the message holds, not itself. */
void lmp_message_clear(lmp_message *message);
/* Clears and frees an allocated message; NULL is ignored. An mp_task_drop. */
void lmp_message_free(void *message);
/*
** The message keeps its pool alive no longer: it is freed in the pool's `closed` at the latest.
** NOMEM: it is as it was, in part.
*/
MP_CHECKED mp_status lmp_message_weaken(lmp_message *message);
/* Gives back a block of the pool's memory; NULL is ignored. */
void lmp_free_block(mp_pool *pool, void *block, size_t size);

#endif
