/*
** atomic.h - C11 atomics named by their order, so that every use shows what it relies on.
**
** A use that is not relaxed says at its place which access it pairs with.
*/
#ifndef MP_ATOMIC_H
#define MP_ATOMIC_H

#include <stdatomic.h>

/*
** Under valgrind's helgrind, which knows locks but no atomics, each says itself what it orders
** (make valgrind builds with MP_HELGRIND). Elsewhere these are nothing.
*/
#if defined(MP_HELGRIND)
#include <stdint.h>
#include <valgrind/helgrind.h>
/* it is no plain data */
#define MP_ATOMIC_WORD(p) VALGRIND_HG_DISABLE_CHECKING((void *)(uintptr_t)(p), sizeof *(p))
#define MP_RELAXED(p, op) \
  ({ \
    MP_ATOMIC_WORD(p); \
    op; \
  })
#define MP_ACQUIRE(p, op) \
  ({ \
    MP_ATOMIC_WORD(p); \
    __auto_type mp_got = op; \
    ANNOTATE_HAPPENS_AFTER((uintptr_t)(p)); \
    mp_got; \
  })
#define MP_RELEASE(p, op) \
  ({ \
    MP_ATOMIC_WORD(p); \
    ANNOTATE_HAPPENS_BEFORE((uintptr_t)(p)); \
    op; \
  })
#define MP_ACQ_REL(p, op) MP_ACQUIRE(p, MP_RELEASE(p, op))
#else
#define MP_RELAXED(p, op) op
#define MP_ACQUIRE(p, op) op
#define MP_RELEASE(p, op) op
#define MP_ACQ_REL(p, op) op
#endif

#define mp_load_relaxed(p) MP_RELAXED(p, atomic_load_explicit((p), memory_order_relaxed))
#define mp_load_acquire(p) MP_ACQUIRE(p, atomic_load_explicit((p), memory_order_acquire))
#define mp_load_seq(p) MP_ACQUIRE(p, atomic_load_explicit((p), memory_order_seq_cst))

#define mp_store_relaxed(p, v) MP_RELAXED(p, atomic_store_explicit((p), (v), memory_order_relaxed))
#define mp_store_release(p, v) MP_RELEASE(p, atomic_store_explicit((p), (v), memory_order_release))
#define mp_store_seq(p, v) MP_RELEASE(p, atomic_store_explicit((p), (v), memory_order_seq_cst))

/*
** A store that a later load of this thread may overtake, but not in the eyes of a thread that has
** all threads fence (mp_os_fence_all): the compiler keeps the two in order, the processor need not.
*/
#define mp_store_unfenced(p, v) \
  (mp_store_release((p), (v)), atomic_signal_fence(memory_order_seq_cst))

#define mp_add_relaxed(p, v) \
  MP_RELAXED(p, atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define mp_add_acq_rel(p, v) \
  MP_ACQ_REL(p, atomic_fetch_add_explicit((p), (v), memory_order_acq_rel))
#define mp_add_seq(p, v) MP_ACQ_REL(p, atomic_fetch_add_explicit((p), (v), memory_order_seq_cst))
#define mp_sub_relaxed(p, v) \
  MP_RELAXED(p, atomic_fetch_sub_explicit((p), (v), memory_order_relaxed))
#define mp_sub_acq_rel(p, v) \
  MP_ACQ_REL(p, atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel))
#define mp_sub_seq(p, v) MP_ACQ_REL(p, atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst))
#define mp_or_acq_rel(p, v) MP_ACQ_REL(p, atomic_fetch_or_explicit((p), (v), memory_order_acq_rel))
#define mp_or_relaxed(p, v) MP_RELAXED(p, atomic_fetch_or_explicit((p), (v), memory_order_relaxed))
#define mp_or_seq(p, v) MP_ACQ_REL(p, atomic_fetch_or_explicit((p), (v), memory_order_seq_cst))

#define mp_and_acq_rel(p, v) \
  MP_ACQ_REL(p, atomic_fetch_and_explicit((p), (v), memory_order_acq_rel))

#define mp_swap_acq_rel(p, v) \
  MP_ACQ_REL(p, atomic_exchange_explicit((p), (v), memory_order_acq_rel))
#define mp_swap_acquire(p, v) \
  MP_ACQUIRE(p, atomic_exchange_explicit((p), (v), memory_order_acquire))

/* Strong compare-and-swap; `*expected` receives what was found. */
#define mp_cas_relaxed(p, expected, v) \
  MP_RELAXED(p, atomic_compare_exchange_strong_explicit( \
                    (p), (expected), (v), memory_order_relaxed, memory_order_relaxed))
#define mp_cas_acq_rel(p, expected, v) \
  MP_ACQ_REL(p, atomic_compare_exchange_strong_explicit( \
                    (p), (expected), (v), memory_order_acq_rel, memory_order_acquire))
#define mp_cas_release(p, expected, v) \
  MP_RELEASE(p, atomic_compare_exchange_strong_explicit( \
                    (p), (expected), (v), memory_order_release, memory_order_relaxed))
#define mp_cas_seq(p, expected, v) \
  MP_ACQ_REL(p, atomic_compare_exchange_strong_explicit( \
                    (p), (expected), (v), memory_order_seq_cst, memory_order_seq_cst))

/* A counter that one thread writes and others read: no locked instruction. */
#define mp_bump(p) mp_store_relaxed((p), mp_load_relaxed(p) + 1)

/* It will be written soon. Any address will do. */
#define mp_prefetch(p) __builtin_prefetch((p), 1)

#define MP_CACHE_LINE 128 /* two lines: adjacent-line prefetch pairs them */

#if defined(__x86_64__) || defined(__i386__)
#define mp_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define mp_pause() __asm__ __volatile__("isb")
#else
#define mp_pause() ((void)0)
#endif

#endif
