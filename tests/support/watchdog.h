/*
** watchdog.h - for programs that may hang: each thread says what it is about to wait for, and when
** a case takes too long, all of it is printed, thread by thread, and the program is aborted.
**
** What one thread says is a stack: a body that runs on top of a wait stands above it.
*/
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include "stress.h"

/* Starts the thread that watches. */
void watchdog_start(stress *s);
/*
** A new case, which `text` (kept, not copied) describes; no thread of the one before says anything
** any more.
*/
void watchdog_case(size_t number, const char *text);

/* The calling thread begins and ends something; `what` is a constant string. */
void watchdog_enter(const char *what, unsigned unit, unsigned detail);
void watchdog_leave(void);

#endif
