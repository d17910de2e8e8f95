/* bundle.h - what one co-op hands to another under an agreement: written from its pool, carried as a file or over HTTP, and checked in full before anything of it is believed.
 *
 * A bundle is a folder, or a plain .tar of it (tar.h), of flat files:
 *
 *   bundle.json             canonical JSON, below
 *   bundle.dsse.json        DSSE of BUNDLE_TYPE over its bytes, by the sender's co-op key in force
 *   keys.json               the sender's chain of keys (keychain.h)
 *   checkpoint              signed note of the head of the sender's log
 *   events-00000.jsonl.zst  … the leaves [base.size, head.size) of that log, an entry a line, verbatim
 *   consistency.proof       base -> head, RFC 6962: a base64 hash a line; empty where either is empty or both are the same
 *   tombstones.jsonl        lines from … upto of the sender's feed of tombstones (tombstone.h), verbatim
 *   statements.jsonl        what contributors said, below; and what is no longer passed on
 *   records-00000.jsonl.zst … a record a line, below
 *   labels.jsonl.zst        labels and signals, below
 *
 * Files without a line are left out (but for bundle.json, bundle.dsse.json, keys.json, checkpoint and consistency.proof). Nothing else may be there.
 *
 * bundle.json:
 *   {"agreement":HEX digest of the revision,"as_of":INSTANT,"base":{"root":HEX,"size":N},"charter":{"digest":HEX,"version":N},"counts":{"back","events","labels","out","records","statements",
 *    "tombstones"},"created":INSTANT,"files":[{"lines":N,"path","raw_sha256":HEX,"raw_size":N,"sha256":HEX,"size":N}, in order of path],"from":KEY NAME,"head":{"root":HEX,"size":N},
 *    "homes":[{"agreement":{…},"assent":{DSSE},"checkpoint":NOTE,"home":KEY NAME,"keys":{keys.json}}, in order of home],"prev":HEX or null,"seq":N,"to":KEY NAME,"tombstones":{"from":N,"upto":N},"v":1}
 *   base        where the bundle before ended, {SHA-256 of nothing, 0} where there was none
 *   files       all but bundle.json and bundle.dsse.json. For what is not compressed raw_* are the file's own
 *   homes       other co-ops whose records or statements are passed on, with a head of their log that the paths below lead to, and what lets the sender pass them on: the agreement between that home
 *               and the sender (schemas/agreement.json), which says "onward", and the home's assent to it as it was signed. What comes under it is held to both agreements, the stricter of
 *               each limit. A co-op passes on what it has from the home itself, and nothing that was passed on to it
 *   prev        SHA-256 of the bundle.json before. null: a whole bundle: it begins at 0 and says everything that stands, as the first one does. A later whole bundle takes the place of all that were
 *               lost before it: it says of everything that was ever told whether it is passed on. Applying what is known again changes nothing
 *   seq         1, 2, 3 …; without gaps, but that a whole bundle may leave some out
 *   tombstones  {"from":N,"upto":N-1}: none
 *
 * statements.jsonl, canonical JSON a line, the newest word of a contributor's home, and only what changed since the bundle before:
 *   {"consent":{…},"contributor":32 HEX,"home":KEY NAME,"name":TEXT or null,"rev":N,"said":[…],"sig":BASE64,"spoken_for":[…],"standing":WORD}
 *   {"home":KEY NAME of the sender,"out":[RID,…],"rev":N,"sig":BASE64}    the sender passes these on no longer (moderated, embargoed, restricted, out of what people allow, or taken back by their
 *                                                                         home); its own ids and those of others that it passed on. It is about this way alone: what came by another stays
 *   {"back":[RID,…],"home":KEY NAME of the sender,"rev":N,"sig":BASE64}   it does again; records that the partner had before are not told again
 *   sig is Ed25519 by a key of `home` over BUNDLE_SAID_PREFIX and the line's canonical JSON without the member "sig". rev is the size of the home's log, to which every bundle adds a leaf (bundle.made): the greatest stands. What consent, said
 *   and spoken_for hold is guest.h's. contributor is HMAC-SHA-256(secret of the home co-op, member id), the first 16 bytes: the same towards every partner, and neither number nor id.
 *   Contributors' lines of other homes are passed on as they were signed. "out" and "back" name at most BUNDLE_RIDS ids a line.
 *
 * records, canonical JSON a line; the members in this order:
 *   {"at":INSTANT of submission,"content":{…},"contributor":32 HEX,"facts":{…},"home":KEY NAME,"kind":WORD,"lang":TAG,"leaf":N,"licence":SPDX,"path":[BASE64,…],"rid":RID,"salt":64 HEX}
 *   facts    circumstances as in schemas/contribution.json, of these only: ai_preferences application derived_from friction model processing prompted provider sensitive
 *   leaf     index of the leaf "contribution.made" in the home's log whose data commits to the content: {"c":HEX SHA-256(salt || SHA-256(content)),…,"rid":RID}
 *   path     absent where the leaf is among the bundle's events; such records come in ascending order of leaf. Otherwise the leaf's entry itself and its inclusion path: first the entry (base64),
 *            then the hashes from its sibling upwards, to the head of that home's log (head, or the note in `homes`)
 *   A record that is passed on has the path; its contributor has a statement line of its home, here or in a bundle before.
 *
 * labels, canonical JSON a line: {"at":INSTANT,"by":32 HEX,"by_home":KEY NAME,"home":KEY NAME,"label":WORD,"rid":RID,"value":JSON}: what somebody said of a record; without value: a signal. Keyed by
 * (by, by_home, home, rid, label), the latest stands.
 *
 * Limits: a line is at most BUNDLE_LINE_MAX bytes, a file BUNDLE_FILE_MAX bytes raw, raw / packed at most BUNDLE_RATIO_MAX, files at most BUNDLE_FILES_MAX; names of lower-case letters, digits, dots and
 * hyphens alone.
 *
 * Nothing here may ever believe a bundle for where it came from, write a byte of one outside its own folder, or let a record out that the co-op's own engine keeps in.
 */
#ifndef COMMONHOLD_BUNDLE_H
#define COMMONHOLD_BUNDLE_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "json.h"
#include "keychain.h"
#include "ledger.h"
#include "tombstone.h"

#define BUNDLE_TYPE "application/vnd.commonhold.bundle+json"
#define BUNDLE_SAID_PREFIX "commonhold/statement/1\n"
#define BUNDLE_LINE_MAX (4 * MIB)
#define BUNDLE_FILE_MAX ((int64_t)256 << 20) /* raw bytes of a file */
#define BUNDLE_RATIO_MAX 200                 /* raw bytes for one packed */
#define BUNDLE_FILES_MAX 10000
#define BUNDLE_MANIFEST_MAX (8 * MIB)
#define BUNDLE_HOMES_MAX 255
#define BUNDLE_RIDS 1000                     /* in one "out" or "back" line */
#define BUNDLE_PATH_MAX 64                   /* hashes in a path */
#define BUNDLE_KEPT (3 * CLOCK_DAY)          /* how long files of a bundle wait here for the partner; then a whole one is written */

/* ---- What a bundle is ---- */

enum bundle_section { BUNDLE_EVENTS, BUNDLE_TOMBSTONES, BUNDLE_STATEMENTS, BUNDLE_RECORDS, BUNDLE_LABELS, BUNDLE_OTHER, BUNDLE_NO_SECTION };

/* One file of it, as the manifest says. */
struct bundle_file {
	struct str path;
	enum bundle_section part;
	int64_t size, raw_size, lines;
	struct sha256 sha256, raw_sha256;
	int fd;                 /* of the .tar, or of the folder */
	int64_t at;             /* where its bytes begin in the .tar; -1: it is a file of its own in the folder */
};

/* Another co-op whose records are passed on. */
struct bundle_home {
	struct str home;        /* key name */
	struct keychain keys;
	struct str checkpoint;  /* signed note, verbatim */
	struct str origin;      /* of its log */
	int64_t size;           /* leaves */
	struct sha256 root;
	struct str document, assent; /* of the agreement by which the sender has them */
	const struct agreement_terms *terms; /* the document, read; set by bundle_check */
	bool ours;              /* it is the receiver: its own words and records are passed over; set by bundle_check */
	struct str contradicts; /* another note signed by this home that no log can have together with this one; absent: none. Set by bundle_check */
};

/* How many lines of each sort. */
struct bundle_counts { int64_t events, tombstones, statements /* of contributors */, out, back /* ids */, records, labels; };

/* An open bundle: what its manifest says. Descriptors and memory are the arena's. */
struct bundle {
	struct str manifest;            /* bundle.json */
	struct sha256 digest;           /* of it */
	struct str from, to;            /* key names */
	struct sha256 agreement;        /* digest of the revision */
	struct uuid agreement_id;       /* of the agreement; set by bundle_expect */
	struct uuid peer;               /* of the sender (peer.h); set by bundle_expect */
	instant fresh_until;            /* how long the agreement takes it for news; set by bundle_expect */
	int64_t seq;                    /* from 1 */
	struct sha256 prev;             /* zeros: a whole bundle */
	bool whole;                     /* says everything that stands */
	instant as_of, created;
	int charter_version;
	struct sha256 charter;          /* digest of the sender's charter */
	int64_t base_size, head_size;   /* leaves of the sender's log */
	struct sha256 base_root, head_root;
	int64_t tombstones_from, tombstones_upto;
	struct bundle_counts counts;
	struct keychain keys;           /* of the sender */
	size_t signed_by;               /* which of them signed bundle.json */
	struct str checkpoint;          /* signed note of the head */
	struct str origin;              /* of the sender's log */
	struct bundle_home *homes;
	size_t n_homes;
	struct bundle_file *files;      /* in order of path */
	size_t n_files;
	struct str envelope;            /* bundle.dsse.json */
	/* set by bundle_check: */
	bool checked;                   /* everything was looked at and is right */
	bool repeated;                  /* this very bundle was taken before: nothing else was looked at */
	struct merkle_builder log;      /* over the sender's leaves up to the head */
	struct tombstone_chain chain;   /* of the sender's tombstones up to the last */
	struct str contradicts;         /* set where it is refused for its log: another note by the sender that no log can have together with `checkpoint`; absent: none was found */
};

/* Opens a folder or (a regular file) a .tar: reads bundle.json, its signature's form, keys.json and checkpoint, and finds every file that is listed. Nothing is believed yet. ERR_REFUSED with one of
 * the reasons below, ERR_IO. Pure of the database. */
CH_CHECK enum err bundle_open(struct arena *a, const char *path, struct bundle **out, struct error *e);

/* ---- Checking ---- */

/* A head of a log that somebody has shown. */
struct bundle_head { int64_t size; struct sha256 root; struct str checkpoint; };

/* What the receiver knows and expects. */
struct bundle_expected {
	struct str us;                  /* our key name */
	bool known;                     /* there is such an agreement with the sender, and it lets them send to us now */
	bool in_doubt;                  /* the sender has signed two logs or two lists of tombstones, and no admin has looked yet */
	struct str why_not;             /* otherwise: a sentence */
	struct keychain keys;           /* the sender's, as pinned; n == 0: a stranger */
	uint8_t kinds;                  /* bits of policy_kind that may come */
	uint64_t licences;              /* bits of policy_licence_no that may come */
	bool onward;                    /* records of other homes may come */
	bool passed;                    /* or some have before, so that the sender may say that it passes them on no longer */
	int64_t seq;                    /* last bundle that was taken; 0: none */
	struct sha256 digest;           /* of its bundle.json */
	bool again;                     /* a bundle of the number of the one at hand was taken … */
	struct sha256 again_digest;     /* … and that was its digest */
	struct str origin;              /* name of the sender's log; absent: not known yet */
	struct merkle_builder log;      /* of that log up to the last bundle; size 0: nothing */
	struct tombstone_chain chain;   /* up to the last bundle; upto -1: nothing */
	int64_t known_size;             /* of that log as known by any way (origin_log), also from others; 0: not */
	struct sha256 known_root;       /* over known_size leaves */
	int64_t known_at_head;          /* the head's size, where it lies below known_size and the leaves are known; else -1 */
	struct sha256 known_head_root;  /* over them */
	struct str known_checkpoint;    /* the note that says so; absent: not known */
	struct bundle_head *heads;      /* of that log as others have shown it */
	size_t n_heads;
	/* Other homes: what is pinned of their keys, what is known of their logs. */
	struct bundle_known {
		struct str home, why_not;   /* why_not: nothing of theirs is taken, a sentence; absent: it may be */
		struct keychain keys;       /* n == 0: none are known */
		int64_t shown;              /* size of the newest head that this sender has shown; 0: none */
		struct bundle_head *heads;  /* of their log, as it is known from them and from others */
		size_t n_heads;
	} *homes;
	size_t n_homes;
	instant now;
};
/* Loads all that for a bundle, and sets its agreement_id and peer. A stranger, or an unknown agreement, is no error here: bundle_check says it. Own transaction. */
CH_CHECK enum err bundle_expect(struct call *c, struct uuid coop, struct bundle *b, struct bundle_expected *out);

/* Reasons (error.reason) with which bundle_open, bundle_check and merge_apply refuse; also the codes of refusals that admins see. */
#define BUNDLE_REASONS(X) \
	X(MALFORMED, "malformed", "It is not in the form of a bundle.") \
	X(TOO_LARGE, "too_large", "It is larger than a bundle may be.") \
	X(COMPRESSION, "absurd_compression", "It is compressed beyond what is taken.") \
	X(FILES, "files", "Its files are not those that it lists.") \
	X(STRANGER, "stranger", "It is from a co-op that is not a confirmed partner.") \
	X(NOT_FOR_US, "not_for_us", "It is for another co-op.") \
	X(AGREEMENT, "unknown_agreement", "It is under no agreement that lets them send now.") \
	X(SIGNATURE, "signature", "A signature is not right.") \
	X(KEYS, "keys", "Its keys contradict those that are known.") \
	X(ROLLBACK, "rollback", "It goes back behind what was taken already.") \
	X(GAP, "gap", "A bundle before it is missing.") \
	X(LOG, "log_rewritten", "The sender's log does not go on from what was known of it.") \
	X(TOMBSTONES, "tombstones", "The sender's tombstones do not go on from what was known of them.") \
	X(COMMITMENT, "commitment", "A record is not the one that its home's log commits to.") \
	X(OUTSIDE, "outside", "A record is not what the agreement lets through.") \
	X(LOOSER, "looser", "A statement allows more than it may.")
enum bundle_reason {
#define X(name, code, text) BUNDLE_REASON_##name,
	BUNDLE_REASONS(X)
#undef X
	BUNDLE_REASON_COUNT
};
const char *bundle_reason_code(enum bundle_reason r);

/* Checks everything: manifest, signatures, keys, sequence, sizes and digests of all files, the whole slice of the log against base, head and what is known, tombstones, every statement's signature,
 * every record's commitment, and that every line is in its form and within the agreement. Records are looked at by a few threads, with the same verdict whatever their number. Constant memory. What is wrong is ERR_REFUSED with a sentence that
 * names the place, and a reason. b->repeated is set, and nothing else looked at, where this very bundle was taken before. Pure of the database. */
CH_CHECK enum err bundle_check(struct arena *a, struct bundle *b, const struct bundle_expected *expected, struct error *e);

/* ---- Reading (after bundle_check) ---- */

/* The lines of a part, file after file. At the end of each file its digest is held against the manifest once more: ERR_CORRUPT where the files changed since they were checked. */
struct bundle_lines;
CH_CHECK enum err bundle_lines_open(struct arena *a, struct bundle *b, enum bundle_section part, struct bundle_lines **out, struct error *e);
/* The next line without "\n"; absent at the end. Valid until the next call. */
CH_CHECK enum err bundle_lines_next(struct bundle_lines *l, struct str *line, struct error *e);
/* "records-00000.jsonl.zst, line 17", for messages. */
struct str bundle_lines_place(struct arena *a, const struct bundle_lines *l);

/* A record; texts are views into the line. */
struct bundle_record {
	struct str home, rid;           /* key name; dc:<home>:<id> */
	struct uuid id;
	uint8_t contributor[16];
	unsigned kind, licence;         /* policy_kind, policy_licence_no */
	struct str lang;
	instant at;
	struct str content;             /* canonical JSON */
	struct str facts;               /* canonical JSON object */
	int64_t leaf;
	uint8_t salt[32];
	struct str path;                /* JSON array; absent: the leaf is among the events */
};
/* Reads a record's line: its form alone. `a` is scratch. ERR_REFUSED, reason "malformed". */
CH_CHECK enum err bundle_record_read(struct arena *a, struct str line, struct bundle_record *out, struct error *e);

/* What a line of statements.jsonl is. */
enum bundle_said_what { BUNDLE_WORDS, BUNDLE_OUT, BUNDLE_BACK };
struct bundle_said {
	enum bundle_said_what what;
	struct str home;                /* who signed it */
	int64_t rev;
	uint8_t contributor[16];        /* WORDS alone */
	struct str *rids;               /* OUT, BACK */
	size_t n_rids;
	const struct json *json;        /* the line; for guest_words_read */
};
/* Reads such a line and checks its signature under a chain (NULL: not looked at). */
CH_CHECK enum err bundle_said_read(struct arena *a, struct str line, const struct keychain *keys, struct bundle_said *out, struct error *e);

struct bundle_label {
	struct str by_home, home, rid, label;
	uint8_t by[16];
	struct uuid id;                 /* of rid */
	struct str value;               /* JSON; absent: a signal */
	instant at;
};
CH_CHECK enum err bundle_label_read(struct arena *a, struct str line, struct bundle_label *out, struct error *e);

/* Notes a checked bundle as taken: bundle_in, and what is known of its sender's log and of the homes in it, with the leaf hashes. For merge_apply, inside its transaction. */
CH_CHECK enum err bundle_note_taken(struct call *c, struct uuid coop, struct bundle *b);
/* Where a home's log is known to be; size 0: it is not known. Inside. */
struct origin_log { struct str origin, checkpoint; int64_t size; struct sha256 root; };
CH_CHECK enum err origin_log_get(struct call *c, struct uuid coop, struct str home, struct origin_log *out);
/* Whether a root that the home has signed for so many leaves is another than the one that is known of them. Where nothing is known it is not. Inside. */
CH_CHECK enum err origin_log_contradicts(struct call *c, struct uuid coop, struct str home, int64_t size, struct sha256 root, bool *contradicts);

/* ---- Taking ---- */

struct merge_report;
/* Opens, checks and applies what lies at `path`; what is refused is noted for the admins (merge_refuse) and leaves everything as it was. Where a home has signed two heads of its log that
 * contradict each other the proof is kept (merge_equivocation_of_log), and nothing more of that home is taken. Outside a transaction. */
CH_CHECK enum err bundle_take(struct call *c, struct uuid coop, const char *path, struct merge_report *out);

/* ---- Writing ---- */

struct bundle_report {
	int64_t seq;                    /* 0: there was nothing to tell, and nothing was written */
	struct sha256 digest;
	struct str dir;                 /* where it lies */
	struct bundle_counts counts;
	int64_t size, raw_size;         /* bytes of all files, packed and not */
	bool whole;
};
struct bundle_how {
	bool whole;                     /* tell everything again */
	bool even_empty;                /* write one even when nothing changed since the last */
	const char *tar;                /* also pack it into this file, which must not exist; NULL: not */
};
/* Writes the next bundle of an agreement: what the co-op's own engine lets through for the agreement's uses, purposes and audience, and what changed in that since the last
 * one. The caller's thread asks the database, one opens and writes the records' lines, one compresses each of the two files that grow; memory in proportion to the number of members, and a bit an item.
 * What was erased meanwhile is left out; what is damaged is ERR_CORRUPT, said by its id and with how to go on. ERR_STATE while the agreement does not let us send. Outside a transaction. */
CH_CHECK enum err bundle_write(struct call *c, struct uuid coop, struct uuid agreement, const struct bundle_how *how, struct bundle_report *out);
/* What partners call a member of this co-op. Inside. */
CH_CHECK enum err bundle_contributor(struct call *c, struct uuid coop, struct uuid member, uint8_t out[16]);

/* A bundle that was written, for lists and for handing out. */
struct bundle_row { int64_t seq; struct sha256 digest; struct str manifest; struct str state; /* ready, taken, gone */ instant made_at; };
/* After seq `after`, oldest first; own transaction. */
CH_CHECK enum err bundle_list(struct call *c, struct uuid coop, struct uuid agreement, int64_t after, struct bundle_row **out, size_t *n);
/* The folder of a bundle of ours that is ready. */
struct str bundle_dir(struct arena *a, struct uuid coop, struct uuid agreement, int64_t seq);
/* The partner has taken everything up to `seq`: the files go. Idempotent. Own transaction. */
CH_CHECK enum err bundle_taken_upto(struct call *c, struct uuid coop, struct uuid agreement, int64_t seq);

/* "merge.export" {"coop","agreement"}: writes the next bundle and tells the partner; "merge.fetch" {"coop","agreement"}: gets, checks and applies what the partner has; "bundle.tick": queues both by
 * the agreements' cadence and clears away what has waited too long. */
extern const struct job_kind bundle_jobs[];

struct message;
/* The message "bundle.ready" {"agreement":HEX,"seq":N}: queues merge.fetch. */
CH_CHECK enum err bundle_take_ready(struct call *c, struct uuid coop, const struct message *m);

#endif
