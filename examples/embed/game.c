/*
** game.c - a game's frame loop at 60 Hz with everything it would use: a graph that runs each frame
** with a parallel-for inside (an N-body step), assets streamed in by tasks in C and in Lua whose
** ends are delivered within a budget, workers whose Lua is sandboxed, a script that loops for ever,
** and a clean end. Prints the histogram of its frame times and exits by itself.
**
**   game [FRAMES]
*/
#define _POSIX_C_SOURCE 200809L
#include <lauxlib.h>
#include <lualib.h>
#include <makeparallel_lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BODIES = 512, ASSETS = 24, BUCKETS = 9 };

#define FRAME_NS ((uint64_t)1000000000 / 60)
#define POLL_NS ((uint64_t)2000000) /* of a frame for news of tasks */

typedef struct body {
  float x, y, z, vx, vy, vz, mass;
} body;

typedef struct game {
  mp_pool *pool;
  mp_graph *graph;
  lua_State *L;
  body now[BODIES], next[BODIES];
  double energy;
  /* assets in C, assets in Lua, and scripts that the sandbox stopped */
  int loaded, parsed, refused;
  /* frames by the time they took: up to 1, 2, 4 ... 128 ms, and longer */
  unsigned histogram[BUCKETS];
} game;

static void check(mp_status status, const char *what) {
  if (status == MP_OK) return;
  fprintf(stderr, "%s: %s\n", what, mp_status_text(status));
  exit(1);
}

/*
** {======================================================
** The frame's graph: step, then measure and draw side by side
** =======================================================
*/

static void pull(const body *all, const body *one, float *a) {
  a[0] = a[1] = a[2] = 0;
  for (size_t j = 0; j < BODIES; j++) {
    float dx = all[j].x - one->x, dy = all[j].y - one->y, dz = all[j].z - one->z;
    float squared = dx * dx + dy * dy + dz * dz + 0.01f,
          scale = all[j].mass / (squared * sqrtf(squared));
    a[0] += dx * scale;
    a[1] += dy * scale;
    a[2] += dz * scale;
  }
}

static void step_some(mp_worker *worker, size_t begin, size_t end, void *arg) {
  game *g = arg;
  const float dt = 1.0f / 600;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    body b = g->now[i];
    float a[3];
    pull(g->now, &b, a);
    b.vx += a[0] * dt, b.vy += a[1] * dt, b.vz += a[2] * dt;
    b.x += b.vx * dt, b.y += b.vy * dt, b.z += b.vz * dt;
    g->next[i] = b;
  }
}

static void step(mp_worker *worker, void *arg) {
  game *g = arg;
  (void)worker;
  check(mp_for(g->pool, 0, BODIES, 32, step_some, g), "mp_for");
  for (size_t i = 0; i < BODIES; i++) g->now[i] = g->next[i];
}

static void measure(mp_worker *worker, void *arg) {
  game *g = arg;
  double energy = 0;
  (void)worker;
  for (size_t i = 0; i < BODIES; i++) {
    const body *b = &g->now[i];
    energy += 0.5 * b->mass * (b->vx * b->vx + b->vy * b->vy + b->vz * b->vz);
  }
  g->energy = energy;
}

static void draw(mp_worker *worker, void *arg) {
  (void)worker;
  (void)arg;
}

static void build_graph(game *g) {
  uint32_t first, second, third;
  check(mp_graph_create(g->pool, &g->graph), "graph");
  check(mp_graph_add(g->graph, "step", step, g, &first), "graph");
  check(mp_graph_add(g->graph, "measure", measure, g, &second), "graph");
  check(mp_graph_add(g->graph, "draw", draw, g, &third), "graph");
  check(mp_graph_edge(g->graph, first, second), "graph");
  check(mp_graph_edge(g->graph, first, third), "graph");
}

/* }====================================================== */

/*
** {======================================================
** Assets
** =======================================================
*/

/*
** In C: something that takes a few milliseconds. Its end is told on the main thread, inside
** mp_poll.
*/
static mp_status load_asset(mp_worker *worker, void *arg) {
  volatile double x = 0;
  (void)worker;
  (void)arg;
  for (int i = 0; i < 500000; i++) x += i;
  return MP_OK;
}

static void asset_loaded(mp_task *task, mp_state state, void *arg) {
  (void)task;
  if (state == MP_STATE_DONE) ((game *)arg)->loaded++;
}

static void stream_asset(game *g) {
  mp_task_desc desc = MP_TASK_DESC_INIT;
  desc.run = load_asset;
  desc.done = asset_loaded;
  desc.arg = g;
  desc.priority = -1; /* behind the frame */
  check(mp_submit(g->pool, &desc, NULL), "submit");
}

/* In Lua: a level's text is parsed into a table. */
static const char parser[] =
    "local text = ...\n"
    "local level = {}\n"
    "for name, value in text:gmatch '(%w+)=(%d+)' do level[name] = math.tointeger(value) end\n"
    "assert(not os and not io, 'the sandbox leaks')\n"
    "return level.width * level.height\n";

static void level_parsed(mp_task *task, mp_state state, void *ud) {
  game *g = ud;
  if (task == NULL) return;
  if (state == MP_STATE_DONE && mp_push_results(g->L, task) == 1 &&
      lua_tointeger(g->L, -1) == 320 * 200)
    g->parsed++;
  lua_settop(g->L, 0);
}

static void stream_script(game *g, const char *source, mp_notify *notify, uint64_t timeout_ns) {
  mp_lua_task options = MP_LUA_TASK_INIT;
  mp_task *task;
  options.name = "script";
  options.timeout_ns = timeout_ns;
  options.priority = -1;
  if (luaL_loadstring(g->L, source) != LUA_OK) exit(1);
  lua_pushliteral(g->L, "width=320 height=200");
  check(mp_submit_lua(g->L, 1, &options, &task), "submit_lua");
  check(mp_task_notify(task, mp_pool_mailbox(g->pool), notify, g), "notify");
  mp_task_release(task);
}

static void script_ended(mp_task *task, mp_state state, void *ud) {
  if (task != NULL && state == MP_STATE_TIMED_OUT) ((game *)ud)->refused++;
}

/* What scripts may use: on the worker's thread, for each new state. */
static void sandbox(lua_State *L, mp_worker *worker, void *ud) {
  static const char *const gone[] = {"os",      "io",     "debug",   "package",
                                     "require", "dofile", "loadfile"};
  (void)worker;
  (void)ud;
  for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
    lua_pushnil(L);
    lua_setglobal(L, gone[i]);
  }
}

/* }====================================================== */

static void open_game(game *g) {
  mp_lua *lua;
  mp_lua_config lua_config = mp_lua_config_default();
  mp_pool_config config = mp_pool_config_default();
  config.owner_works = 1; /* the main thread works too while it waits for the frame */
  lua_config.cancel_mode = MP_LUA_CANCEL_SIGNAL;
  lua_config.memory_limit = (size_t)32 << 20;
  lua_config.worker_state = sandbox;
  check(mp_lua_prepare(&lua_config, &config, &lua), "prepare");
  check(mp_pool_create(&config, &g->pool), "pool");
  g->L = luaL_newstate();
  luaL_openlibs(g->L);
  luaL_requiref(g->L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_settop(g->L, 0);
  check(mp_lua_attach(g->L, g->pool), "attach");
  for (size_t i = 0; i < BODIES; i++) {
    float angle = (float)i * 2.39996f, r = sqrtf((float)i + 1);
    g->now[i] = (body){
        r * cosf(angle), r * sinf(angle), (float)(i % 7) * 0.1f, -sinf(angle), cosf(angle), 0, 1};
  }
  build_graph(g);
}

static void close_game(game *g) {
  mp_shutdown_report report;
  mp_graph_destroy(g->graph);
  lua_close(g->L);
  check(mp_pool_shutdown(g->pool, (uint64_t)1000000000, MP_SHUTDOWN_CANCEL_ALL, &report),
        "shutdown");
  printf("shut down: %u workers stuck\n", report.stuck);
  mp_pool_destroy(g->pool);
}

static void count_frame(game *g, uint64_t ns) {
  int bucket = 0;
  for (uint64_t limit = 1000000; bucket < BUCKETS - 1 && ns > limit; limit *= 2) bucket++;
  g->histogram[bucket]++;
}

static void sleep_until(uint64_t when) {
  uint64_t now = mp_now();
  if (now >= when) return;
  struct timespec t = {(time_t)((when - now) / 1000000000), (long)((when - now) % 1000000000)};
  nanosleep(&t, NULL);
}

static void print_histogram(const game *g) {
  printf("frame time   frames\n");
  for (int i = 0; i < BUCKETS; i++)
    if (g->histogram[i] > 0)
      printf("%s%4d ms  %7u\n", i < BUCKETS - 1 ? "<= " : " > ", 1 << (i < BUCKETS - 1 ? i : i - 1),
             g->histogram[i]);
}

int main(int argc, char **argv) {
  static game g;
  int frames = argc > 1 ? atoi(argv[1]) : 180, frame = 0;
  open_game(&g);
  uint64_t next = mp_now();
  for (; frame < frames || g.loaded < ASSETS || g.parsed < ASSETS || g.refused < 1; frame++) {
    uint64_t began = mp_now();
    if (frame < ASSETS) {
      stream_asset(&g);
      stream_script(&g, parser, level_parsed, 0);
    }
    if (frame == 10) stream_script(&g, "while true do end", script_ended, (uint64_t)200000000);
    check(mp_graph_run(g.graph), "graph");
    mp_poll(g.pool, POLL_NS, 0);
    mp_lua_poll(g.L, POLL_NS);
    count_frame(&g, mp_now() - began);
    next += FRAME_NS;
    sleep_until(next);
  }
  print_histogram(&g);
  printf("%d frames: %d assets in C, %d in Lua, %d script stopped, energy %s\n",
         frame >= frames ? frames : frame, g.loaded, g.parsed, g.refused,
         isfinite(g.energy) && g.energy > 0 ? "finite" : "lost");
  close_game(&g);
  return 0;
}
