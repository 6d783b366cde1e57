/*
** bytes.c - immutable shared blocks.
*/
#include <stdbool.h>
#include <string.h>

#include "parts.h"

struct mp_bytes {
  mp_pool *pool; /* a reference, unless weak */
  bool weak;
  _Atomic uint32_t references;
  uint64_t id;
  size_t size;
  char data[];
};

mp_status mp_bytes_create(mp_pool *pool, const void *data, size_t size, mp_bytes **created) {
  if (size > SIZE_MAX - sizeof(mp_bytes)) return MP_NOMEM;
  mp_bytes *bytes = mp_alloc_get(&pool->alloc, sizeof *bytes + size);
  if (bytes == NULL) return MP_NOMEM;
  mp_pool_retain(pool);
  bytes->pool = pool;
  bytes->weak = false;
  atomic_init(&bytes->references, 1);
  bytes->id = mp_add_relaxed(&pool->next_bytes_id, 1) + 1;
  bytes->size = size;
  if (size > 0) memcpy(bytes->data, data, size);
  *created = bytes;
  return MP_OK;
}

void mp_bytes_weaken(mp_bytes *bytes) {
  if (bytes->weak) return;
  bytes->weak = true;
  mp_pool_release(bytes->pool);
}

void mp_bytes_retain(mp_bytes *bytes) { mp_add_relaxed(&bytes->references, 1); }

void mp_bytes_release(mp_bytes *bytes) {
  /* acq_rel: all reading is over before it is freed */
  if (mp_sub_acq_rel(&bytes->references, 1) != 1) return;
  mp_pool *pool = bytes->pool;
  bool weak = bytes->weak;
  mp_alloc_free(&pool->alloc, bytes, sizeof *bytes + bytes->size);
  if (!weak) mp_pool_release(pool);
}

const void *mp_bytes_data(const mp_bytes *bytes, size_t *size) {
  *size = bytes->size;
  return bytes->data;
}

uint64_t mp_bytes_id(const mp_bytes *bytes) { return bytes->id; }
