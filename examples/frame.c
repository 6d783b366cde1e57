/*
** frame.c - a game's frame loop on the engine: a graph that is built once and run every frame, and
** a task that outlives frames and whose end is delivered by mp_poll on this thread. The owner works
** too while it waits (owner_works).
**
**   cc -Iengine examples/frame.c build/libmakeparallel.a -lpthread -o frame && ./frame
*/
#include <makeparallel.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTICLES = 20000, FRAMES = 120 };

typedef struct world {
  mp_pool *pool;
  float height[PARTICLES], speed[PARTICLES];
  double energy;
  int level_loaded;
} world;

/* One piece of the particles, on whichever worker. */
static void move_some(mp_worker *worker, size_t begin, size_t end, void *arg) {
  world *w = arg;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    w->speed[i] -= 9.81f / 60;
    w->height[i] += w->speed[i] / 60;
    if (w->height[i] < 0) {
      w->height[i] = -w->height[i];
      w->speed[i] = -w->speed[i];
    }
  }
}

/* The nodes of the graph: move, then measure and draw side by side. */
static void move(mp_worker *worker, void *arg) {
  world *w = arg;
  (void)worker;
  if (mp_for(w->pool, 0, PARTICLES, 512, move_some, w) != MP_OK) abort();
}

static void measure(mp_worker *worker, void *arg) {
  world *w = arg;
  (void)worker;
  w->energy = 0;
  for (size_t i = 0; i < PARTICLES; i++)
    w->energy += 9.81 * w->height[i] + 0.5 * w->speed[i] * w->speed[i];
}

static void draw(mp_worker *worker, void *arg) {
  (void)worker;
  (void)arg;
}

/* A task that takes several frames. */
static mp_status load_level(mp_worker *worker, void *arg) {
  (void)arg;
  return mp_worker_sleep(worker, 20 * 1000000);
}

/* on the owner's thread, inside mp_poll */
static void level_loaded(mp_task *task, mp_state state, void *arg) {
  (void)task;
  ((world *)arg)->level_loaded = state == MP_STATE_DONE;
}

static mp_status build(world *w, mp_graph **graph) {
  uint32_t first, second, third;
  mp_status status = mp_graph_create(w->pool, graph);
  if (status == MP_OK) status = mp_graph_add(*graph, "move", move, w, &first);
  if (status == MP_OK) status = mp_graph_add(*graph, "measure", measure, w, &second);
  if (status == MP_OK) status = mp_graph_add(*graph, "draw", draw, w, &third);
  if (status == MP_OK) status = mp_graph_edge(*graph, first, second);
  if (status == MP_OK) status = mp_graph_edge(*graph, first, third);
  return status;
}

int main(void) {
  static world w;
  mp_pool_config config = mp_pool_config_default();
  mp_task_desc load = MP_TASK_DESC_INIT;
  mp_graph *graph;
  config.owner_works = 1;
  if (mp_pool_create(&config, &w.pool) != MP_OK || build(&w, &graph) != MP_OK) return 1;
  for (size_t i = 0; i < PARTICLES; i++) w.height[i] = (float)(i % 100);
  load.run = load_level;
  load.done = level_loaded;
  load.arg = &w;
  if (mp_submit(w.pool, &load, NULL) != MP_OK) return 1;

  int frame = 0;
  for (; frame < FRAMES || !w.level_loaded; frame++) {
    if (mp_graph_run(graph) != MP_OK) return 1;
    mp_poll(w.pool, 500 * 1000, 0); /* at most half a millisecond of a frame for callbacks */
  }
  printf("%s, level loaded\n",
         isfinite(w.energy) && w.energy > 0 ? "energy is finite" : "energy is lost");
  mp_graph_destroy(graph);
  mp_pool_destroy(w.pool);
  return frame >= FRAMES ? 0 : 1;
}
