#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int spawn(pid_t *pid, const char *const *argv, const char *log)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C.UTF-8", zone[] = "TZ=UTC";
	char *const environment[] = { path, locale, zone, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log ? log : "/dev/null", O_WRONLY | O_APPEND | O_CREAT, 0600);
	posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	int fault = posix_spawnp(pid, argv[0], &files, &attributes, (char *const *)argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return fault;
}

enum err process_start(pid_t *out, const char *const *argv, const char *log, struct error *e)
{
	int fault = spawn(out, argv, log);
	return fault ? error_set(e, ERR_IO, "%s cannot be started: %s.", argv[0], strerror(fault)) : ERR_OK;
}

enum err process_run(const char *const *argv, const char *log, int *status, struct error *e)
{
	pid_t pid;
	int end;
	TRY(process_start(&pid, argv, log, e));
	while (waitpid(pid, &end, 0) < 0)
		if (errno != EINTR)
			return error_set(e, ERR_IO, "%s cannot be waited for: %s.", argv[0], strerror(errno));
	*status = WIFEXITED(end) ? WEXITSTATUS(end) : 128 + WTERMSIG(end);
	return ERR_OK;
}

int process_watch(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int process_wait(int watch, int stop, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = watch, .events = POLLIN }, { .fd = stop, .events = POLLIN } };
	if (poll(fds, 2, timeout_ms) <= 0)
		return 0;
	return (fds[0].revents != 0) | (fds[1].revents != 0) << 1;
}
