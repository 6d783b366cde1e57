#include "codec/reference.h"

static_assert(LMP_TAG_COUNT <= UINT8_MAX + 1, "a tag is a byte");

void lmp_add_reference(lua_State *L, lmp_context *context, const lmp_reference_kind *kind) {
  struct lmp_references *references = context->references;
  assert(kind->tag >= 0 && kind->tag < LMP_TAG_COUNT && references->by_tag[kind->tag] == NULL);
  assert(kind->decode != NULL && (kind->encode != NULL) == (kind->class != NULL));
  references->by_tag[kind->tag] = kind;
  if (kind->class == NULL) return;
  assert(references->class_count < LMP_REFERENCE_CLASSES_MAX);
  lmp_class class = lmp_keep_class(L, kind->class);
  references->by_class[references->class_count].metatable = class.address;
  references->by_class[references->class_count].kind = kind;
  references->class_count++;
}

const lmp_reference_kind *lmp_find_reference(lua_State *L, const lmp_context *context, int index) {
  const struct lmp_references *references = context->references;
  if (!lua_getmetatable(L, index)) return NULL;
  const void *metatable = lua_topointer(L, -1);
  lua_pop(L, 1);
  for (int i = 0; i < references->class_count; i++)
    if (references->by_class[i].metatable == metatable) return references->by_class[i].kind;
  return NULL;
}

const lmp_reference_kind *lmp_reference_of(const lmp_context *context, int tag) {
  return tag >= 0 && tag < LMP_TAG_COUNT ? context->references->by_tag[tag] : NULL;
}
