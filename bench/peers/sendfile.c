/* Sends a file to everybody who connects, one after another, with one blocking call each: what the kernel needs for it. */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 2) return 1;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 16) != 0) return 1;
  if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) return 1;
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int client = accept(listener, NULL, NULL);
    int file = open(argv[1], O_RDONLY);
    struct stat about;
    if (client < 0 || file < 0 || fstat(file, &about) != 0) return 1;
    off_t sent = 0;
    while (sent < about.st_size)
      if (sendfile(client, file, &sent, about.st_size - sent) <= 0) break;
    close(file);
    close(client);
  }
}
