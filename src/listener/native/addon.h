// Mechanism only: system calls on descriptors and offsets into attached memory. No policy.
//
// Threads: loaded once per environment (main thread, each worker); every environment has its own
// `addon_t`. Nothing here is shared between threads but the attached memory itself, whose words are
// written under the rules of src/scoreboard.
// Results: every call returns a count or a descriptor (>= 0) or a negative errno. No call allocates.
#ifndef HYBRID_MPM_ADDON_H
#define HYBRID_MPM_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_REGIONS = 8, MAX_WATCHES = 16, MAX_ARGUMENTS = 6, MAX_HELD = 8192 };

// Offsets in the first half of a connection slot that accept writes, and how far behind a file's
// descriptor its KiB stand, in the other half; src/scoreboard/layout.ts states the same numbers and
// src/listener/native.ts compares them when the addon is loaded.
enum {
  SLOT_FD = 4,
  SLOT_PEER_FAMILY = 64,
  SLOT_PEER_PORT = 68,
  SLOT_PEER_ADDRESS = 72,
  SLOT_REST_SPILLED = 131036,
  SLOT_HALF_BYTES = 128,
};

// Regions with a fixed meaning; others are free for the caller.
enum { REGION_BOARD = 0, REGION_BATCH = 1 };

typedef struct {
  uint8_t *base;
  size_t length;
  napi_ref keep_alive;
} region_t;

struct watch;

typedef struct {
  napi_env env;
  napi_async_cleanup_hook_handle cleanup;
  bool cleaning_up;
  int open_watches;
  region_t regions[MAX_REGIONS];
  struct watch *watches[MAX_WATCHES];
  // Descriptors that were made here and nobody else knows of; they go with the environment.
  int held[MAX_HELD];
  int held_count;
} addon_t;

// The arguments of one call, fetched at once; a missing or wrong one makes `ok` false.
typedef struct {
  addon_t *addon;
  napi_env env;
  napi_value value[MAX_ARGUMENTS];
  bool ok;
} call_t;

call_t call_begin(napi_env env, napi_callback_info info, size_t arguments);
int32_t call_int(call_t *call, size_t index);
int64_t call_offset(call_t *call, size_t index);
napi_value call_return(call_t *call, int32_t result);
// Address of [offset, offset + length) in a region, or NULL where that is not inside it.
uint8_t *call_memory(call_t *call, int32_t region, int64_t offset, int64_t length);

// One that does not fit is not kept account of.
void hold_descriptor(addon_t *addon, int fd);
void forget_descriptor(addon_t *addon, int fd);
void close_held_descriptors(addon_t *addon);

// A reference outlives its environment unless it is deleted: at its end too, and before Node's own.
void memory_release(addon_t *addon);

void memory_register(napi_env env, napi_value exports);
void epoll_register(napi_env env, napi_value exports);
void file_register(napi_env env, napi_value exports);
void service_register(napi_env env, napi_value exports);
void socket_register(napi_env env, napi_value exports);
void nice_register(napi_env env, napi_value exports);
void slice_register(napi_env env, napi_value exports);
void watch_register(napi_env env, napi_value exports);

// Reads what is ready into the batch region as (slot, incarnation, events) triples of int32.
int32_t epoll_read_batch(addon_t *addon, int epoll_fd);
void watch_close_all(addon_t *addon);
void watch_cleanup_finished(addon_t *addon);

void define_function(napi_env env, napi_value exports, const char *name, napi_callback function);
void define_constant(napi_env env, napi_value exports, const char *name, int32_t value);

#endif
