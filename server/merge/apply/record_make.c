/* record_make.c - one line of a bundle's records made ready for the pool. Pure; runs on any thread. */
#include "server/merge/merge_internal.h"

#include "commonhold/contribution.h"

/* The record as somebody here would submit it. Its facts follow as they are: one that is called like what stands before them is two members of a name, and no JSON. */
static struct str submission_of(struct arena *scratch, const struct bundle_record *r)
{
	bool said = r->lang.n && !str_is(r->lang, "und"), facts = r->facts.n > 2;
	return str_cat(scratch, STR("{\"kind\":\""), str_of(contribution_kind_word(r->kind)), said ? STR("\",\"lang\":\"") : STR(""), said ? r->lang : STR(""), STR("\",\"licence\":\""),
		str_of(policy_licence_get(r->licence)->spdx), STR("\",\"content\":"), r->content, facts ? STR(",") : STR(""), facts ? str_sub(r->facts, 1, r->facts.n - 1) : STR("}"));
}

static enum err check_scope(const struct applying *a, const struct bundle_record *r, struct error *e)
{
	const struct agreement_terms *t = &a->agreement.terms;
	if (!(t->kinds >> r->kind & 1))
		return error_set(e, ERR_REFUSED, "The agreement lets no records of this kind through.");
	if (r->licence >= POLICY_LICENCE_MAX || !(t->licences >> r->licence & 1))
		return error_set(e, ERR_REFUSED, "The agreement lets no records under this licence through.");
	return ERR_OK;
}

enum err record_make(const struct applying *a, struct arena *keep, struct arena *scratch, struct str line, struct record_made *out, struct error *e)
{
	const struct json *submission;
	struct bundle_record *r = &out->record;
	TRY(bundle_record_read(scratch, line, r, e));
	TRY(check_scope(a, r, e));
	out->home = apply_home(a, r->home);
	if (out->home < 0)
		return error_set(e, ERR_REFUSED, "The bundle does not list the home of this record.");
	TRY(json_parse(scratch, submission_of(scratch, r), &submission, e));
	struct foreign *f = &out->foreign;
	*f = (struct foreign){
		.home = (unsigned)out->home, .id = r->id, .lang = r->lang.n ? r->lang : STR("und"), .at = r->at, .leaf = r->leaf, .content = r->content, .facts = r->facts,
	};
	memcpy(f->salt, r->salt, sizeof(f->salt));
	struct foreign_rules rules = a->rules;
	rules.moderates |= a->terms[out->home]->moderation_both; /* of what is passed on: where either agreement says so */
	TRY(foreign_prepare(scratch, &rules, submission, f, e));
	out->schema = r->kind == POLICY_KIND_RECORD ? str_copy(keep, json_member_text(json_get(submission, "content"), "schema")) : STR_NONE;
	return ERR_OK;
}

/* ---- Statements ---- */

static bool overlaps(uint8_t a, uint8_t b, uint8_t any)
{
	return a == b || a == any || b == any;
}

/* A person's own denial in general, of what is spoken for them. Denials on single items are the engine's: layer 1 goes before any default. */
static bool denied(const struct guest_words *w, const struct guest_word *spoken)
{
	for (size_t i = 0; i < w->n_said; i++) {
		const struct guest_word *said = &w->said[i];
		if (said->effect == POLICY_EFFECT_DENY && uuid_is_nil(said->item) && said->uses & spoken->uses && (!said->has_kind || (spoken->has_kind && said->kind == spoken->kind))
			&& overlaps(said->purpose, spoken->purpose, POLICY_PURPOSE_ANY) && said->audience == POLICY_AUDIENCE_ANY && said->valid_from == INSTANT_NONE && said->valid_to == INSTANT_NEVER)
			return true;
	}
	return false;
}

enum err words_check(const struct guest_words *words, const struct agreement_terms *terms, struct error *e)
{
	for (size_t i = 0; i < words->n_spoken; i++) {
		const struct guest_word *spoken = &words->spoken_for[i];
		if (spoken->effect == POLICY_EFFECT_DENY)
			continue;
		if (spoken->uses & ~terms->uses)
			return error_set(e, ERR_REFUSED, "It allows a use that the agreement does not have.");
		if (denied(words, spoken))
			return error_set(e, ERR_REFUSED, "It allows in a person's place what that person denies.");
	}
	if (words->consent_expires != INSTANT_NEVER && words->consent_given != INSTANT_NEVER && words->consent_expires < words->consent_given)
		return error_set(e, ERR_REFUSED, "It has a consent that ends before it began.");
	return ERR_OK;
}
