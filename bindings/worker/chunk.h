/*
** chunk.h - many calls in one task: mp.map's pieces. Items are decoded, and results encoded, one at
** a time, straight from and to bytes.
*/
#ifndef LMP_CHUNK_H
#define LMP_CHUNK_H

#include "codec/reader.h"
#include "worker/vm.h"

/*
** Inside the protected call: runs an LMP_CHUNK whose message has been begun, of `count` values.
** handler: stack index of a message handler.
*/
void lmp_run_chunk(lua_State *L, lmp_run *run, lmp_decoder *decoder, uint32_t count, int handler);

#endif
