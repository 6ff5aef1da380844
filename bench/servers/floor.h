/* What both floors have: request heads are counted, not parsed. */
#ifndef FLOOR_H
#define FLOOR_H

#include <stddef.h>

#define MAX_FDS 65536

/* Per descriptor: how many bytes of "\r\n\r\n" have been seen at the end of the input. */
static unsigned char matched[MAX_FDS];

static unsigned count_heads(int fd, const char *bytes, size_t length) {
  unsigned heads = 0;
  unsigned state = matched[fd];
  for (size_t i = 0; i < length; i++) {
    char c = bytes[i];
    if (c == '\r') {
      state = state == 2 ? 3 : 1;
    } else if (c == '\n' && (state & 1)) {
      state++;
      if (state == 4) {
        heads++;
        state = 0;
      }
    } else {
      state = 0;
    }
  }
  matched[fd] = (unsigned char)state;
  return heads;
}

#endif
