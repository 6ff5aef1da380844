// Sockets: listen, accept, receive, send, half-close, close.
#include "addon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LISTEN_REUSE_PORT = 1, LISTEN_V6_ONLY = 2 };

static bool parse_address(const char *text, int port, struct sockaddr_storage *out,
                          socklen_t *length) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in *v4 = (struct sockaddr_in *)out;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *length = sizeof *v4;
    return true;
  }
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    *length = sizeof *v6;
    return true;
  }
  return false;
}

static int set_flag(int fd, int level, int option) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof on);
}

// listenTcp(numeric address, port, backlog, flags) -> descriptor
static napi_value listen_tcp(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 4);
  char text[INET6_ADDRSTRLEN + 1] = {0};
  size_t text_length = 0;
  if (!call.ok || napi_get_value_string_utf8(env, call.value[0], text, sizeof text, &text_length) !=
                      napi_ok) {
    return call_return(&call, -EINVAL);
  }
  int port = call_int(&call, 1);
  int backlog = call_int(&call, 2);
  int flags = call_int(&call, 3);
  struct sockaddr_storage address;
  socklen_t length;
  // Text with a null in it would be taken for what stands before that.
  if (!call.ok || port < 0 || port > 65535 || strlen(text) != text_length ||
      !parse_address(text, port, &address, &length)) {
    return call_return(&call, -EINVAL);
  }
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return call_return(&call, -errno);
  const int v6_only = (flags & LISTEN_V6_ONLY) != 0;
  // Accepted sockets inherit TCP_NODELAY on Linux, which saves a call for each of them.
  if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR) < 0 || set_flag(fd, IPPROTO_TCP, TCP_NODELAY) < 0 ||
      ((flags & LISTEN_REUSE_PORT) != 0 && set_flag(fd, SOL_SOCKET, SO_REUSEPORT) < 0) ||
      (address.ss_family == AF_INET6 &&
       setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) < 0) ||
      bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, backlog) < 0) {
    int error = errno;
    close(fd);
    return call_return(&call, -error);
  }
  return call_return(&call, fd);
}

// connectTcp(numeric address, port) -> descriptor, of a connection that is being made: writable once it
// is there, or has failed (socketError). It goes with the environment unless it is handed over.
static napi_value connect_tcp(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  char text[INET6_ADDRSTRLEN + 1] = {0};
  size_t text_length = 0;
  if (!call.ok || napi_get_value_string_utf8(env, call.value[0], text, sizeof text, &text_length) !=
                      napi_ok) {
    return call_return(&call, -EINVAL);
  }
  int port = call_int(&call, 1);
  struct sockaddr_storage address;
  socklen_t length;
  if (!call.ok || port < 1 || port > 65535 || !parse_address(text, port, &address, &length)) {
    return call_return(&call, -EINVAL);
  }
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return call_return(&call, -errno);
  // A signal does not take the attempt back (connect(2), EINTR): it goes on as one under way.
  if (set_flag(fd, IPPROTO_TCP, TCP_NODELAY) < 0 ||
      (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS &&
       errno != EINTR)) {
    int error = errno;
    close(fd);
    return call_return(&call, -error);
  }
  hold_descriptor(call.addon, fd);
  return call_return(&call, fd);
}

// socketError(descriptor): 0, or what has failed since it was asked last.
static napi_value socket_error(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) {
    return call_return(&call, -errno);
  }
  return call_return(&call, -error);
}

static void store_peer(uint8_t *slot, const struct sockaddr_storage *peer) {
  int32_t family = peer->ss_family;
  int32_t port = 0;
  if (family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
    port = ntohs(v4->sin_port);
    memcpy(slot + SLOT_PEER_ADDRESS, &v4->sin_addr, 4);
  } else if (family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
    port = ntohs(v6->sin6_port);
    memcpy(slot + SLOT_PEER_ADDRESS, &v6->sin6_addr, 16);
  }
  memcpy(slot + SLOT_PEER_FAMILY, &family, sizeof family);
  memcpy(slot + SLOT_PEER_PORT, &port, sizeof port);
}

// accept(listening descriptor, region, count): the region holds `count` byte offsets of free slots in
// the board; descriptor and peer address go straight into them. Returns how many were accepted, or
// the error of the first one.
static napi_value accept_batch(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 3);
  int listening = call_int(&call, 0);
  int32_t region = call_int(&call, 1);
  int32_t wanted = call_int(&call, 2);
  const uint8_t *offsets =
      call_memory(&call, region, 0, (int64_t)wanted * (int64_t)sizeof(uint32_t));
  if (offsets == NULL) return call_return(&call, -EFAULT);
  int32_t accepted = 0;
  while (accepted < wanted) {
    uint32_t offset;
    memcpy(&offset, offsets + (size_t)accepted * sizeof offset, sizeof offset);
    uint8_t *slot = call_memory(&call, REGION_BOARD, offset, SLOT_HALF_BYTES);
    if (slot == NULL) return call_return(&call, -EFAULT);
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    memset(&peer, 0, sizeof peer);
    int fd =
        accept4(listening, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // A client that left between its SYN and now, or a signal, is nobody's error.
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return call_return(&call, accepted > 0 ? accepted : -errno);
    }
    int32_t descriptor = fd;
    memcpy(slot + SLOT_FD, &descriptor, sizeof descriptor);
    store_peer(slot, &peer);
    accepted++;
  }
  return call_return(&call, accepted);
}

// recv(descriptor, region, offset, length): 0 is end of stream.
static napi_value receive(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 4);
  int fd = call_int(&call, 0);
  int32_t region = call_int(&call, 1);
  int64_t offset = call_offset(&call, 2);
  int32_t length = call_int(&call, 3);
  uint8_t *memory = call_memory(&call, region, offset, length);
  if (memory == NULL) return call_return(&call, -EFAULT);
  ssize_t count;
  do {
    count = recv(fd, memory, (size_t)length, MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

static napi_value send_flagged(napi_env env, napi_callback_info info, int flags, bool last) {
  call_t call = call_begin(env, info, 4);
  int fd = call_int(&call, 0);
  int32_t region = call_int(&call, 1);
  int64_t offset = call_offset(&call, 2);
  int32_t length = call_int(&call, 3);
  const uint8_t *memory = call_memory(&call, region, offset, length);
  if (memory == NULL) return call_return(&call, -EFAULT);
  ssize_t count;
  do {
    count = send(fd, memory, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
  } while (count < 0 && errno == EINTR);
  // What the peer has reset meanwhile cannot be shut, and needs not be.
  if (last && count == length) shutdown(fd, SHUT_WR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

// send(descriptor, region, offset, length)
static napi_value send_region(napi_env env, napi_callback_info info) {
  return send_flagged(env, info, 0, false);
}

// sendMore(descriptor, region, offset, length): more follows at once, so no short segment leaves.
static napi_value send_more(napi_env env, napi_callback_info info) {
  return send_flagged(env, info, MSG_MORE, false);
}

// sendLast(descriptor, region, offset, length): where the socket takes all of it, the end of the stream
// leaves in the segment of the last bytes instead of one of its own (tcp_send_fin, net/ipv4/tcp_output.c).
static napi_value send_last(napi_env env, napi_callback_info info) {
  return send_flagged(env, info, MSG_MORE, true);
}

// sendPair(descriptor, region, offset, length, Uint8Array, array offset): a head out of attached
// memory and a body from anywhere, in one call. The length may be 0.
static napi_value send_pair(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 6);
  int fd = call_int(&call, 0);
  int32_t region = call_int(&call, 1);
  int64_t offset = call_offset(&call, 2);
  int32_t length = call_int(&call, 3);
  int64_t body_offset = call_offset(&call, 5);
  uint8_t *head = call_memory(&call, region, offset, length);
  if (head == NULL) return call_return(&call, -EFAULT);
  napi_typedarray_type type;
  size_t body_length = 0;
  void *body = NULL;
  if (napi_get_typedarray_info(env, call.value[4], &type, &body_length, &body, NULL, NULL) !=
          napi_ok ||
      type != napi_uint8_array || body_offset < 0 || (uint64_t)body_offset > body_length) {
    return call_return(&call, -EINVAL);
  }
  body_length -= (size_t)body_offset;
  // The result must fit an int32; the rest goes with a further call.
  if (body_length > 1u << 30) body_length = 1u << 30;
  struct iovec parts[2] = {
      {.iov_base = head, .iov_len = (size_t)length},
      {.iov_base = (uint8_t *)body + body_offset, .iov_len = body_length},
  };
  struct msghdr message = {.msg_iov = length > 0 ? parts : parts + 1,
                           .msg_iovlen = length > 0 ? 2 : 1};
  ssize_t count;
  do {
    count = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

// discard(descriptor, length): throws away received bytes without copying them (tcp(7), MSG_TRUNC).
static napi_value discard(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  int fd = call_int(&call, 0);
  int32_t length = call_int(&call, 1);
  if (!call.ok || length <= 0) return call_return(&call, -EINVAL);
  ssize_t count;
  do {
    count = recv(fd, NULL, (size_t)length, MSG_DONTWAIT | MSG_TRUNC);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

// pending(descriptor): 1 where bytes wait to be read, 0 at end of stream, -EAGAIN where neither.
static napi_value pending(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  char byte;
  ssize_t count;
  do {
    count = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  } while (count < 0 && errno == EINTR);
  return call_return(&call, count < 0 ? -errno : (int32_t)count);
}

// unsent(descriptor): bytes in the socket that the peer has not acknowledged.
static napi_value unsent(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  int bytes = 0;
  return call_return(&call, ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -errno : bytes);
}

// unaccepted(listening descriptor): connections in its backlog. Linux tells it of a listening socket in
// this place (net/ipv4/tcp.c, tcp_get_info).
static napi_value unaccepted(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  struct tcp_info state;
  memset(&state, 0, sizeof state);
  socklen_t length = sizeof state;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) < 0) {
    return call_return(&call, -errno);
  }
  return call_return(&call, (int32_t)state.tcpi_unacked);
}

static napi_value shutdown_write(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  return call_return(&call, shutdown(fd, SHUT_WR) < 0 ? -errno : 0);
}

// resetOnClose(descriptor): what has not left is thrown away and the peer reads an error.
static napi_value reset_on_close(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  const struct linger none = {.l_onoff = 1, .l_linger = 0};
  return call_return(&call,
                     setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) < 0 ? -errno : 0);
}

static napi_value close_descriptor(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  forget_descriptor(call.addon, fd);
  // On Linux the descriptor is gone even after EINTR; a second close could hit another's.
  return call_return(&call, close(fd) < 0 && errno != EINTR ? -errno : 0);
}

// localName(descriptor, region, offset): family, port (int32 each), then 16 bytes of address.
static napi_value local_name(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 3);
  int fd = call_int(&call, 0);
  int32_t region = call_int(&call, 1);
  int64_t offset = call_offset(&call, 2);
  uint8_t *memory = call_memory(&call, region, offset, 24);
  if (memory == NULL) return call_return(&call, -EFAULT);
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  memset(&name, 0, sizeof name);
  if (getsockname(fd, (struct sockaddr *)&name, &length) < 0) return call_return(&call, -errno);
  uint8_t slot[SLOT_HALF_BYTES] = {0};
  store_peer(slot, &name);
  memcpy(memory, slot + SLOT_PEER_FAMILY, 24);
  return call_return(&call, 0);
}

void socket_register(napi_env env, napi_value exports) {
  _Static_assert(SLOT_PEER_PORT == SLOT_PEER_FAMILY + 4, "local_name copies one block");
  _Static_assert(SLOT_PEER_ADDRESS == SLOT_PEER_FAMILY + 8, "local_name copies one block");
  define_function(env, exports, "listenTcp", listen_tcp);
  define_function(env, exports, "connectTcp", connect_tcp);
  define_function(env, exports, "socketError", socket_error);
  define_function(env, exports, "accept", accept_batch);
  define_function(env, exports, "recv", receive);
  define_function(env, exports, "send", send_region);
  define_function(env, exports, "sendMore", send_more);
  define_function(env, exports, "sendLast", send_last);
  define_function(env, exports, "sendPair", send_pair);
  define_function(env, exports, "discard", discard);
  define_function(env, exports, "pending", pending);
  define_function(env, exports, "unsent", unsent);
  define_function(env, exports, "unaccepted", unaccepted);
  define_function(env, exports, "shutdownWrite", shutdown_write);
  define_function(env, exports, "resetOnClose", reset_on_close);
  define_function(env, exports, "close", close_descriptor);
  define_function(env, exports, "localName", local_name);
  define_constant(env, exports, "listenReusePort", LISTEN_REUSE_PORT);
  define_constant(env, exports, "listenV6Only", LISTEN_V6_ONLY);
  define_constant(env, exports, "familyIpv6", AF_INET6);
}
