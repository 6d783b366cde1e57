/*
** alloc.h - the only caller of malloc: memory through the host's hook, counted.
**
** Any function may run on any thread. Failure is NULL and changes nothing.
*/
#ifndef MP_ALLOC_H
#define MP_ALLOC_H

#include <stddef.h>

#include "atomic.h"
#include "makeparallel.h"

typedef struct mp_alloc {
  mp_allocator hook;    /* constant after init */
  _Atomic size_t bytes; /* atomic: handed out and not returned */
} mp_alloc;

/* A hook with a NULL function stands for malloc and free. */
void mp_alloc_init(mp_alloc *alloc, const mp_allocator *hook);

/* Uninitialised memory; `size` > 0. */
MP_CHECKED void *mp_alloc_get(mp_alloc *alloc, size_t size);
MP_CHECKED void *mp_alloc_zeroed(mp_alloc *alloc, size_t size);
/* As realloc: on failure the old block stays. */
MP_CHECKED void *mp_alloc_resize(mp_alloc *alloc, void *block, size_t size_old, size_t size_new);
/* `size` is what was asked for; a NULL block is ignored. */
void mp_alloc_free(mp_alloc *alloc, void *block, size_t size);

/* Zeroed memory on a cache-line boundary; freed with mp_alloc_free_aligned and the same size. */
MP_CHECKED void *mp_alloc_aligned(mp_alloc *alloc, size_t size);
void mp_alloc_free_aligned(mp_alloc *alloc, void *block, size_t size);

/*
** For large blocks that come and go: with the default hook whole pages, which return to the system
** when freed.
*/
MP_CHECKED void *mp_alloc_pages(mp_alloc *alloc, size_t size);
void mp_alloc_free_pages(mp_alloc *alloc, void *pages, size_t size);

#endif
