#include "merge_kit.h"

#include "commonhold/guest.h"
#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void mkit_home(struct call *c, struct mkit_home *out)
{
	*out = (struct mkit_home){ .size = 1, .tombstones = 0 };
	sign_key_new(&out->key);
	out->keys = keychain_single(c->arena, out->key.public_key);
	out->name = out->keys.name;
	out->tombstone = sha256(out->name);
}

static const char *uuid_z(struct call *c, struct uuid u)
{
	return str_z(c->arena, uuid_format(c->arena, u));
}

void mkit_agree(struct call *c, struct uuid coop, struct mkit_home *home, const char *more, struct mkit_agreement *out)
{
	struct charter charter;
	struct str document, ours = str_of(fixture_text(str_z(c->arena, str_fmt(c->arena, "SELECT key_name FROM coop WHERE id = '%s'", uuid_z(c, coop)))));
	struct uuid peer = uuid_new();
	*out = (struct mkit_agreement){ coop, uuid_new(), home, 0 };
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, charter_current(c, coop, &charter));
	assert_ok(c, db_commit(c));
	struct agreement_party parties[2] = { { ours, STR("https://here.example"), &charter }, { home->name, STR("https://there.example"), &charter } };
	if (str_cmp(parties[0].coop, parties[1].coop) > 0) {
		struct agreement_party swap = parties[0];
		parties[0] = parties[1];
		parties[1] = swap;
	}
	const struct json *draft = world_json(c, str_z(c->arena, str_fmt(c->arena, "{%s}", more)));
	if (agreement_terms_check(c->arena, draft, parties, out->id, 1, NULL, clock_now(), &document, &c->error) != ERR_OK) {
		for (const struct fault *f = c->error.faults; f; f = f->next)
			print_message("%.*s %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
		fail_msg("%s", c->error.message);
	}
	fixture_sql(str_z(c->arena, str_fmt(c->arena,
		"SET session_replication_role = replica;"
		"INSERT INTO peer (coop_id, id, url, name, title, chain, fingerprint, state, met_at, state_at) VALUES ('%s', '%s', 'https://there.example', '%.*s', 'There', $k$%.*s$k$, 'x', 'confirmed', "
		"statement_timestamp(), statement_timestamp());"
		"INSERT INTO agreement (coop_id, id, peer_id, made_at) VALUES ('%s', '%s', '%s', statement_timestamp());"
		"INSERT INTO agreement_revision (coop_id, agreement_id, revision, document, digest, charter_theirs, state, proposed_here, ballot_id, assent_ours, assent_theirs, made_at, state_at, effect_at, starts_at, ends_at) "
		"VALUES ('%s', '%s', 1, $d$%.*s$d$, sha256(convert_to($d$%.*s$d$, 'UTF8')), '{}', 'in_effect', true, gen_random_uuid(), '{}', '{}', statement_timestamp(), statement_timestamp(), "
		"statement_timestamp(), statement_timestamp(), statement_timestamp() + interval '300 days');"
		"SET session_replication_role = DEFAULT",
		uuid_z(c, coop), uuid_z(c, peer), STR_ARG(home->name), STR_ARG(home->keys.text), uuid_z(c, coop), uuid_z(c, out->id), uuid_z(c, peer), uuid_z(c, coop), uuid_z(c, out->id),
		STR_ARG(document), STR_ARG(document))));
	struct agreement_terms terms;
	assert_ok(c, agreement_terms_parse(c->arena, document, &terms, &c->error));
	struct guest_source source = {
		.agreement = out->id, .home = home->name, .title = STR("There"), .uses = terms.uses, .floor = terms.floor, .purposes = terms.purposes, .audience = terms.audience, .k = terms.k,
		.access = STR("public"), .attribution = STR("pseudonym"), .state = GUEST_SOURCE_IN_EFFECT, .fresh_until = clock_now() + 30 * CLOCK_DAY,
	};
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, guest_source_put(c, coop, &source));
	assert_ok(c, db_commit(c));
}

/* ---- Lines ---- */

void mkit_begin(struct call *c, struct mkit_home *home, struct mkit_bundle *b)
{
	*b = (struct mkit_bundle){ .c = c, .home = home };
	buf_init(&b->tombstones, 64 * MIB);
	buf_init(&b->statements, 64 * MIB);
	buf_init(&b->records, 256 * MIB);
	buf_init(&b->labels, 64 * MIB);
}

void mkit_end(struct mkit_bundle *b)
{
	buf_release(&b->tombstones);
	buf_release(&b->statements);
	buf_release(&b->records);
	buf_release(&b->labels);
}

static struct str contributor(struct call *c, unsigned no)
{
	return str_fmt(c->arena, "%032x", no + 1);
}

/* A line that the home signs: what stands before its signature, and after. */
static void add_signed(struct mkit_bundle *b, struct buf *to, const char *prefix, struct str head, struct str tail)
{
	uint8_t signature[64];
	struct call *c = b->c;
	sign_bytes(&b->home->key, str_cat(c->arena, str_of(prefix), head, tail), signature);
	buf_add_str(to, head);
	buf_add_z(to, ",\"sig\":\"");
	buf_add_str(to, str_base64(c->arena, signature, 64));
	buf_add_z(to, "\"");
	buf_add_str(to, tail);
	buf_add_byte(to, '\n');
}

void mkit_words(struct mkit_bundle *b, unsigned no, int64_t rev, const char *effect, const char *spoken)
{
	struct call *c = b->c;
	struct json_writer w;
	struct buf consent, said, tail;
	struct guest_word word = { .effect = effect ? (uint8_t)policy_effect_find(effect, strlen(effect)) : 0, .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN), .declared_at = clock_now(),
		.valid_from = INSTANT_NONE, .valid_to = INSTANT_NEVER };
	struct guest_word for_them = { .effect = spoken ? (uint8_t)policy_effect_find(spoken, strlen(spoken)) : 0, .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN), .purpose = POLICY_PURPOSE_RESEARCH };
	struct guest_words words = {
		.home = b->home->name, .rev = rev, .as_of = clock_now(), .standing = POLICY_STANDING_ACTIVE, .consent = POLICY_CONSENT_GIVEN, .purposes = POLICY_BIT(POLICY_PURPOSE_RESEARCH),
		.consent_given = clock_now(), .consent_expires = clock_now() + 300 * CLOCK_DAY, .said = &word, .n_said = effect != NULL, .spoken_for = &for_them, .n_spoken = spoken != NULL,
	};
	buf_init(&consent, MIB);
	buf_init(&said, MIB);
	buf_init(&tail, MIB);
	jw_init(&w, &consent);
	jw_object(&w);
	jw_key(&w, "consent");
	guest_consent_write(&w, c->arena, &words);
	jw_kstr(&w, "contributor", contributor(c, no));
	jw_kstr(&w, "home", b->home->name);
	jw_kstr(&w, "name", STR_NONE);
	jw_kint(&w, "rev", rev);
	buf_add_z(&consent, ",\"said\":");
	jw_init(&w, &said);
	guest_said_write(&w, c->arena, &words);
	buf_add_z(&tail, ",\"spoken_for\":");
	jw_init(&w, &tail);
	guest_spoken_write(&w, &words);
	buf_add_z(&tail, ",\"standing\":\"active\"}");
	add_signed(b, &b->statements, BUNDLE_SAID_PREFIX, str_cat(c->arena, buf_str(&consent), buf_str(&said)), buf_str(&tail));
	buf_release(&consent);
	buf_release(&said);
	buf_release(&tail);
	b->counts.statements++;
}

void mkit_record_json(struct mkit_bundle *b, unsigned no, struct uuid id, const char *kind, const char *content, const char *licence)
{
	struct call *c = b->c;
	struct str salt = sha256_hex(c->arena, sha256(str_make(id.b, 16)));
	struct str line = str_fmt(c->arena,
		"{\"at\":\"2026-01-05T10:00:00Z\",\"content\":%s,\"contributor\":\"%.*s\",\"facts\":{\"prompted\":\"proactive\"},\"home\":\"%.*s\",\"kind\":\"%s\",\"lang\":\"en\",\"leaf\":%lld,"
		"\"licence\":\"%s\",\"rid\":\"dc:%.*s:%s\",\"salt\":\"%.*s\"}\n",
		content, STR_ARG(contributor(c, no)), STR_ARG(b->home->name), kind, (long long)b->home->size++, licence, STR_ARG(b->home->name), uuid_z(c, id), STR_ARG(salt));
	buf_add_str(&b->records, line);
	b->counts.records++;
}

void mkit_record(struct mkit_bundle *b, unsigned no, struct uuid id, const char *input, const char *licence)
{
	mkit_record_json(b, no, id, "example", str_z(b->c->arena, str_fmt(b->c->arena, "{\"input\":\"%s\"}", input)), licence);
}

void mkit_erase(struct mkit_bundle *b, struct uuid id)
{
	struct call *c = b->c;
	struct mkit_home *h = b->home;
	instant hour = clock_now() / CLOCK_HOUR * CLOCK_HOUR;
	struct str at = clock_format(c->arena, hour), until = clock_format(c->arena, hour + 24 * CLOCK_HOUR);
	struct str head = str_fmt(c->arena, "{\"effective\":\"%.*s\",\"idx\":%lld,\"kind\":\"erase\",\"prev\":\"%.*s\",\"purge_by\":\"%.*s\",\"reason_code\":\"consent_withdrawn\",\"releases\":[],"
		"\"rid\":[\"dc:%.*s:%s\"]", STR_ARG(at), (long long)h->tombstones++, STR_ARG(sha256_hex(c->arena, h->tombstone)), STR_ARG(until), STR_ARG(h->name), uuid_z(c, id));
	size_t from = b->tombstones.n;
	add_signed(b, &b->tombstones, "commonhold/tombstone/1\n", head, str_fmt(c->arena, ",\"t\":\"%.*s\"}", STR_ARG(at)));
	h->tombstone = sha256(str_make(b->tombstones.p + from, b->tombstones.n - from - 1));
	b->counts.tombstones++;
}

void mkit_passing(struct mkit_bundle *b, struct uuid id, bool out, int64_t rev)
{
	struct call *c = b->c;
	struct str rids = str_fmt(c->arena, "[\"dc:%.*s:%s\"]", STR_ARG(b->home->name), uuid_z(c, id)), home = str_fmt(c->arena, "\"home\":\"%.*s\"", STR_ARG(b->home->name));
	struct str revision = str_fmt(c->arena, ",\"rev\":%lld", (long long)rev);
	struct str head = out ? str_cat(c->arena, STR("{"), home, STR(",\"out\":"), rids, revision) : str_cat(c->arena, STR("{\"back\":"), rids, STR(","), home, revision);
	add_signed(b, &b->statements, BUNDLE_SAID_PREFIX, head, STR("}"));
	*(out ? &b->counts.out : &b->counts.back) += 1;
}

void mkit_label(struct mkit_bundle *b, unsigned by, struct uuid id, const char *label, const char *value, instant at)
{
	struct call *c = b->c;
	struct str tail = value ? str_fmt(c->arena, ",\"value\":%s}\n", value) : STR("}\n");
	buf_add_str(&b->labels, str_fmt(c->arena, "{\"at\":\"%.*s\",\"by\":\"%.*s\",\"by_home\":\"%.*s\",\"home\":\"%.*s\",\"label\":\"%s\",\"rid\":\"dc:%.*s:%s\"%.*s", STR_ARG(clock_format(c->arena, at)),
		STR_ARG(contributor(c, by)), STR_ARG(b->home->name), STR_ARG(b->home->name), label, STR_ARG(b->home->name), uuid_z(c, id), STR_ARG(tail)));
	b->counts.labels++;
}

/* ---- Files ---- */

static void add_file(struct bundle *out, const char *dir, int fd, const char *path, enum bundle_section part, const struct buf *text)
{
	char name[256];
	int64_t lines = 0;
	if (text->n == 0)
		return;
	snprintf(name, sizeof(name), "%s/%s", dir, path);
	FILE *f = fopen(name, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text->p, 1, text->n, f), text->n);
	fclose(f);
	for (size_t i = 0; i < text->n; i++)
		lines += text->p[i] == '\n';
	struct sha256 digest = sha256(buf_str(text));
	out->files[out->n_files++] = (struct bundle_file){ .path = str_of(path), .part = part, .size = (int64_t)text->n, .raw_size = (int64_t)text->n, .lines = lines, .sha256 = digest, .raw_sha256 = digest,
		.fd = fd, .at = -1 };
}

static void close_folder(void *arg)
{
	close((int)(intptr_t)arg);
}

struct bundle *mkit_bundle(struct call *c, const struct mkit_agreement *g, const struct mkit_bundle *b, int64_t seq, unsigned no)
{
	static unsigned folders;
	char dir[160];
	struct bundle *out = ARENA_NEW(c->arena, struct bundle);
	snprintf(dir, sizeof(dir), "%s/bundle-%u", fixture_dir(), folders++);
	assert_int_equal(mkdir(dir, 0700), 0);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	arena_defer(c->arena, close_folder, (void *)(intptr_t)fd);
	out->files = ARENA_ARRAY(c->arena, 4, struct bundle_file);
	add_file(out, dir, fd, "labels.jsonl", BUNDLE_LABELS, &b->labels);
	add_file(out, dir, fd, "records-00000.jsonl", BUNDLE_RECORDS, &b->records);
	add_file(out, dir, fd, "statements.jsonl", BUNDLE_STATEMENTS, &b->statements);
	add_file(out, dir, fd, "tombstones.jsonl", BUNDLE_TOMBSTONES, &b->tombstones);
	out->manifest = str_fmt(c->arena, "{\"kit\":%u,\"seq\":%lld}", no, (long long)seq);
	out->digest = sha256(out->manifest);
	out->from = g->home->name;
	out->agreement_id = g->id;
	out->seq = seq;
	out->as_of = out->created = clock_now();
	out->fresh_until = clock_now() + 30 * CLOCK_DAY;
	out->counts = b->counts;
	out->keys = g->home->keys;
	out->checkpoint = STR("a checkpoint");
	out->origin = str_cat(c->arena, STR("there.example/coop/"), g->home->name);
	out->chain = (struct tombstone_chain){ .upto = g->home->tombstones - 1, .digest = g->home->tombstone };
	out->checked = true;
	return out;
}

struct merge_report mkit_apply(struct call *c, struct mkit_agreement *g, const struct mkit_bundle *b)
{
	struct merge_report report;
	g->seq++;
	struct bundle *bundle = mkit_bundle(c, g, b, g->seq, (unsigned)g->seq);
	assert_ok(c, merge_apply(c, g->coop, bundle, &report));
	return report;
}
