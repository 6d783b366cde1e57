/*
** interrupt.h - making Lua code return that was asked to stop, or that may have no more memory.
**
** cancel_mode "signal": the engine interrupts the worker's thread; the handler sets a hook on the
** coroutine that runs there, and the hook raises. "hook": a count hook is always there and asks.
** "cooperative": only mp.cancelled(), mp.sleep and waits end early. Whoever could catch the error
** and go on (pcall, xpcall, coroutine.resume, load ...) is replaced in workers by a version that
** raises it again.
*/
#ifndef LMP_INTERRUPT_H
#define LMP_INTERRUPT_H

#include "worker/vm.h"

/* The worker that a worker's state belongs to; any coroutine of it. */
static inline lmp_vm *lmp_vm_of(lua_State *L) { return *(lmp_vm **)lua_getextraspace(L); }

#define LMP_OVER_LIMIT "the task needs more than its memory limit"

/* Must the innermost task go? */
bool lmp_must_stop(const lmp_vm *vm);
/*
** Closes the variables of a coroutine that nobody will resume. Returns a status of Lua's, as
** lua_closethread; if it is an error, that is on top of `co`. May raise.
*/
int lmp_close_coroutine(lua_State *L, lua_State *co);
/* Around what happens between two tasks: it is told to go when it has taken too long. */
void lmp_interrupt_limit(lmp_vm *vm, lua_State *L);
/* Raises what makes it go. */
int lmp_raise_stop(lua_State *L);
/*
** Raises the end of a sleep or wait whose task was asked to stop: it counts as cancelled, unless it
** catches that and goes on.
*/
int lmp_raise_cancelled(lua_State *L, lmp_run *run);

/* The engine's worker_interrupt: on the worker's own thread, in a signal handler. */
void lmp_interrupt(mp_worker *worker, void *local, void *ud);
/*
** The innermost task has run into its memory limit: it goes at its next instruction, whatever it
** catches. In the allocator.
*/
void lmp_interrupt_for_memory(lmp_vm *vm);
/*
** Somebody has caught an error. True: it must be raised again, for it came of a cancel or a memory
** limit.
*/
bool lmp_vm_caught(lmp_vm *vm);

/* Has L the hook by which a task is told to go? */
bool lmp_is_interrupted(lua_State *L);

/* L is out of the task's code: what it was told so far is done with. */
void lmp_interrupt_disarm(lmp_vm *vm, lua_State *L);

/*
** Code runs on L from now on, until leave: it is what an interrupt means. Returns what was before.
** Neither raises.
*/
lua_State *lmp_interrupt_enter(lmp_vm *vm, lua_State *L);
void lmp_interrupt_leave(lmp_vm *vm, lua_State *L, lua_State *before);

/*
** In a worker's state: resumes co with the n values on top of L, for which co becomes the coroutine
** that runs. Returns how many values came back, or -1 with the error on top of L. Raises if the
** task must go.
*/
int lmp_resume(lua_State *L, lua_State *co, int n);

/*
** Prepares a new state: its functions, its hook, the errors to raise. Called while a state is made.
*/
void lmp_interrupt_open(lua_State *L, lmp_vm *vm);

#endif
