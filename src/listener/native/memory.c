// Attached memory: typed arrays over shared or private memory, pinned once, then used by offset, so
// that no call has to look up a buffer.
#include "addon.h"

#include <errno.h>

uint8_t *call_memory(call_t *call, int32_t region, int64_t offset, int64_t length) {
  if (!call->ok || region < 0 || region >= MAX_REGIONS || offset < 0 || length < 0) return NULL;
  const region_t *memory = &call->addon->regions[region];
  if (memory->base == NULL || (uint64_t)offset + (uint64_t)length > memory->length) return NULL;
  return memory->base + offset;
}

// attach(region, Uint8Array): the array is kept alive until the environment ends or it is replaced.
static napi_value attach(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  int32_t index = call_int(&call, 0);
  if (!call.ok || index < 0 || index >= MAX_REGIONS) return call_return(&call, -EINVAL);
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (napi_get_typedarray_info(env, call.value[1], &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array) {
    return call_return(&call, -EINVAL);
  }
  // Tickets are written there as int32.
  if (index == REGION_BATCH && (uintptr_t)data % sizeof(int32_t) != 0) {
    return call_return(&call, -EINVAL);
  }
  napi_ref keep_alive;
  if (napi_create_reference(env, call.value[1], 1, &keep_alive) != napi_ok) {
    return call_return(&call, -ENOMEM);
  }
  region_t *region = &call.addon->regions[index];
  if (region->keep_alive != NULL) napi_delete_reference(env, region->keep_alive);
  *region = (region_t){.base = data, .length = length, .keep_alive = keep_alive};
  return call_return(&call, 0);
}

void memory_release(addon_t *addon) {
  for (int index = 0; index < MAX_REGIONS; index++) {
    region_t *region = &addon->regions[index];
    if (region->keep_alive != NULL) napi_delete_reference(addon->env, region->keep_alive);
    *region = (region_t){.base = NULL};
  }
}

void memory_register(napi_env env, napi_value exports) {
  define_function(env, exports, "attach", attach);
  define_constant(env, exports, "regionBoard", REGION_BOARD);
  define_constant(env, exports, "regionBatch", REGION_BATCH);
  define_constant(env, exports, "slotFd", SLOT_FD);
  define_constant(env, exports, "slotPeerFamily", SLOT_PEER_FAMILY);
  define_constant(env, exports, "slotPeerPort", SLOT_PEER_PORT);
  define_constant(env, exports, "slotPeerAddress", SLOT_PEER_ADDRESS);
  define_constant(env, exports, "slotRestSpilled", SLOT_REST_SPILLED);
  define_constant(env, exports, "slotHalfBytes", SLOT_HALF_BYTES);
}
