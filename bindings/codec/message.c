#include "codec/message.h"

#include "codec/value.h"

void lmp_release_attachments(lmp_message *message) {
  assert(message->attachment_count == 0 || message->attachments != NULL);
  for (uint32_t i = 0; i < message->attachment_count; i++) {
    lmp_attachment *a = &message->attachments[i];
    assert(a->kind != NULL && a->object != NULL);
    if (a->kind->release != NULL) a->kind->release(a->object);
  }
  message->attachment_count = 0;
}

mp_status lmp_message_weaken(lmp_message *message) {
  for (uint32_t i = 0; i < message->attachment_count; i++) {
    lmp_attachment *a = &message->attachments[i];
    mp_bytes *copy;
    size_t size;
    if (a->kind->tag != LMP_FUNCTION && a->kind->tag != LMP_UNNUMBERED) continue;
    /* Others who send the same function share its code: a copy of it becomes weak. */
    const void *data = mp_bytes_data(a->object, &size);
    mp_status status = mp_bytes_create(message->pool, data, size, &copy);
    if (status != MP_OK) return status;
    mp_bytes_weaken(copy);
    mp_bytes_release(a->object);
    a->object = copy;
  }
  return MP_OK;
}

void lmp_free_block(mp_pool *pool, void *block, size_t size) {
  if (block != NULL) (void)!mp_pool_realloc(pool, block, size, 0);
}

void lmp_message_clear(lmp_message *message) {
  lmp_release_attachments(message);
  lmp_free_block(message->pool, message->attachments,
                 message->attachment_capacity * sizeof(lmp_attachment));
  lmp_free_block(message->pool, message->bytes, message->capacity);
  message->attachments = NULL;
  message->bytes = NULL;
  message->size = message->capacity = message->attachment_capacity = 0;
}

void lmp_message_free(void *ud) {
  lmp_message *message = ud;
  if (message == NULL) return;
  lmp_message_clear(message);
  lmp_free_block(message->pool, message, sizeof *message);
}
