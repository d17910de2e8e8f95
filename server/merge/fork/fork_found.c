#include "server/merge/fork/fork_read.h"

#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/log.h"
#include "commonhold/peer.h"
#include "commonhold/pool.h"

/* Founding a fork from an export: one transaction for the co-op with its parent's log, and one for the items. A process that ends between them goes on with the items when it is run again. */

#define ATTEMPTS 3

SQL(lineage_insert,
	"INSERT INTO lineage (coop_id, depth, name, title, url, at, size, root, checkpoint, keys, charter, manifest, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)");
SQL(lineage_charter_insert, "INSERT INTO lineage_charter (coop_id, name, version, digest, adopted_at, document) VALUES ($1, $2, $3, $4, $5, $6)");
SQL(founding_look, "SELECT EXISTS (SELECT FROM coop WHERE id = $1), EXISTS (SELECT FROM bundle_in WHERE coop_id = $1 AND agreement_id = $2 AND digest = $3)");
SQL(claim_insert, "INSERT INTO fork_claim (coop_id, claim, home, contributor) VALUES ($1, $2, $3, $4)");
SQL(claim_find, "SELECT home, contributor, member_id FROM fork_claim WHERE coop_id = $1 AND claim = $2 FOR UPDATE");
SQL(claim_take, "UPDATE fork_claim SET member_id = $3, claimed_at = commonhold_now() WHERE coop_id = $1 AND claim = $2");
SQL(claim_items,
	"SELECT (SELECT count(*) FROM contribution c WHERE c.coop_id = g.coop_id AND c.member_no = g.number AND (c.word & 12288) = 0) "
	"+ (SELECT count(*) FROM item_origin o WHERE o.coop_id = g.coop_id AND o.member_no = g.number) FROM guest g WHERE g.coop_id = $1 AND g.home = $2 AND g.contributor = $3");

struct founding {
	struct call *c;
	struct fork_read *x;
	const struct fork_founding *how;
	struct ledger_prefix *prefix;
};

/* ---- The log and the charter ---- */

static enum err leaf_add(void *arg, struct str entry)
{
	struct founding *f = arg;
	return ledger_prefix_add(f->prefix, entry);
}

static enum err log_fill(struct call *c, struct uuid coop, struct str key_name, void *arg)
{
	struct founding *f = arg;
	struct sha256 root;
	int64_t size;
	if (!str_eq(key_name, f->x->to_name))
		return fail_reason(c, ERR_REFUSED, "not_for_us", "The export was made for another instance, whose fork is called %.*s.", STR_ARG(f->x->to_name));
	TRY(ledger_prefix_begin(c, coop, &f->prefix));
	TRY(fork_events(c, f->x, leaf_add, f));
	TRY(ledger_prefix_end(f->prefix, &size, &root));
	return size == f->x->size && sha256_eq(root, f->x->root) ? ERR_OK : fail(c, ERR_CORRUPT, "The log changed while it was taken in.");
}

static enum err forked_facts(struct call *c, struct str key_name, struct uuid founder, void *arg, struct str *out)
{
	const struct founding *f = arg;
	struct arena *a = c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "coop", key_name);
	jw_kstr(&w, "founder", uuid_format(a, founder));
	jw_kstr(&w, "manifest", sha256_hex(a, sha256(f->x->manifest)));
	jw_kstr(&w, "offer", uuid_format(a, f->x->offer));
	jw_kstr(&w, "parent", f->x->parent);
	jw_kstr(&w, "root", sha256_hex(a, f->x->root));
	jw_kint(&w, "size", f->x->size);
	jw_kstr(&w, "slug", f->how->slug);
	jw_end_object(&w);
	*out = buf_take(a, &b);
	return ERR_OK;
}

/* The parent's charter as it stood, under the fork's own name. */
static enum err charter_of_fork(struct call *c, const struct fork_read *x, struct str name, struct str *out)
{
	const struct json *before, *draft;
	struct buf b;
	struct json_writer w;
	TRY(json_parse(c->arena, x->charters[x->n_charters - 1].document, &before, &c->error));
	buf_init(&b, LIMIT_BODY_CHARTER + 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	json_each (member, before) {
		jw_key_str(&w, member->key);
		if (str_is(member->key, "name"))
			jw_str(&w, name);
		else
			jw_json(&w, member);
	}
	jw_end_object(&w);
	TRY(json_parse(c->arena, buf_take(c->arena, &b), &draft, &c->error));
	return charter_check(c->arena, draft, out, &c->error);
}

/* ---- Lineage and claims ---- */

static enum err node_put(struct call *c, struct uuid coop, int depth, const struct lineage_node *n, struct str manifest, struct str signature)
{
	return db_exec(c, lineage_insert, A_UUID(coop), A_INT(depth), A_STR(n->name), A_STR(n->title), A_STR(n->url), A_TIME(n->at), A_I64(n->size), A_BYTES(str_make(n->root.b, 32)),
		A_STR(n->checkpoint), A_STR(n->keys), A_INT(n->charter), A_STR(manifest), A_STR(signature));
}

static enum err lineage_put(struct call *c, struct uuid coop, const struct fork_read *x)
{
	const struct bundle *b = x->bundle;
	struct lineage_node parent = {
		.name = x->parent, .title = x->parent_title, .url = x->parent_url, .at = x->at, .size = x->size, .root = x->root, .checkpoint = b->checkpoint, .keys = b->keys.text,
		.charter = b->charter_version,
	};
	TRY(node_put(c, coop, 1, &parent, x->manifest, x->signature));
	for (size_t i = 0; i < x->n_lineage; i++)
		TRY(node_put(c, coop, x->lineage[i].depth + 1, &x->lineage[i], STR_NONE, STR_NONE));
	for (size_t i = 0; i < x->n_charters; i++) {
		const struct lineage_charter *h = &x->charters[i];
		TRY(db_exec(c, lineage_charter_insert, A_UUID(coop), A_STR(h->name), A_INT(h->version), A_BYTES(str_make(h->digest.b, 32)), A_TIME(h->adopted_at), A_STR(h->document)));
	}
	for (size_t i = 0; i < x->n_claims; i++)
		TRY(db_queue(c, claim_insert, A_UUID(coop), A_BYTES(str_make(x->claims[i].claim.b, 32)), A_STR(x->parent), A_BYTES(str_make(x->claims[i].contributor, 16))));
	return ERR_OK;
}

/* ---- What guests of the parent are under ---- */

static int64_t micros_of(struct duration d)
{
	return duration_add(0, d, 1);
}

/* Their own words and the charter that they know decide; nobody has agreed to anything narrower or wider for them. What the parent says of them later comes by an agreement, so that here
 * their word stands as long as their consent does. */
static enum err source_put(struct call *c, struct uuid coop, const struct fork_read *x)
{
	struct charter charter;
	TRY(charter_current(c, coop, &charter));
	struct guest_source source = {
		.agreement = x->offer, .home = x->parent, .title = x->parent_title, .uses = POLICY_USES_ALL, .floor = 0, .purposes = POLICY_PURPOSES_ALL, .audience = POLICY_AUDIENCE_ANY,
		.k = charter.k_contributors, .embargo = micros_of(charter.embargo), .retention = micros_of(charter.retention_raw), .access = charter.access, .attribution = STR("public"),
		.state = GUEST_SOURCE_IN_EFFECT, .fresh_until = INSTANT_NEVER,
	};
	return guest_source_put(c, coop, &source);
}

/* ---- The whole ---- */

static enum err found_once(struct founding *f, struct str document, struct coop *out)
{
	struct call *c = f->c;
	struct fork_read *x = f->x;
	struct coop_beginning beginning = { .id = x->to, .slug = f->how->slug, .document = document, .leaf = "coop.forked", .log = log_fill, .facts = forked_facts, .arg = f };
	TRY(db_begin_in(c, x->to, DB_WRITE));
	TRY(coop_begin(c, &beginning, out));
	TRY(lineage_put(c, x->to, x));
	TRY(source_put(c, x->to, x));
	return db_commit(c);
}

/* Where an earlier founding from this export ended. */
static enum err look(struct call *c, const struct fork_read *x, bool *founded, bool *taken)
{
	struct rows r;
	TRY(db_begin_in(c, x->to, DB_READ));
	TRY(db_finish(c, founding_look, &r, A_UUID(x->to), A_UUID(x->offer), A_BYTES(str_make(x->bundle->digest.b, 32))));
	*founded = row_bool(&r, 0, 0);
	*taken = row_bool(&r, 0, 1);
	return ERR_OK;
}

/* All of them or none; once more where something came into the pool meanwhile. */
static enum err items_take(struct call *c, struct fork_read *x)
{
	enum err e = ERR_RETRY;
	int64_t packed;
	for (int n = 0; n < ATTEMPTS && e == ERR_RETRY; n++) {
		error_clear(&c->error);
		e = db_begin_in(c, x->to, DB_WRITE);
		if (e == ERR_OK)
			e = fork_take(c, x->to, x);
		if (e == ERR_OK)
			e = db_commit(c);
		if (e != ERR_OK)
			db_rollback(c);
	}
	TRY(e);
	TRY(db_begin_in(c, x->to, DB_WRITE));
	TRY(pool_pack(c, x->to, &packed));
	return db_commit(c);
}

/* The fork knows its parent from the first day: by the chain that was checked, under the name that the founder was told. What goes wrong here can be done by hand. */
static void parent_meet(struct call *c, const struct fork_read *x)
{
	struct peer peer;
	enum err e = peer_meet_file(c, x->to, x->parent_url, x->bundle->keys.text, &peer);
	if (e == ERR_OK)
		e = peer_confirm(c, x->to, peer.id, keychain_fingerprint(c->arena, keychain_current(&x->bundle->keys)), &peer);
	if (e == ERR_OK)
		e = peer_call(c, x->to, peer.id, x->parent_title);
	if (e == ERR_OK)
		return;
	log_event(LOG_WARN, "fork.parent_not_met", LOG_Z("why", c->error.message));
	db_rollback(c);
	error_clear(&c->error);
}

enum err fork_found(struct call *c, const char *path, const struct fork_founding *how, struct coop *out, struct fork_report *report)
{
	struct fork_read *x = ARENA_NEW(c->arena, struct fork_read);
	struct founding f = { .c = c, .x = x, .how = how };
	struct str document;
	bool founded, taken;
	TRY(fork_read(c, path, x));
	if (!how->parent.n || !str_eq(how->parent, x->parent))
		return fail_reason(c, ERR_REFUSED, "parent", "The export is from %.*s. Ask the parent for its key name by another way, and give that.", STR_ARG(x->parent));
	TRY(charter_of_fork(c, x, how->name.n ? how->name : x->title, &document));
	TRY(look(c, x, &founded, &taken));
	if (taken)
		return fail_reason(c, ERR_EXISTS, "founded", "The fork was founded from this export already.");
	if (!founded)
		TRY(found_once(&f, document, out));
	TRY(items_take(c, x));
	fork_read_report(x, report);
	parent_meet(c, x);
	return coop_read(c, x->to, out);
}

/* ---- Claims ---- */

enum err fork_claim(struct call *c, struct uuid coop, struct str claim, int64_t *items)
{
	struct member me;
	struct rows r;
	struct sha256 hash;
	if (!code_read(claim.p ? claim : STR(""), "claim", &hash))
		return fail_field(c, "/claim", "A claim has six groups of four letters and digits.");
	if (c->actor.kind != AUTH_SESSION && c->actor.kind != AUTH_TOKEN)
		return fail(c, ERR_FORBIDDEN, "Each says this for themselves.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(member_of_actor(c, coop, &me));
	if (!in_good_standing(me.state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members do this.");
	TRY(db_query(c, claim_find, &r, A_UUID(coop), A_BYTES(str_make(hash.b, 32))));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "This claim is nobody's here. It was given to you by the co-op that this one comes from, when you said yes.");
	struct uuid holder = row_uuid(&r, 0, 2);
	if (!uuid_is_nil(holder) && !uuid_eq(holder, me.id))
		return fail_reason(c, ERR_EXISTS, "claimed", "Somebody else has brought this claim already.");
	struct str home = row_str(&r, 0, 0), contributor = row_bytes(&r, 0, 1);
	TRY(db_exec(c, claim_take, A_UUID(coop), A_BYTES(str_make(hash.b, 32)), A_UUID(me.id)));
	TRY(link_claimed(c, coop, home, (const uint8_t *)contributor.p, me.id));
	TRY(db_query(c, claim_items, &r, A_UUID(coop), A_STR(home), A_BYTES(contributor)));
	*items = r.n ? row_int(&r, 0, 0) : 0;
	return db_commit(c);
}
