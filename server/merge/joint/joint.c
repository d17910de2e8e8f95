/* Releases that two co-ops make together: proposing, hearing, telling, ending. What each decides by itself is release/joint*.c's. */
#include "commonhold/joint.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#include "server/merge/joint/joint_papers.h"
#include "server/merge/preview/preview_internal.h"

/* ---- both sides of an agreement ---- */

struct sides {
	struct agreement g;
	struct peer peer;
	struct keychain chain;       /* the partner's */
	struct coop coop;
	struct charter ours, theirs; /* theirs: as it came with the agreement or with the proposal */
};

/* Inside. `theirs` is set by the caller, or as the agreement has it. */
static enum err sides_load(struct call *c, struct uuid coop, struct sides *s)
{
	TRY(peer_get(c, coop, s->g.peer, &s->peer));
	TRY(peer_require_confirmed(c, &s->peer));
	TRY(peer_keys(c, &s->peer, &s->chain));
	TRY(coop_get(c, coop, &s->coop));
	return charter_current(c, coop, &s->ours);
}

static enum err require_joint(struct call *c, const struct sides *s, struct str maker)
{
	if (s->g.state != AGREEMENT_IN_EFFECT)
		return fail_reason(c, ERR_STATE, "agreement_not_in_effect", "Joint releases are made under an agreement that is in effect.");
	if (!s->g.terms.joint.p)
		return fail_reason(c, ERR_REFUSED, "no_joint_releases", "The agreement says nothing of joint releases.");
	return str_eq(s->g.terms.joint, maker) ? ERR_OK : fail_reason(c, ERR_REFUSED, "not_maker", "By the agreement the other co-op makes the joint releases.");
}

static enum err document_of(struct call *c, const struct sides *s, const struct joint_when *when, struct str *out)
{
	const struct charter *charters[2] = { s->g.us ? &s->theirs : &s->ours, s->g.us ? &s->ours : &s->theirs };
	return joint_document(c->arena, &s->g.terms, charters, when, out, &c->error);
}

static enum err schedule(struct call *c, const struct sides *s, const struct joint_when *when, bool maker, struct str document, struct release *out)
{
	struct release_joint in = { .coop = s->coop.id, .id = when->id, .agreement = s->g.id, .maker = maker, .partner = s->g.partner, .partner_keys = s->chain.text, .document = document,
		.document_sha256 = sha256(document), .partner_charter = s->theirs.document };
	memcpy(in.partner_key, keychain_current(&s->chain), sizeof(in.partner_key));
	return release_joint_schedule(c, &in, out);
}

/* The first instant that both charters' announcements allow. */
static instant soonest(const struct sides *s)
{
	instant now = clock_now(), first = duration_add(now, s->ours.lead, 1), second = duration_add(now, s->theirs.lead, 1);
	return first > second ? first : second;
}

/* ---- reading ---- */

static enum err joint_of_row(struct call *c, const struct release_joint *j, struct joint *out)
{
	struct peer peer;
	*out = (struct joint){ .j = *j, .partner_title = j->partner };
	TRY(release_get(c, j->coop, j->release, &out->release));
	if (peer_by_name(c, j->coop, j->partner, &peer) == ERR_OK)
		out->partner_title = peer.title.n ? peer.title : peer.name;
	error_clear(&c->error);
	out->version = j->maker ? out->release.version : j->partner_version;
	out->url = j->partner_url;
	if (j->maker && out->version.p) {
		struct coop coop;
		TRY(coop_get(c, j->coop, &coop));
		out->url = str_fmt(c->arena, "%s/coops/%.*s/releases/%.*s", config()->base_url, STR_ARG(coop.slug), STR_ARG(out->version));
	}
	return ERR_OK;
}

static enum err joint_get(struct call *c, struct uuid coop, struct uuid id, struct joint *out)
{
	struct release_joint j;
	TRY(release_joint_get(c, coop, id, &j));
	return joint_of_row(c, &j, out);
}

enum err joint_read(struct call *c, struct uuid coop, struct uuid id, struct joint *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(joint_get(c, coop, id, out));
	return db_commit(c);
}

enum err joint_list(struct call *c, struct uuid coop, struct joint **out, size_t *n)
{
	struct release_joint *rows;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_joint_list(c, coop, &rows, n));
	*out = ARENA_ARRAY(c->arena, *n + 1, struct joint);
	for (size_t i = 0; i < *n; i++)
		TRY(joint_of_row(c, &rows[i], &(*out)[i]));
	return db_commit(c);
}

/* ---- proposing ---- */

static enum err tell_proposal(struct call *c, const struct sides *s, struct str document)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MESSAGE_MAX / 2);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "charter");
	jw_raw(&w, s->ours.document);
	jw_key(&w, "document");
	jw_raw(&w, document);
	jw_end_object(&w);
	return message_send(c, s->coop.id, s->g.peer, "joint.proposed", STR_NONE, buf_take(c->arena, &b));
}

enum err joint_propose(struct call *c, struct uuid coop, struct uuid agreement, instant cutoff, struct joint *out)
{
	struct sides s = { 0 };
	struct joint_when when = { .id = uuid_new(), .cutoff = cutoff };
	struct release r;
	struct str document;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(agreement_get(c, coop, agreement, &s.g));
	TRY(sides_load(c, coop, &s));
	TRY(require_joint(c, &s, s.coop.key_name));
	TRY(agreement_charter_theirs(c, coop, s.g.terms.digest, &s.theirs));
	s.theirs.version = s.g.terms.charter_versions[!s.g.us];
	instant least = soonest(&s);
	if (cutoff == INSTANT_NONE)
		when.cutoff = (least / CLOCK_HOUR + 2) * CLOCK_HOUR; /* a full hour, and one more for the message */
	else if (cutoff < least || cutoff % CLOCK_SECOND)
		return fail_field(c, "/cutoff", "The cut-off must be announced as long before as both charters ask, and be a whole second.");
	random_bytes(when.seed.b, sizeof(when.seed.b));
	TRY(document_of(c, &s, &when, &document));
	TRY(schedule(c, &s, &when, true, document, &r));
	TRY(tell_proposal(c, &s, document));
	TRY(joint_get(c, coop, when.id, out));
	return db_commit(c);
}

/* ---- hearing ---- */

static enum err refused(struct call *c, const char *reason, const char *why)
{
	return fail_reason(c, ERR_REFUSED, reason, "The joint release is not taken up: %s", why);
}

static struct str canonical_of(struct arena *a, const struct json *v)
{
	struct buf b;
	buf_init(&b, MESSAGE_MAX);
	json_canonical(&b, v, true);
	return buf_take(a, &b);
}

/* The document must be the one that this co-op would write itself. */
static enum err check_document(struct call *c, const struct sides *s, const struct joint_when *when, struct str document)
{
	struct str ours;
	TRY(document_of(c, s, when, &ours));
	if (!str_eq(ours, document))
		return refused(c, "joint_document", "its document is not what both charters and the agreement come to.");
	return when->cutoff > clock_now() ? ERR_OK : refused(c, "joint_cutoff", "its cut-off has passed.");
}

static enum err known_already(struct call *c, struct uuid coop, struct uuid id, bool *known)
{
	struct release_joint j;
	enum err e = release_joint_get(c, coop, id, &j);
	*known = e == ERR_OK;
	if (e == ERR_NOT_FOUND)
		error_clear(&c->error);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err joint_take_proposed(struct call *c, struct uuid coop, const struct message *m)
{
	const struct json *document = json_get(m->body, "document"), *charter = json_get(m->body, "charter");
	struct sides s = { 0 };
	struct joint_when when;
	struct sha256 digest;
	struct release r;
	bool known;
	if (!json_is(charter, JSON_OBJECT) || !sha256_parse(json_member_text(document, "agreement"), &digest) || !uuid_parse(json_member_text(document, "id"), &when.id) ||
		!clock_parse(json_member_text(document, "cutoff"), &when.cutoff) || !sha256_parse(json_member_text(document, "seed"), &when.seed))
		return refused(c, "joint_document", "its document is not one.");
	TRY(agreement_by_digest(c, coop, digest, &s.g));
	if (!uuid_eq(s.g.peer, m->peer))
		return refused(c, "joint_document", "the agreement is with another co-op.");
	TRY(sides_load(c, coop, &s));
	TRY(require_joint(c, &s, m->from));
	TRY(charter_parse(c->arena, canonical_of(c->arena, charter), &s.theirs, &c->error));
	s.theirs.version = (int)json_int(json_get(json_at(document, s.g.us ? "/charters/0" : "/charters/1"), "version"), 0);
	TRY(agreement_terms_fit(c->arena, &s.g.terms, &s.theirs, &c->error));
	struct str text = canonical_of(c->arena, document);
	TRY(check_document(c, &s, &when, text));
	TRY(known_already(c, coop, when.id, &known));
	return known ? ERR_OK : schedule(c, &s, &when, false, text, &r);
}

/* Bytes of a member in base64; absent where there is none. */
static bool bytes_of(struct call *c, const struct json *body, const char *key, struct str *out)
{
	struct str text = json_member_text(body, key);
	*out = STR_NONE;
	return !text.p || str_unbase64(c->arena, text, out);
}

static bool word_read(struct call *c, const struct message *m, struct joint_word *out)
{
	const struct json *b = m->body, *ballot = json_get(b, "ballot");
	struct str digest = json_member_text(b, "manifest_sha256"), leaves = json_member_text(b, "leaves_sha256");
	*out = (struct joint_word){ .at = m->at, .manifest = json_member_text(b, "manifest"), .differs = json_member_text(b, "differs"), .version = json_member_text(b, "version"),
		.url = json_member_text(b, "url"), .why = json_member_text(b, "why"), .final = json_bool(json_get(b, "final"), false) };
	memcpy(out->key, m->key, sizeof(out->key));
	if (json_is(ballot, JSON_OBJECT))
		out->ballot = canonical_of(c->arena, ballot);
	return joint_state_parse(json_member_text(b, "state"), &out->state) && bytes_of(c, b, "set", &out->set) && bytes_of(c, b, "leaves", &out->leaves) && bytes_of(c, b, "without", &out->without) && bytes_of(c, b, "signature", &out->signature) &&
		(!digest.p || sha256_parse(digest, &out->manifest_sha256)) && (!leaves.p || sha256_parse(leaves, &out->leaves_sha256)) && out->leaves.n % 32 == 0 && out->differs.n <= 2000 && out->why.n <= 2000 && out->version.n <= 40 && out->url.n <= 2000 &&
		(!out->url.n || str_starts(out->url, "https://") || str_starts(out->url, "http://")); /* it becomes a link */
}

/* Where the partner has published: on its own instance, which is known, or nowhere. Nobody here follows a link, or asks a machine, that a message names. */
static bool leads_there(const struct peer *peer, struct str url)
{
	return peer->url.n && url.n > peer->url.n && str_eq(str_sub(url, 0, peer->url.n), peer->url) && url.p[peer->url.n] == '/';
}

enum err joint_take_state(struct call *c, struct uuid coop, const struct message *m)
{
	struct release_joint j;
	struct joint_word word;
	struct uuid id;
	struct peer peer;
	struct keychain chain;
	if (!uuid_parse(json_member_text(m->body, "joint"), &id) || !word_read(c, m, &word))
		return refused(c, "joint_state", "what is said of it cannot be read.");
	TRY(release_joint_get(c, coop, id, &j));
	if (!str_eq(j.partner, m->from))
		return refused(c, "joint_state", "it is made with another co-op.");
	TRY(peer_get(c, coop, m->peer, &peer));
	TRY(peer_keys(c, &peer, &chain));
	word.keys = chain.text;
	if (!leads_there(&peer, word.url))
		word.url = STR_NONE;
	return release_joint_hear(c, coop, id, &word);
}

/* ---- telling ---- */

static void write_bytes(struct json_writer *w, struct arena *a, const char *key, struct str bytes)
{
	if (bytes.p)
		jw_kstr(w, key, str_base64(a, bytes.p, bytes.n));
}

static void write_text(struct json_writer *w, const char *key, struct str text)
{
	if (text.p)
		jw_kstr(w, key, text);
}

static void write_digest(struct json_writer *w, struct arena *a, const char *key, struct sha256 digest)
{
	if (!sha256_eq(digest, (struct sha256){ { 0 } }))
		jw_kstr(w, key, sha256_hex(a, digest));
}

static struct str word_json(struct call *c, const struct joint *joint, const struct joint_word *word)
{
	struct arena *a = c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, MESSAGE_MAX / 2);
	jw_init(&w, &b);
	jw_object(&w);
	if (word->ballot.p) {
		jw_key(&w, "ballot");
		jw_raw(&w, word->ballot);
	}
	write_text(&w, "differs", word->differs.p ? str_utf8_head(word->differs, 1900) : STR_NONE);
	if (word->final)
		jw_kbool(&w, "final", true);
	jw_kstr(&w, "joint", uuid_format(a, joint->j.id));
	write_bytes(&w, a, "leaves", word->leaves);
	write_digest(&w, a, "leaves_sha256", word->leaves_sha256);
	write_text(&w, "manifest", word->manifest);
	write_digest(&w, a, "manifest_sha256", word->manifest_sha256);
	write_bytes(&w, a, "set", word->set);
	write_bytes(&w, a, "signature", word->signature);
	jw_kz(&w, "state", joint_state_name(word->state));
	if (joint->j.maker) {
		write_text(&w, "url", joint->url);
		write_text(&w, "version", word->version);
	}
	write_text(&w, "why", word->why);
	write_bytes(&w, a, "without", word->without);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err tell(struct call *c, struct uuid coop, struct uuid release)
{
	struct release r;
	struct joint joint;
	struct joint_word word;
	struct peer peer;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_get(c, coop, release, &r));
	TRY(joint_get(c, coop, r.joint, &joint));
	TRY(release_joint_word(c, &joint.j, &word));
	TRY(peer_by_name(c, coop, joint.j.partner, &peer));
	TRY(message_send(c, coop, peer.id, "joint.state", uuid_format(c->arena, joint.j.id), word_json(c, &joint, &word)));
	return db_commit(c);
}

/* ---- ending ---- */

enum err joint_withdraw(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct joint *out)
{
	struct release_joint j;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(call_check_text(c, "/reason", reason, 1, 500));
	TRY(release_joint_take(c, coop, id, &j));
	TRY(release_joint_end(c, &j, reason, true));
	TRY(joint_get(c, coop, id, out));
	return db_commit(c);
}

enum err joint_narrow(struct call *c, struct uuid coop, struct uuid id, struct joint *out)
{
	struct release_joint j;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(release_joint_take(c, coop, id, &j));
	TRY(release_joint_narrow(c, &j));
	TRY(joint_get(c, coop, id, out));
	return db_commit(c);
}

/* What is not published yet is not made any more under an agreement that is suspended or over. */
static enum err end_unpublished(struct call *c, struct uuid coop, struct uuid agreement)
{
	struct release_joint *rows;
	struct agreement g;
	struct release r;
	size_t n;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(agreement_get(c, coop, agreement, &g));
	TRY(release_joint_list(c, coop, &rows, &n));
	for (size_t i = 0; i < n && !agreement_flows(&g); i++) {
		if (!uuid_eq(rows[i].agreement, agreement))
			continue;
		TRY(release_get(c, coop, rows[i].release, &r));
		if (joint_state_of(r.state) <= JOINT_PASSED)
			TRY(release_joint_end(c, &rows[i], STR("The agreement that it was to be made under is not in effect any more."), false));
	}
	return db_commit(c);
}

/* ---- jobs ---- */

static enum err job_tell(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "release", &coop, &id));
	return tell(c, coop, id);
}

static enum err job_sign(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct release r;
	TRY(job_args_read(c, args, "release", &coop, &id));
	TRY(release_read(c, coop, id, &r));
	return release_joint_sign(c, coop, r.joint);
}

static enum err job_seal(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct release r;
	TRY(job_args_read(c, args, "release", &coop, &id));
	TRY(release_read(c, coop, id, &r));
	return release_joint_seal(c, coop, r.joint);
}

static enum err job_ended(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "agreement", &coop, &id));
	return end_unpublished(c, coop, id);
}

const struct job_kind joint_jobs[] = {
	{ "joint.tell", job_tell, 20, 120 },
	{ "joint.sign", job_sign, 20, 900 },
	{ "joint.seal", job_seal, 20, 120 },
	{ "joint.fetch", joint_fetch_job, 20, 900 },
	{ "joint.ended", job_ended, 20, 120 },
	JOB_TABLE_END,
};
