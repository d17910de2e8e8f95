#include "tests/bench/release/pool.h"

#include "commonhold/account.h"
#include "commonhold/db.h"
#include "commonhold/keyring.h"
#include "commonhold/packed.h"
#include "tests/bench/release/copy.h"

#include <stdlib.h>

#define WORDS 6000   /* of the made language */
#define PICKS 65536  /* places in the table by which words are drawn */

enum space { SPACE_ITEM = 1, SPACE_ITEM_ID, SPACE_MEMBER, SPACE_ACCOUNT, SPACE_MEMBER_ID, SPACE_TEXT, SPACE_WORD };

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t made_number(uint64_t space, uint64_t no)
{
	return mix(mix(space) ^ no);
}

struct uuid made_uuid(uint64_t space, uint64_t no)
{
	struct uuid u;
	uint64_t high = made_number(space, no), low = mix(high ^ no);
	memcpy(u.b, &high, 8);
	memcpy(u.b + 8, &low, 8);
	u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
	u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
	return u;
}

/* ---- Text ----
 *
 * Words of one to four syllables, drawn by Zipf's law, so that gzip finds in it about what it finds in prose: a third is left. */

static char words[WORDS][16];
static uint8_t word_length[WORDS];
static uint16_t picks[PICKS];

static void language_make(void)
{
	static const char *const syllables[] = { "ka", "ren", "to", "mi", "sol", "ve", "an", "der", "li", "por", "est", "qua", "ni", "sche", "ol", "tur", "be", "ach", "in", "ma", "go", "ist",
		"ur", "fel", "da", "cre", "om", "pla", "zu", "ri", "ent", "h\xc3\xa9", "w\xc3\xbc", "as" };
	double weight = 0, sum = 0;
	for (unsigned i = 0; i < WORDS; i++) {
		uint64_t x = made_number(SPACE_WORD, i);
		size_t n = 0;
		for (unsigned s = 0, end = i < 60 ? 1 : 2 + (unsigned)(x >> 60) % 3; s < end; s++) {
			const char *syllable = syllables[(x >> s * 8 & 0xff) % CH_LEN(syllables)];
			n += (size_t)snprintf(words[i] + n, sizeof(words[i]) - n, "%s", syllable);
		}
		word_length[i] = (uint8_t)(n < sizeof(words[i]) ? n : sizeof(words[i]) - 1);
		weight += 1.0 / (i + 2.7);
	}
	for (unsigned i = 0, at = 0; i < WORDS; i++) {
		sum += 1.0 / (i + 2.7);
		for (unsigned end = (unsigned)(sum / weight * PICKS); at < end && at < PICKS; at++)
			picks[at] = (uint16_t)i;
	}
}

/* About n bytes of sentences. */
static char *prose(char *to, size_t n, uint64_t *x)
{
	char *end = to + n;
	unsigned since = 0;
	while (to < end) {
		*x = mix(*x);
		unsigned w = picks[*x & (PICKS - 1)];
		if (since)
			*to++ = ' ';
		memcpy(to, words[w], word_length[w]);
		if (since == 0 && *to >= 'a' && *to <= 'z')
			*to = (char)(*to - 32);
		to += word_length[w];
		if (++since > 4 && (*x >> 20) % 11 == 0) {
			memcpy(to, ". ", 2);
			to += 2;
			since = 0;
		} else if ((*x >> 32) % 97 == 0) {
			to += snprintf(to, 12, " %u", (unsigned)(*x >> 48));
		}
	}
	*to++ = '.';
	return to;
}

static char *text(char *to, const char *z)
{
	size_t n = strlen(z);
	memcpy(to, z, n);
	return to + n;
}

static size_t content_make(char *to, unsigned kind, uint64_t x)
{
	char *p = to;
	size_t first = 120 + (size_t)(x >> 10) % 240, second = 420 + (size_t)(x >> 30) % 500;
	switch (kind) {
	case POLICY_KIND_CHAT:
		p = prose(text(p, "{\"messages\":[{\"content\":\""), first, &x);
		p = prose(text(p, "\",\"role\":\"user\"},{\"content\":\""), second, &x);
		p = text(p, "\",\"role\":\"assistant\"}]}");
		break;
	case POLICY_KIND_PREFERENCE:
		p = prose(text(p, "{\"chosen\":[{\"content\":\""), second / 2, &x);
		p = prose(text(p, "\",\"role\":\"assistant\"}],\"prompt\":[{\"content\":\""), first, &x);
		p = prose(text(p, "\",\"role\":\"user\"}],\"rejected\":[{\"content\":\""), second / 2, &x);
		p = text(p, "\",\"role\":\"assistant\"}]}");
		break;
	default:
		p = prose(text(p, "{\"input\":\""), first, &x);
		p = prose(text(p, "\",\"output\":\""), second, &x);
		p = text(p, "\"}");
	}
	return (size_t)(p - to);
}

/* ---- Items ---- */

static instant month_begin(int month)
{
	return clock_of_civil((struct civil){ .year = 2024 + month / 12, .month = month % 12 + 1, .day = 1 });
}

void made_item(uint64_t no, uint64_t total, struct made_item *out)
{
	static const unsigned kinds[] = { POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_EXAMPLE, POLICY_KIND_EXAMPLE, POLICY_KIND_PREFERENCE };
	static const char *const languages[] = { "en", "en", "en", "de", "fr", "it" };
	if (!word_length[0])
		language_make();
	uint64_t x = made_number(SPACE_ITEM, no);
	int month = no < total ? (int)(no * MADE_MONTHS / total) : MADE_MONTHS - 1;
	instant begin = month_begin(month), end = month + 1 < MADE_MONTHS ? month_begin(month + 1) : MADE_END;
	unsigned fate = (unsigned)(x >> 40) % 1000;
	out->member = 1 + (uint32_t)((x >> 8) % (MADE_MEMBERS - 1)); /* the founder has none */
	out->kind = kinds[(x & 0xff) % CH_LEN(kinds)];
	out->licence = policy_licence_find(x >> 60 < 11 ? "CC-BY-4.0" : "CC0-1.0", x >> 60 < 11 ? 9 : 7);
	/* whole seconds, evenly over the month, in order of number */
	double part = no < total ? (double)(no - ((uint64_t)month * total + MADE_MONTHS - 1) / MADE_MONTHS) * MADE_MONTHS / (double)total : 0.999;
	out->at = begin + (instant)((double)(end - begin) / 1e6 * (part < 0 ? 0 : part)) * CLOCK_SECOND;
	out->moderation = fate < 960 ? POLICY_MODERATION_APPROVED : fate < 985 ? POLICY_MODERATION_PENDING : POLICY_MODERATION_REJECTED;
	out->lang = languages[(x >> 50) % CH_LEN(languages)];
	out->id = made_uuid(SPACE_ITEM_ID, no);
	out->n = content_make(out->content, out->kind, made_number(SPACE_TEXT, no));
}

/* ---- Writing ---- */

void need(const struct call *c, enum err err, const char *what)
{
	if (err == ERR_OK)
		return;
	fprintf(stderr, "%s: %s %s\n", what, c->error.message, c->error.detail);
	for (const struct fault *f = c->error.faults; f; f = f->next)
		fprintf(stderr, "  %.*s %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
	exit(1);
}

char *admin_sql(PGconn *admin, const char *sql)
{
	PGresult *r = PQexec(admin, sql);
	ExecStatusType status = PQresultStatus(r);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s: %s\n", sql, PQresultErrorMessage(r));
		exit(1);
	}
	char *first = strdup(status == PGRES_TUPLES_OK && PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
	PQclear(r);
	return first;
}

static void run_sql(PGconn *admin, const char *sql)
{
	free(admin_sql(admin, sql));
}

static void founder(struct call *c, struct uuid *coop)
{
	static const char charter[] =
		"{\"name\":\"Bench\",\"scope\":{\"domain\":\"text\",\"region\":\"CH\",\"language\":[\"en\"]},"
		"\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":5},"
		"\"cadence\":{\"rrule\":\"FREQ=MONTHLY;BYMONTHDAY=1\",\"start\":\"2024-01-01T00:00:00Z\",\"lead\":\"P1D\",\"notice\":\"P7D\",\"voting\":\"P2D\",\"cooling_off\":\"P1D\"},"
		"\"gate\":{\"rule\":\"n_of_m_admins\",\"n\":1},\"membership\":{\"admission\":\"open\"},\"retention\":{\"raw\":\"P0D\"}}";
	struct account account;
	const struct json *draft;
	struct coop made;
	NEED(c, account_create(c, STR("founder@example.org"), STR("Founder"), &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	NEED(c, json_parse(c->arena, str_of(charter), &draft, &c->error));
	NEED(c, coop_found(c, STR("bench"), draft, &made));
	*coop = made.id;
}

static void check(bool ok)
{
	if (!ok)
		exit(1);
}

/* Nine in ten consent, and of those four in five say yes to training, some of them with a condition; the founder is number 0 and said nothing. */
static void members_make(PGconn *admin, struct uuid coop)
{
	static struct loading l;
	instant joined = month_begin(0) - CLOCK_DAY, ends = MADE_END + 3650 * CLOCK_DAY;
	char name[32], email[64];
	uint8_t salt[32] = { 1 };
	load_begin(&l, admin, "account (id, email, name, created_at)");
	for (unsigned i = 1; i < MADE_MEMBERS; i++) {
		snprintf(name, sizeof(name), "Member %u", i);
		snprintf(email, sizeof(email), "member%u@example.org", i);
		load_row(&l, 4), load_uuid(&l, made_uuid(SPACE_ACCOUNT, i)), load_text(&l, email), load_text(&l, name), load_time(&l, joined);
	}
	check(load_end(&l));
	load_begin(&l, admin, "membership (coop_id, id, account_id, number, state, applied_at, joined_at, due_at, state_at, attribution, pseudonym)");
	for (unsigned i = 1; i < MADE_MEMBERS; i++) {
		uint64_t x = made_number(SPACE_MEMBER, i);
		snprintf(name, sizeof(name), "quiet-heron-%05u", i);
		load_row(&l, 11), load_uuid(&l, coop), load_uuid(&l, made_uuid(SPACE_MEMBER_ID, i)), load_uuid(&l, made_uuid(SPACE_ACCOUNT, i)), load_int(&l, i, 4);
		load_text(&l, "active"), load_time(&l, joined), load_time(&l, joined), load_time(&l, ends), load_time(&l, joined);
		load_text(&l, x % 4 ? "pseudonym" : "anonymous"), load_text(&l, name);
	}
	check(load_end(&l));
	load_begin(&l, admin, "consent (coop_id, member_id, state, purposes, notice, defaults, at, expires_at, salt)");
	for (unsigned i = 1; i < MADE_MEMBERS; i++) {
		if (made_number(SPACE_MEMBER, i) >> 8 & 15) {
			load_row(&l, 9), load_uuid(&l, coop), load_uuid(&l, made_uuid(SPACE_MEMBER_ID, i)), load_text(&l, "given"), load_text_array(&l, "research"), load_int(&l, 1, 4);
			load_bool(&l, false), load_time(&l, joined), load_time(&l, ends), load_field(&l, salt, 32);
		}
	}
	check(load_end(&l));
	load_begin(&l, admin, "statement (coop_id, member_id, layer, uses, effect, declared_by, declared_at, salt)");
	for (unsigned i = 1; i < MADE_MEMBERS; i++) {
		unsigned says = (unsigned)(made_number(SPACE_MEMBER, i) >> 16) % 100;
		if (says < 97) {
			load_row(&l, 8), load_uuid(&l, coop), load_uuid(&l, made_uuid(SPACE_MEMBER_ID, i)), load_int(&l, 2, 2), load_text_array(&l, "train.gen");
			load_text(&l, says < 75 ? "allow" : "deny"), load_uuid(&l, made_uuid(SPACE_ACCOUNT, i)), load_time(&l, joined), load_field(&l, salt, 32);
		}
	}
	check(load_end(&l));
}

/* The shard keys, numbered by month, kind and licence. */
static void shard_keys_make(PGconn *admin, struct uuid coop)
{
	static struct loading l;
	static const unsigned kinds[] = { POLICY_KIND_CHAT, POLICY_KIND_EXAMPLE, POLICY_KIND_PREFERENCE };
	load_begin(&l, admin, "shard_key (coop_id, no, kind, licence, month)");
	for (int month = 0; month < MADE_MONTHS; month++)
		for (int k = 0; k < 3; k++)
			for (int free = 0; free < 2; free++) {
				load_row(&l, 5), load_uuid(&l, coop), load_int(&l, month * 6 + k * 2 + free, 4), load_int(&l, kinds[k], 2);
				load_int(&l, (int)policy_licence_find(free ? "CC0-1.0" : "CC-BY-4.0", free ? 7 : 9), 2), load_int(&l, 2024 * 12 + month, 4);
			}
	check(load_end(&l));
}

static int shard_of(const struct made_item *item)
{
	struct civil v = clock_civil(item->at);
	int k = item->kind == POLICY_KIND_CHAT ? 0 : item->kind == POLICY_KIND_EXAMPLE ? 1 : 2;
	return ((v.year - 2024) * 12 + v.month - 1) * 6 + k * 2 + (item->licence == policy_licence_find("CC0-1.0", 7));
}

static void item_write(struct loading *rows, struct loading *contents, struct uuid coop, const struct seal_key *key, int64_t no, const struct made_item *item)
{
	uint8_t context[32], sealed[sizeof(item->content) + SEAL_OVERHEAD], salt[32] = { 2 };
	struct str content = str_make(item->content, item->n);
	struct sha256 hash = sha256(content);
	struct policy_item packed = { .member = item->member, .flags = POLICY_ITEM_ATTRIBUTED, .kind = (uint8_t)item->kind, .licence = (uint8_t)item->licence,
		.moderation = (uint8_t)item->moderation, .created = item->at };
	int shard = shard_of(item);
	load_row(rows, 17), load_uuid(rows, coop), load_uuid(rows, item->id), load_int(rows, no, 8), load_uuid(rows, made_uuid(SPACE_MEMBER_ID, item->member));
	load_int(rows, item->member, 4), load_int(rows, shard, 4), load_int(rows, item->kind, 2), load_int(rows, item->licence, 2), load_text(rows, item->lang);
	load_field(rows, hash.b, 32), load_int(rows, (int64_t)item->n, 4), load_time(rows, item->at), load_int(rows, (int64_t)policy_item_pack(&packed), 8);
	load_int(rows, (int64_t)packed_language(str_of(item->lang)), 8), load_int(rows, no, 8), load_field(rows, salt, 32), load_text(rows, "{}");
	pool_seal_context(coop, item->id.b, context);
	seal_into(key, str_make(context, sizeof(context)), content, sealed);
	load_row(contents, 5), load_uuid(contents, coop), load_int(contents, shard, 4), load_uuid(contents, item->id), load_text(contents, item->lang);
	load_field(contents, sealed, item->n + SEAL_OVERHEAD);
}

static void items_write(struct call *c, PGconn *admin, const char *admin_url, struct uuid coop, int64_t from, int64_t to, int64_t total)
{
	static struct loading rows, contents;
	static struct made_item item;
	static struct uuid members[MADE_MEMBERS];
	static struct seal_key keys[MADE_MEMBERS];
	PGconn *second = PQconnectdb(admin_url);
	for (unsigned i = 1; i < MADE_MEMBERS; i++)
		members[i] = made_uuid(SPACE_MEMBER_ID, i);
	if (from)
		NEED(c, keyring_get(c, coop, members + 1, MADE_MEMBERS - 1, keys + 1, NULL));
	for (unsigned i = 1; i < MADE_MEMBERS && !from; i++)
		NEED(c, keyring_make(c, coop, members[i], &keys[i]));
	load_begin(&rows, admin,
		"contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt, facts)");
	load_begin(&contents, second, "contribution_content (coop_id, shard, id, lang, sealed)");
	for (int64_t no = from; no < to; no++) {
		made_item((uint64_t)no, (uint64_t)total, &item);
		item_write(&rows, &contents, coop, &keys[item.member], no, &item);
	}
	check(load_end(&rows));
	check(load_end(&contents));
	PQfinish(second);
	char sql[200];
	snprintf(sql, sizeof(sql), "INSERT INTO pool_head SELECT id, %lld FROM coop ON CONFLICT (coop_id) DO UPDATE SET next_item = excluded.next_item", (long long)to);
	run_sql(admin, sql);
}

void pool_pack_all(struct call *c, struct uuid coop)
{
	int64_t packed;
	NEED(c, db_begin_in(c, coop, DB_WRITE));
	NEED(c, pool_pack(c, coop, &packed));
	NEED(c, db_commit(c));
}

void pool_make(struct call *c, PGconn *admin, const char *admin_url, int64_t items, struct uuid *coop)
{
	founder(c, coop);
	members_make(admin, *coop);
	shard_keys_make(admin, *coop);
	items_write(c, admin, admin_url, *coop, 0, items, items);
	pool_pack_all(c, *coop);
	run_sql(admin, "VACUUM ANALYZE");
	run_sql(admin, "CHECKPOINT");
}

void pool_grow(struct call *c, PGconn *admin, const char *admin_url, struct uuid coop, int64_t items, int64_t n)
{
	items_write(c, admin, admin_url, coop, items, items + n, items);
	pool_pack_all(c, coop);
}
