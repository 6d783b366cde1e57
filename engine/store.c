#include "store.h"

#include <assert.h>
#include <string.h>

#include "os.h"

/*
** A header, the blocks, and behind them the numbers of those that were given back: a stack, so that
** free blocks need not be touched.
*/
struct mp_slab {
  mp_slab *next, *prev; /* among the slabs with a free block */
  unsigned blocks;      /* in all */
  unsigned returned;    /* blocks given back */
  unsigned uncut;       /* blocks at the end never given out */
};

/* blocks of a multiple of 64 bytes share no cache line */
#define SLAB_HEADER ((sizeof(mp_slab) + 63) & ~(size_t)63)

static size_t slab_size(const mp_store *store, unsigned blocks) {
  return SLAB_HEADER + blocks * (store->block_size + sizeof(uint16_t));
}

static void *block_at(const mp_store *store, mp_slab *slab, unsigned number) {
  return (char *)slab + SLAB_HEADER + number * store->block_size;
}

static uint16_t *returned_numbers(const mp_store *store, mp_slab *slab) {
  return block_at(store, slab, slab->blocks);
}

static uint16_t *number_of(const mp_store *store, void *block) {
  return (uint16_t *)((char *)block + store->number_at);
}

static mp_slab *slab_of(const mp_store *store, void *block) {
  return (mp_slab *)((char *)block - *number_of(store, block) * store->block_size - SLAB_HEADER);
}

static unsigned free_in(const mp_slab *slab) { return slab->returned + slab->uncut; }

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
  return mp_lock_init(&store->lock);
}

void mp_store_close(mp_store *store) {
  while (store->slabs != NULL) {
    mp_slab *slab = store->slabs;
    assert(free_in(slab) == slab->blocks);
    store->slabs = slab->next;
    slab_free(store->alloc, slab, slab_size(store, slab->blocks));
  }
  mp_lock_close(&store->lock);
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

static void *cut(mp_store *store, mp_slab *slab) {
  if (slab->returned > 0)
    return block_at(store, slab, returned_numbers(store, slab)[--slab->returned]);
  /* in address order: neighbours in time are neighbours in memory */
  unsigned number = slab->blocks - slab->uncut--;
  void *block = block_at(store, slab, number);
  *number_of(store, block) = (uint16_t)number;
  return block;
}

static bool add_slab(mp_store *store) {
  unsigned blocks = mp_load_relaxed(&store->blocks) < MP_STORE_LARGE_FROM
                        ? MP_STORE_SLAB_BLOCKS
                        : MP_STORE_LARGE_SLAB_BLOCKS;
  mp_slab *slab = slab_get(store->alloc, slab_size(store, blocks));
  if (slab == NULL) return false;
  slab->returned = 0;
  slab->blocks = slab->uncut = blocks;
  mp_lock_take(&store->lock);
  mp_store_relaxed(&store->blocks, mp_load_relaxed(&store->blocks) + blocks);
  list_locked(store, slab);
  store->free += blocks;
  store->spare += blocks;
  store->grown_ns = mp_os_now();
  mp_lock_give(&store->lock);
  return true;
}

/* Up to n free blocks in address order, if there are as many beside those that are promised. */
static unsigned take(mp_store *store, void **blocks, unsigned n, bool promised) {
  unsigned taken = 0;
  mp_lock_take(&store->lock);
  if (!promised && n > store->free - store->promised) n = (unsigned)(store->free - store->promised);
  for (mp_slab *slab = store->slabs; slab != NULL && taken < n; slab = store->slabs) {
    if (free_in(slab) == slab->blocks) {
      store->spare -= slab->blocks;
      store->grown_ns = mp_os_now();
    }
    while (free_in(slab) > 0 && taken < n) blocks[taken++] = cut(store, slab);
    if (free_in(slab) == 0) unlist_locked(store, slab);
  }
  store->free -= taken;
  if (promised) store->promised -= taken;
  mp_lock_give(&store->lock);
  return taken;
}

void *mp_store_get_slow(mp_store *store, mp_store_local *local) {
  void *blocks[MP_STORE_BATCH];
  unsigned wanted = local == NULL ? 1 : MP_STORE_BATCH, taken;
  while ((taken = take(store, blocks, wanted, false)) == 0)
    if (!add_slab(store)) return NULL;
  for (unsigned i = taken; i > 1; i--) local->block[local->count++] = blocks[i - 1];
  return blocks[0];
}

bool mp_store_promise(mp_store *store, size_t n) {
  for (;;) {
    mp_lock_take(&store->lock);
    bool enough = store->free - store->promised >= n;
    if (enough) store->promised += n;
    mp_lock_give(&store->lock);
    if (enough) return true;
    if (add_slab(store)) continue;
    mp_store_trim(store); /* what was got for nothing */
    return false;
  }
}

void mp_store_keep_promise(mp_store *store, void **blocks, unsigned n) {
  unsigned taken = take(store, blocks, n, true);
  assert(taken == n);
  (void)taken;
}

void mp_store_withdraw_promise(mp_store *store, size_t n) {
  mp_lock_take(&store->lock);
  store->promised -= n;
  mp_lock_give(&store->lock);
}

/*
** Takes out wholly free slabs until only so many blocks are spare; for free_slabs, after the lock.
*/
static mp_slab *trim_locked(mp_store *store, size_t spare) {
  mp_slab *gone = NULL;
  for (mp_slab *slab = store->slabs, *next; slab != NULL && store->spare > spare; slab = next) {
    next = slab->next;
    if (free_in(slab) < slab->blocks || store->free - store->promised < slab->blocks) continue;
    store->spare -= slab->blocks;
    store->free -= slab->blocks;
    mp_store_relaxed(&store->blocks, mp_load_relaxed(&store->blocks) - slab->blocks);
    unlist_locked(store, slab);
    slab->next = gone;
    gone = slab;
  }
  return gone;
}

static void free_slabs(mp_store *store, mp_slab *gone) {
  while (gone != NULL) {
    mp_slab *next = gone->next;
    slab_free(store->alloc, gone, slab_size(store, gone->blocks));
    gone = next;
  }
}

void mp_store_trim(mp_store *store) {
  mp_lock_take(&store->lock);
  mp_slab *gone = trim_locked(store, 0);
  mp_lock_give(&store->lock);
  free_slabs(store, gone);
}

/* Gives n blocks back to their slabs. */
static void give(mp_store *store, void *const *blocks, unsigned n) {
  mp_slab *gone = NULL;
  mp_lock_take(&store->lock);
  for (unsigned i = 0; i < n; i++) {
    mp_slab *slab = slab_of(store, blocks[i]);
    if (free_in(slab) == 0) list_locked(store, slab);
    returned_numbers(store, slab)[slab->returned++] = *number_of(store, blocks[i]);
    if (free_in(slab) == slab->blocks) store->spare += slab->blocks;
  }
  store->free += n;
  if (store->spare > MP_STORE_SPARE_BLOCKS && mp_os_now() - store->grown_ns >= MP_STORE_KEEP_NS)
    gone = trim_locked(store, MP_STORE_SPARE_BLOCKS);
  mp_lock_give(&store->lock);
  free_slabs(store, gone);
}

void mp_store_put_slow(mp_store *store, mp_store_local *local, void *block) {
  if (local == NULL) {
    give(store, &block, 1);
    return;
  }
  local->block[local->count++] = block;
  if (local->count < MP_STORE_LOCAL_MAX) return;
  give(store, local->block, MP_STORE_BATCH); /* those that have been there longest */
  local->count -= MP_STORE_BATCH;
  memmove(local->block, local->block + MP_STORE_BATCH, local->count * sizeof local->block[0]);
}

void mp_store_flush(mp_store *store, mp_store_local *local) {
  give(store, local->block, local->count);
  local->count = 0;
}
