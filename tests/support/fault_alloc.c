#include "fault_alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Stands before each block; its 16 bytes keep it aligned. */
typedef struct header {
  _Alignas(16) size_t size;
} header;

#define GARBAGE 0xA5 /* fresh memory is not zero, freed memory not intact */

static bool may_allocate(fault_alloc *memory) {
  pthread_mutex_lock(&memory->lock);
  memory->calls++;
  bool fails = memory->fail_at != 0 && (memory->calls == memory->fail_at ||
                                        (memory->lasting && memory->calls > memory->fail_at));
  if (fails) memory->failures++;
  pthread_mutex_unlock(&memory->lock);
  return !fails;
}

static void count(fault_alloc *memory, size_t size, bool out) {
  pthread_mutex_lock(&memory->lock);
  memory->live_bytes += out ? size : 0 - size;
  memory->live_blocks += out ? 1 : (size_t)-1;
  pthread_mutex_unlock(&memory->lock);
}

static void *take(fault_alloc *memory, size_t size) {
  if (size > SIZE_MAX / 2 || !may_allocate(memory)) return NULL;
  header *block = malloc(sizeof *block + size);
  if (block == NULL) return NULL;
  block->size = size;
  memset(block + 1, GARBAGE, size);
  count(memory, size, true);
  return block + 1;
}

static void give_back(fault_alloc *memory, void *user, size_t size_said) {
  header *block = (header *)user - 1;
  if (block->size != size_said) {
    pthread_mutex_lock(&memory->lock);
    memory->wrong_sizes++;
    pthread_mutex_unlock(&memory->lock);
  }
  count(memory, block->size, false);
  memset(block, GARBAGE, sizeof *block + block->size);
  free(block);
}

static void *fault_realloc(void *ud, void *block, size_t size_old, size_t size_new) {
  fault_alloc *memory = ud;
  if (size_new == 0) {
    give_back(memory, block, size_old);
    return NULL;
  }
  void *grown = take(memory, size_new);
  if (grown == NULL || block == NULL) return grown;
  memcpy(grown, block, size_old < size_new ? size_old : size_new);
  give_back(memory, block, size_old);
  return grown;
}

mp_allocator fault_allocator(fault_alloc *memory) { return (mp_allocator){fault_realloc, memory}; }

void fault_arm(fault_alloc *memory, size_t nth, bool lasting) {
  pthread_mutex_lock(&memory->lock);
  memory->calls = memory->failures = 0;
  memory->fail_at = nth;
  memory->lasting = lasting;
  pthread_mutex_unlock(&memory->lock);
}

size_t fault_disarm(fault_alloc *memory) {
  pthread_mutex_lock(&memory->lock);
  size_t failures = memory->failures;
  memory->fail_at = 0;
  pthread_mutex_unlock(&memory->lock);
  return failures;
}

size_t fault_live_bytes(fault_alloc *memory) {
  pthread_mutex_lock(&memory->lock);
  size_t bytes = memory->live_bytes;
  pthread_mutex_unlock(&memory->lock);
  return bytes;
}

bool fault_is_clean(fault_alloc *memory) {
  pthread_mutex_lock(&memory->lock);
  bool clean = memory->live_bytes == 0 && memory->live_blocks == 0 && memory->wrong_sizes == 0;
  pthread_mutex_unlock(&memory->lock);
  return clean;
}
