#include "store.h"

#include <assert.h>
#include <string.h>

#include "os.h"

struct mp_slab {
  mp_slab *next, *prev; /* among the slabs with a free block */
  unsigned blocks;      /* in all */
  mp_block *free;       /* given back before */
  unsigned free_count;  /* free: in `free` or not yet cut */
  unsigned uncut;       /* blocks at the end never given out */
};

#define SLAB_HEADER ((sizeof(mp_slab) + 63) & ~(size_t)63) /* blocks of a multiple of 64 bytes share no cache line */

static size_t slab_size(const mp_store *store, unsigned blocks) { return SLAB_HEADER + blocks * store->block_size; }

static uint16_t *number(const mp_store *store, mp_block *block) { return (uint16_t *)((char *)block + store->number_at); }

static mp_slab *slab_of(const mp_store *store, mp_block *block) {
  return (mp_slab *)((char *)block - *number(store, block) * store->block_size - SLAB_HEADER);
}

#ifdef MP_STORE_CHECKED
#define slab_get mp_alloc_get
#define slab_free mp_alloc_free
#else
#define slab_get mp_alloc_pages
#define slab_free mp_alloc_free_pages
#endif

mp_status mp_store_init(mp_store *store, mp_alloc *alloc, size_t block_size, size_t number_at) {
  memset(store, 0, sizeof *store);
  store->alloc = alloc;
  store->block_size = (block_size + 15) & ~(size_t)15;
  store->number_at = number_at;
  return mp_os_lock_init(&store->lock);
}

void mp_store_close(mp_store *store) {
  while (store->slabs != NULL) {
    mp_slab *slab = store->slabs;
    assert(slab->free_count == slab->blocks);
    store->slabs = slab->next;
    slab_free(store->alloc, slab, slab_size(store, slab->blocks));
  }
  pthread_mutex_destroy(&store->lock);
}

static void list_locked(mp_store *store, mp_slab *slab) {
  slab->prev = NULL;
  slab->next = store->slabs;
  if (slab->next != NULL) slab->next->prev = slab;
  store->slabs = slab;
}

static void unlist_locked(mp_store *store, mp_slab *slab) {
  if (slab->next != NULL) slab->next->prev = slab->prev;
  if (slab->prev != NULL)
    slab->prev->next = slab->next;
  else
    store->slabs = slab->next;
}

static mp_block *cut(mp_store *store, mp_slab *slab) {
  mp_block *block = slab->free;
  if (block != NULL) {
    slab->free = block->next;
  } else { /* in address order: neighbours in time are neighbours in memory */
    unsigned n = slab->blocks - slab->uncut--;
    block = (mp_block *)((char *)slab + SLAB_HEADER + n * store->block_size);
    *number(store, block) = (uint16_t)n;
  }
  slab->free_count--;
  return block;
}

static mp_slab *add_slab(mp_store *store) {
  unsigned blocks = mp_load_relaxed(&store->blocks) < MP_STORE_LARGE_FROM ? MP_STORE_SLAB_BLOCKS : MP_STORE_LARGE_SLAB_BLOCKS;
  mp_slab *slab = slab_get(store->alloc, slab_size(store, blocks));
  if (slab == NULL) return NULL;
  slab->free = NULL;
  slab->blocks = slab->free_count = slab->uncut = blocks;
  pthread_mutex_lock(&store->lock);
  mp_store_relaxed(&store->blocks, mp_load_relaxed(&store->blocks) + blocks);
  list_locked(store, slab);
  store->spare += blocks;
  store->grown_ns = mp_os_now();
  pthread_mutex_unlock(&store->lock);
  return slab;
}

/* Up to n free blocks as a chain in address order, from the slabs there are. */
static unsigned take(mp_store *store, unsigned n, mp_block **chain) {
  unsigned taken = 0;
  mp_block **tail = chain;
  pthread_mutex_lock(&store->lock);
  for (mp_slab *slab = store->slabs; slab != NULL && taken < n; slab = store->slabs) {
    if (slab->free_count == slab->blocks) {
      store->spare -= slab->blocks;
      store->grown_ns = mp_os_now();
    }
    for (; slab->free_count > 0 && taken < n; taken++) {
      *tail = cut(store, slab);
      tail = &(*tail)->next;
    }
    if (slab->free_count == 0) unlist_locked(store, slab);
  }
  pthread_mutex_unlock(&store->lock);
  *tail = NULL;
  return taken;
}

void *mp_store_get_slow(mp_store *store, mp_store_local *local) {
  mp_store_local one = {NULL, 0};
  if (local == NULL) local = &one;
  while (local->free == NULL) {
    local->count = take(store, local == &one ? 1 : MP_STORE_BATCH, &local->free);
    if (local->free == NULL && add_slab(store) == NULL) return NULL;
  }
  mp_block *block = local->free;
  local->free = block->next;
  local->count--;
  return block;
}

/* Takes a wholly free slab out, onto the chain. */
static void drop_locked(mp_store *store, mp_slab *slab, mp_slab **gone) {
  mp_store_relaxed(&store->blocks, mp_load_relaxed(&store->blocks) - slab->blocks);
  unlist_locked(store, slab);
  slab->next = *gone;
  *gone = slab;
}

static void free_slabs(mp_store *store, mp_slab *gone) {
  while (gone != NULL) {
    mp_slab *next = gone->next;
    slab_free(store->alloc, gone, slab_size(store, gone->blocks));
    gone = next;
  }
}

/* Takes out wholly free slabs until only so many blocks are spare; for free_slabs, after the lock. */
static mp_slab *trim_locked(mp_store *store, size_t spare) {
  mp_slab *gone = NULL;
  for (mp_slab *slab = store->slabs, *next; slab != NULL && store->spare > spare; slab = next) {
    next = slab->next;
    if (slab->free_count < slab->blocks) continue;
    store->spare -= slab->blocks;
    drop_locked(store, slab, &gone);
  }
  return gone;
}

void mp_store_trim(mp_store *store) {
  pthread_mutex_lock(&store->lock);
  mp_slab *gone = trim_locked(store, 0);
  pthread_mutex_unlock(&store->lock);
  free_slabs(store, gone);
}

/* Gives n blocks of a chain back to their slabs. */
static void give(mp_store *store, mp_block *chain, unsigned n) {
  mp_slab *gone = NULL;
  pthread_mutex_lock(&store->lock);
  while (n-- > 0) {
    mp_block *block = chain;
    mp_slab *slab = slab_of(store, block);
    chain = block->next;
    block->next = slab->free;
    slab->free = block;
    if (slab->free_count++ == 0) list_locked(store, slab);
    if (slab->free_count == slab->blocks) store->spare += slab->blocks;
  }
  if (store->spare > MP_STORE_SPARE_BLOCKS && mp_os_now() - store->grown_ns >= MP_STORE_KEEP_NS) gone = trim_locked(store, MP_STORE_SPARE_BLOCKS);
  pthread_mutex_unlock(&store->lock);
  free_slabs(store, gone);
}

void mp_store_put_slow(mp_store *store, mp_store_local *local, mp_block *block) {
  if (local == NULL) {
    give(store, block, 1);
    return;
  }
  block->next = local->free;
  local->free = block;
  if (++local->count < MP_STORE_LOCAL_MAX) return;
  mp_block *rest = block;
  for (int i = 0; i < MP_STORE_BATCH; i++) rest = rest->next;
  local->free = rest;
  local->count -= MP_STORE_BATCH;
  give(store, block, MP_STORE_BATCH);
}

void mp_store_flush(mp_store *store, mp_store_local *local) {
  give(store, local->free, local->count);
  local->free = NULL;
  local->count = 0;
}
