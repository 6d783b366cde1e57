/*
** refusal.h - why a value cannot travel, and where it stood: "args[2].conn (userdata 'FILE*')
** cannot be sent to a worker: ...". Both are written into the buffer while the encoder comes back
** from the value, so the path grows from the inside out.
*/
#ifndef LMP_REFUSAL_H
#define LMP_REFUSAL_H

#include "codec/buffer.h"

/* Notes why, with an empty path; returns false. Never raises. */
bool lmp_refuse(lmp_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a userdata that belongs to its own state, which it names. */
bool lmp_refuse_userdata(lua_State *L, lmp_buffer *buffer, int index);
/* Puts a step before the path. A path that is too long loses steps in its middle. Never raises. */
void lmp_path_prepend(lmp_buffer *buffer, const char *step);
/* The step for the key at `index`: .name, [3], ["odd name"], [table key]. */
void lmp_path_key(lua_State *L, lmp_buffer *buffer, int index);

/* Pushes the text. direction: "to a worker", where the reason says $direction. */
void lmp_push_refusal(lua_State *L, const lmp_buffer *buffer, const char *direction);
/* Raises the text, at whoever called the C function that runs. */
void lmp_raise_refusal(lua_State *L, const lmp_buffer *buffer, const char *direction);

#endif
