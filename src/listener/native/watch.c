// Watches: a descriptor in the environment's own libuv loop, so that the application's timers and
// sockets go on beside it. One JavaScript call for each time it is ready, and as many more as the
// callback asks for.
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

typedef struct watch {
  uv_poll_t poll;
  addon_t *addon;
  napi_ref callback;
  int index;
  int fd;
  bool reads_batch;
} watch_t;

// What a callback answers: back to the loop, or call again once ticks and promise jobs have run.
enum { CALL_DONE = 0, CALL_AGAIN = 1 };

static int32_t call_back(napi_env env, napi_ref reference, int32_t count) {
  int32_t answer = CALL_DONE;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return CALL_DONE;
  napi_value callback, receiver, argument, result;
  if (napi_get_reference_value(env, reference, &callback) == napi_ok && callback != NULL &&
      napi_get_global(env, &receiver) == napi_ok &&
      napi_create_int32(env, count, &argument) == napi_ok) {
    // make_callback, not call_function: it runs the ticks and promise jobs when the call is over.
    napi_status status = napi_make_callback(env, NULL, receiver, callback, 1, &argument, &result);
    if (status == napi_ok) {
      napi_get_value_int32(env, result, &answer);
    } else if (status == napi_pending_exception) {
      napi_value error;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) {
        napi_fatal_exception(env, error);
      }
    }
  }
  napi_close_handle_scope(env, scope);
  return answer;
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  (void)events;
  watch_t *watch = poll->data;
  addon_t *addon = watch->addon;
  napi_env env = addon->env;
  int32_t count = status < 0 ? status : 0;
  if (status >= 0 && watch->reads_batch) {
    count = epoll_read_batch(addon, watch->fd);
    if (count == 0) return;
  }
  int index = watch->index;
  while (call_back(env, watch->callback, count) == CALL_AGAIN) {
    // The callback may have ended this watch; its memory goes in a later turn of the loop.
    if (addon->watches[index] != watch) return;
    count = 0;
  }
}

static void on_closed(uv_handle_t *handle) {
  watch_t *watch = handle->data;
  addon_t *addon = watch->addon;
  free(watch);
  addon->open_watches--;
  if (addon->cleaning_up && addon->open_watches == 0) watch_cleanup_finished(addon);
}

static void watch_close(watch_t *watch) {
  watch->addon->watches[watch->index] = NULL;
  uv_poll_stop(&watch->poll);
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}

static void watch_end(napi_env env, watch_t *watch) {
  napi_delete_reference(env, watch->callback);
  watch->callback = NULL;
  watch_close(watch);
}

// watch(descriptor, readsBatch, callback) -> watch number. With readsBatch the descriptor is a poll
// set: what is ready is in the batch region and the callback gets the count (negative: errno).
static napi_value watch_start(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 3);
  int fd = call_int(&call, 0);
  bool reads_batch = call_int(&call, 1) != 0;
  napi_valuetype type;
  if (!call.ok || call.addon->cleaning_up ||
      napi_typeof(env, call.value[2], &type) != napi_ok || type != napi_function) {
    return call_return(&call, -EINVAL);
  }
  int index = 0;
  while (index < MAX_WATCHES && call.addon->watches[index] != NULL) index++;
  if (index == MAX_WATCHES) return call_return(&call, -ENOSPC);
  uv_loop_t *loop;
  watch_t *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return call_return(&call, -ENOMEM);
  if (napi_get_uv_event_loop(env, &loop) != napi_ok ||
      napi_create_reference(env, call.value[2], 1, &watch->callback) != napi_ok) {
    free(watch);
    return call_return(&call, -EINVAL);
  }
  int error = uv_poll_init(loop, &watch->poll, fd);
  if (error != 0) {
    napi_delete_reference(env, watch->callback);
    free(watch);
    return call_return(&call, error);
  }
  watch->poll.data = watch;
  watch->addon = call.addon;
  watch->index = index;
  watch->fd = fd;
  watch->reads_batch = reads_batch;
  call.addon->watches[index] = watch;
  call.addon->open_watches++;
  error = uv_poll_start(&watch->poll, UV_READABLE, on_ready);
  if (error != 0) {
    watch_end(env, watch);
    return call_return(&call, error);
  }
  return call_return(&call, index);
}

void watch_close_all(addon_t *addon) {
  for (int index = 0; index < MAX_WATCHES; index++) {
    if (addon->watches[index] != NULL) watch_end(addon->env, addon->watches[index]);
  }
}

static watch_t *watch_of(call_t *call) {
  int32_t index = call_int(call, 0);
  return call->ok && index >= 0 && index < MAX_WATCHES ? call->addon->watches[index] : NULL;
}

// pause(number), resume(number): out of the loop and in again; what is ready meanwhile is not lost,
// since the loop looks at levels.
static napi_value watch_pause(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  watch_t *watch = watch_of(&call);
  return call_return(&call, watch == NULL ? -EINVAL : uv_poll_stop(&watch->poll));
}

static napi_value watch_resume(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  watch_t *watch = watch_of(&call);
  return call_return(&call, watch == NULL ? -EINVAL
                                          : uv_poll_start(&watch->poll, UV_READABLE, on_ready));
}

// unwatch(number): after it the descriptor may be closed.
static napi_value watch_stop(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  watch_t *watch = watch_of(&call);
  if (watch == NULL) return call_return(&call, -EINVAL);
  watch_end(env, watch);
  return call_return(&call, 0);
}

void watch_register(napi_env env, napi_value exports) {
  define_function(env, exports, "watch", watch_start);
  define_function(env, exports, "pause", watch_pause);
  define_function(env, exports, "resume", watch_resume);
  define_function(env, exports, "unwatch", watch_stop);
}
