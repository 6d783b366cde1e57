#include "worker/payload.h"

static_assert(sizeof(lmp_payload) + sizeof(lmp_attachment) < LMP_INLINE_MIN,
              "a function and a few small arguments lie in their task");

lmp_message lmp_payload_message(const lmp_payload *payload) {
  lmp_message view = payload->message;
  if (view.bytes != NULL) return view;
  assert(view.attachments == NULL);
  view.attachments = (lmp_attachment *)(payload + 1);
  view.bytes = (char *)(view.attachments + view.attachment_count);
  return view;
}

void lmp_drop_payload(void *arg) {
  lmp_payload *payload = arg;
  if (payload->message.bytes == (char *)(payload + 1))
    return; /* the argument is gone, its place is the result's */
  if (payload->message.bytes != NULL) {
    lmp_message_clear(&payload->message);
    return;
  }
  lmp_message view = lmp_payload_message(payload);
  view.capacity = view.attachment_capacity = 0;
  lmp_release_attachments(&view);
}
