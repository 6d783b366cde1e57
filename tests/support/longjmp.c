/*
** longjmp.c - for programs with ThreadSanitizer and Lua in them.
**
** Debian's Lua raises errors through __longjmp_chk (it is built with _FORTIFY_SOURCE), which
** ThreadSanitizer does not intercept. So it never learns that the frames of our functions that an
** error leaves are gone, and after some 65,000 of them writes past the end of its own stack of
** calls: reports of signals where there are none, or a program that stands still.
*/
#include <setjmp.h>

_Noreturn __attribute__((visibility("default"))) void __longjmp_chk(jmp_buf, int);
_Noreturn void __longjmp_chk(jmp_buf env, int value) { longjmp(env, value); }
