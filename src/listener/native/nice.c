// Nice values of threads.
#include "addon.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// A nice value as the calls below have it: 0 (most urgent) .. 39, the kernel's own plus 20.
enum { NICE_ZERO = 20, NICEST = 39 };

// On Linux a nice value belongs to a thread (setpriority(2), "C library/kernel differences").
static id_t this_thread(void) { return (id_t)syscall(SYS_gettid); }

static int nice_of_this_thread(void) {
  errno = 0;
  const int now = getpriority(PRIO_PROCESS, this_thread());
  return now == -1 && errno != 0 ? -errno : now + NICE_ZERO;
}

static int set_nice_of_this_thread(int nice) {
  return setpriority(PRIO_PROCESS, this_thread(), nice - NICE_ZERO) < 0 ? -errno : 0;
}

// nice(): of the calling thread.
static napi_value nice_value(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 0);
  return call_return(&call, nice_of_this_thread());
}

// setNice(nice): of the calling thread alone. -EACCES: less than it has, and this process may not.
static napi_value set_nice(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int32_t nice = call_int(&call, 0);
  if (!call.ok || nice < 0 || nice > NICEST) return call_return(&call, -EINVAL);
  return call_return(&call, set_nice_of_this_thread(nice));
}

static void *try_nice_and_back(void *works) {
  const int nice = nice_of_this_thread();
  *(bool *)works = nice >= 0 && nice < NICEST && set_nice_of_this_thread(nice + 1) == 0 &&
                   set_nice_of_this_thread(nice) == 0;
  return NULL;
}

// niceAndBack(): 1 where a thread may raise its nice value and then lower it again, else 0. Limits, capabilities,
// user namespaces and filters all have a say, so a thread of its own tries it.
static napi_value nice_and_back(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 0);
  bool works = false;
  pthread_t thread;
  const int error = pthread_create(&thread, NULL, try_nice_and_back, &works);
  if (error != 0) return call_return(&call, -error);
  pthread_join(thread, NULL);
  return call_return(&call, works);
}

void nice_register(napi_env env, napi_value exports) {
  define_function(env, exports, "nice", nice_value);
  define_function(env, exports, "setNice", set_nice);
  define_function(env, exports, "niceAndBack", nice_and_back);
}
