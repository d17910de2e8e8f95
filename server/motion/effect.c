#include "motion_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/log.h"
#include "commonhold/notify.h"
#include "commonhold/release.h"

/* What follows from the vote on a motion: once, whoever runs the job and however often. */

SQL(people_told, "SELECT account_id FROM membership WHERE coop_id = $1 AND state IN ('active', 'due', 'grace')");
SQL(people_counted,
	"SELECT count(*) FILTER (WHERE state IN ('active', 'due', 'grace')), count(*) FILTER (WHERE is_admin AND state IN ('active', 'due', 'grace')) "
	"FROM membership WHERE coop_id = $1");
SQL(what_if_insert, "INSERT INTO motion_what_if (coop_id, motion_id, computed_at, document) VALUES ($1, $2, commonhold_now(), $3) ON CONFLICT (coop_id, motion_id) DO NOTHING");
SQL(what_if_read, "SELECT document FROM motion_what_if WHERE coop_id = $1 AND motion_id = $2");

struct str motion_change_words(struct arena *a, const struct charter_term *t)
{
	return str_fmt(a, "%s: from %.*s to %.*s", t->label, STR_ARG(str_sub(t->before, 0, 300)), STR_ARG(str_sub(t->after, 0, 300)));
}

/* ---- Amendments ---- */

static enum err tell_adopted(struct call *c, const struct motion *m, int version, const struct charter_term *terms, size_t n)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct str url;
	bool asked = false;
	for (size_t i = 0; i < n; i++)
		asked |= terms[i].line != CHARTER_LINE_NONE;
	TRY(motion_url(c, m, &url));
	TRY(db_query(c, people_told, &r, A_UUID(m->coop)));
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", "The charter was changed");
	jw_kstr(&w, "text", str_fmt(c->arena, "Version %d of the charter is in force by a ballot of the members.%s", version,
		asked ? " It touches choices that you have made: you are asked about them again, and until you answer they count as not said." : ""));
	jw_kstr(&w, "url", url);
	jw_kstr(&w, "version", str_fmt(c->arena, "%d", version));
	jw_key(&w, "changes");
	jw_array(&w);
	for (size_t i = 0; i < n && i < 20; i++)
		jw_str(&w, motion_change_words(c->arena, &terms[i]));
	jw_end_array(&w);
	jw_end_object(&w);
	struct notice notice = { .kind = "charter.adopted", .coop = m->coop, .key = uuid_format(c->arena, m->id), .data = buf_take(c->arena, &b) };
	return notify_many(c, &notice, accounts, (size_t)r.n);
}

/* Lines of the checkup that members are asked about again. A widened purpose or audience goes to consent, what the co-op says for the silent to its default. */
static enum err ask_again(struct call *c, const struct motion *m, int version, const struct charter_term *terms, size_t n)
{
	static const char *const lines[CHARTER_LINE_COUNT] = { "", "consent", "default", "licence", "delegations" };
	struct buf b;
	struct json_writer w;
	size_t asked = 0;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "ballot", uuid_format(c->arena, m->ballot));
	jw_kint(&w, "charter", version);
	jw_kstr(&w, "coop", uuid_format(c->arena, m->coop));
	jw_key(&w, "lines");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		const struct charter_term *t = &terms[i];
		if (t->line == CHARTER_LINE_NONE)
			continue;
		bool purpose = strcmp(t->pointer, "/release/purposes") == 0 || strcmp(t->pointer, "/release/uses") == 0;
		jw_object(&w);
		jw_kz(&w, "line", purpose ? "consent" : lines[t->line]);
		jw_kz(&w, "reason", purpose ? "purpose" : t->line == CHARTER_LINE_CONSENT ? "recipients" : "default");
		jw_kstr(&w, "words", motion_change_words(c->arena, t));
		jw_end_object(&w);
		asked++;
	}
	jw_end_array(&w);
	jw_end_object(&w);
	struct str args = buf_take(c->arena, &b);
	return asked ? job_queue(c, "checkup.off_cycle", uuid_format(c->arena, m->id), args, clock_now()) : ERR_OK;
}

/* Others were written for the version that has just been replaced: they would undo what was decided without anybody seeing it. */
static enum err outdate_others(struct call *c, const struct motion *adopted, int version)
{
	struct uuid *others;
	size_t n;
	TRY(motion_live_amendments(c, adopted->coop, adopted->id, &others, &n));
	for (size_t i = 0; i < n; i++) {
		struct motion m;
		struct str note = str_fmt(c->arena, "Version %d of the charter was adopted first. Propose it again on that one.", version);
		TRY(motion_get(c, adopted->coop, others[i], &m));
		if (!uuid_is_nil(m.ballot))
			TRY(ballot_cancel(c, m.coop, m.ballot, note));
		TRY(motion_end(c, &m, "outdated", note));
		TRY(motion_tell_proposer(c, &m, STR("Your amendment is outdated"), note));
	}
	return ERR_OK;
}

static enum err carry_charter(struct call *c, const struct motion *m, const char **event, struct str *note)
{
	struct charter before, after;
	struct charter_term *terms;
	struct rows r;
	size_t n;
	int version;
	TRY(charter_current(c, m->coop, &before));
	if (before.version != m->charter) {
		*event = "outdated";
		*note = str_fmt(c->arena, "Version %d of the charter was adopted first. Propose it again on that one.", before.version);
		return ERR_OK;
	}
	TRY(charter_parse(c->arena, m->document, &after, &c->error));
	TRY(charter_compare(c->arena, &before, &after, &terms, &n, &c->error));
	TRY(db_one(c, people_counted, &r, A_UUID(m->coop)));
	TRY(charter_amendable(c->arena, &after, (int)row_int(&r, 0, 0), (int)row_int(&r, 0, 1), &c->error));
	TRY(tell_adopted(c, m, before.version + 1, terms, n));
	TRY(ask_again(c, m, before.version + 1, terms, n));
	TRY(charter_adopt(c, m->coop, m->document, m->ballot, (struct uuid){ { 0 } }, &version));
	TRY(outdate_others(c, m, version));
	*note = str_fmt(c->arena, "Version %d of the charter is in force.", version);
	return ERR_OK;
}

/* ---- The other kinds ---- */

static enum err carry_toggle(struct call *c, const struct motion *m, const struct json *document, struct str *note)
{
	struct control in, set;
	struct uuid id;
	if (str_is(json_member_text(document, "act"), "lift")) {
		if (!uuid_parse(json_member_text(document, "control"), &id))
			return fail(c, ERR_CORRUPT, "A motion names no control.");
		TRY(control_lift_by_ballot(c, m->coop, id, m->ballot));
		*note = STR("The control is lifted.");
		return ERR_OK;
	}
	TRY(motion_read_control(c, document, &in));
	in.ballot = m->ballot;
	TRY(control_set(c, m->coop, &in, &set));
	*note = str_fmt(c->arena, "%s is in force.", control_title(set.kind));
	return ERR_OK;
}

static enum err carry_admin(struct call *c, const struct motion *m, const struct json *document, struct str *note)
{
	struct member member;
	struct uuid id;
	bool add = str_is(json_member_text(document, "act"), "add");
	if (!uuid_parse(json_member_text(document, "member"), &id))
		return fail(c, ERR_CORRUPT, "A motion names no member.");
	TRY(member_set_admin_by_ballot(c, m->coop, id, add, &member));
	*note = add ? STR("The member is an admin.") : STR("The member is no longer an admin.");
	return ERR_OK;
}

static enum err carry_benefit(struct call *c, const struct motion *m, const struct json *document, struct str *note)
{
	struct benefit_draft draft;
	TRY(motion_read_benefit(c, document, &draft));
	draft.ballot = m->ballot;
	*note = STR("It is recorded in the benefit ledger.");
	if (str_is(json_member_text(document, "act"), "spend"))
		return benefit_spend(c, m->coop, m->ballot, draft.amount, draft.currency, json_member_text(document, "reference"));
	return benefit_record_decided(c, m->coop, &draft);
}

static enum err carry(struct call *c, const struct motion *m, const char **event, struct str *note)
{
	const struct json *document;
	*event = "carried";
	if (str_is(m->kind, "charter"))
		return carry_charter(c, m, event, note);
	TRY(json_parse(c->arena, m->document, &document, &c->error));
	if (str_is(m->kind, "toggle"))
		return carry_toggle(c, m, document, note);
	return str_is(m->kind, "admin") ? carry_admin(c, m, document, note) : carry_benefit(c, m, document, note);
}

/* ---- Deciding ---- */

/* The motion, locked, if it has not ended yet; *live tells. */
static enum err take(struct call *c, struct uuid coop, struct uuid id, struct motion *m, bool *live)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(motion_lock(c, coop));
	TRY(motion_get(c, coop, id, m));
	*live = m->effect_at == INSTANT_NONE && !m->note.p && (m->state == MOTION_PASSED || m->state == MOTION_LOST);
	return ERR_OK;
}

/* What passed and cannot be done: the co-op has changed since it was proposed. It is told, not tried for ever. */
static enum err refuse(struct call *c, struct uuid coop, struct uuid id, struct str why)
{
	struct motion m;
	bool live;
	TRY(take(c, coop, id, &m, &live));
	if (live) {
		TRY(motion_end(c, &m, "refused", why));
		TRY(motion_tell_proposer(c, &m, STR("Your motion passed, and could not take effect"), why));
	}
	return db_commit(c);
}

static bool final_refusal(enum err e)
{
	return e == ERR_REFUSED || e == ERR_STATE || e == ERR_INVALID || e == ERR_NOT_FOUND;
}

static enum err decided(struct call *c, struct uuid coop, struct uuid id)
{
	struct motion m;
	struct str note = STR_NONE;
	const char *event;
	bool live;
	TRY(take(c, coop, id, &m, &live));
	if (!live)
		return db_commit(c);
	if (m.state == MOTION_LOST) {
		TRY(motion_end(c, &m, "lost", STR("It did not pass.")));
		TRY(motion_tell_proposer(c, &m, STR("Your motion did not pass"), m.title));
		return db_commit(c);
	}
	enum err e = carry(c, &m, &event, &note);
	if (final_refusal(e)) {
		const struct fault *fault = c->error.faults;
		struct str why = fault ? str_copy(c->arena, fault->message) : str_copy(c->arena, str_of(c->error.message));
		db_rollback(c);
		error_clear(&c->error);
		return refuse(c, coop, id, why);
	}
	TRY(e);
	TRY(motion_end(c, &m, event, note));
	TRY(motion_tell_proposer(c, &m, strcmp(event, "carried") == 0 ? STR("Your motion passed and took effect") : STR("Your amendment is outdated"), note));
	TRY(db_commit(c));
	log_event(LOG_INFO, "motion.decided", LOG_S("kind", m.kind), LOG_S("motion", uuid_format(c->arena, id)), LOG_S("event", str_of(event)));
	return ERR_OK;
}

static enum err job_decided(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "subject", &coop, &id));
	return decided(c, coop, id);
}

/* ---- What if ---- */

static void side(struct json_writer *w, const char *key, int64_t items, int64_t members)
{
	jw_key(w, key);
	jw_object(w);
	jw_kint(w, "items", items);
	jw_kint(w, "members", members);
	jw_end_object(w);
}

/* One comparison, as in schemas/motion_what_if.json. */
static void comparison(struct json_writer *w, struct arena *a, const struct what_if *f)
{
	const struct policy_change *x = &f->change;
	jw_object(w);
	jw_kstr(w, "at", clock_format(a, f->at));
	jw_kint(w, "candidates", f->candidates);
	side(w, "now", f->included, f->contributors);
	side(w, "then", f->included_after, f->contributors_after);
	side(w, "gained", (int64_t)x->items_gained, (int64_t)x->members_gained);
	side(w, "lost", (int64_t)x->items_lost, (int64_t)x->members_lost);
	jw_key(w, "moved");
	jw_array(w);
	for (unsigned from = 0; from < POLICY_OUTCOME_COUNT; from++)
		for (unsigned to = 0; to < POLICY_OUTCOME_COUNT; to++)
			if (x->moved[from][to]) {
				jw_object(w);
				jw_kz(w, "from", policy_outcome_name(from));
				jw_kz(w, "to", policy_outcome_name(to));
				jw_kint(w, "items", (int64_t)x->moved[from][to]);
				jw_end_object(w);
			}
	jw_end_array(w);
	jw_key(w, "reasons");
	jw_array(w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (x->reason_gained[no] || x->reason_lost[no]) {
			jw_object(w);
			jw_kz(w, "reason", policy_reason_get(no)->name);
			jw_kint(w, "gained", (int64_t)x->reason_gained[no]);
			jw_kint(w, "lost", (int64_t)x->reason_lost[no]);
			jw_end_object(w);
		}
	jw_end_array(w);
	jw_end_object(w);
}

static enum err what_if_text(struct call *c, struct uuid coop, const struct charter *proposed, bool asks, struct str *out)
{
	struct what_if at_once, confirmed;
	struct buf b;
	struct json_writer w;
	TRY(release_what_if(c, coop, proposed, false, &at_once));
	if (asks)
		TRY(release_what_if(c, coop, proposed, true, &confirmed));
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "at_once");
	comparison(&w, c->arena, &at_once);
	jw_key(&w, "when_confirmed");
	if (asks)
		comparison(&w, c->arena, &confirmed);
	else
		jw_null(&w);
	jw_end_object(&w);
	*out = buf_take(c->arena, &b);
	return out->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "The comparison is too large.");
}

static enum err job_what_if(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct motion m;
	struct charter now, proposed;
	struct str document;
	TRY(job_args_read(c, args, "motion", &coop, &id));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(motion_get(c, coop, id, &m));
	TRY(charter_current(c, coop, &now));
	TRY(charter_as_adopted(c, &now, m.document, &proposed));
	TRY(db_commit(c));
	if (now.version != m.charter)
		return ERR_OK; /* outdated before it was looked at: there is nothing to show */
	TRY(what_if_text(c, coop, &proposed, proposed.notice_min != now.notice_min, &document));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, what_if_insert, A_UUID(coop), A_UUID(id), A_STR(document)));
	return db_commit(c);
}

enum err motion_what_if(struct call *c, struct uuid coop, struct uuid motion, struct str *document)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, what_if_read, &r, A_UUID(coop), A_UUID(motion)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "What this would change has not been computed, or it is no amendment.");
	*document = row_str(&r, 0, 0);
	return db_commit(c);
}

const struct job_kind motion_jobs[] = {
	{ "charter.decided", job_decided, 20, 120 },
	{ "toggle.decided", job_decided, 20, 120 },
	{ "admin.decided", job_decided, 20, 120 },
	{ "benefit.decided", job_decided, 20, 300 },
	{ "motion.what_if", job_what_if, 10, 600 },
	JOB_TABLE_END,
};
