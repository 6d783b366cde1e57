/*
** ledger.h - which tasks the handles of a state hold, so that they are released when garbage
** collection has taken the handles.
**
** Instead of a finaliser for each handle there is one object whose finaliser runs once a cycle and
** looks at all of them through a weak table. Lua 5.4 counts an object that waits for its finaliser
** as alive, so with a million short-lived ones its heap grows from cycle to cycle; and the
** finalisers themselves cost more than this look.
*/
#ifndef LMP_LEDGER_H
#define LMP_LEDGER_H

#include "base/context.h"

typedef struct lmp_ledger {
  struct lmp_entry *entries; /* from 1 on; index 0 is not used */
  uint32_t capacity, used;   /* entries ever in use: 1 .. used */
  uint32_t free;             /* first of the free ones, or 0 */
  /*
  ** registry reference: [handle] = its entry, weak keys: Lua keeps these for what a finaliser still
  ** reaches
  */
  int handles;
  /* registry reference: [1] = the object whose finaliser will look, weak */
  int watcher;
  uint32_t additions;
} lmp_ledger;

void lmp_ledger_open(lua_State *L, lmp_context *context);
/* Releases what is still held. Never raises. */
void lmp_ledger_close(lua_State *L, lmp_context *context);
/* Makes an entry for the handle on top of the stack; needs 4 slots. */
uint32_t lmp_ledger_add(lua_State *L, lmp_context *context);
/* The handle of the entry holds a reference to the task from now on. Never raises. */
void lmp_ledger_hold(lmp_context *context, uint32_t entry, mp_task *task);

#endif
