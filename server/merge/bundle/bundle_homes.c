/* The homes of records that a partner passes on: that they let it, that the keys and the head of their log are theirs, and that nothing that is known contradicts that. Pure. */
#include "bundle_internal.h"

#include "commonhold/json.h"
#include "server/merge/agreement/agreement_internal.h"

int64_t bundle_note_size(struct str note)
{
	struct str rest = note, line;
	int64_t size = 0;
	return str_split(&rest, '\n', &line) && str_split(&rest, '\n', &line) && str_to_i64(line, 0, INT64_MAX, &size) ? size : 0;
}

bool bundle_assent_is(struct arena *a, const struct keychain *keys, struct str envelope, struct str coop, struct sha256 agreement)
{
	struct error why = { 0 };
	struct str payload;
	const struct json *said;
	size_t which;
	instant at;
	return keychain_dsse_verify(a, keys, envelope, STR(ASSENT_TYPE), &payload, &which, &why) == ERR_OK && json_parse(a, payload, &said, &why) == ERR_OK &&
		str_eq(json_member_text(said, "coop"), coop) && str_eq(json_member_text(said, "agreement"), sha256_hex(a, agreement)) && clock_parse(json_member_text(said, "at"), &at) &&
		keychain_in_force(keys, which, at, at);
}

static const struct bundle_known *known_of(const struct bundle_expected *x, struct str home)
{
	for (size_t i = 0; i < x->n_homes; i++)
		if (str_eq(x->homes[i].home, home))
			return &x->homes[i];
	return NULL;
}

static enum err check_keys(struct bundle_home *h, const struct bundle_known *known, struct error *e)
{
	if (!known || !known->keys.n)
		return ERR_OK;
	if (!keychain_continues(&h->keys, &known->keys) && !keychain_continues(&known->keys, &h->keys))
		return bundle_refuse(e, BUNDLE_REASON_KEYS, "The keys of %.*s are others than those that are known here.", STR_ARG(h->home));
	if (known->keys.n > h->keys.n)
		h->keys = known->keys;
	return ERR_OK;
}

/* The home lets the sender pass on what it gives: by an agreement between the two, which it has signed, and which counts now. */
static enum err check_agreement(struct arena *a, const struct bundle *b, const struct bundle_expected *x, struct bundle_home *h, struct error *e)
{
	struct error why = { 0 };
	struct agreement_terms *t = ARENA_NEW(a, struct agreement_terms);
	if (agreement_terms_parse(a, h->document, t, &why) != ERR_OK)
		return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "What %.*s agreed to with the sender is no agreement.", STR_ARG(h->home));
	bool theirs = (str_eq(t->parties[0], h->home) && str_eq(t->parties[1], b->from)) || (str_eq(t->parties[1], h->home) && str_eq(t->parties[0], b->from));
	if (!theirs || !t->onward || !agreement_has_flow_from(t, h->home) || x->now < t->starts || x->now >= t->ends)
		return bundle_refuse(e, BUNDLE_REASON_OUTSIDE, "%.*s does not let the sender pass its records on.", STR_ARG(h->home));
	if (!bundle_assent_is(a, &h->keys, h->assent, h->home, t->digest))
		return bundle_refuse(e, BUNDLE_REASON_SIGNATURE, "%.*s has not signed the agreement that would let the sender pass its records on.", STR_ARG(h->home));
	h->terms = t;
	return ERR_OK;
}

static enum err check_head(struct arena *a, struct bundle_home *h, const struct bundle_known *known, struct error *e)
{
	struct error why = { 0 };
	uint64_t size;
	if (keychain_checkpoint_verify(a, &h->keys, h->checkpoint, h->origin, &size, &h->root, &why) != ERR_OK)
		return bundle_refuse(e, BUNDLE_REASON_SIGNATURE, "The checkpoint of %.*s is not theirs.", STR_ARG(h->home));
	h->size = (int64_t)size;
	if (known && h->size < known->shown)
		return bundle_refuse(e, BUNDLE_REASON_ROLLBACK, "It shows an older log of %.*s than it did before.", STR_ARG(h->home));
	for (size_t i = 0; known && i < known->n_heads && !h->contradicts.p; i++)
		if (known->heads[i].size == h->size && !sha256_eq(known->heads[i].root, h->root))
			h->contradicts = known->heads[i].checkpoint;
	return ERR_OK;
}

enum err bundle_home_check(struct arena *a, const struct bundle *b, const struct bundle_expected *x, struct bundle_home *h, struct error *e)
{
	const struct bundle_known *known = known_of(x, h->home);
	h->contradicts = STR_NONE;
	h->ours = str_eq(h->home, x->us);
	if (str_eq(h->home, b->from) || !x->onward)
		return bundle_refuse(e, BUNDLE_REASON_OUTSIDE, "It speaks for %.*s, which it may not.", STR_ARG(h->home));
	if (h->ours)
		return ERR_OK; /* nobody tells us of ourselves: it is passed over */
	if (known && known->why_not.p)
		return bundle_refuse(e, BUNDLE_REASON_STRANGER, "%.*s: %.*s", STR_ARG(h->home), STR_ARG(known->why_not));
	TRY(check_keys(h, known, e));
	TRY(check_agreement(a, b, x, h, e));
	return check_head(a, h, known, e);
}
