#include "makeparallel.h"

const char *mp_status_text(mp_status status) {
  static const char *const texts[] = {
#define STATUS_TEXT(name, text) text,
      MP_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
  };
  if ((unsigned)status >= MP_STATUS_COUNT) return "unknown status";
  return texts[status];
}
