/* Forks: who is asked, who says yes, what goes along, and that the fork's log begins with its parent's. */
#include "bundle_forge.h"
#include "merge_world.h"
#include "server/merge/fork/fork_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/crypto.h"
#include "commonhold/delegation.h"
#include "commonhold/fork.h"
#include "commonhold/ledger.h"
#include "commonhold/lineage.h"
#include "commonhold/merge.h"
#include "commonhold/peer.h"

#include <stdio.h>

static void forks_until(instant t)
{
	static const struct job_kind *const tables[] = { fork_jobs, NULL };
	struct error e = { 0 };
	int ran;
	clock_set(t);
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static struct fork_draft draft(void)
{
	return (struct fork_draft){
		.title = STR("Alpine, without the lab"), .place = STR("https://fork.example.org"), .reason = STR("We want shorter retention and to decide on each release in a meeting."),
		.closes_at = clock_now() + 10 * CLOCK_DAY,
	};
}

static struct fork_offer offer(struct world *w, int member)
{
	struct fork_offer out;
	struct fork_draft d = draft();
	assert_ok(by(w, member), fork_offer_make(by(w, member), w->coop, &d, &out));
	return out;
}

static struct fork_offer say(struct world *w, int member, const struct fork_offer *o, bool yes, struct str *claim)
{
	struct fork_offer out;
	struct str code;
	assert_ok(by(w, member), fork_answer(by(w, member), w->coop, o->id, yes, &out, claim ? claim : &code));
	return out;
}

static void every_member_is_asked_and_silence_is_no(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 3);
	assert_int_equal(o.yes, 0);
	forks_until(clock_now() + CLOCK_MINUTE);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'fork.offered'"), WORLD_MEMBERS);
	o = say(&w, 4, &o, true, NULL);
	assert_true(o.mine && o.answered);
	assert_int_equal(o.yes, 1);
	assert_ok(by(&w, 5), fork_offer_read(by(&w, 5), w.coop, o.id, &o));
	assert_false(o.mine || o.answered);
}

static void a_yes_is_taken_back_until_the_export_and_not_given_after_the_close(void **state)
{
	struct world w;
	struct str claim, again;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 0);
	say(&w, 4, &o, true, &claim);
	assert_int_equal(claim.n, FORK_CLAIM_TEXT);
	say(&w, 4, &o, true, &again);
	assert_false(str_eq(claim, again));
	say(&w, 5, &o, true, NULL);
	o = say(&w, 5, &o, false, &claim);
	assert_null(claim.p);
	assert_int_equal(o.yes, 1);
	forks_until(o.closes_at + CLOCK_MINUTE);
	assert_err(by(&w, 5), ERR_STATE, fork_answer(by(&w, 5), w.coop, o.id, true, &o, &claim));
	assert_ok(by(&w, 5), fork_offer_read(by(&w, 5), w.coop, o.id, &o));
	assert_int_equal(o.state, FORK_CLOSED);
	o = say(&w, 4, &o, false, NULL);
	assert_int_equal(o.yes, 0);
}

static void nobody_says_yes_for_another_not_even_a_delegate_or_the_instance(void **state)
{
	struct world w;
	struct str claim;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 0);
	struct delegation_draft ask = { .question = POLICY_QUESTION_CONSENT, .scope = POLICY_SCOPE_COOP, .delegate_kind = DELEGATE_MEMBER, .delegate = w.id[4], .chosen_end = INSTANT_NONE };
	struct delegation made;
	struct delegation_warning warning;
	assert_ok(by(&w, 5), delegation_make(by(&w, 5), w.coop, &ask, &made, &warning));
	assert_ok(by(&w, 4), delegation_accept(by(&w, 4), w.coop, made.id, &made));
	o = say(&w, 4, &o, true, NULL);
	assert_ok(by(&w, 5), fork_offer_read(by(&w, 5), w.coop, o.id, &o));
	assert_false(o.mine);
	assert_err(w.system, ERR_FORBIDDEN, fork_answer(w.system, w.coop, o.id, true, &o, &claim));
	struct call *stranger = fixture_call();
	assert_err(stranger, ERR_FORBIDDEN, fork_answer(stranger, w.coop, o.id, true, &o, &claim));
}

static void what_was_said_is_in_the_log_as_a_commitment_alone(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 0);
	say(&w, 4, &o, true, NULL);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'fork.answered'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type LIKE 'fork.%' AND convert_from(entry, 'UTF8') ~ '(yes|true|Alpine)'"), 0);
	assert_int_equal(fixture_int(
		"SELECT count(*) FROM fork_answer a JOIN log_leaf l ON l.coop_id = a.coop_id AND convert_from(l.entry, 'UTF8')::json->'data'->>'commitment' = "
		"encode(sha256(a.salt || sha256(convert_to('{\"offer\":\"' || a.offer_id || '\",\"yes\":true}', 'UTF8'))), 'hex')"), 1);
}

static void an_offer_is_asked_about_for_a_week_at_least_and_few_are_open_at_once(void **state)
{
	struct world w;
	struct fork_offer o;
	(void)state;
	world_make(&w, NULL);
	struct fork_draft d = draft();
	d.closes_at = clock_now() + 6 * CLOCK_DAY;
	assert_err(by(&w, 0), ERR_INVALID, fork_offer_make(by(&w, 0), w.coop, &d, &o));
	d = draft();
	d.place = STR("not an address");
	assert_err(by(&w, 0), ERR_INVALID, fork_offer_make(by(&w, 0), w.coop, &d, &o));
	for (int i = 0; i < FORKS_OPEN; i++)
		o = offer(&w, i);
	d = draft();
	assert_err(by(&w, 0), ERR_REFUSED, fork_offer_make(by(&w, 0), w.coop, &d, &o));
	assert_err(by(&w, 5), ERR_FORBIDDEN, fork_offer_withdraw(by(&w, 5), w.coop, o.id, &o));
	assert_ok(by(&w, 0), fork_offer_withdraw(by(&w, 0), w.coop, o.id, &o));
	assert_int_equal(o.state, FORK_WITHDRAWN);
	offer(&w, 3);
}

/* Each offer is told to everybody. */
static void one_member_makes_few_offers_a_month_also_by_taking_them_back(void **state)
{
	struct world w;
	struct fork_offer o;
	(void)state;
	world_make(&w, NULL);
	struct fork_draft d = draft();
	for (int i = 0; i < FORKS_A_MONTH; i++) {
		o = offer(&w, 3);
		assert_ok(by(&w, 3), fork_offer_withdraw(by(&w, 3), w.coop, o.id, &o));
	}
	assert_err(by(&w, 3), ERR_REFUSED, fork_offer_make(by(&w, 3), w.coop, &d, &o));
	assert_string_equal(by(&w, 3)->error.reason, "forks_made");
	offer(&w, 4);
	clock_set(clock_now() + 31 * CLOCK_DAY);
	offer(&w, 3);
}

static void a_coop_that_was_founded_has_only_itself_as_lineage(void **state)
{
	struct world w;
	struct lineage_node *nodes;
	size_t n;
	struct str signed_text;
	(void)state;
	world_make(&w, NULL);
	assert_ok(by(&w, 0), lineage_read(by(&w, 0), w.coop, &nodes, &n));
	assert_int_equal(n, 1);
	assert_int_equal(nodes[0].depth, 0);
	assert_ok(by(&w, 0), lineage_signed(by(&w, 0), w.coop, &signed_text));
	assert_true(signed_text.n > 100);
}

/* ---- Export and founding ---- */

/* Members 3 and 4 go along with what they contributed, 5 stays; member 6 said yes and took it back. */
struct parting {
	struct world w;
	struct fork_offer offer;
	struct fork_request request;
	struct str claim[2];
	struct uuid item[4]; /* of 3, 3, 4, 5 */
	struct fork_report report;
	char path[300];
};

static void part(struct parting *p, const char *file)
{
	world_make(&p->w, NULL);
	for (int i = 3; i < 7; i++)
		world_say(&p->w, i, i == 4 ? "deny" : "allow");
	p->item[0] = world_contribute(&p->w, 3, "First question");
	p->item[1] = world_contribute(&p->w, 3, "Second question");
	p->item[2] = world_contribute(&p->w, 4, "Third question");
	p->item[3] = world_contribute(&p->w, 5, "Fourth question");
	fixture_sql("UPDATE contribution SET word = word & ~1536::bigint | 512");
	p->offer = offer(&p->w, 3);
	say(&p->w, 3, &p->offer, true, &p->claim[0]);
	say(&p->w, 4, &p->offer, true, &p->claim[1]);
	say(&p->w, 6, &p->offer, true, NULL);
	say(&p->w, 6, &p->offer, false, NULL);
	forks_until(p->offer.closes_at + CLOCK_MINUTE);
	assert_ok(p->w.system, fork_request_make(p->w.system, &p->request));
	snprintf(p->path, sizeof(p->path), "%s/%s-%lld", fixture_dir(), file, (long long)clock_now() % 1000000007);
	if (strstr(file, "tar"))
		strncat(p->path, ".tar", sizeof(p->path) - strlen(p->path) - 1);
}

static void export(struct parting *p)
{
	assert_ok(p->w.system, fork_export(p->w.system, p->w.coop, p->offer.id, p->request.text, p->path, &p->report));
}

static void only_what_was_said_yes_to_goes_along(void **state)
{
	struct parting p;
	struct fork_report report;
	struct str claim;
	(void)state;
	part(&p, "yes");
	export(&p);
	assert_int_equal(p.report.members, 2);
	assert_int_equal(p.report.items, 3);
	assert_ok(p.w.system, fork_check(p.w.system, p.path, &report));
	assert_int_equal(report.items, 3);
	assert_int_equal(report.leaves, p.report.leaves);
	assert_true(sha256_eq(report.manifest, p.report.manifest));
	assert_err(by(&p.w, 4), ERR_STATE, fork_answer(by(&p.w, 4), p.w.coop, p.offer.id, false, &p.offer, &claim));
	assert_int_equal(fixture_int("SELECT count(*) FROM fork_moved"), 2);
	assert_int_equal(fixture_int("SELECT sum(items)::bigint FROM fork_moved"), 3);
}

static void an_export_is_for_one_key_alone_and_only_admins_make_it(void **state)
{
	struct parting p;
	struct fork_request other;
	char again[320];
	(void)state;
	part(&p, "key");
	assert_err(by(&p.w, 5), ERR_FORBIDDEN, fork_export(by(&p.w, 5), p.w.coop, p.offer.id, p.request.text, p.path, &p.report));
	export(&p);
	assert_ok(p.w.system, fork_request_make(p.w.system, &other));
	snprintf(again, sizeof(again), "%s-2", p.path);
	assert_err(p.w.system, ERR_STATE, fork_export(p.w.system, p.w.coop, p.offer.id, other.text, again, &p.report));
	assert_ok(p.w.system, fork_export(p.w.system, p.w.coop, p.offer.id, p.request.text, again, &p.report));
	assert_int_equal(p.report.items, 3);
}

static void a_request_is_signed_by_the_key_that_it_names(void **state)
{
	struct parting p;
	struct fork_request read;
	struct error e = { 0 };
	(void)state;
	part(&p, "request");
	struct arena *a = p.w.system->arena;
	assert_int_equal(fork_request_read(a, p.request.text, &read, &e), ERR_OK);
	assert_true(uuid_eq(read.coop, p.request.coop));
	char *text = (char *)str_copy(a, p.request.text).p;
	char *sig = strstr(text, "\"sig\":\"");
	assert_non_null(sig);
	sig[10] = sig[10] == 'A' ? 'B' : 'A';
	assert_int_equal(fork_request_read(a, str_make(text, p.request.text.n), &read, &e), ERR_INVALID);
	assert_int_equal(fork_request_read(a, STR("{}"), &read, &e), ERR_INVALID);
}

static struct coop found(struct parting *p, int founder)
{
	struct coop fork, parent;
	struct fork_report report;
	struct call *c = by(&p->w, founder);
	assert_ok(c, coop_read(c, p->w.coop, &parent));
	struct fork_founding how = { .slug = STR("fork"), .parent = parent.key_name };
	c->actor.kind = AUTH_SYSTEM;
	assert_ok(c, fork_found(c, p->path, &how, &fork, &report));
	assert_int_equal(report.items, 3);
	return fork;
}

static void the_forks_log_begins_with_its_parents_leaves(void **state)
{
	struct parting p;
	struct lineage_node *nodes;
	struct sha256 *path, root;
	size_t n, hashes;
	int64_t size;
	(void)state;
	part(&p, "log");
	export(&p);
	struct coop fork = found(&p, 3);
	assert_str(fork.key_name, str_z(p.w.system->arena, p.request.key_name));
	assert_str(fork.name, "Alpine, without the lab");
	struct call *c = by(&p.w, 3);
	assert_ok(c, lineage_read(c, fork.id, &nodes, &n));
	assert_int_equal(n, 2);
	assert_int_equal(nodes[0].depth, 1);
	assert_int_equal(nodes[0].size, p.report.leaves);
	assert_ok(c, db_begin_in(c, fork.id, DB_READ));
	assert_ok(c, ledger_head(c, fork.id, &size, &root));
	assert_ok(c, ledger_prove_consistency(c, fork.id, nodes[0].size, size, &path, &hashes));
	assert_ok(c, db_commit(c));
	assert_true(size > nodes[0].size);
	assert_true(lineage_prefix_ok(&nodes[0], size, root, path, hashes));
	nodes[0].root.b[0] ^= 1;
	assert_false(lineage_prefix_ok(&nodes[0], size, root, path, hashes));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf f JOIN coop k ON k.id = f.coop_id AND k.slug = 'fork' JOIN lineage l ON l.coop_id = f.coop_id AND l.size = f.idx WHERE f.type = 'coop.forked'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf f JOIN coop k ON k.id = f.coop_id AND k.slug = 'fork' JOIN lineage l ON l.coop_id = f.coop_id AND f.idx < l.size "
		"JOIN coop o ON o.slug = 'test' JOIN log_leaf g ON g.coop_id = o.id AND g.idx = f.idx AND g.entry = f.entry AND g.hash = f.hash AND g.at = f.at AND g.type = f.type"), (int)p.report.leaves);
}

/* More leaves than are written at once, and longer and shorter ones in turn. */
static void a_log_of_many_leaves_is_founded_from_whole(void **state)
{
	enum { LEAVES = 9000 };
	struct parting p;
	(void)state;
	part(&p, "many");
	struct call *c = p.w.system;
	struct str *data = ARENA_ARRAY(c->arena, LEAVES, struct str);
	for (int i = 0; i < LEAVES; i++)
		data[i] = str_fmt(c->arena, "{\"n\":%d,\"of\":\"%.*s\"}", i, i % 7 * 30, "a text that is longer or shorter, so that lines do not lie where the ones before them lay, however they are read: a text that is longer or shorter, so that lines do not lie");
	assert_ok(c, db_begin_in(c, p.w.coop, DB_WRITE));
	assert_ok(c, ledger_append_many(c, p.w.coop, "test.many", data, LEAVES, NULL));
	assert_ok(c, db_commit(c));
	export(&p);
	found(&p, 3);
	assert_true(p.report.leaves > LEAVES);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf f JOIN coop k ON k.id = f.coop_id AND k.slug = 'fork' JOIN lineage l ON l.coop_id = f.coop_id AND f.idx < l.size "
		"JOIN coop o ON o.slug = 'test' JOIN log_leaf g ON g.coop_id = o.id AND g.idx = f.idx AND g.entry = f.entry AND g.hash = f.hash AND g.at = f.at AND g.type = f.type"), (int)p.report.leaves);
}

static void what_was_moved_is_their_guests_and_their_words_came_along(void **state)
{
	struct parting p;
	(void)state;
	part(&p, "guests tar");
	export(&p);
	struct coop fork = found(&p, 3);
	assert_int_equal(fork.members, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest g JOIN coop k ON k.id = g.coop_id WHERE k.slug = 'fork'"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c JOIN coop k ON k.id = c.coop_id WHERE k.slug = 'fork'"), 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c JOIN coop k ON k.id = c.coop_id AND k.slug = 'fork' JOIN coop o ON o.slug = 'test' "
		"JOIN contribution d ON d.coop_id = o.id AND d.id = c.id AND d.content_sha256 = c.content_sha256 AND d.licence = c.licence AND d.submitted_at = c.submitted_at AND d.kind = c.kind"), 3);
	assert_int_equal(fixture_int("SELECT count(DISTINCT s.guest_id) FROM guest_statement s JOIN coop k ON k.id = s.coop_id AND k.slug = 'fork' WHERE s.effect = 'deny'"), 1);
}

static void a_claim_makes_a_guest_the_member_who_brings_it_once(void **state)
{
	struct parting p;
	struct member m;
	int64_t items;
	(void)state;
	part(&p, "claims");
	export(&p);
	struct coop fork = found(&p, 3);
	assert_ok(by(&p.w, 4), member_join(by(&p.w, 4), fork.id, &m));
	assert_ok(by(&p.w, 5), member_join(by(&p.w, 5), fork.id, &m));
	assert_err(by(&p.w, 4), ERR_INVALID, fork_claim(by(&p.w, 4), fork.id, STR("abcd"), &items));
	assert_err(by(&p.w, 4), ERR_NOT_FOUND, fork_claim(by(&p.w, 4), fork.id, STR("abcd-abcd-abcd-abcd-abcd-abcd"), &items));
	assert_ok(by(&p.w, 4), fork_claim(by(&p.w, 4), fork.id, p.claim[1], &items));
	assert_int_equal(items, 1);
	assert_ok(by(&p.w, 4), fork_claim(by(&p.w, 4), fork.id, p.claim[1], &items));
	assert_err(by(&p.w, 5), ERR_EXISTS, fork_claim(by(&p.w, 5), fork.id, p.claim[1], &items));
	assert_int_equal(fixture_int("SELECT count(*) FROM guest WHERE linked_member IS NOT NULL"), 1);
	assert_ok(by(&p.w, 4), member_leave(by(&p.w, 4), fork.id, &m));
	assert_int_equal(fixture_int("SELECT count(*) FROM guest WHERE linked_member IS NOT NULL"), 0);
}

static void the_parent_shows_the_fork_once_the_fork_has_said_where_it_comes_from(void **state)
{
	struct parting p;
	struct str lineage, ours;
	struct lineage_node *nodes;
	size_t n;
	(void)state;
	part(&p, "stands");
	export(&p);
	struct coop fork = found(&p, 3);
	assert_ok(by(&p.w, 3), lineage_signed(by(&p.w, 3), fork.id, &lineage));
	assert_ok(by(&p.w, 3), lineage_signed(by(&p.w, 3), p.w.coop, &ours));
	assert_err(by(&p.w, 3), ERR_FORBIDDEN, fork_recognise(by(&p.w, 3), p.w.coop, p.offer.id, lineage, &p.offer));
	assert_err(by(&p.w, 0), ERR_REFUSED, fork_recognise(by(&p.w, 0), p.w.coop, p.offer.id, ours, &p.offer));
	assert_ok(by(&p.w, 0), fork_recognise(by(&p.w, 0), p.w.coop, p.offer.id, lineage, &p.offer));
	assert_int_equal(p.offer.state, FORK_FOUNDED);
	assert_ok(by(&p.w, 0), lineage_read(by(&p.w, 0), p.w.coop, &nodes, &n));
	assert_int_equal(n, 2);
	assert_int_equal(nodes[1].depth, -1);
	assert_str(nodes[1].name, str_z(p.w.system->arena, fork.key_name));
}

/* What is said to be an address is shown as a link, and asked later: anything else is refused, however well it is signed. */
static const char *const no_addresses[] = { "javascript:alert(1)", "data:text/html,x", "ftp://fork.example.org", "https://a:b@fork.example.org", "//fork.example.org" };

static void a_request_names_an_address_of_an_instance(void **state)
{
	struct parting p;
	struct fork_request read;
	struct sign_key key;
	(void)state;
	part(&p, "address");
	struct arena *a = p.w.system->arena;
	sign_key_new(&key);
	for (size_t i = 0; i <= CH_LEN(no_addresses); i++) {
		struct error e = { 0 };
		struct str payload = str_fmt(a, "{\"at\":\"2026-01-01T00:00:00Z\",\"coop\":\"%.*s\",\"key\":\"%.*s\",\"name\":\"%.*s\",\"url\":\"%s\",\"v\":1}", STR_ARG(uuid_format(a, uuid_new())),
			STR_ARG(str_hex(a, key.public_key, 32)), STR_ARG(coop_key_name(a, key.public_key)), i < CH_LEN(no_addresses) ? no_addresses[i] : "http://fork.example.org:8080");
		enum err got = fork_request_read(a, dsse_sign(a, &key, 1, STR(FORK_REQUEST_TYPE), payload), &read, &e);
		assert_int_equal(got, i < CH_LEN(no_addresses) ? ERR_INVALID : ERR_OK);
	}
}

static void a_fork_that_names_no_address_of_an_instance_is_not_recognised(void **state)
{
	struct parting p;
	struct sign_key key;
	struct str lineage, payload;
	(void)state;
	part(&p, "nowhere");
	export(&p);
	struct coop fork = found(&p, 3);
	struct call *c = p.w.system;
	assert_ok(by(&p.w, 3), lineage_signed(by(&p.w, 3), fork.id, &lineage));
	forger.call = c;
	forger.sender = fork.id;
	sender_key(&key);
	assert_int_equal(dsse_verify(c->arena, lineage, (const uint8_t (*)[32])key.public_key, 1, 1, STR(LINEAGE_TYPE), &payload, &c->error), ERR_OK);
	for (size_t i = 0; i < CH_LEN(no_addresses); i++) {
		struct str forged = payload;
		const char *was = config()->base_url;
		while (strstr(str_z(c->arena, forged), was))
			forged = replaced(forged, was, no_addresses[i]);
		struct str text = dsse_sign(c->arena, &key, 1, STR(LINEAGE_TYPE), forged);
		assert_err(by(&p.w, 0), ERR_REFUSED, fork_recognise(by(&p.w, 0), p.w.coop, p.offer.id, text, &p.offer));
	}
	assert_ok(by(&p.w, 0), fork_recognise(by(&p.w, 0), p.w.coop, p.offer.id, lineage, &p.offer));
}

static void an_export_that_was_touched_is_refused_and_nothing_is_founded(void **state)
{
	static const char *const files[] = { "fork.json", "fork.dsse.json", "charters.jsonl", "claims.jsonl", "items.tar" };
	struct parting p;
	struct fork_report report;
	(void)state;
	part(&p, "touched");
	export(&p);
	for (size_t i = 0; i < CH_LEN(files); i++) {
		char path[400];
		snprintf(path, sizeof(path), "%s/%s", p.path, files[i]);
		FILE *f = fopen(path, "r+");
		assert_non_null(f);
		fseek(f, i == 4 ? 2000 : 20, SEEK_SET);
		int was = fgetc(f);
		fseek(f, -1, SEEK_CUR);
		fputc(was ^ 1, f);
		fclose(f);
		assert_int_not_equal(fork_check(p.w.system, p.path, &report), ERR_OK);
		error_clear(&p.w.system->error);
		f = fopen(path, "r+");
		fseek(f, i == 4 ? 2000 : 20, SEEK_SET);
		fputc(was, f);
		fclose(f);
	}
	assert_ok(p.w.system, fork_check(p.w.system, p.path, &report));
	struct coop coop;
	struct fork_founding how = { .slug = STR("fork"), .parent = STR("aaaaaaaaaaaaaaaa") };
	assert_err(by(&p.w, 3), ERR_REFUSED, fork_found(by(&p.w, 3), p.path, &how, &coop, &report));
	assert_int_equal(fixture_int("SELECT count(*) FROM coop"), 1);
}

/* The entry of a file in a manifest, with its braces. */
static struct str entry_of(struct str manifest, const char *path)
{
	const char *at = memmem(manifest.p, manifest.n, path, strlen(path)), *from = at, *to = at;
	assert_non_null(at);
	while (*from != '{')
		from--;
	while (*to != '}')
		to++;
	return str_make(from, (size_t)(to + 1 - from));
}

/* Even the parent cannot sign for one file in place of another. */
static void a_file_that_is_listed_twice_stands_for_no_other(void **state)
{
	struct parting p;
	struct fork_report report;
	struct sign_key key;
	(void)state;
	part(&p, "twice");
	export(&p);
	struct call *c = p.w.system;
	forger.call = c;
	forger.sender = p.w.coop;
	struct str dir = str_of(p.path), manifest = read_text(path_in(dir, "fork.json"));
	struct str one = entry_of(manifest, "\"path\":\"charters.jsonl\""), other = entry_of(manifest, "\"path\":\"claims.jsonl\"");
	struct str forged = replaced(manifest, str_z(c->arena, other), str_z(c->arena, one));
	sender_key(&key);
	put_text(path_in(dir, "fork.json"), forged);
	put_text(path_in(dir, "fork.dsse.json"), dsse_sign(c->arena, &key, 1, STR(FORK_TYPE), forged));
	put_text(path_in(dir, "claims.jsonl"), STR(""));
	assert_err(c, ERR_REFUSED, fork_check(c, p.path, &report));
	assert_string_equal(c->error.reason, "fork_refused");
}

/* ---- What the parent's people say later ---- */

static int64_t in_fork(const char *sql)
{
	char full[1200];
	snprintf(full, sizeof(full), "%s AND x.coop_id = (SELECT id FROM coop WHERE slug = 'fork')", sql);
	return fixture_int(full);
}

/* Guests of the fork who deny training now. */
static int64_t deniers(void)
{
	return in_fork("SELECT count(DISTINCT x.guest_id) FROM guest_statement x WHERE x.effect = 'deny' AND 'train.gen' = ANY (x.uses)");
}

static void feed(struct parting *p, struct coop *fork)
{
	clock_set(clock_now() + CLOCK_DAY);
	assert_ok(p->w.system, fork_feed(p->w.system, fork->id));
}

static void a_no_said_at_the_parent_is_heeded_by_the_fork_within_a_day_without_an_agreement(void **state)
{
	struct parting p;
	(void)state;
	part(&p, "words");
	export(&p);
	struct coop fork = found(&p, 3);
	feed(&p, &fork);
	assert_int_equal(deniers(), 1);
	int64_t before = fixture_int("SELECT changes FROM guest_head");
	feed(&p, &fork);
	assert_int_equal(fixture_int("SELECT changes FROM guest_head"), (int)before);
	world_say(&p.w, 3, "deny");
	world_say(&p.w, 5, "deny"); /* who stayed is nobody there */
	feed(&p, &fork);
	assert_int_equal(deniers(), 2);
	assert_int_equal(in_fork("SELECT count(*) FROM guest x WHERE true"), 2);
	/* Only the person's own later word loosens it. */
	world_say(&p.w, 3, "allow");
	feed(&p, &fork);
	assert_int_equal(deniers(), 1);
}

/* All that the parent has to give under an agreement, taken in by the fork. */
static void hand_over(struct parting *p, struct coop *fork, struct uuid agreement)
{
	struct call *c = p->w.system;
	const struct bundle_how how = { 0 };
	struct bundle_expected expected;
	struct bundle_report sent;
	struct merge_report taken;
	struct bundle *b;
	assert_ok(c, bundle_write(c, p->w.coop, agreement, &how, &sent));
	assert_ok(c, bundle_open(c->arena, str_z(c->arena, sent.dir), &b, &c->error));
	assert_ok(c, bundle_expect(c, fork->id, b, &expected));
	assert_ok(c, bundle_check(c->arena, b, &expected, &c->error));
	assert_ok(c, merge_apply(c, fork->id, b, &taken));
	assert_true(taken.records > 0 && taken.statements > 0);
}

/* The item does not go under the agreement, just because of that no; the line that comes with the person's other items takes the place of the one that said it. */
static void a_no_to_one_item_that_moved_outlives_what_an_agreement_brings(void **state)
{
	struct parting p;
	struct sha256 digest;
	char said[400], id[UUID_TEXT + 1] = { 0 };
	(void)state;
	part(&p, "agreed");
	export(&p);
	enum auth_kind before = by(&p.w, 0)->actor.kind;
	struct coop fork = found(&p, 0);
	by(&p.w, 0)->actor.kind = before;
	uuid_write(p.item[0], id);
	snprintf(said, sizeof(said), "SELECT count(*) FROM guest_statement x WHERE x.effect = 'deny' AND x.item_id = '%s'", id);
	struct statement *out, no = { .layer = 1, .item = p.item[0], .uses = 1u << POLICY_USE_TRAIN_GEN, .effect = STR("deny"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(by(&p.w, 3), statement_make(by(&p.w, 3), p.w.coop, &no, 1, &out));
	feed(&p, &fork);
	assert_int_equal(in_fork(said), 1);
	struct uuid agreement = merge_world_agree(p.w.system, by(&p.w, 0), p.w.coop, fork.id, NULL, &digest);
	hand_over(&p, &fork, agreement);
	assert_int_equal(in_fork(said), 1);
}

static struct fork_parent parent_of(struct parting *p, struct coop *fork)
{
	struct fork_parent out;
	bool there;
	assert_ok(p->w.system, fork_parent_of(p->w.system, fork->id, &out, &there));
	assert_true(there);
	return out;
}

static struct str told_after(struct parting *p, int64_t since)
{
	struct str envelope;
	clock_set(clock_now() + CLOCK_HOUR);
	assert_ok(p->w.system, fork_words_tell(p->w.system, p->w.coop, p->offer.id, since, &envelope));
	return envelope;
}

static int64_t refused(const char *code)
{
	char sql[300];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM refusal x WHERE x.what = 'words of the parent' AND x.code = '%s'", code);
	return in_fork(sql);
}

/* An answer as the parent could sign it, with something else in it. */
static struct str payload_of(struct str envelope)
{
	const struct json *json;
	struct str payload;
	struct call *c = forger.call;
	assert_ok(c, json_parse(c->arena, envelope, &json, &c->error));
	assert_true(str_unbase64(c->arena, json_member_text(json, "payload"), &payload));
	return payload;
}

static struct str signed_again(struct str payload)
{
	struct sign_key key;
	sender_key(&key);
	return dsse_sign(forger.call->arena, &key, 1, STR(FORK_WORDS_TYPE), payload);
}

static void take(struct parting *p, struct coop *fork, int64_t since, struct str envelope)
{
	struct fork_parent parent = parent_of(p, fork);
	int64_t next;
	bool whole = true;
	assert_ok(p->w.system, fork_words_take(p->w.system, &parent, since, envelope, &whole, &next));
}

static void words_that_are_forged_or_go_back_are_left_out_and_told_to_the_admins(void **state)
{
	struct parting p;
	(void)state;
	part(&p, "forged");
	export(&p);
	struct coop fork = found(&p, 3);
	struct call *c = p.w.system;
	forger.call = c;
	forger.sender = p.w.coop;
	struct str before = told_after(&p, 0);
	take(&p, &fork, 0, before);
	assert_int_equal(in_fork("SELECT x.upto FROM fork_heard x WHERE true"), 2);
	world_say(&p.w, 3, "deny");
	struct str after = told_after(&p, 2), payload = payload_of(after);

	/* not by the parent's key; for another question; with words changed after they were signed; with a line from before as a new one */
	struct sign_key stranger;
	sign_key_new(&stranger);
	take(&p, &fork, 2, dsse_sign(c->arena, &stranger, 1, STR(FORK_WORDS_TYPE), payload));
	assert_int_equal(refused("signature"), 1);
	take(&p, &fork, 1, after);
	assert_int_equal(refused("not_for_us"), 1);
	take(&p, &fork, 2, signed_again(replaced(payload, "\"deny\"", "\"allow\"")));
	assert_int_equal(fixture_int("SELECT times FROM refusal WHERE code = 'signature'"), 2);
	take(&p, &fork, 2, signed_again(replaced(replaced(payload_of(before), "\"since\":0", "\"since\":2"), "\"no\":1", "\"no\":3")));
	assert_int_equal(refused("malformed"), 1);
	assert_int_equal(deniers(), 1);
	assert_int_equal(in_fork("SELECT x.upto FROM fork_heard x WHERE true"), 2);

	take(&p, &fork, 2, after);
	assert_int_equal(deniers(), 2);
	assert_int_equal(refused("rollback"), 0);
	take(&p, &fork, 0, before);
	assert_int_equal(refused("rollback"), 1);
	assert_int_equal(deniers(), 2);
}

/* The parent itself may not bring in people, nor old words under new numbers. */
static void words_about_who_did_not_come_along_make_nobody_a_guest(void **state)
{
	struct parting p;
	uint8_t contributor[16];
	(void)state;
	part(&p, "stranger");
	export(&p);
	struct coop fork = found(&p, 3);
	struct call *c = p.w.system;
	forger.call = c;
	forger.sender = p.w.coop;
	struct str before = told_after(&p, 0);
	take(&p, &fork, 0, before);
	world_say(&p.w, 3, "deny");
	struct str payload = payload_of(told_after(&p, 2));
	struct fork_sayer sayer = { .c = c, .home = parent_of(&p, &fork).name };
	sender_key(&sayer.key);
	assert_ok(c, db_begin_in(c, p.w.coop, DB_READ));
	assert_ok(c, bundle_contributor(c, p.w.coop, p.w.id[5], contributor));
	assert_ok(c, db_commit(c));
	const struct json *said;
	assert_ok(c, json_parse(c->arena, payload, &said, &c->error));
	sayer.rev = json_int(json_get(said, "told"), -1);
	struct guest_words words = { .consent_given = INSTANT_NEVER, .consent_expires = INSTANT_NEVER };
	buf_init(&sayer.line, BUNDLE_LINE_MAX);
	assert_ok(c, fork_said_line(&sayer, &words, contributor));
	struct str whole = replaced(replaced(payload, "\"no\":3", "\"no\":4"), "\"upto\":3", "\"upto\":4");
	whole = replaced(whole, "\"lines\":[", str_fmt(c->arena, "\"lines\":[{\"no\":3,\"words\":%.*s},", STR_ARG(buf_str(&sayer.line))).p);
	buf_release(&sayer.line);
	take(&p, &fork, 2, signed_again(whole));
	assert_int_equal(refused("outside"), 1);
	assert_int_equal(in_fork("SELECT count(*) FROM guest x WHERE true"), 2);
	/* What is right in the same answer is heeded all the same, and what was left out is asked for again. */
	assert_int_equal(deniers(), 2);
	assert_int_equal(in_fork("SELECT x.upto FROM fork_heard x WHERE true"), 2);
}

static void memberships_and_consents_that_end_at_the_parent_end_at_the_fork(void **state)
{
	struct parting p;
	struct member m;
	struct keychain chain;
	(void)state;
	part(&p, "ends");
	export(&p);
	struct coop fork = found(&p, 3);
	feed(&p, &fork);
	/* Every consent came with its end, so that it ends where nothing more is heard of the parent. */
	assert_int_equal(in_fork("SELECT count(*) FROM guest x WHERE x.consent IN ('given', 'renewed') AND x.consent_expires < 'infinity'"), 2);
	assert_ok(by(&p.w, 4), member_leave(by(&p.w, 4), p.w.coop, &m));
	feed(&p, &fork);
	assert_int_equal(in_fork("SELECT count(*) FROM guest x WHERE x.standing = 'left'"), 1);
	assert_ok(by(&p.w, 3), consent_withdraw(by(&p.w, 3), p.w.coop));
	/* Whoever signs next is whom the parent has handed its key to. */
	assert_ok(p.w.system, keychain_rotate(p.w.system, p.w.coop, &chain));
	feed(&p, &fork);
	assert_int_equal(in_fork("SELECT count(*) FROM guest x WHERE x.consent = 'withdrawn'"), 2);
	assert_int_equal(in_fork("SELECT count(*) FROM refusal x WHERE true"), 0);
}

/* Whatever an admin of the fork thinks of the parent. */
static void an_admin_who_wants_nothing_from_the_parent_still_has_its_peoples_no_heeded(void **state)
{
	struct parting p;
	struct peer *peers;
	size_t n;
	(void)state;
	part(&p, "refused");
	export(&p);
	struct coop fork = found(&p, 3);
	assert_ok(by(&p.w, 3), peer_list(by(&p.w, 3), fork.id, &peers, &n));
	assert_int_equal(n, 1);
	assert_ok(by(&p.w, 3), peer_refuse(by(&p.w, 3), fork.id, peers[0].id, &peers[0]));
	world_say(&p.w, 3, "deny");
	feed(&p, &fork);
	assert_int_equal(deniers(), 2);
}

static void nobody_but_the_fork_is_told(void **state)
{
	struct parting p;
	uint8_t key[32];
	(void)state;
	part(&p, "asked");
	export(&p);
	struct coop fork = found(&p, 3);
	struct call *c = p.w.system;
	struct fork_parent parent = parent_of(&p, &fork);
	assert_ok(c, db_begin_in(c, fork.id, DB_READ));
	assert_ok(c, pairwise_key(c, fork.id, keychain_first(&parent.keys), STR(FORK_WORDS_LABEL), key));
	assert_ok(c, db_commit(c));
	instant now = clock_now();
	struct sha256 proof = fork_words_proof(c->arena, key, p.offer.id, now, 0);
	assert_ok(c, fork_words_asked(c, p.w.coop, p.offer.id, now, 0, &proof));
	assert_err(c, ERR_NOT_FOUND, fork_words_asked(c, p.w.coop, p.offer.id, now, 1, &proof));
	assert_err(c, ERR_NOT_FOUND, fork_words_asked(c, p.w.coop, p.offer.id, now + CLOCK_SECOND, 0, &proof));
	clock_set(now + FORK_WORDS_PROOF_LIFE + CLOCK_SECOND);
	assert_err(c, ERR_NOT_FOUND, fork_words_asked(c, p.w.coop, p.offer.id, now, 0, &proof));
}

/* ---- Relatives ---- */

static struct lineage_kin kin_of(struct call *c, struct uuid coop, enum lineage_kin_is is)
{
	struct lineage_kin *all;
	size_t n;
	assert_ok(c, lineage_look(c, coop));
	assert_ok(c, lineage_kin_read(c, coop, &all, &n));
	for (size_t i = 0; i < n; i++)
		if (all[i].kin == is)
			return all[i];
	fail_msg("no such relative among %zu", n);
	return (struct lineage_kin){ .why = STR_NONE };
}

static void relatives_are_verified_by_what_they_sign_themselves(void **state)
{
	struct parting p;
	struct str lineage;
	struct keychain chain;
	(void)state;
	part(&p, "kin");
	export(&p);
	struct coop fork = found(&p, 3);
	struct call *c = p.w.system;
	struct lineage_kin parent = kin_of(c, fork.id, KIN_PARENT);
	assert_int_equal(parent.state, KIN_VERIFIED);
	assert_false(parent.names_us); /* nobody has told it yet that the fork stands */
	instant since = parent.since;
	assert_ok(by(&p.w, 3), lineage_signed(by(&p.w, 3), fork.id, &lineage));
	assert_ok(by(&p.w, 0), fork_recognise(by(&p.w, 0), p.w.coop, p.offer.id, lineage, &p.offer));
	assert_ok(c, keychain_rotate(c, p.w.coop, &chain));
	clock_set(clock_now() + CLOCK_DAY);
	parent = kin_of(c, fork.id, KIN_PARENT);
	assert_int_equal(parent.state, KIN_VERIFIED);
	assert_true(parent.names_us && parent.since == since && parent.verified_at == clock_now());
	assert_true(str_eq(parent.keys, chain.text));
	struct lineage_kin child = kin_of(c, p.w.coop, KIN_FORK);
	assert_int_equal(child.state, KIN_VERIFIED);
	assert_true(child.names_us);
	assert_int_equal(fixture_int("SELECT count(*) FROM refusal"), 0);
}

static void a_lineage_or_a_key_that_is_not_what_it_was_is_refused_and_told_to_the_admins(void **state)
{
	struct parting p;
	struct str lineage;
	(void)state;
	part(&p, "changed");
	export(&p);
	struct coop fork = found(&p, 3);
	struct call *c = p.w.system;
	assert_ok(by(&p.w, 3), lineage_signed(by(&p.w, 3), fork.id, &lineage));
	assert_ok(by(&p.w, 0), fork_recognise(by(&p.w, 0), p.w.coop, p.offer.id, lineage, &p.offer));
	assert_int_equal(kin_of(c, fork.id, KIN_PARENT).state, KIN_VERIFIED);
	/* The parent forgets the fork that it named. */
	fixture_sql("UPDATE fork_offer SET state = 'exported'");
	struct lineage_kin parent = kin_of(c, fork.id, KIN_PARENT);
	assert_int_equal(parent.state, KIN_REFUSED);
	assert_true(parent.why.n > 0 && parent.since == INSTANT_NONE);
	assert_int_equal(in_fork("SELECT count(*) FROM refusal x WHERE x.code = 'lineage_changed'"), 1);
	fixture_sql("UPDATE fork_offer SET state = 'founded', root = sha256('other')");
	assert_int_equal(kin_of(c, fork.id, KIN_PARENT).state, KIN_REFUSED);
	/* What it said first again, from now on. */
	fixture_sql("UPDATE fork_offer SET root = (SELECT root FROM lineage)");
	clock_set(clock_now() + CLOCK_DAY);
	parent = kin_of(c, fork.id, KIN_PARENT);
	assert_int_equal(parent.state, KIN_VERIFIED);
	assert_true(parent.since == clock_now());
	/* Keys that were proved before are not unlearned. */
	assert_int_equal(kin_of(c, p.w.coop, KIN_FORK).state, KIN_VERIFIED);
	fixture_sql("UPDATE lineage_look a SET keys = b.keys FROM lineage_look b WHERE a.kin = 'parent' AND b.kin = 'fork'");
	assert_int_equal(kin_of(c, fork.id, KIN_PARENT).state, KIN_REFUSED);
	assert_int_equal(in_fork("SELECT count(*) FROM refusal x WHERE x.code = 'lineage_keys'"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_no_said_at_the_parent_is_heeded_by_the_fork_within_a_day_without_an_agreement),
		fixture_test(a_no_to_one_item_that_moved_outlives_what_an_agreement_brings),
		fixture_test(words_that_are_forged_or_go_back_are_left_out_and_told_to_the_admins),
		fixture_test(words_about_who_did_not_come_along_make_nobody_a_guest),
		fixture_test(memberships_and_consents_that_end_at_the_parent_end_at_the_fork),
		fixture_test(an_admin_who_wants_nothing_from_the_parent_still_has_its_peoples_no_heeded),
		fixture_test(nobody_but_the_fork_is_told),
		fixture_test(relatives_are_verified_by_what_they_sign_themselves),
		fixture_test(a_lineage_or_a_key_that_is_not_what_it_was_is_refused_and_told_to_the_admins),
		fixture_test(a_file_that_is_listed_twice_stands_for_no_other),
		fixture_test(every_member_is_asked_and_silence_is_no),
		fixture_test(a_yes_is_taken_back_until_the_export_and_not_given_after_the_close),
		fixture_test(nobody_says_yes_for_another_not_even_a_delegate_or_the_instance),
		fixture_test(what_was_said_is_in_the_log_as_a_commitment_alone),
		fixture_test(an_offer_is_asked_about_for_a_week_at_least_and_few_are_open_at_once),
		fixture_test(one_member_makes_few_offers_a_month_also_by_taking_them_back),
		fixture_test(a_request_names_an_address_of_an_instance),
		fixture_test(a_fork_that_names_no_address_of_an_instance_is_not_recognised),
		fixture_test(a_coop_that_was_founded_has_only_itself_as_lineage),
		fixture_test(only_what_was_said_yes_to_goes_along),
		fixture_test(an_export_is_for_one_key_alone_and_only_admins_make_it),
		fixture_test(a_request_is_signed_by_the_key_that_it_names),
		fixture_test(an_export_that_was_touched_is_refused_and_nothing_is_founded),
		fixture_test(the_forks_log_begins_with_its_parents_leaves),
		fixture_test(a_log_of_many_leaves_is_founded_from_whole),
		fixture_test(what_was_moved_is_their_guests_and_their_words_came_along),
		fixture_test(a_claim_makes_a_guest_the_member_who_brings_it_once),
		fixture_test(the_parent_shows_the_fork_once_the_fork_has_said_where_it_comes_from),
	};
	return fixture_run(tests, CH_LEN(tests));
}
