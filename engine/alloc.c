#include "alloc.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

static void *libc_realloc(void *ud, void *block, size_t size_old, size_t size_new) {
  (void)ud;
  (void)size_old;
  if (size_new == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, size_new);
}

void mp_alloc_init(mp_alloc *alloc, const mp_allocator *hook) {
  alloc->hook = *hook;
  if (alloc->hook.realloc == NULL) alloc->hook.realloc = libc_realloc;
  atomic_init(&alloc->bytes, 0);
}

void *mp_alloc_resize(mp_alloc *alloc, void *block, size_t size_old, size_t size_new) {
  assert(size_new > 0); /* to the hook 0 means: free it */
  assert((block == NULL) == (size_old == 0));
  void *grown = alloc->hook.realloc(alloc->hook.ud, block, size_old, size_new);
  if (grown != NULL) mp_add_relaxed(&alloc->bytes, size_new - size_old);
  return grown;
}

void *mp_alloc_get(mp_alloc *alloc, size_t size) { return mp_alloc_resize(alloc, NULL, 0, size); }

void *mp_alloc_zeroed(mp_alloc *alloc, size_t size) {
  void *block = mp_alloc_get(alloc, size);
  if (block != NULL) memset(block, 0, size);
  return block;
}

void mp_alloc_free(mp_alloc *alloc, void *block, size_t size) {
  if (block == NULL) return;
  assert(size > 0);
  mp_sub_relaxed(&alloc->bytes, size);
  alloc->hook.realloc(alloc->hook.ud, block, size, 0);
}

/* The block's true start lies just before what the caller sees. */
#define ALIGNED_EXTRA (MP_CACHE_LINE + sizeof(void *))

void *mp_alloc_aligned(mp_alloc *alloc, size_t size) {
  char *start = mp_alloc_get(alloc, size + ALIGNED_EXTRA);
  if (start == NULL) return NULL;
  uintptr_t seen = ((uintptr_t)start + ALIGNED_EXTRA - 1) & ~(uintptr_t)(MP_CACHE_LINE - 1);
  void *block = (void *)seen;
  assert((char *)block >= start + sizeof start);
  assert((char *)block + size <= start + size + ALIGNED_EXTRA);
  memcpy((char *)block - sizeof(void *), &start, sizeof start);
  memset(block, 0, size);
  return block;
}

void mp_alloc_free_aligned(mp_alloc *alloc, void *block, size_t size) {
  void *start;
  if (block == NULL) return;
  memcpy(&start, (char *)block - sizeof(void *), sizeof start);
  mp_alloc_free(alloc, start, size + ALIGNED_EXTRA);
}

void *mp_alloc_pages(mp_alloc *alloc, size_t size) {
  if (alloc->hook.realloc != libc_realloc) return mp_alloc_get(alloc, size);
  void *pages = mp_os_pages_get(size);
  if (pages != NULL) mp_add_relaxed(&alloc->bytes, size);
  return pages;
}

void mp_alloc_free_pages(mp_alloc *alloc, void *pages, size_t size) {
  if (alloc->hook.realloc != libc_realloc) {
    mp_alloc_free(alloc, pages, size);
    return;
  }
  mp_sub_relaxed(&alloc->bytes, size);
  mp_os_pages_free(pages, size);
}
