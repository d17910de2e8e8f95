/* `commonhold demo`: half a year of two made-up co-ops in less than a minute, through the same operations that requests and jobs use. The clock is moved from day to day; every
 * release that falls into that time is frozen, voted on, built and published, the last one is downloaded through the gate as a data user would and verified. */
#include "app.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/agreement.h"
#include "commonhold/ballot.h"
#include "commonhold/coop.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/demo_data.h"
#include "commonhold/peer.h"
#include "commonhold/pool.h"
#include "commonhold/preview.h"
#include "commonhold/fetch.h"
#include "commonhold/file.h"
#include "commonhold/release.h"
#include "commonhold/verify.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEMO_SEED 1
#define DEMO_MONTHS 6
#define DEMO_PEOPLE 5000 /* most that demo_generate gives */

struct person {
	const struct demo_member *facts; /* from the generator, for the whole run */
	struct uuid account;
	bool joined;
};

struct demo {
	struct call *c;
	struct uuid coop[DEMO_COOPS];
	const struct demo_coop *facts[DEMO_COOPS];
	struct demo_member members[DEMO_PEOPLE];
	struct person people[DEMO_PEOPLE];
	size_t n, next;                  /* people, in order of joining; the next to join */
	size_t by_index[DEMO_COOPS][DEMO_PEOPLE]; /* place in people, by co-op and index */
	instant day;                     /* start of the day that jobs were last run for */
	int64_t items, held;
	struct str password;             /* of the first admin */
	struct uuid data_user;
	bool terminal;
};

/* Acts as somebody; the co-op's rows are entered by each operation. */
static void act_as(struct demo *d, struct uuid account)
{
	d->c->actor = (struct actor){ .kind = AUTH_SYSTEM, .account = account };
}

static struct person *person_of(struct demo *d, unsigned coop, unsigned index)
{
	return &d->people[d->by_index[coop][index]];
}

/* Each step gives its memory back, so that half a year fits. */
#define STEP(d, expression) \
	do { \
		struct arena_mark step_mark_ = arena_mark((d)->c->arena); \
		enum err step_err_ = (expression); \
		if (step_err_ != ERR_OK) \
			return step_err_; \
		arena_rewind((d)->c->arena, step_mark_); \
	} while (0)

/* ---- charters ---- */

static void write_rule(struct json_writer *w, unsigned coop)
{
	jw_key(w, "gate");
	if (coop == 0)
		jw_raw(w, STR("{\"n\":2,\"rule\":\"n_of_m_admins\"}"));
	else
		jw_raw(w, STR("{\"d\":3,\"n\":1,\"roll\":\"members\",\"rule\":\"approval_quorum\"}"));
}

static void write_charter(struct json_writer *w, unsigned coop, const struct demo_coop *facts, instant start)
{
	struct civil v = clock_civil(start);
	char begin[64];
	snprintf(begin, sizeof(begin), "%04d-%02d-01T06:00:00Z", v.year, v.month);
	jw_object(w);
	jw_kstr(w, "name", facts->name);
	jw_key(w, "scope");
	jw_object(w);
	jw_kstr(w, "domain", facts->domain);
	jw_kstr(w, "region", facts->region);
	jw_key(w, "language");
	jw_array(w);
	for (size_t i = 0; i < facts->language_count; i++)
		jw_str(w, facts->languages[i]);
	jw_end_array(w);
	jw_end_object(w);
	jw_kstr(w, "bylaws", facts->bylaws);
	jw_kz(w, "sharing", facts->share_by_default ? "share_by_default" : "not_share_by_default");
	jw_key(w, "licence");
	jw_object(w);
	jw_kstr(w, "default", facts->licence);
	jw_end_object(w);
	if (facts->share_by_default) {
		jw_key(w, "ai_preferences");
		jw_raw(w, STR("{\"eval\":{\"effect\":\"allow\"},\"search\":{\"effect\":\"allow\"},\"train.gen\":{\"effect\":\"allow\"}}"));
	}
	jw_key(w, "release");
	jw_raw(w, coop == 0
		? STR("{\"audience\":\"gated_manual\",\"k_contributors\":5,\"purposes\":[\"research\"],\"uses\":[\"train.gen\",\"eval\"],\"uses_conditional\":[\"train.gen\"]}")
		: STR("{\"audience\":\"gated_auto\",\"k_contributors\":5,\"purposes\":[\"public_benefit\",\"research\"],\"uses\":[\"train.gen\"],\"uses_conditional\":[\"train.gen\"]}"));
	jw_key(w, "access");
	jw_object(w);
	jw_kz(w, "mode", coop == 0 ? "gated_manual" : "gated_auto");
	jw_end_object(w);
	jw_key(w, "cadence");
	jw_object(w);
	jw_kz(w, "rrule", "FREQ=MONTHLY;BYMONTHDAY=1");
	jw_kz(w, "start", begin);
	jw_kz(w, "lead", "P3D");
	jw_kz(w, "notice", "P7D");
	jw_kz(w, "voting", "P5D");
	jw_kz(w, "cooling_off", "P2D");
	jw_end_object(w);
	write_rule(w, coop);
	jw_key(w, "membership");
	jw_object(w);
	jw_kz(w, "admission", coop == 0 ? "approval" : "open");
	jw_end_object(w);
	jw_end_object(w);
}

static enum err found_coop(struct demo *d, unsigned coop, struct person *founder)
{
	struct call *c = d->c;
	const struct json *draft;
	struct coop made;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_CHARTER);
	jw_init(&w, &b);
	write_charter(&w, coop, d->facts[coop], clock_now());
	struct str text = buf_take(c->arena, &b);
	TRY(json_parse(c->arena, text, &draft, &c->error));
	act_as(d, founder->account);
	TRY(coop_found(c, d->facts[coop]->slug, draft, &made));
	d->coop[coop] = made.id;
	return release_schedule_next(c, made.id, NULL);
}

/* ---- members ---- */

static enum err say(struct demo *d, struct uuid coop, const char *effect, uint16_t uses, uint16_t duties)
{
	struct statement in = { .layer = POLICY_LAYER_SUBJECT, .uses = uses, .effect = str_of(effect), .duties = duties, .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	struct statement *out;
	return statement_make(d->c, coop, &in, 1, &out);
}

#define USE(name) (uint16_t)(1u << POLICY_USE_##name)

/* What the person says for themselves, by their disposition. */
static enum err state_choices(struct demo *d, struct uuid coop, const struct demo_member *m)
{
	uint16_t released = USE(TRAIN_GEN) | USE(EVAL) | USE(SEARCH) | USE(REDISTRIBUTE);
	switch (m->choice) {
	case DEMO_CHOICE_SHARE:
		return say(d, coop, "allow", released, 0);
	case DEMO_CHOICE_NO_TRAIN:
		TRY(say(d, coop, "allow", USE(EVAL) | USE(SEARCH), 0));
		return say(d, coop, "deny", USE(TRAIN_GEN), 0);
	case DEMO_CHOICE_CREDIT:
		TRY(say(d, coop, "allow", USE(EVAL) | USE(SEARCH) | USE(REDISTRIBUTE), 0));
		return say(d, coop, "allow_if", USE(TRAIN_GEN), 1u << POLICY_DUTY_CREDIT);
	case DEMO_CHOICE_WITHHOLD:
		return say(d, coop, "deny", released, 0);
	default:
		return ERR_OK;
	}
}

static enum err make_account(struct demo *d, struct person *p)
{
	struct account account;
	if (p == person_of(d, 0, 0)) {
		uint8_t bytes[9];
		random_bytes(bytes, sizeof(bytes));
		d->password = str_base64url(d->c->arena, bytes, sizeof(bytes));
		TRY(account_register(d->c, p->facts->email, p->facts->name, d->password, &account));
	} else {
		TRY(account_create(d->c, p->facts->email, p->facts->name, &account));
	}
	p->account = account.id;
	return ERR_OK;
}

/* Consent to the purpose of the releases, the choices, licence and name. */
static enum err settle_in(struct demo *d, struct person *p)
{
	static const struct str purposes[] = { STR("research"), STR("public_benefit") }; /* the other co-op’s releases are for both */
	const struct demo_member *m = p->facts;
	struct uuid coop = d->coop[m->coop];
	struct member out;
	TRY(consent_give(d->c, coop, purposes, m->coop == 0 ? 1 : 2, m->accepts_defaults));
	TRY(state_choices(d, coop, m));
	if (m->licence.p)
		TRY(licence_choose(d->c, coop, m->licence));
	if (!str_is(m->attribution, "pseudonym"))
		TRY(member_set_attribution(d->c, coop, m->attribution, m->name, &out));
	return ERR_OK;
}

static enum err join(struct demo *d, struct person *p)
{
	const struct demo_member *m = p->facts;
	struct uuid coop = d->coop[m->coop];
	struct person *founder = person_of(d, m->coop, 0);
	struct member me;
	if (p == founder) {
		p->joined = true;
		act_as(d, p->account);
		return settle_in(d, p);
	}
	TRY(make_account(d, p));
	act_as(d, p->account);
	TRY(member_join(d->c, coop, &me));
	act_as(d, founder->account);
	if (me.state == POLICY_STANDING_APPLIED)
		TRY(member_admit(d->c, coop, me.id, true, STR(""), &me));
	if (m->index < d->facts[m->coop]->admins)
		TRY(member_set_admin(d->c, coop, me.id, true, &me));
	p->joined = true;
	act_as(d, p->account);
	return settle_in(d, p);
}

/* ---- a day ---- */

/* Most people vote for, some against, some not at all; always the same ones. */
static enum err vote_on(struct demo *d, unsigned coop, const struct ballot *b)
{
	bool admins_only = b->members.roll == b->admins.roll;
	for (size_t i = 0; i < d->n; i++) {
		struct person *p = &d->people[i];
		bool admin = p->facts->index < d->facts[coop]->admins;
		struct ballot out;
		if (p->facts->coop != coop || !p->joined || (admins_only && !admin) || p->facts->index % 5 == 3)
			continue;
		act_as(d, p->account);
		TRY(ballot_read(d->c, d->coop[coop], b->id, &out));
		if (out.may_vote && !out.my_choice.p)
			STEP(d, ballot_cast_vote(d->c, d->coop[coop], b->id, p->facts->index % 7 == 6 ? STR("against") : STR("for"), &out));
	}
	return ERR_OK;
}

static enum err vote(struct demo *d, unsigned coop)
{
	struct ballot *ballots;
	struct str next;
	size_t n;
	act_as(d, person_of(d, coop, 0)->account);
	TRY(ballot_list(d->c, d->coop[coop], STR("open"), STR_NONE, LIMIT_PAGE, &ballots, &n, &next));
	for (size_t i = 0; i < n; i++) {
		struct ballot b;
		TRY(ballot_read(d->c, d->coop[coop], ballots[i].id, &b));
		TRY(vote_on(d, coop, &b));
	}
	return ERR_OK;
}

/* Moderators look after a week; what came in last stays in the queue for the visitor to see. */
static enum err moderate(struct demo *d, unsigned coop)
{
	struct contribution *items, done;
	struct str next;
	size_t n;
	act_as(d, person_of(d, coop, 0)->account);
	TRY(pool_queue(d->c, d->coop[coop], STR_NONE, LIMIT_PAGE, &items, &n, &next));
	for (size_t i = 0; i < n; i++)
		if (items[i].submitted_at < clock_now() - 7 * CLOCK_DAY)
			TRY(pool_moderate(d->c, d->coop[coop], items[i].id, items[i].item_no % 3 != 0, STR("Looked at by hand."), &done));
	return ERR_OK;
}

static enum err run_jobs(struct demo *d)
{
	struct error error = { 0 };
	int ran;
	enum err e = job_run_due(app_jobs(), &ran, &error);
	if (e != ERR_OK)
		d->c->error = error;
	return e;
}

static enum err live_a_day(struct demo *d, instant day)
{
	d->day = day;
	clock_set(day + 7 * CLOCK_HOUR);
	TRY(run_jobs(d));
	for (unsigned coop = 0; coop < DEMO_COOPS; coop++) {
		STEP(d, vote(d, coop));
		STEP(d, moderate(d, coop));
	}
	return ERR_OK;
}

/* Lives through everything that lies before t. */
static enum err live_until(struct demo *d, instant t)
{
	for (;;) {
		instant tomorrow = d->day + CLOCK_DAY;
		instant joining = d->next < d->n ? d->people[d->next].facts->joined : INSTANT_NEVER;
		if (joining <= t && joining < tomorrow) {
			clock_set(joining);
			STEP(d, join(d, &d->people[d->next++]));
		} else if (tomorrow <= t) {
			TRY(live_a_day(d, tomorrow));
		} else {
			clock_set(t);
			return ERR_OK;
		}
	}
}

/* ---- the generator's callbacks ---- */

static enum err hear_coop(void *arg, unsigned index, const struct demo_coop *coop, struct error *e)
{
	struct demo *d = arg;
	(void)e;
	d->facts[index] = coop;
	return ERR_OK;
}

static enum err hear_member(void *arg, const struct demo_member *member, struct error *e)
{
	struct demo *d = arg;
	if (d->n == DEMO_PEOPLE)
		return error_set(e, ERR_TOO_LARGE, "The demo has more members than it can hold.");
	d->members[d->n] = *member;
	/* These outlive the generator: the last lines name the first admin. */
	d->members[d->n].email = str_copy(d->c->arena, member->email);
	d->members[d->n].name = str_copy(d->c->arena, member->name);
	d->people[d->n].facts = &d->members[d->n];
	d->n++;
	return ERR_OK;
}

static int by_joining(const void *a, const void *b)
{
	const struct person *x = a, *y = b;
	return x->facts->joined < y->facts->joined ? -1 : x->facts->joined > y->facts->joined;
}

/* Everybody is known: the co-ops are founded the day before the first one joins. */
static enum err begin(struct demo *d)
{
	qsort(d->people, d->n, sizeof(d->people[0]), by_joining);
	for (size_t i = 0; i < d->n; i++)
		d->by_index[d->people[i].facts->coop][d->people[i].facts->index] = i;
	d->day = d->people[0].facts->joined / CLOCK_DAY * CLOCK_DAY - CLOCK_DAY;
	clock_set(d->day + 9 * CLOCK_HOUR);
	for (unsigned coop = 0; coop < DEMO_COOPS; coop++) {
		struct person *founder = person_of(d, coop, 0);
		TRY(make_account(d, founder));
		TRY(found_coop(d, coop, founder));
	}
	return ERR_OK;
}

static enum err submit(struct demo *d, const struct demo_contribution *contribution)
{
	const struct json *json;
	struct receipt receipt;
	TRY(json_parse(d->c->arena, contribution->json, &json, &d->c->error));
	act_as(d, person_of(d, contribution->coop, contribution->member)->account);
	TRY(pool_submit(d->c, d->coop[contribution->coop], json, &receipt));
	d->items += !receipt.duplicate;
	d->held += str_is(receipt.status, "pending");
	return ERR_OK;
}

static enum err hear_contribution(void *arg, const struct demo_contribution *contribution, struct error *e)
{
	struct demo *d = arg;
	(void)e;
	if (uuid_is_nil(d->coop[0]))
		TRY(begin(d));
	TRY(live_until(d, contribution->submitted));
	STEP(d, submit(d, contribution));
	if (d->terminal && d->items % 100 == 0)
		fprintf(stderr, "\r%lld contributions", (long long)d->items);
	return ERR_OK;
}

static enum err live_half_a_year(struct demo *d, instant now)
{
	struct demo_options options = { .seed = DEMO_SEED, .end = now - CLOCK_DAY, .months = DEMO_MONTHS };
	struct demo_listener listener = { hear_coop, hear_member, hear_contribution, d };
	struct error error = { 0 };
	fprintf(stderr, "Two co-ops live through half a year: members join, state their choices, contribute, vote …\n");
	enum err e = demo_generate(&options, &listener, &error);
	if (e != ERR_OK && d->c->error.code == ERR_OK)
		d->c->error = error;
	TRY(e);
	TRY(live_until(d, now));
	clock_set(INSTANT_NONE);
	if (d->terminal)
		fprintf(stderr, "\n");
	return run_jobs(d);
}

/* ---- the two together ---- */

static enum err know_each_other(struct demo *d, struct peer *other)
{
	struct call *c = d->c;
	for (int i = DEMO_COOPS - 1; i >= 0; i--) {
		act_as(d, person_of(d, (unsigned)i, 0)->account);
		TRY(peer_meet(c, d->coop[i], str_of(config()->base_url), d->facts[!i]->slug, other));
		TRY(peer_confirm(c, d->coop[i], other->id, other->fingerprint, other));
	}
	return ERR_OK;
}

/* An agreement that one proposes and both try out, so that there is something to look at before a vote. */
static enum err think_of_sharing(struct demo *d)
{
	struct call *c = d->c;
	struct peer other;
	struct agreement agreement;
	struct preview_kept kept;
	const struct json *draft;
	TRY(know_each_other(d, &other));
	TRY(json_parse(c->arena, STR("{\"joint\":\"us\"}"), &draft, &c->error));
	TRY(agreement_draft(c, d->coop[0], other.id, draft, (struct uuid){ { 0 } }, STR_NONE, &agreement));
	TRY(agreement_propose(c, d->coop[0], agreement.terms.digest, &agreement));
	TRY(run_jobs(d));
	for (unsigned i = 0; i < DEMO_COOPS; i++) {
		act_as(d, person_of(d, i, 0)->account);
		TRY(preview_make(c, d->coop[i], agreement.terms.digest, &kept));
	}
	TRY(run_jobs(d));
	fprintf(stderr, "%.*s has proposed an agreement to %.*s: see “Partners and merges”.\n", STR_ARG(d->facts[0]->name), STR_ARG(d->facts[1]->name));
	return ERR_OK;
}

/* ---- the data user ---- */

static enum err get_access(struct demo *d, struct str *token)
{
	struct call *c = d->c;
	struct account account;
	struct access_request request;
	struct access_grant grant;
	struct charter charter;
	instant expires;
	TRY(account_create(c, STR("lab@example.org"), STR("Example Research Lab"), &account));
	d->data_user = account.id;
	act_as(d, account.id);
	TRY(db_begin_in(c, d->coop[0], DB_READ));
	TRY(charter_current(c, d->coop[0], &charter));
	TRY(db_commit(c));
	TRY(access_ask(c, d->coop[0], (struct uuid){ { 0 } }, STR("research"), STR("Comparing how small languages fare in open models."), STR("Example Research Lab"),
		sha256(charter.terms), &request, &grant));
	act_as(d, person_of(d, 0, 0)->account);
	if (uuid_is_nil(grant.id))
		TRY(access_decide(c, d->coop[0], request.id, true, STR("Fits the purpose of our releases."), &request, &grant));
	act_as(d, account.id);
	return access_token(c, d->coop[0], grant.id, token, &expires);
}

static bool download_write(void *file, const void *p, size_t n)
{
	return fwrite(p, 1, n, file) == n;
}

static enum err download_file(struct call *c, struct str url, struct str token, const char *to)
{
	TRY(file_make_parents(to, &c->error));
	FILE *file = fopen(to, "we");
	if (!file)
		return fail(c, ERR_IO, "%s cannot be written: %s.", to, strerrorname_np(errno));
	const struct fetch_header bearer = { STR("Authorization"), str_fmt(c->arena, "Bearer %.*s", STR_ARG(token)) };
	const struct fetch_request request = {
		.url = url, .headers = &bearer, .n_headers = 1, .sink = download_write, .arg = file, .max_bytes = INT64_MAX, .total_ms = 60000, .allow_private = true, .allow_http = true,
	};
	struct fetch_answer answer;
	enum err e = fetch(NULL, c->arena, &request, &answer, &c->error);
	bool closed = fclose(file) == 0;
	TRY(e);
	return answer.status == 200 && closed ? ERR_OK : fail(c, ERR_IO, "The download of %.*s ended with status %ld.", STR_ARG(url), answer.status);
}

/* Downloads the latest release through the gate, file by file, into a folder of its own. */
static enum err download_release(struct demo *d, int port, struct str token, struct str *dir, struct release *latest)
{
	static const char *const seals[] = { "manifest.json", "manifest.dsse.json", "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "release.tlog-proof" };
	struct call *c = d->c;
	struct release_file *files;
	size_t n;
	TRY(release_find(c, d->coop[0], STR("latest"), latest));
	TRY(release_files(c, d->coop[0], latest->id, &files, &n));
	*dir = str_fmt(c->arena, "%s/downloads/%.*s-%.*s", config()->dir, STR_ARG(d->facts[0]->slug), STR_ARG(latest->version));
	for (size_t i = 0; i < n + CH_LEN(seals); i++) {
		struct str path = i < n ? files[i].path : str_of(seals[i - n]);
		struct str url = str_fmt(c->arena, "http://127.0.0.1:%d/api/v1/coops/%.*s/releases/%.*s/files/%.*s", port, STR_ARG(d->facts[0]->slug), STR_ARG(latest->version), STR_ARG(path));
		TRY(download_file(c, url, token, str_fmt(c->arena, "%.*s/%.*s", STR_ARG(*dir), STR_ARG(path)).p));
	}
	fprintf(stderr, "Downloaded release %.*s of %.*s through its gate: %zu files, %lld rows.\n", STR_ARG(latest->version), STR_ARG(d->facts[0]->name), n + CH_LEN(seals),
		(long long)latest->built_items);
	return ERR_OK;
}

static enum err verify_download(struct demo *d, struct str dir, const uint8_t public_key[32])
{
	struct verify_options options = { .public_key = public_key };
	struct verify_result result;
	TRY(verify_release(d->c->arena, dir.p, &options, &result, &d->c->error));
	for (const struct check *k = result.checks; k; k = k->next)
		fprintf(stderr, "  %s %.*s\n", k->ok ? "ok " : "BAD", STR_ARG(k->text));
	return result.ok ? ERR_OK : fail(d->c, ERR_CORRUPT, "The downloaded release does not verify.");
}

static enum err show(struct demo *d, struct app *app, const char *program)
{
	struct call *c = d->c;
	struct str token, dir;
	struct release latest;
	struct coop coop;
	fprintf(stderr, "%lld contributions, of which %lld were held for a moderator.\n", (long long)d->items, (long long)d->held);
	TRY(get_access(d, &token));
	TRY(download_release(d, app_port(app), token, &dir, &latest));
	TRY(coop_read(c, d->coop[0], &coop));
	TRY(verify_download(d, dir, coop.public_key));
	struct str key = minisign_public_key(c->arena, coop.public_key);
	printf("url=%s\n", config()->base_url);
	printf("sign_in=%.*s %.*s\n", STR_ARG(person_of(d, 0, 0)->facts->email), STR_ARG(d->password));
	printf("artefact=%.*s\n", STR_ARG(dir));
	printf("public_key=%.*s\n", STR_ARG(key));
	printf("verify=%s verify %.*s --key %.*s\n", program, STR_ARG(dir), STR_ARG(key));
	fflush(stdout);
	return ERR_OK;
}

static enum err demo_steps(struct demo *d, struct app *app, const char *program)
{
	SQL(coops, "SELECT count(*) FROM coop");
	struct call *c = d->c;
	struct rows r;
	instant now = clock_now();
	TRY(db_begin(c, DB_READ));
	TRY(db_run_one(c, &coops, &r, NULL, 0));
	TRY(db_commit(c));
	if (row_int(&r, 0, 0) > 0)
		return fail(c, ERR_EXISTS, "There are co-ops here already. The demo fills an empty instance: set COMMONHOLD_DIR to a new folder.");
	TRY(live_half_a_year(d, now));
	STEP(d, think_of_sharing(d));
	TRY(app_serve(app, &c->error));
	return show(d, app, program);
}

static int demo_run(struct app *app, const char *program)
{
	struct demo *d = calloc(1, sizeof(*d));
	int status = 1;
	if (d && (d->c = app_call())) {
		d->terminal = isatty(STDERR_FILENO);
		status = demo_steps(d, app, program) == ERR_OK ? 0 : command_failed("demo", &d->c->error);
		clock_set(INSTANT_NONE);
		app_call_end(d->c);
	}
	free(d);
	return status;
}

int demo_main(int argc, char **argv)
{
	static const struct option options[] = { { "exit", no_argument, NULL, 'e' }, { "program", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	static const char usage[] =
		"usage: commonhold demo [--exit] [--program PATH]\n\n"
		"Fills an empty instance with two made-up co-ops, carries their releases through to publication, downloads and verifies one, and then serves until\n"
		"interrupted (--exit: stops instead). The last lines say where to look. --program is the name to show in the line verify=.\n";
	const char *program = "commonhold";
	bool leave = false;
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		if (o == 'e') {
			leave = true;
		} else if (o == 'p') {
			program = optarg;
		} else {
			fprintf(o == 'h' ? stdout : stderr, "%s", usage);
			return o == 'h' ? 0 : 2;
		}
	}
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	if (app_open(&app, &error) != ERR_OK)
		status = command_failed("demo", &error);
	else
		status = demo_run(app, program);
	if (status == 0 && !leave)
		app_wait();
	if (app)
		app_drain(app);
	app_close(app);
	return status;
}
