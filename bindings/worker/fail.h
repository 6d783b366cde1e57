/*
** fail.h - how a run ends that does not end well: the error value becomes the task's result, unless
** nobody will ask for it.
**
**   what happened                        run->stop        status     result        state
**   the function raised                  GOES_ON          FAILED     "error"
**   Lua had no memory                    GOES_ON          FAILED     "memory"      damaged
**   what it returned cannot travel       GOES_ON          FAILED     "send"
**   it went beyond its memory limit      STOPS_MEMORY     FAILED     "memory"      damaged
**   the hook made it go, for a cancel    STOPS_CANCELLED  CANCELLED  none          damaged
**   it saw the cancel, however it ended  GOES_ON          CANCELLED  none
**
** A failure that there was no memory to write down is no result, either, and counts as "memory".
*/
#ifndef LMP_FAIL_H
#define LMP_FAIL_H

#include "worker/vm.h"

/*
** Inside the protected call: the error value on top becomes the run's result, as a failure of that
** kind ("error", "send", "memory").
*/
void lmp_fail(lua_State *L, lmp_run *run, const char *kind, bool with_traceback);
/* The same for the error value with which a call of the task's function ended, and its status. */
void lmp_fail_run(lua_State *L, lmp_run *run, int status);
/*
** Outside, where the protected call itself failed: arguments that cannot be made here, or no
** memory. The error value is on top. Never raises.
*/
void lmp_fail_outside(lua_State *L, lmp_run *run, int status);
/*
** The task was asked to stop and saw it, or was stopped in mp.sleep: it counts as cancelled however
** it ends.
*/
bool lmp_was_cancelled(const lmp_run *run);

#endif
