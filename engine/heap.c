#include "heap.h"

#include <assert.h>
#include <stdbool.h>

/* A step is a comparison, or a node passed on the way up; a test counts them. */
#if !defined(MP_HEAP_STEP)
#define MP_HEAP_STEP() ((void)0)
#endif

#define LEADS ((uint64_t)1 << MP_HEAP_RANK_BITS) /* a node that another one follows */
#define RANK_MASK ((uint64_t)MP_HEAP_RANKS - 1)
#define FOLLOWS RANK_MASK /* stands in a follower for the rank, which no tree has: 2^63 heads */

/*
** So many pushes in rising order, one after another, show that they come so; where keys come at
** random, short trains would cost more than they save.
*/
#define RISING_MIN 3

static unsigned rank_of(const mp_heap_node *node) { return (unsigned)(node->order & RANK_MASK); }
static void set_rank(mp_heap_node *node, unsigned rank) {
  node->order = (node->order & ~RANK_MASK) | rank;
}

static bool is_follower(const mp_heap_node *node) { return (node->order & RANK_MASK) == FOLLOWS; }
static bool leads(const mp_heap_node *node) { return (node->order & LEADS) != 0; }

/* What the list of a head's children, without the follower, hangs on. */
static mp_heap_node **children_of(mp_heap_node *head) {
  return leads(head) ? &head->child->next : &head->child;
}

static void set_children(mp_heap_node *head, mp_heap_node *first) {
  *children_of(head) = first;
  if (first != NULL) first->prev = leads(head) ? head->child : head;
}

/* No two pushes are the same, so the ranks below them decide nothing. */
static bool before(const mp_heap_node *a, const mp_heap_node *b) {
  MP_HEAP_STEP();
  return (a->key < b->key) | ((a->key == b->key) & (a->order < b->order));
}

/*
** Makes one tree of two of the same rank; it is one rank higher. Which of them becomes the head is
** as good as random: an index tells, for a processor would guess a branch wrong every other time.
*/
static mp_heap_node *join(mp_heap_node *a, mp_heap_node *b) {
  assert(a != b && rank_of(a) == rank_of(b) && a->prev == NULL && b->prev == NULL);
  const bool swaps = before(b, a);
  mp_heap_node *const both[] = {a, b};
  mp_heap_node *head = both[swaps], *child = both[!swaps];
  child->next = *children_of(head);
  if (child->next != NULL) child->next->prev = child;
  set_children(head, child);
  head->order++;
  return head;
}

/* The new node comes behind the newest one: in the list of its children it is the first. */
static void follow(mp_heap_node *newest, mp_heap_node *node) {
  assert(!leads(newest) && node->key >= newest->key);
  node->order |= FOLLOWS;
  newest->order |= LEADS;
  node->next = newest->child;
  node->prev = newest;
  if (node->next != NULL) node->next->prev = node;
  newest->child = node;
}

static void push_head(mp_heap *heap, mp_heap_node *node) {
  unsigned rank = 0;
  mp_heap_node *tree = node;
  for (; heap->roots[rank] != NULL; rank++) {
    tree = join(heap->roots[rank], tree);
    heap->roots[rank] = NULL;
  }
  heap->roots[rank] = tree;
  heap->heads++;
  assert(heap->heads >> rank & 1);
  /* what was the first is a root still, unless the new one is before it */
  if (before(node, heap->first)) heap->first = node;
}

static void push_only(mp_heap *heap, mp_heap_node *node) {
  heap->first = heap->roots[0] = node;
  heap->heads = 1;
}

/* May the new node follow the newest one? */
static bool comes_in_order(mp_heap *heap, int64_t key) {
  heap->rising = (heap->rising + 1) * (key >= heap->newest_key);
  return heap->rising > RISING_MIN && heap->newest != NULL;
}

void mp_heap_push(mp_heap *heap, mp_heap_node *node, int64_t key) {
  assert((heap->count == 0) == (heap->first == NULL));
  node->child = node->next = node->prev = NULL;
  node->key = key;
  node->order = heap->pushes++ << (MP_HEAP_RANK_BITS + 1);
  if (heap->heads == 0)
    push_only(heap, node);
  else if (comes_in_order(heap, key))
    follow(heap->newest, node);
  else
    push_head(heap, node);
  heap->newest = node;
  heap->newest_key = key;
  heap->count++;
}

mp_heap_node *mp_heap_peek(const mp_heap *heap) { return heap->first; }

mp_heap_node *mp_heap_pop(mp_heap *heap) {
  mp_heap_node *first = heap->first;
  if (first != NULL) mp_heap_remove(heap, first);
  return first;
}

/*
** Takes apart the tree that the head is in: what is left without it, one tree of each rank below
** the whole tree's, goes into `trees`. Returns the whole tree's rank.
**
** Those are, from below: the head's children; then, for each ancestor, the elder siblings of its
** child on the way, and the ancestor itself with the younger ones, which makes it a tree of the
** rank that this child had.
*/
static unsigned take_apart(mp_heap_node *head, mp_heap_node **trees) {
  unsigned rank = rank_of(head), below = rank;
  for (mp_heap_node *child = *children_of(head); child != NULL; child = child->next)
    trees[--below] = child;
  assert(below == 0);
  for (mp_heap_node *at = head; at->prev != NULL;) {
    mp_heap_node *younger = at->next, *parent = at->prev;
    unsigned kept = rank;
    for (; !is_follower(parent) && parent->child != at; parent = at->prev) {
      MP_HEAP_STEP();
      at = parent;
      trees[++rank] = at;
    }
    MP_HEAP_STEP();
    if (is_follower(parent)) parent = parent->prev;
    set_children(parent, younger);
    rank = rank_of(parent);
    set_rank(parent, kept);
    trees[kept] = at = parent;
  }
  return rank;
}

/*
** Puts one tree of each rank below `rank`, and `carry` of rank 0 if it is not NULL, in the place of
** the root of `rank`: as one adds two numbers.
*/
static void replace_root(mp_heap *heap, unsigned rank, mp_heap_node *const *trees,
                         mp_heap_node *carry) {
  for (unsigned r = 0; r < rank; r++) {
    mp_heap_node *tree = trees[r], **root = &heap->roots[r];
    tree->next = tree->prev = NULL;
    if (carry != NULL) {
      carry = join(carry, tree);
    } else if (*root != NULL) {
      carry = join(*root, tree);
      *root = NULL;
    } else {
      *root = tree;
    }
  }
  heap->roots[rank] = carry;
}

static mp_heap_node *first_root(const mp_heap *heap) {
  mp_heap_node *first = NULL;
  for (size_t left = heap->heads, rank = 0; left != 0; rank++, left >>= 1) {
    mp_heap_node *root = heap->roots[rank];
    assert((root != NULL) == (left & 1));
    if (root != NULL && (first == NULL || before(root, first))) first = root;
  }
  return first;
}

/* What follows the head comes out, to be a head itself; NULL: nothing does. */
static mp_heap_node *detach_follower(mp_heap_node *head) {
  if (!leads(head)) return NULL;
  mp_heap_node *heir = head->child;
  assert(is_follower(heir) && heir->prev == head);
  head->child = heir->next;
  head->order &= ~LEADS;
  heir->next = heir->prev = NULL;
  set_rank(heir, 0);
  return heir;
}

static void remove_head(mp_heap *heap, mp_heap_node *head) {
  mp_heap_node *trees[MP_HEAP_RANKS];
  mp_heap_node *heir = detach_follower(head);
  unsigned rank = take_apart(head, trees);
  assert(heap->heads >> rank & 1);
  if (heir == NULL) heap->heads--;
  replace_root(heap, rank, trees, heir);
  /* in any other case it is a root still: nothing is before it */
  if (heap->first == head) heap->first = first_root(heap);
}

/* As remove_head, where there is no other head: the heap is a list. */
static void remove_only_head(mp_heap *heap, mp_heap_node *head) {
  assert(heap->first == head && heap->roots[0] == head);
  heap->first = heap->roots[0] = head->child;
  if (head->child == NULL)
    heap->heads = 0;
  else {
    head->child->prev = NULL;
    set_rank(head->child, 0);
  }
}

/* The one behind it comes into its place. */
static void remove_follower(mp_heap *heap, mp_heap_node *node) {
  mp_heap_node *ahead = node->prev;
  assert(leads(ahead) && ahead->child == node && node->key >= ahead->key);
  if (leads(node)) {
    ahead->child = node->child;
    node->child->prev = ahead;
    node->child->next = node->next;
    if (node->next != NULL) node->next->prev = node->child;
  } else {
    assert(node->child == NULL);
    ahead->order &= ~LEADS;
    ahead->child = node->next;
    if (node->next != NULL) node->next->prev = ahead;
  }
  if (heap->newest == node) heap->newest = ahead;
}

void mp_heap_remove(mp_heap *heap, mp_heap_node *node) {
  assert(heap->count > 0 && heap->count >= heap->heads);
  if (is_follower(node)) {
    remove_follower(heap, node);
  } else {
    if (heap->heads == 1)
      remove_only_head(heap, node);
    else
      remove_head(heap, node);
    if (heap->newest == node) heap->newest = NULL;
  }
  heap->count--;
  assert((heap->count == 0) == (heap->first == NULL));
  assert(heap->first == NULL || heap->first->prev == NULL);
}
