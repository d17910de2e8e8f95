#include "server/coop/delegation_internal.h"

#include "commonhold/notify.h"
#include "commonhold/words.h"

/* What members say about uses of their items: rows are added; a later one about the same replaces an earlier one for the uses it names. */

#define STATEMENTS_AT_ONCE 200  /* of one call */
#define STATEMENTS_LISTED 5000  /* newest, of one member */
#define VERBATIM_MAX 1000       /* a preference string as it came */

SQL(statement_insert,
	"INSERT INTO statement (coop_id, member_id, layer, kind, item_id, uses, purpose, audience, effect, duties, declared_by, declared_at, valid_from, valid_to, "
	"external, verbatim, revision, salt, board) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, commonhold_now(), $12, $13, $14, $15, $16, $17, $18) RETURNING seq, declared_at");
SQL(statement_default_of_member,
	"SELECT " STATEMENT_COLUMNS " FROM statement WHERE coop_id = $1 AND member_id = $2 AND layer = 2 ORDER BY seq DESC LIMIT $3");
SQL(statement_items_of_member, "SELECT count(DISTINCT item_id) FROM statement WHERE coop_id = $1 AND member_id = $2 AND layer = 1");
SQL(statement_of_member,
	"SELECT " STATEMENT_COLUMNS " FROM statement WHERE coop_id = $1 AND member_id = $2 AND (layer = 3) = $3 AND NOT board ORDER BY seq DESC LIMIT $4");
SQL(statements_as_delegate,
	"SELECT " STATEMENT_COLUMNS " FROM statement WHERE coop_id = $1 AND member_id = $2 AND layer = 3 AND NOT board AND declared_at >= $3 AND declared_at < $4 ORDER BY seq DESC LIMIT $5");
/* Those whose own delegation may be reached: what is said about other uses does not concern them. */
SQL(principals_of_delegate,
	"SELECT DISTINCT p.account_id FROM delegation_now n JOIN membership p ON p.coop_id = n.coop_id AND p.number = n.principal_no "
	"WHERE n.coop_id = $1 AND n.delegate_no = $2 AND n.question = 1 AND n.state = 'standing' AND n.ends > commonhold_now() AND (n.scope <> 1 OR n.topics & $3 <> 0)");

/* ---- Checking ---- */

static enum err fault(struct call *c, size_t at, const char *member, const char *text)
{
	error_fault(&c->error, c->arena, str_fmt(c->arena, "/statements/%zu/%s", at, member), "%s", text);
	return error_set(&c->error, ERR_INVALID, "Some fields are not right.");
}

/* A member may be stricter than the co-op always; more generous only where the charter leaves it to them. */
static bool more_generous(const struct charter *charter, const struct statement *s)
{
	uint16_t fixed = (uint16_t)(s->uses & ~charter->member_may_change);
	if (str_is(s->effect, "allow"))
		return fixed & ~charter->ai_allow;
	if (str_is(s->effect, "allow_if"))
		return fixed & ~(charter->ai_allow | charter->ai_allow_if);
	return false;
}

static bool known_or_absent(struct str word, int (*find)(const char *name, size_t len))
{
	return !word.p || find(word.p, word.n) >= 0;
}

static enum err check_statement(struct call *c, const struct charter *charter, const struct statement *s, size_t at)
{
	int effect = s->effect.p ? policy_effect_find(s->effect.p, s->effect.n) : -1;
	if (s->layer != POLICY_LAYER_ITEM && s->layer != POLICY_LAYER_SUBJECT && s->layer != POLICY_LAYER_DELEGATE)
		return fault(c, at, "layer", "One speaks about all of one's items, a kind of them, or one of them.");
	if ((s->layer == POLICY_LAYER_ITEM) != !uuid_is_nil(s->item))
		return fault(c, at, "item", "Name the contribution that this is about.");
	if (s->layer == POLICY_LAYER_ITEM && s->kind.p)
		return fault(c, at, "kind", "A statement is about a kind or about one contribution, not both.");
	if (!known_or_absent(s->kind, policy_kind_find))
		return fault(c, at, "kind", "There is no such kind of contribution.");
	if (s->uses == 0 || s->uses & ~POLICY_USES_ALL)
		return fault(c, at, "uses", "Name at least one use.");
	if (effect < 0)
		return fault(c, at, "effect", "This must be allow, allow_if, deny or none.");
	if ((effect == POLICY_EFFECT_ALLOW_IF) != (s->duties != 0) || s->duties & ~POLICY_DUTIES_ALL)
		return fault(c, at, "duties", "Conditions go with allow_if, and allow_if needs some.");
	if (!known_or_absent(s->purpose, policy_purpose_find))
		return fault(c, at, "purpose", "There is no such purpose.");
	if (!known_or_absent(s->audience, policy_audience_find))
		return fault(c, at, "audience", "There is no such audience.");
	if (s->valid_from != INSTANT_NONE && s->valid_to != INSTANT_NONE && s->valid_to <= s->valid_from)
		return fault(c, at, "valid_to", "This ends before it begins.");
	if (s->verbatim.n > VERBATIM_MAX || s->revision.n > LIMIT_TEXT_NAME)
		return fault(c, at, "verbatim", "This is too long.");
	if (more_generous(charter, s))
		return fault(c, at, "effect", "The charter does not leave a yes about this use to the single member.");
	return ERR_OK;
}

enum err statement_check(struct call *c, const struct charter *charter, const struct statement *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		TRY(check_statement(c, charter, &in[i], i));
	return ERR_OK;
}

/* ---- Writing ---- */

static size_t names_of_bits(struct arena *a, uint32_t bits, unsigned count, const char *(*name)(unsigned no), struct str **out)
{
	size_t n = 0;
	*out = ARENA_ARRAY(a, count, struct str);
	for (unsigned i = 0; i < count; i++)
		if (bits & POLICY_BIT(i))
			(*out)[n++] = str_of(name(i));
	return n;
}

/* What was said, for the commitment in the log. Members in canonical order. */
static struct str statements_said(struct call *c, const struct statement *in, size_t n)
{
	struct buf b;
	buf_init(&b, LIMIT_RESPONSE);
	struct json_writer w;
	jw_init(&w, &b);
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "audience", in[i].audience);
		if (in[i].board)
			jw_kbool(&w, "board", true);
		jw_knames(&w, "duties", in[i].duties, POLICY_DUTY_COUNT, policy_duty_name);
		jw_kstr(&w, "effect", in[i].effect);
		jw_kstr(&w, "item", uuid_format_or_none(c->arena, in[i].item));
		jw_kstr(&w, "kind", in[i].kind);
		jw_kint(&w, "layer", in[i].layer);
		jw_kstr(&w, "purpose", in[i].purpose);
		jw_kint(&w, "seq", in[i].seq);
		jw_knames(&w, "uses", in[i].uses, POLICY_USE_COUNT, policy_use_name);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	return buf_take(c->arena, &b);
}

static enum err write_statement(struct call *c, const struct member *m, struct statement *s, struct str salt)
{
	struct rows r;
	struct str *uses, *duties;
	size_t n_uses = names_of_bits(c->arena, s->uses, POLICY_USE_COUNT, policy_use_name, &uses);
	size_t n_duties = names_of_bits(c->arena, s->duties, POLICY_DUTY_COUNT, policy_duty_name, &duties);
	TRY(db_one(c, statement_insert, &r, A_UUID(m->coop), A_UUID(m->id), A_INT(s->layer), A_STR(s->kind), A_UUID_OR_NULL(s->item), A_TEXTS(uses, n_uses), A_STR(s->purpose),
		A_STR(s->audience), A_STR(s->effect), A_TEXTS(duties, n_duties), A_UUID(m->account), A_TIME(s->valid_from), A_TIME(s->valid_to), A_BOOL(s->external),
		A_STR(s->verbatim), A_STR(s->revision), A_BYTES(salt), A_BOOL(s->board)));
	s->seq = row_int(&r, 0, 0);
	s->declared_at = row_time(&r, 0, 1);
	return ERR_OK;
}

enum err statement_make_inside(struct call *c, const struct charter *charter, const struct member *me, struct statement *said, size_t n)
{
	uint8_t random[32];
	coop_explain_constraints();
	TRY(statement_check(c, charter, said, n));
	random_bytes(random, sizeof random);
	struct str salt = str_copy(c->arena, str_make(random, sizeof random));
	for (size_t i = 0; i < n; i++) {
		enum err e = write_statement(c, me, &said[i], salt);
		for (struct fault *f = c->error.faults; e != ERR_OK && f; f = f->next)
			f->pointer = str_fmt(c->arena, "/statements/%zu%.*s", i, STR_ARG(f->pointer));
		TRY(e);
	}
	return log_act(c, me->coop, "statement.made", leaf_with_commitment(c, me->id, statements_said(c, said, n), random), me->id);
}

enum err statement_say(struct call *c, const struct member *m, struct statement *said, size_t n)
{
	struct charter charter;
	TRY(charter_current(c, m->coop, &charter));
	return statement_make_inside(c, &charter, m, said, n);
}

static enum err check_number(struct call *c, size_t n)
{
	return n > 0 && n <= STATEMENTS_AT_ONCE ? ERR_OK : fail_field(c, "/statements", "Say between one and %d things at a time.", STATEMENTS_AT_ONCE);
}

enum err statement_make(struct call *c, struct uuid coop, const struct statement *in, size_t n, struct statement **out)
{
	struct member me;
	struct charter charter;
	TRY(check_number(c, n));
	struct statement *said = ARENA_ARRAY(c->arena, n, struct statement);
	memcpy(said, in, n * sizeof *said);
	for (size_t i = 0; i < n; i++)
		if (said[i].layer == POLICY_LAYER_DELEGATE)
			return fault(c, i, "layer", "What one says as a delegate is said apart from one's own choices.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_member(c, coop, &me));
	TRY(charter_current(c, coop, &charter));
	TRY(statement_make_inside(c, &charter, &me, said, n));
	TRY(db_commit(c));
	*out = said;
	return ERR_OK;
}

/* ---- As a delegate ---- */

/* "no to training generative models; yes to search" */
static struct str said_words(struct arena *a, const struct statement *said, size_t n)
{
	struct str text = STR("");
	for (size_t i = 0; i < n && text.n < 1000; i++) {
		struct str uses = words_list(a, said[i].uses, POLICY_USE_COUNT, words_use);
		const char *word = str_is(said[i].effect, "allow") ? "yes to" : str_is(said[i].effect, "deny") ? "no to" : str_is(said[i].effect, "allow_if") ? "yes, on conditions, to" : "nothing about";
		text = str_fmt(a, "%.*s%s%s %.*s", STR_ARG(text), i ? "; " : "", word, STR_ARG(uses));
	}
	return text;
}

/* In their digest or at once, as they chose. */
enum err statement_tell_principals(struct call *c, struct uuid in_coop, uint32_t delegate_no, struct str name, const struct statement *said, size_t n)
{
	struct rows r;
	struct coop coop;
	struct buf b;
	struct json_writer w;
	uint32_t uses = 0;
	for (size_t i = 0; i < n; i++)
		uses |= said[i].uses;
	TRY(db_query(c, principals_of_delegate, &r, A_UUID(in_coop), A_INT((int32_t)delegate_no), A_INT((int32_t)uses)));
	if (r.n == 0)
		return ERR_OK;
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	TRY(coop_get(c, in_coop, &coop));
	struct str words = said_words(c->arena, said, n);
	buf_init(&b, 16 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", "Your delegate spoke about uses of contributions");
	jw_kstr(&w, "text", str_fmt(c->arena, "%.*s says, as a delegate: %.*s. Whatever you said yourself stands before it, and you can say otherwise at any time.", STR_ARG(name), STR_ARG(words)));
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/delegations", STR_ARG(coop.slug)));
	jw_kstr(&w, "delegate", name);
	jw_kz(&w, "scope", "uses of what is contributed");
	jw_kstr(&w, "choice", words);
	jw_end_object(&w);
	return notify_many(c, &(struct notice){ .kind = "delegation.act", .coop = in_coop, .data = buf_take(c->arena, &b) }, accounts, (size_t)r.n);
}

enum err statement_make_as_delegate(struct call *c, struct uuid coop, const struct statement *in, size_t n, struct statement **out)
{
	struct member me;
	struct charter charter;
	TRY(check_number(c, n));
	struct statement *said = ARENA_ARRAY(c->arena, n, struct statement);
	memcpy(said, in, n * sizeof *said);
	for (size_t i = 0; i < n; i++) {
		if (!uuid_is_nil(said[i].item))
			return fault(c, i, "item", "A delegate speaks about uses, not about single contributions of others.");
		said[i].layer = POLICY_LAYER_DELEGATE;
		said[i].external = said[i].board = false;
	}
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_member(c, coop, &me));
	if (!in_good_standing(me.state))
		return fail_reason(c, ERR_STATE, "delegation_standing", "Only a current member can decide for others.");
	TRY(charter_current(c, coop, &charter));
	TRY(statement_tell_principals(c, coop, (uint32_t)me.number, member_face(c->arena, &me), said, n));
	TRY(statement_make_inside(c, &charter, &me, said, n));
	TRY(db_commit(c));
	*out = said;
	return ERR_OK;
}

/* ---- Reading ---- */

static uint16_t bits_of_names(const struct str *names, size_t n, int (*find)(const char *name, size_t len))
{
	uint16_t bits = 0;
	for (size_t i = 0; i < n; i++) {
		int no = find(names[i].p ? names[i].p : "", names[i].n);
		if (no >= 0)
			bits |= (uint16_t)POLICY_BIT(no);
	}
	return bits;
}

static struct statement statement_of_row(struct arena *a, const struct rows *r, int row)
{
	struct str *uses, *duties;
	size_t n_uses = row_strs(a, r, row, 4, &uses), n_duties = row_strs(a, r, row, 8, &duties);
	return (struct statement){
		.seq = row_int(r, row, 0), .layer = (int)row_int(r, row, 1), .kind = row_str(r, row, 2), .item = row_uuid(r, row, 3),
		.uses = bits_of_names(uses, n_uses, policy_use_find), .purpose = row_str(r, row, 5), .audience = row_str(r, row, 6), .effect = row_str(r, row, 7),
		.duties = bits_of_names(duties, n_duties, policy_duty_find), .declared_at = row_time(r, row, 9), .valid_from = row_time(r, row, 10),
		.valid_to = row_time(r, row, 11), .verbatim = row_str(r, row, 12), .revision = row_str(r, row, 13), .external = row_bool(r, row, 14), .board = row_bool(r, row, 15),
	};
}

/* Whether a later statement speaks about the same as an earlier one; the uses are looked at apart. */
static bool same_matter(const struct statement *a, const struct statement *b)
{
	return a->layer == b->layer && uuid_eq(a->item, b->item) && str_eq(a->kind, b->kind) && str_eq(a->purpose, b->purpose) && str_eq(a->audience, b->audience) &&
		a->external == b->external;
}

/* Newest first in place: takes away from each the uses that a later one about the same named, and drops what is left without any. */
static size_t keep_current(struct statement *s, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		uint16_t spoken = 0;
		for (size_t j = 0; j < kept; j++)
			if (same_matter(&s[j], &s[i]))
				spoken |= s[j].uses;
		s[kept] = s[i];
		s[kept].uses = (uint16_t)(s[i].uses & ~spoken);
		kept += s[kept].uses != 0;
	}
	/* What was taken back hides what came before it and is then nothing itself. */
	size_t said = 0;
	for (size_t i = 0; i < kept; i++)
		if (!str_is(s[i].effect, "none"))
			s[said++] = s[i];
	return said;
}

void statements_of_rows(struct arena *a, const struct rows *r, bool current, struct statement **out, size_t *n)
{
	*out = ARENA_ARRAY(a, (size_t)r->n + 1, struct statement);
	for (int i = 0; i < r->n; i++)
		(*out)[i] = statement_of_row(a, r, i);
	*n = current ? keep_current(*out, (size_t)r->n) : (size_t)r->n;
}

static enum err list(struct call *c, struct uuid coop, bool as_delegate, bool current, struct statement **out, size_t *n)
{
	struct member me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(db_finish(c, statement_of_member, &r, A_UUID(coop), A_UUID(me.id), A_BOOL(as_delegate), A_I64(STATEMENTS_LISTED)));
	statements_of_rows(c->arena, &r, current, out, n);
	return ERR_OK;
}

enum err statement_defaults_of(struct call *c, const struct member *m, struct statement **out, size_t *n, int64_t *on_items)
{
	struct rows r, items;
	TRY(db_query(c, statement_default_of_member, &r, A_UUID(m->coop), A_UUID(m->id), A_I64(STATEMENTS_LISTED)));
	TRY(db_one(c, statement_items_of_member, &items, A_UUID(m->coop), A_UUID(m->id)));
	*on_items = row_int(&items, 0, 0);
	*out = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct statement);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = statement_of_row(c->arena, &r, i);
	*n = keep_current(*out, (size_t)r.n);
	return ERR_OK;
}

enum err statement_list(struct call *c, struct uuid coop, bool current, struct statement **out, size_t *n)
{
	return list(c, coop, false, current, out, n);
}

enum err statement_list_as_delegate(struct call *c, struct uuid coop, bool current, struct statement **out, size_t *n)
{
	return list(c, coop, true, current, out, n);
}

enum err delegation_acts(struct call *c, struct uuid coop, struct uuid delegate, instant from, instant to, struct statement **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, statements_as_delegate, &r, A_UUID(coop), A_UUID(delegate), A_TIME(from), A_TIME(to), A_I64(STATEMENTS_LISTED)));
	statements_of_rows(c->arena, &r, false, out, n);
	return ERR_OK;
}
