// Files as bodies: what goes from a descriptor to a socket without passing through this process.
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

// sendfile(socket, file, offset, length): 0 is the end of the file.
static napi_value send_file(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 4);
  int fd = call_int(&call, 0);
  int file = call_int(&call, 1);
  off_t offset = call_offset(&call, 2);
  int32_t length = call_int(&call, 3);
  if (!call.ok || length < 0) return call_return(&call, -EINVAL);
  ssize_t count;
  do {
    count = sendfile(fd, file, &offset, (size_t)length);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

// temporaryFile(folder): a new file there without a name, so that it goes with its last descriptor.
static napi_value temporary_file(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  static const char name[] = "/hybrid-mpm.XXXXXX";
  char path[PATH_MAX];
  size_t length = 0;
  // One byte is left for the terminator; a path that fills the rest may have been cut off.
  size_t room = sizeof path - sizeof name;
  if (!call.ok || napi_get_value_string_utf8(env, call.value[0], path, room, &length) != napi_ok) {
    return call_return(&call, -EINVAL);
  }
  if (length + 1 >= room) return call_return(&call, -ENAMETOOLONG);
  memcpy(path + length, name, sizeof name);
  int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) return call_return(&call, -errno);
  if (unlink(path) < 0) {
    int error = errno;
    close(fd);
    return call_return(&call, -error);
  }
  hold_descriptor(call.addon, fd);
  return call_return(&call, fd);
}

// spill(Uint8Array, array offset, file or -1): appends to a file that exists in memory only,
// a new one where there is none. Returns its descriptor.
static napi_value spill(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 3);
  int64_t from = call_offset(&call, 1);
  int file = call_int(&call, 2);
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (!call.ok ||
      napi_get_typedarray_info(env, call.value[0], &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array || from < 0 || (uint64_t)from > length) {
    return call_return(&call, -EINVAL);
  }
  int fd = file >= 0 ? file : memfd_create("response", MFD_CLOEXEC);
  if (fd < 0) return call_return(&call, -errno);
  const uint8_t *bytes = (const uint8_t *)data + from;
  size_t left = length - (size_t)from;
  while (left > 0) {
    ssize_t count = write(fd, bytes, left);
    if (count < 0) {
      if (errno == EINTR) continue;
      int error = errno;
      // A new file goes with its failure; one the caller had is the caller's.
      if (file < 0) close(fd);
      return call_return(&call, -error);
    }
    bytes += count;
    left -= (size_t)count;
  }
  if (file < 0) hold_descriptor(call.addon, fd);
  return call_return(&call, fd);
}

// cached(file, offset): 1 where a read there would not wait for a device, -EAGAIN where it would.
// Other errors mean that the file system cannot tell.
static napi_value cached(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  int file = call_int(&call, 0);
  off_t offset = call_offset(&call, 1);
  if (!call.ok) return call_return(&call, -EINVAL);
  char byte;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  ssize_t count;
  do {
    count = preadv2(file, &part, 1, offset, RWF_NOWAIT);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : 1);
}

// pipe(Int32Array of 2): the reading and the writing end, neither of which waits.
static napi_value make_pipe(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (!call.ok ||
      napi_get_typedarray_info(env, call.value[0], &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array || length < 2) {
    return call_return(&call, -EINVAL);
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return call_return(&call, -errno);
  int32_t *out = data;
  out[0] = ends[0];
  out[1] = ends[1];
  return call_return(&call, 0);
}

// splice(from, to, length): one of the two is a pipe. 0 is the end of the stream.
static napi_value splice_between(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 3);
  int from = call_int(&call, 0);
  int to = call_int(&call, 1);
  int32_t length = call_int(&call, 2);
  if (!call.ok || length <= 0) return call_return(&call, -EINVAL);
  ssize_t count;
  do {
    count = splice(from, NULL, to, NULL, (size_t)length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

// duplicate(descriptor): another one for the same open file, closed by exec.
static napi_value duplicate(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return call_return(&call, -errno);
  hold_descriptor(call.addon, copy);
  return call_return(&call, copy);
}

// handOver(descriptor): it outlives this environment, since another thread will close it.
static napi_value hand_over(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  forget_descriptor(call.addon, fd);
  return call_return(&call, 0);
}

// A word of the board, or NULL where that is not inside it.
static int32_t *call_word(call_t *call, int64_t offset) {
  if ((offset & 3) != 0) return NULL;
  return (int32_t *)(void *)call_memory(call, REGION_BOARD, offset, sizeof(int32_t));
}

// enterFile(descriptor, entry, KiB): it stands in a slot of the board from now on, and outlives this
// environment, since another thread may close it.
static napi_value enter_file(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 3);
  int fd = call_int(&call, 0);
  int64_t entry_at = call_offset(&call, 1);
  int32_t kilobytes = call_int(&call, 2);
  if (!call.ok || fd == INT32_MAX) return call_return(&call, -EINVAL);
  int32_t *entry = call_word(&call, entry_at);
  int32_t *spilled = call_word(&call, entry_at + SLOT_REST_SPILLED);
  if (entry == NULL || spilled == NULL) return call_return(&call, -EFAULT);
  forget_descriptor(call.addon, fd);
  *entry = fd + 1;
  *spilled = kilobytes;
  return call_return(&call, 0);
}

// closeFile(descriptor, entry or -1, counter, KiB): closes it, empties its entry in a slot of the board and
// takes its KiB out of a counter there. One call, since no thread is ended in the middle of one.
static napi_value close_file(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 4);
  int fd = call_int(&call, 0);
  int64_t entry_at = call_offset(&call, 1);
  int64_t counter_at = call_offset(&call, 2);
  int32_t kilobytes = call_int(&call, 3);
  if (!call.ok) return call_return(&call, -EINVAL);
  int32_t *counter = call_word(&call, counter_at);
  if (counter == NULL) return call_return(&call, -EFAULT);
  if (entry_at >= 0) {
    int32_t *entry = call_word(&call, entry_at);
    int32_t *spilled = call_word(&call, entry_at + SLOT_REST_SPILLED);
    if (entry == NULL || spilled == NULL) return call_return(&call, -EFAULT);
    *entry = 0;
    *spilled = 0;
  }
  forget_descriptor(call.addon, fd);
  // On Linux the descriptor is gone even after EINTR; a second close could hit another's.
  int32_t result = close(fd) < 0 && errno != EINTR ? -errno : 0;
  if (kilobytes != 0) __atomic_sub_fetch(counter, kilobytes, __ATOMIC_SEQ_CST);
  return call_return(&call, result);
}

void hold_descriptor(addon_t *addon, int fd) {
  if (addon->held_count < MAX_HELD) addon->held[addon->held_count++] = fd;
}

void forget_descriptor(addon_t *addon, int fd) {
  for (int index = addon->held_count - 1; index >= 0; index--) {
    if (addon->held[index] != fd) continue;
    addon->held[index] = addon->held[--addon->held_count];
    return;
  }
}

void close_held_descriptors(addon_t *addon) {
  while (addon->held_count > 0) close(addon->held[--addon->held_count]);
}

void file_register(napi_env env, napi_value exports) {
  define_function(env, exports, "sendfile", send_file);
  define_function(env, exports, "temporaryFile", temporary_file);
  define_function(env, exports, "spill", spill);
  define_function(env, exports, "cached", cached);
  define_function(env, exports, "pipe", make_pipe);
  define_function(env, exports, "splice", splice_between);
  define_function(env, exports, "duplicate", duplicate);
  define_function(env, exports, "handOver", hand_over);
  define_function(env, exports, "enterFile", enter_file);
  define_function(env, exports, "closeFile", close_file);
}
