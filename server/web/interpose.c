/* Calls of the C library that civetweb makes and that must behave differently for it. The program's own definitions come first in the symbol look-up,
 * so these stand before libc's; they pass everything on except what is said below.
 *
 * - pthread_attr_setstacksize: civetweb asks for 100 KiB, too little for what runs on its threads.
 * - recv, send: civetweb bounds the gap between two bytes, never the whole; a client that drips a byte a second would hold a worker for ever. While a thread
 *   has a pace set, a connection that falls behind it is reported as reset. Threads without a pace are not affected.
 */
#include "commonhold/clock.h"
#include "commonhold/limits.h"
#include "server/web/web.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/types.h>

/* Not <sys/socket.h>: its fortified inline versions cannot be defined again. */
ssize_t recv(int fd, void *to, size_t n, int flags);
ssize_t send(int fd, const void *from, size_t n, int flags);

struct pace {
	bool set;          /* the thread has a pace */
	bool broken;       /* it was not kept */
	int64_t since;     /* clock_tick at the beginning */
	int64_t allowance; /* microseconds before anything is asked */
	int64_t bytes;     /* moved so far */
};

static _Thread_local struct pace pace;

typedef ssize_t (*recv_fn)(int, void *, size_t, int);
typedef ssize_t (*send_fn)(int, const void *, size_t, int);
typedef int (*stack_fn)(pthread_attr_t *, size_t);

static recv_fn libc_recv;
static send_fn libc_send;
static stack_fn libc_stack;

static void interpose_find(void)
{
	void *symbol = dlsym(RTLD_NEXT, "recv");
	memcpy(&libc_recv, &symbol, sizeof(symbol));
	symbol = dlsym(RTLD_NEXT, "send");
	memcpy(&libc_send, &symbol, sizeof(symbol));
	symbol = dlsym(RTLD_NEXT, "pthread_attr_setstacksize");
	memcpy(&libc_stack, &symbol, sizeof(symbol));
}

void interpose_link(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, interpose_find);
}

void pace_begin(int allowance_ms)
{
	pace = (struct pace){ .set = true, .since = clock_tick(), .allowance = (int64_t)allowance_ms * 1000 };
}

void pace_end(void)
{
	pace.set = false;
}

static bool pace_kept(ssize_t moved)
{
	if (!pace.set)
		return true;
	if (moved > 0)
		pace.bytes += moved;
	int64_t time_given = pace.allowance + pace.bytes * 1000000 / (int64_t)LIMIT_PACE;
	if (clock_tick() - pace.since > time_given)
		pace.broken = true;
	return !pace.broken;
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
	if (!libc_recv)
		interpose_link();
	ssize_t got = libc_recv(fd, to, n, flags);
	if (!pace_kept(got)) {
		errno = ECONNRESET;
		return -1;
	}
	return got;
}

ssize_t send(int fd, const void *from, size_t n, int flags)
{
	if (!libc_send)
		interpose_link();
	ssize_t sent = libc_send(fd, from, n, flags);
	if (!pace_kept(sent)) {
		errno = EPIPE;
		return -1;
	}
	return sent;
}

int pthread_attr_setstacksize(pthread_attr_t *attr, size_t size)
{
	if (!libc_stack)
		interpose_link();
	return libc_stack(attr, size < LIMIT_WORKER_STACK ? LIMIT_WORKER_STACK : size);
}
