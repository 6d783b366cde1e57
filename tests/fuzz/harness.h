/*
** harness.h - decodes bytes as a message in a Lua state that is kept from one input to the next,
** and watches the memory it costs.
*/
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the state on first use; it lives until the process ends. */
void harness_open(void);

/*
** Decodes a copy of the bytes, inertly; true if they are a message. `attached`: the message comes
** with attachments of each kind, else with none. Without them the memory taken is at most 16 times
** the input and a constant: more ends the process.
*/
bool harness_decode(const unsigned char *bytes, size_t size, bool attached);

#endif
