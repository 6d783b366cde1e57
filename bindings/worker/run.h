/*
** run.h - a Lua task from begin to end: what the engine calls on a worker. It decodes, calls and
** encodes inside one protected call.
*/
#ifndef LMP_RUN_H
#define LMP_RUN_H

#include "worker/vm.h"

/* mp_task_run; arg is an lmp_payload. */
mp_status lmp_run_task(mp_worker *worker, void *arg);

#endif
