#include "server/coop/delegation_internal.h"
#include "server/coop/guest_internal.h"

/* What the policy engine is told about the people of a co-op: members by number, with the consent that stands, their statements, and who
 * speaks for whom. Streamed, so that memory is that of the
 * facts themselves. */

SQL(facts_size,
	"SELECT coop_next_number($1)::bigint, (SELECT count(*) FROM statement WHERE coop_id = $1), "
	"(SELECT coalesce(max(seq), 0) FROM statement WHERE coop_id = $1), (SELECT coalesce(max(seq), 0) FROM consent WHERE coop_id = $1), "
	"(SELECT coalesce(max(seq), 0) FROM membership_event WHERE coop_id = $1), (SELECT coalesce(max(seq), 0) FROM delegation_event WHERE coop_id = $1)");

static const char members_sql[] = "COPY (SELECT number, state, due_at FROM membership WHERE coop_id = $1) TO STDOUT (FORMAT binary)";
static const char consents_sql[] =
	"COPY (SELECT m.number, c.state, array_to_string(c.purposes, ','), c.notice, c.defaults::int, c.at, c.expires_at, c.defaults_until "
	"FROM consent c JOIN membership m ON m.coop_id = c.coop_id AND m.id = c.member_id WHERE c.coop_id = $1 ORDER BY c.seq) "
	"TO STDOUT (FORMAT binary)";
static const char statements_sql[] =
	"COPY (SELECT s.seq, m.number, s.layer, s.kind, s.item_id, array_to_string(s.uses, ','), s.purpose, s.audience, s.effect, array_to_string(s.duties, ','), "
	"(s.declared_by = m.account_id)::int, s.declared_at, s.valid_from, s.valid_to, s.external::int, s.board::int "
	"FROM statement s JOIN membership m ON m.coop_id = s.coop_id AND m.id = s.member_id WHERE s.coop_id = $1 ORDER BY s.seq) "
	"TO STDOUT (FORMAT binary)";

struct loader {
	struct policy_member *members;       /* by number */
	size_t n_members;                    /* how many */
	struct policy_statement *statements; /* in order of seq */
	size_t n_statements, room;           /* how many, and places */
	uint32_t (*item_position)(void *arg, struct uuid item);
	void *arg;                           /* of item_position */
	struct duration grace;               /* after a checkup that was missed */
	int defaults_words;                  /* charter version from which an acceptance of the co-op's default counts */
	instant *defaults_until;             /* by number: when the acceptance of the co-op's default begins to rest */
	instant now;                         /* as of when the facts are read */
};

/* ---- Words ---- */

int facts_word(struct copy_field f, int (*find)(const char *name, size_t len))
{
	struct str word = copy_bytes(f);
	return f.n < 0 ? -1 : find(word.p ? word.p : "", word.n);
}

uint32_t facts_bits(struct copy_field f, int (*find)(const char *name, size_t len), uint32_t unknown)
{
	struct str rest = copy_bytes(f), word;
	uint32_t bits = 0;
	if (f.n <= 0)
		return 0;
	while (str_split(&rest, ',', &word)) {
		int no = find(word.p, word.n);
		bits |= no < 0 ? unknown : POLICY_BIT(no);
	}
	return bits;
}

/* ---- Members ---- */

static struct policy_member *member_at(struct loader *l, struct copy_field number)
{
	int64_t no = copy_int(number);
	return no >= 0 && (size_t)no < l->n_members ? &l->members[no] : NULL;
}

static enum err take_member(void *arg, const struct copy_field *f, int n)
{
	struct loader *l = arg;
	struct policy_member *m = n == 3 ? member_at(l, f[0]) : NULL;
	if (!m)
		return ERR_CORRUPT;
	int standing = facts_word(f[1], policy_standing_find);
	/* The clock decides, not whether the daily job has come by since. */
	m->standing = standing < 0 ? UINT8_MAX : (uint8_t)membership_standing_at((enum policy_standing)standing, f[2].n < 0 ? INSTANT_NONE : copy_time(f[2]), l->grace, l->now);
	return ERR_OK;
}

static bool covers(uint32_t wider, uint32_t narrower)
{
	return (wider & POLICY_BIT(POLICY_PURPOSE_ANY)) || (narrower & ~wider) == 0;
}

/* Rows come in the order in which they were said; the last one stands. Its instant is that of the first of an unbroken run of consents that covered what it covers: who renews, or
 * narrows, loses nothing at the cut-off; who widens has widened from then on. */
static enum err take_consent(void *arg, const struct copy_field *f, int n)
{
	struct loader *l = arg;
	struct policy_member *m = n == 8 ? member_at(l, f[0]) : NULL;
	if (!m)
		return ERR_CORRUPT;
	int state = facts_word(f[1], policy_consent_find);
	uint32_t purposes = facts_bits(f[2], policy_purpose_find, UINT32_C(1) << 31);
	bool valid = state == POLICY_CONSENT_GIVEN || state == POLICY_CONSENT_RENEWED, defaults = valid && copy_int(f[4]) != 0;
	instant at = copy_time(f[5]);
	bool goes_on = valid && m->consent_given != POLICY_NEVER && at < m->consent_expires && covers(m->purposes, purposes);
	m->consent = state < 0 ? UINT8_MAX : (uint8_t)state;
	m->consent_given = !valid ? POLICY_NEVER : goes_on ? m->consent_given : at;
	m->consent_expires = copy_time(f[6]);
	/* An acceptance rests from the next checkup on, and one on words that have changed since counts as unsaid: said again, it counts from then. */
	bool accepted_still = goes_on && m->defaults_accepted != POLICY_NEVER && at < l->defaults_until[m - l->members] && (int)m->notice >= l->defaults_words;
	m->defaults_accepted = !defaults ? POLICY_NEVER : accepted_still ? m->defaults_accepted : at;
	l->defaults_until[m - l->members] = f[7].n < 0 ? INSTANT_NEVER : copy_time(f[7]);
	m->purposes = purposes;
	m->notice = (uint32_t)copy_int(f[3]);
	return ERR_OK;
}

/* Acceptances that rest at this instant. */
static void rest_defaults(const struct loader *l)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].defaults_accepted != POLICY_NEVER && (l->defaults_until[i] <= l->now || (int)l->members[i].notice < l->defaults_words))
			l->members[i].defaults_accepted = POLICY_NEVER;
}

/* ---- Statements ---- */

static policy_instant instant_or(struct copy_field f, policy_instant otherwise)
{
	return f.n < 0 ? otherwise : copy_time(f);
}

static enum err take_statement(void *arg, const struct copy_field *f, int n)
{
	struct loader *l = arg;
	if (n != 16 || l->n_statements == l->room || !member_at(l, f[1]))
		return ERR_CORRUPT;
	bool about_item = f[4].n == 16;
	uint32_t item = about_item ? l->item_position(l->arg, copy_uuid(f[4])) : POLICY_NO_ITEM;
	if (about_item && item == POLICY_NO_ITEM)
		return ERR_OK; /* that item is not among those to be decided */
	uint32_t number = (uint32_t)copy_int(f[1]);
	int kind = facts_word(f[3], policy_kind_find), purpose = facts_word(f[6], policy_purpose_find), audience = facts_word(f[7], policy_audience_find);
	int effect = facts_word(f[8], policy_effect_find);
	l->statements[l->n_statements++] = (struct policy_statement){
		.id = (uint64_t)copy_int(f[0]), .subject = copy_int(f[15]) ? POLICY_BOARD : number, .item = item,
		.uses = (uint16_t)facts_bits(f[5], policy_use_find, UINT32_C(1) << 15), .duties = (uint16_t)facts_bits(f[9], policy_duty_find, UINT32_C(1) << 15),
		.effect = effect < 0 ? UINT8_MAX : (uint8_t)effect, .layer = (uint8_t)copy_int(f[2]),
		.selector = about_item ? POLICY_SELECT_ITEM : f[3].n >= 0 ? POLICY_SELECT_KIND : POLICY_SELECT_ALL,
		.kind = f[3].n < 0 ? 0 : kind < 0 ? UINT8_MAX : (uint8_t)kind,
		.purpose = f[6].n < 0 ? POLICY_PURPOSE_ANY : purpose < 0 ? UINT8_MAX : (uint8_t)purpose,
		.audience = f[7].n < 0 ? POLICY_AUDIENCE_ANY : audience < 0 ? UINT8_MAX : (uint8_t)audience,
		.flags = copy_int(f[14]) ? POLICY_STATEMENT_EXTERNAL : 0,
		.revision = (uint32_t)copy_int(f[0]), /* orders what was said in one transaction */
		.declared_by = copy_int(f[10]) ? number : POLICY_NO_MEMBER,
		.declared_at = copy_time(f[11]), .valid_from = instant_or(f[12], POLICY_EVER), .valid_to = instant_or(f[13], POLICY_NEVER),
	};
	return ERR_OK;
}

/* ---- The whole ---- */

static void members_unknown(struct policy_member *members, size_t n)
{
	for (size_t i = 0; i < n; i++)
		members[i] = (struct policy_member){
			.standing = POLICY_STANDING_REMOVED, .consent = POLICY_CONSENT_UNKNOWN,
			.consent_given = POLICY_NEVER, .consent_expires = POLICY_NEVER, .defaults_accepted = POLICY_NEVER,
		};
}

static enum err stream(struct call *c, struct uuid coop, const char *sql, copy_row_fn take, struct loader *l)
{
	enum err err = db_copy_out(c, sql, &A_UUID(coop), 1, take, l);
	if (err == ERR_CORRUPT && c->error.code == ERR_OK)
		return fail(c, err, "The members of a co-op changed while they were read.");
	return err;
}

enum err coop_facts(struct call *c, struct uuid coop, bool guests, uint32_t (*item_position)(void *arg, struct uuid item), void *arg, struct policy_facts *out)
{
	struct rows r;
	struct guest_facts present = { 0 };
	TRY(db_one(c, facts_size, &r, A_UUID(coop)));
	struct charter charter;
	int consent_words;
	TRY(charter_current(c, coop, &charter));
	struct loader l = { .grace = charter.grace, .now = clock_now(), .n_members = (size_t)row_int(&r, 0, 0), .room = (size_t)row_int(&r, 0, 1), .item_position = item_position, .arg = arg };
	l.members = ARENA_ARRAY(c->arena, l.n_members + 1, struct policy_member);
	l.defaults_until = ARENA_ARRAY(c->arena, l.n_members + 1, instant);
	if (!l.members || !l.defaults_until)
		return fail(c, ERR_NO_MEMORY, "The facts about the members do not fit into memory.");
	members_unknown(l.members, l.n_members);
	for (size_t i = 0; i < l.n_members; i++)
		l.defaults_until[i] = INSTANT_NEVER;
	TRY(demand_oldest_words(c, coop, charter.version, &consent_words, &l.defaults_words));
	TRY(stream(c, coop, members_sql, take_member, &l));
	TRY(stream(c, coop, consents_sql, take_consent, &l));
	rest_defaults(&l);
	if (guests)
		TRY(guest_facts_members(c, coop, l.members, l.n_members, &present));
	l.statements = ARENA_ARRAY(c->arena, l.room + present.room + 1, struct policy_statement);
	if (!l.statements)
		return fail(c, ERR_NO_MEMORY, "The facts about the members do not fit into memory.");
	TRY(stream(c, coop, statements_sql, take_statement, &l));
	if (present.any)
		TRY(guest_facts_statements(c, coop, &present, item_position, arg, l.statements, &l.n_statements));
	*out = (struct policy_facts){ .members = l.members, .n_members = l.n_members, .statements = l.statements, .n_statements = l.n_statements };
	struct policy_edge *edges;
	TRY(delegation_edges_load(c, c->arena, coop, POLICY_QUESTION_CONSENT, &edges, &out->n_edges));
	out->edges = edges;
	out->board_active = true; /* a co-op always has an admin */
	struct str snapshot = str_fmt(c->arena, "%zu %lld %lld %lld %lld", l.n_members, (long long)row_int(&r, 0, 2), (long long)row_int(&r, 0, 3), (long long)row_int(&r, 0, 4),
		(long long)row_int(&r, 0, 5));
	if (present.any)
		snapshot = str_fmt(c->arena, "%.*s guests %lld", STR_ARG(snapshot), (long long)present.changes);
	struct sha256 digest = sha256(snapshot);
	memcpy(out->data, digest.b, sizeof out->data);
	return ERR_OK;
}

enum err coop_policy_facts(struct call *c, struct uuid coop, uint32_t (*item_position)(void *arg, struct uuid item), void *arg, struct policy_facts *out)
{
	return coop_facts(c, coop, true, item_position, arg, out);
}
