/*
** submit.h - a message that was encoded becomes a task.
*/
#ifndef LMP_SUBMIT_H
#define LMP_SUBMIT_H

#include "codec/buffer.h"
#include "handles/pool.h"
#include "worker/payload.h"

/* Starts a message to the pool in the state's scratch buffer, as lmp_encode_begin. */
lmp_buffer *lmp_submit_begin(lua_State *L, lmp_pool *pool);
/*
** Submits what was encoded: takes the buffer's message, to the pool that it was begun for. desc
** holds everything but run, arg, drop and what the message depends on; `payload` everything but the
** message. The handle userdata at stack index `handle` receives the task, and if it listens
** (lmp_listen_add) its news. latest: a full pool is waited for until then at most (lmp_now;
** LMP_NEVER). Leaves the handle on top and returns 1; or, where a full pool is told so (when_full =
** "block"), nil and why, and returns 2. Raises for everything else, the pool having been closed
** meanwhile among it; then nothing is left behind.
*/
int lmp_submit(lua_State *L, lmp_context *context, lmp_buffer *buffer, const lmp_payload *payload,
               mp_task_desc *desc, int handle, bool listens, double latest);

#endif
