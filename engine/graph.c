#include "graph.h"

#include <stdio.h>
#include <string.h>

#include "pick.h"
#include "stop.h"
#include "wait.h"

/* names written from each end of a cycle; the middle of a longer one is left out */
#define CYCLE_NAMES_MAX 32
#define CYCLE_NAME_MAX 100 /* longer names are cut */

/*
** {======================================================
** Building
** =======================================================
*/

mp_status mp_graph_create(mp_pool *pool, mp_graph **created) {
  mp_graph *graph = mp_alloc_aligned(&pool->alloc, sizeof *graph);
  if (graph == NULL) return MP_NOMEM;
  mp_pool_retain(pool);
  graph->pool = pool;
  *created = graph;
  return MP_OK;
}

static size_t name_size(const char *name) { return strlen(name) + 1; }

static void forget_prepared(mp_graph *graph) {
  mp_alloc *alloc = &graph->pool->alloc;
  mp_alloc_free(alloc, graph->targets, graph->target_count * sizeof *graph->targets);
  mp_alloc_free(alloc, graph->order, graph->node_count * sizeof *graph->order);
  mp_alloc_free(alloc, graph->cycle, graph->cycle_size);
  graph->targets = graph->order = NULL;
  graph->cycle = NULL;
  graph->target_count = graph->cycle_size = 0;
  graph->prepared = false;
}

void mp_graph_destroy(mp_graph *graph) {
  if (graph == NULL) return;
  mp_pool *pool = graph->pool;
  forget_prepared(graph);
  for (uint32_t i = 0; i < graph->node_count; i++)
    if (graph->nodes[i].name != NULL)
      mp_alloc_free(&pool->alloc, graph->nodes[i].name, name_size(graph->nodes[i].name));
  mp_alloc_free(&pool->alloc, graph->nodes, graph->node_capacity * sizeof *graph->nodes);
  mp_alloc_free(&pool->alloc, graph->edges, graph->edge_capacity * sizeof *graph->edges);
  mp_alloc_free_aligned(&pool->alloc, graph, sizeof *graph);
  mp_pool_release(pool);
}

static void run_node(mp_worker *worker, mp_entry *entry);

static mp_status grow_nodes(mp_graph *graph) {
  if (graph->node_count < graph->node_capacity) return MP_OK;
  if (graph->node_capacity > UINT32_MAX / 2) return MP_NOMEM;
  uint32_t capacity = graph->node_capacity == 0 ? 16 : graph->node_capacity * 2;
  mp_node *nodes = mp_alloc_resize(&graph->pool->alloc, graph->nodes,
                                   graph->node_capacity * sizeof *nodes, capacity * sizeof *nodes);
  if (nodes == NULL) return MP_NOMEM;
  graph->nodes = nodes;
  graph->node_capacity = capacity;
  return MP_OK;
}

mp_status mp_graph_add(mp_graph *graph, const char *name, mp_node_run *run, void *arg,
                       uint32_t *added) {
  if (mp_load_relaxed(&graph->running)) return MP_BUSY;
  if (run == NULL) return MP_INVALID;
  forget_prepared(graph);
  mp_status status = grow_nodes(graph);
  if (status != MP_OK) return status;
  mp_node *node = &graph->nodes[graph->node_count];
  memset(node, 0, sizeof *node);
  if (name != NULL) {
    node->name = mp_alloc_get(&graph->pool->alloc, name_size(name));
    if (node->name == NULL) return MP_NOMEM;
    memcpy(node->name, name, name_size(name));
  }
  node->entry.run = run_node;
  node->run = run;
  node->arg = arg;
  node->graph = graph;
  *added = graph->node_count++;
  return MP_OK;
}

mp_status mp_graph_edge(mp_graph *graph, uint32_t before, uint32_t after) {
  if (mp_load_relaxed(&graph->running)) return MP_BUSY;
  if (before >= graph->node_count || after >= graph->node_count) return MP_INVALID;
  forget_prepared(graph);
  if (graph->edge_count == graph->edge_capacity) {
    size_t capacity = graph->edge_capacity == 0 ? 32 : graph->edge_capacity * 2;
    mp_edge *edges =
        mp_alloc_resize(&graph->pool->alloc, graph->edges, graph->edge_capacity * sizeof *edges,
                        capacity * sizeof *edges);
    if (edges == NULL) return MP_NOMEM;
    graph->edges = edges;
    graph->edge_capacity = capacity;
  }
  graph->edges[graph->edge_count++] = (mp_edge){before, after};
  return MP_OK;
}

/* }====================================================== */

/*
** {======================================================
** Preparing
** =======================================================
*/

/* Lays successors out by node: a counting sort of the edges, in the order they were added. */
static void fill_targets(mp_graph *graph) {
  for (uint32_t i = 0; i < graph->node_count; i++)
    graph->nodes[i].count = graph->nodes[i].before_count = 0;
  for (size_t e = 0; e < graph->edge_count; e++) graph->nodes[graph->edges[e].before].count++;
  uint32_t at = 0;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    graph->nodes[i].first = at;
    at += graph->nodes[i].count;
    graph->nodes[i].count = 0;
  }
  for (size_t e = 0; e < graph->edge_count; e++) {
    mp_node *node = &graph->nodes[graph->edges[e].before];
    graph->targets[node->first + node->count++] = graph->edges[e].after;
  }
}

/* Drops repeated edges: `order` remembers for each node who named it last. */
static void drop_repeats(mp_graph *graph) {
  uint32_t *last = graph->order;
  for (uint32_t i = 0; i < graph->node_count; i++) last[i] = UINT32_MAX;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    mp_node *node = &graph->nodes[i];
    uint32_t kept = 0;
    for (uint32_t k = 0; k < node->count; k++) {
      uint32_t target = graph->targets[node->first + k];
      if (last[target] == i) continue;
      last[target] = i;
      graph->targets[node->first + kept++] = target;
      graph->nodes[target].before_count++;
    }
    node->count = kept;
  }
}

/*
** Kahn 1962: nodes in dependency order; returns how many could be placed. Uses `pending` as its
** counter and leaves it reset.
*/
static uint32_t place(mp_graph *graph) {
  uint32_t placed = 0;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    mp_store_relaxed(&graph->nodes[i].pending, graph->nodes[i].before_count);
    if (graph->nodes[i].before_count == 0) graph->order[placed++] = i;
  }
  graph->root_count = placed;
  for (uint32_t at = 0; at < placed; at++) {
    const mp_node *node = &graph->nodes[graph->order[at]];
    for (uint32_t k = 0; k < node->count; k++) {
      uint32_t target = graph->targets[node->first + k];
      if (mp_sub_relaxed(&graph->nodes[target].pending, 1) == 1) graph->order[placed++] = target;
    }
  }
  return placed;
}

static const char *node_label(const mp_graph *graph, uint32_t node, char *scratch, size_t size) {
  if (graph->nodes[node].name != NULL) return graph->nodes[node].name;
  snprintf(scratch, size, "#%u", node);
  return scratch;
}

static bool is_placed(const mp_graph *graph, uint32_t node) {
  return mp_load_relaxed(&graph->nodes[node].pending) == 0;
}

/*
** Finds a cycle when not all nodes could be placed; returns its first node and its length. `order`
** then holds, for each of its nodes, the one after it. A node that could not be placed has a
** predecessor that could not: far enough back lies a cycle.
*/
static uint32_t find_cycle(mp_graph *graph, uint32_t *length) {
  uint32_t *way = graph->order, node = 0, n = 0;
  for (size_t e = 0; e < graph->edge_count; e++)
    if (!is_placed(graph, graph->edges[e].before))
      way[graph->edges[e].after] = graph->edges[e].before;
  while (is_placed(graph, node)) node++;
  for (uint32_t i = 0; i < graph->node_count; i++) node = way[node];
  uint32_t start = node, after = node;
  do { /* turn it round */
    uint32_t before = way[node];
    way[node] = after;
    after = node;
    node = before;
    n++;
  } while (node != start);
  way[start] = after;
  *length = n;
  return start;
}

static void name_cycle(mp_graph *graph) {
  char text[(2 * CYCLE_NAMES_MAX + 1) * (CYCLE_NAME_MAX + sizeof " -> ")], scratch[16];
  size_t at = 0;
  uint32_t length, node = find_cycle(graph, &length);
  for (uint32_t i = 0; i <= length; i++, node = graph->order[node]) {
    bool left_out = i >= CYCLE_NAMES_MAX && i + CYCLE_NAMES_MAX <= length;
    if (left_out && i > CYCLE_NAMES_MAX) continue;
    const char *label = left_out ? "..." : node_label(graph, node, scratch, sizeof scratch);
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i == 0 ? "" : " -> ",
                           CYCLE_NAME_MAX, label);
  }
  graph->cycle = mp_alloc_get(&graph->pool->alloc, at + 1);
  if (graph->cycle == NULL) return;
  graph->cycle_size = at + 1;
  memcpy(graph->cycle, text, at + 1);
}

static mp_status prepare(mp_graph *graph) {
  mp_alloc *alloc = &graph->pool->alloc;
  if (graph->prepared) return MP_OK;
  forget_prepared(graph);
  if (graph->node_count > 0 &&
      (graph->order = mp_alloc_get(alloc, graph->node_count * sizeof *graph->order)) == NULL)
    return MP_NOMEM;
  if (graph->edge_count > 0) {
    graph->targets = mp_alloc_get(alloc, graph->edge_count * sizeof *graph->targets);
    if (graph->targets == NULL) return MP_NOMEM;
    graph->target_count = graph->edge_count;
  }
  fill_targets(graph);
  drop_repeats(graph);
  if (place(graph) < graph->node_count) {
    name_cycle(graph);
    return MP_CYCLE;
  }
  for (uint32_t i = 0; i < graph->node_count; i++)
    mp_store_relaxed(&graph->nodes[i].pending, graph->nodes[i].before_count);
  graph->prepared = true;
  return MP_OK;
}

const char *mp_graph_cycle(const mp_graph *graph) {
  return graph->cycle == NULL ? "" : graph->cycle;
}

/* }====================================================== */

/*
** {======================================================
** Running
** =======================================================
*/

/* One of a finished node's successors: true when it became ready. */
static bool arrive(mp_node *node) {
  /* with one predecessor there is nothing to count; acq_rel: the last has seen all others' work */
  return node->before_count == 1 || mp_sub_acq_rel(&node->pending, 1) == 1;
}

/*
** Runs one node; its first ready successor is returned, as a continuation, the others are queued.
** Only queued ones are added to `active`, so a chain touches nothing shared. Each is added before
** this node is done, so `active` cannot reach zero early.
*/
static mp_node *run_one(mp_worker *worker, mp_graph *graph, mp_node *node) {
  mp_node *next = NULL;
  /* for the next run; nobody counts this one down any more */
  mp_store_relaxed(&node->pending, node->before_count);
  if (mp_is_asked(graph->pool, graph->task))
    mp_store_relaxed(&graph->skipped, true);
  else
    node->run(worker, node->arg);
  if (mp_is_orphan(worker)) return NULL;
  for (uint32_t i = 0; i < node->count; i++) {
    mp_node *successor = &graph->nodes[graph->targets[node->first + i]];
    if (!arrive(successor)) continue;
    if (next == NULL) {
      next = successor;
      continue;
    }
    mp_add_relaxed(&graph->active, 1);
    mp_pick_push(worker->scheduler, worker, &successor->entry, graph->group);
  }
  return next;
}

/* Once the frame is off and `active` is zero, whoever waited for the graph may free it. */
static void run_node(mp_worker *worker, mp_entry *entry) {
  mp_node *node = (mp_node *)entry;
  mp_graph *graph = node->graph;
  mp_pool *pool = graph->pool;
  mp_visit *visit = graph->visit;
  mp_frame frame = mp_frame_for(worker, graph->task);
  mp_frame_push(pool, worker, &frame);
  do {
    node = run_one(worker, graph, node);
    if (mp_is_orphan(worker)) return;
    /* on a waiter's stack nothing else could run */
  } while (node != NULL && (frame.outer != NULL || mp_pick_goes_on(worker, graph->group)));
  mp_frame_pop(pool, worker, &frame);
  if (node != NULL)
    mp_pick_push(worker->scheduler, worker, &node->entry, graph->group);
  else if (mp_sub_acq_rel(&graph->active, 1) == 1)
    mp_job_complete(pool, visit != NULL ? &visit->done : &graph->done);
}

bool mp_refuse_node(mp_pool *pool, mp_entry *entry) {
  if (entry->run != run_node || mp_load_relaxed(&pool->closing) != MP_CLOSING_STOP) return false;
  mp_node *list = (mp_node *)entry;
  mp_graph *graph = list->graph;
  mp_visit *visit = graph->visit;
  mp_store_relaxed(&graph->skipped, true);
  entry->next = NULL;
  do {
    mp_node *node = list;
    list = (mp_node *)node->entry.next;
    mp_store_relaxed(&node->pending, node->before_count);
    for (uint32_t i = 0; i < node->count; i++) {
      mp_node *successor = &graph->nodes[graph->targets[node->first + i]];
      if (!arrive(successor)) continue;
      mp_add_relaxed(&graph->active, 1);
      successor->entry.next = (mp_entry *)list;
      list = successor;
    }
    if (mp_sub_acq_rel(&graph->active, 1) != 1) continue;
    assert(list == NULL);
    mp_job_complete(pool, visit != NULL ? &visit->done : &graph->done);
  } while (list != NULL);
  return true;
}

/* On a worker, in a frame: queues the roots, and waits for all nodes, unless another does. */
static void run_graph(mp_worker *worker, void *arg, mp_visit *visit) {
  mp_graph *graph = arg;
  const mp_frame *frame = mp_worker_frame(worker);
  const uintptr_t group = visit != NULL ? (uintptr_t)graph : mp_group_of(frame);
  uint32_t roots = graph->root_count;
  if (roots == 0) {
    if (visit != NULL) mp_job_complete(graph->pool, &visit->done);
    return;
  }
  graph->visit = visit;
  graph->task = frame->task;
  graph->group = group;
  mp_store_relaxed(&graph->active, roots);
  mp_store_relaxed(&graph->done, MP_JOB_PENDING);
  for (uint32_t i = 0; i < roots; i++) /* with the last of them the graph may be gone */
    mp_pick_push(worker->scheduler, worker, &graph->nodes[graph->order[i]].entry, group);
  if (visit != NULL) return;
  const mp_wait_for what = {.word = &graph->done, .group = group, .through_signals = true};
  size_t index;
  (void)!mp_wait_until(graph->pool, &what, MP_FOREVER, &index);
}

mp_status mp_graph_run(mp_graph *graph) {
  mp_pool *pool = graph->pool;
  const mp_worker *self = mp_pool_self(pool);
  uint32_t idle = 0;
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (!mp_cas_acq_rel(&graph->running, &idle, 1)) return MP_BUSY;
  mp_status status = prepare(graph);
  mp_store_relaxed(&graph->skipped, false);
  if (status == MP_OK) status = mp_visit_worker(pool, run_graph, graph);
  if (status == MP_FORKED) return status;
  if (status == MP_OK && mp_load_relaxed(&graph->skipped))
    status = self != NULL && mp_frame_task(self) != NULL ? MP_CANCELLED : MP_SHUTDOWN;
  mp_store_release(&graph->running, 0); /* pairs with the cas above: this run's writes */
  return status;
}

/* }====================================================== */
