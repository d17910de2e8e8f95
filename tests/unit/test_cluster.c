#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One data directory for most tests: initdb takes as long as all of them. */
static char shared[128];

static int group_setup(void **state)
{
	(void)state;
	snprintf(shared, sizeof(shared), "%s/shared", fixture_dir());
	return 0;
}

static void write_text(const char *dir, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static struct cluster *start(const char *dir)
{
	struct cluster *c;
	struct error e = { 0 };
	if (access("/usr/lib/postgresql", X_OK) != 0)
		skip();
	mkdir(dir, 0700);
	write_text(dir, "postgres.conf", "fsync = off\nshared_buffers = 16MB\n");
	if (cluster_start(&c, dir, &e) != ERR_OK)
		fail_msg("%s %s %s", e.message, e.detail, e.hint);
	return c;
}

/* The answer of one query in the content database, as text; NULL when it cannot be reached. */
static char *ask(const struct cluster *c, const char *sql)
{
	static char answer[256];
	PGconn *pg = PQconnectdb(cluster_url(c, false));
	PGresult *r = PQstatus(pg) == CONNECTION_OK ? PQexec(pg, sql) : NULL;
	bool ok = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1;
	snprintf(answer, sizeof(answer), "%s", ok ? PQgetvalue(r, 0, 0) : "");
	PQclear(r);
	PQfinish(pg);
	return ok ? answer : NULL;
}

static void wait_until_back(const struct cluster *c, int before)
{
	while (cluster_pid(c) == before || !ask(c, "SELECT 1"))
		usleep(10000);
}

static bool runs(int pid)
{
	char path[64], text[256] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && !strstr(text, ") Z");
}

static void it_is_private_unprivileged_and_checksummed(void **state)
{
	(void)state;
	struct cluster *c = start(shared);
	char path[64], status[4096] = "";
	assert_string_equal(ask(c, "SHOW listen_addresses"), "");
	assert_string_equal(ask(c, "SHOW data_checksums"), "on");
	assert_string_equal(ask(c, "SHOW server_encoding"), "UTF8");
	assert_string_equal(ask(c, "SHOW unix_socket_permissions"), "0700");
	assert_string_equal(ask(c, "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE 'commonhold%'"), "commonhold,commonhold_keys");
	snprintf(path, sizeof(path), "/proc/%d/status", cluster_pid(c));
	int fd = open(path, O_RDONLY);
	assert_true(read(fd, status, sizeof(status) - 1) > 0);
	close(fd);
	assert_non_null(strstr(status, "CapEff:\t0000000000000000"));
	struct stat s;
	assert_int_equal(stat(cluster_socket_dir(c), &s), 0);
	assert_int_equal(s.st_mode & 077, 0);
	cluster_stop(c);
}

static void another_account_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct cluster *c = start(shared);
	char url[256];
	snprintf(url, sizeof(url), "%s", cluster_url(c, false));
	assert_int_equal(chmod(cluster_socket_dir(c), 0777), 0);
	assert_int_equal(chmod(shared, 0755), 0);
	assert_int_equal(chmod(fixture_dir(), 0755), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(2);
		PGconn *pg = PQconnectdb(url);
		_exit(PQstatus(pg) == CONNECTION_OK);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(chmod(cluster_socket_dir(c), 0700), 0);
	cluster_stop(c);
}

static void it_stops_cleanly_and_keeps_its_data(void **state)
{
	(void)state;
	struct cluster *c = start(shared);
	int pid = cluster_pid(c);
	assert_non_null(ask(c, "SELECT count(*) FROM (SELECT set_config('x.y', '1', false)) x"));
	PGconn *pg = PQconnectdb(cluster_url(c, false));
	PQclear(PQexec(pg, "CREATE TABLE kept AS SELECT 1 AS n"));
	PQfinish(pg);
	cluster_stop(c);
	assert_false(runs(pid));
	c = start(shared);
	assert_int_not_equal(cluster_pid(c), pid);
	assert_string_equal(ask(c, "SELECT n::text FROM kept"), "1");
	cluster_stop(c);
}

static void a_killed_postmaster_is_started_again(void **state)
{
	(void)state;
	struct cluster *c = start(shared);
	for (int round = 0; round < 2; round++) {
		int pid = cluster_pid(c);
		kill(pid, SIGKILL);
		wait_until_back(c, pid);
		assert_false(runs(pid));
	}
	cluster_stop(c);
}

/* A server process of its own that starts the cluster, says so, and waits to be killed. */
static pid_t start_elsewhere(void)
{
	int told[2];
	assert_int_equal(pipe(told), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct cluster *c;
		struct error e = { 0 };
		if (cluster_start(&c, shared, &e) != ERR_OK || write(told[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	char byte;
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
	return pid;
}

static void end_elsewhere(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int pid_in_file(void)
{
	char path[256], text[32] = "";
	snprintf(path, sizeof(path), "%s/postgres/postmaster.pid", shared);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return (int)strtol(text, NULL, 10);
}

static void a_cluster_that_outlived_our_crash_is_adopted(void **state)
{
	(void)state;
	end_elsewhere(start_elsewhere());
	int pid = pid_in_file();
	assert_true(runs(pid));
	struct cluster *c = start(shared);
	assert_int_equal(cluster_pid(c), pid);
	assert_string_equal(ask(c, "SELECT 1"), "1");
	kill(pid, SIGKILL);
	wait_until_back(c, pid);
	pid = cluster_pid(c);
	cluster_stop(c);
	assert_false(runs(pid));
}

static void the_second_server_joins_and_does_not_stop_it(void **state)
{
	(void)state;
	pid_t other = start_elsewhere();
	int pid = pid_in_file();
	struct cluster *c = start(shared);
	assert_int_equal(cluster_pid(c), pid);
	cluster_stop(c);
	assert_true(runs(pid));
	/* When the owner goes away, one who shares takes over. */
	c = start(shared);
	end_elsewhere(other);
	kill(pid, SIGKILL);
	wait_until_back(c, pid);
	cluster_stop(c);
	assert_false(runs(pid));
}

static void a_stale_pid_file_does_not_keep_it_down(void **state)
{
	(void)state;
	char data[256], text[300];
	cluster_stop(start(shared));
	snprintf(data, sizeof(data), "%s/postgres", shared);
	snprintf(text, sizeof(text), "%d\n%s\n", (int)getpid(), data);
	write_text(data, "postmaster.pid", text);
	struct cluster *c = start(shared);
	assert_string_equal(ask(c, "SELECT 1"), "1");
	cluster_stop(c);
}

static void an_interrupted_making_is_made_anew(void **state)
{
	(void)state;
	char dir[256], path[512];
	snprintf(dir, sizeof(dir), "%s/a folder with a name, that is longer than what a socket's address can hold, "
		"which has room for one hundred and seven bytes only", fixture_dir());
	mkdir(dir, 0700);
	snprintf(path, sizeof(path), "%s/postgres.making", dir);
	mkdir(path, 0700);
	write_text(path, "PG_VERSION", "15\n");
	struct cluster *c = start(dir);
	assert_string_equal(ask(c, "SELECT 1"), "1");
	assert_int_not_equal(strncmp(cluster_socket_dir(c), dir, strlen(dir)), 0);
	char socket_dir[128];
	snprintf(socket_dir, sizeof(socket_dir), "%s", cluster_socket_dir(c));
	cluster_stop(c);
	assert_int_not_equal(access(socket_dir, F_OK), 0);
}

static void in_somebodys_folder_root_runs_it_as_them(void **state)
{
	(void)state;
	struct passwd *account = getpwnam("postgres");
	struct stat s;
	char dir[256];
	if (geteuid() != 0 || !account)
		skip();
	assert_int_equal(chmod(fixture_dir(), 0755), 0);
	snprintf(dir, sizeof(dir), "%s/theirs", fixture_dir());
	mkdir(dir, 0700);
	assert_int_equal(chown(dir, account->pw_uid, account->pw_gid), 0);
	struct cluster *c = start(dir);
	snprintf(dir, sizeof(dir), "/proc/%d", cluster_pid(c));
	assert_int_equal(stat(dir, &s), 0);
	assert_int_equal(s.st_uid, account->pw_uid);
	assert_string_equal(ask(c, "SELECT 1"), "1");
	cluster_stop(c);
}

/* In a container without user namespaces, with a program of that name that only fails; what goes to /var/lib goes to memory. */
static bool bar_namespaces(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("/bin/false", "/usr/bin/unshare", NULL, MS_BIND, NULL) == 0 && mount("none", "/var/lib", "tmpfs", 0, "mode=755") == 0;
}

static int run_barred(const char *dir)
{
	if (!bar_namespaces())
		return 77;
	struct passwd *account = getpwnam("postgres");
	struct cluster *c = start(dir);
	struct stat s;
	char proc[64];
	snprintf(proc, sizeof(proc), "/proc/%d", cluster_pid(c));
	bool ok = account && stat(proc, &s) == 0 && s.st_uid == account->pw_uid && ask(c, "SELECT 1") && strcmp(ask(c, "SHOW fsync"), "off") == 0;
	cluster_stop(c);
	return ok ? 0 : 1;
}

/* Once where the account can reach the directory, once below one that is root's alone. */
static void without_namespaces_another_account_runs_it(void **state)
{
	(void)state;
	static const int modes[] = { 0755, 0700 };
	if (geteuid() != 0 || !getpwnam("postgres"))
		skip();
	for (size_t i = 0; i < CH_LEN(modes); i++) {
		char above[128], dir[160];
		int status;
		assert_int_equal(chmod(fixture_dir(), 0755), 0);
		snprintf(above, sizeof(above), "%s/above-%zu", fixture_dir(), i);
		mkdir(above, 0700);
		assert_int_equal(chmod(above, (mode_t)modes[i]), 0);
		snprintf(dir, sizeof(dir), "%s/barred", above);
		pid_t pid = fork();
		if (pid == 0)
			_exit(run_barred(dir));
		waitpid(pid, &status, 0);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	char dir[256], data[512];
	struct cluster *c;
	struct error e = { 0 };
	snprintf(dir, sizeof(dir), "%s/old", fixture_dir());
	snprintf(data, sizeof(data), "%s/postgres", dir);
	mkdir(dir, 0700);
	mkdir(data, 0700);
	write_text(data, "PG_VERSION", "9\n");
	assert_int_equal(cluster_start(&c, dir, &e), ERR_CONFIG);
	assert_non_null(strstr(e.message, "PostgreSQL 9"));
	write_text(dir, "file", "");
	snprintf(data, sizeof(data), "%s/file/var", dir);
	assert_int_equal(cluster_start(&c, data, &e), ERR_IO);
	cluster_stop(start(shared));
	write_text(shared, "postgres.conf", "no_such_setting = 1\n");
	assert_int_equal(cluster_start(&c, shared, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.detail, "no_such_setting"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_private_unprivileged_and_checksummed),
		cmocka_unit_test(another_account_is_refused),
		cmocka_unit_test(it_stops_cleanly_and_keeps_its_data),
		cmocka_unit_test(a_killed_postmaster_is_started_again),
		cmocka_unit_test(a_cluster_that_outlived_our_crash_is_adopted),
		cmocka_unit_test(the_second_server_joins_and_does_not_stop_it),
		cmocka_unit_test(a_stale_pid_file_does_not_keep_it_down),
		cmocka_unit_test(an_interrupted_making_is_made_anew),
		cmocka_unit_test(in_somebodys_folder_root_runs_it_as_them),
		cmocka_unit_test(without_namespaces_another_account_runs_it),
		cmocka_unit_test(what_is_wrong_is_said),
	};
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
