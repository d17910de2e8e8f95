/* holdings.h - what the instance holds about people: the one table that says so, the archive that hands it over and takes it in, the windows after which it goes, and the end of an
 * account.
 *
 * One table (holdings) names every column of both databases that holds or points to personal data, on what ground, until when, how it is exported and how it is erased; a test reads
 * the databases' catalogues and fails when one is missing. Archive, account_erase and pages follow it. Nothing here ever decides whether somebody may ask: erasure.h does; nothing
 * here gives one person's data to another.
 */
#ifndef COMMONHOLD_HOLDINGS_H
#define COMMONHOLD_HOLDINGS_H

#include "call.h"
#include "coop.h"
#include "crypto.h"
#include "job.h"
#include "json.h"

/* ---- The table ---- */

/* What becomes of it when the person's account is erased. */
enum holding_end {
	HOLDING_DELETED,      /* the row goes */
	HOLDING_EMPTIED,      /* the row stays, its personal columns are empty */
	HOLDING_PSEUDONYMOUS, /* the row stays with a number that leads to nobody */
	HOLDING_KEPT,         /* stays as it is, for the reason given */
	HOLDING_END_COUNT
};
const char *holding_end_name(unsigned end); /* "deleted", "emptied", "pseudonymous", "kept" */

/* One place with personal data. Absent texts are NULL. */
struct holding {
	const char *table;    /* of the content database; "keys." before those of the keys database, "files:" before folders */
	const char *columns;  /* those that hold or point to the data, by spaces: "account_id agent" */
	const char *what;     /* in words for people */
	const char *ground;   /* why it is held: contract, consent, legal duty, legitimate interest, with the article */
	const char *until;    /* how long, in words; a window of the charter or of the program */
	const char *exported; /* member of the archive that has it: "notices.json"; NULL: not exported, as `why_not` says */
	const char *why_not;  /* why it is not in the archive; NULL where it is */
	enum holding_end end; /* how it is erased with the account … */
	const char *reason;   /* … and why so, where something stays; NULL for deleted */
};
/* By table and column, in a fixed order; false past the end. */
bool holding_at(size_t i, struct holding *out);
/* The row for a column; NULL where there is none. */
const struct holding *holding_of(struct str table, struct str column);
/* As JSON, for archive and pages: [{"table","columns","what","ground","until","exported","why_not","end","reason"}]. */
void holdings_write(struct json_writer *w);

/* ---- The archive (docs/archive.md) ---- */

#define ARCHIVE_MEDIA_TYPE "application/x-tar"
#define ARCHIVE_PAYLOAD_TYPE "application/vnd.commonhold.archive+json"
#define ARCHIVE_FORMAT "commonhold-archive/1"
#define ARCHIVES_A_DAY 5 /* of one person: each reads and opens everything they ever contributed */

/* Where an archive goes. */
struct archive_sink {
	enum err (*write)(void *arg, const void *p, size_t n, struct error *e);
	void *arg;
};
struct archive_made {
	int64_t bytes;         /* of the tar */
	int64_t contributions; /* in it, with their content */
	struct sha256 manifest; /* of archive.json */
};
/* Whether the actor may take one now: a browser's session, a proof as for changing how one signs in (sign_in.h), at most ARCHIVES_A_DAY. Notes it, and tells the person. */
struct proof;
CH_CHECK enum err archive_permit(struct call *c, const struct proof *proof, struct uuid coop);
/* Everything held about the actor, in one co-op or (nil) all, as one .tar; own transactions, constant memory. */
CH_CHECK enum err archive_write(struct call *c, struct uuid coop, const struct archive_sink *sink, struct archive_made *out);

/* What an archive says of itself. */
struct archive_coop {
	struct str key_name, slug, name; /* of the co-op it comes from */
	int64_t contributions;           /* with content */
};
struct archive_info {
	struct str instance;       /* base URL of where it was made */
	struct str subject;        /* account id there */
	instant made_at;
	uint8_t key[32];           /* that signed it */
	struct archive_coop *coops;
	size_t n_coops;
};
/* Reads an archive from a file that can be read twice and holds every member against the signed manifest; ERR_REFUSED, "archive_corrupt", says what is wrong. `key` is whose signature is
 * wanted; NULL: the one that it names itself, which shows damage but not who made it. */
CH_CHECK enum err archive_check(struct call *c, int fd, const uint8_t key[32], struct archive_info *out);

/* One thing that the archive says about uses or licences, for the member to take over or leave. */
struct archive_offer {
	struct str kind;     /* "statement" or "licence" */
	struct str json;     /* canonical JSON, as statement_new.json or licence_new.json take it */
	struct str words;    /* a sentence */
	bool stricter;       /* asks for less than what stands here: may be taken over without loosening anything */
};
#define ARCHIVE_PROBLEMS 200
struct archive_problem { int64_t line; char code[40], message[240]; };
struct archive_report {
	int64_t seen, approved, pending, duplicates, refused; /* contributions */
	int64_t denials;                  /* statements on single items that came with them: what the archive denies stays denied */
	struct archive_offer *offers;
	size_t n_offers;
	struct archive_problem *problems; /* the first ones */
	size_t n_problems;
};
struct archive_import {
	struct str from;         /* key name or slug of the co-op in the archive; absent: the only one */
	const uint8_t *key;      /* as for archive_check */
	void (*progress)(void *arg, int64_t seen);
	void *arg;
};
/* As schemas/archive_report.json has it. */
void archive_report_write(struct json_writer *w, const struct archive_report *r);
/* Checks the archive, then contributes what it holds as the acting member's, noting where it came from; nothing that was denied there becomes allowed here. */
CH_CHECK enum err archive_import(struct call *c, struct uuid coop, int fd, const struct archive_import *how, struct archive_report *out);

/* ---- Retention ---- */

enum retention_window { RETENTION_RAW, RETENTION_QUARANTINE, RETENTION_ACCESS_LOG, RETENTION_BACKUPS, RETENTION_COUNT };
const char *retention_name(unsigned window); /* as in the charter: "raw", "quarantine", "access_log", "backups" */
#define RETENTION_SOON (30 * CLOCK_DAY)   /* members are told when items of theirs go within this time … */
#define RETENTION_TELL (60 * CLOCK_DAY)   /* … of all that go within this, so that they are told once a month at most … */
#define RETENTION_WARN (14 * CLOCK_DAY)   /* … and nothing goes before they have known for so long */
struct retention_done {
	int64_t told;               /* members who were told */
	int64_t items[RETENTION_COUNT]; /* items given to erasure, rows of the log deleted */
	bool backups_late;          /* backups are kept longer than the charter promises: the operator's log says so */
	int64_t guest_keys;                 /* content keys destroyed of guests who have nothing here any more */
};
/* Everything that is due in one co-op; own transactions, in groups. Repeating it changes nothing. */
CH_CHECK enum err retention_run(struct call *c, struct uuid coop, struct retention_done *out);
/* What goes next of the acting member's, for the yearly checkup and the page of one's data: how many items, from when; inside. */
struct retention_next { int64_t items; instant first; };
CH_CHECK enum err retention_next(struct call *c, struct uuid coop, struct uuid member, instant until, struct retention_next *out);

/* ---- The end of an account ---- */

/* Whether an account may go: ERR_REFUSED, "last_admin", names the co-ops that would be left without an admin. Asked when the request is made, before anything is purged; own
 * transaction. */
CH_CHECK enum err account_erase_check(struct call *c, struct uuid account);
/* Ends the account and everything that the table says goes with it: address, name, sessions, tokens, factors, links to providers, notices; memberships end and stay as numbers that lead
 * to nobody. Called by the instance once the items of all its co-ops are purged; own transactions, one a co-op; repeating it goes on where it stopped, and of an account that is gone it
 * is ERR_OK. */
CH_CHECK enum err account_erase(struct call *c, struct uuid account);

/* "retention.daily" */
extern const struct job_kind holdings_jobs[];

#endif
