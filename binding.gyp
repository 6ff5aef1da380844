{
  "targets": [
    {
      "target_name": "mpm",
      "sources": [
        "src/listener/native/addon.c",
        "src/listener/native/memory.c",
        "src/listener/native/epoll.c",
        "src/listener/native/file.c",
        "src/listener/native/service.c",
        "src/listener/native/socket.c",
        "src/listener/native/nice.c",
        "src/listener/native/slice.c",
        "src/listener/native/watch.c"
      ],
      "cflags_c": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
