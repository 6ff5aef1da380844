// Time slices and naps.
#include "addon.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_NAP_US = 1000 };

// setSlice(microseconds): asks for a time slice of its own within the normal policy, 0: the default.
// From Linux 6.12 on a short slice gets a woken thread to a processor sooner, at the price of a shorter
// turn and at no other thread's cost (sched_setattr(2)); an older kernel takes no notice.
static napi_value set_slice(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int32_t microseconds = call_int(&call, 0);
  if (!call.ok || microseconds < 0) return call_return(&call, -EINVAL);
  struct sched_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0) {
    return call_return(&call, -errno);
  }
  if (attributes.sched_policy != SCHED_NORMAL) return call_return(&call, 0);
  attributes.sched_flags = 0;
  attributes.sched_runtime = (uint64_t)microseconds * 1000;
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0) return call_return(&call, -errno);
  return call_return(&call, 0);
}

// nap(microseconds): this thread sleeps for so long, and for less where a signal comes.
static napi_value nap(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int32_t microseconds = call_int(&call, 0);
  if (!call.ok || microseconds < 0 || microseconds > MAX_NAP_US) {
    return call_return(&call, -EINVAL);
  }
  const struct timespec time = {.tv_nsec = (long)microseconds * 1000};
  return call_return(&call, nanosleep(&time, NULL) < 0 && errno != EINTR ? -errno : 0);
}

void slice_register(napi_env env, napi_value exports) {
  define_function(env, exports, "nap", nap);
  define_function(env, exports, "setSlice", set_slice);
}
