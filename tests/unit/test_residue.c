/* Nothing of what was deleted lies about in plain text: the database's raw files with its write-ahead log and its server's log, the keys database (the same files), our own log, and
 * the folder of releases, all read byte by byte, and through gzip. */
#include "erasure_world.h"

#include "commonhold/config.h"
#include "commonhold/log.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define CONTENT "Zaunkoenig-b1f7 sang in the hedge"
#define CIRCUMSTANCE "Eisvogel-c290"
#define PREFERENCE "Rotkehlchen-5d"
#define REASON "Blaumeise-e8a4"

/* ---- Looking ---- */

#define CHUNK 65536
#define NEEDLE_MAX 128

static const char *needle;
static int64_t hits, files, bytes;
static char first_hit[300];

/* gzopen reads what is not compressed as it is. */
static int look_into(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	static char buffer[NEEDLE_MAX + CHUNK];
	size_t n = strlen(needle), kept = 0;
	(void)st;
	(void)at;
	gzFile f = kind == FTW_F ? gzopen(path, "rb") : NULL;
	if (!f)
		return 0;
	files++;
	for (int got; (got = gzread(f, buffer + kept, CHUNK)) > 0;) {
		size_t have = kept + (size_t)got;
		bytes += got;
		if (memmem(buffer, have, needle, n)) {
			if (hits++ == 0)
				snprintf(first_hit, sizeof(first_hit), "%s", path);
			break;
		}
		kept = have < n ? have : n - 1;
		memmove(buffer, buffer + have - kept, kept);
	}
	gzclose_r(f);
	return 0;
}

/* Files below a folder that hold the text. */
static int64_t found(const char *dir, const char *text)
{
	needle = text;
	hits = files = bytes = 0;
	first_hit[0] = 0;
	assert_true(strlen(text) < NEEDLE_MAX);
	assert_int_equal(nftw(dir, look_into, 16, FTW_PHYS), 0);
	return hits;
}

static void assert_nowhere(const char *dir, const char *text)
{
	if (found(dir, text))
		fail_msg("\"%s\" stands in %lld files, the first is %s", text, (long long)hits, first_hit);
	assert_true(files > 5 && bytes > 1000);
}

static const char *below(struct world *w, const char *name)
{
	return str_z(w->system->arena, str_fmt(w->system->arena, "%s/%s", fixture_dir(), name));
}

/* All that is in memory, onto the disk. */
static void settle(void)
{
	fixture_sql("CHECKPOINT");
}

/* Our own log, as the server writes it, is one of the files. */
static int standard_error = -1;

static void log_begin(struct world *w)
{
	int to = open(below(w, "server.log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	standard_error = dup(2);
	assert_true(to >= 0 && standard_error >= 0 && dup2(to, 2) == 2);
	close(to);
	log_configure(LOG_DEBUG, true);
}

static void log_end(void)
{
	log_configure(LOG_ERROR, true);
	assert_int_equal(dup2(standard_error, 2), 2);
	close(standard_error);
}

/* ---- The test ---- */

static struct uuid contribute_canaries(struct world *w, int member)
{
	struct call *c = by(w, member);
	struct receipt r;
	struct contribution item;
	assert_ok(c, pool_submit(c, w->coop, json_of(c, "{\"kind\":\"example\",\"lang\":\"en\",\"application\":\"" CIRCUMSTANCE "\",\"ai_preferences\":\"search=y, x=" PREFERENCE "\","
		"\"content\":{\"input\":\"" CONTENT "\",\"output\":\"An answer.\"}}"), &r));
	assert_ok(by(w, 0), pool_moderate(by(w, 0), w->coop, r.id, false, STR("It speaks of " REASON), &item));
	assert_ok(by(w, 0), pool_moderate(by(w, 0), w->coop, r.id, true, STR_NONE, &item));
	return r.id;
}

static void carry_to_the_end(struct world *w, struct uuid id)
{
	for (int i = 0; i < 60 && state_of(w, id) < ERASURE_PURGED; i++)
		erasure_until(w, clock_now() + 10 * CLOCK_MINUTE);
	assert_true(state_of(w, id) == ERASURE_PURGED || state_of(w, id) == ERASURE_PROPAGATING || state_of(w, id) == ERASURE_COMPLETED);
}

static void no_file_holds_what_was_deleted(void **state)
{
	static const char *const sealed[] = { CONTENT, CIRCUMSTANCE, PREFERENCE, REASON };
	struct world w;
	(void)state;
	world_make(&w, NULL);
	log_begin(&w);
	for (int i = 3; i < 7; i++) {
		world_say(&w, i, "allow");
		world_contribute(&w, i, i == 3 ? "one that stays" : i == 4 ? "another" : i == 5 ? "a third" : "a fourth");
	}
	struct uuid gone = contribute_canaries(&w, 6);
	struct uuid release = world_release(&w).id;
	world_until(&w, WORLD_CUTOFF);
	world_publish(&w, release);
	assert_int_equal(world_outcome(&w, release, gone, NULL), POLICY_INCLUDE);
	settle();
	log_end();
	/* The search finds what stands in the open: in the database, and in a release through its compression. */
	const char *cluster = below(&w, "var/postgres"), *releases = config()->releases_dir;
	assert_true(found(cluster, "Test co-op") > 0);
	assert_true(found(below(&w, "var/postgres/pg_wal"), "Test co-op") > 0);
	assert_int_equal(found(releases, CONTENT), 1);
	/* What was contributed was never written as it is, not even before it was deleted. */
	for (size_t i = 0; i < CH_LEN(sealed); i++)
		assert_nowhere(cluster, sealed[i]);
	log_begin(&w);
	struct erasure e = ask(&w, 6, ERASURE_ERASE, &gone, 1);
	carry_to_the_end(&w, e.id);
	/* backups of before are gone, by their own clock */
	erasure_until(&w, pool_backups_until(clock_now()).content + CLOCK_DAY);
	fixture_sql("VACUUM");
	settle();
	log_end();
	assert_true(found(below(&w, "server.log"), "release.published") > 0);
	for (size_t i = 0; i < CH_LEN(sealed); i++)
		assert_nowhere(fixture_dir(), sealed[i]); /* cluster, logs and releases are all below it */
	assert_true(found(releases, "another") > 0);
	assert_true(found(cluster, "Test co-op") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { fixture_test(no_file_holds_what_was_deleted) };
	return fixture_run(tests, CH_LEN(tests));
}
