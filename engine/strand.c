#include "strand.h"

#include <assert.h>

#include "bug.h"

mp_status mp_strands_open(mp_pool *pool) { return mp_lock_init(&pool->strands_lock); }

void mp_strands_close(mp_pool *pool) {
  assert(pool->strands == NULL);
  mp_lock_close(&pool->strands_lock);
}

/*
** {======================================================
** Life
** =======================================================
*/

static void list(mp_pool *pool, mp_strand *strand) {
  mp_lock_take(&pool->strands_lock);
  strand->next = pool->strands;
  if (strand->next != NULL) strand->next->prev = strand;
  pool->strands = strand;
  mp_lock_give(&pool->strands_lock);
}

static void delist(mp_pool *pool, mp_strand *strand) {
  mp_lock_take(&pool->strands_lock);
  if (strand->next != NULL) strand->next->prev = strand->prev;
  *(strand->prev != NULL ? &strand->prev->next : &pool->strands) = strand->next;
  mp_lock_give(&pool->strands_lock);
}

mp_status mp_strand_create(mp_pool *pool, mp_strand **created) {
  if (mp_pool_forked(pool)) return MP_FORKED;
  mp_strand *strand = mp_alloc_zeroed(&pool->alloc, sizeof *strand);
  if (strand == NULL) return MP_NOMEM;
  mp_status status = mp_lock_init(&strand->lock);
  if (status != MP_OK) {
    mp_alloc_free(&pool->alloc, strand, sizeof *strand);
    return status;
  }
  strand->pool = pool;
  mp_pool_retain(pool);
  mp_store_relaxed(&strand->references, 1);
  list(pool, strand);
  *created = strand;
  return MP_OK;
}

void mp_strand_drop(mp_strand *strand) {
  if (strand == NULL) return;
  if (mp_sub_acq_rel(&strand->references, 1) != 1) return; /* acq_rel: all use is over */
  mp_pool *pool = strand->pool;
  assert((!strand->busy || MP_BUGGY(TURN_KEPT)) && strand->first == NULL);
  delist(pool, strand);
  mp_lock_close(&strand->lock);
  mp_alloc_free(&pool->alloc, strand, sizeof *strand);
}

void mp_strand_retain(mp_strand *strand) {
  mp_pool_retain(strand->pool);
  mp_strand_hold(strand);
}

void mp_strand_release(mp_strand *strand) {
  if (strand == NULL || mp_pool_forked(strand->pool)) return;
  mp_pool *pool = strand->pool;
  mp_strand_drop(strand);
  mp_pool_release(pool);
}

/* }====================================================== */

/*
** {======================================================
** The line
** =======================================================
*/

bool mp_strand_enter(mp_strand *strand, mp_entry *entry) {
  mp_lock_take(&strand->lock);
  bool turn = !strand->busy || MP_BUGGY(STRAND_OPEN);
  if (turn) {
    strand->busy = true;
  } else {
    entry->next = NULL;
    if (strand->first == NULL)
      strand->first = entry;
    else
      strand->last->next = entry;
    strand->last = entry;
  }
  mp_lock_give(&strand->lock);
  return turn;
}

mp_entry *mp_strand_leave(mp_strand *strand) {
  mp_lock_take(&strand->lock);
  assert(strand->busy || MP_BUGGY(STRAND_OPEN));
  mp_entry *next = strand->first;
  if (next != NULL)
    strand->first = next->next;
  else
    strand->busy = false;
  mp_lock_give(&strand->lock);
  return next;
}

/* Moves those that are wanted to the chain that *at is the end of; returns its new end. */
static mp_entry **take_out(mp_strand *strand, bool (*wants)(const mp_entry *entry, void *ud),
                           void *ud, mp_entry **at) {
  mp_lock_take(&strand->lock);
  mp_entry **link = &strand->first, *kept = NULL;
  while (*link != NULL) {
    mp_entry *entry = *link;
    if (wants(entry, ud)) {
      *link = entry->next;
      *at = entry;
      at = &entry->next;
    } else {
      kept = entry;
      link = &entry->next;
    }
  }
  strand->last = kept;
  mp_lock_give(&strand->lock);
  return at;
}

static void give_all(mp_entry *chain, void (*take)(mp_entry *entry, void *ud), void *ud) {
  while (chain != NULL) {
    mp_entry *entry = chain;
    chain = entry->next; /* it may be gone behind the call */
    take(entry, ud);
  }
}

void mp_strand_drain(mp_strand *strand, bool (*wants)(const mp_entry *entry, void *ud),
                     void (*take)(mp_entry *entry, void *ud), void *ud) {
  mp_entry *chain = NULL;
  *take_out(strand, wants, ud, &chain) = NULL;
  give_all(chain, take, ud);
}

void mp_strands_drain(mp_pool *pool, bool (*wants)(const mp_entry *entry, void *ud),
                      void (*take)(mp_entry *entry, void *ud), void *ud) {
  mp_entry *chain = NULL, **end = &chain;
  mp_lock_take(&pool->strands_lock);
  for (mp_strand *strand = pool->strands; strand != NULL; strand = strand->next)
    end = take_out(strand, wants, ud, end);
  mp_lock_give(&pool->strands_lock);
  *end = NULL;
  give_all(chain, take, ud);
}

/* }====================================================== */
