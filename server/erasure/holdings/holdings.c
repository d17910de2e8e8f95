/* holdings.c - the one table of what is held about people. tests/unit/test_holdings.c holds it against the databases' catalogues. */
#include "commonhold/holdings.h"

#define CONTRACT "contract: the account that was asked for (GDPR Art. 6(1)(b))"
#define CONSENT "consent of the member (Art. 6(1)(a))"
#define SAFETY "legitimate interest: the account's safety (Art. 6(1)(f))"
#define PROOF "legal duty: to be able to show consent and what was done with it (Art. 7(1), 5(2))"
#define TALLY "legitimate interest: votes can be counted again (Art. 6(1)(f))"
#define DUTY "legal duty: recipients are told of deletions and named on request (Art. 19)"
#define BOOKS "legal duty: accounts of money"

#define UNTIL_ACCOUNT "until the account is erased"
#define UNTIL_ITEM "retention.raw of the charter, or until it is erased"
#define FOR_EVER_NUMBER "with the co-op; of an erased account under a number that leads to nobody"

#define SECRET "a secret or its digest: it would open what it guards"
#define A_MARK "a keyed digest: it says nothing to anybody without the instance's key"

#define D HOLDING_DELETED, NULL
#define NUMBER HOLDING_PSEUDONYMOUS, "the count must come out the same again; nothing leads from the number to the person"

/* By table; a table whose columns go different ways has several rows. */
#define GUEST_GROUND "consent, given at their home (Art. 6(1)(a))"
#define GUEST_UNTIL "until their home takes it back, or the agreement's retention"
#define GUEST_ASKS_HOME "guests have no account here: their home hands over what it holds, and shows what it passed on"
static const struct holding table[] = {
	/* The account and how one signs in. */
	{ "account", "id email name locale created_at closed_at email_verified_at", "who one is on this instance: address, name, language", CONTRACT, UNTIL_ACCOUNT, "account.jsonl", NULL, D },
	{ "account", "password_hash", "a digest of the password", CONTRACT, UNTIL_ACCOUNT, NULL, SECRET, D },
	{ "account_browser", "account_id agent_sha256 first_seen_at", "kinds of browser that one signed in with", SAFETY, UNTIL_ACCOUNT, "sign-in.jsonl", NULL, D },
	{ "account_factor", "account_id secret last_step created_at confirmed_at", "the second factor", SAFETY, "until it is switched off", "sign-in.jsonl", NULL, D },
	{ "recovery_code", "account_id code_hash created_at used_at", "codes for when the second factor is lost", SAFETY, "until it is switched off", NULL, SECRET, D },
	{ "account_identity", "account_id issuer subject email linked_at used_at", "who one is at other providers", CONTRACT, "until the link is ended", "sign-in.jsonl", NULL, D },
	{ "session", "account_id secret_hash created_at seen_at expires_at agent how factor", "browsers that are signed in", CONTRACT, "30 days, or until one signs out", "sign-in.jsonl", NULL, D },
	{ "token", "account_id name secret_hash created_at expires_at used_at revoked_at", "personal tokens for programs", CONTRACT, "90 days after they end", "sign-in.jsonl", NULL, D },
	{ "sign_in_link", "account_id email secret_hash browser_hash agent created_at expires_at used_at", "links that were mailed to sign in with", SAFETY, "7 days after they end", "sign-in.jsonl", NULL, D },
	{ "sign_in_challenge", "account_id secret_hash how created_at expires_at", "sign-ins between two steps", SAFETY, "10 minutes", NULL, SECRET, D },
	{ "oidc_flow", "account_id browser_hash next nonce verifier state_hash", "sign-ins under way at another provider", SAFETY, "a day after they end", NULL, SECRET, D },
	{ "sign_in_delay", "bucket", "tries to sign in, by address and network", SAFETY, "2 days after the last try", NULL, A_MARK, HOLDING_KEPT, "it goes by itself in two days, and the digest leads to nobody" },
	{ "rate_limit", "bucket", "requests in a minute, by account or address", SAFETY, "10 minutes", NULL, A_MARK, HOLDING_KEPT, "it goes by itself in ten minutes" },
	{ "idempotency", "actor key route request_hash status headers body", "answers that are repeated when a request is sent again", CONTRACT, "a day", NULL, "copies of answers that the person was given", D },
	{ "archive_taken", "account_id about_coop at", "when one took an archive", SAFETY, "90 days", "sign-in.jsonl", NULL, D },
	/* What one is told. */
	{ "notice", "account_id about_coop kind topic key data mail digest_id at read_at", "notices in one's inbox; others' may name a member", CONTRACT, "2 years", "notices.jsonl", NULL, D },
	{ "notice_setting", "account_id topic how set_at", "how one wants to be told", CONTRACT, UNTIL_ACCOUNT, "settings.jsonl", NULL, D },
	{ "calendar_feed", "account_id secret_hash made_at", "the secret address of one's calendar", CONTRACT, "until it is ended", "settings.jsonl", NULL, D },
	{ "mail", "account_id notice_id about_coop sealed address_hash said", "mail that went out", CONTRACT, "90 days after it is settled; its content until it is sent", "notices.jsonl", NULL, D },
	{ "mail_trouble", "address_hash said", "addresses that refused mail", "legitimate interest: not to send again what bounces (Art. 6(1)(f))", "a year after the last refusal", NULL, A_MARK, D },
	/* Memberships and what one said. */
	{ "membership", "account_id pseudonym public_name", "in which co-ops one is, and under which names", CONTRACT, UNTIL_ACCOUNT, "membership.jsonl", NULL, HOLDING_EMPTIED, "the row stays with its number: votes and shares are counted by it" },
	{ "membership", "id number state is_admin applied_at joined_at due_at attribution contributed cycle checked_at", "one's membership", CONTRACT, FOR_EVER_NUMBER, "membership.jsonl", NULL, NUMBER },
	{ "membership_event", "member_id by_account reason from_state to_state is_admin at", "every change of a membership", PROOF, FOR_EVER_NUMBER, "membership.jsonl", NULL, NUMBER },
	{ "invitation", "email_sha256 invited_by at used_at", "invitations: a digest of the address", CONTRACT, "until the account is erased", "membership.jsonl", NULL, D },
	{ "consent", "member_id state purposes notice defaults at expires_at salt", "what one consented to", PROOF, FOR_EVER_NUMBER, "consents.jsonl", NULL, NUMBER },
	{ "statement", "member_id declared_by item_id uses effect duties verbatim declared_at salt", "what one said about uses", PROOF, FOR_EVER_NUMBER "; on an item until that is erased", "statements.jsonl", NULL, NUMBER },
	{ "licence_choice", "member_id licence at", "licences that one chose", PROOF, FOR_EVER_NUMBER, "licences.jsonl", NULL, NUMBER },
	{ "reminder", "member_id cycle step due_at at outcome", "reminders of checkups", PROOF, FOR_EVER_NUMBER, "checkups.jsonl", NULL, NUMBER },
	{ "checkup_demand", "member_id line target_id reason words at", "what one was asked again", PROOF, FOR_EVER_NUMBER, "checkups.jsonl", NULL, NUMBER },
	{ "consent_receipt", "member_id document issued_at sha256 signature", "signed receipts of checkups", PROOF, UNTIL_ACCOUNT, "checkups.jsonl", NULL, D },
	{ "retention_notice", "member_no window_name upto told_at", "that one was told what goes when", PROOF, "a year after it was told", "deletions.jsonl", NULL, NUMBER },
	/* Delegations and votes. */
	{ "delegation", "principal_id principal_no delegate_id delegate_no question scope topics target made_at salt", "whom one lets decide, and for whom one does", TALLY, FOR_EVER_NUMBER, "delegations.jsonl", NULL, NUMBER },
	{ "delegation_event", "delegation_id by_member kind at reason", "what became of delegations", TALLY, FOR_EVER_NUMBER, "delegations.jsonl", NULL, NUMBER },
	{ "delegation_now", "delegation_id principal_no delegate_no state reason", "delegations as they stand", TALLY, FOR_EVER_NUMBER, "delegations.jsonl", NULL, NUMBER },
	{ "board_say", "member_id use effect duties at", "what one said as an admin about uses", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	{ "board_resolution", "member_id member_no choice at", "what one said as an admin on ballots", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	{ "ballot", "proposer_id", "ballots that one brought about", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	{ "ballot_roll", "member_id member_no is_admin", "ballots in which one could vote", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	{ "vote", "member_id member_no on_behalf_of on_behalf_no choice at salt", "how one voted, and what others cast for one", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	{ "ballot_resolution", "member_no decider_no on_behalf choice via reason path", "what became of one's voice", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	{ "motion", "proposer_id title reason document", "what one proposed", TALLY, FOR_EVER_NUMBER, "motions.jsonl", NULL, HOLDING_KEPT, "members voted on these very words; they are the co-op's" },
	{ "motion_event", "member_id event at note", "what one seconded or withdrew", TALLY, FOR_EVER_NUMBER, "motions.jsonl", NULL, NUMBER },
	/* Forks, and accounts in other co-ops. */
	{ "fork_offer", "offered_by title reason place", "forks that one offered", TALLY, FOR_EVER_NUMBER, "forks.jsonl", NULL, HOLDING_KEPT, "members answered these very words; they are the co-op's" },
	{ "fork_answer", "member_id yes claim said_at salt", "whether one goes along with a fork", PROOF, FOR_EVER_NUMBER, "forks.jsonl", NULL, NUMBER },
	{ "fork_word", "member_no line", "what one says, as it is told to a fork that one went along with", PROOF, FOR_EVER_NUMBER, NULL, "the same words as one's own statements, consents and membership", NUMBER },
	{ "fork_moved", "member_id member_no items moved_at", "how many of one's items went along with a fork", PROOF, FOR_EVER_NUMBER, "forks.jsonl", NULL, NUMBER },
	{ "fork_claim", "member_id contributor claimed_at", "that what came from a parent is one's own", PROOF, FOR_EVER_NUMBER, "forks.jsonl", NULL, NUMBER },
	{ "link", "member_id contributor home state made_at", "accounts in other co-ops that one proved to be one's own", CONSENT, "until it is ended; " FOR_EVER_NUMBER, "forks.jsonl", NULL, NUMBER },
	{ "control_pledge", "member_id joined at", "pledges that one joined", TALLY, FOR_EVER_NUMBER, "votes.jsonl", NULL, NUMBER },
	/* Contributions. */
	{ "contribution", "member_id member_no content_sha256 salt findings facts sealed_facts word more lang licence submitted_at", "what one contributed: kind, language, licence, circumstances", CONSENT, UNTIL_ITEM, "items.jsonl", NULL, HOLDING_EMPTIED, "the row stays as a tombstone: its number was taken" },
	{ "contribution_content", "sealed lang", "the content itself, sealed under one's key", CONSENT, UNTIL_ITEM, "contributions.jsonl", NULL, D },
	{ "moderation_decision", "contribution_id by_account decision reason sealed_reason at", "what was decided about an item, and as an admin by whom", CONSENT, FOR_EVER_NUMBER, "items.jsonl", NULL, HOLDING_PSEUDONYMOUS, "that it was decided stays; the reason goes with the item, the admin's account with the account" },
	{ "pool_segment", "ids members words mores hashes shards", "the same columns, packed", CONSENT, UNTIL_ITEM, NULL, "a copy of columns that are in items.jsonl", HOLDING_EMPTIED, "it is packed anew without what was erased" },
	{ "guest", "id number home contributor rev line standing consent purposes consent_given consent_expires name linked_member spoken", "a person of another co-op: a pseudonym that their home made, and what it signed for them", GUEST_GROUND, GUEST_UNTIL, NULL, GUEST_ASKS_HOME, HOLDING_PSEUDONYMOUS, "a guest has no account here; a link to a membership that ends leads to nobody" },
	{ "merge_conflict", "decided_by reason decision", "what one decided as an admin about records that contradict each other", PROOF, FOR_EVER_NUMBER, NULL, "an act of office; what it was about names no person", NUMBER },
	{ "merge_label", "by item_id label value at", "what a guest said about a record, under the pseudonym that their home made", GUEST_GROUND, GUEST_UNTIL, NULL, GUEST_ASKS_HOME, HOLDING_PSEUDONYMOUS, "it goes with the record that it is about" },
	{ "guest_statement", "guest_id layer kind item_id uses purpose audience effect duties declared_at valid_from valid_to external verbatim", "what a guest said about uses of their items", GUEST_GROUND, GUEST_UNTIL, NULL, GUEST_ASKS_HOME, HOLDING_PSEUDONYMOUS, "it is replaced by what their home says next" },
	{ "item_origin", "item_no id member_no member_id licence lang word more salt findings sealed_facts at", "that a guest contributed a content that stands here once", GUEST_GROUND, GUEST_UNTIL, NULL, GUEST_ASKS_HOME, HOLDING_PSEUDONYMOUS, "it goes when their home takes it back" },
	{ "suppression", "mark", "that something was erased and is not to be taken again", DUTY, "with the co-op", NULL, A_MARK, HOLDING_KEPT, "erased content must not come back; without the key the digest says nothing" },
	{ "release_share", "member_no items", "how many of one's items are in a release", PROOF, FOR_EVER_NUMBER, "recipients.jsonl", NULL, NUMBER },
	{ "release_kept", "moved origins", "which other origins a released row names, by its number", PROOF, "with the release", NULL, "the row names them itself", NUMBER },
	{ "release_segment", "codes sets", "the decision on every item, by its number", PROOF, "with the release", NULL, "every item's page, and the API, explain each decision on it", NUMBER },
	/* Money. */
	{ "benefit_share", "member_id weight amount salt", "one's share of what releases earned", BOOKS, FOR_EVER_NUMBER, "benefit.jsonl", NULL, NUMBER },
	{ "benefit_payment", "member_id recorded_by reference amount", "what one was paid, and as an admin recorded", BOOKS, FOR_EVER_NUMBER, "benefit.jsonl", NULL, HOLDING_KEPT, "books are kept as the law says; account and name are taken out" },
	{ "benefit_income", "recorded_by source note", "income that one recorded as an admin", BOOKS, FOR_EVER_NUMBER, "benefit.jsonl", NULL, NUMBER },
	/* Use of releases, by the person as a recipient. */
	{ "access_request", "account_id purpose description organisation terms_sha256 reason decided_by", "what one asked to use releases for", DUTY, FOR_EVER_NUMBER, "access.jsonl", NULL, HOLDING_EMPTIED, "purpose and organisation stay: contributors may ask who got their data" },
	{ "access_grant", "account_id purpose granted_by revoked_by reason", "permissions to download", DUTY, FOR_EVER_NUMBER, "access.jsonl", NULL, HOLDING_PSEUDONYMOUS, "contributors may ask who got their data; the grant ends with the account" },
	{ "access_log", "account_id grant_id release_id path at", "downloads", DUTY, "retention.access_log of the charter", "access.jsonl", NULL, NUMBER },
	{ "access_use", "account_id grant_id first_at last_at", "that one downloaded a release", DUTY, "while deletions may have to reach the copy", "access.jsonl", NULL, NUMBER },
	{ "access_block", "account_id reason since", "that one gets no new grants", DUTY, "until what is owed is confirmed", "access.jsonl", NULL, NUMBER },
	{ "mirror", "account_id name url public_key secret reason", "copies that one answers for", DUTY, FOR_EVER_NUMBER, "access.jsonl", NULL, HOLDING_KEPT, "the copy still holds others' data: it is told of deletions; the account is taken out" },
	{ "duty", "account_id due_at confirmed_at", "deletions that one owes as a recipient", DUTY, FOR_EVER_NUMBER, "access.jsonl", NULL, NUMBER },
	{ "receipt", "account_id models envelope", "deletions that one confirmed as a recipient", DUTY, FOR_EVER_NUMBER, "access.jsonl", NULL, HOLDING_KEPT, "contributors are shown who confirmed; the account is taken out" },
	{ "adapter_target", "confirmed_by credentials", "targets that one set up as an admin", DUTY, FOR_EVER_NUMBER, "access.jsonl", NULL, HOLDING_KEPT, "the copy goes on; the account is taken out" },
	/* Requests for deletion. */
	{ "erasure", "account_id member_id agent_id account_request_id items digest reason_code received_at due_at extended_reason denial_reason", "what one asked to be deleted", PROOF, FOR_EVER_NUMBER, "deletions.jsonl", NULL, HOLDING_PSEUDONYMOUS, "that a request was answered can be shown; nothing leads from it to the person" },
	{ "erasure_claim", "sealed", "what one wrote to show that an item is about oneself", CONSENT, "until the request ends", NULL, "it is sealed; the request's page shows it while it is there", D },
	{ "erasure_event", "by note at", "what happened to a request", PROOF, FOR_EVER_NUMBER, "deletions.jsonl", NULL, NUMBER },
	{ "account_erasure", "account_id proof coops received_at", "that one asked for the whole account to go, and where", PROOF, "with the instance; without the account once it is gone, without the co-ops once all is done", "deletions.jsonl", NULL, NUMBER },
	{ "agent", "member_id account_id kinds since until", "who may ask for deletions in one's place", CONSENT, FOR_EVER_NUMBER, "deletions.jsonl", NULL, NUMBER },
	{ "legal_hold", "contribution_id placed_by lifted_by reason ground", "content that the law makes the co-op keep", "legal duty (Art. 17(3))", "while the hold lasts", "deletions.jsonl", NULL, HOLDING_KEPT, "the law demands it; the admin's account is taken out" },
	{ "withdrawal", "member_no items", "items that are in no release any more", CONSENT, FOR_EVER_NUMBER, "deletions.jsonl", NULL, NUMBER },
	{ "tombstone", "contribution_id reason_code line", "that an item is gone, for those who hold copies", DUTY, "with the co-op", "deletions.jsonl", NULL, HOLDING_KEPT, "whoever holds a copy must learn of it; it names no person" },
	{ "onward_word", "home id reason_code line", "that another co-op's item is gone, as that co-op signed it", DUTY, "with the co-op", NULL, "it is about items that came from another co-op, where the person has their page", HOLDING_KEPT, "an erased item must not come back; it names no person" },
	{ "onward_mark", "mark", "that content was erased and is not to come in again from a partner", DUTY, "with the co-op", NULL, A_MARK, HOLDING_KEPT, "erased content must not come back; without the agreement's key the digest says nothing" },
	{ "derivation", "id home source copied", "what a contribution was made from", CONSENT, UNTIL_ITEM, NULL, "a copy of what stands with the item's circumstances", D },
	{ "bundle_said", "number digest", "that a partner of the co-op was told what one said, as a digest", DUTY, FOR_EVER_NUMBER, NULL, "a digest of what is in statements.jsonl", NUMBER },
	{ "dry_run_member", "member_no items in_alone in_joint at_partner lost", "what an agreement that is thought about would do to one's items, in numbers", PROOF, "until the next dry run of the agreement", NULL, "the agreement's page, and the API, tell each member their own", NUMBER },
	{ "peer", "decided_by", "other co-ops that one confirmed or refused as an admin", TALLY, FOR_EVER_NUMBER, NULL, "the list of peers, and the log, say it", NUMBER },
	/* The rest. */
	{ "coop", "founder_id", "co-ops that one founded", PROOF, FOR_EVER_NUMBER, "membership.jsonl", NULL, NUMBER },
	{ "log_leaf", "entry", "the public log: ids of memberships and salted digests, never content", PROOF, "with the co-op", NULL, "it is public; what it says of one is in the other files", HOLDING_KEPT, "the log only grows; what it says of a person is a number or a digest whose salt is gone" },
	{ "ballot_seal", "secret header", "the key of the commitments to voices in a closed ballot", TALLY, "with the co-op", NULL, "it would open others' voices as well; one's own proof is given on its page", HOLDING_KEPT, "without it nobody could prove how their voice was counted" },
	{ "job", "args last_error", "what the instance has yet to do: ids, never content", CONTRACT, "until it is done", NULL, "it says nothing that is not elsewhere", HOLDING_KEPT, "it goes by itself when the work is done" },
	{ "keys.member_key", "member_id wrapped created_at destroyed_at", "the key that one's contributions are sealed with", CONSENT, "until the membership ends and nothing is left under it", NULL, SECRET, HOLDING_EMPTIED, "a mark that it is destroyed stays, so that no backup brings it back" },
	{ "keys.erased_item", "item_id", "that an item is erased, for when a backup is restored", DUTY, "until the last backup that holds the item has expired", NULL, A_MARK, HOLDING_KEPT, "a restored backup must not bring it back" },
	{ "keys.erased_member", "member_id", "that all of a member's items are erased, for when a backup is restored", DUTY, "until the last backup that holds them has expired", NULL, A_MARK, HOLDING_KEPT, "a restored backup must not bring them back" },
	{ "files:releases", "data", "items in published versions, under the name that one chose", CONSENT, "until the version is withdrawn", "recipients.jsonl", NULL, D },
	{ "files:backups", "content keys", "backups of both databases", "legitimate interest: nothing is lost (Art. 6(1)(f))", "retention.backups of the charter", NULL, "copies of what is in the archive", HOLDING_KEPT, "they expire by themselves; without the key their content is unreadable" },
};

const char *holding_end_name(unsigned end)
{
	static const char *const names[HOLDING_END_COUNT] = { "deleted", "emptied", "pseudonymous", "kept" };
	return end < HOLDING_END_COUNT ? names[end] : "";
}

bool holding_at(size_t i, struct holding *out)
{
	if (i >= CH_LEN(table))
		return false;
	*out = table[i];
	return true;
}

/* Whether a list of words by spaces has one. */
static bool has_word(const char *words, struct str word)
{
	struct str rest = str_of(words);
	while (rest.n) {
		ptrdiff_t space = str_index(rest, ' ');
		size_t n = space < 0 ? rest.n : (size_t)space;
		if (str_eq(str_sub(rest, 0, n), word))
			return true;
		rest = str_sub(rest, space < 0 ? n : n + 1, rest.n);
	}
	return false;
}

const struct holding *holding_of(struct str table_name, struct str column)
{
	for (size_t i = 0; i < CH_LEN(table); i++)
		if (str_is(table_name, table[i].table) && has_word(table[i].columns, column))
			return &table[i];
	return NULL;
}

void holdings_write(struct json_writer *w)
{
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(table); i++) {
		const struct holding *h = &table[i];
		jw_object(w);
		jw_kz(w, "table", h->table);
		jw_kz(w, "columns", h->columns);
		jw_kz(w, "what", h->what);
		jw_kz(w, "ground", h->ground);
		jw_kz(w, "until", h->until);
		jw_kstr(w, "exported", h->exported ? str_of(h->exported) : STR_NONE);
		jw_kstr(w, "why_not", h->why_not ? str_of(h->why_not) : STR_NONE);
		jw_kz(w, "end", holding_end_name(h->end));
		jw_kstr(w, "reason", h->reason ? str_of(h->reason) : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
}
