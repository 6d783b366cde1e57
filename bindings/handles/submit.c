#include "handles/submit.h"

#include <string.h>

#include "codec/encode.h"
#include "base/error.h"
#include "codec/value.h"
#include "handles/events.h"
#include "handles/room.h"
#include "worker/inherit.h"
#include "worker/run.h"

/*
** Copies a small message behind the header in `space`; 0 if it is not small. The references move.
*/
static size_t pack_small(lmp_buffer *buffer, lmp_payload *payload, size_t space) {
  lmp_message *m = &buffer->message;
  size_t attachments = m->attachment_count * sizeof(lmp_attachment),
         size = sizeof *payload + attachments + m->size;
  if (size > space) return 0;
  payload->message = *m;
  payload->message.bytes = NULL;
  payload->message.attachments = NULL;
  if (attachments > 0) memcpy(payload + 1, m->attachments, attachments);
  memcpy((char *)(payload + 1) + attachments, m->bytes, m->size);
  m->attachment_count = 0;
  lmp_buffer_reset(buffer);
  return size;
}

/*
** The tasks whose values the message waits for join desc->after; in `few` if they fit, else in a
** block that is pushed.
*/
static void add_dependencies(lua_State *L, const lmp_message *m, mp_task_desc *desc, mp_task **few,
                             size_t few_max) {
  size_t n = desc->after_count;
  for (uint32_t i = 0; i < m->attachment_count; i++)
    n += m->attachments[i].kind->tag == LMP_DEPENDENCY;
  if (n == desc->after_count) return;
  mp_task **tasks = n <= few_max ? few : lua_newuserdatauv(L, n * sizeof *tasks, 0);
  for (size_t i = 0; i < desc->after_count; i++) tasks[i] = desc->after[i];
  n = desc->after_count;
  for (uint32_t i = 0; i < m->attachment_count; i++)
    if (m->attachments[i].kind->tag == LMP_DEPENDENCY) tasks[n++] = m->attachments[i].object;
  assert(n > desc->after_count);
  desc->after = tasks;
  desc->after_count = n;
}

/* Code of the program's runs while a message is written, and may have closed its pool. */
static lmp_pool *open_pool(lua_State *L, lmp_context *context, const mp_pool *pool) {
  lmp_pool *object = lmp_pool_find(context, pool);
  if (object == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL);
  return object;
}

lmp_buffer *lmp_submit_begin(lua_State *L, lmp_pool *pool) {
  lmp_context *context = pool->context;
  lmp_encode_prepare(L, context);
  if (pool->pool == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL); /* closed by a finaliser */
  lmp_buffer *buffer = lmp_encode_begin(L, context, pool->pool);
  if (lmp_inherit_look(L, context, lmp_heritage_of(buffer->message.pool)->search_mark))
    lmp_inherit_make(L, context, buffer->message.pool);
  return buffer;
}

int lmp_submit(lua_State *L, lmp_context *context, lmp_buffer *buffer, const lmp_payload *payload,
               mp_task_desc *desc, int handle, bool listens, double latest) {
  union {
    lmp_payload payload;
    char space[LMP_INLINE_MAX];
  } local;
  mp_task *few[8];
  const mp_pool *of = buffer->message.pool;
  local.payload = *payload;
  lmp_inherit_attach(L, context, lmp_heritage_of(buffer->message.pool)->search_mark, buffer);
  lmp_feel_memory(L, open_pool(L, context, of));
  add_dependencies(L, &buffer->message, desc, few, sizeof few / sizeof few[0]);
  lmp_keep_pool(L, handle, open_pool(L, context, of));
  if (listens) lmp_listen_begin(L, handle, open_pool(L, context, of), desc);
  luaL_checkstack(L, 8, NULL);
  /* This is the last that may raise before the message is in the payload. */
  lmp_pool *pool = open_pool(L, context, of);
  assert(desc->arg == NULL && lua_touserdata(L, handle) != NULL);
  size_t size = pack_small(buffer, &local.payload, sizeof local);
  if (size == 0) {
    size = sizeof local.payload;
    lmp_encode_move(buffer, &local.payload.message);
  }
  desc->run = lmp_run_task;
  desc->drop = lmp_drop_payload;
  desc->arg = &local;
  desc->arg_size = size < LMP_INLINE_MIN ? LMP_INLINE_MIN : size;
  desc->held_bytes = local.payload.message.bytes == NULL ? 0 : local.payload.message.capacity;
  if (pool->host->when_full == LMP_FULL_CALLER) desc->flags |= MP_TASK_CALLER_RUNS;
  mp_task *task;
  mp_bytes *keeper;
  bool raised;
  mp_status status = lmp_submit_waiting(L, pool, desc, latest, &task, &keeper, &raised);
  if (status != MP_OK) lmp_drop_payload(&local.payload);
  if (keeper != NULL) mp_bytes_release(keeper);
  if (status == MP_OK) {
    lmp_handle_set(lua_touserdata(L, handle), task);
    lua_settop(L, handle);
    return 1;
  }
  if (listens) lmp_listen_undo(L, handle);
  return raised ? lua_error(L) : lmp_push_full(L, pool, status);
}
