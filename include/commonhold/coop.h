/* coop.h - co-ops, charters, memberships, consents and statements: who decides together, and what each person said.
 *
 * Every operation is one transaction of its own unless it says "inside". Governance acts append a leaf to the co-op's log (ledger.h).
 */
#ifndef COMMONHOLD_COOP_H
#define COMMONHOLD_COOP_H

#include "call.h"
#include "json.h"
#include "crypto.h"
#include "keychain.h"
#include "job.h"
#include "lifecycle.h"
#include "policy.h"

/* ---- Charters ---- */

/* A charter as the program uses it: the document, and what code needs of it, typed. All text points into the document. */
struct charter {
	struct uuid coop;
	int version;                /* from 1 */
	struct str document;        /* canonical JSON */
	struct sha256 digest;       /* of the document */
	const struct json *json;    /* parsed */
	instant adopted_at;
	struct str name, domain, region;
	struct str *languages;      /* BCP 47, main one first */
	size_t n_languages;
	struct str bylaws;          /* Markdown; may be empty */
	bool share_by_default;      /* sharing */
	uint8_t kinds;              /* accepted kinds, bits of policy_kind */
	unsigned licence_default;   /* policy_licence_no */
	uint64_t licences_allowed;  /* bits */
	uint16_t release_uses, release_uses_conditional; /* bits of policy_use */
	uint32_t release_purposes;  /* bits of policy_purpose */
	uint8_t release_audience;
	uint8_t licence_mode;       /* policy_licence_mode */
	uint32_t outputs;           /* output licences, bits */
	uint32_t k_contributors;
	struct str rrule;           /* RFC 5545 recurrence of cut-offs */
	instant cadence_start;      /* DTSTART */
	struct duration lead, notice, voting, cooling_off; /* lead: announced before the cut-off; then notice, voting, cooling-off */
	struct str access;          /* public, gated_auto, gated_manual */
	struct str terms;           /* Markdown; its SHA-256 pins grants */
	struct duration token_life, grant_life;
	int purge_days;
	struct str moderation_mode; /* hold, approve, reject */
	struct str pii_action;      /* hold, approve, reject */
	int pii_threshold;          /* findings from which pii_action applies */
	struct duration retention_raw, retention_access_log, retention_backups, retention_quarantine, embargo; /* all zero: none */
	struct duration gather, redact_within; /* deletions are gathered so long, and out of the newest release within; see erasure.h */
	struct str admission;       /* open, approval, invitation */
	struct duration checkup_every, window, grace;
	struct str attribution;     /* a new member's: anonymous, pseudonym, public */
	struct policy_statement *defaults; /* layer 5: ai_preferences, and what sharing by default adds for uses that they leave open; declared when the charter was adopted */
	size_t n_defaults;
	uint16_t ai_allow, ai_allow_if, ai_deny; /* the same by use, as bits, without what sharing adds */
	uint16_t member_may_change; /* uses about which a member may be more generous than the co-op */
	struct policy_rule *rules;  /* charter predicates */
	size_t n_rules;
	struct policy_node *nodes;
	size_t n_nodes;
	int delegation_depth;
	unsigned delegation_cap;    /* 0: none */
	bool delegate_coop, delegate_topic, delegate_target; /* scopes that may be delegated */
	struct str delegation_profile; /* ch, de, custom */
	uint32_t board_n, board_d;  /* the board resolves what more than n of d of the admins say … */
	bool board_strict;          /* … or at least n of d */
	int benefit_contributors, benefit_commons; /* per cent */
	struct str benefit_weight;  /* included_items, per_contributor */
	int notice_min;             /* oldest version whose words a consent may have been given on; 0: any */
	bool admins_propose;        /* only admins put motions; members may otherwise */
	int seconders;              /* other members a motion needs before it is put to the vote */
	int motions_open;           /* motions that one member may have open at once */
	bool admins_by_ballot;      /* admins are made and unmade by ballot alone; by any admin otherwise */
};

/* Fills defaults in, checks against schemas/charter.json and for contradictions between fields (a default licence that is not allowed, a notice under P7D, a rule with a zero
 * denominator, an output licence no allowed licence can reach, …), one fault per JSON Pointer. Gives the canonical document with all defaults written out. Pure. */
CH_CHECK enum err charter_check(struct arena *a, const struct json *draft, struct str *document, struct error *e);
/* Reads a canonical document into the typed form. Pure. */
CH_CHECK enum err charter_parse(struct arena *a, struct str document, struct charter *out, struct error *e);
/* The version in force, or a given one; inside. Parsed once and kept while it is in use: what `out` points to lives as long as the call's arena. */
CH_CHECK enum err charter_current(struct call *c, struct uuid coop, struct charter *out);
CH_CHECK enum err charter_version(struct call *c, struct uuid coop, int version, struct charter *out);
/* Adopts a checked document as the next version; inside. `ballot` passed it (nil: the founding version). Leaf "charter.adopted". */
CH_CHECK enum err charter_adopt(struct call *c, struct uuid coop, struct str document, struct uuid ballot, struct uuid by, int *version);
/* A checked document as it would be if it were adopted now: the next version, with the notice_min that it would have; inside. */
CH_CHECK enum err charter_as_adopted(struct call *c, const struct charter *now, struct str document, struct charter *out);
/* Lines of the checkup that a change of the charter may be material for. */
enum charter_line { CHARTER_LINE_NONE, CHARTER_LINE_CONSENT, CHARTER_LINE_SHARING, CHARTER_LINE_LICENCE, CHARTER_LINE_DELEGATIONS, CHARTER_LINE_COUNT };
const char *charter_line_name(enum charter_line line); /* "consent", "sharing", "licence", "delegations"; "" for none */
/* One field that two charters differ in, in words for people. */
struct charter_term {
	const char *pointer;    /* "/release/purposes" */
	const char *group;      /* heading it stands under: "Releases" */
	const char *label;      /* what the field is called: "Purposes" */
	struct str before, after;
	enum charter_line line; /* line of the checkup that it is material for; NONE: not material */
	bool widens;            /* asks more of members than they agreed to: consents to older words do not cover it */
};
/* What differs between two charters, in the order of the schema. Defaults that one leaves out count as written. Pure. */
CH_CHECK enum err charter_compare(struct arena *a, const struct charter *before, const struct charter *after, struct charter_term **out, size_t *n, struct error *e);
/* The charter's fields, for forms: where each is, and what people call it. False past the last. */
struct charter_field { const char *pointer, *group, *label; };
bool charter_field(size_t i, struct charter_field *out);
/* What a charter says in each of them, in words, in the same order: charter_field(i) is (*out)[i]. Absent for long texts, which are compared rather than told. Defaults that the charter leaves
 * out count as written. Pure. */
CH_CHECK enum err charter_values(struct arena *a, const struct charter *charter, struct str **out, size_t *n, struct error *e);
/* A word that a field may have ("approval") as people say it ("an admin decides"); the word itself where there is nothing better. */
struct str charter_word(const char *pointer, struct str word);
/* Whether somebody could still amend under this charter, in a co-op of so many; a fault at the field that prevents it. Pure. */
CH_CHECK enum err charter_amendable(struct arena *a, const struct charter *charter, int members, int admins, struct error *e);
/* The versions of a co-op, newest first; the founding one has no ballot. */
struct charter_row { int version; struct sha256 digest; struct uuid ballot; instant adopted_at; };
CH_CHECK enum err charter_list(struct call *c, struct uuid coop, struct charter_row **out, size_t *n);
/* One version (0: the one in force) as an operation of its own. */
CH_CHECK enum err charter_view(struct call *c, struct uuid coop, int version, struct charter *out);
/* The rule of a kind of ballot ("gate", "amendment", "merge", "toggle", …) as canonical JSON and compiled for policy_ballot_decide. */
struct ballot_rule { struct str json; struct policy_quorum nodes[POLICY_QUORUM_MAX]; size_t n; };
CH_CHECK enum err charter_rule(struct arena *a, const struct charter *charter, const char *which, struct ballot_rule *out, struct error *e);
CH_CHECK enum err ballot_rule_parse(struct arena *a, const struct json *rule, struct ballot_rule *out, struct error *e);
/* A rule in plain words: "more than half of the votes of members, and two of the admins". */
struct str ballot_rule_words(struct arena *a, const struct json *rule);
/* Who speaks for the board: "more than half of the admins". */
struct str charter_board_words(struct arena *a, const struct charter *charter);
/* The charter in plain words, for pages: a list of {heading, lines} as JSON for templates; NULL when it would be too long. */
const struct json *charter_words(struct arena *a, const struct charter *charter);

/* ---- Co-ops ---- */

struct coop {
	struct uuid id;
	struct str key_name;     /* its self-certifying name (id.h) */
	struct str slug;         /* its readable name in addresses */
	uint8_t public_key[32];  /* Ed25519, in force: checks what it signs now; keychain.h has those before */
	struct uuid founder;     /* account */
	instant founded_at;
	int charter_version;     /* in force */
	struct str name, domain, region, admission; /* as its charter says */
	struct str *languages;   /* BCP 47, main one first */
	size_t n_languages;
	int64_t members;         /* active, due or in grace */
	int64_t contributions;   /* in the pool */
	int64_t releases;        /* published */
};

/* Founds a co-op: keys, charter 1, the founder as its first admin, leaf 0 of the log. `draft` as charter_check. */
CH_CHECK enum err coop_found(struct call *c, struct str slug, const struct json *draft, struct coop *out);
/* The same where another co-op's log goes before (fork.h), inside the caller's transaction, which has entered the co-op: `log` fills the new log with what precedes, then comes the leaf of `leaf`
 * with the canonical JSON that `facts` gives once the key is there, then charter 1, `document` as it is, and the acting account as the first admin. */
struct coop_beginning {
	struct uuid id;
	struct str slug;
	struct str document;    /* a charter in canonical form, checked here once more */
	const char *leaf;       /* "coop.forked" */
	enum err (*log)(struct call *c, struct uuid coop, struct str key_name, void *arg);
	enum err (*facts)(struct call *c, struct str key_name, struct uuid founder, void *arg, struct str *out);
	void *arg;
};
CH_CHECK enum err coop_begin(struct call *c, const struct coop_beginning *b, struct coop *out);
CH_CHECK enum err coop_read(struct call *c, struct uuid id, struct coop *out);
/* The same inside an open transaction. */
CH_CHECK enum err coop_get(struct call *c, struct uuid id, struct coop *out);
/* By slug or key name; inside. ERR_NOT_FOUND. */
CH_CHECK enum err coop_find(struct call *c, struct str name, struct coop *out);
/* Admin: hands the co-op's signing over to a new key, for good: leaf "key.rotated"; the other admins are told. */
CH_CHECK enum err coop_key_rotate(struct call *c, struct uuid coop, struct keychain *out);
/* The directory, newest last, filtered by what is given (absent: any). */
struct coop_filter { struct str domain, region, language, text; struct str cursor; int limit; };
CH_CHECK enum err coop_list(struct call *c, const struct coop_filter *filter, struct coop **out, size_t *n, struct str *next_cursor);

/* The hook of http.h: who calls and which co-op is meant, in one statement. A bearer JWT is only looked at here (signature and expiry); what it opens is for access to say. */
struct http_identity;
struct coop_ref;
CH_CHECK enum err coop_identify(struct call *c, const struct http_identity *who, struct coop_ref *coop);

/* ---- Memberships ---- */

/* A person in a co-op. */
struct member {
	struct uuid coop, id, account;
	int number;                /* dense per co-op; the engine's member index */
	enum policy_standing state;
	bool is_admin;
	instant applied_at, state_at;
	instant joined_at, due_at; /* INSTANT_NONE: not yet; no checkup */
	struct str attribution;    /* anonymous, pseudonym, public */
	struct str pseudonym, public_name;
	struct str account_name;   /* for admins' lists */
	int64_t contributed;       /* items in the pool */
	int cycle;                 /* which checkup comes next, from 1 */
	int due_day;               /* day of the month of the anniversary, which a short month may not have */
	instant checked_at;        /* last checkup done; INSTANT_NONE: never */
};

/* The table of a membership's life; every edge has its leaf and says who may take it. */
extern const struct lifecycle membership_life;

/* May vote, contribute and, as an admin, act for the co-op: active, or with a checkup due or overdue. */
bool in_good_standing(enum policy_standing s);

/* Whether the actor may act for the co-op: an admin in good standing, or the instance itself; inside. */
CH_CHECK enum err member_is_admin(struct call *c, struct uuid coop, bool *admin);
/* The same as a demand: ERR_FORBIDDEN, or ERR_UNAUTHENTICATED for nobody. Operations that admins do ask it themselves, whatever their routes do. */
CH_CHECK enum err member_require_admin(struct call *c, struct uuid coop);

/* Holds the co-op's memberships and delegations still until the transaction ends. Before the first look at a membership that is to change, and before the first leaf; inside.
 * What follows is dated after the wait: nothing is dated before something that was counted in the meantime. */
CH_CHECK enum err membership_lock(struct call *c, struct uuid coop);
/* Applies; at once active where admission is open. What the person consents to is said separately, nothing is pre-ticked. */
CH_CHECK enum err member_join(struct call *c, struct uuid coop, struct member *out);
/* Admin: admit or refuse an applicant; make or unmake an admin (the last admin stays); remove. */
CH_CHECK enum err member_admit(struct call *c, struct uuid coop, struct uuid member, bool admit, struct str reason, struct member *out);
CH_CHECK enum err member_set_admin(struct call *c, struct uuid coop, struct uuid member, bool is_admin, struct member *out);
/* The same as a passed ballot decided it; inside. The last admin stays. */
CH_CHECK enum err member_set_admin_by_ballot(struct call *c, struct uuid coop, struct uuid member, bool is_admin, struct member *out);
CH_CHECK enum err member_remove(struct call *c, struct uuid coop, struct uuid member, struct str reason, struct member *out);
CH_CHECK enum err member_leave(struct call *c, struct uuid coop, struct member *out);
/* Admin: whoever joins with this address is a member at once. Only a digest of the address is kept. */
CH_CHECK enum err member_invite(struct call *c, struct uuid coop, struct str email);
/* anonymous, pseudonym, or public with a name. */
CH_CHECK enum err member_set_attribution(struct call *c, struct uuid coop, struct str attribution, struct str public_name, struct member *out);
CH_CHECK enum err member_read(struct call *c, struct uuid coop, struct uuid member, struct member *out);
/* Of the acting account in a co-op; inside. ERR_NOT_FOUND when it is no member. */
CH_CHECK enum err member_of_actor(struct call *c, struct uuid coop, struct member *out);
/* The same as an operation of its own; left and removed are no members. */
CH_CHECK enum err member_mine_in(struct call *c, struct uuid coop, struct member *out);
CH_CHECK enum err member_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct member **out, size_t *n, struct str *next_cursor);
/* Moves one's next checkup forward, to a date that suits better (a season): after its window could open, before it is due anyway. Later is not for oneself to choose. */
CH_CHECK enum err member_set_due(struct call *c, struct uuid coop, instant due, struct member *out);
/* The actor's memberships in all co-ops. */
CH_CHECK enum err member_mine(struct call *c, struct member **out, size_t *n);

/* ---- Checkups: what time does to a membership ---- */

/* The next due date: an anniversary of the last one while the membership lasts, however early or late within the grace it is renewed; a year from now once it has lapsed. The
 * 29th of February comes back in leap years. */
instant membership_next_due(const struct member *m, struct duration every, instant now);
/* From when the next checkup can be done, and when the membership lapses without one. INSTANT_NONE where there is no due date. */
instant membership_window_opens(const struct member *m, const struct charter *charter);
instant membership_lapses(const struct member *m, const struct charter *charter);
/* The state that the clock alone makes of a membership, whether or not the daily job has come by since. */
enum policy_standing membership_standing_at(enum policy_standing state, instant due, struct duration grace, instant now);
/* Renews the actor's membership; inside. First takes the steps that were due until now. ERR_STATE outside the window. What was delegated, and the acceptance of the co-op's
 * default, have to be said again by whoever calls this: renewing restores the membership alone. */
CH_CHECK enum err membership_renew(struct call *c, struct uuid coop, struct member *out);
/* Takes every step that is due in one co-op (all: in every co-op), in order and with the times when they were due; reminds once each. Each batch is a transaction. */
CH_CHECK enum err membership_daily(struct call *c, struct uuid coop, int64_t *steps);
/* "membership.daily", on a tick. */
extern const struct job_kind coop_jobs[];

/* What a material change asks of members out of turn: until they answer, what they said on older words counts as unsaid. */
struct demand {
	struct uuid id, ballot;    /* ballot: nil without one */
	struct str line;           /* consent, default, licence, delegation */
	struct str reason;         /* purpose, recipients, default, licence, delegate */
	struct str words;          /* for people */
	struct uuid target;        /* the delegation that is meant; nil */
	int charter;               /* words from which an answer counts */
	instant at;
};
/* Asks one line of every member (member nil), or a delegation of its principal. Inside; the same ballot asks a line once: *made is false the second time. Leaf "checkup.asked". */
CH_CHECK enum err demand_make(struct call *c, struct uuid coop, const struct demand *d, struct uuid member, bool *made);
/* Asks every principal of a standing delegation (to the board only) about it, and lets it rest: gives whom. Inside. */
CH_CHECK enum err demand_delegations_again(struct call *c, struct uuid coop, const struct demand *d, bool board_only, struct uuid **members, size_t *n);
/* The board has changed: those who delegate to it are asked again by a job, if there are any. Inside. */
CH_CHECK enum err demand_of_board(struct call *c, struct uuid coop, struct str words);
/* What is asked of a member and not yet answered, oldest first; inside. */
CH_CHECK enum err demand_open(struct call *c, const struct member *m, struct demand **out, size_t *n);
/* The oldest words on which consent, and the acceptance of the co-op's default, still count for what charter version `charter` is about; inside. */
CH_CHECK enum err demand_oldest_words(struct call *c, struct uuid coop, int charter, int *consent, int *defaults);

/* ---- Consent, statements, licence ---- */

/* What one consents to: purposes (names), and whether the co-op's defaults may speak where oneself is silent. */
CH_CHECK enum err consent_give(struct call *c, struct uuid coop, const struct str *purposes, size_t n, bool accept_defaults);
/* The same where somebody was shown version `shown` of the charter (0: not said): ERR_STATE, "charter_changed", when another is in force. A form that was opened before an
 * amendment must not consent to what the amendment widened. */
CH_CHECK enum err consent_give_shown(struct call *c, struct uuid coop, int shown, const struct str *purposes, size_t n, bool accept_defaults);
CH_CHECK enum err consent_withdraw(struct call *c, struct uuid coop);
/* What stands: state is given, renewed, refused, withdrawn, revoked or invalidated; `notice` the version of the notice that was read. */
struct consent { struct str state; struct str *purposes; size_t n_purposes; int notice; bool defaults; instant at, expires_at; };
/* ERR_NOT_FOUND when nothing was ever said. */
CH_CHECK enum err consent_current(struct call *c, struct uuid coop, struct consent *out);

/* One thing said. For layer 1 `item` is set; nil otherwise. */
struct statement {
	int64_t seq;
	int layer;
	struct str kind;        /* absent: all */
	struct uuid item;
	uint16_t uses;          /* bits */
	struct str purpose, audience; /* absent: any */
	struct str effect;      /* allow, allow_if, deny, none */
	uint16_t duties;        /* bits */
	instant declared_at, valid_from, valid_to;
	struct str verbatim, revision;
	bool external;          /* came as a preference string from elsewhere: only its denials count */
	bool board;             /* layer 3: the board's, by its resolution */
};
CH_CHECK enum err statement_make(struct call *c, struct uuid coop, const struct statement *in, size_t n, struct statement **out);
/* The member's statements, newest first; `current` leaves out those replaced. */
CH_CHECK enum err statement_list(struct call *c, struct uuid coop, bool current, struct statement **out, size_t *n);
/* The member's licence for new contributions: own choice, else the charter's default. */
CH_CHECK enum err licence_choose(struct call *c, struct uuid coop, struct str spdx);
/* The actor's licence, and whether it is their own choice. */
CH_CHECK enum err licence_current(struct call *c, struct uuid coop, unsigned *licence, bool *own);

/* ---- The same inside an open transaction, for one member: a checkup says many things at once ---- */

/* ERR_NOT_FOUND when nothing was ever said. */
CH_CHECK enum err consent_of_member(struct call *c, struct uuid coop, struct uuid member, struct consent *out);
bool consent_stands(const struct consent *consent); /* given or renewed, whether or not it has run out */
CH_CHECK enum err consent_say(struct call *c, const struct member *m, const struct str *purposes, size_t n, bool accept_defaults);
CH_CHECK enum err consent_take_back(struct call *c, const struct member *m);
/* What stands of what the member said about all their items or a kind of them, newest first, and on how many single items they have spoken. */
CH_CHECK enum err statement_defaults_of(struct call *c, const struct member *m, struct statement **out, size_t *n, int64_t *on_items);
CH_CHECK enum err statement_say(struct call *c, const struct member *m, struct statement *said, size_t n);
CH_CHECK enum err licence_of_member(struct call *c, const struct charter *charter, struct uuid member, unsigned *licence, bool *own);
CH_CHECK enum err licence_say(struct call *c, const struct member *m, struct str spdx);
CH_CHECK enum err attribution_say(struct call *c, struct member *m, struct str attribution, struct str public_name);
/* Leaves; under membership_lock. */
CH_CHECK enum err membership_leave(struct call *c, struct member *m);

/* All that policy is told about the people of a co-op, for a release. Inside (DB_SERIAL). Members by number; statements of layers 1-3 whose items are mapped by
 * `item_position` (POLICY_NO_ITEM: skip). Memory from the arena. */
CH_CHECK enum err coop_policy_facts(struct call *c, struct uuid coop, uint32_t (*item_position)(void *arg, struct uuid item), void *arg, struct policy_facts *out);

#endif
