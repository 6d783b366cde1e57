/*
** call.h - the usual run: one function, called once with the arguments of its message.
*/
#ifndef LMP_CALL_H
#define LMP_CALL_H

#include "codec/reader.h"
#include "worker/vm.h"

/*
** Inside the protected call: runs an LMP_CALL whose message has been begun, of `count` values.
** handler: stack index of a message handler.
*/
void lmp_run_call(lua_State *L, lmp_run *run, lmp_decoder *decoder, uint32_t count, int handler);
/*
** The function at that stack index takes its own place if it is there by name (a string); a trace
** learns what the run is called.
*/
void lmp_find_function(lua_State *L, lmp_run *run, int function);

#endif
