/*
** decode.c - libFuzzer feeds the decoder.
*/
#include "harness.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  harness_open();
  (void)harness_decode(data, size, false);
  (void)harness_decode(data, size, true);
  return 0;
}
