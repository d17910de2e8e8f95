/* notify.h - telling people: the inbox, mail by SMTP, digests, settings and unsubscribing. It stands below all domains, like ledger/: whoever acts says what is to be
 * told in the transaction of the act, so that the notice exists exactly when the act does.
 *
 * It must never decide who is told (the domains do), put a secret into a log, or read an answer into silence: an unread notice means nothing.
 *
 * A notice's `data` is a JSON object. Every kind has "title" (one line), "text" (a sentence or two) and, where there is something to do or read, "url" (a path of this
 * site, "/coops/x/ballots/…"). The kinds with templates of their own also understand, all optional and all text in words for people:
 *
 *     kind                                             fields
 *     membership.welcome                               member_number
 *     membership.due .grace .lapsed .reminder          due (a date), days (until or since), effect (what happens, or happened)
 *     checkup.open .off_cycle                          due, reason
 *     checkup.receipt                                  receipt (its id), next
 *     delegation.asked .accepted .declined             principal, delegate, scope, until, note
 *     delegation.revoked .ended .cut                   principal, delegate, scope, reason, effect
 *     delegation.act                                   delegate, scope, choice: one act of a delegate, gathered into digests (delegation.digest)
 *     ballot.announced .opened .extended .closed       ballot (its question), opens, closes, rule, outcome, counts
 *     release.announced .published .failed             release, cutoff, items, mine (how many of one's own)
 *     charter.adopted                                  version, effective, changes (list of texts)
 *     control.set .lifted                              control, reason, until
 *     benefit.paid                                     amount, release, account
 *     deletion.claim .received .confirm .denied        what (so many items), due, reason (an admin's words), until (when the time to appeal ends)
 *     deletion.extended .completed .due .overdue       the same
 *     account.link                                     link (a whole URL of this site, secret), action, minutes, code
 *     account.new_sign_in .factor_changed              when, agent, what
 *
 * Any other kind is told by the generic template. The first part of a kind's name finds its topic (see NOTIFY_TOPICS).
 */
#ifndef COMMONHOLD_NOTIFY_H
#define COMMONHOLD_NOTIFY_H

#include "call.h"
#include "job.h"

/* One notice. */
struct notice {
	const char *kind;    /* "ballot.opened" */
	struct uuid account; /* who is told; notify_many ignores it */
	struct uuid coop;    /* the co-op that it is about; nil: none */
	struct str key;      /* given at most once per (account, kind, key); absent: always. At most 200 bytes */
	struct str data;     /* JSON object for inbox and templates, see above; at most 64 KiB */
	bool essential;      /* mailed at once whatever the settings say: sign-in, lapse of membership, rights */
};

/* Tells one account. Inside the transaction of the act that causes it; costs no round trip of its own. */
CH_CHECK enum err notify_send(struct call *c, const struct notice *n);
/* The same notice to many accounts in one statement. An account named twice is told once. */
CH_CHECK enum err notify_many(struct call *c, const struct notice *n, const struct uuid *accounts, size_t n_accounts);
/* Mail to an address, in the open transaction: for people who have no account yet and for sign-in links. Never in an inbox; address and data are sealed until it is
 * sent. ERR_UNAVAILABLE with the reason "no_mail" where the instance sends none, ERR_INVALID for what is no address. */
CH_CHECK enum err notify_mail_to(struct call *c, struct str address, const char *kind, struct str data);
/* Whether this instance sends mail (COMMONHOLD_SMTP_URL). */
bool notify_mail_on(void);

/* How a person is told about a topic. */
enum notify_how { NOTIFY_NOW, NOTIFY_DAILY, NOTIFY_WEEKLY, NOTIFY_QUARTERLY, NOTIFY_INBOX, NOTIFY_HOW_COUNT };
/* Topics: X(word in API and database, default, kinds whose names begin with one of these, what it is, for people). The first that fits wins; the last takes the rest. */
#define NOTIFY_TOPICS(X) \
	X(delegates, QUARTERLY, "delegation.act delegation.digest", "What my delegates did for me") \
	X(delegations, NOW, "delegation.", "Delegations asked for, accepted, ended or cut") \
	X(membership, NOW, "membership. checkup. fork. link.", "My memberships and annual checkups") \
	X(ballots, NOW, "ballot. charter. control. peer. key. agreement. merge.", "Ballots, charters and collective controls") \
	X(releases, WEEKLY, "release. benefit. access. contribution. deletion.", "Releases, my data and what it earned") \
	X(account, NOW, "", "My account and its safety")
enum notify_topic {
#define X(name, how, kinds, text) NOTIFY_TOPIC_##name,
	NOTIFY_TOPICS(X)
#undef X
	NOTIFY_TOPIC_COUNT
};

/* The inbox of the actor, newest first, one page; `next` is absent after the last. Each a transaction of its own. */
struct notice_row {
	struct uuid id, coop;          /* coop: nil for none */
	struct str kind, topic;        /* words */
	struct str title, text, url;   /* of its data; url absent, or a path of this site */
	struct str coop_name, coop_slug; /* of the co-op; absent for none */
	struct str mail;               /* none, now, digest */
	bool essential;                /* could not be switched off */
	instant at, read_at;           /* INSTANT_NONE: unread */
};
struct notice_page { struct notice_row *rows; size_t n; struct str next; int64_t unread; };
CH_CHECK enum err notify_inbox(struct call *c, bool unread_only, struct str cursor, int limit, struct notice_page *out);
/* Marks one notice of the actor as read (ERR_NOT_FOUND for others'), or all that were given up to `until`. */
CH_CHECK enum err notify_read(struct call *c, struct uuid notice);
CH_CHECK enum err notify_read_all(struct call *c, instant until);

/* The actor's settings, and what is known of their address. */
struct notify_settings {
	enum notify_how how[NOTIFY_TOPIC_COUNT]; /* in the order of NOTIFY_TOPICS */
	bool chosen[NOTIFY_TOPIC_COUNT];         /* by the person; else the default */
	struct str address;                      /* where mail goes */
	int64_t refusals;                        /* since the last delivery */
	bool unreachable;                        /* only essential mail is still tried */
	struct str status, said;                 /* what the mail server said last; absent without refusals */
	instant last_refused;                    /* INSTANT_NONE without */
	int64_t waiting, sent, refused;          /* mail of the last 90 days */
};
CH_CHECK enum err notify_settings_read(struct call *c, struct notify_settings *out);
/* Sets the topics marked in `chosen`. */
CH_CHECK enum err notify_settings_write(struct call *c, const struct notify_settings *s);
/* The person says that the address works: refusals are forgotten. */
CH_CHECK enum err notify_address_retry(struct call *c);
/* Forgets everything that an account was told, how it wanted to be told, and what is known of its address; inside. With the account only. */
CH_CHECK enum err notify_forget(struct call *c, struct uuid account, struct str address);
/* Forgets what others of a co-op were told that names somebody, by pseudonym or (absent: none) public name; inside. */
CH_CHECK enum err notify_forget_named(struct call *c, struct uuid coop, struct str pseudonym, struct str public_name);
const char *notify_topic_word(enum notify_topic t);
const char *notify_topic_text(enum notify_topic t);
const char *notify_how_word(enum notify_how h);
CH_CHECK bool notify_topic_read(struct str word, enum notify_topic *out);
CH_CHECK bool notify_how_read(struct str word, enum notify_how *out);
enum notify_topic notify_topic_of(const char *kind);

/* For a co-op's admins: mail about the co-op in the last 90 days. */
struct notify_mail_count { int64_t sent, refused, people_refused; };
CH_CHECK enum err notify_mail_counts(struct call *c, struct uuid coop, struct notify_mail_count *out);

/* A delivery report (RFC 3464) as it arrived: finds the mail that it is about, by its return path or its Message-ID, both signed by us, and records the refusal.
 * *recorded is false for reports of delays and successes. ERR_NOT_FOUND when it is about no mail of ours, ERR_BAD_REQUEST when it is no report. */
CH_CHECK enum err notify_bounce(struct call *c, struct str message, bool *recorded);
/* Tries the mail server as it is configured: connection, TLS, sign-in. For `commonhold doctor`. */
CH_CHECK enum err notify_mail_check(struct arena *a, struct error *e);

/* notify.send delivers what is due; notify.digest (daily) sends digests and forgets old mail. */
extern const struct job_kind notify_jobs[];

#endif
