#include "server/merge/bundle/bundle_manifest.h"
#include "server/merge/fork/fork_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/ledger.h"
#include "commonhold/policy_licence.h"
#include "commonhold/pool.h"

#include <unistd.h>

/* Exporting a fork. The folder, or plain .tar of it:
 *
 *   fork.json        canonical: {"at","claims":N,"coop":{"name","title","url"},"head":{"root","size"},"items":N,"lineage":[nodes as in schemas/lineage.json, parents of the parent alone],"members":N,
 *                    "files":[as in bundle.json],"offer":{"id","place","reason","title"},"terms":{…},"to":{"coop","name","url"},"v":1}, members in canonical order
 *   fork.dsse.json   DSSE of FORK_TYPE over it by the parent's key
 *   items.tar        a bundle (bundle.h) from the parent to the fork: the whole log, the word of everybody who goes along, and their items; under no agreement, its digest is that of the offer
 *   charters.jsonl   {"adopted_at","coop":KEY NAME,"document":TEXT,"sha256","version"}, in the order in which the log has them
 *   claims.jsonl     {"claim":HEX,"contributor":HEX}
 *
 * What is told of those who are silent are denials alone: nobody whom they let speak for them there speaks for them here. */

SQL(moving_set,
	"INSERT INTO fork_moved (coop_id, offer_id, member_id, member_no, items, moved_at) "
	"SELECT m.coop_id, $2, m.id, m.number, 0, commonhold_now() FROM "
	"(SELECT DISTINCT ON (a.member_id) a.member_id, a.yes FROM fork_answer a WHERE a.coop_id = $1 AND a.offer_id = $2 ORDER BY a.member_id, a.no DESC) g "
	"JOIN membership m ON m.coop_id = $1 AND m.id = g.member_id WHERE g.yes AND m.state IN ('active', 'due', 'grace') ON CONFLICT DO NOTHING");
SQL(moving_read,
	"SELECT v.member_id, v.member_no, (SELECT a.claim FROM fork_answer a WHERE a.coop_id = v.coop_id AND a.offer_id = v.offer_id AND a.member_id = v.member_id ORDER BY a.no DESC LIMIT 1) "
	"FROM fork_moved v WHERE v.coop_id = $1 AND v.offer_id = $2 ORDER BY v.member_no");
SQL(moved_count, "UPDATE fork_moved SET items = $4 WHERE coop_id = $1 AND offer_id = $2 AND member_no = $3");
SQL(offer_exporting, "UPDATE fork_offer SET state = 'exporting', state_at = commonhold_now(), request = $3, fork_name = $4, fork_url = $5 WHERE coop_id = $1 AND id = $2");
SQL(offer_exported, "UPDATE fork_offer SET state = 'exported', state_at = commonhold_now(), size = $3, root = $4, manifest = $5, members = $6, items = $7 WHERE coop_id = $1 AND id = $2");
SQL(offer_request, "SELECT request FROM fork_offer WHERE coop_id = $1 AND id = $2");
SQL(charters_all,
	"SELECT name, version, digest, adopted_at, document FROM ("
	"SELECT 0 AS own, name, version, digest, adopted_at, document FROM lineage_charter WHERE coop_id = $1 UNION ALL "
	"SELECT 1, k.key_name, h.version, h.digest, h.adopted_at, h.document FROM charter h JOIN coop k ON k.id = h.coop_id WHERE h.coop_id = $1) x ORDER BY own, adopted_at, version");

/* One who goes along. */
struct mover {
	struct uuid member;
	int64_t number;
	uint8_t contributor[16];
	struct sha256 claim;
	int64_t items;
};

struct export {
	struct call *c;
	struct fork_offer offer;
	struct fork_request request;
	struct coop coop;
	struct charter charter;
	struct keychain keys;
	struct sign_key key;
	instant at;
	int64_t size;                 /* of the log */
	struct sha256 root;           /* of it */
	struct str checkpoint;
	struct mover *movers;         /* by number */
	size_t n_movers;
	int64_t *numbers;             /* of them */
	struct lineage_node *lineage;
	size_t n_lineage;
	struct fork_folder items, whole; /* the bundle, and the folder around it */
	int64_t n_items, n_charters;
	struct buf line;              /* the one at hand */
};

/* ---- Beginning ---- */

/* Who may: the operator, or an admin. From here on nobody joins and nobody leaves. */
static enum err begin(struct call *c, struct uuid coop, struct uuid offer, struct export *x)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(member_require_admin(c, coop));
	TRY(fork_offer_get(c, coop, offer, &x->offer));
	TRY(db_one(c, offer_request, &r, A_UUID(coop), A_UUID(offer)));
	bool again = x->offer.state == FORK_EXPORTING || x->offer.state == FORK_EXPORTED;
	if (again && !str_eq(x->offer.fork_name, x->request.key_name))
		return fail_reason(c, ERR_STATE, "fork_state", "This fork was exported for another instance, %.*s.", STR_ARG(x->offer.fork_name));
	if (!again && x->offer.state != FORK_CLOSED)
		return fail_reason(c, ERR_STATE, "fork_state", "%s", fork_state_sentence(x->offer.state));
	if (!again) {
		TRY(db_exec(c, offer_exporting, A_UUID(coop), A_UUID(offer), A_STR(x->request.text), A_STR(x->request.key_name), A_STR(x->request.url)));
		TRY(db_exec(c, moving_set, A_UUID(coop), A_UUID(offer)));
	}
	return db_commit(c);
}

static enum err movers_load(struct export *x)
{
	struct call *c = x->c;
	struct rows r;
	TRY(db_query(c, moving_read, &r, A_UUID(x->offer.coop), A_UUID(x->offer.id)));
	x->n_movers = (size_t)r.n;
	x->movers = ARENA_ARRAY(c->arena, x->n_movers + 1, struct mover);
	x->numbers = ARENA_ARRAY(c->arena, x->n_movers + 1, int64_t);
	for (int i = 0; i < r.n; i++) {
		struct mover *m = &x->movers[i];
		*m = (struct mover){ .member = row_uuid(&r, i, 0), .number = row_int(&r, i, 1), .claim = sha256_load(row_bytes(&r, i, 2)) };
		x->numbers[i] = m->number;
		TRY(bundle_contributor(c, x->offer.coop, m->member, m->contributor));
	}
	return ERR_OK;
}

static struct mover *mover_of(const struct export *x, int64_t number)
{
	size_t low = 0, high = x->n_movers;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (x->numbers[mid] < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < x->n_movers && x->numbers[low] == number ? &x->movers[low] : NULL;
}

static enum err facts_load(struct export *x)
{
	struct call *c = x->c;
	struct lineage_node *all;
	size_t n;
	struct uuid coop = x->offer.coop;
	TRY(coop_get(c, coop, &x->coop));
	TRY(charter_current(c, coop, &x->charter));
	TRY(keychain_of(c, coop, &x->keys));
	TRY(ledger_key(c, coop, &x->key));
	TRY(ledger_checkpoint_seen(c, coop, &x->size, &x->root, &x->checkpoint));
	TRY(lineage_get(c, coop, &all, &n));
	x->lineage = all;
	while (x->n_lineage < n && all[x->n_lineage].depth > 0)
		x->n_lineage++;
	if (x->n_lineage >= LINEAGE_DEPTH)
		return fail(c, ERR_REFUSED, "This co-op is a fork of a fork %d times over. There is no room for one more.", LINEAGE_DEPTH);
	return movers_load(x);
}

/* ---- The bundle ---- */

static enum err event(void *arg, struct str bytes)
{
	struct export *x = arg;
	return fork_folder_line(&x->items, "events", bytes);
}

static enum err put_statements(struct export *x)
{
	struct call *c = x->c;
	struct guest_words *by_number;
	struct buf lines;
	size_t n;
	enum err e = ERR_OK;
	struct guest_scope scope = fork_said_scope();
	struct fork_sayer sayer = { .c = c, .key = x->key, .home = x->coop.key_name, .rev = x->size };
	TRY(guest_words_of_members(c, x->offer.coop, &scope, &by_number, &n));
	buf_init(&lines, (size_t)BUNDLE_FILE_MAX);
	buf_init(&sayer.line, BUNDLE_LINE_MAX);
	for (size_t i = 0; i < x->n_movers && e == ERR_OK; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		if ((size_t)x->movers[i].number >= n)
			continue;
		e = fork_said_line(&sayer, &by_number[x->movers[i].number], x->movers[i].contributor);
		buf_add_str(&lines, buf_str(&sayer.line));
		buf_add_byte(&lines, '\n');
		arena_rewind(c->arena, mark);
	}
	buf_release(&sayer.line);
	secret_wipe(&sayer.key, sizeof(sayer.key));
	if (e == ERR_OK && lines.failed)
		e = fail(c, ERR_TOO_LARGE, "What the members said is too long to be handed over.");
	if (e == ERR_OK && lines.n)
		e = fork_folder_put(&x->items, STR("statements.jsonl"), buf_str(&lines), (int64_t)x->n_movers);
	buf_release(&lines);
	return e;
}

/* Circumstances that go along: what is the server's own business stays. */
static enum err facts_write(struct export *x, struct json_writer *w, struct str facts)
{
	static const char *const kept[] = { "ai_preferences", "application", "derived_from", "friction", "model", "processing", "prompted", "provider", "sensitive" };
	const struct json *all = NULL;
	if (facts.n)
		TRY(json_parse(x->c->arena, facts, &all, &x->c->error));
	jw_key(w, "facts");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(kept); i++) {
		const struct json *v = json_get(all, kept[i]);
		if (!v)
			continue;
		jw_key(w, kept[i]);
		jw_raw(w, STR(""));
		json_canonical(w->out, v, true);
	}
	jw_end_object(w);
	return ERR_OK;
}

static enum err record(void *arg, const struct pool_handed *item)
{
	struct export *x = arg;
	struct arena *a = x->c->arena;
	struct mover *m = mover_of(x, item->member_no);
	struct json_writer w;
	if (!m || item->leaf >= x->size)
		return ERR_OK;
	buf_clear(&x->line);
	jw_init(&w, &x->line);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, item->at));
	jw_key(&w, "content");
	jw_raw(&w, item->content);
	jw_kstr(&w, "contributor", str_hex(a, m->contributor, 16));
	TRY(facts_write(x, &w, item->facts));
	jw_kstr(&w, "home", x->coop.key_name);
	jw_kz(&w, "kind", policy_kind_name(item->kind));
	jw_kstr(&w, "lang", item->lang);
	jw_kint(&w, "leaf", item->leaf);
	jw_kz(&w, "licence", policy_licence_get(item->licence)->spdx);
	jw_kstr(&w, "rid", rid_format(a, x->coop.key_name, item->id));
	jw_kstr(&w, "salt", str_hex(a, item->salt, 32));
	jw_end_object(&w);
	if (x->line.failed || x->line.n > BUNDLE_LINE_MAX)
		return fail(x->c, ERR_TOO_LARGE, "A contribution is too large to be handed over.");
	m->items++;
	x->n_items++;
	return fork_folder_line(&x->items, "records", buf_str(&x->line));
}

static struct sha256 offer_digest(const struct export *x)
{
	return sha256_of((struct str[]){ STR("commonhold/fork/1\n"), str_make(x->offer.id.b, 16) }, 2);
}

static struct str bundle_manifest(struct export *x)
{
	struct arena *a = x->c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, BUNDLE_MANIFEST_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(a, offer_digest(x)));
	jw_kstr(&w, "as_of", clock_format(a, x->at));
	manifest_head_write(&w, a, "base", 0, sha256(STR("")));
	jw_key(&w, "charter");
	jw_object(&w);
	jw_kstr(&w, "digest", sha256_hex(a, x->charter.digest));
	jw_kint(&w, "version", x->charter.version);
	jw_end_object(&w);
	manifest_counts_write(&w, &(struct bundle_counts){ .events = x->size, .records = x->n_items, .statements = (int64_t)x->n_movers });
	jw_kstr(&w, "created", clock_format(a, x->at));
	fork_folder_list(&x->items, &w);
	jw_kstr(&w, "from", x->coop.key_name);
	manifest_head_write(&w, a, "head", x->size, x->root);
	jw_key(&w, "homes");
	jw_array(&w);
	jw_end_array(&w);
	jw_kstr(&w, "prev", STR_NONE);
	jw_kint(&w, "seq", 1);
	jw_kstr(&w, "to", x->request.key_name);
	jw_key(&w, "tombstones");
	jw_object(&w);
	jw_kint(&w, "from", 0);
	jw_kint(&w, "upto", -1);
	jw_end_object(&w);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err signed_manifest(struct fork_folder *f, const struct export *x, const char *name, const char *type, struct str text)
{
	struct arena *a = f->c->arena;
	if (!text.p)
		return fail(f->c, ERR_TOO_LARGE, "The export has more files than its list has room for.");
	TRY(fork_folder_put(f, str_fmt(a, "%s.json", name), text, 0));
	return fork_folder_put(f, str_fmt(a, "%s.dsse.json", name), dsse_sign(a, &x->key, 1, str_of(type), text), 0);
}

static enum err put_items(struct export *x)
{
	struct call *c = x->c;
	struct fork_folder *f = &x->items;
	TRY(ledger_entries_stream(c, x->offer.coop, x->size, event, x));
	TRY(put_statements(x));
	TRY(pool_hand_over(c, x->offer.coop, x->numbers, x->n_movers, record, x));
	TRY(fork_folder_end_part(f));
	TRY(fork_folder_put(f, STR("keys.json"), x->keys.text, 0));
	TRY(fork_folder_put(f, STR("checkpoint"), x->checkpoint, 0));
	TRY(fork_folder_put(f, STR("consistency.proof"), STR(""), 0));
	TRY(signed_manifest(f, x, "bundle", BUNDLE_TYPE, bundle_manifest(x)));
	TRY(fork_folder_pack(f, str_z(c->arena, str_fmt(c->arena, "%s/items.tar", x->whole.dir)), x->at));
	fork_folder_remove(f);
	return fork_folder_note(&x->whole, STR("items.tar"));
}

/* ---- What stands around it ---- */

static enum err put_charters(struct export *x)
{
	struct call *c = x->c;
	struct rows r;
	struct buf b;
	TRY(db_query(c, charters_all, &r, A_UUID(x->offer.coop)));
	buf_init(&b, FORK_CHARTERS_MAX);
	for (int i = 0; i < r.n; i++) {
		struct json_writer w;
		jw_init(&w, &b);
		jw_object(&w);
		jw_kstr(&w, "adopted_at", clock_format(c->arena, row_time(&r, i, 3)));
		jw_kstr(&w, "coop", row_str(&r, i, 0));
		jw_kstr(&w, "document", row_str(&r, i, 4));
		jw_kstr(&w, "sha256", sha256_hex(c->arena, sha256_load(row_bytes(&r, i, 2))));
		jw_kint(&w, "version", row_int(&r, i, 1));
		jw_end_object(&w);
		buf_add_byte(&b, '\n');
	}
	x->n_charters = r.n;
	enum err e = b.failed ? fail(c, ERR_TOO_LARGE, "The charters are too long to be handed over.") : fork_folder_put(&x->whole, STR("charters.jsonl"), buf_str(&b), r.n);
	buf_release(&b);
	return e;
}

static enum err put_claims(struct export *x)
{
	struct call *c = x->c;
	struct buf b;
	buf_init(&b, (size_t)x->n_movers * 160 + 1);
	for (size_t i = 0; i < x->n_movers; i++)
		buf_addf(&b, "{\"claim\":\"%.*s\",\"contributor\":\"%.*s\"}\n", STR_ARG(sha256_hex(c->arena, x->movers[i].claim)), STR_ARG(str_hex(c->arena, x->movers[i].contributor, 16)));
	enum err e = b.failed ? fail(c, ERR_TOO_LARGE, "There are too many claims.") : fork_folder_put(&x->whole, STR("claims.jsonl"), buf_str(&b), (int64_t)x->n_movers);
	buf_release(&b);
	return e;
}

static void lineage_nodes_write(struct export *x, struct json_writer *w)
{
	jw_key(w, "lineage");
	jw_array(w);
	for (size_t i = 0; i < x->n_lineage; i++)
		lineage_node_write(w, x->c->arena, &x->lineage[i]);
	jw_end_array(w);
}

static struct str fork_manifest(struct export *x)
{
	struct arena *a = x->c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, FORK_MANIFEST_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, x->at));
	jw_key(&w, "coop");
	jw_object(&w);
	jw_kstr(&w, "name", x->coop.key_name);
	jw_kstr(&w, "title", x->coop.name);
	jw_kstr(&w, "url", str_of(config()->base_url));
	jw_end_object(&w);
	fork_folder_list(&x->whole, &w);
	manifest_head_write(&w, a, "head", x->size, x->root);
	jw_kint(&w, "items", x->n_items);
	lineage_nodes_write(x, &w);
	jw_kint(&w, "members", (int64_t)x->n_movers);
	jw_key(&w, "offer");
	jw_object(&w);
	jw_kstr(&w, "id", uuid_format(a, x->offer.id));
	jw_kstr(&w, "place", x->offer.place);
	jw_kstr(&w, "reason", x->offer.reason);
	jw_kstr(&w, "title", x->offer.title);
	jw_end_object(&w);
	jw_key(&w, "to");
	jw_object(&w);
	jw_kstr(&w, "coop", uuid_format(a, x->request.coop));
	jw_kstr(&w, "name", x->request.key_name);
	jw_kstr(&w, "url", x->request.url);
	jw_end_object(&w);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* One snapshot from the first byte to the last. */
static enum err write_all(struct export *x, const char *dir, struct sha256 *manifest)
{
	struct call *c = x->c;
	TRY(fork_folder_make(c, dir, &x->whole));
	TRY(fork_folder_make(c, str_z(c->arena, str_fmt(c->arena, "%s/items", dir)), &x->items));
	TRY(db_begin_in(c, x->offer.coop, DB_SERIAL));
	TRY(facts_load(x));
	TRY(put_items(x));
	TRY(put_charters(x));
	TRY(put_claims(x));
	TRY(db_commit(c));
	struct str text = fork_manifest(x);
	*manifest = sha256(text);
	return signed_manifest(&x->whole, x, "fork", FORK_TYPE, text);
}

static enum err end(struct export *x, struct sha256 manifest)
{
	struct call *c = x->c;
	struct uuid coop = x->offer.coop;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(db_exec(c, offer_exported, A_UUID(coop), A_UUID(x->offer.id), A_I64(x->size), A_BYTES(str_make(x->root.b, 32)), A_BYTES(str_make(manifest.b, 32)),
		A_I64((int64_t)x->n_movers), A_I64(x->n_items)));
	for (size_t i = 0; i < x->n_movers; i++)
		TRY(db_queue(c, moved_count, A_UUID(coop), A_UUID(x->offer.id), A_INT((int)x->movers[i].number), A_I64(x->movers[i].items)));
	struct str hex = sha256_hex(c->arena, manifest);
	TRY(fork_leaf(c, coop, "fork.exported", x->offer.id, (struct uuid){ { 0 } },
		str_fmt(c->arena, ",\"fork\":\"%.*s\",\"sha256\":\"%.*s\",\"size\":%lld", STR_ARG(x->request.key_name), STR_ARG(hex), (long long)x->size)));
	return db_commit(c);
}

static enum err export(struct export *x, const char *path, struct sha256 *manifest)
{
	struct call *c = x->c;
	bool tar = str_ends(str_of(path), ".tar");
	const char *dir = tar ? str_z(c->arena, str_fmt(c->arena, "%s.part", path)) : path;
	enum err e = write_all(x, dir, manifest);
	if (e == ERR_OK && tar)
		e = fork_folder_pack(&x->whole, path, x->at);
	if (e == ERR_OK)
		e = end(x, *manifest);
	if (e != ERR_OK)
		db_rollback(c);
	if (e != ERR_OK && x->items.c)
		fork_folder_remove(&x->items);
	if ((e != ERR_OK || tar) && x->whole.c)
		fork_folder_remove(&x->whole);
	if (e != ERR_OK && tar && x->whole.c)
		unlink(path);
	fork_folder_free(&x->whole);
	return e;
}

enum err fork_export(struct call *c, struct uuid coop, struct uuid offer, struct str request, const char *path, struct fork_report *out)
{
	struct sha256 manifest;
	struct export *x = ARENA_NEW(c->arena, struct export);
	*x = (struct export){ .c = c, .at = clock_now() };
	TRY(fork_request_read(c->arena, request, &x->request, &c->error));
	TRY(begin(c, coop, offer, x));
	x->offer.coop = coop;
	buf_init(&x->line, BUNDLE_LINE_MAX + 64 * KIB);
	enum err e = export(x, path, &manifest);
	buf_release(&x->line);
	secret_wipe(&x->key, sizeof(x->key));
	*out = (struct fork_report){ .name = x->coop.key_name, .leaves = x->size, .charters = x->n_charters, .members = (int64_t)x->n_movers, .items = x->n_items, .manifest = manifest };
	return e;
}
