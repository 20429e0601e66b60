/* The kernel's own price: a loop of send() over all connections, one finished frame per event.
 *
 *   send_loop PORT     prints "ready"; then on standard input: the payload, one line, with
 *                      00000000 where the number of the event goes; then per line
 *                      "FIRST EVENTS GAP_US", each answered with "done"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 20000

static int clients[MOST], count;
static unsigned char frame[70000];
static size_t size, number_at;
static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int fd, const void *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0) die("send");
        data = (const char *)data + sent;
        length -= (size_t)sent;
    }
}

static void prepare(const char *payload) {
    size_t length = strlen(payload);
    if (length > 0 && payload[length - 1] == '\n') length--;
    const char *number = strstr(payload, "00000000");
    if (length < 126 || length > 65535 || number == NULL) die("payload");
    frame[0] = 0x81;
    frame[1] = 126;
    frame[2] = (unsigned char)(length >> 8);
    frame[3] = (unsigned char)length;
    memcpy(frame + 4, payload, length);
    size = length + 4;
    number_at = 4 + (size_t)(number - payload);
}

static void deliver(int first, int events, long gap_us) {
    struct timespec gap = {gap_us / 1000000, gap_us % 1000000 * 1000};
    for (int event = 0; event < events; event++) {
        char number[16];
        snprintf(number, sizeof number, "%08d", first + event);
        memcpy(frame + number_at, number, 8);
        for (int index = 0; index < count; index++) send_all(clients[index], frame, size);
        nanosleep(&gap, NULL);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) die("usage");
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[64];
        int n = epoll_wait(epoll, ready, 64, -1);
        for (int index = 0; index < n; index++) {
            int fd = ready[index].data.fd;
            static char text[70000];
            if (fd == 0) {
                int first, events;
                long gap;
                if (fgets(text, sizeof text, stdin) == NULL) return 0;
                if (text[0] == '{') {
                    prepare(text);
                } else if (sscanf(text, "%d %d %ld", &first, &events, &gap) == 3) {
                    deliver(first, events, gap);
                } else {
                    die("order");
                }
                puts("done");
                fflush(stdout);
            } else if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0 || count == MOST) die("accept");
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                clients[count++] = client;
                event.data.fd = client;
                epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
            } else {
                ssize_t got = recv(fd, text, sizeof text - 1, 0);
                if (got <= 0) {
                    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
                } else {
                    text[got] = 0;
                    if (strncmp(text, "GET ", 4) == 0) send_all(fd, ANSWER, sizeof ANSWER - 1);
                }
            }
        }
    }
}
