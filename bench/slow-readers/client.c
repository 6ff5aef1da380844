/*
 * Many clients that read slowly: each sends one GET and takes its body at so many bytes a second,
 * through a small receive buffer, and compares every byte with the file it has to be.
 *   client PORT PATH BODY_FILE CLIENTS BYTES_PER_S RECEIVE_BUFFER DEADLINE_S
 * Lines of JSON on stdout: {"event":"begun"} once every client that has not failed has had bytes
 * of its body, {"event":"ending"} with the first that is through, and a summary at the end.
 * In C since a thousand clients in Node would take the processor from the server they measure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_HEAD 4096
#define MAX_READ 65536
/* Each client reads ten times a second; a client that was kept waiting may catch up on one turn. */
#define TURN_S 0.1
#define TICK_NS 5000000L
/* As over Ethernet. The loopback's 64 KB would let the server's socket swallow megabytes. */
#define SEGMENT_BYTES 1460

enum stage { HEAD, LENGTH_BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, OVER };
enum outcome { RIGHT, NO_CONNECTION, BAD_STATUS, BAD_FRAMING, WRONG_BYTES, CUT_OFF, TOO_LATE };
static const char *const outcome_names[] = {"right",      "noConnection", "badStatus", "badFraming",
                                            "wrongBytes", "cutOff",       "tooLate"};
#define OUTCOMES (sizeof outcome_names / sizeof *outcome_names)

struct client {
  int fd;
  enum stage stage;
  double due, read_at, allowance;
  size_t got;       /* bytes of the body so far */
  size_t remaining; /* of the chunk, or of a body with a length */
  size_t line_length;
  char line[MAX_HEAD]; /* the head, later the line of a chunk's size */
};

static const char *body;
static size_t body_bytes;
static size_t counts[OUTCOMES];
static size_t clients_open, clients_begun, received;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void finish(struct client *client, enum outcome outcome) {
  if (client->fd >= 0) close(client->fd);
  client->fd = -1;
  client->stage = OVER;
  counts[outcome]++;
  clients_open--;
  if (client->got > 0) clients_begun--;
  if (outcome == RIGHT && counts[RIGHT] == 1) puts("{\"event\":\"ending\"}");
}

/* Whether the bytes are the next ones of the body. */
static int take_body(struct client *client, const char *bytes, size_t length) {
  if (length > body_bytes - client->got) return 0;
  if (memcmp(body + client->got, bytes, length) != 0) return 0;
  if (client->got == 0 && length > 0) clients_begun++;
  client->got += length;
  return 1;
}

/* The value of a field of the head, or NULL. The head ends with NUL. */
static const char *field(const char *head, const char *name) {
  size_t length = strlen(name);
  for (const char *line = head; (line = strstr(line, "\r\n")) != NULL;) {
    line += 2;
    if (strncasecmp(line, name, length) == 0 && line[length] == ':')
      return line + length + 1 + strspn(line + length + 1, " ");
  }
  return NULL;
}

static int read_head(struct client *client) {
  if (strncmp(client->line, "HTTP/1.1 200 ", 13) != 0) {
    finish(client, BAD_STATUS);
    return 0;
  }
  const char *length = field(client->line, "content-length");
  const char *coding = field(client->line, "transfer-encoding");
  if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0) {
    client->stage = CHUNK_SIZE;
  } else if (length != NULL && strtoull(length, NULL, 10) == body_bytes) {
    client->stage = LENGTH_BODY;
    client->remaining = body_bytes;
  } else {
    finish(client, BAD_FRAMING);
    return 0;
  }
  client->line_length = 0;
  return 1;
}

/* Takes a byte of a line. Returns 1 when the line is whole, without its end. */
static int take_line(struct client *client, char byte) {
  if (client->line_length == MAX_HEAD - 1) {
    finish(client, BAD_FRAMING);
    return 0;
  }
  client->line[client->line_length++] = byte;
  if (byte != '\n') return 0;
  if (client->line_length < 2 || client->line[client->line_length - 2] != '\r') {
    finish(client, BAD_FRAMING);
    return 0;
  }
  client->line[client->line_length - 2] = '\0';
  client->line_length = 0;
  return 1;
}

static void take_chunk_size(struct client *client) {
  char *end;
  client->remaining = strtoul(client->line, &end, 16);
  if (end == client->line || *end != '\0') finish(client, BAD_FRAMING);
  else client->stage = client->remaining == 0 ? TRAILER : CHUNK_DATA;
}

static void take(struct client *client, const char *bytes, size_t length) {
  size_t at = 0;
  while (at < length && client->stage != OVER) {
    switch (client->stage) {
      case HEAD:
        if (client->line_length == MAX_HEAD - 1) {
          finish(client, BAD_FRAMING);
          break;
        }
        client->line[client->line_length++] = bytes[at++];
        if (client->line_length >= 4 &&
            memcmp(client->line + client->line_length - 4, "\r\n\r\n", 4) == 0) {
          client->line[client->line_length] = '\0';
          read_head(client);
        }
        break;
      case LENGTH_BODY:
      case CHUNK_DATA: {
        size_t part = length - at < client->remaining ? length - at : client->remaining;
        if (!take_body(client, bytes + at, part)) {
          finish(client, WRONG_BYTES);
          break;
        }
        at += part;
        client->remaining -= part;
        if (client->remaining > 0) break;
        if (client->stage == CHUNK_DATA) client->stage = CHUNK_END;
        else finish(client, at == length ? RIGHT : BAD_FRAMING);
        break;
      }
      case CHUNK_SIZE:
        if (take_line(client, bytes[at++])) take_chunk_size(client);
        break;
      case CHUNK_END:
        if (!take_line(client, bytes[at++])) break;
        if (client->line[0] != '\0') finish(client, BAD_FRAMING);
        else client->stage = CHUNK_SIZE;
        break;
      case TRAILER:
        /* No server here sends trailer fields: the line has to be empty and the last. */
        if (!take_line(client, bytes[at++])) break;
        if (client->line[0] != '\0' || at != length) finish(client, BAD_FRAMING);
        else finish(client, client->got == body_bytes ? RIGHT : WRONG_BYTES);
        break;
      case OVER:
        break;
    }
  }
}

static void read_some(struct client *client, double now, double rate) {
  static char buffer[MAX_READ];
  double most = 2 * rate * TURN_S;
  client->allowance += (now - client->read_at) * rate;
  if (client->allowance > most) client->allowance = most;
  client->read_at = now;
  client->due = now + TURN_S;
  while (client->allowance >= 1 && client->stage != OVER) {
    size_t wanted = client->allowance < MAX_READ ? (size_t)client->allowance : MAX_READ;
    ssize_t got = recv(client->fd, buffer, wanted, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      finish(client, CUT_OFF);
      return;
    }
    received += (size_t)got;
    client->allowance -= (double)got;
    take(client, buffer, (size_t)got);
  }
}

static void open_client(struct client *client, int port, int receive_buffer, const char *request) {
  int segment = SEGMENT_BYTES;
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client->fd < 0) fail("socket");
  /* Both before connect: they are announced with the SYN. */
  if (setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer) != 0 ||
      setsockopt(client->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment) != 0)
    fail("setsockopt");
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  size_t length = strlen(request);
  if (connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      send(client->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length ||
      fcntl(client->fd, F_SETFL, O_NONBLOCK) != 0)
    finish(client, NO_CONNECTION);
}

static void map_body(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat stats;
  if (fd < 0 || fstat(fd, &stats) != 0) fail(path);
  body_bytes = (size_t)stats.st_size;
  body = mmap(NULL, body_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (body == MAP_FAILED) fail("mmap");
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: client PORT PATH BODY_FILE CLIENTS BYTES_PER_S RECEIVE_BUFFER "
                    "DEADLINE_S\n");
    return 2;
  }
  int port = atoi(argv[1]);
  map_body(argv[3]);
  size_t clients = strtoul(argv[4], NULL, 10);
  double rate = atof(argv[5]);
  char request[512];
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                        argv[2], port);
  if (length < 0 || (size_t)length >= sizeof request) fail("path");

  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  setvbuf(stdout, NULL, _IOLBF, 0);

  struct client *all = calloc(clients, sizeof *all);
  if (all == NULL) fail("calloc");
  double began = now_s();
  double deadline = began + atof(argv[7]);
  clients_open = clients;
  for (size_t i = 0; i < clients; i++) {
    /* Spread over a turn, so that they do not all read in the same tick. */
    all[i].read_at = now_s();
    all[i].due = all[i].read_at + TURN_S * (double)i / (double)clients;
    open_client(&all[i], port, atoi(argv[6]), request);
  }
  int begun = 0;
  const struct timespec tick = {.tv_nsec = TICK_NS};
  while (clients_open > 0 && now_s() < deadline) {
    double now = now_s();
    for (size_t i = 0; i < clients; i++)
      if (all[i].stage != OVER && all[i].due <= now) read_some(&all[i], now, rate);
    if (!begun && clients_open > 0 && clients_begun == clients_open) {
      begun = 1;
      puts("{\"event\":\"begun\"}");
    }
    nanosleep(&tick, NULL);
  }
  for (size_t i = 0; i < clients; i++)
    if (all[i].stage != OVER) finish(&all[i], TOO_LATE);
  printf("{\"event\":\"done\",\"seconds\":%.3f,\"receivedBytes\":%zu", now_s() - began, received);
  for (size_t i = 0; i < OUTCOMES; i++) printf(",\"%s\":%zu", outcome_names[i], counts[i]);
  puts("}");
  return 0;
}
