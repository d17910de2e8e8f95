#include "agreement_internal.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/ledger.h"

/* Charters between co-ops: one signs what is in force, the other checks whose it is and lays the two side by side. */

#define ENVELOPE_MAX MESSAGE_MAX
#define CHARTER_AGE CLOCK_DAY /* an older word says nothing about what is in force */

static struct str payload_of(struct arena *a, const struct coop *coop, const struct charter *charter)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_CHARTER_FILLED + 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, clock_now_whole(CLOCK_SECOND)));
	jw_key(&w, "charter");
	jw_raw(&w, charter->document);
	jw_kstr(&w, "coop", coop->key_name);
	jw_kstr(&w, "sha256", sha256_hex(a, charter->digest));
	jw_kint(&w, "v", 1);
	jw_kint(&w, "version", charter->version);
	jw_end_object(&w);
	return buf_take(a, &b);
}

enum err charter_exchange_write(struct call *c, struct uuid id, struct str *envelope)
{
	struct coop coop;
	struct charter charter;
	struct sign_key key;
	TRY(db_begin_in(c, id, DB_READ));
	TRY(coop_get(c, id, &coop));
	TRY(charter_current(c, id, &charter));
	struct str payload = payload_of(c->arena, &coop, &charter);
	if (!payload.p)
		return fail(c, ERR_TOO_LARGE, "The charter is too large to be sent.");
	TRY(ledger_key(c, id, &key));
	*envelope = dsse_sign(c->arena, &key, 1, STR(CHARTER_EXCHANGE_TYPE), payload);
	secret_wipe(&key, sizeof(key));
	return db_commit(c);
}

/* What one reads in an answer that is none of ours. */
static enum err no_charter(struct call *c, const char *why)
{
	return fail_reason(c, ERR_REFUSED, "charter_untrusted", "The other co-op’s charter was not taken: %s", why);
}

static enum err read_envelope(struct call *c, const struct peer *peer, const struct keychain *chain, struct str envelope, struct charter *out)
{
	const struct json *said;
	struct error why = { 0 };
	struct sha256 digest;
	struct str payload;
	struct buf b;
	instant at;
	size_t which;
	if (keychain_dsse_verify(c->arena, chain, envelope, STR(CHARTER_EXCHANGE_TYPE), &payload, &which, &why) != ERR_OK || which != chain->n - 1)
		return no_charter(c, "it is not signed with the key that is known of that co-op. Refresh the peer, and try again.");
	TRY(json_parse(c->arena, payload, &said, &c->error));
	if (!str_eq(json_member_text(said, "coop"), peer->name))
		return no_charter(c, "it is another co-op’s.");
	if (!clock_parse(json_member_text(said, "at"), &at) || at < clock_now() - CHARTER_AGE || at > clock_now() + MESSAGE_AHEAD)
		return no_charter(c, "it was not signed within the last day.");
	if (!json_is(json_get(said, "charter"), JSON_OBJECT) || !sha256_parse(json_member_text(said, "sha256"), &digest))
		return no_charter(c, "there is no charter in it.");
	buf_init(&b, LIMIT_CHARTER_FILLED);
	json_canonical(&b, json_get(said, "charter"), false);
	struct str document = buf_take(c->arena, &b);
	if (!document.p || !sha256_eq(sha256(document), digest))
		return no_charter(c, "it does not match its digest.");
	TRY(charter_parse(c->arena, document, out, &c->error));
	out->version = (int)json_int(json_get(said, "version"), 0);
	return out->version >= 1 ? ERR_OK : no_charter(c, "it says no version.");
}

static enum err ask(struct call *c, const struct peer *peer, struct str *envelope)
{
	struct fetch_answer answer;
	bool loose = config()->allow_private_on;
	if (!peer->url.n)
		return fail_reason(c, ERR_REFUSED, "peer_without_address", "That co-op is known from a file alone: bring its signed charter along.");
	struct str name = peer->slug.n ? peer->slug : peer->name;
	struct fetch_request request = { .url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/merge/charter", STR_ARG(peer->url), STR_ARG(name)), .max_bytes = (int64_t)ENVELOPE_MAX,
		.allow_private = loose, .allow_http = loose };
	TRY(fetch(NULL, c->arena, &request, &answer, &c->error));
	if (answer.status != 200)
		return fail_reason(c, ERR_UNAVAILABLE, "peer_answer", "The other co-op’s instance answered %ld when it was asked for its charter.", answer.status);
	*envelope = answer.body;
	return ERR_OK;
}

/* Of a co-op of this instance: nobody has to be believed. */
static enum err look_here(struct call *c, struct uuid coop, struct uuid here, struct charter *out)
{
	TRY(charter_view(c, here, 0, out));
	return db_enter_coop(c, coop);
}

enum err charter_exchange_read(struct call *c, struct uuid coop, struct uuid peer_id, struct str envelope, struct peer *peer, struct charter *out)
{
	struct keychain chain;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(peer_get(c, coop, peer_id, peer));
	TRY(peer_keys(c, peer, &chain));
	TRY(db_commit(c));
	if (!uuid_is_nil(peer->here))
		return look_here(c, coop, peer->here, out);
	if (!envelope.n)
		TRY(ask(c, peer, &envelope));
	return read_envelope(c, peer, &chain, envelope, out);
}

enum err terms_diff_with_peer(struct call *c, struct uuid coop, struct uuid peer_id, struct str envelope, struct charter *ours, struct charter *theirs, struct terms_diff *out)
{
	struct peer peer;
	TRY(charter_exchange_read(c, coop, peer_id, envelope, &peer, theirs));
	TRY(charter_view(c, coop, 0, ours));
	return terms_diff(c->arena, ours, theirs, out, &c->error);
}

enum err terms_diff_with_document(struct call *c, struct uuid coop, const struct json *document, struct charter *ours, struct charter *theirs, struct terms_diff *out)
{
	struct str canonical;
	TRY(charter_check(c->arena, document, &canonical, &c->error));
	TRY(charter_parse(c->arena, canonical, theirs, &c->error));
	TRY(charter_view(c, coop, 0, ours));
	return terms_diff(c->arena, ours, theirs, out, &c->error);
}
