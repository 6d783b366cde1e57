/*
** suspend.h - tasks that wait without a thread: their bodies return, and are called again.
*/
#ifndef MP_SUSPEND_H
#define MP_SUSPEND_H

#include "task.h"

MP_CHECKED mp_status mp_suspend_open(mp_pool *pool);
void mp_suspend_close(mp_pool *pool);

/*
** The body has returned with MP_SUSPENDED and is out of its frame. From here on the task belongs to
** whoever calls its body next; the caller's own reference stays his.
*/
void mp_fall_asleep(mp_pool *pool, mp_task *task, mp_sleeper *sleeper);
/* What it had asked for is not wanted, for the body has returned otherwise. NULL is ignored. */
void mp_drop_sleeper(mp_pool *pool, mp_sleeper *sleeper);

/*
** Where the pool stops for good: a task whose body is queued to be called again, or about to be,
** ends instead. False: the entry is none of these.
*/
bool mp_refuse_resumed(mp_pool *pool, mp_entry *entry);

#endif
