/*
 * The floor under all figures: one thread, edge-triggered epoll, recv and send of a constant
 * response, no parsing. It counts the blank lines that end a request head, so that it answers
 * pipelined requests one for one, also when a head arrives in pieces.
 *   floor PORT [close]     with "close" it ends the connection after a response
 * A client that does not read what it asked for is cut off: there is no write buffer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

#define MAX_EVENTS 512
#define READ_BYTES 16384
#define MAX_BATCH 64

static const char body[] =
    "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

static char responses[MAX_BATCH * 256];
static size_t response_bytes;
static int close_each;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Returns 0 when the connection is to be closed. */
static int answer(int fd, unsigned heads) {
  while (heads > 0) {
    unsigned batch = heads < MAX_BATCH ? heads : MAX_BATCH;
    size_t bytes = batch * response_bytes;
    if (send(fd, responses, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) return 0;
    heads -= batch;
    if (close_each) return 0;
  }
  return 1;
}

static void serve(int fd) {
  static char buffer[READ_BYTES];
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || !answer(fd, count_heads(fd, buffer, (size_t)got))) {
      close(fd);
      return;
    }
    /* A short read has emptied the socket; what comes later brings an edge of its own. */
    if ((size_t)got < sizeof buffer) return;
  }
}

static void accept_all(int listener, int poll_fd) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= MAX_FDS) {
      close(fd);
      continue;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    matched[fd] = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0) close(fd);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: floor PORT [close]\n");
    return 2;
  }
  close_each = argc > 2 && strcmp(argv[2], "close") == 0;
  char one[256];
  response_bytes = (size_t)snprintf(one, sizeof one, "HTTP/1.1 200 OK\r\n%s%s",
                                    close_each ? "Connection: close\r\n" : "", body);
  for (int i = 0; i < MAX_BATCH; i++) memcpy(responses + i * response_bytes, one, response_bytes);

  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
  if (listen(listener, 4096) != 0) fail("listen");

  int poll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (poll_fd < 0) fail("epoll_create1");
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = listener};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");

  static struct epoll_event events[MAX_EVENTS];
  for (;;) {
    int count = epoll_wait(poll_fd, events, MAX_EVENTS, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(listener, poll_fd);
      else serve(events[i].data.fd);
    }
  }
}
