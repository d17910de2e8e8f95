/* The verifier against a small release that the test builds, and against every way of tampering with it that we can think of: bytes, files, and documents that a dishonest
 * publisher would sign afresh. */
#include "commonhold/gzip.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"
#include "commonhold/verify.h"

#include "scratch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS 12

static struct arena *arena;
static char dir[80], base[64];
static struct sign_key key, other_key;

/* What the publisher does wrong, one at a time. */
enum fraud {
	HONEST, ROW_OUT_OF_ORDER, ROW_TWICE_IN_A_SHARD, ROW_IN_TWO_SHARDS, ROW_DELETED, ROW_NOT_CANONICAL, ROW_NOT_JSON, ROW_OF_ANOTHER_KIND, ROW_WITHOUT_CONTENT, ROW_WITHOUT_RID,
	ROW_UNDER_UNCOUNTED_LICENCE, ROW_OF_UNCOUNTED_COOP, ROW_WITHOUT_ORIGIN, ROW_NOT_ENDED, ROW_LEFT_OUT, ROW_EMPTY, ROW_TOO_DEEP, WRONG_RIDS_ROOT, WRONG_RAW_HASH, WRONG_RAW_SIZE, WRONG_ROWS,
	WRONG_HASH, WRONG_SIZE, WRONG_ITEMS, WRONG_BY_KIND, TOO_FEW_PEOPLE, TWO_COUNTS_OF_PEOPLE, MANIFEST_NOT_CANONICAL, MANIFEST_WITH_A_STRANGE_FIELD, MANIFEST_LEAVES_A_FILE_OUT,
	MANIFEST_NAMES_A_FILE_TOO_MANY, MANIFEST_CLIMBS_OUT, MANIFEST_NAMES_ITSELF, MANIFEST_UNSORTED, MANIFEST_OF_ANOTHER_COOP, MANIFEST_BEFORE_ITS_PREDECESSOR, MANIFEST_UNUSABLE,
	MANIFEST_EXPIRED_AT_BIRTH, OTHER_POLICY, OTHER_REPORT, REPORT_DOES_NOT_ADD_UP, REPORT_OF_ANOTHER_RELEASE, REPORT_COUNTS_A_REASON_TWICE, REPORT_REASON_ABOVE_CANDIDATES,
	REPORT_OTHER_K, CROISSANT_OTHER_HASH, CROISSANT_LEAVES_A_SHARD_OUT, CROISSANT_STRANGE_FILE, LICENCE_TEXT_MISSING, LICENCE_TEXT_UNUSED, TOMBSTONES_OUT_OF_ORDER, TOMBSTONES_TOO_MANY, TOMBSTONE_BEYOND,
	TOMBSTONE_NOT_CANONICAL, TOMBSTONE_WITHOUT_RID, TOMBSTONE_CHANGED, TOMBSTONE_LEFT_OUT, TOMBSTONE_REPEATED, TOMBSTONES_CUT, TOMBSTONE_BY_ANOTHER, TOMBSTONES_OF_ANOTHER_LOG,
	PATCH_MISSING, PATCH_FROM_ANOTHER, PATCH_PROMISES_OTHER_LINES, PATCH_PROMISES_ANOTHER_FILE, PATCH_ROWS_UNSORTED, PATCH_WITHOUT_ROWS, PATCH_DENIES_A_SHARD, PATCH_OF_A_STRANGE_SHARD,
	PATCH_WITHOUT_REDACTION, ENVELOPE_BY_ANOTHER, ENVELOPE_OF_ANOTHER_MANIFEST, ENVELOPE_OF_ANOTHER_TYPE, MINISIG_BY_ANOTHER, CHECKPOINT_BY_ANOTHER, CHECKPOINT_OF_ANOTHER_LOG,
	PROOF_OF_ANOTHER_LEAF, PROOF_TO_ANOTHER_CHECKPOINT, PROOF_AT_ANOTHER_INDEX, PROOF_WITHOUT_LEAF, LEAF_OF_ANOTHER_MANIFEST, LEAF_OF_ANOTHER_TYPE, LEAF_OF_ANOTHER_RELEASE, LEAF_ELSEWHERE,
	VERIFIER_KEY_OF_ANOTHER, SUMS_LEAVE_A_FILE_OUT, SUMS_NAME_A_FILE_TWICE, SUMS_UPPER_CASE, SHARD_WITH_GARBAGE_BEHIND, SHARD_AT_A_STRANGE_PATH, FRAUDS
};

/* The release under construction. */
struct release {
	enum fraud fraud;
	struct str coop;             /* key name */
	struct str id;               /* federated */
	struct str origin;
	struct buf files;            /* members of the manifest's files, with commas */
	struct buf distribution;     /* of croissant.json */
	struct buf sums;
	struct sha256 policy, report, manifest;
	struct sha256 chat_raw, chat; /* of the first shard, as the manifest gives them */
	int64_t chat_size;
};

static void clear(void)
{
	scratch_remove(dir);
}

static const char *at(const char *name)
{
	return str_z(arena, str_fmt(arena, "%s/%s", dir, name));
}

static void write_file(const char *name, struct str s)
{
	FILE *f = fopen(at(name), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(s.p, 1, s.n, f), s.n);
	fclose(f);
}

static struct str read_file(const char *name)
{
	struct stat st;
	int fd = open(at(name), O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	char *p = arena_alloc(arena, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	return str_make(p, (size_t)st.st_size);
}

static struct str canonical(struct str text)
{
	const struct json *v;
	struct error e = { 0 };
	struct buf out;
	if (json_parse(arena, text, &v, &e) != ERR_OK)
		fail_msg("%s in %.*s", e.message, STR_ARG(text));
	buf_init(&out, 1 * MIB);
	json_canonical(&out, v, true);
	struct str s = str_copy(arena, buf_str(&out));
	buf_release(&out);
	return s;
}

static struct str hex(struct sha256 h)
{
	return sha256_hex(arena, h);
}

static void sums_add(struct release *r, const char *name, struct sha256 h)
{
	if (r->fraud == SUMS_LEAVE_A_FILE_OUT && str_is(str_of(name), "README.md"))
		return;
	struct str digits = hex(h);
	if (r->fraud == SUMS_UPPER_CASE)
		for (size_t i = 0; i < digits.n; i++)
			if (digits.p[i] >= 'a')
				((char *)(uintptr_t)digits.p)[i] -= 32;
	buf_addf(&r->sums, "%.*s  %s\n", STR_ARG(digits), name);
	if (r->fraud == SUMS_NAME_A_FILE_TWICE && str_is(str_of(name), "TERMS.md"))
		buf_addf(&r->sums, "%.*s  %s\n", STR_ARG(digits), name);
}

static void document(struct release *r, const char *name, struct str text)
{
	struct sha256 h = sha256(text);
	write_file(name, text);
	sums_add(r, name, h);
	if (r->fraud == MANIFEST_LEAVES_A_FILE_OUT && str_is(str_of(name), "README.md"))
		return;
	buf_addf(&r->files, "%s{\"path\":\"%s\",\"sha256\":\"%.*s\",\"size\":%zu}", r->files.n ? "," : "", name, STR_ARG(hex(h)), text.n);
}

static struct str rid_of(struct release *r, int no)
{
	return str_fmt(arena, "dc:%.*s:00000000-0000-4000-8000-%012x", STR_ARG(r->coop), no * 16);
}

static struct str row(struct release *r, const char *kind, int no)
{
	struct str rid = rid_of(r, no);
	const char *licence = no % 2 ? "CC-BY-4.0" : "CC0-1.0";
	const char *coop = str_z(arena, r->coop), *content = ",\"content\":{\"text\":\"Gr\xc3\xbc\xc3\x9f" "e, 1.50 \\u20ac\",\"n\":1.50}";
	if (no == 3 && r->fraud == ROW_OF_ANOTHER_KIND)
		kind = "signal";
	if (no == 3 && r->fraud == ROW_WITHOUT_CONTENT)
		content = "";
	if (no == 3 && r->fraud == ROW_UNDER_UNCOUNTED_LICENCE)
		licence = "CC-BY-SA-4.0";
	if (no == 3 && r->fraud == ROW_OF_UNCOUNTED_COOP)
		coop = "aaaaaaaaaaaaaaaa";
	struct str origin = no == 3 && r->fraud == ROW_WITHOUT_ORIGIN ? rid_of(r, 99) : rid;
	struct str text = str_fmt(arena, "{\"attribution\":%s%s,\"created_month\":\"2026-10\",\"kind\":\"%s\",\"lang\":\"de\",\"licence\":\"%s\",\"origins\":[{\"coop\":\"%s\",\"licence\":\"%s\","
		"\"rid\":\"%.*s\"}]%s%.*s%s,\"source_coop\":\"%s\"}",
		no % 3 ? "null" : "\"Ada\"", content, kind, licence, coop, licence, STR_ARG(origin), no == 3 && r->fraud == ROW_WITHOUT_RID ? ",\"x\":\"" : ",\"rid\":\"", STR_ARG(rid), "\"", coop);
	text = canonical(text);
	if (no == 3 && r->fraud == ROW_NOT_CANONICAL)
		text = str_fmt(arena, "%.*s }", (int)text.n - 1, text.p);
	if (no == 3 && r->fraud == ROW_NOT_JSON)
		text = str_sub(text, 0, text.n - 1);
	if (no == 3 && r->fraud == ROW_EMPTY)
		text = STR("");
	if (no == 3 && r->fraud == ROW_TOO_DEEP) {
		char *deep = arena_alloc(arena, 20000);
		memset(deep, '[', 10000);
		memset(deep + 10000, ']', 10000);
		text = str_make(deep, 20000);
	}
	return text;
}

static void shard(struct release *r, const char *kind, const char *path, int first, int last)
{
	struct gz_writer *w;
	struct gz_result g;
	struct error e = { 0 };
	struct merkle_builder b = { .size = 0 };
	int rows = 0;
	assert_int_equal(gz_writer_open(&w, at(path), 6, 1, &e), ERR_OK);
	for (int no = first; no < last; no++) {
		int which = no;
		if (r->fraud == ROW_OUT_OF_ORDER && (no == 3 || no == 4))
			which = 7 - no;
		if (r->fraud == ROW_TWICE_IN_A_SHARD && no == 4)
			which = 3;
		if (r->fraud == ROW_IN_TWO_SHARDS && no == last - 1 && first > 0)
			which = 99;
		if (r->fraud == ROW_IN_TWO_SHARDS && no == 5 && first == 0)
			which = 99;
		if (r->fraud == ROW_DELETED && no == last - 1 && first > 0)
			which = 500;
		struct str line = row(r, kind, which);
		gz_writer_add(w, line.p, line.n);
		if (!(r->fraud == ROW_NOT_ENDED && no == last - 1))
			gz_writer_add(w, "\n", 1);
		merkle_add(&b, merkle_leaf(rid_of(r, which)));
		rows++;
	}
	assert_int_equal(gz_writer_close(w, &g, &e), ERR_OK);
	if (r->fraud == SHARD_WITH_GARBAGE_BEHIND && first == 0) {
		struct str s = read_file(path);
		s = str_make(memcpy(arena_alloc(arena, s.n + 5), s.p, s.n), s.n + 5);
		write_file(path, s);
		g.sha256 = sha256(s);
		g.size = (int64_t)s.n;
	}
	struct sha256 root = merkle_builder_root(&b);
	sums_add(r, path, g.sha256);
	if (first == 0) {
		root.b[0] ^= r->fraud == WRONG_RIDS_ROOT;
		g.raw_sha256.b[0] ^= r->fraud == WRONG_RAW_HASH;
		g.raw_size -= r->fraud == WRONG_RAW_SIZE;
		rows += r->fraud == WRONG_ROWS;
		g.size += r->fraud == WRONG_SIZE;
	}
	struct sha256 claimed = g.sha256;
	claimed.b[0] ^= r->fraud == WRONG_HASH && first == 0;
	if (first == 0) {
		r->chat_raw = g.raw_sha256;
		r->chat = claimed;
		r->chat_size = g.size;
	}
	buf_addf(&r->files, "%s{\"path\":\"%s\",\"raw_sha256\":\"%.*s\",\"raw_size\":%lld,\"rids_root\":\"%.*s\",\"rows\":%d,\"sha256\":\"%.*s\",\"size\":%lld}", r->files.n ? "," : "", path,
		STR_ARG(hex(g.raw_sha256)), (long long)g.raw_size, STR_ARG(hex(root)), rows, STR_ARG(hex(claimed)), (long long)g.size);
	if (r->fraud == CROISSANT_LEAVES_A_SHARD_OUT && first == 0)
		return;
	g.sha256.b[5] ^= r->fraud == CROISSANT_OTHER_HASH && first == 0;
	buf_addf(&r->distribution, "%s{\"@type\":\"cr:FileObject\",\"contentUrl\":\"%s\",\"sha256\":\"%.*s\"}", r->distribution.n ? "," : "", path, STR_ARG(hex(g.sha256)));
}

/* A signed line that follows `prev`. The member "sig" stands between "rid" and "t". */
static struct str tombstone(struct release *r, int idx, const char *kind, int no, struct sha256 prev)
{
	uint8_t signature[64];
	const char *until = strcmp(kind, "embargo") == 0 ? ",\"until\":\"2027-01-01T00:00:00Z\"" : "";
	struct str rid = r->fraud == TOMBSTONE_WITHOUT_RID ? STR("") : str_fmt(arena, "\"%.*s\"", STR_ARG(rid_of(r, no)));
	struct str head = str_fmt(arena, "{\"effective\":\"2026-09-01T00:00:00Z\",\"idx\":%d,\"kind\":\"%s\",\"prev\":\"%.*s\",\"purge_by\":\"2026-09-08T00:00:00Z\",\"reason_code\":\"request\","
		"\"releases\":[\"1.0.0\"],\"rid\":[%.*s]", idx, kind, STR_ARG(hex(prev)), STR_ARG(rid));
	struct str tail = str_fmt(arena, ",\"t\":\"2026-09-01T00:00:00Z\"%s}", until);
	struct str text = str_fmt(arena, "commonhold/tombstone/1\n%.*s%.*s", STR_ARG(head), STR_ARG(tail));
	sign_bytes(r->fraud == TOMBSTONE_BY_ANOTHER ? &other_key : &key, text, signature);
	return str_fmt(arena, "%.*s,\"sig\":\"%.*s\"%.*s", STR_ARG(head), STR_ARG(str_base64(arena, signature, 64)), STR_ARG(tail));
}

static void tombstones(struct release *r)
{
	struct str lines[3];
	struct sha256 prev = sha256(r->fraud == TOMBSTONES_OF_ANOTHER_LOG ? STR("commonhold.example/coop/another") : r->origin);
	lines[0] = tombstone(r, 0, "erase", 500, prev);
	lines[1] = tombstone(r, 1, "embargo", 2, sha256(lines[0]));
	lines[2] = tombstone(r, r->fraud == TOMBSTONE_BEYOND ? 3 : 2, "withdraw_future", 600, sha256(lines[1]));
	if (r->fraud == TOMBSTONE_NOT_CANONICAL)
		lines[0] = str_fmt(arena, " %.*s", STR_ARG(lines[0]));
	if (r->fraud == TOMBSTONE_CHANGED) /* to say that another was erased; its own signature and digest are not looked at again */
		((char *)(uintptr_t)memmem(lines[0].p, lines[0].n, "0001f40", 7))[6] = '1';
	struct str first = r->fraud == TOMBSTONES_OUT_OF_ORDER ? lines[1] : lines[0], second = r->fraud == TOMBSTONES_OUT_OF_ORDER || r->fraud == TOMBSTONE_REPEATED ? lines[0] : lines[1];
	struct str text = str_fmt(arena, "%.*s\n%.*s\n%.*s\n", STR_ARG(first), STR_ARG(second), STR_ARG(lines[2]));
	if (r->fraud == TOMBSTONE_LEFT_OUT)
		text = str_fmt(arena, "%.*s\n%.*s\n", STR_ARG(first), STR_ARG(lines[2]));
	if (r->fraud == TOMBSTONES_CUT)
		text = str_fmt(arena, "%.*s\n%.*s\n", STR_ARG(first), STR_ARG(second));
	document(r, "tombstones.jsonl", text);
}

/* What led here from 1.0.9: one of the chats went. */
static void patch(struct release *r)
{
	struct sha256 raw = r->chat_raw, file = r->chat;
	raw.b[0] ^= r->fraud == PATCH_PROMISES_OTHER_LINES;
	file.b[0] ^= r->fraud == PATCH_PROMISES_ANOTHER_FILE;
	const char *path = r->fraud == PATCH_OF_A_STRANGE_SHARD ? "data/chat/strange-00000-of-00001.jsonl.gz" : "data/chat/all-00000-of-00001.jsonl.gz";
	const char *rows = r->fraud == PATCH_ROWS_UNSORTED ? "7,3" : r->fraud == PATCH_WITHOUT_ROWS ? "" : "3,7";
	struct str line = str_fmt(arena, "{\"path\":\"%s\",\"path_after\":\"%s\",\"raw_sha256\":\"%.*s\",\"raw_sha256_after\":\"%.*s\",\"rows\":[%s],\"sha256_after\":\"%.*s\",\"size_after\":%lld}\n",
		path, path, STR_ARG(hex(sha256(STR("before")))), STR_ARG(hex(raw)), rows, STR_ARG(hex(file)), (long long)r->chat_size);
	if (r->fraud == PATCH_DENIES_A_SHARD)
		line = str_fmt(arena, "{\"path\":\"%s\",\"path_after\":null,\"raw_sha256\":\"%.*s\",\"raw_sha256_after\":null,\"rows\":[%s],\"sha256_after\":null,\"size_after\":null}\n", path,
			STR_ARG(hex(sha256(STR("before")))), rows);
	if (r->fraud != PATCH_MISSING)
		document(r, r->fraud == PATCH_FROM_ANOTHER ? "patches/1.0.8--1.1.0.redact.jsonl" : "patches/1.0.9--1.1.0.redact.jsonl", line);
}

static struct str report_text(struct release *r)
{
	struct str id = r->fraud == REPORT_OF_ANOTHER_RELEASE ? rid_of(r, 1) : r->id;
	return canonical(str_fmt(arena, "{\"v\":1,\"release\":\"%.*s\",\"totals\":{\"candidates\":20,\"released\":%d,\"excluded\":%d},\"reasons\":[{\"reason\":\"USE_DENIED\",\"count\":%d},"
		"{\"reason\":\"%s\",\"count\":2}],\"privacy\":{\"k\":%d,\"contributors\":7}}", STR_ARG(id), ROWS, r->fraud == REPORT_DOES_NOT_ADD_UP ? 7 : 8,
		r->fraud == REPORT_REASON_ABOVE_CANDIDATES ? 21 : 6, r->fraud == REPORT_COUNTS_A_REASON_TWICE ? "USE_DENIED" : "HELD", r->fraud == REPORT_OTHER_K ? 4 : 5));
}

/* In byte order of path. */
static void documents(struct release *r)
{
	document(r, "LICENSES/CC-BY-4.0.txt", STR("Attribution 4.0\n"));
	if (r->fraud != LICENCE_TEXT_MISSING)
		document(r, "LICENSES/CC0-1.0.txt", STR("CC0\n"));
	if (r->fraud == LICENCE_TEXT_UNUSED)
		document(r, "LICENSES/MIT.txt", STR("MIT\n"));
	document(r, "README.md", STR("# A release\n"));
	document(r, "TERMS.md", STR("Be kind.\n"));
	/* data/ comes between, but Croissant must know its hashes: its entry is put behind */
	struct buf before = r->files;
	buf_init(&r->files, 1 * MIB);
	shard(r, "chat", "data/chat/all-00000-of-00001.jsonl.gz", 0, 7);
	shard(r, "example", r->fraud == SHARD_AT_A_STRANGE_PATH ? "data/example/all.jsonl.zip" : "data/example/all-00000-of-00001.jsonl.gz", 7, r->fraud == ROW_LEFT_OUT ? ROWS - 1 : ROWS);
	struct buf shards = r->files;
	r->files = before;
	const char *strange = r->fraud == CROISSANT_STRANGE_FILE ? ",{\"contentUrl\":\"data/other.gz\",\"sha256\":\"00\"}" : "";
	document(r, "croissant.json", canonical(str_fmt(arena, "{\"@type\":\"sc:Dataset\",\"distribution\":[%.*s%s]}", STR_ARG(buf_str(&r->distribution)), strange)));
	buf_add_byte(&r->files, ',');
	buf_add_str(&r->files, buf_str(&shards));
	buf_release(&shards);
	struct str policy = STR("{\"v\":1}"), report = report_text(r);
	r->policy = sha256(r->fraud == OTHER_POLICY ? STR("{}") : policy);
	r->report = sha256(r->fraud == OTHER_REPORT ? STR("{}") : report);
	patch(r);
	document(r, "policy.json", policy);
	document(r, "report.json", report);
	tombstones(r);
}

static const char *tweak(struct release *r, enum fraud fraud, const char *wrong, const char *right)
{
	return r->fraud == fraud ? wrong : right;
}

static struct str manifest_text(struct release *r)
{
	const struct sign_key *k = r->fraud == VERIFIER_KEY_OF_ANOTHER ? &other_key : &key;
	struct str verifier = note_verifier_key(arena, r->origin, k->public_key), coop = r->fraud == MANIFEST_OF_ANOTHER_COOP ? STR("aaaaaaaaaaaaaaaa") : r->coop;
	struct buf files;
	buf_init(&files, 1 * MIB);
	if (r->fraud == MANIFEST_CLIMBS_OUT)
		buf_add_z(&files, "{\"path\":\"../secret\",\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0},");
	if (r->fraud == MANIFEST_NAMES_A_FILE_TOO_MANY)
		buf_add_z(&files, "{\"path\":\"ABSENT\",\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0},");
	buf_add_str(&files, buf_str(&r->files));
	if (r->fraud == MANIFEST_NAMES_ITSELF)
		buf_add_z(&files, ",{\"path\":\"manifest.json\",\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0}");
	if (r->fraud == MANIFEST_UNSORTED) {
		/* the first entry to the end */
		struct str all = str_copy(arena, buf_str(&files));
		size_t end = 0;
		while (all.p[end] != '}')
			end++;
		buf_clear(&files);
		buf_addf(&files, "%.*s,%.*s", (int)(all.n - end - 2), all.p + end + 2, (int)end + 1, all.p);
	}
	struct str head = str_fmt(arena, "{\"v\":1,\"release\":\"%.*s\",\"version\":\"1.1.0\",\"line\":\"main\",\"prev\":%s,\"coops\":[\"%.*s\"],\"created\":\"2026-11-01T00:00:00Z\",\"expires\":%s,"
		"\"policy_sha256\":\"%.*s\",\"report_sha256\":\"%.*s\",\"candidates_sha256\":\"%.*s\",\"min_usable\":\"%s\",%s", STR_ARG(r->id),
		tweak(r, MANIFEST_BEFORE_ITS_PREDECESSOR, "\"1.10.0\"", "\"1.0.9\""), STR_ARG(coop), tweak(r, MANIFEST_EXPIRED_AT_BIRTH, "\"2026-10-01T00:00:00Z\"", "null"), STR_ARG(hex(r->policy)),
		STR_ARG(hex(r->report)), STR_ARG(hex(sha256(STR("candidates")))), tweak(r, MANIFEST_UNUSABLE, "2.0.0", "1.0.0"), tweak(r, PATCH_WITHOUT_REDACTION, "", "\"redacts\":\"1.0.9\","));
	struct str counts = str_fmt(arena, "\"ballot\":{\"id\":\"7f000000-0000-4000-8000-000000000000\",\"digest\":\"%.*s\",\"result\":\"passed\"},\"counts\":{\"items\":%s,\"contributors\":7,"
		"\"by_kind\":{%s},\"by_licence\":{\"CC-BY-4.0\":6,\"CC0-1.0\":6},\"by_coop\":{\"%.*s\":12}},", STR_ARG(hex(sha256(STR("candidates")))), tweak(r, WRONG_ITEMS, "13", "12"),
		tweak(r, WRONG_BY_KIND, "\"chat\":8,\"example\":4", "\"chat\":7,\"example\":5"), STR_ARG(coop));
	struct str tail = str_fmt(arena, "\"tombstones\":{\"count\":%s,\"upto_index\":2},\"gates\":[],\"privacy\":{\"k\":%s,\"contributors\":%s},\"log\":{\"origin\":\"%.*s\",\"verifier_key\":\"%.*s\",\"leaf_index\":%s}%s}",
		tweak(r, TOMBSTONES_TOO_MANY, "2", "3"), tweak(r, TOO_FEW_PEOPLE, "8", "5"), tweak(r, TWO_COUNTS_OF_PEOPLE, "8", "7"), STR_ARG(r->origin), STR_ARG(verifier),
		tweak(r, LEAF_ELSEWHERE, "4", "3"), tweak(r, MANIFEST_WITH_A_STRANGE_FIELD, ",\"strange\":1", ""));
	struct str text = canonical(str_fmt(arena, "%.*s%.*s\"files\":[%.*s],%.*s", STR_ARG(head), STR_ARG(counts), STR_ARG(buf_str(&files)), STR_ARG(tail)));
	buf_release(&files);
	return r->fraud == MANIFEST_NOT_CANONICAL ? str_fmt(arena, "%.*s\n", STR_ARG(text)) : text;
}

static enum err hash_at(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	*out = merkle_root((const struct sha256 *)arg + (index << level), (size_t)1 << level);
	return ERR_OK;
}

/* A log of six leaves; the fourth is ours. */
static void log_files(struct release *r)
{
	struct sha256 leaves[6], *path;
	struct str manifest = hex(r->fraud == LEAF_OF_ANOTHER_MANIFEST ? sha256(STR("other")) : r->manifest);
	struct str id = r->fraud == LEAF_OF_ANOTHER_RELEASE ? rid_of(r, 77) : r->id;
	struct str entry = canonical(str_fmt(arena, "{\"at\":\"2026-11-01T00:00:00Z\",\"data\":{\"manifest_sha256\":\"%.*s\",\"release\":\"%.*s\",\"version\":\"1.1.0\"},\"t\":\"%s\"}", STR_ARG(manifest),
		STR_ARG(id), tweak(r, LEAF_OF_ANOTHER_TYPE, "statement.made", "release.published")));
	for (size_t i = 0; i < 6; i++)
		leaves[i] = merkle_leaf(i == 3 ? entry : str_fmt(arena, "{\"t\":\"x%zu\"}", i));
	struct tlog_proof proof = { .index = 3 };
	assert_int_equal(merkle_inclusion(arena, r->fraud == PROOF_OF_ANOTHER_LEAF ? 2 : 3, 6, hash_at, leaves, &path, &proof.n), ERR_OK);
	proof.path = path;
	proof.entry = r->fraud == PROOF_WITHOUT_LEAF ? STR_NONE : entry;
	proof.index = r->fraud == PROOF_AT_ANOTHER_INDEX ? 2 : 3;
	const struct sign_key *k = r->fraud == CHECKPOINT_BY_ANOTHER ? &other_key : &key;
	struct str origin = r->fraud == CHECKPOINT_OF_ANOTHER_LOG ? STR("elsewhere.example/log") : r->origin;
	struct str note = checkpoint_sign(arena, origin, 6, merkle_root(leaves, 6), k);
	proof.checkpoint = r->fraud == PROOF_TO_ANOTHER_CHECKPOINT ? checkpoint_sign(arena, origin, 5, merkle_root(leaves, 5), k) : note;
	struct str text = tlog_proof_write(arena, &proof);
	write_file("checkpoint", note);
	write_file("release.tlog-proof", text);
	sums_add(r, "checkpoint", sha256(note));
	sums_add(r, "release.tlog-proof", sha256(text));
}

static void build(enum fraud fraud)
{
	struct release r = { .fraud = fraud, .coop = coop_key_name(arena, key.public_key) };
	clear();
	static const char *const folders[] = { "", "LICENSES", "data", "data/chat", "data/example", "patches" };
	for (size_t i = 0; i < CH_LEN(folders); i++)
		assert_int_equal(mkdir(at(folders[i]), 0755), 0);
	buf_init(&r.files, 1 * MIB);
	buf_init(&r.distribution, 1 * MIB);
	buf_init(&r.sums, 1 * MIB);
	r.id = str_fmt(arena, "dc:%.*s:5e000000-0000-4000-8000-000000000000", STR_ARG(r.coop));
	r.origin = str_fmt(arena, "commonhold.example/coop/%.*s", STR_ARG(r.coop));
	documents(&r);
	struct str manifest = manifest_text(&r);
	r.manifest = sha256(manifest);
	write_file("manifest.json", manifest);
	sums_add(&r, "manifest.json", r.manifest);
	struct str envelope = dsse_sign(arena, fraud == ENVELOPE_BY_ANOTHER ? &other_key : &key, 1, fraud == ENVELOPE_OF_ANOTHER_TYPE ? STR("text/plain") : STR(RELEASE_PAYLOAD_TYPE),
		fraud == ENVELOPE_OF_ANOTHER_MANIFEST ? STR("{}") : manifest);
	write_file("manifest.dsse.json", envelope);
	sums_add(&r, "manifest.dsse.json", sha256(envelope));
	log_files(&r);
	write_file("SHA256SUMS", buf_str(&r.sums));
	write_file("SHA256SUMS.minisig", minisign_sign(arena, fraud == MINISIG_BY_ANOTHER ? &other_key : &key, buf_str(&r.sums), STR("test 1.1.0")));
	buf_release(&r.files);
	buf_release(&r.distribution);
	buf_release(&r.sums);
}

static struct verify_result verify_with(const uint8_t *public_key, bool staged)
{
	struct verify_options options = { .public_key = public_key, .staged = staged };
	struct verify_result result;
	struct error e = { 0 };
	assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
	return result;
}

static struct verify_result verify(void)
{
	return verify_with(key.public_key, false);
}

static void print_checks(const struct verify_result *r)
{
	for (const struct check *c = r->checks; c; c = c->next)
		print_message("%s %s: %.*s\n", c->ok ? "ok" : "FAIL", c->id, STR_ARG(c->text));
}

static void assert_whole(struct verify_result r)
{
	if (!r.ok)
		print_checks(&r);
	assert_true(r.ok);
}

/* The check of that name fails, and says why. */
static void assert_caught(enum fraud fraud, const char *id)
{
	struct arena_mark mark = arena_mark(arena);
	build(fraud);
	struct verify_result r = verify();
	bool caught = false;
	for (const struct check *c = r.checks; c; c = c->next)
		if (!c->ok && str_is(str_of(c->id), id))
			caught = c->text.n > 10;
	if (r.ok || !caught) {
		print_checks(&r);
		fail_msg("fraud %d was not caught by \"%s\"", (int)fraud, id);
	}
	arena_rewind(arena, mark);
}

static int set_up(void **state)
{
	(void)state;
	static const uint8_t seed[32] = { 1 }, other_seed[32] = { 2 };
	arena = arena_new(512 * MIB);
	snprintf(base, sizeof(base), "/tmp/commonhold-verify-XXXXXX");
	if (!crypto_start() || !scratch_folder(base))
		return -1;
	snprintf(dir, sizeof(dir), "%s/release", base);
	sign_key_from_seed(&key, seed);
	sign_key_from_seed(&other_key, other_seed);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	clear();
	rmdir(base);
	return 0;
}

static void an_honest_release_is_whole(void **state)
{
	(void)state;
	build(HONEST);
	struct verify_result r = verify();
	assert_whole(r);
	assert_true(r.pinned);
	assert_int_equal(r.rows, ROWS);
	assert_true(str_is(r.version, "1.1.0"));
	r = verify_with(NULL, false);
	assert_whole(r);
	assert_false(r.pinned);
}

static int run(const char *command)
{
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void stock_tools_accept_it_too(void **state)
{
	(void)state;
	build(HONEST);
	assert_int_equal(run(str_z(arena, str_fmt(arena, "cd %s && sha256sum -c --strict --quiet SHA256SUMS", dir))), 0);
	assert_int_equal(run(str_z(arena, str_fmt(arena, "cd %s && gunzip -t data/*/*.gz", dir))), 0);
	if (run("command -v minisign >/dev/null 2>&1") != 0)
		skip();
	struct str public_key = minisign_public_key(arena, key.public_key);
	assert_int_equal(run(str_z(arena, str_fmt(arena, "cd %s && minisign -Vq -P %.*s -m SHA256SUMS >/dev/null", dir, STR_ARG(public_key)))), 0);
}

static void another_key_is_refused(void **state)
{
	(void)state;
	build(HONEST);
	assert_false(verify_with(other_key.public_key, false).ok);
}

static void a_staged_release_needs_no_log_yet(void **state)
{
	(void)state;
	static const char *const later[] = { "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "release.tlog-proof" };
	build(HONEST);
	for (size_t i = 0; i < CH_LEN(later); i++)
		assert_int_equal(unlink(at(later[i])), 0);
	assert_whole(verify_with(key.public_key, true));
	assert_false(verify().ok);
}

static bool all_known(void *arg, struct str path, struct sha256 h)
{
	(void)path, (void)h;
	return ++*(int *)arg > 0;
}

static void shards_that_are_known_are_hashed_but_not_read_again(void **state)
{
	(void)state;
	int asked = 0;
	struct verify_options options = { .public_key = key.public_key, .known = all_known, .arg = &asked };
	struct verify_result result;
	struct error e = { 0 };
	build(HONEST);
	assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
	assert_whole(result);
	assert_int_equal(asked, 2);
	assert_int_equal(result.rows, 0);
	build(WRONG_HASH);
	assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
	assert_false(result.ok);
}

/* One byte of a file becomes another; its size stays. */
static void change_byte(const char *name)
{
	char byte;
	int fd = open(at(name), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 12), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 12), 1);
	close(fd);
}

static void a_memory_of_hashes_ends_where_a_file_changes(void **state)
{
	(void)state;
	static const char shard[] = "data/chat/all-00000-of-00001.jsonl.gz";
	int asked = 0;
	struct verify_options options = { .public_key = key.public_key, .known = all_known, .arg = &asked, .memory = verify_memory_new(arena) };
	struct verify_result result;
	struct error e = { 0 };
	build(HONEST);
	/* written long ago, so that a change shows however coarse the clock of the file system is */
	assert_int_equal(utimensat(AT_FDCWD, at(shard), (struct timespec[]){ { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } }, 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
		assert_whole(result);
	}
	change_byte(shard);
	assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
	assert_false(result.ok);
}

/* A page that is mapped and dirty takes a further byte without the file's times telling. */
static void a_file_that_changed_a_moment_ago_is_read_again(void **state)
{
	(void)state;
	static const char shard[] = "data/chat/all-00000-of-00001.jsonl.gz";
	int asked = 0;
	struct verify_options options = { .public_key = key.public_key, .known = all_known, .arg = &asked, .memory = verify_memory_new(arena) };
	struct verify_result result;
	struct error e = { 0 };
	build(HONEST);
	int fd = open(at(shard), O_RDWR);
	assert_true(fd >= 0);
	volatile char *p = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	p[12] ^= 0;
	assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
	assert_whole(result);
	p[12] ^= 1;
	assert_int_equal(verify_release(arena, dir, &options, &result, &e), ERR_OK);
	munmap((void *)(uintptr_t)p, 64);
	close(fd);
	assert_false(result.ok);
}

static void what_is_no_folder_is_an_error(void **state)
{
	(void)state;
	struct verify_options options = { .staged = false };
	struct verify_result result;
	struct error e = { 0 };
	assert_int_equal(verify_release(arena, "/nonexistent", &options, &result, &e), ERR_NOT_FOUND);
	clear();
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_false(verify().ok);
}

/* A publisher who holds the key signs something that is not so. */
static void every_fraud_is_caught(void **state)
{
	(void)state;
	static const struct { enum fraud fraud; const char *by; } frauds[] = {
		{ ROW_OUT_OF_ORDER, "rows" }, { ROW_TWICE_IN_A_SHARD, "rows" }, { ROW_IN_TWO_SHARDS, "rows" }, { ROW_DELETED, "rows" }, { ROW_NOT_CANONICAL, "rows" }, { ROW_NOT_JSON, "rows" },
		{ ROW_OF_ANOTHER_KIND, "rows" }, { ROW_WITHOUT_CONTENT, "rows" }, { ROW_WITHOUT_RID, "rows" }, { ROW_UNDER_UNCOUNTED_LICENCE, "rows" }, { ROW_OF_UNCOUNTED_COOP, "rows" },
		{ ROW_WITHOUT_ORIGIN, "rows" }, { ROW_NOT_ENDED, "rows" }, { ROW_LEFT_OUT, "rows" }, { ROW_EMPTY, "rows" }, { ROW_TOO_DEEP, "rows" }, { WRONG_RIDS_ROOT, "rows" },
		{ WRONG_RAW_HASH, "rows" }, { WRONG_RAW_SIZE, "rows" }, { WRONG_ROWS, "rows" }, { WRONG_HASH, "hashes" }, { WRONG_SIZE, "contents" }, { WRONG_ITEMS, "manifest" },
		{ WRONG_BY_KIND, "rows" }, { TOO_FEW_PEOPLE, "contributors" }, { TWO_COUNTS_OF_PEOPLE, "contributors" }, { MANIFEST_NOT_CANONICAL, "manifest" },
		{ MANIFEST_WITH_A_STRANGE_FIELD, "manifest" }, { MANIFEST_LEAVES_A_FILE_OUT, "contents" }, { MANIFEST_NAMES_A_FILE_TOO_MANY, "contents" }, { MANIFEST_CLIMBS_OUT, "manifest" },
		{ MANIFEST_NAMES_ITSELF, "manifest" }, { MANIFEST_UNSORTED, "manifest" }, { MANIFEST_OF_ANOTHER_COOP, "manifest" }, { MANIFEST_BEFORE_ITS_PREDECESSOR, "manifest" },
		{ MANIFEST_UNUSABLE, "manifest" }, { MANIFEST_EXPIRED_AT_BIRTH, "manifest" }, { OTHER_POLICY, "report" }, { OTHER_REPORT, "report" }, { REPORT_DOES_NOT_ADD_UP, "report" },
		{ REPORT_OF_ANOTHER_RELEASE, "report" }, { REPORT_COUNTS_A_REASON_TWICE, "report" }, { REPORT_REASON_ABOVE_CANDIDATES, "report" }, { REPORT_OTHER_K, "report" },
		{ CROISSANT_OTHER_HASH, "croissant" }, { CROISSANT_LEAVES_A_SHARD_OUT, "croissant" }, { CROISSANT_STRANGE_FILE, "croissant" }, { LICENCE_TEXT_MISSING, "licences" },
		{ LICENCE_TEXT_UNUSED, "licences" }, { TOMBSTONES_OUT_OF_ORDER, "tombstones" }, { TOMBSTONES_TOO_MANY, "tombstones" }, { TOMBSTONE_BEYOND, "tombstones" },
		{ TOMBSTONE_NOT_CANONICAL, "tombstones" }, { TOMBSTONE_WITHOUT_RID, "tombstones" }, { TOMBSTONE_CHANGED, "tombstones" }, { TOMBSTONE_LEFT_OUT, "tombstones" }, { TOMBSTONE_REPEATED, "tombstones" },
		{ TOMBSTONES_CUT, "tombstones" }, { TOMBSTONE_BY_ANOTHER, "tombstones" }, { TOMBSTONES_OF_ANOTHER_LOG, "tombstones" }, { PATCH_MISSING, "patches" }, { PATCH_FROM_ANOTHER, "patches" },
		{ PATCH_PROMISES_OTHER_LINES, "patches" }, { PATCH_PROMISES_ANOTHER_FILE, "patches" }, { PATCH_ROWS_UNSORTED, "patches" }, { PATCH_WITHOUT_ROWS, "patches" },
		{ PATCH_DENIES_A_SHARD, "patches" }, { PATCH_OF_A_STRANGE_SHARD, "patches" }, { PATCH_WITHOUT_REDACTION, "patches" }, { ENVELOPE_BY_ANOTHER, "envelope" }, { ENVELOPE_OF_ANOTHER_MANIFEST, "envelope" },
		{ ENVELOPE_OF_ANOTHER_TYPE, "envelope" }, { MINISIG_BY_ANOTHER, "sums_signature" }, { CHECKPOINT_BY_ANOTHER, "log" }, { CHECKPOINT_OF_ANOTHER_LOG, "log" },
		{ PROOF_OF_ANOTHER_LEAF, "log" }, { PROOF_TO_ANOTHER_CHECKPOINT, "log" }, { PROOF_AT_ANOTHER_INDEX, "log" }, { PROOF_WITHOUT_LEAF, "log" }, { LEAF_OF_ANOTHER_MANIFEST, "log" },
		{ LEAF_OF_ANOTHER_TYPE, "log" }, { LEAF_OF_ANOTHER_RELEASE, "log" }, { LEAF_ELSEWHERE, "log" }, { VERIFIER_KEY_OF_ANOTHER, "key" }, { SUMS_LEAVE_A_FILE_OUT, "sums" },
		{ SUMS_NAME_A_FILE_TWICE, "sums" }, { SUMS_UPPER_CASE, "sums" }, { SHARD_WITH_GARBAGE_BEHIND, "rows" }, { SHARD_AT_A_STRANGE_PATH, "rows" },
	};
	assert_int_equal(CH_LEN(frauds), FRAUDS - 1);
	for (size_t i = 0; i < CH_LEN(frauds); i++)
		assert_caught(frauds[i].fraud, frauds[i].by);
}

static const char *const all_files[] = { "LICENSES/CC-BY-4.0.txt", "LICENSES/CC0-1.0.txt", "README.md", "SHA256SUMS", "SHA256SUMS.minisig", "TERMS.md", "checkpoint", "croissant.json",
	"data/chat/all-00000-of-00001.jsonl.gz", "data/example/all-00000-of-00001.jsonl.gz", "manifest.dsse.json", "manifest.json", "patches/1.0.9--1.1.0.redact.jsonl", "policy.json", "release.tlog-proof", "report.json",
	"tombstones.jsonl" };

static void every_changed_byte_is_caught(void **state)
{
	(void)state;
	build(HONEST);
	for (size_t f = 0; f < CH_LEN(all_files); f++) {
		struct str whole = read_file(all_files[f]);
		/* the untrusted comment is covered by nothing, as its name says */
		size_t from = str_is(str_of(all_files[f]), "SHA256SUMS.minisig") ? (size_t)str_index(whole, '\n') : 0;
		size_t step = whole.n / 24 + 1;
		for (size_t i = from; i < whole.n; i += i + step < whole.n || i == whole.n - 1 ? step : whole.n - 1 - i) {
			struct arena_mark mark = arena_mark(arena);
			char *p = memcpy(arena_alloc(arena, whole.n), whole.p, whole.n);
			p[i] ^= 1;
			write_file(all_files[f], str_make(p, whole.n));
			if (verify().ok)
				fail_msg("byte %zu of %s may be changed", i, all_files[f]);
			arena_rewind(arena, mark);
		}
		write_file(all_files[f], whole);
	}
	assert_whole(verify());
}

static void every_missing_cut_or_longer_file_is_caught(void **state)
{
	(void)state;
	build(HONEST);
	for (size_t f = 0; f < CH_LEN(all_files); f++) {
		struct str whole = read_file(all_files[f]);
		assert_int_equal(unlink(at(all_files[f])), 0);
		assert_false(verify().ok);
		write_file(all_files[f], str_sub(whole, 0, whole.n - 1));
		assert_false(verify().ok);
		write_file(all_files[f], STR(""));
		assert_false(verify().ok);
		char *p = memcpy(arena_alloc(arena, whole.n + 1), whole.p, whole.n);
		p[whole.n] = '\n';
		write_file(all_files[f], str_make(p, whole.n + 1));
		assert_false(verify().ok);
		write_file(all_files[f], whole);
	}
	assert_whole(verify());
}

static void files_that_do_not_belong_are_caught(void **state)
{
	(void)state;
	static const char *const names[] = { "extra", ".hidden", "data/chat/extra.jsonl.gz", "LICENSES/MIT.txt", "with space", "data/chat/-dash" };
	build(HONEST);
	for (size_t i = 0; i < CH_LEN(names); i++) {
		write_file(names[i], STR("x"));
		assert_false(verify().ok);
		assert_int_equal(unlink(at(names[i])), 0);
	}
	assert_int_equal(mkfifo(at("pipe"), 0600), 0);
	assert_false(verify().ok);
	assert_int_equal(unlink(at("pipe")), 0);
	assert_whole(verify());
}

static void links_are_not_followed(void **state)
{
	(void)state;
	build(HONEST);
	for (size_t f = 0; f < CH_LEN(all_files); f++) {
		const char *away = str_z(arena, str_fmt(arena, "%s/away", base));
		assert_int_equal(rename(at(all_files[f]), away), 0);
		assert_int_equal(symlink(away, at(all_files[f])), 0);
		assert_false(verify().ok);
		assert_int_equal(unlink(at(all_files[f])), 0);
		assert_int_equal(rename(away, at(all_files[f])), 0);
	}
	assert_whole(verify());
}

/* Runs the command with its output put aside. */
static int command(const char *const *arguments)
{
	char *argv[8];
	int argc = 0;
	for (; arguments[argc]; argc++)
		argv[argc] = (char *)(uintptr_t)arguments[argc];
	fflush(stdout);
	int keep = dup(STDOUT_FILENO), keep_error = dup(STDERR_FILENO), nothing = open("/dev/null", O_WRONLY);
	dup2(nothing, STDOUT_FILENO);
	dup2(nothing, STDERR_FILENO);
	int status = verify_main(argc, argv);
	fflush(stdout);
	dup2(keep, STDOUT_FILENO);
	dup2(keep_error, STDERR_FILENO);
	close(keep);
	close(keep_error);
	close(nothing);
	return status;
}

static void the_command_answers_with_its_exit_status(void **state)
{
	(void)state;
	const char *mini = str_z(arena, minisign_public_key(arena, key.public_key)), *digits = str_z(arena, str_hex(arena, key.public_key, 32));
	const char *wrong = str_z(arena, minisign_public_key(arena, other_key.public_key));
	build(HONEST);
	assert_int_equal(command((const char *const[]){ "verify", dir, NULL }), 0);
	assert_int_equal(command((const char *const[]){ "verify", dir, "--key", mini, NULL }), 0);
	assert_int_equal(command((const char *const[]){ "verify", "--json", "--key", digits, dir, NULL }), 0);
	assert_int_equal(command((const char *const[]){ "verify", dir, "--key", wrong, NULL }), 1);
	assert_int_equal(command((const char *const[]){ "verify", dir, "--key", "nonsense", NULL }), 2);
	assert_int_equal(command((const char *const[]){ "verify", dir, "--key", NULL }), 2);
	assert_int_equal(command((const char *const[]){ "verify", dir, dir, NULL }), 2);
	assert_int_equal(command((const char *const[]){ "verify", "--strange", dir, NULL }), 2);
	assert_int_equal(command((const char *const[]){ "verify", NULL }), 2);
	assert_int_equal(command((const char *const[]){ "verify", "--help", NULL }), 0);
	assert_int_equal(command((const char *const[]){ "verify", "/nonexistent", NULL }), 1);
	unlink(at("TERMS.md"));
	assert_int_equal(command((const char *const[]){ "verify", "--json", dir, NULL }), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_honest_release_is_whole),
		cmocka_unit_test(stock_tools_accept_it_too),
		cmocka_unit_test(another_key_is_refused),
		cmocka_unit_test(a_staged_release_needs_no_log_yet),
		cmocka_unit_test(shards_that_are_known_are_hashed_but_not_read_again),
		cmocka_unit_test(a_memory_of_hashes_ends_where_a_file_changes),
		cmocka_unit_test(a_file_that_changed_a_moment_ago_is_read_again),
		cmocka_unit_test(what_is_no_folder_is_an_error),
		cmocka_unit_test(every_fraud_is_caught),
		cmocka_unit_test(every_changed_byte_is_caught),
		cmocka_unit_test(every_missing_cut_or_longer_file_is_caught),
		cmocka_unit_test(files_that_do_not_belong_are_caught),
		cmocka_unit_test(links_are_not_followed),
		cmocka_unit_test(the_command_answers_with_its_exit_status),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
