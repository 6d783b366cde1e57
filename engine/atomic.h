/*
** atomic.h - C11 atomics named by their order, so that every use shows what it relies on.
**
** A use that is not relaxed says at its place which access it pairs with.
*/
#ifndef MP_ATOMIC_H
#define MP_ATOMIC_H

#include <stdatomic.h>

#define mp_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define mp_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define mp_load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)

#define mp_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define mp_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define mp_store_seq(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define mp_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define mp_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define mp_add_seq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define mp_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define mp_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define mp_sub_seq(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define mp_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define mp_or_relaxed(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define mp_or_seq(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)

#define mp_swap_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define mp_swap_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)

/* Strong compare-and-swap; `*expected` receives what was found. */
#define mp_cas_relaxed(p, expected, v) \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed, memory_order_relaxed)
#define mp_cas_acq_rel(p, expected, v) \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_acquire)
#define mp_cas_release(p, expected, v) \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release, memory_order_relaxed)
#define mp_cas_seq(p, expected, v) \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst, memory_order_seq_cst)

/* A counter that one thread writes and others read: no locked instruction. */
#define mp_bump(p) mp_store_relaxed((p), mp_load_relaxed(p) + 1)

#define MP_CACHE_LINE 128 /* two lines: adjacent-line prefetch pairs them */

#if defined(__x86_64__) || defined(__i386__)
#define mp_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define mp_pause() __asm__ __volatile__("isb")
#else
#define mp_pause() ((void)0)
#endif

#endif
