#include "checkup_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/crypto.h"
#include "commonhold/words.h"

/* The lines of a checkup: every standing choice as a sentence, with its value for machines. Nothing here is ticked; what is silent is called silent. */

/* ---- What stands ---- */

static const struct demand *demand_for(const struct standing *s, const char *line, struct uuid target)
{
	for (size_t i = 0; i < s->n_demands; i++)
		if (str_is(s->demands[i].line, line) && uuid_eq(s->demands[i].target, target))
			return &s->demands[i];
	return NULL;
}

/* A consent to words that a later charter has widened no longer counts, whatever widened them: so it is asked again even where no demand names it. */
static enum err ask_for_newer_words(struct call *c, struct standing *s)
{
	if (!s->consented || s->consent.notice >= s->charter.notice_min || demand_for(s, "consent", (struct uuid){ { 0 } }))
		return ERR_OK;
	struct demand *all = ARENA_ARRAY(c->arena, s->n_demands + 1, struct demand);
	if (s->n_demands)
		memcpy(all, s->demands, s->n_demands * sizeof *all);
	all[s->n_demands++] = (struct demand){ .line = STR("consent"), .reason = STR("purpose"), .charter = s->charter.notice_min, .at = s->charter.adopted_at,
		.words = STR("The charter allows more since you agreed. Until you answer, your contributions stay out of new releases.") };
	s->demands = all;
	return ERR_OK;
}

enum err standing_read(struct call *c, const struct member *m, struct standing *out)
{
	*out = (struct standing){ .member = *m };
	TRY(charter_current(c, m->coop, &out->charter));
	enum err said = consent_of_member(c, m->coop, m->id, &out->consent);
	if (said == ERR_NOT_FOUND)
		error_clear(&c->error);
	else
		TRY(said);
	out->consented = said == ERR_OK && consent_stands(&out->consent) && out->consent.expires_at > clock_now();
	TRY(statement_defaults_of(c, m, &out->statements, &out->n_statements, &out->on_items));
	TRY(licence_of_member(c, &out->charter, m->id, &out->licence, &out->own_licence));
	TRY(delegation_of_member(c, m->coop, m->id, &out->delegations, &out->n_delegations));
	TRY(demand_open(c, m, &out->demands, &out->n_demands));
	return ask_for_newer_words(c, out);
}

enum checkup_kind standing_kind(const struct standing *s)
{
	enum policy_standing now = membership_standing_at(s->member.state, s->member.due_at, s->charter.grace, clock_now());
	if (now == POLICY_STANDING_DUE || now == POLICY_STANDING_GRACE || now == POLICY_STANDING_LAPSED)
		return CHECKUP_ANNUAL;
	if (now != POLICY_STANDING_ACTIVE)
		return CHECKUP_NONE;
	if (membership_window_opens(&s->member, &s->charter) <= clock_now())
		return CHECKUP_ANNUAL;
	return s->n_demands ? CHECKUP_OFF_CYCLE : CHECKUP_NONE;
}

/* ---- Building ---- */

struct lines {
	struct call *c;
	const struct standing *s;      /* what stands */
	enum policy_standing standing; /* as the clock has it */
	struct checkup_line *at;       /* lines so far */
	size_t n, room;                /* how many, and places */
};

static void add(struct lines *l, struct checkup_line line)
{
	if (l->n < l->room)
		l->at[l->n++] = line;
}

static void value_begin(struct buf *b, struct json_writer *w)
{
	buf_init(b, LIMIT_BODY_SMALL);
	jw_init(w, b);
	jw_object(w);
}

static struct str value_end(struct lines *l, struct buf *b, struct json_writer *w)
{
	jw_end_object(w);
	return buf_take(l->c->arena, b);
}

static void membership_line(struct lines *l)
{
	struct arena *a = l->c->arena;
	const struct member *m = &l->s->member;
	struct buf b;
	struct json_writer w;
	value_begin(&b, &w);
	jw_kz(&w, "state", policy_standing_name(m->state));
	struct str words = l->standing == POLICY_STANDING_LAPSED
		? str_fmt(a, "Your membership has lapsed. Renewing brings it back, until %.*s.", STR_ARG(words_day(a, membership_next_due(m, l->s->charter.checkup_every, clock_now()))))
		: str_fmt(a, "You are a member since %.*s. Renewing goes until %.*s.", STR_ARG(words_day(a, m->joined_at)),
			STR_ARG(words_day(a, membership_next_due(m, l->s->charter.checkup_every, clock_now()))));
	add(l, (struct checkup_line){ .id = STR("membership"), .title = STR("Membership"), .words = words, .value = value_end(l, &b, &w), .answers = CHECKUP_CONFIRM | CHECKUP_END,
		.suspended = l->standing == POLICY_STANDING_LAPSED, .since = m->joined_at });
}

static uint64_t purpose_bits(const struct consent *consent)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < consent->n_purposes; i++) {
		int no = policy_purpose_find(consent->purposes[i].p, consent->purposes[i].n);
		bits |= no < 0 ? 0 : UINT64_C(1) << no;
	}
	return bits;
}

static void consent_line(struct lines *l)
{
	const struct standing *s = l->s;
	struct arena *a = l->c->arena;
	const struct demand *demand = demand_for(s, "consent", (struct uuid){ { 0 } });
	bool said = s->consent.state.p && consent_stands(&s->consent);
	struct str purposes = said ? words_list(a, purpose_bits(&s->consent), POLICY_PURPOSE_COUNT, words_purpose) : STR_NONE;
	struct str words = !s->consent.state.p ? STR("You have not said what your contributions may be used for. Without consent they stay out of releases.")
		: !said ? str_fmt(a, "You withdrew your consent on %.*s. Your contributions stay out of releases.", STR_ARG(words_day(a, s->consent.at)))
		: s->consented ? str_fmt(a, "You agree that your contributions are used for %.*s.", STR_ARG(purposes))
		: str_fmt(a, "You agreed that your contributions are used for %.*s. That ran out on %.*s.", STR_ARG(purposes), STR_ARG(words_day(a, s->consent.expires_at)));
	struct buf b;
	struct json_writer w;
	value_begin(&b, &w);
	jw_key(&w, "purposes");
	jw_array(&w);
	for (size_t i = 0; said && i < s->consent.n_purposes; i++)
		jw_str(&w, s->consent.purposes[i]);
	jw_end_array(&w);
	jw_kstr(&w, "state", s->consent.state);
	add(l, (struct checkup_line){ .id = STR("consent"), .title = STR("Consent"), .words = words, .why = demand ? demand->words : STR_NONE, .value = value_end(l, &b, &w),
		.answers = CHECKUP_CONFIRM | CHECKUP_CHANGE | (said ? CHECKUP_END : 0), .suspended = demand || (said && !s->consented), .since = s->consent.state.p ? s->consent.at : INSTANT_NONE });
}

static struct str effect_words(struct arena *a, const struct statement *st)
{
	if (str_is(st->effect, "allow"))
		return STR("yes");
	if (str_is(st->effect, "deny"))
		return STR("no");
	if (st->duties == POLICY_BIT(POLICY_DUTY_CREDIT))
		return STR("yes, if you are credited");
	return str_fmt(a, "yes, on %d conditions", __builtin_popcount(st->duties));
}

/* "use.train.gen", "use.search.chat", "use.eval.chat.for.research.to.public", "signal.train.gen" */
static struct str use_id(struct arena *a, const struct statement *st, unsigned use)
{
	return str_fmt(a, "%s.%s%s%.*s%s%.*s%s%.*s", st->external ? "signal" : "use", policy_use_name(use), st->kind.p ? "." : "", STR_ARG(st->kind), st->purpose.p ? ".for." : "",
		STR_ARG(st->purpose), st->audience.p ? ".to." : "", STR_ARG(st->audience));
}

static struct str kind_words(struct str kind)
{
	int no = policy_kind_find(kind.p, kind.n);
	return str_of(no < 0 ? "contributions" : words_kind((unsigned)no));
}

static void use_line(struct lines *l, const struct statement *st, unsigned use)
{
	struct arena *a = l->c->arena;
	struct buf b;
	struct json_writer w;
	value_begin(&b, &w);
	jw_kstr(&w, "audience", st->audience);
	jw_knames(&w, "duties", st->duties, POLICY_DUTY_COUNT, policy_duty_name);
	jw_kstr(&w, "effect", st->effect);
	jw_kstr(&w, "kind", st->kind);
	jw_kstr(&w, "purpose", st->purpose);
	jw_kz(&w, "use", policy_use_name(use));
	struct str about = st->kind.p ? str_fmt(a, " of kind %.*s", STR_ARG(kind_words(st->kind))) : STR("");
	int purpose = st->purpose.p ? policy_purpose_find(st->purpose.p, st->purpose.n) : -1;
	struct str limits = str_fmt(a, "%s%s%s%.*s", purpose >= 0 ? ", for " : "", purpose >= 0 ? words_purpose((unsigned)purpose) : "", st->audience.p ? ", towards " : "", STR_ARG(st->audience));
	struct str words = st->external
		? str_fmt(a, "A preference that came with your contributions says %.*s to %s.", STR_ARG(effect_words(a, st)), words_use(use))
		: str_fmt(a, "You say %.*s, for %s contributions%.*s%.*s.", STR_ARG(effect_words(a, st)), st->kind.p ? "your" : "all your", STR_ARG(about), STR_ARG(limits));
	add(l, (struct checkup_line){ .id = use_id(a, st, use), .title = str_fmt(a, "%s: %s%.*s", st->external ? "AI preference" : "Sharing", words_use(use), STR_ARG(about)), .words = words,
		.value = value_end(l, &b, &w), .answers = CHECKUP_CONFIRM | (st->external ? 0 : CHECKUP_CHANGE | CHECKUP_END), .since = st->declared_at });
}

static void use_lines(struct lines *l)
{
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		for (size_t i = 0; i < l->s->n_statements; i++)
			if (l->s->statements[i].uses & POLICY_BIT(use))
				use_line(l, &l->s->statements[i], use);
}

/* What was said about single contributions is confirmed as a whole: it can be ten thousand things. */
static void items_line(struct lines *l)
{
	struct buf b;
	struct json_writer w;
	if (l->s->on_items == 0)
		return;
	value_begin(&b, &w);
	jw_kint(&w, "items", l->s->on_items);
	add(l, (struct checkup_line){ .id = STR("items"), .title = STR("Single contributions"), .words = str_fmt(l->c->arena, "You have said something of its own about %.*s of your contributions.",
		STR_ARG(words_count(l->c->arena, l->s->on_items))), .value = value_end(l, &b, &w), .answers = CHECKUP_CONFIRM, .since = INSTANT_NONE });
}

static void default_line(struct lines *l)
{
	const struct standing *s = l->s;
	const struct demand *demand = demand_for(s, "default", (struct uuid){ { 0 } });
	bool accepted = s->consent.state.p && consent_stands(&s->consent) && s->consent.defaults;
	bool rests = accepted && (demand || l->standing == POLICY_STANDING_GRACE || l->standing == POLICY_STANDING_LAPSED);
	struct buf b;
	struct json_writer w;
	value_begin(&b, &w);
	jw_kbool(&w, "accept", accepted);
	const char *co_op = s->charter.share_by_default ? "This co-op shares by default." : "This co-op does not share by default.";
	struct str words = accepted ? str_fmt(l->c->arena, "Where you say nothing, the co-op's default speaks for you. %s%s", co_op, rests ? " That rests until you answer." : "")
		: str_fmt(l->c->arena, "Where you say nothing, nothing is decided and your contributions stay out. %s", co_op);
	add(l, (struct checkup_line){ .id = STR("default"), .title = STR("The co-op's default"), .words = words, .why = demand ? demand->words : STR_NONE, .value = value_end(l, &b, &w),
		.answers = CHECKUP_CONFIRM | (accepted ? CHECKUP_END : CHECKUP_CHANGE), .suspended = rests, .since = accepted ? s->consent.at : INSTANT_NONE });
}

static void licence_line(struct lines *l)
{
	struct buf b;
	struct json_writer w;
	const char *spdx = policy_licence_get(l->s->licence)->spdx;
	const struct demand *demand = demand_for(l->s, "licence", (struct uuid){ { 0 } });
	value_begin(&b, &w);
	jw_kz(&w, "licence", spdx);
	jw_kbool(&w, "own", l->s->own_licence);
	add(l, (struct checkup_line){ .id = STR("licence"), .title = STR("Licence"), .words = str_fmt(l->c->arena, l->s->own_licence ? "New contributions of yours are under %s."
		: "New contributions of yours are under %s, the co-op's default: you have not chosen another.", spdx), .value = value_end(l, &b, &w),
		.why = demand ? demand->words : STR_NONE, .answers = CHECKUP_CONFIRM | CHECKUP_CHANGE, .since = INSTANT_NONE });
}

static void attribution_line(struct lines *l)
{
	const struct member *m = &l->s->member;
	struct arena *a = l->c->arena;
	struct buf b;
	struct json_writer w;
	bool public = str_is(m->attribution, "public");
	value_begin(&b, &w);
	jw_kstr(&w, "attribution", m->attribution);
	jw_kstr(&w, "public_name", public ? m->public_name : STR_NONE);
	struct str words = str_is(m->attribution, "anonymous") ? STR("You are not named in releases.")
		: public ? str_fmt(a, "In releases you are called %.*s.", STR_ARG(m->public_name))
		: str_fmt(a, "In releases you are called %.*s, a name made at random.", STR_ARG(m->pseudonym));
	add(l, (struct checkup_line){ .id = STR("attribution"), .title = STR("Credit"), .words = words, .value = value_end(l, &b, &w), .answers = CHECKUP_CONFIRM | CHECKUP_CHANGE,
		.since = INSTANT_NONE });
}

/* ---- Delegations ---- */

static const char *times(int n)
{
	return n == 1 ? "" : "s";
}

static enum err votes_of_delegate(struct lines *l, const struct delegation *d, instant from, struct str *out)
{
	struct ballot_acts acts;
	TRY(ballot_acts_of_delegate(l->c, l->s->member.coop, d->delegate, l->s->member.id, from, clock_now(), &acts));
	*out = acts.ballots == 0 ? STR("No ballot closed since your last checkup.")
		: str_fmt(l->c->arena, "Voted in %d of %d ballot%s. Decided %d for you: %d yes, %d no, %d abstained.", acts.took_part, acts.ballots, times(acts.ballots), acts.decided, acts.yes,
			acts.no, acts.abstain);
	return ERR_OK;
}

static enum err sayings_of_delegate(struct lines *l, const struct delegation *d, instant from, struct str *out)
{
	struct statement *said;
	size_t n;
	TRY(delegation_acts(l->c, l->s->member.coop, d->delegate, from, clock_now(), &said, &n));
	struct str text = STR("");
	for (size_t i = 0; i < n && i < 5; i++)
		text = str_fmt(l->c->arena, "%.*s%s%.*s to %.*s", STR_ARG(text), i ? "; " : "", STR_ARG(effect_words(l->c->arena, &said[i])),
			STR_ARG(words_list(l->c->arena, said[i].uses, POLICY_USE_COUNT, words_use)));
	*out = n == 0 ? STR("Said nothing about uses since your last checkup.")
		: str_fmt(l->c->arena, "Said %zu thing%s about uses: %.*s%s.", n, times((int)n), STR_ARG(text), n > 5 ? " …" : "");
	return ERR_OK;
}

static enum err acts_of(struct lines *l, const struct delegation *d, instant from, struct str *out)
{
	*out = STR_NONE;
	if (d->delegate_kind == DELEGATE_NOBODY)
		return ERR_OK;
	return d->question == POLICY_QUESTION_VOTE ? votes_of_delegate(l, d, from, out) : sayings_of_delegate(l, d, from, out);
}

static struct str scope_words(struct arena *a, const struct delegation *d)
{
	bool vote = d->question == POLICY_QUESTION_VOTE;
	if (d->scope == POLICY_SCOPE_COOP)
		return vote ? STR("on every ballot") : STR("about every use");
	if (d->scope == POLICY_SCOPE_TARGET)
		return d->target_title.n ? str_fmt(a, "on “%.*s”", STR_ARG(d->target_title)) : STR("on one thing");
	return vote ? str_fmt(a, "on ballots of kind %.*s", STR_ARG(words_list(a, d->topics, POLICY_BALLOT_COUNT, policy_ballot_name)))
		: str_fmt(a, "about %.*s", STR_ARG(words_list(a, d->topics, POLICY_USE_COUNT, words_use)));
}

static enum err delegation_line(struct lines *l, const struct delegation *d, bool with_acts, instant from)
{
	struct arena *a = l->c->arena;
	struct str acts = STR_NONE;
	const struct demand *demand = demand_for(l->s, "delegation", d->first);
	bool vote = d->question == POLICY_QUESTION_VOTE, rests = d->state == DELEGATION_SUSPENDED || !d->counts || demand;
	if (with_acts)
		TRY(acts_of(l, d, from, &acts));
	struct buf b;
	struct json_writer w;
	value_begin(&b, &w);
	jw_kstr(&w, "delegate", d->delegate_kind == DELEGATE_MEMBER ? uuid_format(a, d->delegate) : d->delegate_kind == DELEGATE_BOARD ? STR("board") : STR("nobody"));
	jw_kstr(&w, "id", uuid_format(a, d->id));
	jw_kz(&w, "question", vote ? "vote" : "consent");
	jw_kstr(&w, "scope", scope_words(a, d));
	struct str who = d->delegate_kind == DELEGATE_BOARD ? STR("The board") : d->delegate_name;
	struct str words = d->delegate_kind == DELEGATE_NOBODY ? str_fmt(a, "Nobody else decides for you %.*s.", STR_ARG(scope_words(a, d)))
		: str_fmt(a, "%.*s %s %.*s%s", STR_ARG(who), vote ? "votes for you" : "speaks for you", STR_ARG(scope_words(a, d)), rests ? ". That rests until you answer." : ".");
	add(l, (struct checkup_line){ .id = str_fmt(a, "delegation.%.*s", STR_ARG(uuid_format(a, d->first))), .title = vote ? STR("Delegation of my vote") : STR("Delegation of consent"),
		.words = words, .why = demand ? demand->words : STR_NONE, .acts = acts, .value = value_end(l, &b, &w), .answers = CHECKUP_CONFIRM | CHECKUP_END, .suspended = rests,
		.since = d->made_at });
	return ERR_OK;
}

static bool stands_or_rests(const struct delegation *d)
{
	return d->state == DELEGATION_STANDING || d->state == DELEGATION_SUSPENDED;
}

/* ---- The whole ---- */

enum err lines_make(struct call *c, const struct standing *s, enum checkup_kind kind, bool with_acts, instant from, struct checkup_line **out, size_t *n)
{
	struct lines l = { .c = c, .s = s, .standing = membership_standing_at(s->member.state, s->member.due_at, s->charter.grace, clock_now()),
		.room = 6 + s->n_statements * POLICY_USE_COUNT + s->n_delegations };
	l.at = ARENA_ARRAY(c->arena, l.room, struct checkup_line);
	membership_line(&l);
	consent_line(&l);
	default_line(&l);
	use_lines(&l);
	items_line(&l);
	licence_line(&l);
	attribution_line(&l);
	for (size_t i = 0; i < s->n_delegations; i++)
		if (stands_or_rests(&s->delegations[i]))
			TRY(delegation_line(&l, &s->delegations[i], with_acts, from));
	*n = 0;
	for (size_t i = 0; i < l.n; i++)
		if (kind != CHECKUP_OFF_CYCLE || l.at[i].why.p)
			l.at[(*n)++] = l.at[i];
	*out = l.at;
	return ERR_OK;
}

const struct statement *line_statement(struct arena *a, const struct standing *s, struct str line, unsigned *use)
{
	for (*use = 0; *use < POLICY_USE_COUNT; ++*use)
		for (size_t i = 0; i < s->n_statements; i++)
			if ((s->statements[i].uses & POLICY_BIT(*use)) && str_eq(use_id(a, &s->statements[i], *use), line))
				return &s->statements[i];
	return NULL;
}

struct str lines_fingerprint(struct arena *a, const struct standing *s, enum checkup_kind kind, const struct checkup_line *lines, size_t n)
{
	struct str *parts = ARENA_ARRAY(a, n * 5 + 1, struct str);
	size_t k = 0;
	parts[k++] = str_fmt(a, "%s %d %d %lld\n", checkup_kind_name(kind), s->member.cycle, s->charter.version, (long long)s->member.due_at);
	for (size_t i = 0; i < n; i++) {
		parts[k++] = lines[i].id;
		parts[k++] = STR(" ");
		parts[k++] = lines[i].value;
		parts[k++] = lines[i].suspended ? STR(" rests ") : STR(" ");
		parts[k++] = lines[i].why.p ? lines[i].why : STR("\n");
	}
	return sha256_hex(a, sha256_of(parts, k));
}

/* ---- The token of a showing ---- */

#define SHOWN_FOR CLOCK_DAY /* how long what was shown may be answered */

static struct str shown_mac(struct arena *a, const struct member *m, struct str fingerprint, struct str issued)
{
	struct str message = str_fmt(a, "checkup shown\n%.*s\n%.*s\n%.*s\n%.*s", STR_ARG(uuid_format(a, m->coop)), STR_ARG(uuid_format(a, m->id)), STR_ARG(fingerprint), STR_ARG(issued));
	return sha256_hex(a, hmac_sha256(str_make(instance_seal_key(instance_keys())->b, 32), message));
}

struct str shown_token(struct arena *a, const struct member *m, struct str fingerprint)
{
	struct str issued = str_fmt(a, "%lld", (long long)clock_now());
	return str_fmt(a, "%.*s.%.*s.%.*s", STR_ARG(issued), STR_ARG(fingerprint), STR_ARG(shown_mac(a, m, fingerprint, issued)));
}

enum err shown_check(struct call *c, const struct member *m, struct str token, struct str fingerprint)
{
	struct str rest = token, issued, of, mac;
	int64_t at;
	if (!token.n || !str_split(&rest, '.', &issued) || !str_split(&rest, '.', &of) || !str_split(&rest, '.', &mac) || !str_to_i64(issued, 0, INT64_MAX, &at) ||
		!secret_eq(mac, shown_mac(c->arena, m, of, issued)))
		return fail_field(c, "/shown", "Look at the lines first: only what was shown can be answered.");
	if (!str_eq(of, fingerprint) || at + SHOWN_FOR < clock_now() || at > clock_now() + CLOCK_MINUTE)
		return fail_reason(c, ERR_STALE, "lines_changed", "Something changed since you were shown these lines. Here is how they stand now.");
	return ERR_OK;
}
