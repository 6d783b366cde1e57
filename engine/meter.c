/*
** meter.c - durations counted by many threads, without a lock: relaxed atomics, so a reader may see
** a call in one counter and not yet in another. The buckets are those of an HDR histogram (Gil
** Tene) with three bits of precision: below 8 ns one each, then 8 a power of two.
*/
#include "alloc.h"

#define BITS 3
#define STEPS (1 << BITS)

struct mp_meter {
  mp_alloc alloc;
  _Atomic uint32_t references;
  /* atomic */
  _Atomic uint64_t completed, failed, total_ns, least_ns, most_ns;
  _Atomic uint64_t buckets[MP_METER_BUCKETS];
};

static unsigned bucket_of(uint64_t ns) {
  if (ns < STEPS) return (unsigned)ns;
  unsigned power = 63 - (unsigned)__builtin_clzll(ns);
  return (power - BITS + 1) * STEPS + (unsigned)((ns >> (power - BITS)) & (STEPS - 1));
}

/* The least duration of a bucket. */
static uint64_t bound_of(unsigned bucket) {
  if (bucket < STEPS) return bucket;
  return (uint64_t)(STEPS + bucket % STEPS) << (bucket / STEPS - 1);
}

mp_status mp_meter_create(const mp_allocator *allocator, mp_meter **created) {
  static const mp_allocator none = {NULL, NULL};
  mp_alloc alloc;
  mp_alloc_init(&alloc, allocator != NULL ? allocator : &none);
  mp_meter *meter = mp_alloc_zeroed(&alloc, sizeof *meter);
  if (meter == NULL) return MP_NOMEM;
  mp_alloc_init(&meter->alloc, &alloc.hook);
  atomic_init(&meter->references, 1);
  atomic_init(&meter->least_ns, UINT64_MAX);
  *created = meter;
  return MP_OK;
}

void mp_meter_retain(mp_meter *meter) { mp_add_relaxed(&meter->references, 1); }

void mp_meter_release(mp_meter *meter) {
  /* acq_rel: all recording is over before it is freed */
  if (meter == NULL || mp_sub_acq_rel(&meter->references, 1) != 1) return;
  mp_alloc alloc = {.hook = meter->alloc.hook};
  mp_alloc_free(&alloc, meter, sizeof *meter);
}

void mp_meter_record(mp_meter *meter, uint64_t ns, int failed) {
  mp_add_relaxed(failed ? &meter->failed : &meter->completed, 1);
  mp_add_relaxed(&meter->total_ns, ns);
  mp_add_relaxed(&meter->buckets[bucket_of(ns)], 1);
  uint64_t seen = mp_load_relaxed(&meter->least_ns);
  while (ns < seen && !mp_cas_relaxed(&meter->least_ns, &seen, ns)) {
  }
  seen = mp_load_relaxed(&meter->most_ns);
  while (ns > seen && !mp_cas_relaxed(&meter->most_ns, &seen, ns)) {
  }
}

void mp_meter_reset(mp_meter *meter) {
  mp_store_relaxed(&meter->completed, 0);
  mp_store_relaxed(&meter->failed, 0);
  mp_store_relaxed(&meter->total_ns, 0);
  mp_store_relaxed(&meter->least_ns, UINT64_MAX);
  mp_store_relaxed(&meter->most_ns, 0);
  for (int i = 0; i < MP_METER_BUCKETS; i++) mp_store_relaxed(&meter->buckets[i], 0);
}

void mp_meter_sum_init(mp_meter_sum *sum) { *sum = (mp_meter_sum){.least_ns = UINT64_MAX}; }

void mp_meter_add(mp_meter *meter, mp_meter_sum *sum) {
  uint64_t least = mp_load_relaxed(&meter->least_ns), most = mp_load_relaxed(&meter->most_ns);
  sum->completed += mp_load_relaxed(&meter->completed);
  sum->failed += mp_load_relaxed(&meter->failed);
  sum->total_ns += mp_load_relaxed(&meter->total_ns);
  if (least < sum->least_ns) sum->least_ns = least;
  if (most > sum->most_ns) sum->most_ns = most;
  for (int i = 0; i < MP_METER_BUCKETS; i++) sum->buckets[i] += mp_load_relaxed(&meter->buckets[i]);
}

static uint64_t clamp(const mp_meter_sum *sum, uint64_t ns) {
  return ns < sum->least_ns ? sum->least_ns : ns > sum->most_ns ? sum->most_ns : ns;
}

uint64_t mp_meter_quantile(const mp_meter_sum *sum, double q) {
  uint64_t n = 0, below = 0;
  for (int i = 0; i < MP_METER_BUCKETS; i++) n += sum->buckets[i];
  if (n == 0) return 0;
  double wanted = q * (double)n;
  for (unsigned i = 0; i < MP_METER_BUCKETS; i++) {
    below += sum->buckets[i];
    if (sum->buckets[i] == 0 || (double)below < wanted) continue;
    uint64_t low = bound_of(i), high = i + 1 < MP_METER_BUCKETS ? bound_of(i + 1) - 1 : UINT64_MAX;
    return clamp(sum, low + (high - low) / 2);
  }
  return sum->most_ns;
}
