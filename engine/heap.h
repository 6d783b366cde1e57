/*
** heap.h - an intrusive priority heap: smallest key first, FIFO among equals, removal of any node.
**
** A forest of binomial trees (Vuillemin 1978). It needs no memory of its own, so a push cannot
** fail; and no operation takes more than a few steps for each bit of the number of nodes: whoever
** pops holds a lock that others wait for. Nodes that keep coming in rising order, as deadlines do,
** or with equal keys, as tasks of one priority do, make a train: only its head stands in a tree,
** the others behind it as in a list. Passive: the caller brings the lock.
*/
#ifndef MP_HEAP_H
#define MP_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define MP_HEAP_RANK_BITS 6
#define MP_HEAP_RANKS (1 << MP_HEAP_RANK_BITS)

/*
** A tree of rank r is a head with r children, of the ranks r - 1, r - 2, ... 0 in this order: 2^r
** heads, none of them before its parent.
**
** Behind its head a train goes on by `child`: a follower has no other. A head's follower comes
** before its children in the list of them.
*/
typedef struct mp_heap_node mp_heap_node;
struct mp_heap_node {
  mp_heap_node *child; /* the follower, if there is one, else the first child */
  mp_heap_node *next;  /* next sibling */
  mp_heap_node *prev;  /* previous sibling; the parent for a first child; NULL for a root */
  int64_t key;
  uint64_t order; /* which push it was; in the low bits a head's rank, and what trains need */
};

/* Zeroed memory is an empty heap. */
typedef struct mp_heap {
  size_t count; /* nodes */
  size_t heads; /* heads <= count */
  uint64_t pushes;
  uint64_t rising;      /* pushes since the last one with a smaller key than the one before it */
  int64_t newest_key;   /* of the last push */
  mp_heap_node *first;  /* before all others: one of the roots; NULL when empty */
  mp_heap_node *newest; /* pushed last, or what that followed; NULL if a head is gone */
  mp_heap_node *roots[MP_HEAP_RANKS]; /* by rank: not NULL where the bit of `heads` is set */
} mp_heap;

/* O(log n), O(1) on average. */
void mp_heap_push(mp_heap *heap, mp_heap_node *node, int64_t key);
/* NULL when empty. O(1). */
mp_heap_node *mp_heap_peek(const mp_heap *heap);
/* O(log n). */
mp_heap_node *mp_heap_pop(mp_heap *heap);
/* `node` must be in `heap`. O(log n). */
void mp_heap_remove(mp_heap *heap, mp_heap_node *node);

#endif
