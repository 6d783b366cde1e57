#include "heap.h"

#include <assert.h>

static int before(const mp_heap_node *a, const mp_heap_node *b) {
  return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

/* Joins two roots; either may be NULL. */
static mp_heap_node *meld(mp_heap_node *a, mp_heap_node *b) {
  if (a == NULL) return b;
  if (b == NULL) return a;
  if (before(b, a)) {
    mp_heap_node *swap = a;
    a = b;
    b = swap;
  }
  b->next = a->child;
  b->prev = a;
  if (a->child != NULL) a->child->prev = b;
  a->child = b;
  a->next = a->prev = NULL;
  return a;
}

/*
** Melds a list of siblings into one root: pairs from left to right, then the pairs from right to
** left.
*/
static mp_heap_node *meld_siblings(mp_heap_node *first) {
  mp_heap_node *pairs = NULL; /* chained by next, last pair first */
  while (first != NULL) {
    mp_heap_node *a = first, *b = a->next;
    first = b != NULL ? b->next : NULL;
    a->next = a->prev = NULL;
    if (b != NULL) b->next = b->prev = NULL;
    a = meld(a, b);
    a->next = pairs;
    pairs = a;
  }
  mp_heap_node *root = NULL;
  while (pairs != NULL) {
    mp_heap_node *rest = pairs->next;
    pairs->next = NULL;
    root = meld(root, pairs);
    pairs = rest;
  }
  return root;
}

void mp_heap_push(mp_heap *heap, mp_heap_node *node, int64_t key) {
  node->child = node->next = node->prev = NULL;
  node->key = key;
  node->sequence = heap->sequence++;
  heap->root = meld(heap->root, node);
  heap->count++;
}

mp_heap_node *mp_heap_peek(const mp_heap *heap) { return heap->root; }

mp_heap_node *mp_heap_pop(mp_heap *heap) {
  mp_heap_node *top = heap->root;
  if (top != NULL) mp_heap_remove(heap, top);
  return top;
}

void mp_heap_remove(mp_heap *heap, mp_heap_node *node) {
  assert(heap->count > 0);
  mp_heap_node *orphans = meld_siblings(node->child);
  if (node == heap->root) {
    heap->root = orphans;
  } else {
    if (node->prev->child == node)
      node->prev->child = node->next;
    else
      node->prev->next = node->next;
    if (node->next != NULL) node->next->prev = node->prev;
    heap->root = meld(heap->root, orphans);
  }
  node->child = node->next = node->prev = NULL;
  heap->count--;
}
