/*
** vm.h - a worker's lua_State: made at its first Lua task, kept until it is damaged or the worker
** ends.
**
** Only the worker's own thread touches it. Nothing here raises across the engine: all Lua runs
** inside one protected call.
*/
#ifndef LMP_VM_H
#define LMP_VM_H

#include "codec/message.h"
#include "makeparallel_lua.h"
#include "worker/log_sink.h"
#include "worker/trace.h"

typedef enum lmp_isolate { LMP_ISOLATE_NONE, LMP_ISOLATE_ENV, LMP_ISOLATE_STATE } lmp_isolate;
typedef enum lmp_cancel_mode {
  LMP_CANCEL_SIGNAL,
  LMP_CANCEL_HOOK,
  LMP_CANCEL_COOPERATIVE
} lmp_cancel_mode;
typedef enum lmp_when_full { LMP_FULL_BLOCK, LMP_FULL_ERROR, LMP_FULL_CALLER } lmp_when_full;
/* Why a task must go, whatever catches the error. */
typedef enum lmp_stop { LMP_GOES_ON, LMP_STOPS_CANCELLED, LMP_STOPS_MEMORY } lmp_stop;

/*
** What each new state is given. Made by the first state that uses the pool, as a whole, and kept by
** it (mp_pool_keep): constant from then on.
*/
typedef struct lmp_heritage {
  lmp_message *search; /* what modules are found by (inherit.h) */
  lua_Unsigned search_mark;
  lmp_message *setup; /* names of modules to require, setup function or nil */
} lmp_heritage;

/* The pool's, or NULL: no state uses it yet. */
static inline const lmp_heritage *lmp_heritage_of(mp_pool *pool) {
  return mp_pool_keep(pool, NULL);
}

/*
** What every worker's state of a pool is made from. Constant while workers may look; freed when the
** engine's pool is.
*/
typedef struct lmp_host lmp_host;
struct lmp_host {
  lmp_isolate isolate;
  lmp_cancel_mode cancel_mode;
  mp_limits limits; /* as configured; the engine has those that hold */
  lmp_when_full when_full;
  double full_timeout;           /* seconds; below 0: not given */
  size_t memory_limit;           /* bytes a worker's state may hold; SIZE_MAX: any number */
  struct lmp_heritage *heritage; /* the pool's, to be freed with it; NULL until it is made */
  lmp_vm *vms; /* by worker index: a worker cannot lack one. Each is its worker's own */
  size_t vm_count;
  struct lmp_book *book; /* of the state that owns the pool (unseen.h) */
  lmp_log log;
  lmp_trace *trace; /* NULL: none */
  /* makes the context of a worker's new state, and returns it; may raise */
  lmp_context *(*open_state)(lua_State *L, lmp_vm *vm);
  /* a program's own pool (makeparallel_lua.h) */
  mp_lua_config lua;
  mp_pool_config outer; /* its own hooks, called beside ours */
};

/* A task that runs on a state, on the C stack of its worker. Runs nest when a task waits. */
typedef struct lmp_run lmp_run;
struct lmp_run {
  lmp_run *outer; /* the task that waits below, or NULL */
  lmp_vm *vm;
  mp_worker *worker;
  mp_task *task;
  struct lmp_payload *payload;
  lmp_message message; /* a view of the payload's */
  lmp_message *result; /* what the task leaves */
  mp_status status;
  bool saw_cancel; /* mp.cancelled() said true: its end counts as cancelled */
  bool owns_inner; /* it waits for the task that runs on top, and cancels that if it goes itself */
  lmp_stop stop;
  int raised;         /* how often it was told to go */
  uint64_t raised_ns; /* when, the first time */
  int postponed;      /* how often it was not, for our Lua module ran */
  const char *name;   /* the task's, on the Lua stack; NULL: it has none */
  int world;      /* registry reference: what the Lua modules keep for this task, or LUA_NOREF */
  lmp_span *span; /* NULL: nothing is traced */
};

/* A worker's state, in its pool's host: zeroed before, and again NULL after it was closed. */
struct lmp_vm {
  lua_State *L;         /* NULL: there is none */
  lmp_host *host;       /* constant once the worker has started */
  lmp_context *context; /* the state's */
  mp_worker *worker;    /* constant once it has started */
  /* the coroutine that runs a task's code, or NULL: what an interrupt means */
  lua_State *volatile current;
  /* memory: written by the allocator */
  size_t bytes;   /* that the state holds */
  size_t ceiling; /* the most `bytes` may be now */
  size_t room;    /* what a state that waits leaves to this one; SIZE_MAX: none waits */
  /* size of the allocation that the ceiling refused last, if Lua has not got it since; or 0 */
  size_t refused;
  size_t peak; /* the most `bytes` was since the worker last gave memory back */
  /* the state is replaced before the next task: one was made to go, or ran out of memory */
  bool damaged;
  int closing; /* so many states are being closed: a task that runs meanwhile needs another */
  struct lmp_book *book; /* the places where its tasks start others (unseen.h) */
  /* random numbers */
  int randomseed;  /* registry reference: the function that seeds, or nil */
  void *generator; /* what it seeds: so many bytes, the state's; NULL: unknown */
  size_t generator_size;
  bool seeded;      /* the task that runs, or ran last, has set a seed of its own */
  uint64_t streams; /* begun on this worker */
  /* the hook that setup, or the host, has given the state */
  struct {
    lua_Hook function; /* NULL: none */
    int mask, count;
    bool changed; /* the task that runs has set another */
  } hook;
  struct {
    bool on, continues; /* warn() goes to stderr; a message is not complete */
  } warning;
  /* what runs on the state */
  lmp_run *run;     /* the innermost task, or NULL */
  int depth;        /* how many there are */
  int threads;      /* registry reference: [d] = coroutine that runs tasks at depth d > 0 */
  int thread_count; /* of these coroutines: for depths up to this one */
  /*
  ** What happens on the state between two tasks when news has come: callbacks are called. Set by
  ** whoever makes the context. Never raises.
  */
  void (*between_tasks)(lua_State *L, lmp_context *context);
  uint64_t between_until; /* until when that may take; 0: it does not happen now */
  bool overran;           /* it has taken longer, and is told to go */
};

/* The worker's own; on its thread. */
static inline lmp_vm *lmp_vm_of_worker(mp_worker *worker) {
  lmp_host *host = mp_worker_ud(worker);
  return &host->vms[mp_worker_index(worker)];
}

/* worker_start and worker_stop of the engine's config; ud is the lmp_host. */
void *lmp_vm_start(mp_worker *worker, void *ud);
void lmp_vm_stop(mp_worker *worker, void *local, void *ud);

/*
** The engine's worker_idle: collects garbage, a step a call, and gives memory back to the system at
** the end.
*/
int lmp_vm_idle(mp_worker *worker, void *local, void *ud);

/* The engine's worker_mail: callbacks of tasks that are over. */
void lmp_vm_mail(mp_worker *worker, void *local, void *ud);

/*
** Makes sure a task that runs while this one waits has a coroutine of its own: its C calls are then
** counted from zero. May raise.
*/
void lmp_vm_prepare_deeper(lua_State *L, lmp_vm *vm);

/*
** Makes the state if there is none; false with the failure of the task that needed it, NULL if
** there was no memory for that. Never raises.
*/
bool lmp_vm_open(lmp_vm *vm, lmp_message **failure);
void lmp_vm_close(lmp_vm *vm);
/*
** The state on which a task waits goes into `waiting`, so that another can be made for a task that
** runs meanwhile, within the memory that the first may still use; and comes back when that was
** closed. Never raise.
*/
void lmp_vm_set_aside(lmp_vm *vm, lmp_vm *waiting);
void lmp_vm_put_back(lmp_vm *vm, const lmp_vm *waiting);

#endif
