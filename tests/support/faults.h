/*
** faults.h - the other side of engine/fault.h: which point fails, and when. For builds with
** MP_FAULTS.
**
** One point is armed at a time. Any thread may call anything.
*/
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"

/* From now on the nth call at the point fails, from 1; with `lasting` every later one too. */
void faults_arm(mp_fault_point point, size_t nth, bool lasting);
/* Nothing fails any more; returns how many calls did. */
size_t faults_disarm(void);

/* What happens there, and its name. */
const char *fault_text(mp_fault_point point);
const char *fault_name(mp_fault_point point);

/*
** The next one to fail: one by one at first, then in growing steps, for there are points that are
** passed thousands of times.
*/
static inline size_t fault_next(size_t nth) { return nth + 1 + nth / 8; }

#endif
