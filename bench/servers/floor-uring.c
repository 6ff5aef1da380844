/*
 * The floor by io_uring instead of epoll: one thread, multishot accept and receive into provided buffers, sends
 * that are submitted together with the wait for what comes next. One system call a batch; no parsing.
 *   floor-uring PORT
 * It counts the blank lines that end a request head, as floor.c does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

#define ENTRIES 4096
#define BUFFERS 1024
#define BUFFER_BYTES 2048
#define GROUP 1
#define MAX_BATCH 64

enum { ACCEPT, RECEIVE, SEND };

static const char response[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
static char responses[MAX_BATCH * sizeof response];
static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *memory;

static void fail(const char *what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

static struct io_uring_sqe *next_entry(void) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
  if (entry == NULL) {
    io_uring_submit(&ring);
    entry = io_uring_get_sqe(&ring);
  }
  return entry;
}

static void name_entry(struct io_uring_sqe *entry, int operation, int fd) {
  io_uring_sqe_set_data64(entry, (uint64_t)fd << 2 | (unsigned)operation);
}

static void ask_for_clients(int listener) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_multishot_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
  name_entry(entry, ACCEPT, listener);
}

static void ask_for_bytes(int fd) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = GROUP;
  name_entry(entry, RECEIVE, fd);
}

static void answer(int fd, unsigned heads) {
  while (heads > 0) {
    unsigned batch = heads < MAX_BATCH ? heads : MAX_BATCH;
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_send(entry, fd, responses, batch * (sizeof response - 1), MSG_NOSIGNAL);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    name_entry(entry, SEND, fd);
    heads -= batch;
  }
}

static void received(int fd, int result, unsigned flags) {
  if (result <= 0) {
    if (result == -ENOBUFS) ask_for_bytes(fd);
    else close(fd);
    return;
  }
  const int id = (int)(flags >> IORING_CQE_BUFFER_SHIFT);
  char *bytes = memory + (size_t)id * BUFFER_BYTES;
  answer(fd, count_heads(fd, bytes, (size_t)result));
  io_uring_buf_ring_add(buffers, bytes, BUFFER_BYTES, (unsigned short)id,
                        io_uring_buf_ring_mask(BUFFERS), 0);
  io_uring_buf_ring_advance(buffers, 1);
  if ((flags & IORING_CQE_F_MORE) == 0) ask_for_bytes(fd);
}

static void accepted(int listener, int fd, unsigned flags) {
  if ((flags & IORING_CQE_F_MORE) == 0) ask_for_clients(listener);
  if (fd < 0) return;
  if (fd >= MAX_FDS) {
    close(fd);
    return;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  matched[fd] = 0;
  ask_for_bytes(fd);
}

static void provide_buffers(void) {
  memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
  if (memory == NULL || posix_memalign((void **)&buffers, (size_t)sysconf(_SC_PAGESIZE),
                                       BUFFERS * sizeof(struct io_uring_buf)) != 0) {
    fail("memory", ENOMEM);
  }
  struct io_uring_buf_reg registration = {
      .ring_addr = (uint64_t)(uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
  const int result = io_uring_register_buf_ring(&ring, &registration, 0);
  if (result < 0) fail("io_uring_register_buf_ring", -result);
  io_uring_buf_ring_init(buffers);
  for (int id = 0; id < BUFFERS; id++) {
    io_uring_buf_ring_add(buffers, memory + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), id);
  }
  io_uring_buf_ring_advance(buffers, BUFFERS);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: floor-uring PORT\n");
    return 2;
  }
  for (int i = 0; i < MAX_BATCH; i++) {
    memcpy(responses + (size_t)i * (sizeof response - 1), response, sizeof response - 1);
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket", errno);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) fail("bind", errno);
  if (listen(listener, 4096) != 0) fail("listen", errno);

  struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                                IORING_SETUP_DEFER_TASKRUN |
                                                IORING_SETUP_CQSIZE,
                                       .cq_entries = 4 * ENTRIES};
  const int result = io_uring_queue_init_params(ENTRIES, &ring, &parameters);
  if (result < 0) fail("io_uring_queue_init_params", -result);
  provide_buffers();
  ask_for_clients(listener);

  for (;;) {
    const int waited = io_uring_submit_and_wait(&ring, 1);
    if (waited < 0 && waited != -EINTR) fail("io_uring_submit_and_wait", -waited);
    struct io_uring_cqe *completion;
    unsigned head;
    unsigned count = 0;
    io_uring_for_each_cqe(&ring, head, completion) {
      count++;
      const int fd = (int)(completion->user_data >> 2);
      switch (completion->user_data & 3) {
      case ACCEPT:
        accepted(fd, completion->res, completion->flags);
        break;
      case RECEIVE:
        received(fd, completion->res, completion->flags);
        break;
      default: /* A send that failed: the end of the connection follows. */
        break;
      }
    }
    io_uring_cq_advance(&ring, count);
  }
}
