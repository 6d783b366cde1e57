/*
** options.h - tables of options: names and values are checked before anything happens.
*/
#ifndef LMP_OPTIONS_H
#define LMP_OPTIONS_H

#include "base/context.h"

/*
** Raises "unknown option 'prioirty' (did you mean 'priority'?)" unless each key of the table is in
** the NULL-ended list.
*/
void lmp_check_option_names(lua_State *L, int options, const char *const names[]);
/* The same, as a text: pushed, and true, if one is unknown. */
bool lmp_push_unknown_option(lua_State *L, int options, const char *const names[]);
/*
** An integer from low to high, or `missing`; raises "workers must be an integer from 1 to 1024, got
** 1.5".
*/
lua_Integer lmp_option_integer(lua_State *L, int options, const char *name, lua_Integer low,
                               lua_Integer high, lua_Integer missing);
/*
** Which of the NULL-ended names the option has: its index; `missing` without it. Raises "isolate
** must be 'none', 'env' or 'state', got x".
*/
int lmp_option_choice(lua_State *L, int options, const char *option, const char *const names[],
                      int missing);
/* Raises unless the value can be called. */
void lmp_check_callable(lua_State *L, int index, const char *name);

/* The function of the core that checks names for the Lua modules. */
void lmp_open_options(lua_State *L, lmp_context *context);

#endif
