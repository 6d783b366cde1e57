#include "codec/buffer.h"

#include <string.h>

#include "bug.h"
#include "codec/refusal.h"
#include "codec/value.h"

#define KEEP_BYTES 65536 /* a larger buffer goes back to its pool after use */
#define LIST_MAX 16      /* so many identities are searched one by one, more of them by hash */

struct lmp_identity {
  const void *address;
  uint32_t number;
};

/*
** {======================================================
** Buffer
** =======================================================
*/

static bool no_memory(lmp_buffer *buffer) {
  buffer->memory = true;
  return false;
}

bool lmp_buffer_grow(lmp_buffer *buffer, size_t size) {
  lmp_message *m = &buffer->message;
  size_t needed = m->size + size, capacity = m->capacity == 0 ? 512 : 2 * (size_t)m->capacity;
  if (needed > LMP_MESSAGE_BYTES_MAX)
    return lmp_refuse(buffer, "value too large (more than 2 GiB)");
  /* Most likely this is one long string with little behind it: twice the size would be a waste. */
  if (capacity < needed) capacity = needed + needed / 8;
  if (capacity > LMP_MESSAGE_BYTES_MAX) capacity = LMP_MESSAGE_BYTES_MAX;
  char *bytes = mp_pool_realloc(m->pool, m->bytes, m->capacity, capacity);
  if (bytes == NULL) return no_memory(buffer);
  assert(capacity >= needed);
  m->bytes = bytes;
  m->capacity = (uint32_t)capacity;
  return true;
}

bool lmp_put(lmp_buffer *buffer, const void *data, size_t size) {
  char *at = lmp_room(buffer, size);
  if (at == NULL) return false;
  memcpy(at, data, size);
  buffer->message.size += (uint32_t)size;
  return true;
}

bool lmp_put_tag_u32(lmp_buffer *buffer, int tag, uint32_t value) {
  return lmp_put_tagged(buffer, tag, &value, sizeof value);
}

bool lmp_put_short(lmp_buffer *buffer, const char *text, size_t size) {
  if (size > 255) return lmp_refuse(buffer, "a name of more than 255 bytes");
  return lmp_put_tagged(buffer, (int)(unsigned char)size, text, size);
}

bool lmp_attach(lmp_buffer *buffer, const lmp_reference_kind *kind, void *object,
                uint32_t *number) {
  lmp_message *m = &buffer->message;
  if (m->attachment_count == m->attachment_capacity) {
    uint32_t capacity = m->attachment_capacity == 0 ? 4 : m->attachment_capacity * 2;
    lmp_attachment *more = mp_pool_realloc(
        m->pool, m->attachments, m->attachment_capacity * sizeof *more, capacity * sizeof *more);
    if (more == NULL) return no_memory(buffer);
    m->attachments = more;
    m->attachment_capacity = capacity;
  }
  assert(m->attachment_count < m->attachment_capacity && object != NULL);
  kind->retain(object);
  m->attachments[m->attachment_count] = (lmp_attachment){kind, object};
  *number = m->attachment_count++;
  return true;
}

bool lmp_put_reference(lmp_buffer *buffer, const lmp_reference_kind *kind, void *object) {
  uint32_t number;
  return lmp_attach(buffer, kind, object, &number) && lmp_put_tag_u32(buffer, kind->tag, number);
}

void lmp_encode_separate(lmp_buffer *buffer) {
  /* The index may be missing, for lack of memory. */
  if (buffer->identity_count > LIST_MAX && buffer->identity_index != NULL)
    memset(buffer->identity_index, 0xff, buffer->identity_index_size * sizeof(uint32_t));
  buffer->identity_count = 0;
}

void lmp_encode_rewind(lmp_buffer *buffer, uint32_t size, uint32_t objects, uint32_t upvalues) {
  assert(size <= buffer->message.size && size >= LMP_HEADER_SIZE);
  assert(objects <= buffer->objects && upvalues <= buffer->upvalues);
  if (!MP_BUGGY(IDENTITY_KEPT)) lmp_encode_separate(buffer);
  buffer->message.size = size;
  buffer->objects = objects;
  buffer->upvalues = upvalues;
  buffer->packing = NULL; /* an error may have left it */
}

static void forget_identities(lmp_buffer *buffer) {
  lmp_encode_separate(buffer);
  buffer->objects = buffer->upvalues = 0;
}

/* A large buffer is not kept. */
static void empty(lmp_buffer *buffer) {
  lmp_message *m = &buffer->message;
  m->size = 0;
  if (m->capacity <= KEEP_BYTES) return;
  lmp_free_block(m->pool, m->bytes, m->capacity);
  m->bytes = NULL;
  m->capacity = 0;
}

void lmp_buffer_reset(lmp_buffer *buffer) {
  lmp_message *m = &buffer->message;
  if (m->pool == NULL) return;
  lmp_release_attachments(m);
  forget_identities(buffer);
  empty(buffer);
}

void lmp_buffer_free(lmp_buffer *buffer) {
  lmp_message *m = &buffer->message;
  if (m->pool == NULL) return;
  lmp_free_block(m->pool, buffer->identities,
                 buffer->identity_capacity * sizeof *buffer->identities);
  lmp_free_block(m->pool, buffer->identity_index, buffer->identity_index_size * sizeof(uint32_t));
  lmp_message_clear(m);
  memset(buffer, 0, sizeof *buffer);
}

void lmp_encode_start(lmp_buffer *buffer) {
  static const char header[LMP_HEADER_SIZE] = {LMP_FORMAT_VERSION};
  lmp_buffer_reset(buffer); /* an error may have left something behind */
  buffer->shared = buffer->memory = false;
  buffer->imports = 0;
  buffer->refused = NULL;
  buffer->trusted_count = 0;
  buffer->packing = NULL;
  (void)!lmp_put(buffer, header, sizeof header);
}

void lmp_encode_finish(lmp_buffer *buffer, uint32_t count) {
  assert(!buffer->memory && buffer->message.size >= LMP_HEADER_SIZE);
  buffer->message.bytes[1] = buffer->shared ? LMP_FLAG_SHARED : 0;
  memcpy(buffer->message.bytes + 2, &count, sizeof count);
}

lmp_message *lmp_encode_take(lmp_buffer *buffer) {
  lmp_message *taken = mp_pool_realloc(buffer->message.pool, NULL, 0, sizeof *taken);
  if (taken == NULL) return NULL;
  lmp_encode_move(buffer, taken);
  return taken;
}

void lmp_encode_move(lmp_buffer *buffer, lmp_message *message) {
  lmp_message *m = &buffer->message;
  assert(m->size > 0 && m->pool != NULL);
  *message = *m;
  char *exact = m->size < m->capacity / 2 ? mp_pool_realloc(m->pool, NULL, 0, m->size) : NULL;
  if (exact != NULL) { /* a copy goes out, and the buffer keeps its room for the next message */
    memcpy(exact, m->bytes, m->size);
    message->bytes = exact;
    message->capacity = m->size;
    empty(buffer);
  } else {
    uint32_t spare = m->capacity - m->size;
    char *fitting = spare > KEEP_BYTES && spare > m->size / 4
                        ? mp_pool_realloc(m->pool, m->bytes, m->capacity, m->size)
                        : NULL;
    if (fitting != NULL) { /* most of what a large buffer has to spare goes back */
      message->bytes = fitting;
      message->capacity = m->size;
    }
    m->bytes = NULL;
    m->capacity = 0;
  }
  m->size = 0;
  m->attachments = NULL;
  m->attachment_count = m->attachment_capacity = 0;
  forget_identities(buffer);
}

/* }====================================================== */

/*
** {======================================================
** Identity
** =======================================================
*/

static uint32_t hash(const void *address) {
  uint64_t x = (uint64_t)(uintptr_t)address;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL; /* MurmurHash3's finaliser */
  return (uint32_t)(x >> 32);
}

static void index_identity(lmp_buffer *buffer, uint32_t i) {
  uint32_t mask = buffer->identity_index_size - 1,
           slot = hash(buffer->identities[i].address) & mask;
  /* a power of two, at most half full: the search ends */
  assert((buffer->identity_index_size & mask) == 0 && 2 * i < buffer->identity_index_size);
  while (buffer->identity_index[slot] != UINT32_MAX) slot = (slot + 1) & mask;
  buffer->identity_index[slot] = i;
}

static bool rebuild_index(lmp_buffer *buffer) {
  uint32_t size = buffer->identity_capacity * 2;
  if (size != buffer->identity_index_size) {
    uint32_t *index =
        mp_pool_realloc(buffer->message.pool, buffer->identity_index,
                        buffer->identity_index_size * sizeof *index, size * sizeof *index);
    if (index == NULL) return no_memory(buffer);
    buffer->identity_index = index;
    buffer->identity_index_size = size;
  }
  memset(buffer->identity_index, 0xff, size * sizeof *buffer->identity_index);
  for (uint32_t i = 0; i < buffer->identity_count; i++) index_identity(buffer, i);
  return true;
}

static const struct lmp_identity *find_identity(const lmp_buffer *buffer, const void *address) {
  if (buffer->identity_count <= LIST_MAX) {
    for (uint32_t i = 0; i < buffer->identity_count; i++)
      if (buffer->identities[i].address == address) return &buffer->identities[i];
    return NULL;
  }
  uint32_t mask = buffer->identity_index_size - 1, slot = hash(address) & mask;
  for (; buffer->identity_index[slot] != UINT32_MAX; slot = (slot + 1) & mask) {
    const struct lmp_identity *found = &buffer->identities[buffer->identity_index[slot]];
    if (found->address == address) return found;
  }
  return NULL;
}

static bool add_identity(lmp_buffer *buffer, const void *address, uint32_t number) {
  bool rebuild = buffer->identity_count == LIST_MAX;
  if (buffer->identity_count == buffer->identity_capacity) {
    uint32_t capacity =
        buffer->identity_capacity == 0 ? 2 * LIST_MAX : buffer->identity_capacity * 2;
    struct lmp_identity *more =
        mp_pool_realloc(buffer->message.pool, buffer->identities,
                        buffer->identity_capacity * sizeof *more, capacity * sizeof *more);
    if (more == NULL) return no_memory(buffer);
    buffer->identities = more;
    buffer->identity_capacity = capacity;
    rebuild = buffer->identity_count >= LIST_MAX;
  }
  buffer->identities[buffer->identity_count++] = (struct lmp_identity){address, number};
  if (buffer->identity_count <= LIST_MAX) return true;
  if (rebuild) return rebuild_index(buffer);
  index_identity(buffer, buffer->identity_count - 1);
  return true;
}

uint32_t lmp_identify(lmp_buffer *buffer, const void *address, uint32_t number) {
  const struct lmp_identity *found = find_identity(buffer, address);
  if (found != NULL) return found->number;
  (void)!add_identity(buffer, address, number);
  return UINT32_MAX;
}

/* }====================================================== */
