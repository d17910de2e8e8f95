/* The texts around a log: proofs (c2sp.org/tlog-proof@v1) and the addresses of tiles (c2sp.org/tlog-tiles). */
#include "commonhold/ledger.h"

#define PROOF_HEAD "c2sp.org/tlog-proof@v1"
#define HASHES_MAX 64

struct sha256 ledger_commitment(const uint8_t salt[32], struct sha256 content)
{
	struct str parts[] = { str_make(salt, 32), str_make(content.b, 32) };
	return sha256_of(parts, CH_LEN(parts));
}

struct str tlog_proof_write(struct arena *a, const struct tlog_proof *p)
{
	struct buf out;
	buf_init(&out, LIMIT_PROOF);
	buf_add_z(&out, PROOF_HEAD "\n");
	if (p->entry.p) {
		buf_add_z(&out, "extra ");
		buf_add_str(&out, str_base64(a, p->entry.p, p->entry.n));
		buf_add_byte(&out, '\n');
	}
	buf_addf(&out, "index %llu\n", (unsigned long long)p->index);
	for (size_t i = 0; i < p->n; i++) {
		buf_add_str(&out, str_base64(a, p->path[i].b, 32));
		buf_add_byte(&out, '\n');
	}
	buf_add_byte(&out, '\n');
	buf_add_str(&out, p->checkpoint);
	return buf_take(a, &out);
}

/* A decimal number without sign or leading zeroes. */
static bool take_number(struct str s, uint64_t max, uint64_t *out)
{
	int64_t v;
	if (s.n == 0 || s.p[0] < '0' || s.p[0] > '9' || (s.p[0] == '0' && s.n > 1) || !str_to_i64(s, 0, max > INT64_MAX ? INT64_MAX : (int64_t)max, &v))
		return false;
	*out = (uint64_t)v;
	return true;
}

static bool proof_parse(struct arena *a, struct str text, struct tlog_proof *out)
{
	struct str rest = text, line, bytes;
	*out = (struct tlog_proof){ .entry = STR_NONE };
	if (text.n > LIMIT_PROOF || !str_split(&rest, '\n', &line) || !str_is(line, PROOF_HEAD) || !str_split(&rest, '\n', &line))
		return false;
	if (str_starts(line, "extra ")) {
		if (!str_unbase64(a, str_sub(line, 6, line.n), &out->entry) || !str_split(&rest, '\n', &line))
			return false;
	}
	if (!str_starts(line, "index ") || !take_number(str_sub(line, 6, line.n), INT64_MAX, &out->index))
		return false;
	struct sha256 *path = ARENA_ARRAY(a, HASHES_MAX, struct sha256);
	while (str_split(&rest, '\n', &line) && line.n) {
		if (out->n == HASHES_MAX || !str_unbase64(a, line, &bytes) || bytes.n != 32)
			return false;
		memcpy(path[out->n++].b, bytes.p, 32);
	}
	out->path = path;
	out->checkpoint = rest;
	return rest.p && rest.n;
}

enum err tlog_proof_read(struct arena *a, struct str text, struct tlog_proof *out, struct error *e)
{
	return proof_parse(a, text, out) ? ERR_OK : error_set(e, ERR_INVALID, "This is not a proof of the form " PROOF_HEAD ".");
}

static bool three_digits(struct str s, uint64_t *out)
{
	if (s.n != 3)
		return false;
	*out = 0;
	for (size_t i = 0; i < 3; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(s.p[i] - '0');
	}
	return true;
}

/* "x001/x234/067": groups of three digits, all but the last behind an x. One address for each index: no leading x000. */
static bool parse_index(struct str address, uint64_t *out)
{
	struct str rest = address, part;
	uint64_t group;
	*out = 0;
	for (unsigned groups = 0; str_split(&rest, '/', &part); groups++) {
		bool last = !rest.p;
		if (groups == 6 || (!last && !str_starts(part, "x")) || !three_digits(last ? part : str_sub(part, 1, part.n), &group))
			return false;
		if (groups == 0 && !last && group == 0)
			return false;
		*out = *out * 1000 + group;
	}
	return true;
}

/* Takes ".p/<width>" off the end. */
static bool cut_width(struct str *address, unsigned *width)
{
	uint64_t number;
	ptrdiff_t dot = str_index(*address, '.');
	if (dot < 0)
		return true;
	struct str suffix = str_sub(*address, (size_t)dot, address->n);
	if (!str_starts(suffix, ".p/") || !take_number(str_sub(suffix, 3, suffix.n), 255, &number) || number == 0)
		return false;
	*address = str_sub(*address, 0, (size_t)dot);
	*width = (unsigned)number;
	return true;
}

bool tile_path_parse(struct str path, struct tile_path *out)
{
	struct str rest = path, level;
	uint64_t number = 0;
	*out = (struct tile_path){ .width = 256 };
	if (path.n > 64 || !str_split(&rest, '/', &level) || !rest.p)
		return false;
	out->entries = str_is(level, "entries");
	if (!out->entries && !take_number(level, 63, &number))
		return false;
	out->level = (unsigned)number;
	return cut_width(&rest, &out->width) && parse_index(rest, &out->index);
}

struct str tile_path_format(struct arena *a, struct tile_path p)
{
	struct str text = str_fmt(a, "%03u", (unsigned)(p.index % 1000));
	for (uint64_t index = p.index / 1000; index; index /= 1000)
		text = str_fmt(a, "x%03u/%.*s", (unsigned)(index % 1000), STR_ARG(text));
	text = p.entries ? str_fmt(a, "entries/%.*s", STR_ARG(text)) : str_fmt(a, "%u/%.*s", p.level, STR_ARG(text));
	return p.width == 256 ? text : str_fmt(a, "%.*s.p/%u", STR_ARG(text), p.width);
}
