/*
** cache.c - bytes under bytes, shared by threads: a hash table and a ring by last use under one
** lock; flights, so that one thread computes.
**
** Memory is taken before the lock and given back after it, so that neither the allocator nor
** whoever waits for it runs under the lock.
*/
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "alloc.h"
#include "event.h"
#include "os.h"

#define BUCKETS_FIRST 64
#define FLIGHT_BUCKETS 64

/*
** A key with its value, in one block: references are the cache's own and one for each who reads the
** value.
*/
struct mp_cache_value {
  _Atomic uint32_t references;
  mp_cache *cache;       /* whose memory this is; a reference for each reader */
  uint64_t hash, ends;   /* constant; ends: MP_FOREVER if the value does not expire */
  size_t key_size, size; /* constant */
  /* guarded by lock; newer leads the list of what is freed, too */
  mp_cache_value *next_in_bucket, *newer, *older;
  char data[]; /* the key, then the value */
};

struct mp_flight {
  mp_cache *cache; /* a reference */
  uint64_t hash;
  size_t key_size;
  mp_flight *next; /* guarded by lock */
  char key[];
};

struct mp_cache {
  /* constant after create */
  mp_alloc alloc;
  size_t entries_max, bytes_max;
  uint64_t ttl_ns; /* MP_FOREVER: nothing expires, and the clock is not asked */
  uint64_t (*clock)(void *ud);
  void *clock_ud;
  mp_os_fork_guard fork_guard;
  _Atomic uint32_t references;
  mp_event landed; /* signalled when a flight has ended */
  mp_os_mutex lock;
  mp_cache_value **buckets MP_GUARDED_BY(lock);
  size_t bucket_count MP_GUARDED_BY(lock); /* a power of two */
  mp_cache_value *newest MP_GUARDED_BY(lock), *oldest MP_GUARDED_BY(lock);
  mp_flight *flights[FLIGHT_BUCKETS] MP_GUARDED_BY(lock);
  size_t entries MP_GUARDED_BY(lock), bytes MP_GUARDED_BY(lock);
  uint64_t hits MP_GUARDED_BY(lock), misses MP_GUARDED_BY(lock);
  uint64_t evicted MP_GUARDED_BY(lock), expired MP_GUARDED_BY(lock);
};

static bool expires(const mp_cache *cache) { return cache->ttl_ns != MP_FOREVER; }

static uint64_t mp_clock(void *ud) {
  (void)ud;
  return mp_os_now();
}

/* FNV-1a, then a finaliser (MurmurHash3's), for the low bits choose the bucket. */
static uint64_t hash_of(const void *key, size_t size) {
  const unsigned char *bytes = key;
  uint64_t h = 0xcbf29ce484222325ULL;
  for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 0x100000001b3ULL;
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  return h ^ (h >> 33);
}

static size_t block_size(size_t key_size, size_t size) {
  return sizeof(mp_cache_value) + key_size + size;
}

/*
** {======================================================
** Life
** =======================================================
*/

/* Unchecked: nobody else knows the new one. */
mp_status mp_cache_create(const mp_cache_config *config, mp_cache **created) MP_UNCHECKED {
  mp_alloc alloc;
  if (config->size != sizeof *config) return MP_INVALID;
  mp_alloc_init(&alloc, &config->allocator);
  mp_cache *cache = mp_alloc_zeroed(&alloc, sizeof *cache);
  if (cache == NULL) return MP_NOMEM;
  mp_alloc_init(&cache->alloc, &config->allocator);
  cache->entries_max = config->entries_max;
  cache->bytes_max = config->bytes_max;
  cache->ttl_ns = config->ttl_ns != 0 ? config->ttl_ns : MP_FOREVER;
  cache->clock = config->clock != NULL ? config->clock : mp_clock;
  cache->clock_ud = config->clock_ud;
  atomic_init(&cache->references, 1);
  mp_status status = MP_NOMEM;
  cache->bucket_count = BUCKETS_FIRST;
  cache->buckets = mp_alloc_zeroed(&cache->alloc, BUCKETS_FIRST * sizeof *cache->buckets);
  if (cache->buckets == NULL) goto fail_buckets;
  status = mp_event_init(&cache->landed);
  if (status != MP_OK) goto fail_event;
  status = mp_os_mutex_init(&cache->lock);
  if (status != MP_OK) goto fail_lock;
  mp_os_fork_guard_open(&cache->fork_guard);
  *created = cache;
  return MP_OK;

fail_lock:
  mp_event_close(&cache->landed);
fail_event:
  mp_alloc_free(&cache->alloc, cache->buckets, BUCKETS_FIRST * sizeof *cache->buckets);
fail_buckets:
  mp_alloc_free(&alloc, cache, sizeof *cache);
  return status;
}

void mp_cache_retain(mp_cache *cache) {
  uint32_t before = mp_add_relaxed(&cache->references, 1);
  assert(before > 0 && before < UINT32_MAX);
  (void)before;
}

/* Unchecked: nobody else is left who could touch it, so no lock is taken. */
static void destroy(mp_cache *cache) MP_UNCHECKED {
  size_t entries = 0;
  for (mp_cache_value *value = cache->newest, *older; value != NULL; value = older) {
    older = value->older;
    entries++;
    mp_alloc_free(&cache->alloc, value, block_size(value->key_size, value->size));
  }
  /* after fork another thread may have been in the middle of something */
  assert(entries == cache->entries || !mp_os_fork_guard_ok(&cache->fork_guard));
  mp_alloc_free(&cache->alloc, cache->buckets, cache->bucket_count * sizeof *cache->buckets);
  mp_event_close(&cache->landed);
  mp_os_mutex_close(&cache->lock);
  mp_os_fork_guard_close(&cache->fork_guard);
  mp_alloc alloc = {.hook = cache->alloc.hook};
  mp_alloc_free(&alloc, cache, sizeof *cache);
}

/*
** The cache holds its values without their holding it: what keeps it alive is users, flights, and
** readers of values (see value_retain_locked).
*/
void mp_cache_release(mp_cache *cache) {
  if (cache == NULL) return;
  /* acq_rel: all use is over before it is freed */
  uint32_t before = mp_sub_acq_rel(&cache->references, 1);
  assert(before > 0);
  if (before == 1) destroy(cache);
}

/* One reference less, the cache's or a reader's. */
static void value_drop(mp_cache *cache, mp_cache_value *value) {
  assert(value->cache == cache);
  /* acq_rel: all reading is over before it is freed */
  uint32_t before = mp_sub_acq_rel(&value->references, 1);
  assert(before > 0);
  if (before == 1) mp_alloc_free(&cache->alloc, value, block_size(value->key_size, value->size));
}

/* For a reader: the value's memory is the cache's, so it holds that, too. */
static mp_cache_value *value_retain_locked(mp_cache *cache, mp_cache_value *value)
    MP_HOLDS(&cache->lock) {
  uint32_t before = mp_add_relaxed(&value->references, 1);
  assert(value->cache == cache && before > 0 && before < UINT32_MAX);
  (void)before;
  mp_cache_retain(cache);
  return value;
}

void mp_cache_value_release(mp_cache_value *value) {
  mp_cache *cache = value->cache;
  value_drop(cache, value);
  mp_cache_release(cache);
}

const void *mp_cache_value_data(const mp_cache_value *value, size_t *size) {
  *size = value->size;
  return value->data + value->key_size;
}

/* }====================================================== */

/*
** {======================================================
** The table and the ring: caller holds the lock
** =======================================================
*/

static mp_cache_value **slot_locked(mp_cache *cache, uint64_t hash, const void *key,
                                    size_t key_size) MP_HOLDS(&cache->lock) {
  mp_cache_value **slot = &cache->buckets[hash & (cache->bucket_count - 1)];
  while (*slot != NULL && ((*slot)->hash != hash || (*slot)->key_size != key_size ||
                           memcmp((*slot)->data, key, key_size) != 0))
    slot = &(*slot)->next_in_bucket;
  return slot;
}

static void leave_ring_locked(mp_cache *cache, mp_cache_value *value) MP_HOLDS(&cache->lock) {
  assert(value->newer != NULL ? value->newer->older == value : cache->newest == value);
  assert(value->older != NULL ? value->older->newer == value : cache->oldest == value);
  *(value->newer != NULL ? &value->newer->older : &cache->newest) = value->older;
  *(value->older != NULL ? &value->older->newer : &cache->oldest) = value->newer;
}

static void enter_ring_locked(mp_cache *cache, mp_cache_value *value) MP_HOLDS(&cache->lock) {
  assert((cache->newest == NULL) == (cache->oldest == NULL));
  value->newer = NULL;
  value->older = cache->newest;
  *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = value;
  cache->newest = value;
}

/* Takes the value in the slot out; it leads the list of what the caller frees after the lock. */
static void remove_locked(mp_cache *cache, mp_cache_value **slot, mp_cache_value **doomed)
    MP_HOLDS(&cache->lock) {
  mp_cache_value *value = *slot;
  *slot = value->next_in_bucket;
  leave_ring_locked(cache, value);
  assert(cache->entries > 0 && cache->bytes >= block_size(value->key_size, value->size));
  cache->entries--;
  cache->bytes -= block_size(value->key_size, value->size);
  assert((cache->entries == 0) == (cache->newest == NULL && cache->bytes == 0));
  value->newer = *doomed;
  *doomed = value;
}

static void free_doomed(mp_cache *cache, mp_cache_value *doomed) {
  while (doomed != NULL) {
    mp_cache_value *next = doomed->newer;
    value_drop(cache, doomed);
    doomed = next;
  }
}

/* A reference to the value, which is now the newest; or NULL. */
static mp_cache_value *find_locked(mp_cache *cache, uint64_t hash, const void *key, size_t key_size,
                                   uint64_t now, mp_cache_value **doomed) MP_HOLDS(&cache->lock) {
  mp_cache_value **slot = slot_locked(cache, hash, key, key_size), *value = *slot;
  if (value == NULL) return NULL;
  if (value->ends != MP_FOREVER && now >= value->ends) {
    remove_locked(cache, slot, doomed);
    cache->expired++;
    return NULL;
  }
  leave_ring_locked(cache, value);
  enter_ring_locked(cache, value);
  cache->hits++;
  return value_retain_locked(cache, value);
}

static bool is_over_locked(const mp_cache *cache) MP_HOLDS(&cache->lock) {
  return (cache->entries_max != 0 && cache->entries > cache->entries_max) ||
         (cache->bytes_max != 0 && cache->bytes > cache->bytes_max);
}

static void evict_locked(mp_cache *cache, mp_cache_value **doomed) MP_HOLDS(&cache->lock) {
  while (is_over_locked(cache)) {
    const mp_cache_value *oldest = cache->oldest;
    assert(oldest != NULL);
    remove_locked(cache, slot_locked(cache, oldest->hash, oldest->data, oldest->key_size), doomed);
    cache->evicted++;
  }
}

/* Moves all into the larger table, whose place the old one takes. */
static void rehash_locked(mp_cache *cache, mp_cache_value ***buckets, size_t *count)
    MP_HOLDS(&cache->lock) {
  mp_cache_value **old = cache->buckets;
  size_t old_count = cache->bucket_count;
  assert(*count > old_count && (*count & (*count - 1)) == 0);
  for (mp_cache_value *value = cache->newest; value != NULL; value = value->older) {
    mp_cache_value **slot = &(*buckets)[value->hash & (*count - 1)];
    value->next_in_bucket = *slot;
    *slot = value;
  }
  cache->buckets = *buckets;
  cache->bucket_count = *count;
  *buckets = old;
  *count = old_count;
}

/* }====================================================== */

/*
** {======================================================
** Flights
** =======================================================
*/

static mp_flight **flight_slot_locked(mp_cache *cache, uint64_t hash, const void *key,
                                      size_t key_size) MP_HOLDS(&cache->lock) {
  mp_flight **slot = &cache->flights[hash % FLIGHT_BUCKETS];
  while (*slot != NULL && ((*slot)->hash != hash || (*slot)->key_size != key_size ||
                           memcmp((*slot)->key, key, key_size) != 0))
    slot = &(*slot)->next;
  return slot;
}

static mp_flight *new_flight(mp_cache *cache, uint64_t hash, const void *key, size_t key_size) {
  mp_flight *flight = mp_alloc_get(&cache->alloc, sizeof *flight + key_size);
  if (flight == NULL) return NULL;
  flight->cache = cache;
  flight->hash = hash;
  flight->key_size = key_size;
  flight->next = NULL;
  memcpy(flight->key, key, key_size);
  return flight;
}

void mp_flight_end(mp_flight *flight) {
  mp_cache *cache = flight->cache;
  /* else the lock may be held for ever, and nobody waits */
  if (mp_os_fork_guard_ok(&cache->fork_guard)) {
    mp_os_mutex_take(&cache->lock);
    mp_flight **slot = &cache->flights[flight->hash % FLIGHT_BUCKETS];
    while (*slot != NULL && *slot != flight) slot = &(*slot)->next;
    assert(*slot == flight); /* ended once, and by whoever flies */
    *slot = flight->next;
    mp_os_mutex_give(&cache->lock);
    mp_event_signal(&cache->landed);
  }
  mp_alloc_free(&cache->alloc, flight, sizeof *flight + flight->key_size);
  mp_cache_release(cache);
}

/* }====================================================== */

/*
** {======================================================
** Use
** =======================================================
*/

/*
** One look. MP_BUSY: somebody else computes it. With *flight NULL and nothing found: a flight is
** needed for the next look.
*/
static mp_status look(mp_cache *cache, uint64_t hash, const void *key, size_t key_size,
                      mp_cache_value **value, mp_flight **flight, bool *taken) {
  mp_cache_value *doomed = NULL;
  mp_status status = MP_OK;
  uint64_t now = expires(cache) ? cache->clock(cache->clock_ud) : 0;
  mp_os_mutex_take(&cache->lock);
  *value = find_locked(cache, hash, key, key_size, now, &doomed);
  if (*value == NULL) {
    mp_flight **slot = flight_slot_locked(cache, hash, key, key_size);
    if (*slot != NULL) {
      status = MP_BUSY;
    } else if (*flight != NULL) {
      *slot = *flight;
      mp_cache_retain(cache);
      cache->misses++;
      *taken = true;
    }
  }
  mp_os_mutex_give(&cache->lock);
  free_doomed(cache, doomed);
  return status;
}

mp_status mp_cache_get(mp_cache *cache, const void *key, size_t key_size, uint64_t wait_ns,
                       mp_cache_value **value, mp_flight **flight) {
  if (!mp_os_fork_guard_ok(&cache->fork_guard)) return MP_FORKED;
  uint64_t hash = hash_of(key, key_size), deadline = wait_ns == 0 ? 0 : mp_os_deadline(wait_ns);
  mp_cache_value *found = NULL;
  mp_flight *mine = NULL;
  bool taken = false;
  mp_status status;
  for (;;) {
    /* before the look: a flight that ends after it is not missed */
    uint32_t seen = mp_event_seen(&cache->landed);
    status = look(cache, hash, key, key_size, &found, &mine, &taken);
    if (found != NULL || taken) break;
    if (status == MP_OK) {
      mine = new_flight(cache, hash, key, key_size);
      if (mine != NULL) continue;
      status = MP_NOMEM;
      break;
    }
    if (wait_ns == 0 || mp_os_now() >= deadline) break;
    if (mp_event_wait(&cache->landed, seen, deadline) == MP_INTERRUPTED) {
      status = MP_INTERRUPTED;
      break;
    }
  }
  if (!taken && mine != NULL) mp_alloc_free(&cache->alloc, mine, sizeof *mine + key_size);
  if (status != MP_OK) return status;
  assert((found != NULL) != taken);
  *value = found;
  *flight = taken ? mine : NULL;
  return MP_OK;
}

/* Forgets what is under the key. */
static void forget(mp_cache *cache, uint64_t hash, const void *key, size_t key_size) {
  mp_cache_value *doomed = NULL;
  mp_os_mutex_take(&cache->lock);
  mp_cache_value **slot = slot_locked(cache, hash, key, key_size);
  if (*slot != NULL) remove_locked(cache, slot, &doomed);
  mp_os_mutex_give(&cache->lock);
  free_doomed(cache, doomed);
}

static mp_cache_value *new_value(mp_cache *cache, uint64_t hash, const void *key, size_t key_size,
                                 const void *data, size_t size) {
  mp_cache_value *value = mp_alloc_get(&cache->alloc, block_size(key_size, size));
  if (value == NULL) return NULL;
  atomic_init(&value->references, 1);
  value->cache = cache;
  value->hash = hash;
  value->ends =
      expires(cache) ? mp_os_later(cache->clock(cache->clock_ud), cache->ttl_ns) : MP_FOREVER;
  value->key_size = key_size;
  value->size = size;
  value->next_in_bucket = value->newer = value->older = NULL;
  memcpy(value->data, key, key_size);
  memcpy(value->data + key_size, data, size);
  return value;
}

/*
** A larger table for when there are as many entries as buckets; *count 0 if none is needed, or
** there is no memory: lists are longer then.
*/
static mp_cache_value **spare_buckets(mp_cache *cache, size_t *count) {
  mp_os_mutex_take(&cache->lock);
  *count = cache->entries >= cache->bucket_count ? 2 * cache->bucket_count : 0;
  mp_os_mutex_give(&cache->lock);
  mp_cache_value **buckets =
      *count == 0 ? NULL : mp_alloc_zeroed(&cache->alloc, *count * sizeof *buckets);
  if (buckets == NULL) *count = 0;
  return buckets;
}

mp_status mp_cache_put(mp_cache *cache, const void *key, size_t key_size, const void *data,
                       size_t size) {
  if (!mp_os_fork_guard_ok(&cache->fork_guard)) return MP_FORKED;
  uint64_t hash = hash_of(key, key_size);
  if (cache->bytes_max != 0 && block_size(key_size, size) > cache->bytes_max) {
    forget(cache, hash, key, key_size);
    return MP_FULL;
  }
  mp_cache_value *value = new_value(cache, hash, key, key_size, data, size), *doomed = NULL;
  if (value == NULL) return MP_NOMEM;
  size_t spare_count;
  mp_cache_value **spare = spare_buckets(cache, &spare_count);
  mp_os_mutex_take(&cache->lock);
  if (spare_count > cache->bucket_count) rehash_locked(cache, &spare, &spare_count);
  mp_cache_value **slot = slot_locked(cache, hash, key, key_size);
  if (*slot != NULL) remove_locked(cache, slot, &doomed);
  value->next_in_bucket = *slot;
  *slot = value;
  enter_ring_locked(cache, value);
  cache->entries++;
  cache->bytes += block_size(key_size, size);
  evict_locked(cache, &doomed);
  mp_os_mutex_give(&cache->lock);
  free_doomed(cache, doomed);
  mp_alloc_free(&cache->alloc, spare, spare_count * sizeof *spare);
  return MP_OK;
}

void mp_cache_clear(mp_cache *cache) {
  mp_cache_value *doomed = NULL;
  if (!mp_os_fork_guard_ok(&cache->fork_guard)) return;
  mp_os_mutex_take(&cache->lock);
  while (cache->oldest != NULL)
    remove_locked(
        cache,
        slot_locked(cache, cache->oldest->hash, cache->oldest->data, cache->oldest->key_size),
        &doomed);
  mp_os_mutex_give(&cache->lock);
  free_doomed(cache, doomed);
}

void mp_cache_get_info(mp_cache *cache, mp_cache_info *info) {
  if (!mp_os_fork_guard_ok(&cache->fork_guard)) return;
  mp_os_mutex_take(&cache->lock);
  info->entries = cache->entries;
  info->bytes = cache->bytes;
  info->hits = cache->hits;
  info->misses = cache->misses;
  info->evicted = cache->evicted;
  info->expired = cache->expired;
  mp_os_mutex_give(&cache->lock);
}

/* }====================================================== */
