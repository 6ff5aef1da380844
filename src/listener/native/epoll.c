// Poll sets and eventfds.
#include "addon.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TICKET_WORDS = 3, MAX_BATCH = 256 };

// A set goes with its thread: a worker that is ended by force has not closed that of its upstreams.
static napi_value epoll_create_set(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return call_return(&call, -errno);
  hold_descriptor(call.addon, fd);
  return call_return(&call, fd);
}

// An event is a ticket: data.u64 carries slot and incarnation, never a pointer.
static napi_value control(napi_env env, napi_callback_info info, int operation) {
  call_t call = call_begin(env, info, 5);
  int set = call_int(&call, 0);
  int fd = call_int(&call, 1);
  uint32_t events = (uint32_t)call_int(&call, 2);
  uint32_t slot = (uint32_t)call_int(&call, 3);
  uint32_t incarnation = (uint32_t)call_int(&call, 4);
  if (!call.ok) return call_return(&call, -EINVAL);
  struct epoll_event event = {.events = events,
                              .data = {.u64 = ((uint64_t)incarnation << 32) | slot}};
  return call_return(&call, epoll_ctl(set, operation, fd, &event) < 0 ? -errno : 0);
}

static napi_value epoll_add(napi_env env, napi_callback_info info) {
  return control(env, info, EPOLL_CTL_ADD);
}

static napi_value epoll_modify(napi_env env, napi_callback_info info) {
  return control(env, info, EPOLL_CTL_MOD);
}

static napi_value epoll_delete(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  int set = call_int(&call, 0);
  int fd = call_int(&call, 1);
  if (!call.ok) return call_return(&call, -EINVAL);
  return call_return(&call, epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0);
}

static int32_t read_batch_into(region_t *region, int epoll_fd) {
  struct epoll_event events[MAX_BATCH];
  size_t capacity = region->length / (TICKET_WORDS * sizeof(int32_t));
  if (region->base == NULL || capacity == 0) return -EFAULT;
  if (capacity > MAX_BATCH) capacity = MAX_BATCH;
  int count;
  do {
    count = epoll_wait(epoll_fd, events, (int)capacity, 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  int32_t *words = (int32_t *)(void *)region->base;
  for (int i = 0; i < count; i++) {
    words[i * TICKET_WORDS] = (int32_t)(uint32_t)events[i].data.u64;
    words[i * TICKET_WORDS + 1] = (int32_t)(uint32_t)(events[i].data.u64 >> 32);
    words[i * TICKET_WORDS + 2] = (int32_t)events[i].events;
  }
  return count;
}

int32_t epoll_read_batch(addon_t *addon, int epoll_fd) {
  return read_batch_into(&addon->regions[REGION_BATCH], epoll_fd);
}

// epollWaitInto(set, region): the same into another region, for a set beside that of the connections.
static napi_value epoll_wait_into(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  int set = call_int(&call, 0);
  int32_t region = call_int(&call, 1);
  if (!call.ok || region < 0 || region >= MAX_REGIONS) return call_return(&call, -EINVAL);
  return call_return(&call, read_batch_into(&call.addon->regions[region], set));
}

// epollWait(set): never blocks; the loop that may block is libuv's.
static napi_value epoll_wait_now(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int set = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  return call_return(&call, epoll_read_batch(call.addon, set));
}

// readable(descriptor): 1 where a read, or an epollWait, would bring something; takes nothing.
static napi_value readable(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  struct pollfd poll_fd = {.fd = call_int(&call, 0), .events = POLLIN};
  if (!call.ok) return call_return(&call, -EINVAL);
  int count;
  do {
    count = poll(&poll_fd, 1, 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return call_return(&call, -errno);
  // poll(2) takes no notice of a negative descriptor, and calls one that is not open ready.
  if (poll_fd.fd < 0 || (poll_fd.revents & POLLNVAL) != 0) return call_return(&call, -EBADF);
  return call_return(&call, count);
}

static napi_value eventfd_create(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 0);
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return call_return(&call, fd < 0 ? -errno : fd);
}

static napi_value eventfd_signal(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  const uint64_t one = 1;
  return call_return(&call, write(fd, &one, sizeof one) < 0 ? -errno : 0);
}

// Resets the counter; -EAGAIN where it was zero.
static napi_value eventfd_drain(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  uint64_t count;
  return call_return(&call, read(fd, &count, sizeof count) < 0 ? -errno : 0);
}

void epoll_register(napi_env env, napi_value exports) {
  define_function(env, exports, "epollCreate", epoll_create_set);
  define_function(env, exports, "epollAdd", epoll_add);
  define_function(env, exports, "epollModify", epoll_modify);
  define_function(env, exports, "epollDelete", epoll_delete);
  define_function(env, exports, "epollWait", epoll_wait_now);
  define_function(env, exports, "epollWaitInto", epoll_wait_into);
  define_function(env, exports, "readable", readable);
  define_function(env, exports, "eventfdCreate", eventfd_create);
  define_function(env, exports, "eventfdSignal", eventfd_signal);
  define_function(env, exports, "eventfdDrain", eventfd_drain);
  define_constant(env, exports, "epollIn", (int32_t)EPOLLIN);
  define_constant(env, exports, "epollOut", (int32_t)EPOLLOUT);
  define_constant(env, exports, "epollErr", (int32_t)EPOLLERR);
  define_constant(env, exports, "epollHup", (int32_t)EPOLLHUP);
  define_constant(env, exports, "epollRdHup", (int32_t)EPOLLRDHUP);
  define_constant(env, exports, "epollEdge", (int32_t)EPOLLET);
  define_constant(env, exports, "ticketWords", TICKET_WORDS);
  define_constant(env, exports, "maxBatch", MAX_BATCH);
}
