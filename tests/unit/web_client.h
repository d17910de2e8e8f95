/* web_client.h - raw sockets for the tests of the web base: bytes in, bytes out, nothing corrected on the way. */
#ifndef COMMONHOLD_TESTS_WEB_CLIENT_H
#define COMMONHOLD_TESTS_WEB_CLIENT_H

#include "commonhold/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What came back: NUL-terminated, so that strstr and friends work on answers of text. */
struct answer {
	char *text;     /* head and body as received */
	size_t n;
	int status;     /* of the first head; 0 when there was none */
	char *body;     /* after the first blank line */
	bool closed;    /* the server ended the connection */
};

static inline int client_connect(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		perror("connect");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static inline bool client_send(int fd, const void *p, size_t n)
{
	const char *from = p;
	while (n > 0) {
		ssize_t sent = send(fd, from, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		from += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Whether a whole answer is there: its head, and as many bytes of body as it announces. */
static inline bool answer_is_whole(const struct answer *a, bool head_only)
{
	const char *end = a->text ? strstr(a->text, "\r\n\r\n") : NULL;
	if (!end)
		return false;
	if (head_only || a->status == 304 || a->status == 204)
		return true;
	const char *length = strcasestr(a->text, "\r\nContent-Length: ");
	if (length && length < end)
		return a->n - (size_t)(end + 4 - a->text) >= strtoul(length + 18, NULL, 10);
	return strstr(end, "\r\n0\r\n\r\n") != NULL;
}

/* Reads one answer, or until the end of the connection or 15 quiet seconds. */
static inline struct answer client_receive(int fd, bool head_only)
{
	struct answer a = { .text = calloc(1, 1) };
	for (;;) {
		if (a.status == 0 && a.n >= 12)
			a.status = (int)strtol(a.text + 9, NULL, 10);
		if (a.status == 100) { /* the interim answer is not the answer */
			char *end = strstr(a.text, "\r\n\r\n");
			if (end) {
				a.n -= (size_t)(end + 4 - a.text);
				memmove(a.text, end + 4, a.n + 1);
				a.status = 0;
				continue;
			}
		}
		if (answer_is_whole(&a, head_only))
			break;
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char window[65536];
		if (poll(&p, 1, 15000) <= 0)
			break;
		ssize_t got = recv(fd, window, sizeof(window), 0);
		if (got <= 0) {
			a.closed = true;
			break;
		}
		a.text = realloc(a.text, a.n + (size_t)got + 1);
		memcpy(a.text + a.n, window, (size_t)got);
		a.n += (size_t)got;
		a.text[a.n] = '\0';
	}
	char *end = strstr(a.text, "\r\n\r\n");
	a.body = end ? end + 4 : a.text + a.n;
	return a;
}

static inline void answer_free(struct answer *a)
{
	free(a->text);
}

/* One request on a connection of its own. */
static inline struct answer client_ask_n(int port, const void *p, size_t n)
{
	int fd = client_connect(port);
	client_send(fd, p, n);
	struct answer a = client_receive(fd, n > 5 && memcmp(p, "HEAD ", 5) == 0);
	close(fd);
	return a;
}
#define client_ask(port, text) client_ask_n((port), (text), strlen(text))

/* The value of a header of the answer, in a buffer of the caller; empty when absent. */
static inline const char *answer_header(const struct answer *a, const char *name, char *out, size_t size)
{
	char line[128];
	out[0] = '\0';
	snprintf(line, sizeof(line), "\r\n%s: ", name);
	const char *at = strcasestr(a->text, line), *blank = strstr(a->text, "\r\n\r\n");
	if (!at || !blank || at > blank)
		return out;
	at += strlen(line);
	const char *end = strstr(at, "\r\n");
	snprintf(out, size, "%.*s", (int)(end - at), at);
	return out;
}

#endif
