/*
** inherit.h - what `require` of a worker's state finds modules by: package.path, package.cpath and
** package.preload, as the state that submits a task has them at the call.
**
** A pool has them from the state that started it, as a message of its own. A task brings them along
** only if they have changed since: as a note, the last attachment of its message, which refers to
** what was written once. States compare them by a mark (search.h).
**
** What a worker's own code does to its path stays, before and behind what was given. A function in
** package.preload travels if it needs no module of the program's: what refers to one would load it.
*/
#ifndef LMP_INHERIT_H
#define LMP_INHERIT_H

#include "codec/buffer.h"
#include "worker/vm.h"

/* Writes what new states of the pool are given, and its mark. */
lmp_buffer *lmp_inherit_write(lua_State *L, lmp_context *context, mp_pool *pool,
                              lua_Unsigned *mark);
/*
** When a message has been begun to a pool whose workers were given what has the mark `given`: does
** this state pass on something else? Then a note is made, unless there is one: on the level above
** the message, which keeps the pool.
*/
bool lmp_inherit_look(lua_State *L, lmp_context *context, lua_Unsigned given);
void lmp_inherit_make(lua_State *L, lmp_context *context, mp_pool *pool);
/* When the message is encoded: attaches the note that is needed. */
void lmp_inherit_attach(lua_State *L, lmp_context *context, lua_Unsigned given, lmp_buffer *buffer);
/* The pool goes: what was written for it may, too. Never raises. */
void lmp_inherit_forget(lua_State *L, lmp_context *context, const mp_pool *pool);

/* A new worker's state: it is given what its host has. Later its own code, `setup`, has run. */
void lmp_inherit_begin(lua_State *L, lmp_vm *vm);
void lmp_inherit_settle(lua_State *L, lmp_context *context);
/* Before a task runs on the worker's state: it is given what came with the message. */
void lmp_inherit_follow(lua_State *L, lmp_vm *vm, const lmp_message *message);

#endif
