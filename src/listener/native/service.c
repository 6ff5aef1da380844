// What a service manager gives and is told: inherited sockets, notifications (sd_listen_fds(3),
// sd_notify(3)).
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 1024 };

static int socket_option(int fd, int option, int *value) {
  socklen_t length = sizeof *value;
  return getsockopt(fd, SOL_SOCKET, option, value, &length);
}

// adoptListening(descriptor): makes an inherited listening TCP socket one as listenTcp makes them. 0, or
// -EBADF, -ENOTSOCK, -EINVAL where it does not listen, -EPROTONOSUPPORT where it is another kind.
static napi_value adopt_listening(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 1);
  int fd = call_int(&call, 0);
  if (!call.ok) return call_return(&call, -EINVAL);
  int type = 0;
  int domain = 0;
  int protocol = 0;
  int listens = 0;
  if (socket_option(fd, SO_TYPE, &type) < 0 || socket_option(fd, SO_DOMAIN, &domain) < 0 ||
      socket_option(fd, SO_PROTOCOL, &protocol) < 0) {
    return call_return(&call, -errno);
  }
  if (type != SOCK_STREAM || protocol != IPPROTO_TCP ||
      (domain != AF_INET && domain != AF_INET6)) {
    return call_return(&call, -EPROTONOSUPPORT);
  }
  if (socket_option(fd, SO_ACCEPTCONN, &listens) < 0) return call_return(&call, -errno);
  if (!listens) return call_return(&call, -EINVAL);
  int flags = fcntl(fd, F_GETFL);
  const int on = 1;
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
      fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) {
    return call_return(&call, -errno);
  }
  return call_return(&call, 0);
}

// notify(address, message): one datagram to a unix socket; an address that begins with @ is in the
// abstract namespace (unix(7)). Never waits.
static napi_value notify(napi_env env, napi_callback_info info) {
  call_t call = call_begin(env, info, 2);
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  // One more than fits with its terminating null, so that a longer one is noticed.
  char path[sizeof address.sun_path + 1] = {0};
  char message[MESSAGE_BYTES] = {0};
  size_t path_length = 0;
  size_t length = 0;
  if (!call.ok ||
      napi_get_value_string_utf8(env, call.value[0], path, sizeof path, &path_length) != napi_ok ||
      napi_get_value_string_utf8(env, call.value[1], message, sizeof message, &length) != napi_ok ||
      path_length == 0 || path_length >= sizeof address.sun_path) {
    return call_return(&call, -EINVAL);
  }
  memcpy(address.sun_path, path, path_length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  // The length of an abstract name counts; that of a path includes its end.
  socklen_t address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length +
                                         (path[0] == '@' ? 0 : 1));
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return call_return(&call, -errno);
  ssize_t count;
  do {
    count = sendto(fd, message, length, MSG_NOSIGNAL, (struct sockaddr *)&address, address_length);
  } while (count < 0 && errno == EINTR);
  int error = count < 0 ? errno : 0;
  close(fd);
  return call_return(&call, -error);
}

void service_register(napi_env env, napi_value exports) {
  define_function(env, exports, "adoptListening", adopt_listening);
  define_function(env, exports, "notify", notify);
}
