#include "cluster.h"
#include "process.h"
#include "commonhold/crypto.h"
#include "commonhold/file.h"
#include "commonhold/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define APART_FOLDER "/var/lib/commonhold" /* data that its account could not reach where it was asked for */
#define POSTGRES_FOLDER "/usr/lib/postgresql"
#define SOCKET_NAME_ROOM 20 /* "/.s.PGSQL.5432.lock" and its NUL; the whole path has at most 107 bytes */

static const char install_hint[] = "Install it with: apt-get install postgresql-15 (make deps does so).";

static bool is_dir(const char *path)
{
	struct stat s;
	return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* mkdir -p: every missing part, ours alone. */
static enum err make_dirs(const char *path, struct error *e)
{
	char part[PATH_MAX];
	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdir(part, 0700) != 0 && errno != EEXIST && !is_dir(part))
			return error_set(e, ERR_IO, "The directory %s cannot be made: %s.", part, strerror(errno));
	}
	return ERR_OK;
}

static enum err find_dir(struct cluster *c, const char *dir, struct error *e)
{
	char absolute[PATH_MAX] = "", here[PATH_MAX];
	if (dir[0] != '/' && !getcwd(here, sizeof(here)))
		return error_set(e, ERR_IO, "The current directory is not known: %s.", strerror(errno));
	int n = dir[0] == '/' ? snprintf(absolute, sizeof(absolute), "%s", dir) : snprintf(absolute, sizeof(absolute), "%s/%s", here, dir);
	if (n < 0 || (size_t)n >= sizeof(absolute))
		return error_set(e, ERR_CONFIG, "The path of the data directory is too long.");
	TRY(make_dirs(absolute, e));
	if (!realpath(absolute, c->dir))
		return error_set(e, ERR_IO, "The directory %s cannot be used: %s.", absolute, strerror(errno));
	snprintf(c->data, sizeof(c->data), "%s/postgres", c->dir);
	char apart[PATH_MAX];
	if (realpath(c->data, apart))
		snprintf(c->data, sizeof(c->data), "%s", apart);
	snprintf(c->log, sizeof(c->log), "%s/postgres.log", c->dir);
	return ERR_OK;
}

/* The version that made the data, or 0. */
static int64_t data_version(const struct cluster *c)
{
	char path[PATH_MAX + 32], text[16] = "";
	snprintf(path, sizeof(path), "%s/PG_VERSION", c->data);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	int64_t version = 0;
	return n > 0 && str_to_i64(str_trim(str_make(text, (size_t)n)), 1, 999, &version) ? version : 0;
}

/* The programs of the data's version, or of the newest installed. */
static enum err find_programs(struct cluster *c, struct error *e)
{
	int64_t wanted = data_version(c), best = 0, version;
	DIR *folder = opendir(POSTGRES_FOLDER);
	for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), POSTGRES_FOLDER "/%s/bin/initdb", entry->d_name);
		if (str_to_i64(str_of(entry->d_name), 1, 999, &version) && access(path, X_OK) == 0 && (wanted ? version == wanted : version > best))
			best = version;
	}
	if (folder)
		closedir(folder);
	if (wanted && !best)
		return error_hint(e, ERR_CONFIG, install_hint, "The data in %s needs PostgreSQL %lld, which is not installed.", c->data, (long long)wanted);
	if (!best)
		return error_hint(e, ERR_CONFIG, install_hint, "PostgreSQL is not installed.");
	snprintf(c->bin, sizeof(c->bin), POSTGRES_FOLDER "/%lld/bin", (long long)best);
	return ERR_OK;
}

static void wrap(struct cluster *c, const char *program, const char *user, const char *group)
{
	snprintf(c->prefix[0], sizeof(c->prefix[0]), "%s", program);
	snprintf(c->prefix[1], sizeof(c->prefix[1]), "%s=%u", user, (unsigned)c->uid);
	snprintf(c->prefix[2], sizeof(c->prefix[2]), "%s=%u", group, (unsigned)c->gid);
}

static bool name_of(uid_t uid, char out[64])
{
	struct passwd entry, *found = NULL;
	char memory[4096];
	if (getpwuid_r(uid, &entry, memory, sizeof(memory), &found) != 0 || !found)
		return false;
	snprintf(out, 64, "%s", entry.pw_name);
	return true;
}

static bool account(const char *name, uid_t *uid, gid_t *gid)
{
	struct passwd entry, *found = NULL;
	char memory[4096];
	if (getpwnam_r(name, &entry, memory, sizeof(memory), &found) != 0 || !found)
		return false;
	*uid = entry.pw_uid;
	*gid = entry.pw_gid;
	return true;
}

static bool namespaces_work(struct cluster *c)
{
	const char *argv[CLUSTER_ARGS];
	static const char *const nothing[] = { "true", NULL };
	struct error ignored = { 0 };
	int status;
	cluster_command(c, argv, nothing);
	return process_run(argv, NULL, &status, &ignored) == ERR_OK && status == 0;
}

/* Root in a directory of somebody's: that somebody runs it, since only they (and real root) get there. */
static bool belongs_to_other(struct cluster *c)
{
	struct stat s;
	if (stat(c->data, &s) != 0 && stat(c->dir, &s) != 0)
		return false;
	if (s.st_uid == 0) {
		char parent[PATH_MAX + 4];
		snprintf(parent, sizeof(parent), "%s/..", c->dir);
		if (is_dir(c->data) || stat(parent, &s) != 0)
			return false;
	}
	char name[64];
	c->uid = s.st_uid;
	c->gid = s.st_gid;
	return s.st_uid != 0 && name_of(s.st_uid, name);
}

static enum err give_away(const struct cluster *c, const char *path, struct error *e)
{
	return lchown(path, c->uid, c->gid) == 0 ? ERR_OK : error_set(e, ERR_IO, "%s cannot be given to another account: %s.", path, strerror(errno));
}

static bool account_reaches(struct cluster *c, const char *path)
{
	const char *argv[CLUSTER_ARGS];
	const char *const test[] = { "test", "-x", path, NULL };
	struct error ignored = { 0 };
	int status;
	cluster_command(c, argv, test);
	return process_run(argv, NULL, &status, &ignored) == ERR_OK && status == 0;
}

static void digest_of_dir(const struct cluster *c, char out[17])
{
	struct sha256 h = sha256(str_of(c->dir));
	for (size_t i = 0; i < 8; i++)
		snprintf(out + 2 * i, 3, "%02x", h.b[i]);
}

/* Below root's own home, say, no other account can work: the data then lies apart, and a link shows where. */
static enum err put_apart(struct cluster *c, struct error *e)
{
	char link[PATH_MAX + 16], folder[64], digest[17];
	struct stat s;
	digest_of_dir(c, digest);
	snprintf(folder, sizeof(folder), APART_FOLDER "/%s", digest);
	snprintf(link, sizeof(link), "%s/postgres", c->dir);
	if (lstat(link, &s) == 0 && !S_ISLNK(s.st_mode))
		return error_hint(e, ERR_CONFIG, "Move the data directory to a place that the account postgres can reach, or allow user namespaces.",
			"PostgreSQL may not run as root, and the account postgres cannot reach %s.", c->dir);
	TRY(make_dirs(folder, e));
	if (chmod(APART_FOLDER, 0711) != 0 || chmod(folder, 0711) != 0)
		return error_set(e, ERR_IO, "%s cannot be opened to the account postgres: %s.", folder, strerror(errno));
	snprintf(c->data, sizeof(c->data), "%s/postgres", folder);
	unlink(link);
	if (symlink(c->data, link) != 0)
		return error_set(e, ERR_IO, "%s cannot be made: %s.", link, strerror(errno));
	log_event(LOG_WARN, "cluster.data_apart", LOG_Z("data", c->data));
	return ERR_OK;
}

/* Where it goes when user namespaces are not to be had, as in many containers: another account, which must be able to get to the data. */
static enum err find_place_for_account(struct cluster *c, bool somebodys, struct error *e)
{
	c->as = AS_OTHER;
	wrap(c, "setpriv", "--reuid", "--regid");
	if (somebodys)
		return data_version(c) ? ERR_OK : give_away(c, c->dir, e);
	if (chmod(c->dir, 0711) != 0)
		return error_set(e, ERR_IO, "%s cannot be opened to the account postgres: %s.", c->dir, strerror(errno));
	return account_reaches(c, c->dir) ? ERR_OK : put_apart(c, e);
}

static enum err find_account(struct cluster *c, struct error *e)
{
	c->as = AS_OURSELVES;
	if (geteuid() != 0) {
		if (!name_of(geteuid(), c->peer))
			return error_hint(e, ERR_CONFIG, "Add it to /etc/passwd.", "The account number %u has no name, which PostgreSQL needs.", (unsigned)geteuid());
		return ERR_OK;
	}
	snprintf(c->peer, sizeof(c->peer), "root");
	bool other = belongs_to_other(c);
	if (!other && !account("postgres", &c->uid, &c->gid))
		return error_hint(e, ERR_CONFIG, install_hint, "There is no account postgres to run PostgreSQL as.");
	if (!other) {
		c->as = AS_MAPPED;
		wrap(c, "unshare", "--map-user", "--map-group");
		if (namespaces_work(c)) {
			snprintf(c->peer, sizeof(c->peer), "postgres");
			return ERR_OK;
		}
	}
	return find_place_for_account(c, other, e);
}

void cluster_command(const struct cluster *c, const char **argv, const char *const *command)
{
	size_t n = 0;
	if (c->as != AS_OURSELVES) {
		argv[n++] = c->prefix[0];
		argv[n++] = c->as == AS_MAPPED ? "--user" : "--clear-groups";
		argv[n++] = c->prefix[1];
		argv[n++] = c->prefix[2];
	}
	for (size_t i = 0; command[i] && n < CLUSTER_ARGS - 1; i++)
		argv[n++] = command[i];
	argv[n] = NULL;
}

static bool path_is_plain(const char *path)
{
	return path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")] == '\0';
}

/* A directory under one that others may write to must be made by us, and be nobody else's. */
static enum err make_private_dir(const struct cluster *c, const char *path, struct error *e)
{
	struct stat s;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return error_set(e, ERR_IO, "The directory %s cannot be made: %s.", path, strerror(errno));
	uid_t owner = c->as == AS_OTHER ? c->uid : geteuid();
	if (c->as == AS_OTHER && lstat(path, &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid())
		TRY(give_away(c, path, e));
	if (lstat(path, &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != owner || (s.st_mode & 077) != 0)
		return error_hint(e, ERR_CONFIG, "Remove it and start again.", "The directory %s is not ours alone.", path);
	return ERR_OK;
}

/* Beside the data where the path is short and plain enough for a socket's address, else in the runtime directory, named by a digest. */
static enum err find_socket_dir(struct cluster *c, struct error *e)
{
	char path[PATH_MAX + 8];
	snprintf(path, sizeof(path), "%s/run", c->dir);
	if (strlen(path) + SOCKET_NAME_ROOM > sizeof(c->socket_dir) || !path_is_plain(path) || strncmp(c->data, c->dir, strlen(c->dir)) != 0) {
		const char *runtime = getenv("XDG_RUNTIME_DIR");
		char digest[17];
		digest_of_dir(c, digest);
		if (!runtime || runtime[0] != '/' || strlen(runtime) > 48 || !path_is_plain(runtime) || access(runtime, W_OK) != 0 || c->as == AS_OTHER)
			runtime = "/tmp";
		snprintf(path, sizeof(path), "%s/commonhold-%u-%s", runtime, (unsigned)geteuid(), digest);
	}
	TRY(make_private_dir(c, path, e));
	snprintf(c->socket_dir, sizeof(c->socket_dir), "%.*s", (int)sizeof(c->socket_dir) - 1, path);
	return ERR_OK;
}

void cluster_conninfo(const struct cluster *c, char *out, size_t n, const char *user, const char *database)
{
	snprintf(out, n, "host=%s user=%s dbname=%s", c->socket_dir, user, database);
}

enum err cluster_find(struct cluster *c, const char *dir, struct error *e)
{
	TRY(find_dir(c, dir, e));
	TRY(find_account(c, e));
	TRY(find_programs(c, e));
	TRY(find_socket_dir(c, e));
	cluster_conninfo(c, c->urls[0], sizeof(c->urls[0]), "commonhold", "commonhold");
	cluster_conninfo(c, c->urls[1], sizeof(c->urls[1]), "commonhold", "commonhold_keys");
	return ERR_OK;
}

void cluster_log_tail(const struct cluster *c, struct error *e)
{
	char tail[400];
	int fd = open(c->log, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(tail) - 1 ? end - ((off_t)sizeof(tail) - 1) : 0;
	ssize_t n = pread(fd, tail, sizeof(tail) - 1, from);
	close(fd);
	tail[n > 0 ? n : 0] = '\0';
	const char *start = from ? strchr(tail, '\n') : NULL;
	snprintf(e->detail, sizeof(e->detail), "%s", start ? start + 1 : tail);
}

static enum err run_checked(const struct cluster *c, const char *const *command, const char *failure, struct error *e)
{
	const char *argv[CLUSTER_ARGS];
	int status;
	cluster_command(c, argv, command);
	TRY(process_run(argv, c->log, &status, e));
	if (status == 0)
		return ERR_OK;
	enum err code = error_set(e, ERR_CONFIG, "%s (exit status %d); %s says more.", failure, status, c->log);
	cluster_log_tail(c, e);
	return code;
}

/* Replaces a file of the cluster's in one step, so that a start never reads half of one. */
static enum err write_file(const struct cluster *c, const char *path, const struct buf *text, struct error *e)
{
	char fresh[PATH_MAX + 80];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && file_write_all(fd, text->p, text->n);
	if (fd >= 0)
		ok &= close(fd) == 0;
	if (ok && c->as == AS_OTHER)
		TRY(give_away(c, fresh, e));
	if (ok && rename(fresh, path) == 0)
		return ERR_OK;
	return error_set(e, ERR_IO, "%s cannot be written: %s.", path, strerror(errno));
}

static enum err write_data_file(const struct cluster *c, const char *data, const char *name, const char *content, struct error *e)
{
	char path[PATH_MAX + 64];
	struct buf text;
	buf_init(&text, 64 * KIB);
	buf_add_z(&text, content);
	snprintf(path, sizeof(path), "%s/%s", data, name);
	enum err code = text.failed ? error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY)) : write_file(c, path, &text, e);
	buf_release(&text);
	return code;
}

/* What the log may say: never a statement's text or values, since those are people's. */
static const char settings[] =
	"# Written by commonhold when it made this cluster. Your own settings go into postgres.conf in the folder above; they win.\n"
	"max_connections = 60\n"
	"max_wal_size = 2GB\n"
	"wal_compression = on\n"
	"checkpoint_timeout = 15min\n"
	"jit = off\n"
	"random_page_cost = 1.1\n"
	"log_min_error_statement = panic\n"
	"log_error_verbosity = terse\n"
	"log_parameter_max_length_on_error = 0\n"
	"log_statement = none\n"
	"log_timezone = 'UTC'\n"
	"timezone = 'UTC'\n"
	"include_if_exists = '../postgres.conf'\n";

/* Into a folder beside the final one, which it becomes when everything is there: a crash in between leaves nothing that looks finished. */
enum err cluster_create(struct cluster *c, struct error *e)
{
	if (data_version(c))
		return ERR_OK;
	char fresh[PATH_MAX + 32];
	snprintf(fresh, sizeof(fresh), "%s.making", c->data);
	char program[PATH_MAX + 16];
	snprintf(program, sizeof(program), "%s/initdb", c->bin);
	const char *const remove[] = { "rm", "-rf", "--", fresh, NULL };
	const char *const initdb[] = { program, "-D", fresh, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject",
		"--data-checksums", "--no-instructions", NULL };
	int status;
	log_event(LOG_INFO, "cluster.making", LOG_Z("data", c->data));
	TRY(process_run(remove, NULL, &status, e));
	if (mkdir(fresh, 0700) != 0)
		return error_set(e, ERR_IO, "%s cannot be made: %s.", fresh, strerror(errno));
	if (c->as == AS_OTHER)
		TRY(give_away(c, fresh, e));
	TRY(run_checked(c, initdb, "PostgreSQL could not make its data directory", e));
	TRY(write_data_file(c, fresh, "postgresql.conf", settings, e));
	return rename(fresh, c->data) == 0 ? ERR_OK : error_set(e, ERR_IO, "%s cannot be made: %s.", c->data, strerror(errno));
}

/* Another account cannot read what lies in our folder: the operator's settings are handed over, and data from a time when namespaces were to be had. */
static enum err hand_over(const struct cluster *c, struct error *e)
{
	char from[PATH_MAX + 16], to[PATH_MAX + 48], owner[48];
	struct stat s;
	int status;
	snprintf(owner, sizeof(owner), "%u:%u", (unsigned)c->uid, (unsigned)c->gid);
	const char *const chown_all[] = { "chown", "-R", "-h", owner, "--", c->data, NULL };
	if (stat(c->data, &s) == 0 && s.st_uid != c->uid)
		TRY(process_run(chown_all, c->log, &status, e));
	snprintf(from, sizeof(from), "%s/postgres.conf", c->dir);
	snprintf(to, sizeof(to), "%s/../postgres.conf", c->data);
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ERR_OK;
	struct buf text;
	buf_init(&text, 64 * KIB);
	char *room = buf_reserve(&text, 32 * KIB);
	ssize_t n = room ? read(fd, room, 32 * KIB) : -1;
	close(fd);
	text.n = n > 0 ? (size_t)n : 0;
	enum err code = n < 0 ? error_set(e, ERR_IO, "%s cannot be read.", from) : write_file(c, to, &text, e);
	buf_release(&text);
	return code;
}

enum err cluster_write_access(const struct cluster *c, struct error *e)
{
	char map[256];
	if (c->as == AS_OTHER)
		TRY(hand_over(c, e));
	snprintf(map, sizeof(map), "us \"%s\" commonhold\nus \"%s\" postgres\n", c->peer, c->peer);
	TRY(write_data_file(c, c->data, "pg_ident.conf", map, e));
	return write_data_file(c, c->data, "pg_hba.conf", "local all all peer map=us\n", e);
}

static const char roles[] =
	"DO $$ BEGIN"
	" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold') THEN CREATE ROLE commonhold LOGIN; END IF;"
	" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN CREATE ROLE commonhold_app NOLOGIN NOINHERIT; END IF;"
	" IF NOT pg_has_role('commonhold', 'commonhold_app', 'MEMBER') THEN GRANT commonhold_app TO commonhold; END IF;"
	" END $$";

static enum err admin_run(PGconn *pg, const char *sql, struct error *e)
{
	PGresult *r = PQexec(pg, sql);
	enum err code = ERR_OK;
	if (PQresultStatus(r) != PGRES_COMMAND_OK) {
		code = error_set(e, ERR_DB, "The private PostgreSQL could not be prepared.");
		snprintf(e->detail, sizeof(e->detail), "%s", PQerrorMessage(pg));
	}
	PQclear(r);
	return code;
}

/* CREATE DATABASE cannot stand in a block, so its existence is asked for first. */
static enum err database_make(PGconn *pg, const char *name, struct error *e)
{
	const char *values[] = { name };
	char sql[128];
	PGresult *r = PQexecParams(pg, "SELECT FROM pg_database WHERE datname = $1", 1, NULL, values, NULL, NULL, 0);
	bool exists = PQntuples(r) > 0;
	PQclear(r);
	if (exists)
		return ERR_OK;
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s OWNER commonhold TEMPLATE template0", name);
	return admin_run(pg, sql, e);
}

enum err cluster_make_databases(const struct cluster *c, struct error *e)
{
	char url[256];
	cluster_conninfo(c, url, sizeof(url), "postgres", "postgres");
	PGconn *pg = PQconnectdb(url);
	enum err code = ERR_OK;
	if (PQstatus(pg) != CONNECTION_OK) {
		code = error_set(e, ERR_DB, "The private PostgreSQL lets nobody in.");
		snprintf(e->detail, sizeof(e->detail), "%s", PQerrorMessage(pg));
	}
	if (code == ERR_OK)
		code = admin_run(pg, roles, e);
	if (code == ERR_OK)
		code = database_make(pg, "commonhold", e);
	if (code == ERR_OK)
		code = database_make(pg, "commonhold_keys", e);
	PQfinish(pg);
	return code;
}
