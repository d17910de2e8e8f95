#include "release_internal.h"

#include "commonhold/guest.h"
#include "commonhold/origin.h"
#include "commonhold/words.h"

#include <stdio.h>

SQL(item_columns,
	"SELECT item_no, member_no, kind, word | pool_withdrawn_bits(coop_id, item_no, member_no), more, content_sha256, pool_embargo_end(coop_id, item_no, member_no) "
	"FROM contribution WHERE coop_id = $1 AND id = $2");

SQL(member_faces,
	"SELECT CASE WHEN u.no >= 4294967294 THEN 'the board' WHEN m.attribution = 'anonymous' THEN 'anonymous (member ' || m.number || ')' WHEN m.attribution = 'public' THEN coalesce(m.public_name, m.pseudonym) ELSE m.pseudonym END "
	"FROM unnest($2::bigint[]) WITH ORDINALITY AS u (no, place) LEFT JOIN membership m ON m.coop_id = $1 AND m.number = u.no ORDER BY u.place");

static const char *const who_words[] = {
	[POLICY_FIXER_NOBODY] = "nobody", [POLICY_FIXER_MEMBER] = "you", [POLICY_FIXER_DELEGATE] = "your delegate", [POLICY_FIXER_COOP] = "the co-op",
	[POLICY_FIXER_TIME] = "time",
};

static const char *who(unsigned fixer)
{
	return fixer < CH_LEN(who_words) ? who_words[fixer] : "nobody";
}

/* One act of a counterfactual as a sentence. */
static struct str step_words(struct arena *a, const struct policy_step *step)
{
	struct str uses = words_list(a, step->uses, POLICY_USE_COUNT, words_use), until;
	switch (step->act) {
	case POLICY_ACT_ALLOW:
		return str_fmt(a, "%s can allow %.*s", who(step->fixer), STR_ARG(uses));
	case POLICY_ACT_LIFT:
		return str_fmt(a, "%s can take back the denial that stands", who(step->fixer));
	case POLICY_ACT_WAIT:
		until = words_day(a, step->until);
		return step->until == INSTANT_NEVER ? STR("wait for the next release") : str_fmt(a, "wait until %.*s", STR_ARG(until));
	default:
		return str_fmt(a, "%s can settle “%s”", who(step->fixer), words_reason(step->reason));
	}
}

static struct str fix_words(struct arena *a, const struct policy_fix *fix)
{
	struct str text = STR("");
	for (size_t i = 0; i < fix->n; i++)
		text = str_fmt(a, "%.*s%s%.*s", STR_ARG(text), i ? ", and " : "", STR_ARG(step_words(a, &fix->steps[i])));
	return text;
}

/* What a control does, and what the members said when they set it. */
static struct str control_words(struct arena *a, const struct control *k)
{
	struct str effect = control_effect(a, k), end = control_end(a, k);
	return str_fmt(a, "%.*s Their reason: “%.*s” %.*s", STR_ARG(effect), STR_ARG(k->reason), STR_ARG(end));
}

static void decision_lines(struct call *c, const struct decided *d, const struct policy_trace *trace, struct decision *out)
{
	out->lines = ARENA_ARRAY(c->arena, trace->n_causes, struct decision_line);
	for (size_t i = 0; i < trace->n_causes; i++) {
		const struct policy_cause *cause = &trace->causes[i];
		const struct policy_reason *reason = policy_reason_get(cause->reason);
		size_t n = policy_cause_text(d->program, trace, cause, NULL, 0);
		char *text = arena_alloc(c->arena, n + 1);
		policy_cause_text(d->program, trace, cause, text, n + 1);
		const struct control *control = decided_control(d, cause);
		struct str said = str_make(text, n), by_vote = control ? control_words(c->arena, control) : STR_NONE;
		out->lines[out->n_lines++] = (struct decision_line){
			.text = control ? str_fmt(c->arena, "%.*s %.*s", STR_ARG(said), STR_ARG(by_vote)) : said, .control_words = by_vote,
			.control = control ? control->id : (struct uuid){ { 0 } }, .reason = str_of(reason->name), .gate = str_of(policy_gate_name(cause->gate)),
			.no = cause->reason, .uses = cause->uses, .determining = cause->determining, .who = str_of(who(reason->fixer)),
		};
	}
	out->fixes = ARENA_ARRAY(c->arena, trace->n_fixes, struct str);
	for (size_t i = 0; i < trace->n_fixes; i++)
		out->fixes[out->n_fixes++] = fix_words(c->arena, &trace->fixes[i]);
}

static enum err item_read(struct call *c, struct uuid coop, struct uuid contribution, struct policy_item_fact *fact, uint64_t *word, uint64_t *more)
{
	struct rows r;
	TRY(db_one(c, item_columns, &r, A_UUID(coop), A_UUID(contribution)));
	*fact = (struct policy_item_fact){ .item = (uint32_t)row_int(&r, 0, 0), .member = (uint32_t)row_int(&r, 0, 1), .kind = (uint8_t)row_int(&r, 0, 2),
		.embargo_until = row_null(&r, 0, 6) ? POLICY_EVER : row_time(&r, 0, 6), .retain_until = POLICY_NEVER };
	*word = (uint64_t)row_int(&r, 0, 3);
	*more = (uint64_t)row_int(&r, 0, 4);
	return ERR_OK;
}

/* What was withdrawn since a release was built had no part in it: the bits of withdrawals are as they were then. Of what was purged since, the credit line is gone from the row. */
static uint64_t word_as_built(uint64_t word, policy_reasons stored)
{
	static const struct { uint64_t bit; policy_reasons reason; } withdrawn[] = {
		{ POLICY_ITEM_TOMBSTONED, POLICY_REASON(TOMBSTONED) }, { POLICY_ITEM_ERASURE, POLICY_REASON(ERASURE_PENDING) },
		{ POLICY_ITEM_RESTRICTED, POLICY_REASON(RESTRICTED) }, { POLICY_ITEM_WITHDRAWN, POLICY_REASON(CONSENT_WITHDRAWN) },
		{ POLICY_ITEM_EMBARGOED, POLICY_REASON(EMBARGO_UNTIL) },
	};
	uint64_t credited = word & POLICY_ITEM_TOMBSTONED && !(stored & POLICY_REASON(ATTRIBUTION_MISSING)) ? (uint64_t)POLICY_ITEM_ATTRIBUTED : 0;
	for (size_t i = 0; i < CH_LEN(withdrawn); i++)
		if (!(stored & withdrawn[i].reason))
			word &= ~withdrawn[i].bit;
	return word | credited;
}

static enum err delegate_names(struct call *c, struct uuid coop, const struct policy_trace *trace, struct decision *out)
{
	struct rows r;
	if (trace->n_path == 0)
		return ERR_OK;
	int64_t *numbers = ARENA_ARRAY(c->arena, trace->n_path, int64_t);
	for (size_t i = 0; i < trace->n_path; i++)
		numbers[i] = trace->path[i];
	TRY(db_query(c, member_faces, &r, A_UUID(coop), A_I64S(numbers, trace->n_path)));
	out->delegates = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct str);
	for (int i = 0; i < r.n; i++)
		out->delegates[out->n_delegates++] = row_str(&r, i, 0);
	return ERR_OK;
}

/* The first of the reasons that decide the outcome. */
static unsigned strictest(policy_reasons reasons)
{
	enum policy_outcome outcome = policy_outcome_of(reasons);
	unsigned no = 0;
	while (no + 1 < POLICY_REASON_COUNT && (!(reasons >> no & 1) || policy_reason_get(no)->severity != outcome))
		no++;
	return no;
}

/* What other contributors of the same content, the agreements that they come under and the same person elsewhere add to the engine's reasons: one sentence each, and the reasons. */
static enum err guest_lines_add(struct call *c, const struct decided *d, int64_t item_no, uint64_t word, uint32_t member, policy_reasons *added, struct decision *out)
{
	struct origin_names names;
	size_t n;
	*added = 0;
	if (!d->guests)
		return ERR_OK;
	const struct decided_origin *o = guests_origins_of(d, (size_t)item_no, &n);
	*added = guests_row_reasons(d, word, member);
	TRY(origin_names_load(c, d->coop, &names));
	out->elsewhere = ARENA_ARRAY(c->arena, n + 2, struct str);
	policy_reasons person = guests_person_reasons(d, member, (unsigned)(word & 7));
	if (person)
		out->elsewhere[out->n_elsewhere++] = str_fmt(c->arena, "Its contributor is in another co-op too, and what stands for them there or here keeps it back: %s.", words_reason(strictest(person)));
	for (size_t i = 0; i < n; i++) {
		policy_reasons theirs = guests_origin_reasons(d, &o[i], word);
		enum policy_outcome outcome = policy_outcome_of(theirs);
		struct str title = names.title[o[i].origin].n ? names.title[o[i].origin] : names.key_name[o[i].origin];
		*added |= theirs;
		if (outcome_is_in((uint8_t)outcome))
			continue;
		out->elsewhere[out->n_elsewhere++] = str_fmt(c->arena, "Somebody contributed the same in %.*s, and what is said there keeps it back here too: %s.", STR_ARG(title), words_reason(strictest(theirs)));
	}
	return ERR_OK;
}

enum err release_explain(struct call *c, struct uuid coop, struct uuid contribution, struct uuid release, struct decision *out)
{
	struct decided d;
	struct policy_item_fact fact;
	struct policy_trace trace;
	uint64_t word, more, stored = 0;
	int64_t item_no;
	bool preview = uuid_is_nil(release);
	*out = (struct decision){ .retry_at = INSTANT_NONE };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_item(c, coop, contribution, &item_no));
	TRY(item_read(c, coop, contribution, &fact, &word, &more));
	instant cutoff = release_preview_cutoff(), at = cutoff;
	if (!preview) {
		TRY(release_get(c, coop, release, &out->release));
		cutoff = out->release.cutoff_at;
		bool built = out->release.state == RELEASE_PUBLISHED || out->release.state == RELEASE_SUPERSEDED || out->release.state == RELEASE_WITHDRAWN;
		at = built ? out->release.published_at : cutoff > at ? cutoff : at;
		if (out->release.state == RELEASE_SCHEDULED)
			return fail(c, ERR_STATE, "This release has not been frozen yet; ask for the preview instead.");
		TRY(release_stored_reasons(c, coop, release, built ? "built" : "frozen", item_no, &stored));
		word = built ? word_as_built(word, stored) : word;
	}
	TRY(decide_prepare(c, coop, preview ? NULL : &out->release, cutoff, at, word & POLICY_ITEM_EMBARGOED ? &fact : NULL, &d));
	policy_reasons own = policy_decide_one(d.program, d.rows, fact.item, word, more, fact.member);
	policy_reasons besides;
	TRY(guest_lines_add(c, &d, item_no, word, fact.member, &besides, out));
	if (!preview)
		besides = 0; /* they are among those stored */
	enum policy_status status = policy_explain(d.program, d.rows, fact.item, word, more, fact.member, (stored | besides) & ~own, &d.mem, &trace);
	if (status != POLICY_OK)
		return fail(c, ERR_INTERNAL, "The decision cannot be explained just now.");
	out->outcome = trace.outcome;
	out->duties = trace.duties;
	out->retry_at = trace.retry_at == POLICY_NEVER ? INSTANT_NONE : trace.retry_at;
	memcpy(out->policy.b, trace.policy, 32);
	memcpy(out->snapshot.b, trace.snapshot, 32);
	memcpy(out->engine.b, trace.engine, 32);
	memcpy(out->trace.b, trace.digest, 32);
	decision_lines(c, &d, &trace, out);
	TRY(delegate_names(c, coop, &trace, out));
	return db_commit(c);
}
