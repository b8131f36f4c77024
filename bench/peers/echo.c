/*
 * The limit: an echo server in C, one thread, epoll, edge triggered. What a socket does not take at once is kept, and
 * nothing more is read from that connection until it is gone.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define EVENTS_MAX 1024

struct connection {
  int fd;
  /* Bytes that wait for the socket: pending[start … end - 1]. NULL while there are none. */
  char *pending;
  size_t start, end;
};

static char buffer[BUFFER_BYTES];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void drop(struct connection *connection) {
  close(connection->fd);
  free(connection->pending);
  free(connection);
}

/* 1: all is sent, 0: the socket is full, -1: the connection broke. */
static int flush_pending(struct connection *connection) {
  while (connection->start < connection->end) {
    ssize_t sent = send(connection->fd, connection->pending + connection->start, connection->end - connection->start,
                        MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    connection->start += (size_t)sent;
  }
  free(connection->pending);
  connection->pending = NULL;
  return 1;
}

/* 1: the socket is read empty or full to write, -1: the connection ended. */
static int echo(struct connection *connection) {
  for (;;) {
    if (connection->pending != NULL) {
      int flushed = flush_pending(connection);
      if (flushed != 1) return flushed == 0 ? 1 : -1;
    }
    ssize_t received = recv(connection->fd, buffer, BUFFER_BYTES, 0);
    if (received == 0) return -1;
    if (received < 0) return errno == EAGAIN ? 1 : -1;
    ssize_t sent = send(connection->fd, buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent < 0) sent = 0;
    if (sent < received) {
      connection->start = 0;
      connection->end = (size_t)(received - sent);
      connection->pending = malloc(connection->end);
      if (connection->pending == NULL) die("malloc");
      memcpy(connection->pending, buffer + sent, connection->end);
      continue;
    }
    /* A short read means that the socket is empty; more data is a new edge. */
    if (received < BUFFER_BYTES) return 1;
  }
}

static void accept_all(int listener, int epoll) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) die("calloc");
    connection->fd = fd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
  }
}

int main(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 512) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &length);

  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);

  static struct epoll_event events[EVENTS_MAX];
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection == NULL) accept_all(listener, epoll);
      else if (echo(connection) < 0) drop(connection);
    }
  }
}
