/*
** search.h - what `require` of a state finds modules by: package.path, package.cpath and
** package.preload, and the files there; and a searcher for our own modules.
**
** No code of the program's own runs here, whatever it put into the package table: `require` is not
** called, nor are searchers, nor package.searchpath.
*/
#ifndef LMP_SEARCH_H
#define LMP_SEARCH_H

#include "base/context.h"

#define LMP_CORE "makeparallel.core" /* the module that is in every worker, without a path */

/* What this state has seen of its package table. Its context's own. */
struct lmp_search {
  /*
  ** A coroutine that never runs, for its stack: the two tables, the names of the fields, path and
  ** cpath at the last look. So a look takes a few calls, at each submission.
  */
  lua_State *seen;
  bool has_package;            /* a host's sandbox may have left it out */
  const char *path, *cpath;    /* the bytes of these: a string is known by their address */
  lua_Unsigned preload_mark;   /* of what package.preload held at the last look */
  lua_Unsigned mark;           /* of path, cpath and preload by content: the same in every state */
  lua_Unsigned given, settled; /* worker/inherit.c's */
  int kept; /* registry reference: a list of what search.c keeps, from 10 on worker/inherit.c */
};

typedef enum lmp_origin_kind {
  LMP_NOT_FOUND,
  LMP_STANDARD, /* a library of Lua's own */
  LMP_LUA_FILE, /* `source` is what debug.getinfo calls the file */
  LMP_LUA_LOADER /* a Lua function in package.preload: its source, from line `first` to `last` */,
  LMP_C_LOADER /* a C library, or a C function in package.preload */
} lmp_origin_kind;

/* Where `require` would have a module from. */
typedef struct lmp_origin {
  lmp_origin_kind kind;
  const char *source; /* NULL: no Lua code is there */
  int first, last;    /* 0: the whole source */
} lmp_origin;

/*
** Looks whether path, cpath or preload is another than at the last look; true: search->mark is new.
** Cheap, and raises for lack of memory only.
*/
bool lmp_search_look(lua_State *L, lmp_context *context);
/* The mark of a path, a cpath and what the preload table at stack index holds (0: nothing). */
lua_Unsigned lmp_search_mark(lua_State *L, const char *path, const char *cpath, int preload);
/* Of the loader on top, whose name is below: the same for the same code in any state. */
lua_Unsigned lmp_loader_mark(lua_State *L);
/* Where the module would come from now; pushes one value, which keeps `source`. */
lmp_origin lmp_find_module(lua_State *L, lmp_context *context, const char *name);
/* Pushes why a module is not found, as `require` says it. */
void lmp_push_not_found(lua_State *L, lmp_context *context, const char *name);
/* Pushes path or cpath ("" if it is no string), or package.preload. */
void lmp_push_path(lua_State *L, lmp_context *context, const char *which);
/* Sets path or cpath to the value on top, popped. */
void lmp_set_path(lua_State *L, lmp_context *context, const char *which);
void lmp_push_preload(lua_State *L, lmp_context *context);
/*
** Lua functions of package.preload that cannot travel are remembered, on top of the stack and
** popped: a module of theirs cannot be required elsewhere.
*/
void lmp_preload_stays(lua_State *L, lmp_context *context);
/*
** `require` finds our own modules by `path`, on top and popped, too, whatever becomes of
** package.path; what it was is pushed by the second, as a string.
*/
void lmp_search_home(lua_State *L, lmp_context *context);
void lmp_push_home(lua_State *L, lmp_context *context);

void lmp_open_search(lua_State *L, lmp_context *context);

#endif
