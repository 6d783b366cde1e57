/*
** run.h - a task's body: from the queue, or in place, for somebody who waits for it.
*/
#ifndef MP_RUN_H
#define MP_RUN_H

#include "task.h"

/* What a task's entry calls. */
void mp_run_task_entry(mp_worker *worker, mp_entry *entry);
/* What a sleeper's entry runs: its task's body is called again. */
void mp_resume_entry(mp_worker *worker, mp_entry *entry);

/*
** Runs a queued task here and finishes it, on the stack of one who waits for it and has a
** reference; false if it was ended, is run elsewhere, or is on a strand.
*/
bool mp_run_in_place(mp_worker *worker, mp_task *task);

#endif
