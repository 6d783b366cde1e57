/*
** heap.h - an intrusive priority heap: smallest key first, FIFO among equals, removal of any node.
**
** A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): it needs no memory of its own, so a
** push cannot fail. push O(1), pop and remove O(log n) amortised, all iterative. Passive: the
** caller brings the lock.
*/
#ifndef MP_HEAP_H
#define MP_HEAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct mp_heap_node mp_heap_node;
struct mp_heap_node {
  mp_heap_node *child; /* first child */
  mp_heap_node *next;  /* next sibling */
  mp_heap_node *prev;  /* previous sibling; the parent for a first child; NULL for the root */
  int64_t key;
  uint64_t sequence; /* set by push: order among equal keys */
};

/* Zeroed memory is an empty heap. */
typedef struct mp_heap {
  mp_heap_node *root;
  uint64_t sequence;
  size_t count;
} mp_heap;

void mp_heap_push(mp_heap *heap, mp_heap_node *node, int64_t key);
/* NULL when empty. */
mp_heap_node *mp_heap_peek(const mp_heap *heap);
mp_heap_node *mp_heap_pop(mp_heap *heap);
/* `node` must be in `heap`. */
void mp_heap_remove(mp_heap *heap, mp_heap_node *node);

#endif
