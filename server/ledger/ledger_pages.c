/* The log as a page: what happened in words, with what an auditor needs beside it. */
#include "server/ledger/ledger.h"
#include "server/ledger/log_page.h"

#include "commonhold/routes.h"
#include "commonhold/words.h"

/* What a leaf's type means. A type that is not here is shown as it is. */
static const struct { const char *type, *words; } sentences[] = {
	{ "coop.founded", "The co-op was founded" },
	{ "charter.adopted", "A charter was adopted" },
	{ "motion.proposed", "A member proposed something" },
	{ "motion.seconded", "A member seconded a proposal" },
	{ "motion.withdrawn", "A proposal was withdrawn" },
	{ "motion.carried", "A proposal took effect" },
	{ "motion.lost", "A proposal did not pass" },
	{ "motion.outdated", "A proposal was outdated by another" },
	{ "motion.refused", "A proposal passed and could not take effect" },
	{ "control.set", "A collective control was set" },
	{ "control.lifted", "A collective control was lifted" },
	{ "pledge.joined", "A member joined a pledge" },
	{ "pledge.left", "A member took a pledge back" },
	{ "member.applied", "Somebody asked to join" },
	{ "member.admitted", "A member was admitted" },
	{ "member.refused", "A request to join was refused" },
	{ "member.left", "A member left" },
	{ "member.removed", "A member was removed" },
	{ "member.due", "A membership came due for renewal" },
	{ "member.grace", "A membership is past its renewal" },
	{ "member.lapsed", "A membership lapsed" },
	{ "member.renewed", "A membership was renewed" },
	{ "board.said", "An admin said what the board should say" },
	{ "delegation.made", "A member delegated a decision" },
	{ "delegation.accepted", "A member accepted to decide for another" },
	{ "delegation.declined", "A member declined to decide for another" },
	{ "delegation.revoked", "A member took a delegation back" },
	{ "delegation.confirmed", "A member confirmed a delegation" },
	{ "delegation.ended", "Delegations ran out" },
	{ "statement.made", "A member stated their choices" },
	{ "contribution.made", "A contribution was received" },
	{ "contribution.moderated", "A moderator decided on a contribution" },
	{ "ballot.announced", "A ballot was announced" },
	{ "ballot.opened", "A ballot opened" },
	{ "vote.cast", "A vote was cast" },
	{ "ballot.closed", "A ballot closed" },
	{ "ballot.cancelled", "A ballot was cancelled" },
	{ "release.scheduled", "A release was scheduled" },
	{ "release.frozen", "A release was frozen at its cut-off" },
	{ "release.noticed", "Members were told of a release" },
	{ "release.opened", "The ballot on a release opened" },
	{ "release.passed", "A release passed its ballot" },
	{ "release.failed", "A release was stopped" },
	{ "release.cooling_off", "A release is cooling off" },
	{ "release.building", "A release is being built" },
	{ "release.published", "A release was published" },
	{ "release.superseded", "A release was superseded" },
	{ "release.withdrawn", "A release was withdrawn" },
	{ "release.redacting", "A release is being made again without what was erased" },
	{ "release.joined", "A release made with another co-op was published there" },
	{ "release.left", "A release made with another co-op was withdrawn" },
	{ "agreement.drafted", "An agreement with another co-op was drafted" },
	{ "agreement.proposed", "An agreement with another co-op was proposed" },
	{ "agreement.voting", "The ballot on an agreement was announced" },
	{ "agreement.passed", "An agreement passed its ballot" },
	{ "agreement.signed", "This co-op’s assent to an agreement was signed" },
	{ "agreement.in_effect", "An agreement came into effect" },
	{ "agreement.suspended", "An agreement was suspended" },
	{ "agreement.ending", "Notice was given of an agreement’s end" },
	{ "agreement.ended", "An agreement ended" },
	{ "agreement.rejected", "An agreement was declined" },
	{ "agreement.withdrawn", "An agreement was taken back" },
	{ "agreement.expired", "An agreement was not signed in time" },
	{ "agreement.renewed", "An agreement was renewed" },
	{ "bundle.made", "A bundle was made for another co-op" },
	{ "release.cleared", "The data of a withdrawn release were deleted" },
	{ "deletion.received", "Somebody asked for a deletion for a member, who has to confirm it" },
	{ "deletion.verified", "Somebody claimed that an item is about them" },
	{ "deletion.effective", "A request for deletion counts" },
	{ "deletion.purged", "What was asked to be deleted is gone here" },
	{ "deletion.propagating", "Recipients were told of a deletion" },
	{ "deletion.completed", "A request for deletion was completed" },
	{ "deletion.denied", "A request for deletion was denied" },
	{ "deletion.denial_final", "The time to appeal against a denial is over" },
	{ "deletion.cancelled", "A request for deletion was taken back" },
	{ "deletion.extended", "More time was taken for a request for deletion" },
	{ "deletion.appealed", "A denial goes to a ballot" },
	{ "deletion.appeal_failed", "The members left a denial as it is" },
	{ "deletion.released", "What the law had kept was deleted" },
	{ "deletion.agent_authorised", "A member let somebody ask for deletions for them" },
	{ "deletion.agent_ended", "Somebody may no longer ask for deletions for a member" },
	{ "hold.placed", "The law makes the co-op keep something that is in nothing" },
	{ "hold.lifted", "The law no longer makes the co-op keep something" },
	{ "tombstones.sealed", "The log took in what tombstones there are" },
	{ "release.expired", "A release expired" },
	{ "release.cancelled", "A release was cancelled" },
	{ "release.decided", "It was decided what a release holds" },
	{ "consent.given", "A member gave consent" },
	{ "consent.withdrawn", "A member withdrew consent" },
	{ "licence.chosen", "A member chose a licence" },
	{ "admin.added", "A member became an admin" },
	{ "admin.removed", "A member is admin no longer" },
	{ "access.asked", "Somebody asked for access" },
	{ "access.granted", "Access was granted" },
	{ "access.refused", "Access was refused" },
	{ "access.revoked", "Access was revoked" },
	{ "mirror.registered", "A mirror was registered" },
	{ "mirror.suspended", "A mirror was suspended" },
	{ "mirror.resumed", "A mirror was taken up again" },
	{ "mirror.ended", "A mirror was ended" },
	{ "deletion.receipt", "A recipient confirmed deletions" },
	{ "deletion.overdue", "A deletion was not confirmed in time" },
};

static struct str words_of(struct str type)
{
	for (size_t i = 0; i < CH_LEN(sentences); i++)
		if (str_is(type, sentences[i].type))
			return str_of(sentences[i].words);
	return type;
}

static void write_entry(struct json_writer *w, struct arena *a, const struct log_entry *e)
{
	jw_object(w);
	jw_kint(w, "index", e->index);
	jw_kstr(w, "line", words_count(a, e->index));
	jw_kstr(w, "at", words_minute(a, e->at));
	jw_kstr(w, "at_iso", clock_format(a, e->at));
	jw_kstr(w, "words", words_of(e->type));
	jw_kstr(w, "type", e->type);
	jw_kstr(w, "entry", e->entry);
	jw_kstr(w, "hash", sha256_hex(a, e->hash));
	jw_end_object(w);
}

static enum err log_page(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct log_page page;
	struct buf b;
	TRY(log_page_read(rq, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &page));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Log");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kint(&w, "size", page.size);
	jw_kstr(&w, "root", sha256_hex(a, page.root));
	jw_kstr(&w, "origin", page.origin);
	jw_kstr(&w, "verifier_key", page.verifier_key);
	jw_kstr(&w, "next", page.next);
	jw_kbool(&w, "any", page.n > 0);
	jw_key(&w, "entries");
	jw_array(&w);
	for (size_t i = 0; i < page.n; i++)
		write_entry(&w, a, &page.entries[i]);
	jw_end_array(&w);
	return page_end(rq, rs, "page/log", &b, &w, ERR_OK);
}

const struct route ledger_page_routes[] = {
	{ "GET", "/coops/{coop}/log", "page_log", PERM_OPTIONAL, 0, NULL, "text/html", 200, log_page, "What the co-op has done, for everybody to check", 0, "cursor" },
	ROUTE_TABLE_END,
};
