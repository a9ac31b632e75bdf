// An HTTP server on WasmEdge's sockets: `serve.wasm PORT [NAME]` answers every request with "hello from NAME".
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What WasmEdge adds to WASI preview 1. `sock_accept` has one parameter fewer here than in preview 1 itself.
#define WASMEDGE(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
struct address {
    uint8_t *bytes;
    uint32_t size;
};
struct buffer {
    char *data;
    uint32_t size;
};
enum { INET4 = 1, STREAM = 2, REUSE_ADDRESS = 0, SOCKET_LEVEL = 0 };
WASMEDGE(sock_open) uint32_t sock_open(uint32_t family, uint32_t type, uint32_t *fd);
WASMEDGE(sock_bind) uint32_t sock_bind(uint32_t fd, struct address *address, uint32_t port);
WASMEDGE(sock_listen) uint32_t sock_listen(uint32_t fd, uint32_t backlog);
WASMEDGE(sock_accept) uint32_t sock_accept(uint32_t fd, uint32_t *connection);
WASMEDGE(sock_setsockopt) uint32_t sock_setsockopt(uint32_t fd, uint32_t level, uint32_t name, int32_t *value, uint32_t size);
WASMEDGE(sock_recv) uint32_t sock_recv(uint32_t fd, struct buffer *to, uint32_t count, uint32_t flags, uint32_t *got, uint32_t *out_flags);
WASMEDGE(sock_send) uint32_t sock_send(uint32_t fd, const struct buffer *from, uint32_t count, uint32_t flags, uint32_t *sent);

static void must(uint32_t error, const char *what) {
    if (error == 0) return;
    fprintf(stderr, "serve: %s: errno %u\n", what, error);
    exit(1);
}

static void answer(uint32_t connection, const char *name) {
    char request[4096], reply[512];
    uint32_t got = 0, flags = 0, total = 0;
    // a request ends with an empty line: none of ours has a body
    while (total < sizeof request - 1) {
        struct buffer to = {request + total, sizeof request - 1 - total};
        if (sock_recv(connection, &to, 1, 0, &got, &flags) != 0 || got == 0) return;
        total += got;
        request[total] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    int length = snprintf(reply, sizeof reply,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\nhello from %s\n",
        strlen("hello from \n") + strlen(name), name);
    for (int at = 0; at < length;) {
        struct buffer from = {reply + at, (uint32_t)(length - at)};
        if (sock_send(connection, &from, 1, 0, &got) != 0) return;
        at += (int)got;
    }
}

int main(int argc, char **argv) {
    uint32_t port = argc > 1 ? (uint32_t)atoi(argv[1]) : 8080, listener, connection;
    const char *name = argc > 2 ? argv[2] : "serve";
    uint8_t any[4] = {0};
    struct address address = {any, sizeof any};
    int32_t yes = 1;
    must(sock_open(INET4, STREAM, &listener), "sock_open");
    must(sock_setsockopt(listener, SOCKET_LEVEL, REUSE_ADDRESS, &yes, sizeof yes), "sock_setsockopt");
    must(sock_bind(listener, &address, port), "sock_bind");
    must(sock_listen(listener, 128), "sock_listen");
    printf("listening on %u\n", port);
    fflush(stdout);
    for (;;) {
        must(sock_accept(listener, &connection), "sock_accept");
        answer(connection, name);
        close((int)connection);
    }
}
