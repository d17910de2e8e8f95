#include "server/merge/fork/fork_internal.h"
#include "server/merge/peer/peer_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#include <stdlib.h>

/* Looking at a co-op's relatives, daily: each shows its keys and the lineage that it signs, which must continue what is known of its keys, and say of the relation what is known here. Parents were proved when the
 * fork was founded, by checkpoints; a look adds who they are today, and whether they have said another thing since. Siblings are what the parent says, until they have said it themselves. */

#define LOOKED_AT 64      /* relatives in one run, those longest not looked at first */
#define SIBLINGS_MOST 200 /* taken from a parent's lineage */

SQL(kin_known, "SELECT name, kin, title, url, size, root, claimed_by, state, keys, signed, verified_since, names_us, verified_at, looked_at, why FROM lineage_look WHERE coop_id = $1 ORDER BY kin, name");
SQL(kin_put,
	"INSERT INTO lineage_look (coop_id, name, kin, title, url, size, root, claimed_by, state, keys, looked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'claimed', $9, NULL) "
	"ON CONFLICT (coop_id, name) DO UPDATE SET url = CASE WHEN excluded.url <> '' THEN excluded.url ELSE lineage_look.url END");
SQL(kin_verified,
	"UPDATE lineage_look SET state = 'verified', keys = $3, signed = $4, names_us = $5, verified_since = CASE WHEN state = 'verified' THEN verified_since ELSE commonhold_now() END, "
	"verified_at = commonhold_now(), looked_at = commonhold_now(), why = NULL WHERE coop_id = $1 AND name = $2");
SQL(kin_refused, "UPDATE lineage_look SET state = 'refused', verified_since = NULL, looked_at = commonhold_now(), why = $3 WHERE coop_id = $1 AND name = $2");
SQL(kin_silent, "UPDATE lineage_look SET looked_at = commonhold_now(), why = $3 WHERE coop_id = $1 AND name = $2");
SQL(kin_peer, "SELECT id FROM peer WHERE coop_id = $1 AND name = $2");
SQL(looking_coops, "SELECT k.key_name FROM coop k WHERE k.id = $1");

static const char *const kin_words[] = { [KIN_FOREBEAR] = "forebear", [KIN_PARENT] = "parent", [KIN_SIBLING] = "sibling", [KIN_FORK] = "fork" };
static const char *const state_words[] = { [KIN_CLAIMED] = "claimed", [KIN_VERIFIED] = "verified", [KIN_REFUSED] = "refused" };

const char *lineage_kin_word(unsigned kin)
{
	return kin < CH_LEN(kin_words) ? kin_words[kin] : "";
}

const char *lineage_kin_state_word(unsigned state)
{
	return state < CH_LEN(state_words) ? state_words[state] : "";
}

struct looking {
	struct call *c;
	struct uuid coop;
	struct str us;                /* our key name */
	struct lineage_node *ours;    /* our own lineage */
	size_t n_ours;
	const struct lineage_kin *of; /* at whom */
	struct keychain keys;         /* of theirs, as they show them */
	struct lineage_node *nodes;   /* of theirs, as they sign them */
	size_t n_nodes;
	bool names_us;
};

/* ---- Rows ---- */

static struct lineage_kin kin_of_row(const struct rows *r, int i)
{
	int kin = str_which(row_str(r, i, 1), kin_words, CH_LEN(kin_words)), state = str_which(row_str(r, i, 7), state_words, CH_LEN(state_words));
	return (struct lineage_kin){
		.name = row_str(r, i, 0), .kin = kin < 0 ? KIN_SIBLING : (enum lineage_kin_is)kin, .title = row_str(r, i, 2), .url = row_str(r, i, 3), .size = row_int(r, i, 4),
		.root = sha256_load(row_bytes(r, i, 5)), .claimed_by = row_str(r, i, 6), .state = state < 0 ? KIN_REFUSED : (enum lineage_kin_state)state, .keys = row_str(r, i, 8), .signed_text = row_str(r, i, 9),
		.since = row_time(r, i, 10), .names_us = row_bool(r, i, 11), .verified_at = row_time(r, i, 12), .looked_at = row_time(r, i, 13), .why = row_str(r, i, 14),
	};
}

enum err lineage_kin_get(struct call *c, struct uuid coop, struct lineage_kin **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, kin_known, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct lineage_kin);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = kin_of_row(&r, i);
	return ERR_OK;
}

enum err lineage_kin_read(struct call *c, struct uuid coop, struct lineage_kin **out, size_t *n)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(lineage_kin_get(c, coop, out, n));
	return db_commit(c);
}

static enum err kin_write(struct call *c, struct uuid coop, const struct lineage_node *node, enum lineage_kin_is kin, struct str claimed_by)
{
	return db_exec(c, kin_put, A_UUID(coop), A_STR(node->name), A_Z(kin_words[kin]), A_STR(node->title), A_STR(node->url.n ? node->url : STR("")), A_I64(node->size), A_BYTES(str_make(node->root.b, 32)),
		A_STR(claimed_by.n ? claimed_by : STR_NONE), A_STR(node->keys.n ? node->keys : STR_NONE));
}

/* What this co-op knows itself of its relatives. */
static enum err kin_begin(struct looking *l)
{
	struct call *c = l->c;
	struct rows r;
	TRY(db_begin_in(c, l->coop, DB_WRITE));
	TRY(db_one(c, looking_coops, &r, A_UUID(l->coop)));
	l->us = row_str(&r, 0, 0);
	TRY(lineage_get(c, l->coop, &l->ours, &l->n_ours));
	for (size_t i = 0; i < l->n_ours; i++)
		if (l->ours[i].depth != 0)
			TRY(kin_write(c, l->coop, &l->ours[i], l->ours[i].depth > 1 ? KIN_FOREBEAR : l->ours[i].depth == 1 ? KIN_PARENT : KIN_FORK, STR_NONE));
	return db_commit(c);
}

/* ---- What they show ---- */

static enum err signed_here(struct call *c, struct str name, struct str *out)
{
	struct coop kin;
	struct uuid before = c->coop;
	c->coop = (struct uuid){ { 0 } };
	TRY(db_begin(c, DB_READ));
	enum err e = coop_find(c, name, &kin);
	db_rollback(c);
	e = e == ERR_OK ? lineage_signed(c, kin.id, out) : e;
	c->coop = before;
	return e;
}

static enum err signed_there(struct call *c, const struct lineage_kin *kin, struct str *out)
{
	struct fetch_answer answer;
	db_release(c);
	struct fetch_request request = { .url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/lineage/signed", STR_ARG(kin->url), STR_ARG(kin->name)),
		.allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on };
	TRY(fetch(NULL, c->arena, &request, &answer, &c->error));
	*out = answer.body;
	return answer.status == 200 ? ERR_OK : fail(c, ERR_UNAVAILABLE, "Its instance does not show its lineage: it answers %ld.", answer.status);
}

/* ERR_UNAVAILABLE and the like: it did not answer. ERR_REFUSED: what it answers cannot be. */
static enum err shown(struct looking *l, struct str *text)
{
	struct call *c = l->c;
	struct peer_look look;
	if (!l->of->url.n)
		return fail(c, ERR_UNAVAILABLE, "Its address is not known.");
	enum err e = peer_look_at(c, l->of->url, l->of->name, &look);
	if (e == ERR_CORRUPT || (e == ERR_OK && !str_eq(look.keys.name, l->of->name)))
		return fail_reason(c, ERR_REFUSED, "lineage_keys", "The keys that it shows are not those of the co-op that it says it is.");
	TRY(e);
	l->keys = look.keys;
	return str_eq(look.url, str_of(config()->base_url)) ? signed_here(c, l->of->name, text) : signed_there(c, l->of, text);
}

/* ---- Holding it against what is known ---- */

static enum err contradicts(struct looking *l, const char *reason, const char *sentence)
{
	return fail_reason(l->c, ERR_REFUSED, reason, "%s", sentence);
}

static const struct lineage_node *at_depth(const struct lineage_node *nodes, size_t n, int depth)
{
	for (size_t i = 0; i < n; i++)
		if (nodes[i].depth == depth)
			return &nodes[i];
	return NULL;
}

static bool same_share(const struct lineage_node *a, struct str name, int64_t size, struct sha256 root)
{
	return a && str_eq(a->name, name) && a->size == size && sha256_eq(a->root, root);
}

static enum err signature_hold(struct looking *l, struct str text)
{
	struct call *c = l->c;
	struct keychain known;
	const struct json *said;
	struct str payload;
	struct error why = { 0 };
	size_t which;
	if (l->of->keys.n && (keychain_read(c->arena, l->of->keys, &known, &why) != ERR_OK || !keychain_continues(&l->keys, &known)))
		return contradicts(l, "lineage_keys", "Its keys do not continue those that are known of it: they were shortened or rewritten.");
	if (keychain_dsse_verify(c->arena, &l->keys, text, STR(LINEAGE_TYPE), &payload, &which, &why) != ERR_OK || which + 1 != l->keys.n)
		return contradicts(l, "lineage_signature", "Its lineage is not signed by its key in force.");
	if (json_parse(c->arena, payload, &said, &why) != ERR_OK || lineage_nodes_read(c->arena, json_get(said, "nodes"), &l->nodes, &l->n_nodes, &why) != ERR_OK)
		return contradicts(l, "lineage_malformed", "What it signs is no lineage.");
	const struct lineage_node *itself = at_depth(l->nodes, l->n_nodes, 0);
	return itself && str_eq(itself->name, l->of->name) ? ERR_OK : contradicts(l, "lineage_malformed", "The lineage that it shows is of another co-op.");
}

/* Its own forebears must be ours behind it. */
static enum err forebears_hold(struct looking *l, int depth)
{
	int further = 0, theirs = 0;
	for (size_t i = 0; i < l->n_ours; i++) {
		if (l->ours[i].depth <= depth)
			continue;
		further++;
		if (!same_share(at_depth(l->nodes, l->n_nodes, l->ours[i].depth - depth), l->ours[i].name, l->ours[i].size, l->ours[i].root))
			return contradicts(l, "lineage_changed", "It says another thing of where it comes from than when this co-op was forked off.");
	}
	for (size_t i = 0; i < l->n_nodes; i++)
		theirs += l->nodes[i].depth > 0;
	return further == theirs ? ERR_OK : contradicts(l, "lineage_changed", "It says another thing of where it comes from than when this co-op was forked off.");
}

/* A forebear of ours: whether it names the one that left it. */
static enum err forebear_hold(struct looking *l)
{
	for (size_t i = 0; i < l->n_ours; i++) {
		if (l->ours[i].depth < 1 || !str_eq(l->ours[i].name, l->of->name))
			continue;
		TRY(forebears_hold(l, l->ours[i].depth));
		const struct lineage_node *child = at_depth(l->ours, l->n_ours, l->ours[i].depth - 1);
		for (size_t k = 0; child && k < l->n_nodes; k++) {
			if (l->nodes[k].depth != -1 || !str_eq(l->nodes[k].name, child->name))
				continue;
			if (!same_share(&l->nodes[k], child->name, l->ours[i].size, l->ours[i].root))
				return contradicts(l, "lineage_changed", "It says that another log was forked off than the one that it signed.");
			l->names_us = l->ours[i].depth == 1;
		}
	}
	return ERR_OK;
}

/* A fork of ours, or of our parent: whether it says so. */
static enum err fork_hold(struct looking *l)
{
	struct str parent = l->of->kin == KIN_FORK ? l->us : l->of->claimed_by;
	if (!same_share(at_depth(l->nodes, l->n_nodes, 1), parent, l->of->size, l->of->root))
		return contradicts(l, "lineage_changed", "It does not say that it comes from where it is said to come from.");
	l->names_us = l->of->kin == KIN_FORK;
	return ERR_OK;
}

/* What it says was said before, too: forebears never change, and a fork that it has named it names for good. */
static enum err before_hold(struct looking *l)
{
	struct call *c = l->c;
	struct lineage_node *before;
	struct keychain *keys = &l->keys;
	const struct json *said;
	struct str payload;
	struct error why = { 0 };
	size_t which, n;
	if (!l->of->signed_text.n || keychain_dsse_verify(c->arena, keys, l->of->signed_text, STR(LINEAGE_TYPE), &payload, &which, &why) != ERR_OK
		|| json_parse(c->arena, payload, &said, &why) != ERR_OK || lineage_nodes_read(c->arena, json_get(said, "nodes"), &before, &n, &why) != ERR_OK)
		return ERR_OK;
	for (size_t i = 0; i < n; i++) {
		bool still = before[i].depth == 0;
		for (size_t k = 0; k < l->n_nodes && !still; k++)
			still = l->nodes[k].depth == before[i].depth && same_share(&l->nodes[k], before[i].name, before[i].size, before[i].root);
		if (!still)
			return contradicts(l, "lineage_changed", "Something that it said of its lineage before is not in it any more.");
	}
	return ERR_OK;
}

/* ---- One look ---- */

/* Other forks of our parent, as it names them. Inside. */
static enum err siblings_note(struct looking *l)
{
	size_t noted = 0;
	for (size_t i = 0; i < l->n_nodes && noted < SIBLINGS_MOST; i++) {
		if (l->nodes[i].depth != -1 || str_eq(l->nodes[i].name, l->us))
			continue;
		TRY(kin_write(l->c, l->coop, &l->nodes[i], KIN_SIBLING, l->of->name));
		noted++;
	}
	return ERR_OK;
}

static enum err look_and_hold(struct looking *l, struct str *text)
{
	TRY(shown(l, text));
	TRY(signature_hold(l, *text));
	TRY(l->of->kin == KIN_PARENT || l->of->kin == KIN_FOREBEAR ? forebear_hold(l) : fork_hold(l));
	return before_hold(l);
}

static enum err verified_write(struct looking *l, struct str text)
{
	struct call *c = l->c;
	TRY(db_begin_in(c, l->coop, DB_WRITE));
	TRY(db_exec(c, kin_verified, A_UUID(l->coop), A_STR(l->of->name), A_STR(l->keys.text), A_STR(text), A_BOOL(l->names_us)));
	if (l->of->kin == KIN_PARENT)
		TRY(siblings_note(l));
	return db_commit(c);
}

/* What contradicts is told to the admins, and nothing that was proved before is forgotten for it. Who is away is looked at again. */
static enum err wrong_write(struct looking *l)
{
	struct call *c = l->c;
	struct rows r;
	bool refused = c->error.code == ERR_REFUSED && str_starts(str_of(c->error.reason), "lineage_");
	struct error why = c->error;
	db_rollback(c);
	error_clear(&c->error);
	TRY(db_begin_in(c, l->coop, DB_WRITE));
	struct str sentence = str_copy(c->arena, str_of(why.message[0] ? why.message : err_text(why.code)));
	if (refused)
		TRY(db_exec(c, kin_refused, A_UUID(l->coop), A_STR(l->of->name), A_STR(sentence)));
	else
		TRY(db_exec(c, kin_silent, A_UUID(l->coop), A_STR(l->of->name), A_STR(sentence)));
	TRY(db_query(c, kin_peer, &r, A_UUID(l->coop), A_STR(l->of->name)));
	struct uuid peer = r.n ? row_uuid(&r, 0, 0) : (struct uuid){ { 0 } };
	TRY(db_commit(c));
	if (refused)
		merge_refuse(c, l->coop, peer, str_fmt(c->arena, "lineage of %.*s", STR_ARG(l->of->title)), str_copy(c->arena, str_of(why.reason)), sentence);
	return ERR_OK;
}

static int longest_first(const void *x, const void *y)
{
	const struct lineage_kin *a = x, *b = y;
	return a->looked_at < b->looked_at ? -1 : a->looked_at > b->looked_at;
}

enum err lineage_look(struct call *c, struct uuid coop)
{
	struct looking l = { .c = c, .coop = coop };
	struct lineage_kin *kin;
	size_t n;
	TRY(kin_begin(&l));
	if (l.n_ours < 2)
		return ERR_OK;
	TRY(lineage_kin_read(c, coop, &kin, &n));
	qsort(kin, n, sizeof(*kin), longest_first);
	for (size_t i = 0; i < n && i < LOOKED_AT; i++) {
		struct str text = STR_NONE;
		l.of = &kin[i];
		l.names_us = false;
		enum err e = look_and_hold(&l, &text);
		TRY(e == ERR_OK ? verified_write(&l, text) : wrong_write(&l));
		if (c->job)
			TRY(job_extend(c));
	}
	return ERR_OK;
}
