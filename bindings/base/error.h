/*
** error.h - failures as Lua error objects: {kind, message, value, traceback, task, task_id,
** elapsed, cause}.
*/
#ifndef LMP_ERROR_H
#define LMP_ERROR_H

#include "base/context.h"

#define LMP_ERROR "makeparallel.error" /* the metatable's name in the registry */

/* A failure as values, in this order: kind, message, traceback, has value, value, task's name. */
#define LMP_FAILURE_VALUES 6

/* Pushes a new error object with kind and message (formatted as lua_pushfstring). */
void lmp_push_error(lua_State *L, const char *kind, const char *format, ...);
/* Turns the values of a failure on top of the stack into one error object. */
void lmp_make_error(lua_State *L);

/*
** Raises as lmp_check does; for MP_SHUTDOWN an error object of kind "shutdown", whose message
** begins with the place in the program that called. text: NULL, or in place of the status's own.
*/
void lmp_check_open(lua_State *L, mp_status status, const char *text);

/*
** "@.../makeparallel/map.lua": does the source of a function say that it is one of our Lua files?
*/
bool lmp_is_of_module(const char *source);

/* The metatable; the function of the core that makes such an object for the Lua modules. */
void lmp_open_errors(lua_State *L, lmp_context *context);

#endif
