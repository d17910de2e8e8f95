#include "cluster.h"
#include "process.h"
#include "commonhold/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_POLL_MS 20                /* between questions whether it takes connections */
#define READY_WAIT_MS (10 * 60 * 1000)  /* recovery after a crash may replay gigabytes */
#define STOP_FAST_MS 60000              /* for a fast shutdown with its checkpoint; then immediate */
#define TAKE_OVER_MS 500                /* how often one who shares a cluster looks whether its owner has gone */
#define RESTART_PAUSE_MAX_MS 10000      /* between attempts to start one that does not stay up */
#define LOG_MAX ((off_t)16 << 20)       /* the log is put aside at a start when it is larger */

/* The first line of a lock file of PostgreSQL's, or 0. */
static pid_t pid_file_read(const char *path)
{
	char text[32];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	struct str rest = str_make(text, n > 0 ? (size_t)n : 0), line;
	int64_t pid = 0;
	return n > 0 && str_split(&rest, '\n', &line) && str_to_i64(str_trim(line), 2, INT32_MAX, &pid) ? (pid_t)pid : 0;
}

/* PostgreSQL's processes all work in the data directory; nothing else does. */
static bool works_in_data(const struct cluster *c, const char *pid)
{
	char link[64], where[PATH_MAX + 16];
	snprintf(link, sizeof(link), "/proc/%.20s/cwd", pid);
	ssize_t n = readlink(link, where, sizeof(where) - 1);
	return n > 0 && (size_t)n == strlen(c->data) && memcmp(where, c->data, (size_t)n) == 0;
}

static pid_t running_postmaster(const struct cluster *c)
{
	char path[PATH_MAX + 48], text[24];
	snprintf(path, sizeof(path), "%s/postmaster.pid", c->data);
	pid_t pid = pid_file_read(path);
	snprintf(text, sizeof(text), "%d", (int)pid);
	return pid && works_in_data(c, text) ? pid : 0;
}

static bool anybody_in_data(const struct cluster *c)
{
	DIR *proc = opendir("/proc");
	bool found = false;
	for (struct dirent *entry; proc && !found && (entry = readdir(proc)) != NULL;)
		found = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && works_in_data(c, entry->d_name);
	if (proc)
		closedir(proc);
	return found;
}

/* The number in a lock file may be another program's after a crash of the machine, or that of a dead postmaster whom nobody has reaped: PostgreSQL would take either
 * for itself. While any process of the old cluster lives the files are kept, since PostgreSQL finds out from them that its memory is still held. */
static void lock_remove_stale(const char *path)
{
	pid_t pid = pid_file_read(path);
	if (pid && kill(pid, 0) == 0) {
		log_event(LOG_WARN, "cluster.stale_lock", LOG_N("pid", pid));
		unlink(path);
	}
}

static void locks_remove_stale(const struct cluster *c)
{
	char path[PATH_MAX + 48];
	if (anybody_in_data(c))
		return;
	snprintf(path, sizeof(path), "%s/postmaster.pid", c->data);
	lock_remove_stale(path);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432.lock", c->socket_dir);
	lock_remove_stale(path);
}

static void log_put_aside(const struct cluster *c)
{
	struct stat s;
	char old[PATH_MAX + 32];
	snprintf(old, sizeof(old), "%s.old", c->log);
	if (stat(c->log, &s) == 0 && s.st_size > LOG_MAX)
		rename(c->log, old);
}

static void reap(struct cluster *c)
{
	if (c->child && c->pid)
		waitpid(c->pid, NULL, 0);
	c->child = false;
	c->pid = 0;
}

static enum err postmaster_start(struct cluster *c, struct error *e)
{
	char program[PATH_MAX + 16], sockets[160];
	const char *argv[CLUSTER_ARGS];
	snprintf(program, sizeof(program), "%s/postgres", c->bin);
	snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", c->socket_dir);
	const char *const command[] = { program, "-D", c->data, "-c", "listen_addresses=", "-c", sockets, "-c", "unix_socket_permissions=0700", "-c", "port=5432", NULL };
	pid_t pid;
	TRY(cluster_write_access(c, e));
	locks_remove_stale(c);
	log_put_aside(c);
	cluster_command(c, argv, command);
	TRY(process_start(&pid, argv, c->log, e));
	c->child = true;
	c->pid = pid;
	return ERR_OK;
}

static bool pings(const struct cluster *c, PGPing *answer)
{
	char url[256];
	cluster_conninfo(c, url, sizeof(url), "postgres", "postgres");
	*answer = PQping(url);
	return *answer == PQPING_OK;
}

/* Until it takes connections, or its process ends, or we are to stop. */
static enum err ready_wait(struct cluster *c, struct error *e)
{
	int watch = process_watch(c->pid);
	PGPing answer = PQPING_NO_RESPONSE;
	bool ended = watch < 0;
	for (int waited = 0; !ended && !pings(c, &answer) && waited < READY_WAIT_MS; waited += READY_POLL_MS)
		ended = process_wait(watch, c->stop[0], READY_POLL_MS) != 0;
	if (watch >= 0)
		close(watch);
	if (answer == PQPING_OK)
		return ERR_OK;
	enum err code = error_set(e, ERR_UNAVAILABLE, "The private PostgreSQL in %s did not start; %s says why.", c->data, c->log);
	cluster_log_tail(c, e);
	return code;
}

/* Starts it, or takes the one that runs. */
static enum err bring_up(struct cluster *c, struct error *e)
{
	TRY(cluster_create(c, e));
	pid_t running = running_postmaster(c);
	if (running) {
		c->pid = running;
		c->child = false;
		log_event(LOG_INFO, "cluster.adopted", LOG_N("pid", running));
	} else {
		TRY(postmaster_start(c, e));
		log_event(LOG_INFO, "cluster.started", LOG_N("pid", c->pid));
	}
	enum err code = ready_wait(c, e);
	if (code == ERR_OK)
		code = cluster_make_databases(c, e);
	return code;
}

static bool take_lock(struct cluster *c)
{
	if (!c->owner)
		c->owner = flock(c->lock, LOCK_EX | LOCK_NB) == 0;
	return c->owner;
}

/* Somebody else's cluster: wait until it is there, or becomes ours because they went away. */
static enum err join(struct cluster *c, struct error *e)
{
	for (int waited = 0; waited < READY_WAIT_MS; waited += READY_POLL_MS) {
		PGPing answer;
		if (take_lock(c))
			return bring_up(c, e);
		if (running_postmaster(c) && pings(c, &answer)) {
			c->pid = running_postmaster(c);
			log_event(LOG_INFO, "cluster.joined", LOG_N("pid", c->pid));
			return ERR_OK;
		}
		process_wait(-1, -1, READY_POLL_MS);
	}
	return error_set(e, ERR_UNAVAILABLE, "The PostgreSQL in %s belongs to another server process, and does not answer.", c->data);
}

static void supervise_own(struct cluster *c)
{
	int pause = 0;
	while (!(process_wait(-1, c->stop[0], pause) & 2)) {
		int watch = c->pid ? process_watch(c->pid) : -1;
		int woken = watch < 0 ? 1 : process_wait(watch, c->stop[0], -1);
		if (watch >= 0)
			close(watch);
		if (woken & 2)
			return;
		if (!(woken & 1))
			continue;
		log_event(LOG_ERROR, "cluster.died", LOG_N("pid", c->pid));
		reap(c);
		struct error e = { 0 };
		if (bring_up(c, &e) == ERR_OK) {
			pause = 0;
			continue;
		}
		if (process_wait(-1, c->stop[0], 0) & 2)
			return;
		log_event(LOG_ERROR, "cluster.restart_failed", LOG_Z("error", e.message), LOG_Z("detail", e.detail));
		pause = pause ? pause * 2 : 100;
		if (pause > RESTART_PAUSE_MAX_MS)
			pause = RESTART_PAUSE_MAX_MS;
	}
}

static void *supervise(void *arg)
{
	struct cluster *c = arg;
	while (!c->owner) {
		if (process_wait(-1, c->stop[0], TAKE_OVER_MS) & 2)
			return NULL;
		struct error e = { 0 };
		if (take_lock(c)) {
			log_event(LOG_WARN, "cluster.taken_over", LOG_N("pid", c->pid));
			if (bring_up(c, &e) != ERR_OK)
				log_event(LOG_ERROR, "cluster.restart_failed", LOG_Z("error", e.message), LOG_Z("detail", e.detail));
		}
	}
	supervise_own(c);
	return NULL;
}

/* Signals are for the main thread. */
static enum err supervisor_start(struct cluster *c, struct error *e)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int fault = pthread_create(&c->supervisor, NULL, supervise, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->supervised = fault == 0;
	return fault ? error_set(e, ERR_IO, "A thread cannot be started: %s.", strerror(fault)) : ERR_OK;
}

static enum err open_lock(struct cluster *c, struct error *e)
{
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s/cluster.lock", c->dir);
	c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (c->lock < 0 || pipe2(c->stop, O_CLOEXEC) != 0)
		return error_set(e, ERR_IO, "%s cannot be opened: %s.", path, strerror(errno));
	return ERR_OK;
}

static enum err cluster_begin(struct cluster *c, const char *dir, struct error *e)
{
	TRY(cluster_find(c, dir, e));
	TRY(open_lock(c, e));
	TRY(take_lock(c) ? bring_up(c, e) : join(c, e));
	return supervisor_start(c, e);
}

enum err cluster_start(struct cluster **out, const char *dir, struct error *e)
{
	struct cluster *c = calloc(1, sizeof(*c));
	if (!c)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	c->lock = c->stop[0] = c->stop[1] = -1;
	enum err code = cluster_begin(c, dir, e);
	if (code != ERR_OK) {
		cluster_stop(c);
		return code;
	}
	*out = c;
	return ERR_OK;
}

const char *cluster_url(const struct cluster *c, bool keys) { return c->urls[keys]; }
const char *cluster_socket_dir(const struct cluster *c) { return c->socket_dir; }
int cluster_pid(const struct cluster *c) { return (int)c->pid; }

/* SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one. */
static void postmaster_stop(struct cluster *c)
{
	int watch = process_watch(c->pid);
	if (watch >= 0) {
		kill(c->pid, SIGINT);
		if (!(process_wait(watch, -1, STOP_FAST_MS) & 1)) {
			kill(c->pid, SIGQUIT);
			process_wait(watch, -1, STOP_FAST_MS);
		}
		close(watch);
	}
	reap(c);
	/* One in the runtime directory would otherwise lie about for ever. */
	if (strncmp(c->socket_dir, c->dir, strlen(c->dir)) != 0)
		rmdir(c->socket_dir);
	log_event(LOG_INFO, "cluster.stopped");
}

void cluster_stop(struct cluster *c)
{
	if (!c)
		return;
	if (c->supervised) {
		if (write(c->stop[1], "", 1) != 1)
			log_event(LOG_ERROR, "cluster.stop_unheard");
		pthread_join(c->supervisor, NULL);
	}
	if (c->owner && c->pid)
		postmaster_stop(c);
	for (int i = 0; i < 2; i++)
		if (c->stop[i] >= 0)
			close(c->stop[i]);
	if (c->lock >= 0)
		close(c->lock);
	free(c);
}
