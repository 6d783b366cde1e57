/*
** store.h - a store of equal-sized blocks, cut from slabs: each thread with a local list gets and
** puts without a lock.
**
** Tasks are taken by one thread and given back by another, in bursts of millions, which general
** allocators are slow at. A full local list (a magazine: Bonwick and Adams, 2001) gives a batch
** back to the slabs; an empty one takes a batch. Free blocks are not touched, as most of them have
** left the caches. Slabs whose blocks are all back are kept while the load grows and freed after
** it, but for a few, so that memory follows the load down.
**
** Nothing stands before a block: its number in its slab, two bytes of its own that the user leaves
** alone, leads back to the slab.
*/
#ifndef MP_STORE_H
#define MP_STORE_H

#include <stdbool.h>

#include "alloc.h"
#include "lock.h"

/*
** Under AddressSanitizer a reused block would hide a use after free: slabs hold one block and none
** is kept.
*/
#if defined(__SANITIZE_ADDRESS__)
#define MP_STORE_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MP_STORE_CHECKED 1
#endif
#endif
#ifdef MP_STORE_CHECKED
#define MP_STORE_BATCH 1
#define MP_STORE_LOCAL_MAX 1
#define MP_STORE_SLAB_BLOCKS 1
#define MP_STORE_LARGE_SLAB_BLOCKS 1
#define MP_STORE_SPARE_BLOCKS 0
#define MP_STORE_KEEP_NS 0
#else
#define MP_STORE_BATCH 64
#define MP_STORE_LOCAL_MAX (2 * MP_STORE_BATCH)
#define MP_STORE_SLAB_BLOCKS 256
#define MP_STORE_LARGE_SLAB_BLOCKS 4096
/* kept in empty slabs while workers are busy; idle, they give all of them back */
#define MP_STORE_SPARE_BLOCKS 131072
/* since the last growth, for which all are kept: what grew may grow again */
#define MP_STORE_KEEP_NS ((uint64_t)100000000)
#endif
/* blocks in all, from which on slabs are larger: each costs a system call or two */
#define MP_STORE_LARGE_FROM 4096

typedef struct mp_slab mp_slab;

/* Owned by one thread. Zeroed memory is an empty list. */
typedef struct mp_store_local {
  unsigned count;
  void *block[MP_STORE_LOCAL_MAX];
} mp_store_local;

#define MP_TASK_SIZES 3 /* of blocks for tasks: see mp_task_open_stores */

/* What a thread has in stock for tasks to come. */
typedef struct mp_task_lists {
  mp_store_local of[MP_TASK_SIZES];
  uint64_t id, id_end; /* numbers not given out yet */
  /*
  ** references to the pool that are over but counted still: of workers, who have one of their own
  */
  uint32_t pool_releases;
} mp_task_lists;

typedef struct mp_store {
  _Alignas(MP_CACHE_LINE) mp_alloc *alloc; /* constant */
  size_t block_size;                       /* constant */
  size_t number_at; /* constant: where in a block its number is, a uint16_t */
  _Alignas(MP_CACHE_LINE) mp_lock lock;
  mp_slab *slabs;  /* guarded by lock: those with a free block */
  size_t free;     /* guarded by lock: blocks in all of those */
  size_t promised; /* guarded by lock: of those, how many nobody else may have */
  size_t spare;    /* guarded by lock: blocks in those that are wholly free */
  /* guarded by lock: when a slab was last added, or taken from though it was wholly free */
  uint64_t grown_ns;
  _Atomic size_t blocks; /* in all slabs; written under the lock */
} mp_store;

/* number_at: the even offset of two bytes in each block that the store writes and nobody else. */
MP_CHECKED mp_status mp_store_init(mp_store *store, mp_alloc *alloc, size_t block_size,
                                   size_t number_at);
/* Every block must be back: locals are emptied by mp_store_flush first. */
void mp_store_close(mp_store *store);

/*
** local == NULL: a thread without a list. Uninitialised memory, aligned to 16, to 64 where the
** allocator hook is the default and the size allows; NULL when out of memory.
*/
MP_CHECKED void *mp_store_get_slow(mp_store *store, mp_store_local *local);
MP_CHECKED static inline void *mp_store_get(mp_store *store, mp_store_local *local) {
  return local != NULL && local->count > 0 ? local->block[--local->count]
                                           : mp_store_get_slow(store, local);
}
void mp_store_put_slow(mp_store *store, mp_store_local *local, void *block);
static inline void mp_store_put(mp_store *store, mp_store_local *local, void *block) {
  if (local != NULL && local->count + 1 < MP_STORE_LOCAL_MAX)
    local->block[local->count++] = block;
  else
    mp_store_put_slow(store, local, block);
}
/*
** Sets n blocks aside, to be had later without fail: false if there is no memory. What is not
** fetched must be withdrawn.
*/
MP_CHECKED bool mp_store_promise(mp_store *store, size_t n);
void mp_store_keep_promise(mp_store *store, void **blocks, unsigned n);
void mp_store_withdraw_promise(mp_store *store, size_t n);
void mp_store_flush(mp_store *store, mp_store_local *local);
/* Frees the slabs that are wholly free. Any thread. */
void mp_store_trim(mp_store *store);

#endif
