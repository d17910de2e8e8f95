/* The mirror tool against a co-op that the test makes up: honest first, then with every fault that we can think of. */
#include "mirror_world.h"

#include "commonhold/file.h"
#include "commonhold/json.h"
#include "commonhold/limits.h"
#include "commonhold/mirror.h"
#include "commonhold/verify.h"

#include "scratch.h"

#include <stdio.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <unistd.h>

#define ROWS 60
#define PER_SHARD 10

static struct world *w;
static struct arena *arena;
static char dir[64];
static struct mirror_sync_options options;
static struct mirror_sync_result result;
static struct error error;

static int set_up(void **state)
{
	(void)state;
	w = world_new(ROWS, PER_SHARD, 200);
	arena = arena_new(1024 * MIB);
	snprintf(dir, sizeof(dir), "/tmp/mirror-XXXXXX");
	if (!arena || !scratch_folder(dir))
		return -1;
	options = (struct mirror_sync_options){ .dir = dir, .url = world_url(w, arena), .key = w->key.public_key, .tries = 1, .patience_seconds = 1 };
	world_publish_version(w, "1.0.0", NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	w->fault = WORLD_HONEST;
	world_free(w);
	scratch_remove(dir);
	arena_free(arena);
	return 0;
}

/* ---- looking ---- */

static const char *at(const char *path)
{
	return str_fmt(arena, "%s/%s", dir, path).p;
}

static bool there(const char *path)
{
	struct stat st;
	return lstat(at(path), &st) == 0;
}

static struct str content(const char *path)
{
	struct str text;
	struct error e = { 0 };
	assert_int_equal(file_read(arena, "x", at(path), 64 * MIB, &text, &e), ERR_OK);
	return text;
}

static ino_t inode(const char *path)
{
	struct stat st;
	assert_int_equal(stat(at(path), &st), 0);
	return st.st_ino;
}

static void assert_current(const char *version)
{
	char to[64] = "";
	ssize_t n = readlink(at("current"), to, sizeof(to) - 1);
	if (!version) {
		assert_int_equal(n, -1);
		return;
	}
	assert_true(n > 0);
	assert_string_equal(to, version);
	struct verify_options o = { .public_key = w->key.public_key, .keys = w->keys.n ? &w->keys : NULL };
	struct verify_result r;
	struct error e = { 0 };
	assert_int_equal(verify_release(arena, at("current/."), &o, &r, &e), ERR_OK);
	assert_true(r.ok);
}

/* Nothing in the folder, not even what is hidden in it, holds the row. */
static const char *looked_for;
static int row_seen(const char *path, const struct stat *st, int type, struct FTW *where)
{
	char command[300];
	(void)st, (void)where;
	if (type != FTW_F || !strstr(path, ".gz"))
		return 0;
	snprintf(command, sizeof(command), "gunzip -c '%s' 2>/dev/null | grep -q '%s'", path, looked_for);
	return system(command) == 0;
}

static bool anywhere(int row)
{
	looked_for = str_z(arena, world_rid(w, arena, row));
	return nftw(dir, row_seen, 16, FTW_PHYS) != 0;
}

static enum err sync_now(void)
{
	return mirror_sync(arena, &options, &result, &error);
}

static void assert_synced(const char *version)
{
	enum err e = sync_now();
	if (e != ERR_OK)
		fail_msg("%s: %s", error.reason, error.message);
	assert_current(version);
}

static void assert_refused(const char *reason)
{
	enum err e = sync_now();
	assert_int_not_equal(e, ERR_OK);
	if (strcmp(error.reason, reason) != 0)
		fail_msg("\"%s\" instead of \"%s\": %s", error.reason, reason, error.message);
}

/* ---- keeping in step ---- */

static void the_first_time_a_version_comes_whole_and_the_second_time_nothing_does(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	assert_int_equal(result.how, MIRROR_SYNC_WHOLE);
	assert_true(result.downloaded > 1000);
	assert_int_equal(result.shards, ROWS / PER_SHARD);
	int asked = w->asked_files;
	assert_synced("1.0.0");
	assert_int_equal(result.how, MIRROR_SYNC_NOTHING);
	assert_int_equal(w->asked_files, asked);
	assert_true(there("status.json"));
}

static void a_redaction_is_applied_as_a_patch_without_downloading_shards(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	ino_t untouched = inode("1.0.0/data/chat/cc0-00003-of-00006.jsonl.gz");
	world_erase(w, (const int[]){ 12, 15, 59 }, 3);
	world_publish_version(w, "2.0.0", "1.0.0");
	w->fault = WORLD_FILE_GONE; /* shards are not to be had at all */
	assert_synced("2.0.0");
	assert_int_equal(result.how, MIRROR_SYNC_PATCH);
	assert_int_equal(result.patched, 2);
	assert_int_equal(result.rows_dropped, 3);
	assert_true(result.reused >= 4);
	assert_int_equal(inode("2.0.0/data/chat/cc0-00003-of-00006.jsonl.gz"), untouched);
	assert_int_equal(result.n_deleted, 1);
	assert_false(there("1.0.0"));
	assert_false(anywhere(12));
	assert_true(anywhere(13));
	assert_int_equal(result.upto, 2);
}

static void a_shard_of_which_nothing_is_left_vanishes(void **state)
{
	int rows[PER_SHARD];
	(void)state;
	for (int i = 0; i < PER_SHARD; i++)
		rows[i] = 20 + i;
	assert_synced("1.0.0");
	world_erase(w, rows, PER_SHARD);
	world_publish_version(w, "2.0.0", "1.0.0");
	assert_synced("2.0.0");
	assert_int_equal(result.how, MIRROR_SYNC_PATCH);
	assert_int_equal(result.rows_dropped, PER_SHARD);
	assert_false(there("2.0.0/data/chat/cc0-00002-of-00006.jsonl.gz"));
	assert_false(anywhere(21));
}

static void an_ordinary_release_takes_over_shards_that_did_not_change(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_publish_version(w, "1.1.0", NULL);
	int before = w->asked_bytes;
	assert_synced("1.1.0");
	assert_int_equal(result.how, MIRROR_SYNC_UPDATE);
	assert_true(result.reused >= ROWS / PER_SHARD);
	assert_true(w->asked_bytes - before < 60000);
	assert_true(there("1.0.0"));
	options.prune = true;
	world_publish_version(w, "1.2.0", NULL);
	assert_synced("1.2.0");
	assert_false(there("1.1.0"));
	assert_false(there("1.0.0"));
}

static void a_withdrawn_version_goes_although_there_is_no_other(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_withdraw(w, "1.0.0");
	assert_synced(NULL);
	assert_false(there("1.0.0"));
	assert_int_equal(result.n_deleted, 1);
	assert_false(anywhere(1));
}

static void what_did_not_change_is_kept_until_the_redaction_comes_and_what_was_erased_is_not(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 12 }, 1);
	assert_synced(NULL);
	assert_false(there("1.0.0"));
	assert_false(anywhere(12));
	assert_true(anywhere(13));
	world_publish_version(w, "2.0.0", "1.0.0");
	w->fault = WORLD_FILE_GONE;
	assert_synced("2.0.0");
	assert_int_equal(result.reused >= ROWS / PER_SHARD, 1);
	assert_false(there(".mirror/base/1.0.0"));
}

static void what_was_withdrawn_goes_although_the_new_one_cannot_be_had(void **state)
{
	static const enum world_fault faults[] = { WORLD_MANIFEST_OF_ANOTHER_KEY, WORLD_FILE_CHANGED, WORLD_FILE_CUT };
	(void)state;
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 12 }, 1);
	world_publish_version(w, "2.0.0", NULL); /* without a patch */
	w->fault_path = "README.md";
	for (size_t i = 0; i < CH_LEN(faults); i++) {
		w->fault = faults[i];
		assert_int_not_equal(sync_now(), ERR_OK);
		assert_false(there("1.0.0"));
		assert_current(NULL);
		assert_false(anywhere(12));
	}
	w->fault = WORLD_HONEST;
	assert_synced("2.0.0");
}

static void a_tombstone_withdraws_what_it_names_before_the_status_does(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_tombstone(w, 3, "erase", "1.0.0");
	assert_synced(NULL);
	assert_false(there("1.0.0"));
	assert_false(anywhere(3));
}

static void tombstones_that_purge_nothing_leave_versions_alone(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_tombstone(w, 3, "withdraw_future", "1.0.0");
	world_tombstone(w, 4, "embargo", "1.0.0");
	assert_synced("1.0.0");
	assert_int_equal(result.upto, 1);
}

static void a_patch_that_forgets_a_row_is_found_out(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 12 }, 1);
	world_tombstone(w, 40, "erase", "1.0.0"); /* its row stays in 2.0.0 */
	world_publish_version(w, "2.0.0", "1.0.0");
	assert_refused("verify");
	assert_false(there("1.0.0"));
	assert_false(anywhere(40));
	assert_current(NULL);
}

static void what_was_only_withdrawn_from_the_future_is_not_in_what_follows(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_tombstone(w, 3, "withdraw_future", "1.0.0");
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 12 }, 1);
	world_publish_version(w, "2.0.0", "1.0.0"); /* row 3 is still in it */
	assert_refused("verify");
	assert_current(NULL);
}

/* ---- lies ---- */

static void assert_untouched_after(enum world_fault fault, const char *reason)
{
	w->fault = fault;
	assert_refused(reason);
	w->fault = WORLD_HONEST;
	assert_current("1.0.0");
}

static void a_forged_expired_or_older_status_changes_nothing(void **state)
{
	(void)state;
	w->created = clock_now() - 2 * CLOCK_HOUR;
	world_keep_status(w);
	w->created = INSTANT_NONE;
	assert_synced("1.0.0");
	world_withdraw(w, "1.0.0");
	world_publish_version(w, "1.1.0", NULL);
	assert_untouched_after(WORLD_STATUS_FORGED, "forged");
	assert_untouched_after(WORLD_STATUS_EXPIRED, "expired");
	assert_untouched_after(WORLD_STATUS_FUTURE, "expired");
	assert_untouched_after(WORLD_STATUS_REPLAYED, "rollback");
	assert_untouched_after(WORLD_LOG_FORKED, "rollback");
	assert_synced("1.1.0");
}

static void a_log_that_went_back_is_refused(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	assert_untouched_after(WORLD_LOG_SHORTER, "rollback");
	assert_untouched_after(WORLD_LOG_FORKED, "rollback");
	assert_untouched_after(WORLD_VERSION_FORGOTTEN, "rollback");
}

static void what_was_withdrawn_stays_withdrawn(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_withdraw(w, "1.0.0");
	assert_synced(NULL);
	clock_shift(CLOCK_SECOND);
	w->fault = WORLD_WITHDRAWN_AGAIN_USABLE;
	assert_refused("rollback");
	assert_current(NULL);
}

static void forged_replayed_and_cut_feeds_change_nothing(void **state)
{
	static const struct { enum world_fault fault; const char *reason; } lies[] = {
		{ WORLD_FEED_FORGED, "forged" }, { WORLD_FEED_LINE_FORGED, "forged" }, { WORLD_FEED_TRUNCATED, "rollback" }, { WORLD_FEED_REPLAYED, "rollback" }, { WORLD_FEED_HEADLESS, "forged" },
		{ WORLD_FEED_REORDERED, "forged" }, { WORLD_FEED_OF_ANOTHER, "forged" }, { WORLD_FEED_ENDLESS_LINE, "forged" },
	};
	(void)state;
	world_tombstone(w, 1, "withdraw_future", "0.9.0");
	w->erased[1] = true;
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 12, 30, 31 }, 3);
	world_publish_version(w, "2.0.0", "1.0.0");
	for (size_t i = 0; i < CH_LEN(lies); i++)
		assert_untouched_after(lies[i].fault, lies[i].reason);
	assert_synced("2.0.0");
	assert_int_equal(result.upto, 3);
}

static void files_are_what_the_signed_manifest_says_or_nothing_comes(void **state)
{
	static const struct { enum world_fault fault; const char *reason; } lies[] = {
		{ WORLD_FILE_CHANGED, "lied" }, { WORLD_FILE_SHORT, "lied" }, { WORLD_FILE_ENDLESS, "too_large" }, { WORLD_FILE_SLOW, "too_slow" }, { WORLD_FILE_REDIRECTED, "unreachable" },
		{ WORLD_FILE_GONE, "gone" }, { WORLD_FILE_CUT, "cut_off" }, { WORLD_SUMS_CHANGED, "verify" }, { WORLD_MANIFEST_OF_ANOTHER_KEY, "forged" }, { WORLD_MANIFEST_CLIMBS, "lied" },
		{ WORLD_MANIFEST_ABSOLUTE, "lied" }, { WORLD_MANIFEST_HIDDEN, "lied" },
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(lies); i++) {
		w->fault = lies[i].fault;
		assert_refused(lies[i].reason);
		w->fault = WORLD_HONEST;
		assert_current(NULL);
		assert_false(there("1.0.0"));
	}
	assert_int_not_equal(access("/tmp/climbed", F_OK), 0);
	assert_synced("1.0.0");
}

static void another_version_under_the_name_of_the_newest_is_refused(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_publish_version(w, "1.1.0", NULL);
	assert_untouched_after(WORLD_MANIFEST_OF_ANOTHER_VERSION, "lied");
	assert_synced("1.1.0");
}

/* ---- going on ---- */

static void a_download_that_broke_off_goes_on_where_it_was(void **state)
{
	(void)state;
	w->fault = WORLD_FILE_CUT;
	assert_refused("cut_off");
	w->fault = WORLD_HONEST;
	int before = w->asked_bytes;
	assert_synced("1.0.0");
	struct stat st;
	assert_int_equal(stat(at("1.0.0/data/chat/cc0-00000-of-00006.jsonl.gz"), &st), 0);
	int64_t all = 0;
	for (int i = 0; i < ROWS / PER_SHARD; i++) {
		assert_int_equal(stat(at(str_fmt(arena, "1.0.0/data/chat/cc0-%05d-of-00006.jsonl.gz", i).p), &st), 0);
		all += st.st_size;
	}
	(void)all;
	assert_true(w->asked_bytes > before);
}

static void a_server_that_ignores_or_mistakes_ranges_gains_nothing(void **state)
{
	(void)state;
	w->fault = WORLD_FILE_CUT;
	assert_refused("cut_off");
	w->fault = WORLD_FILE_WRONG_RANGE;
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 12, 22 }, 2);
	world_publish_version(w, "2.0.0", NULL);
	w->fault_path = ".json";
	w->fault = WORLD_FILE_CUT;
	assert_refused("cut_off");
	w->fault = WORLD_FILE_IGNORES_RANGE;
	assert_synced("2.0.0");
}

static void passing_failures_are_tried_again(void **state)
{
	(void)state;
	options.tries = 3;
	w->fault = WORLD_FILE_BUSY_ONCE;
	assert_synced("1.0.0");
	world_publish_version(w, "1.1.0", NULL);
	w->busy = 0;
	w->fault = WORLD_FILE_CUT_ONCE;
	assert_synced("1.1.0");
}

static void a_damaged_copy_is_not_taken_over(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	const char *path = at("1.0.0/data/chat/cc0-00004-of-00006.jsonl.gz");
	struct str whole = content("1.0.0/data/chat/cc0-00004-of-00006.jsonl.gz");
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "XXXX", 4, (off_t)whole.n / 2), 4);
	close(fd);
	world_publish_version(w, "1.1.0", NULL);
	assert_synced("1.1.0");
	options.verify_all = true;
	assert_synced("1.1.0");
}

static void a_damaged_copy_shows_when_all_is_read_again(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	int fd = open(at("1.0.0/data/chat/cc0-00004-of-00006.jsonl.gz"), O_WRONLY);
	assert_int_equal(pwrite(fd, "XXXX", 4, 100), 4);
	close(fd);
	options.verify_all = true;
	assert_refused("verify");
}

static void only_one_run_works_in_a_folder(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	int fd = open(at(".mirror/lock"), O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_refused("locked");
	close(fd);
	assert_synced("1.0.0");
}

static bool stop_at_once(void *arg)
{
	int *left = arg;
	return --*left > 0;
}

static void whoever_is_asked_to_stop_stops_and_goes_on_later(void **state)
{
	int left;
	(void)state;
	options.go_on = stop_at_once;
	options.arg = &left;
	for (int at_most = 1; at_most < 400; at_most += 7) {
		left = at_most;
		if (sync_now() == ERR_OK)
			break;
		if (strcmp(error.reason, "stopped") != 0)
			fail_msg("%s: %s", error.reason, error.message);
		assert_current(NULL);
	}
	options.go_on = NULL;
	assert_synced("1.0.0");
}

/* ---- kill -9 ---- */

/* What changes the folder, or makes a change last. */
static bool is_step(uint64_t call)
{
	static const uint64_t calls[] = { SYS_renameat, SYS_renameat2, SYS_linkat, SYS_unlinkat, SYS_symlinkat, SYS_mkdirat, SYS_fsync, SYS_syncfs, SYS_ftruncate,
#ifdef SYS_rename
		SYS_rename, SYS_link, SYS_unlink, SYS_mkdir, SYS_rmdir,
#endif
	};
	for (size_t i = 0; i < CH_LEN(calls); i++)
		if (call == calls[i])
			return true;
	return false;
}

/* Runs it in a process of its own, which is killed just before its nth step; false when it came to its end before. */
static bool run_and_kill_before(int nth)
{
	struct ptrace_syscall_info info;
	int status, seen = 0;
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		(void)sync_now();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)), 0);
	while (ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (WSTOPSIG(status) != (SIGTRAP | 0x80) || ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof(info), &info) <= 0)
			continue;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_step(info.entry.nr) && ++seen == nth) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			return true;
		}
	}
	return false;
}

static bool may_trace(void)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Kills a run before every sixth step, each time from the same beginning. Whenever it happens, what is seen from outside is one whole version, or with no version at the end perhaps none;
 * and the next run ends the work. */
static void kill_everywhere(const char *end, int gone)
{
	char kept[80], command[300];
	int step = 1, killed = 0;
	snprintf(kept, sizeof(kept), "%s-kept", dir);
	snprintf(command, sizeof(command), "cp -al '%s' '%s'", dir, kept);
	assert_int_equal(system(command), 0);
	for (; run_and_kill_before(step); step += 6, killed++) {
		char to[64] = "";
		bool any = readlink(at("current"), to, sizeof(to) - 1) > 0;
		assert_true(any || !end);
		assert_current(any ? to : NULL);
		assert_synced(end);
		assert_false(there("1.0.0"));
		snprintf(command, sizeof(command), "rm -rf '%s' && cp -al '%s' '%s'", dir, kept, dir);
		assert_int_equal(system(command), 0);
	}
	assert_synced(end);
	assert_false(anywhere(gone));
	assert_true(killed > 10);
	print_message("killed at %d of %d steps\n", killed, step);
	scratch_remove(kept);
}

static void a_run_that_is_killed_anywhere_leaves_a_whole_version_and_the_next_ends_its_work(void **state)
{
	(void)state;
	if (!may_trace())
		skip();
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 5, 25, 45 }, 3);
	world_publish_version(w, "2.0.0", "1.0.0");
	kill_everywhere("2.0.0", 25);
}

static void a_run_that_is_killed_while_it_takes_a_version_away_is_ended_by_the_next(void **state)
{
	(void)state;
	if (!may_trace())
		skip();
	assert_synced("1.0.0");
	world_erase(w, (const int[]){ 5, 25 }, 2);
	kill_everywhere(NULL, 25);
}

static void a_full_disk_leaves_what_was_there(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	world_publish_version(w, "1.1.0", NULL);
	for (rlim_t room = 64; room < 4096; room = room * 3 / 2) {
		pid_t child = fork();
		if (child == 0) {
			struct rlimit limit = { room, room };
			signal(SIGXFSZ, SIG_IGN);
			setrlimit(RLIMIT_FSIZE, &limit);
			_exit(sync_now() == ERR_OK ? 0 : strcmp(error.reason, "disk") == 0 ? 3 : 4);
		}
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 0)
			break;
		assert_int_equal(WEXITSTATUS(status), 3);
		assert_current("1.0.0");
	}
	assert_synced("1.1.0");
}

static void a_state_that_cannot_be_read_is_not_begun_anew(void **state)
{
	(void)state;
	assert_synced("1.0.0");
	int fd = open(at("mirror.json"), O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "{", 1), 1);
	close(fd);
	assert_refused("state");
	assert_current("1.0.0");
}

/* ---- keys and access ---- */

static void the_key_is_pinned(void **state)
{
	(void)state;
	options.key = NULL;
	assert_refused("key");
	options.trust_first = true;
	assert_synced("1.0.0");
	options.trust_first = false;
	assert_synced("1.0.0");
	options.key = w->other.public_key;
	assert_refused("key");
	assert_current("1.0.0");
}

static void a_key_that_is_not_the_co_ops_opens_nothing(void **state)
{
	(void)state;
	options.key = w->other.public_key;
	assert_refused("forged");
	assert_current(NULL);
}

static void gated_files_are_opened_by_a_token_made_from_a_grant(void **state)
{
	(void)state;
	w->gated = true;
	assert_refused("refused");
	const char *path = at("token");
	FILE *f = fopen(path, "w");
	fprintf(f, "ch_pat_secret\n");
	fclose(f);
	options.token_file = path;
	assert_synced("1.0.0");
	assert_int_equal(w->asked_tokens, 1);
}

/* ---- receipts ---- */

static struct str receipt_payload(void)
{
	struct sign_key key;
	struct str payload;
	struct error e = { 0 };
	assert_int_equal(mirror_key_open(arena, at("mirror.key"), false, &key, &e), ERR_OK);
	assert_int_equal(dsse_verify(arena, str_of(w->receipt), (const uint8_t (*)[32])&key.public_key, 1, 1, STR(MIRROR_RECEIPT_TYPE), &payload, &e), ERR_OK);
	return payload;
}

static const struct json *receipt(void)
{
	const struct json *j;
	struct error e = { 0 };
	assert_int_equal(json_parse(arena, receipt_payload(), &j, &e), ERR_OK);
	return j;
}

static void a_receipt_says_what_was_done_and_what_is_held(void **state)
{
	struct sign_key key;
	(void)state;
	options.mirror = STR("33333333-3333-4333-8333-333333333333");
	assert_int_equal(mirror_key_open(arena, at("mirror.key"), true, &key, &error), ERR_OK);
	assert_synced("1.0.0");
	assert_string_equal(result.receipt, "sent");
	assert_true(str_is(json_member_text(receipt(), "method"), "never-held"));
	assert_true(str_is(json_text(json_at(receipt(), "/releases/0")), "1.0.0"));
	assert_int_equal(json_int(json_get(receipt(), "upto"), -9), -1);
	assert_synced("1.0.0");
	assert_string_equal(result.receipt, "none");
	world_erase(w, (const int[]){ 12 }, 1);
	world_publish_version(w, "2.0.0", "1.0.0");
	w->fault = WORLD_RECEIPT_REFUSED;
	assert_synced("2.0.0");
	assert_string_equal(result.receipt, "failed");
	w->fault = WORLD_HONEST;
	options.mirror = STR_NONE; /* is remembered */
	options.models = STR("a small one");
	assert_synced("2.0.0");
	assert_string_equal(result.receipt, "sent");
	assert_true(str_is(json_member_text(receipt(), "method"), "patched"));
	assert_true(str_is(json_member_text(receipt(), "models_affected"), "a small one"));
	assert_int_equal(json_int(json_get(receipt(), "upto"), -9), 0);
	assert_true(str_eq(json_member_text(receipt(), "key"), key_id(arena, key.public_key)));
	assert_int_equal(json_get(receipt(), "releases")->count, 1);
	world_withdraw(w, "2.0.0");
	assert_synced(NULL);
	assert_true(str_is(json_member_text(receipt(), "method"), "deleted"));
	assert_int_equal(json_get(receipt(), "releases")->count, 0);
}

static void the_mirrors_key_is_its_own(void **state)
{
	struct sign_key key, again;
	struct stat st;
	(void)state;
	assert_int_equal(mirror_key_open(arena, at("k/mirror.key"), false, &key, &error), ERR_NOT_FOUND);
	assert_int_equal(mirror_key_open(arena, at("k/mirror.key"), true, &key, &error), ERR_OK);
	assert_int_equal(stat(at("k/mirror.key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(mirror_key_open(arena, at("k/mirror.key"), true, &again, &error), ERR_OK);
	assert_memory_equal(key.public_key, again.public_key, 32);
	chmod(at("k/mirror.key"), 0644);
	assert_int_equal(mirror_key_open(arena, at("k/mirror.key"), true, &again, &error), ERR_REFUSED);
}

/* ---- keys that change ---- */

static void a_key_that_was_handed_over_is_followed_from_the_pinned_one(void **state)
{
	uint8_t pinned[32];
	(void)state;
	memcpy(pinned, w->key.public_key, sizeof(pinned));
	options.key = pinned;
	assert_synced("1.0.0");
	world_rotate(w);
	world_tombstone(w, 3, "withdraw_future", NULL);
	w->erased[3] = true;
	world_publish_version(w, "1.1.0", NULL);
	assert_synced("1.1.0");
	world_rotate(w);
	world_publish_version(w, "1.2.0", NULL);
	assert_synced("1.2.0"); /* its manifest, status and feed are by the third key */
	options.key = w->key.public_key; /* the folder is the same co-op's, whichever of its keys one names */
	assert_synced("1.2.0");
	options.key = w->other.public_key;
	assert_refused("key");
}

static void a_mirror_that_begins_late_takes_versions_of_earlier_keys(void **state)
{
	(void)state;
	world_rotate(w);
	options.key = w->key.public_key;
	enum err e = sync_now();
	if (e != ERR_OK)
		fail_msg("%s: %s", error.reason, error.message);
	assert_true(there("current")); /* 1.0.0, of before */
}

static void a_retired_key_says_nothing_more(void **state)
{
	struct sign_key retired = w->key;
	(void)state;
	options.key = retired.public_key;
	assert_synced("1.0.0");
	world_rotate(w);
	struct sign_key in_force = w->key;
	w->key = retired; /* a thief has it, and shows the co-op's own chain */
	world_withdraw(w, "0.0.0"); /* the log goes on */
	assert_refused("forged");
	w->key = in_force;
	enum err e = sync_now();
	assert_int_equal(e, ERR_OK);
}

static void a_chain_that_was_rewritten_or_shortened_is_refused(void **state)
{
	struct sign_key first = w->key;
	(void)state;
	options.key = first.public_key;
	world_rotate(w);
	assert_int_equal(sync_now(), ERR_OK);
	struct keychain good = w->keys, other;
	struct error e = { 0 };
	assert_int_equal(keychain_extend(arena, &(struct keychain){ .name = good.name, .keys = good.keys, .n = 1, .text = good.text }, &first, &w->other, good.keys[1].from, good.keys[1].size, &other, &e),
		ERR_OK);
	w->keys = other;
	assert_refused("rollback");
	w->keys = keychain_single(arena, first.public_key);
	assert_refused("rollback");
	w->keys.n = 0; /* none any more */
	assert_refused("rollback");
	w->keys = keychain_single(arena, w->other.public_key);
	assert_refused("forged");
	w->keys = good;
	assert_int_equal(sync_now(), ERR_OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_first_time_a_version_comes_whole_and_the_second_time_nothing_does), TEST(a_redaction_is_applied_as_a_patch_without_downloading_shards),
		TEST(a_shard_of_which_nothing_is_left_vanishes), TEST(an_ordinary_release_takes_over_shards_that_did_not_change), TEST(a_withdrawn_version_goes_although_there_is_no_other),
		TEST(what_did_not_change_is_kept_until_the_redaction_comes_and_what_was_erased_is_not), TEST(what_was_withdrawn_goes_although_the_new_one_cannot_be_had),
		TEST(a_tombstone_withdraws_what_it_names_before_the_status_does), TEST(tombstones_that_purge_nothing_leave_versions_alone), TEST(a_patch_that_forgets_a_row_is_found_out), TEST(what_was_only_withdrawn_from_the_future_is_not_in_what_follows),
		TEST(a_forged_expired_or_older_status_changes_nothing), TEST(a_log_that_went_back_is_refused), TEST(what_was_withdrawn_stays_withdrawn),
		TEST(forged_replayed_and_cut_feeds_change_nothing), TEST(files_are_what_the_signed_manifest_says_or_nothing_comes), TEST(another_version_under_the_name_of_the_newest_is_refused),
		TEST(a_download_that_broke_off_goes_on_where_it_was), TEST(a_server_that_ignores_or_mistakes_ranges_gains_nothing), TEST(passing_failures_are_tried_again),
		TEST(a_damaged_copy_is_not_taken_over), TEST(a_damaged_copy_shows_when_all_is_read_again), TEST(only_one_run_works_in_a_folder),
		TEST(whoever_is_asked_to_stop_stops_and_goes_on_later), TEST(a_run_that_is_killed_anywhere_leaves_a_whole_version_and_the_next_ends_its_work), TEST(a_run_that_is_killed_while_it_takes_a_version_away_is_ended_by_the_next), TEST(a_full_disk_leaves_what_was_there),
		TEST(a_state_that_cannot_be_read_is_not_begun_anew), TEST(the_key_is_pinned), TEST(a_key_that_is_not_the_co_ops_opens_nothing),
		TEST(a_key_that_was_handed_over_is_followed_from_the_pinned_one), TEST(a_mirror_that_begins_late_takes_versions_of_earlier_keys), TEST(a_retired_key_says_nothing_more),
		TEST(a_chain_that_was_rewritten_or_shortened_is_refused), TEST(gated_files_are_opened_by_a_token_made_from_a_grant), TEST(a_receipt_says_what_was_done_and_what_is_held), TEST(the_mirrors_key_is_its_own),
	};
	return cmocka_run_group_tests_name("mirror_sync", tests, NULL, NULL);
}
