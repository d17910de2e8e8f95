#include "server/coop/delegation_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "commonhold/words.h"

/* Rows of delegations, what is written about them, and how people are told. */

#define EDGE_SELECT \
	"SELECT " EDGE_COLUMNS " FROM delegation_now n JOIN delegation d ON d.coop_id = n.coop_id AND d.id = n.delegation_id " \
	"JOIN membership p ON p.coop_id = d.coop_id AND p.id = d.principal_id LEFT JOIN membership q ON q.coop_id = d.coop_id AND q.id = d.delegate_id "
#define LIVE "n.state IN ('asked', 'standing', 'suspended') "

SQL(edge_by_id, EDGE_SELECT "WHERE n.coop_id = $1 AND n.delegation_id = $2");
SQL(edges_of_principal, EDGE_SELECT "WHERE n.coop_id = $1 AND n.principal_no = $2 AND ($3 OR " LIVE ") ORDER BY n.edge DESC LIMIT $4");
SQL(edges_to_delegate, EDGE_SELECT "WHERE n.coop_id = $1 AND n.delegate_no = $2 AND ($3 OR n.state IN ('standing', 'suspended')) ORDER BY n.edge DESC LIMIT $4");
SQL(edges_asking, EDGE_SELECT "WHERE n.coop_id = $1 AND n.delegate_no = $2 AND n.state = 'asked' ORDER BY n.edge DESC LIMIT $3");
SQL(edges_by_number, EDGE_SELECT "WHERE n.coop_id = $1 AND n.edge = ANY ($2)");
SQL(delegation_insert,
	"INSERT INTO delegation (coop_id, id, first_id, principal_id, principal_no, question, scope, topics, target, delegate_kind, delegate_id, delegate_no, made_at, chosen_end, salt) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, commonhold_now(), $13, $14) RETURNING edge, made_at");
/* Not accepted yet: no instant has it count. */
SQL(now_insert,
	"INSERT INTO delegation_now (coop_id, edge, delegation_id, principal_no, delegate_no, question, scope, topics, target, accepted_at, starts, ends, revoked_at, state) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'infinity', commonhold_now(), coalesce($10::timestamptz, 'infinity'), 'infinity', 'asked')");
SQL(event_insert,
	"INSERT INTO delegation_event (coop_id, delegation_id, kind, at, by_member, ends, reason) VALUES ($1, $2, $3, commonhold_now(), $4, $5, $6)");
SQL(now_open,
	"UPDATE delegation_now SET state = 'standing', reason = '', accepted_at = least(accepted_at, commonhold_now()), "
	"starts = CASE WHEN state = 'asked' THEN commonhold_now() ELSE starts END, ends = $3 WHERE coop_id = $1 AND edge = $2");
SQL(now_close, "UPDATE delegation_now SET state = $3, reason = $4, revoked_at = commonhold_now() WHERE coop_id = $1 AND edge = $2");
SQL(upstream_cut,
	"WITH RECURSIVE up AS ("
	"  SELECT n.delegation_id, n.principal_no, 2 AS hops FROM delegation_now n "
	"  WHERE n.coop_id = $1 AND n.question = $2 AND n.delegate_no = ANY ($3::bigint[]) AND n.state = 'standing' AND n.ends > commonhold_now() AND 2 <= $4 "
	"  UNION "
	"  SELECT n.delegation_id, n.principal_no, up.hops + 1 FROM up JOIN delegation_now n ON n.coop_id = $1 AND n.question = $2 AND n.delegate_no = up.principal_no "
	"    AND n.state = 'standing' AND n.ends > commonhold_now() WHERE up.hops < $4), "
	"told AS (INSERT INTO delegation_event (coop_id, delegation_id, kind, at, reason) SELECT DISTINCT $1, delegation_id, 'cut', commonhold_now(), $5 FROM up RETURNING delegation_id) "
	"SELECT DISTINCT m.account_id, (SELECT slug FROM coop WHERE id = $1) FROM told JOIN delegation d ON d.coop_id = $1 AND d.id = told.delegation_id "
	"JOIN membership m ON m.coop_id = d.coop_id AND m.id = d.principal_id");

static const char *const state_names[DELEGATION_STATE_COUNT] = { "asked", "standing", "suspended", "declined", "revoked", "ended" };
static const char *const kind_names[] = { "member", "board", "nobody" };
static const char *const scope_names[] = { "coop", "topic", "target" };

const char *delegation_state_name(enum delegation_state s)
{
	return (unsigned)s < CH_LEN(state_names) ? state_names[s] : "unknown";
}

const char *delegation_scope_name(enum policy_scope s)
{
	return (unsigned)s < CH_LEN(scope_names) ? scope_names[s] : "unknown";
}

const char *delegation_question_name(enum policy_question q)
{
	return q == POLICY_QUESTION_VOTE ? "vote" : "consent";
}

const char *delegate_kind_name(enum delegate_kind k)
{
	return (unsigned)k < CH_LEN(kind_names) ? kind_names[k] : "unknown";
}

const char *delegation_topic_name(enum policy_question q, unsigned no)
{
	return q == POLICY_QUESTION_VOTE ? policy_ballot_name(no) : policy_use_name(no);
}

unsigned delegation_topic_count(enum policy_question q)
{
	return q == POLICY_QUESTION_VOTE ? POLICY_BALLOT_COUNT : POLICY_USE_COUNT;
}

struct str member_face(struct arena *a, const struct member *m)
{
	if (str_is(m->attribution, "anonymous"))
		return str_fmt(a, "anonymous (member %d)", m->number);
	return str_is(m->attribution, "public") && m->public_name.n ? m->public_name : m->pseudonym;
}

static int number_of(struct str word, const char *const *names, size_t n)
{
	int no = str_which(word, names, n);
	return no < 0 ? 0 : no;
}

/* ---- Reading ---- */

static instant never_is_none(instant t)
{
	return t == INSTANT_NEVER ? INSTANT_NONE : t;
}

static enum policy_standing standing_of(struct str state)
{
	int no = state.p ? policy_standing_find(state.p, state.n) : POLICY_STANDING_ACTIVE;
	return no < 0 ? POLICY_STANDING_REMOVED : (enum policy_standing)no;
}

static bool counts_now(const struct edge_row *e, instant accepted, instant revoked)
{
	instant now = clock_now();
	return e->d.state == DELEGATION_STANDING && accepted <= now && e->starts <= now && e->d.ends > now && revoked > now && in_good_standing(e->principal_state) &&
		(e->d.delegate_kind != DELEGATE_MEMBER || in_good_standing(e->delegate_state));
}

struct edge_row edge_of_row(const struct rows *r, int row)
{
	instant accepted = row_time(r, row, 19), ends = row_time(r, row, 21), revoked = row_time(r, row, 22);
	struct edge_row e = {
		.d = {
			.id = row_uuid(r, row, 0), .first = row_uuid(r, row, 1), .edge = (uint64_t)row_int(r, row, 2), .principal = row_uuid(r, row, 3),
			.principal_no = (int)row_int(r, row, 4), .principal_name = row_str(r, row, 5), .question = (enum policy_question)row_int(r, row, 6),
			.scope = (enum policy_scope)row_int(r, row, 7), .topics = (uint32_t)row_int(r, row, 8), .target = row_uuid(r, row, 9), .target_title = row_str(r, row, 10),
			.delegate_kind = (enum delegate_kind)number_of(row_str(r, row, 11), kind_names, CH_LEN(kind_names)), .delegate = row_uuid(r, row, 12),
			.delegate_no = (uint32_t)row_int(r, row, 13), .delegate_name = row_str(r, row, 14),
			.state = (enum delegation_state)number_of(row_str(r, row, 15), state_names, CH_LEN(state_names)),
			.made_at = row_time(r, row, 17), .chosen_end = row_time(r, row, 18), .accepted_at = never_is_none(accepted), .ended_at = never_is_none(revoked),
		},
		.starts = row_time(r, row, 20), .principal_account = row_uuid(r, row, 23), .delegate_account = row_uuid(r, row, 24),
		.principal_state = standing_of(row_str(r, row, 25)), .delegate_state = standing_of(row_str(r, row, 26)), .principal_due = row_time(r, row, 27),
		.coop_slug = row_str(r, row, 28),
	};
	struct str reason = row_str(r, row, 16);
	e.d.ended_because = reason.n ? reason : STR_NONE;
	e.d.ends = e.d.accepted_at == INSTANT_NONE ? INSTANT_NONE : never_is_none(ends);
	if (e.d.delegate_kind == DELEGATE_BOARD)
		e.d.delegate_name = STR("the board");
	else if (e.d.delegate_kind == DELEGATE_NOBODY)
		e.d.delegate_name = STR("nobody");
	e.d.counts = counts_now(&e, accepted, revoked);
	return e;
}

static void edges_of_rows(struct call *c, const struct rows *r, struct edge_row **out, size_t *n)
{
	*n = (size_t)r->n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct edge_row);
	for (int i = 0; i < r->n; i++)
		(*out)[i] = edge_of_row(r, i);
}

enum err edge_read(struct call *c, struct uuid coop, struct uuid id, struct edge_row *out)
{
	struct rows r;
	TRY(db_query(c, edge_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such delegation.");
	*out = edge_of_row(&r, 0);
	return ERR_OK;
}

enum err edges_of(struct call *c, struct uuid coop, enum edges_which which, int number, bool all, struct edge_row **out, size_t *n)
{
	struct rows r;
	switch (which) {
	case EDGES_MINE:
		TRY(db_query(c, edges_of_principal, &r, A_UUID(coop), A_INT(number), A_BOOL(all), A_I64(LIMIT_PAGE)));
		break;
	case EDGES_REPRESENTED:
		TRY(db_query(c, edges_to_delegate, &r, A_UUID(coop), A_INT(number), A_BOOL(all), A_I64(LIMIT_PAGE)));
		break;
	default:
		TRY(db_query(c, edges_asking, &r, A_UUID(coop), A_INT(number), A_I64(LIMIT_PAGE)));
	}
	edges_of_rows(c, &r, out, n);
	return ERR_OK;
}

enum err edges_numbered(struct call *c, struct uuid coop, const int64_t *numbers, size_t count, struct edge_row **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, edges_by_number, &r, A_UUID(coop), A_I64S(numbers, count)));
	edges_of_rows(c, &r, out, n);
	return ERR_OK;
}

/* ---- Words ---- */

static const char *ballot_topic_words(unsigned no)
{
	static const char *const words[POLICY_BALLOT_COUNT] = { "releases", "the charter", "merging with other co-ops", "collective controls", "who is an admin", "how money is shared", "appeals against refused deletions" };
	return no < CH_LEN(words) ? words[no] : "something else";
}

const char *delegation_topic_words(enum policy_question q, unsigned no)
{
	return q == POLICY_QUESTION_VOTE ? ballot_topic_words(no) : words_use(no);
}

struct str delegation_scope_words(struct arena *a, const struct delegation *d)
{
	bool vote = d->question == POLICY_QUESTION_VOTE;
	struct str list, title = d->target_title.p ? d->target_title : STR("one that is not shown");
	switch (d->scope) {
	case POLICY_SCOPE_TOPIC:
		list = words_list(a, d->topics, delegation_topic_count(d->question), vote ? ballot_topic_words : words_use);
		return vote ? str_fmt(a, "ballots about %.*s", STR_ARG(list)) : list;
	case POLICY_SCOPE_TARGET:
		return vote ? str_fmt(a, "the ballot “%.*s”", STR_ARG(title)) : str_fmt(a, "the %s", str_z(a, title));
	default:
		return vote ? STR("all ballots of the co-op") : STR("all uses of what is contributed");
	}
}

/* ---- Writing ---- */

instant edge_end(instant chosen_end, instant due)
{
	if (chosen_end == INSTANT_NONE || (due != INSTANT_NONE && due < chosen_end))
		return due == INSTANT_NONE ? INSTANT_NEVER : due;
	return chosen_end;
}

static size_t topic_names(struct arena *a, const struct delegation *d, struct str **out)
{
	size_t n = 0;
	*out = ARENA_ARRAY(a, 32, struct str);
	for (unsigned no = 0; no < delegation_topic_count(d->question); no++)
		if (d->topics & POLICY_BIT(no))
			(*out)[n++] = str_of(delegation_topic_name(d->question, no));
	return n;
}

/* What was said, in canonical form: the commitment in the log is to these bytes. */
static struct str delegation_said(struct call *c, const struct delegation *d)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "chosen_end", clock_format_or_none(c->arena, d->chosen_end));
	jw_kstr(&w, "delegate", uuid_format_or_none(c->arena, d->delegate));
	jw_kz(&w, "delegate_kind", delegate_kind_name(d->delegate_kind));
	jw_kstr(&w, "id", uuid_format(c->arena, d->id));
	jw_kz(&w, "question", delegation_question_name(d->question));
	jw_kz(&w, "scope", delegation_scope_name(d->scope));
	jw_kstr(&w, "target", uuid_format_or_none(c->arena, d->target));
	struct str *topics;
	size_t n = topic_names(c->arena, d, &topics);
	jw_key(&w, "topics");
	jw_array(&w);
	for (size_t i = 0; i < n; i++)
		jw_str(&w, topics[i]);
	jw_end_array(&w);
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

enum err edge_insert(struct call *c, struct delegation *d, struct str *leaf)
{
	struct rows r;
	struct str *topics;
	uint8_t salt[32];
	size_t n = topic_names(c->arena, d, &topics);
	random_bytes(salt, sizeof salt);
	d->id = uuid_new();
	if (uuid_is_nil(d->first))
		d->first = d->id;
	TRY(db_one(c, delegation_insert, &r, A_UUID(c->coop), A_UUID(d->id), A_UUID(d->first), A_UUID(d->principal), A_INT(d->principal_no),
		A_Z(delegation_question_name(d->question)), A_Z(delegation_scope_name(d->scope)), A_TEXTS(topics, n), A_UUID_OR_NULL(d->target), A_Z(delegate_kind_name(d->delegate_kind)),
		A_UUID_OR_NULL(d->delegate), A_INT((int32_t)d->delegate_no), A_TIME(d->chosen_end), A_BYTES(str_copy(c->arena, str_make(salt, sizeof salt)))));
	d->edge = (uint64_t)row_int(&r, 0, 0);
	d->made_at = row_time(&r, 0, 1);
	d->state = DELEGATION_ASKED;
	d->accepted_at = d->ends = d->ended_at = INSTANT_NONE;
	int64_t target = d->scope == POLICY_SCOPE_TARGET ? (int64_t)delegation_target(d->target) : 0;
	TRY(db_exec(c, now_insert, A_UUID(c->coop), A_I64((int64_t)d->edge), A_UUID(d->id), A_INT(d->principal_no), A_INT((int32_t)d->delegate_no), A_INT((int)d->question),
		A_INT((int)d->scope), A_INT((int32_t)d->topics), A_I64(target), A_TIME(d->chosen_end)));
	*leaf = leaf_with_commitment(c, d->principal, delegation_said(c, d), salt);
	return edge_event(c, d, "made", d->principal, INSTANT_NONE, STR_NONE);
}

enum err edge_event(struct call *c, const struct delegation *d, const char *kind, struct uuid by, instant ends, struct str reason)
{
	return db_exec(c, event_insert, A_UUID(c->coop), A_UUID(d->id), A_Z(kind), A_UUID_OR_NULL(by), A_TIME(ends), A_STR(reason.p ? reason : STR("")));
}

enum err edge_open(struct call *c, struct delegation *d, const char *event, struct uuid by, instant ends)
{
	TRY(edge_event(c, d, event, by, ends, STR_NONE));
	TRY(db_exec(c, now_open, A_UUID(c->coop), A_I64((int64_t)d->edge), A_TIME(ends)));
	d->state = DELEGATION_STANDING;
	d->accepted_at = d->accepted_at == INSTANT_NONE ? clock_now() : d->accepted_at;
	d->ends = never_is_none(ends);
	d->counts = true;
	return ERR_OK;
}

enum err edge_close(struct call *c, struct delegation *d, enum delegation_state to, const char *event, struct uuid by, struct str reason)
{
	TRY(edge_event(c, d, event, by, INSTANT_NONE, reason));
	TRY(db_exec(c, now_close, A_UUID(c->coop), A_I64((int64_t)d->edge), A_Z(delegation_state_name(to)), A_STR(reason.p ? reason : STR(""))));
	d->state = to;
	d->ended_at = clock_now();
	d->ended_because = reason;
	d->counts = false;
	return ERR_OK;
}

enum err edge_leaf(struct call *c, const char *type, const struct delegation *d, struct uuid by)
{
	return log_act(c, c->coop, type, leaf_about_member(c, by, "delegation", uuid_format(c->arena, d->id)), by);
}

/* ---- Telling ---- */

enum err edge_tell(struct call *c, const char *kind, const struct edge_row *e, struct uuid account, const char *title, struct str text, struct str reason)
{
	struct buf b;
	struct json_writer w;
	if (uuid_is_nil(account))
		return ERR_OK;
	buf_init(&b, 16 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", title);
	jw_kstr(&w, "text", text);
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/delegations", STR_ARG(e->coop_slug)));
	jw_kstr(&w, "principal", e->d.principal_name);
	jw_kstr(&w, "delegate", e->d.delegate_name);
	jw_kstr(&w, "scope", delegation_scope_words(c->arena, &e->d));
	if (e->d.ends != INSTANT_NONE)
		jw_kstr(&w, "until", words_day(c->arena, e->d.ends));
	else if (e->d.chosen_end != INSTANT_NONE)
		jw_kstr(&w, "until", words_day(c->arena, e->d.chosen_end));
	if (reason.n)
		jw_kstr(&w, "reason", reason);
	jw_end_object(&w);
	return notify_send(c, &(struct notice){ .kind = kind, .account = account, .coop = c->coop, .data = buf_take(c->arena, &b) });
}

enum err edge_tell_upstream(struct call *c, enum policy_question question, const int64_t *principals, size_t n, const char *why)
{
	struct rows r;
	struct charter charter;
	if (n == 0)
		return ERR_OK;
	TRY(charter_current(c, c->coop, &charter));
	if (charter.delegation_depth < 2)
		return ERR_OK; /* nobody's decision went further than one hop */
	TRY(db_query(c, upstream_cut, &r, A_UUID(c->coop), A_INT((int)question), A_I64S(principals, n), A_INT(charter.delegation_depth), A_Z(why)));
	if (r.n == 0)
		return ERR_OK;
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	struct str slug = row_str(&r, 0, 1);
	struct str data = str_fmt(c->arena, "{\"title\":\"A chain of delegations that you rely on was cut\","
		"\"text\":\"Somebody whom your delegate relied on does not decide for them any more. Your own delegation stands: your delegate may still decide personally. "
		"Look at who decides for you now.\",\"url\":\"/coops/%.*s/delegations/who\",\"reason\":\"%s\"}", STR_ARG(slug), why);
	return notify_many(c, &(struct notice){ .kind = "delegation.cut", .coop = c->coop, .data = data }, accounts, (size_t)r.n);
}
