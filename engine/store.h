/*
** store.h - a store of equal-sized blocks, cut from slabs: each thread with a local list gets and puts without a lock.
**
** Tasks are taken by one thread and given back by another, in bursts of millions, which general allocators are slow at. A full
** local list gives a batch back to the slabs; an empty one takes a batch. A slab whose blocks are all back is freed, but for a few, so
** that memory follows the load down.
*/
#ifndef MP_STORE_H
#define MP_STORE_H

#include <pthread.h>

#include "alloc.h"

#define MP_STORE_BATCH 64
#define MP_STORE_LOCAL_MAX (2 * MP_STORE_BATCH)
#define MP_STORE_SLAB_BLOCKS 256
#define MP_STORE_LARGE_FROM 4096 /* blocks in all, from which on slabs are larger: each costs a system call or two */
#define MP_STORE_LARGE_SLAB_BLOCKS 4096
#define MP_STORE_SPARE_BLOCKS 131072 /* kept in empty slabs while workers are busy; idle, they give all of them back */

typedef struct mp_slab mp_slab;

/* What stands before each block: its slab while it is out, the link of a list while it is free. Its 16 bytes keep the block aligned. */
typedef struct mp_block mp_block;
struct mp_block {
  _Alignas(16) mp_slab *slab; /* 32-bit pointers alone would take 8 */
  mp_block *next;
};

/* Owned by one thread. Zeroed memory is an empty list. */
typedef struct mp_store_local {
  mp_block *free;
  unsigned count;
} mp_store_local;

#define MP_TASK_SIZES 2 /* of blocks for tasks: see mp_task_open_stores */

typedef struct mp_task_lists {
  mp_store_local of[MP_TASK_SIZES];
} mp_task_lists;

typedef struct mp_store {
  mp_alloc *alloc;   /* constant */
  size_t block_size; /* constant: what the user sees */
  pthread_mutex_t lock;
  mp_slab *slabs;    /* guarded by lock: those with a free block */
  unsigned spare;    /* guarded by lock: blocks in those that are wholly free */
  _Atomic size_t blocks; /* in all slabs; written under the lock */
} mp_store;

MP_CHECKED mp_status mp_store_init(mp_store *store, mp_alloc *alloc, size_t block_size);
/* Every block must be back: locals are emptied by mp_store_flush first. */
void mp_store_close(mp_store *store);

/* local == NULL: a thread without a list. Uninitialised memory, aligned to 16; NULL when out of memory. */
MP_CHECKED void *mp_store_get(mp_store *store, mp_store_local *local);
void mp_store_put(mp_store *store, mp_store_local *local, void *memory);
void mp_store_flush(mp_store *store, mp_store_local *local);
/* Frees the slabs that are wholly free. Any thread. */
void mp_store_trim(mp_store *store);

#endif
