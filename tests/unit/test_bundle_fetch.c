/* Getting bundles from a partner who means harm: endlessly, elsewhere, slowly, too much. Each run ends in bounded time, leaves the disk as it was, and the admins see why. */
#include "bundle_forge.h"
#include "merge_world.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/job.h"
#include "commonhold/merge.h"
#include "server/merge/bundle/bundle_internal.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum doing { HONEST, LIST_ENDLESS, LIST_REDIRECTED, LIST_LIES, SIGNS_NOTHING, FILE_ENDLESS, FILE_REDIRECTED, FILE_TRICKLES, HEAD_TRICKLES };

/* The partner's instance. */
static struct {
	int socket, port;
	pthread_t thread;
	_Atomic enum doing fault;
	_Atomic int asked, files;    /* requests; of them, answered with a file's bytes */
	char dir[4][400];            /* bundles 1, 2, 3 */
} partner;
static struct merge_world m;

static bool put(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

/* Goes on until the other side has had enough. */
static void endless(int fd)
{
	static const char filler[65536];
	const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
	for (bool more = put(fd, head, sizeof(head) - 1); more;)
		more = put(fd, filler, sizeof(filler));
}

static void trickle(int fd, bool head_too)
{
	const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
	bool more = head_too ? put(fd, "HTTP/1.1 200 OK\r\nX: ", 20) : put(fd, head, sizeof(head) - 1);
	while (more) {
		usleep(10 * 1000);
		more = put(fd, head_too ? "H" : " ", 1);
	}
}

static void whole(int fd, const char *text, size_t n)
{
	char head[200];
	int size = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", n);
	if (put(fd, head, (size_t)size))
		put(fd, text, n);
}

static void redirect(int fd)
{
	const char text[] = "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://127.0.0.1:9/elsewhere\r\nContent-Length: 0\r\n\r\n";
	put(fd, text, sizeof(text) - 1);
}

static void list(int fd, long after)
{
	char text[1000] = "{\"items\":[";
	size_t n = strlen(text);
	for (long seq = after + 1; seq < 4; seq++)
		if (partner.dir[seq][0])
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"seq\":%ld,\"state\":\"ready\"}", text[n - 1] == '[' ? "" : ",", seq);
	if (partner.fault == LIST_LIES)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"seq\":%ld,\"state\":\"ready\"}", text[n - 1] == '[' ? "" : ",", after + 7);
	snprintf(text + n, sizeof(text) - n, "]}");
	if (partner.fault == LIST_ENDLESS)
		endless(fd);
	else if (partner.fault == LIST_REDIRECTED)
		redirect(fd);
	else if (partner.fault == HEAD_TRICKLES)
		trickle(fd, true);
	else
		whole(fd, text, strlen(text));
}

static void file(int fd, long seq, const char *name)
{
	static char bytes[4 << 20];
	char path[600];
	snprintf(path, sizeof(path), "%s/%s", partner.dir[seq < 4 && partner.dir[seq][0] ? seq : 1], name);
	bool large = strstr(name, ".zst") != NULL;
	int from = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = from >= 0 ? read(from, bytes, sizeof(bytes)) : 0;
	if (from >= 0)
		close(from);
	char *counts = partner.fault == SIGNS_NOTHING && strcmp(name, "bundle.json") == 0 && n > 0 ? memmem(bytes, (size_t)n, "\"counts\"", 8) : NULL;
	if (counts)
		counts[1] = 'k'; /* other than what is signed */
	partner.files++;
	if (large && partner.fault == FILE_ENDLESS)
		endless(fd);
	else if (large && partner.fault == FILE_REDIRECTED)
		redirect(fd);
	else if (large && partner.fault == FILE_TRICKLES)
		trickle(fd, false);
	else
		whole(fd, bytes, n > 0 ? (size_t)n : 0);
}

static void *serve(void *arg)
{
	int fd;
	while ((fd = accept(partner.socket, NULL, NULL)) >= 0) {
		char text[20000], name[100] = "";
		long seq = 0, after = 0;
		size_t n = 0;
		ssize_t got;
		while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0) {
			n += (size_t)got;
			text[n] = '\0';
			if (strstr(text, "\r\n\r\n"))
				break;
		}
		text[n] = '\0';
		partner.asked++;
		const char *at = strstr(text, "/bundles");
		if (at && sscanf(at, "/bundles?after=%ld", &after) == 1)
			list(fd, after);
		else if (at && sscanf(at, "/bundles/%ld/%99[a-z0-9.-]", &seq, name) == 2)
			file(fd, seq, name);
		close(fd);
	}
	return arg;
}

static void make(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	assert_true(fetch_start());
	merge_world_make(&m, NULL);
	forger.call = m.w.system;
	forger.sender = m.w.coop;
	for (int i = 0; i < 3; i++)
		world_say(&m.w, i, "allow");
	memset(&partner, 0, sizeof(partner));
	partner.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(partner.socket, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(partner.socket, 8), 0);
	assert_int_equal(getsockname(partner.socket, (struct sockaddr *)&at, &size), 0);
	partner.port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&partner.thread, NULL, serve, NULL), 0);
	struct str other = uuid_format(m.w.system->arena, m.other);
	fixture_sql(str_fmt(m.w.system->arena, "UPDATE peer SET here = NULL, url = 'http://127.0.0.1:%d' WHERE coop_id = '%.*s'", partner.port, STR_ARG(other)).p);
}

static void end(void)
{
	bundle_fetch_limits_use(NULL);
	shutdown(partner.socket, SHUT_RDWR);
	pthread_join(partner.thread, NULL);
	close(partner.socket);
}

static void write_next(int seq, const char *what)
{
	struct call *c = m.w.system;
	struct bundle_report r;
	const struct bundle_how how = { .whole = false };
	world_contribute(&m.w, 0, what);
	assert_ok(c, bundle_write(c, m.w.coop, m.agreement, &how, &r));
	assert_int_equal(r.seq, seq);
	snprintf(partner.dir[seq], sizeof(partner.dir[seq]), "%.*s", STR_ARG(r.dir));
}

static enum err get(void)
{
	struct call *c = m.w.system;
	const struct json *args;
	struct str coop = uuid_format(c->arena, m.other), id = uuid_format(c->arena, m.agreement);
	error_clear(&c->error);
	assert_ok(c, json_parse(c->arena, str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"coop\":\"%.*s\"}", STR_ARG(id), STR_ARG(coop)), &args, &c->error));
	enum err said = bundle_fetch_job(c, args);
	db_rollback(c);
	c->coop = (struct uuid){ { 0 } };
	return said;
}

static int64_t refused(const char *code)
{
	char sql[200];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM refusal WHERE code = '%s' AND peer_id IS NOT NULL", code);
	return fixture_int(sql);
}

static int64_t applied(void)
{
	return fixture_int("SELECT count(*) FROM merge_applied");
}

/* Bytes that lie in the folder of what is being got. */
static int64_t on_disk(int64_t seq)
{
	struct call *c = m.w.system;
	struct str coop = uuid_format(c->arena, m.other), id = uuid_format(c->arena, m.agreement);
	const char *dir = str_fmt(c->arena, "%s/bundles-in/%.*s/%.*s/%08lld", config()->dir, STR_ARG(coop), STR_ARG(id), (long long)seq).p;
	int64_t sum = 0;
	DIR *d = opendir(dir);
	for (struct dirent *entry; d && (entry = readdir(d));) {
		struct stat st;
		if (entry->d_name[0] != '.' && fstatat(dirfd(d), entry->d_name, &st, 0) == 0)
			sum += st.st_size;
	}
	if (d)
		closedir(d);
	return sum;
}

static struct bundle_fetch_limits quick(void)
{
	return (struct bundle_fetch_limits){ .least_speed = 1 << 20, .slow_seconds = 1, .pace = 1 << 20, .run_ms = 60000, .total = 1 << 30, .room = 0, .bundles = 100 };
}

static void what_an_honest_partner_has_is_got_and_applied(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	write_next(2, "second");
	assert_ok(m.w.system, get());
	assert_int_equal(applied(), 2);
	assert_int_equal(on_disk(2), 0);
	end();
}

static void endless_answers_and_redirects_end_at_once_and_are_seen(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	partner.fault = LIST_ENDLESS;
	assert_ok(m.w.system, get());
	assert_int_equal(refused("too_large"), 1);
	partner.fault = LIST_REDIRECTED;
	assert_ok(m.w.system, get());
	partner.fault = FILE_REDIRECTED;
	assert_ok(m.w.system, get());
	assert_int_equal(refused("partner_refuses"), 1);
	partner.fault = FILE_ENDLESS;
	int64_t before = on_disk(1);
	assert_ok(m.w.system, get());
	struct stat st;
	int64_t sum = 0;
	DIR *d = opendir(partner.dir[1]);
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_name[0] != '.' && fstatat(dirfd(d), entry->d_name, &st, 0) == 0)
			sum += st.st_size;
	closedir(d);
	assert_true(on_disk(1) <= sum && before <= sum); /* never more than was announced and signed */
	assert_int_equal(applied(), 0);
	partner.fault = HONEST;
	assert_ok(m.w.system, get());
	assert_int_equal(applied(), 1);
	end();
}

static void a_number_that_leads_to_another_bundle_is_not_asked_for_again_and_again(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	assert_ok(m.w.system, get());
	partner.fault = LIST_LIES;
	int asked = partner.asked;
	assert_ok(m.w.system, get());
	assert_true(partner.asked - asked <= 4);
	assert_int_equal(refused("gap"), 1);
	assert_int_equal(applied(), 1);
	end();
}

static void nothing_large_is_asked_for_before_it_is_known_who_signed_it(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	partner.fault = SIGNS_NOTHING;
	assert_ok(m.w.system, get());
	assert_int_equal(partner.files, 2); /* bundle.json and its signature */
	assert_int_equal(refused("signature"), 1);
	assert_int_equal(on_disk(1), 0);
	assert_int_equal(applied(), 0);
	/* and a peer that nobody has confirmed is not asked at all */
	partner.fault = HONEST;
	int asked = partner.asked;
	fixture_sql("UPDATE peer SET state = 'suspect'");
	assert_ok(m.w.system, get());
	assert_int_equal(partner.asked, asked);
	fixture_sql("UPDATE peer SET state = 'confirmed'");
	assert_ok(m.w.system, get());
	assert_int_equal(applied(), 1);
	end();
}

/* One folder of what is under way: ever other numbers that are never finished fill no disk. */
static void what_was_begun_of_another_number_goes(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	write_next(2, "second");
	struct bundle_fetch_limits l = quick();
	bundle_fetch_limits_use(&l);
	partner.fault = FILE_TRICKLES;
	assert_int_equal(get(), ERR_TIMEOUT);
	assert_true(on_disk(1) > 0);
	partner.dir[1][0] = '\0';
	assert_int_equal(get(), ERR_TIMEOUT);
	assert_int_equal(on_disk(1), 0);
	assert_true(on_disk(2) > 0);
	end();
}

static void a_bundle_that_is_too_much_is_not_begun(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	struct bundle_fetch_limits l = quick();
	l.total = 100;
	bundle_fetch_limits_use(&l);
	assert_ok(m.w.system, get());
	assert_int_equal(partner.files, 2); /* bundle.json and its signature */
	assert_int_equal(refused("too_large"), 1);
	assert_int_equal(on_disk(1), 0);
	/* nor where the disk has no room for it */
	l = quick();
	l.room = INT64_MAX / 2;
	bundle_fetch_limits_use(&l);
	assert_int_equal(get(), ERR_UNAVAILABLE);
	assert_string_equal(m.w.system->error.reason, "no_room");
	assert_int_equal(on_disk(1), 0);
	assert_int_equal(applied(), 0);
	end();
}

static void a_partner_that_trickles_is_left_and_what_came_is_kept(void **state)
{
	(void)state;
	make();
	write_next(1, "first");
	struct bundle_fetch_limits l = quick();
	bundle_fetch_limits_use(&l);
	partner.fault = HEAD_TRICKLES;
	assert_int_equal(get(), ERR_TIMEOUT);
	assert_int_equal(refused("too_slow"), 1); /* the admins see it */
	partner.fault = FILE_TRICKLES;
	assert_int_equal(get(), ERR_TIMEOUT);
	assert_int_equal(refused("too_slow"), 1);
	assert_int_equal(applied(), 0);
	/* fast enough for a second, and too long in all: the run is over and goes on another time */
	l.least_speed = 1;
	l.run_ms = 300;
	bundle_fetch_limits_use(&l);
	fixture_sql("DELETE FROM job");
	assert_ok(m.w.system, get());
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'merge.fetch'"), 1);
	bundle_fetch_limits_use(NULL);
	partner.fault = HONEST;
	assert_ok(m.w.system, get());
	assert_int_equal(applied(), 1);
	end();
}

static void so_many_bundles_are_got_in_one_run_and_the_rest_in_the_next(void **state)
{
	(void)state;
	make();
	for (int i = 1; i < 4; i++)
		write_next(i, i == 1 ? "first" : i == 2 ? "second" : "third");
	struct bundle_fetch_limits l = quick();
	l.bundles = 2;
	bundle_fetch_limits_use(&l);
	fixture_sql("DELETE FROM job");
	assert_ok(m.w.system, get());
	assert_int_equal(applied(), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'merge.fetch'"), 1);
	assert_ok(m.w.system, get());
	assert_int_equal(applied(), 3);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_an_honest_partner_has_is_got_and_applied),
		fixture_test(endless_answers_and_redirects_end_at_once_and_are_seen),
		fixture_test(a_number_that_leads_to_another_bundle_is_not_asked_for_again_and_again),
		fixture_test(nothing_large_is_asked_for_before_it_is_known_who_signed_it),
		fixture_test(what_was_begun_of_another_number_goes),
		fixture_test(a_bundle_that_is_too_much_is_not_begun),
		fixture_test(a_partner_that_trickles_is_left_and_what_came_is_kept),
		fixture_test(so_many_bundles_are_got_in_one_run_and_the_rest_in_the_next),
	};
	return fixture_run(tests, CH_LEN(tests));
}
