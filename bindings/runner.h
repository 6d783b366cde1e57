/*
** runner.h - what a Lua task is to the engine: a payload, and a run that decodes, calls and encodes
** inside one protected call.
*/
#ifndef LMP_RUNNER_H
#define LMP_RUNNER_H

#include "codec/encode.h"
#include "codec/reader.h"
#include "vm.h"

typedef enum lmp_kind {
  LMP_CALL, /* values: name, function, dependencies, arguments; result: what it returns */
  /*
  ** values: name, function, first index, seed or nil, on_error, items; result: a value an item,
  ** then a list of {index, message}
  */
  LMP_CHUNK
} lmp_kind;

/*
** The argument of a Lua task. Small messages lie behind it, in the task itself; there a small
** result takes its place.
*/
typedef struct lmp_payload {
  /* bytes == NULL: attachments and bytes follow; bytes == payload + 1: it is the result */
  lmp_message message;
  uint32_t kind : 1;
  uint32_t memory_kib : 31; /* what it may allocate, in KiB; 0: any amount */
  /* so many values go into the table that is the first argument; UINT32_MAX: no such table */
  uint32_t dependencies;
} lmp_payload;
#define LMP_NO_TABLE UINT32_MAX
#define LMP_INLINE_MAX 128
/* every Lua task has so many bytes for its argument, and then for its result */
#define LMP_INLINE_MIN 112

/* The message of a payload, wherever it lies. */
lmp_message lmp_payload_message(const lmp_payload *payload);
/* mp_task_run and mp_task_drop. */
mp_status lmp_run_task(mp_worker *worker, void *arg);
void lmp_drop_payload(void *arg);

/*
** Inside the protected call: the error value on top, with which a call ended, becomes the run's
** result.
*/
void lmp_fail_run(lua_State *L, lmp_run *run, int status);
/*
** The function at that stack index, if it is there by name (a string), and what the run is called
** in a trace.
*/
void lmp_find_function(lua_State *L, lmp_run *run, int function);
/* chunk.c: runs an LMP_CHUNK whose message has been begun. */
void lmp_run_chunk(lua_State *L, lmp_run *run, lmp_decoder *decoder, uint32_t count, int handler);

/*
** Submits what was encoded: takes the buffer's message. desc holds everything but run, arg, drop
** and what the message depends on; `payload` everything but the message. The handle userdata at
** stack index `handle` receives the task, and if it listens (lmp_listen_add) its news. On failure
** nothing is left behind.
*/
mp_status lmp_submit(lua_State *L, lmp_pool *pool, lmp_buffer *buffer, const lmp_payload *payload,
                     mp_task_desc *desc, int handle, bool listens);

/*
** task.c: submits the function and arguments from stack index `first` on, for a program in C; *task
** is a reference. May raise.
*/
mp_status lmp_submit_values(lua_State *L, lmp_context *context, const mp_lua_task *options,
                            int first, mp_task **task);

#endif
