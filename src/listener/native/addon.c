// Module set-up and tear-down, and the argument helpers of every call.
#include "addon.h"

#include <errno.h>
#include <stdlib.h>

call_t call_begin(napi_env env, napi_callback_info info, size_t arguments) {
  call_t call = {.addon = NULL, .env = env, .ok = true};
  size_t count = MAX_ARGUMENTS;
  void *addon = NULL;
  if (napi_get_cb_info(env, info, &count, call.value, NULL, &addon) != napi_ok ||
      count < arguments || addon == NULL) {
    call.ok = false;
  }
  call.addon = addon;
  return call;
}

// A number between two bounds and without a fraction. napi_get_value_int32 would make 0 of NaN and cut
// off what is above 32 bits, and the result could be somebody else's descriptor.
static double call_whole(call_t *call, size_t index, double least, double most) {
  double result = 0;
  if (!call->ok || napi_get_value_double(call->env, call->value[index], &result) != napi_ok ||
      !(result >= least && result <= most) || result != (double)(int64_t)result) {
    call->ok = false;
    return 0;
  }
  return result;
}

int32_t call_int(call_t *call, size_t index) {
  return (int32_t)call_whole(call, index, INT32_MIN, INT32_MAX);
}

int64_t call_offset(call_t *call, size_t index) {
  // Number.MAX_SAFE_INTEGER
  const double most = 9007199254740991.0;
  return (int64_t)call_whole(call, index, -most, most);
}

napi_value call_return(call_t *call, int32_t result) {
  napi_value value = NULL;
  napi_create_int32(call->env, call->ok ? result : -EINVAL, &value);
  return value;
}

void define_function(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  // With the function comes what it would else have to ask for in each call.
  void *addon = NULL;
  if (napi_get_instance_data(env, &addon) == napi_ok &&
      napi_create_function(env, name, NAPI_AUTO_LENGTH, function, addon, &value) == napi_ok) {
    napi_set_named_property(env, exports, name, value);
  }
}

void define_constant(napi_env env, napi_value exports, const char *name, int32_t number) {
  napi_value value;
  if (napi_create_int32(env, number, &value) == napi_ok) {
    napi_set_named_property(env, exports, name, value);
  }
}

// A plain clean-up hook that closed uv handles crashed in workers (nodejs/node#43534): the
// environment waits for an asynchronous one until the handles have really gone.
static void on_environment_cleanup(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  addon_t *addon = data;
  addon->cleaning_up = true;
  memory_release(addon);
  bool watched = addon->open_watches > 0;
  if (watched) watch_close_all(addon);
  // A thread that was ended in the middle of a response has not given these away; none is watched any more.
  close_held_descriptors(addon);
  if (!watched) watch_cleanup_finished(addon);
}

void watch_cleanup_finished(addon_t *addon) {
  napi_remove_async_cleanup_hook(addon->cleanup);
  free(addon);
}

NAPI_MODULE_INIT() {
  addon_t *addon = calloc(1, sizeof *addon);
  if (addon == NULL) {
    napi_throw_error(env, "ERR_MPM_NO_MEMORY", "no memory for the native part");
    return NULL;
  }
  addon->env = env;
  if (napi_set_instance_data(env, addon, NULL, NULL) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_cleanup, addon, &addon->cleanup) != napi_ok) {
    free(addon);
    napi_throw_error(env, "ERR_MPM_NATIVE", "the native part could not be set up");
    return NULL;
  }
  memory_register(env, exports);
  epoll_register(env, exports);
  file_register(env, exports);
  service_register(env, exports);
  socket_register(env, exports);
  nice_register(env, exports);
  slice_register(env, exports);
  watch_register(env, exports);
  return exports;
}
