/*
** graph.h - the reusable graph: nodes and edges are collected, checked once, and run as flat
** arrays.
**
** One thread builds; runs do not overlap. Prepared form: successors of node i are targets[first[i]]
** .. targets[first[i + 1] - 1] (CSR).
*/
#ifndef MP_GRAPH_H
#define MP_GRAPH_H

#include "jobs.h"

typedef struct mp_node {
  mp_entry entry; /* first: what run_node gets */
  mp_node_run *run;
  void *arg;
  uint32_t first, count;    /* its successors in graph->targets */
  uint32_t before_count;    /* nodes it waits for */
  _Atomic uint32_t pending; /* of those, unfinished in this run; reset when it runs */
  mp_graph *graph;
  char *name; /* or NULL */
} mp_node;

typedef struct mp_edge {
  uint32_t before, after;
} mp_edge;

struct mp_graph {
  mp_pool *pool; /* a reference */
  mp_node *nodes;
  uint32_t node_count, node_capacity;
  mp_edge *edges;
  size_t edge_count, edge_capacity;
  uint32_t *targets;
  size_t target_count;
  uint32_t *order; /* scratch of the cycle check; then the roots */
  uint32_t root_count;
  char *cycle;
  size_t cycle_size;
  bool prepared;
  _Atomic uint32_t running;
  /* constant while it runs: each node reads it */
  mp_task *task;        /* for which it runs, or NULL */
  uintptr_t group;      /* its nodes' */
  mp_visit *visit;      /* by which it runs for a thread outside of any task; or NULL */
  _Atomic bool skipped; /* a node was left out: what runs the graph was asked to stop */
  /* nodes queued or running, the continuation of one not counted anew */
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t active;
  mp_atomic_u32 done;
};

/* As in mp_pool.refuse: a node that the stopping pool would skip need not come to a worker. */
bool mp_refuse_node(mp_pool *pool, mp_entry *entry);

#endif
