/* The document of a joint release: what is left of two charters and an agreement, the same whoever writes it. Pure. */
#include "server/merge/preview/preview_internal.h"

#include "commonhold/json.h"

static void *arena_get(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static const char *licence_name(unsigned licence)
{
	return policy_licence_get(licence)->spdx;
}

static const char *audience_of(int access, unsigned audience)
{
	/* the narrower of the two is the lower number */
	return policy_audience_name(access > 0 && (unsigned)access < audience ? (unsigned)access : audience);
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Licences that a row may have, or an output: the agreement says which are exchanged, the charters which come out. */
static uint32_t outputs_of(const struct agreement_terms *t, const struct policy_spec *merged)
{
	const uint32_t all = (1u << POLICY_LICENCE_COUNT) - 2;
	uint32_t outputs = merged->outputs ? merged->outputs : all;
	return t->licence_mode == POLICY_ADAPTATION ? outputs & POLICY_OUTPUTS_ALL : outputs & (uint32_t)t->licences;
}

static void write_charters(struct json_writer *w, struct arena *a, const struct agreement_terms *t, const struct charter *const charters[2])
{
	jw_key(w, "charters");
	jw_array(w);
	for (int i = 0; i < 2; i++) {
		jw_object(w);
		jw_kstr(w, "coop", t->parties[i]);
		jw_kstr(w, "digest", sha256_hex(a, charters[i]->digest));
		jw_kstr(w, "name", charters[i]->name);
		jw_kint(w, "version", charters[i]->version);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_rules(struct json_writer *w, const struct agreement_terms *t, const struct policy_spec *merged)
{
	jw_kint(w, "embargo", (t->embargo > merged->embargo ? t->embargo : merged->embargo) / CLOCK_SECOND);
	jw_kint(w, "k", most(t->k, merged->k_contributors));
	jw_knames(w, "kinds", merged->kinds & t->kinds, POLICY_KIND_COUNT, policy_kind_name);
	jw_kz(w, "licence_mode", t->licence_mode == POLICY_ADAPTATION ? "adaptation" : "collection");
	jw_kstr(w, "maker", t->joint);
	jw_knames(w, "outputs", outputs_of(t, merged), POLICY_LICENCE_COUNT, licence_name);
	jw_knames(w, "purposes", t->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	int64_t retention = t->retention && (merged->retention == 0 || t->retention < merged->retention) ? t->retention : merged->retention;
	jw_kint(w, "retention", retention / CLOCK_SECOND);
	jw_knames(w, "uses", merged->uses & policy_uses_expand(t->uses) & ~t->floor, POLICY_USE_COUNT, policy_use_name);
	jw_knames(w, "uses_conditional", merged->uses_conditional & t->uses, POLICY_USE_COUNT, policy_use_name);
}

enum err joint_document(struct arena *a, const struct agreement_terms *t, const struct charter *const charters[2], const struct joint_when *when, struct str *out, struct error *e)
{
	struct policy_mem mem = { arena_get, a };
	struct policy_spec first, second, merged;
	struct buf b;
	struct json_writer w;
	const struct json *tree;
	release_rules(charters[0], when->cutoff, &first);
	release_rules(charters[1], when->cutoff, &second);
	if (policy_spec_merge(&first, &second, &mem, &merged) != POLICY_OK)
		return error_set(e, ERR_REFUSED, "The rules of the two charters are too many to be taken together.");
	buf_init(&b, LIMIT_CHARTER_FILLED);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(a, t->digest));
	jw_kz(&w, "audience", audience_of(t->audience, merged.audience));
	write_charters(&w, a, t, charters);
	if (!uuid_is_nil(when->id)) {
		jw_kstr(&w, "cutoff", clock_format(a, when->cutoff));
		jw_kstr(&w, "id", uuid_format(a, when->id));
		jw_kstr(&w, "seed", sha256_hex(a, when->seed));
	}
	write_rules(&w, t, &merged);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	TRY(json_parse(a, buf_take(a, &b), &tree, e));
	buf_init(&b, LIMIT_CHARTER_FILLED);
	json_canonical(&b, tree, false);
	*out = buf_take(a, &b);
	return out->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The document of the joint release is too large.");
}
