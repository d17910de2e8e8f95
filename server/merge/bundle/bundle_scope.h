/* bundle_scope.h - a bundle that is being written, for the files that write its parts. Of server/merge only. */
#ifndef COMMONHOLD_BUNDLE_SCOPE_H
#define COMMONHOLD_BUNDLE_SCOPE_H

#include "bundle_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/release_scope.h"

/* What is needed of a member or guest, by number. */
struct person {
	bool goes;                      /* something of theirs may go to this partner */
	bool keyed;                     /* key is there */
	int home;                       /* of a guest: place in homes; -1: our own */
	struct uuid id;                 /* whose content key it is */
	char contributor[32];           /* in hex */
	struct seal_key key;
	struct str line;                /* of a guest: their home's signed line */
};

struct writing {
	struct call *c;
	struct uuid coop;
	struct agreement agreement;
	struct str key_name;            /* ours */
	int charter_version;
	struct sha256 charter;
	bool whole;
	int64_t last_seq;
	struct sha256 prev;
	int64_t base_size, head_size;
	struct sha256 base_root, head_root;
	int64_t tombstones_seen, tombstones_upto;
	instant as_of;
	struct str checkpoint;
	struct keychain keys;
	struct sign_key key;
	struct person *people;          /* by number */
	size_t n_people;
	struct bundle_home *homes;      /* of guests whose records may be passed on, in order */
	bool *home_goes;                /* something of that home is in this bundle */
	struct onward_home *onward;     /* what paths to each are made from (bundle_onward.c) */
	size_t n_homes;
	struct release_scoped scoped;   /* what may go out now */
	uint8_t *ever, *now;            /* a bit an item: the partner was given it; it was passed on as of the last bundle */
	uint8_t *given;                 /* a bit an item: anybody was given it, under any agreement or with a fork */
	int64_t *said_numbers;          /* whose lines are told in this bundle … */
	struct str *said_digests;       /* … and what they say */
	size_t n_said;
	struct bundle_counts counts;
	struct bundle_writer files;
	struct bundle_stream *events;   /* the log's slice, which grows beside the records … */
	int64_t events_next;            /* … and where it goes on */
};

static inline bool bundle_bit(const uint8_t *bits, int64_t i) { return bits[i / 8] >> (i % 8) & 1; }

/* bundle_write.c: the log's slice goes on up to this leaf, not included; what it needed of the arena is given back. */
CH_CHECK enum err bundle_events_upto(struct writing *k, int64_t leaf);

/* bundle_people.c: who may be in it, and what is told of them. */
CH_CHECK enum err bundle_contributor_secret(struct call *c, struct uuid coop, uint8_t secret[32]);
void bundle_contributor_of(const uint8_t secret[32], struct uuid member, uint8_t out[16]);
CH_CHECK enum err bundle_people_load(struct writing *k);
void bundle_hex_of(const uint8_t *from, size_t n, char *to);
/* Keys of those who have something in it; those who were erased meanwhile go out of it. Before anything is written. */
CH_CHECK enum err bundle_people_keys(struct writing *k);
void bundle_people_wipe(struct writing *k);
/* statements.jsonl: changed words, and what goes out or comes back. */
CH_CHECK enum err bundle_statements_write(struct writing *k);
/* After the files: remembers what was told. */
CH_CHECK enum err bundle_statements_note(struct writing *k);

/* bundle_onward.c: what is passed on of what other co-ops gave us. People: with those whose homes let us. Limit: takes out of the scope what cannot be proved, or was not meant for others. Paths: makes
 * ready for them; path: of a leaf of one home, in the arena. */
CH_CHECK enum err bundle_onward_people(struct writing *k);
CH_CHECK enum err bundle_onward_limit(struct writing *k);
CH_CHECK enum err bundle_onward_paths(struct writing *k);
CH_CHECK enum err bundle_onward_path(struct writing *k, int home, int64_t leaf, struct str *entry, struct sha256 **path, size_t *n);

/* bundle_contents.c: sealed contents for items that come in their order. */
struct contents;
/* An item whose content goes out: what finding it takes. */
struct bundle_wanted { int64_t item; struct uuid id; int64_t bytes /* of the content, about */; };
struct contents *bundle_contents_new(struct call *c, struct uuid coop);
/* Reads ahead what items in [first, behind) will ask for, as long as that is worth it; call it with ascending items. */
CH_CHECK enum err bundle_contents_ahead(struct contents *w, int64_t first, int64_t behind, const struct bundle_wanted *items, size_t n);
/* A content as it lies in the pool. */
struct bundle_content { struct bundle_content *next; struct uuid id; size_t n; char sealed[]; };
/* The content of the first of these items, which the caller then owns and frees; NULL: there is none. The others are those that come next. */
CH_CHECK enum err bundle_contents_take(struct contents *w, const struct bundle_wanted *items, size_t n, struct bundle_content **out);
/* An item has passed whose content did not go out. */
void bundle_contents_drop(struct contents *w, struct uuid id);

/* bundle_pour.c: records opened, put into lines and written by a thread of their own, in the order in which they are handed over. */
struct pour;
/* Columns of a row that is handed over. */
enum bundle_column { RECORD_ITEM_NO, RECORD_ID, RECORD_MEMBER_NO, RECORD_KIND, RECORD_LICENCE, RECORD_LANG, RECORD_SUBMITTED, RECORD_LEAF, RECORD_SALT, RECORD_HASH, RECORD_FACTS, RECORD_SEALED_FACTS,
	RECORD_BYTES, RECORD_SEALED, RECORD_FIELDS };
/* Starts the thread, which alone may write to the stream until the end. */
CH_CHECK enum err bundle_pour_begin(struct writing *k, struct bundle_stream *to, struct pour **out);
/* Copies the row and the path (absent: none); takes the content and frees it, also on a failure. Without one (NULL) it is a field of the row. What went wrong with a row may be said with a later one. */
CH_CHECK enum err bundle_pour_row(struct pour *p, const struct copy_field *f, const struct person *who, struct str path, struct bundle_content *content);
/* Waits for what was handed over, unless that does not matter any more since something has failed (`said`); passes on the first failure. */
CH_CHECK enum err bundle_pour_end(struct pour *p, enum err said);

/* bundle_gone.c: what was to go out and cannot be read. An item whose content is not there: left out where it was erased, ERR_CORRUPT that names it otherwise. */
CH_CHECK enum err bundle_gone_item(struct writing *k, int64_t item, struct uuid id);
/* Takes everything of those people out of the scope who were erased; nothing of the others, whose items bundle_gone_key refuses by name. */
CH_CHECK enum err bundle_gone_people(struct writing *k, const uint32_t *numbers, size_t n);
enum err bundle_gone_key(struct writing *k, struct uuid person);
/* Says that a contribution is damaged, and how to go on; ERR_CORRUPT. */
enum err bundle_damaged(struct error *e, struct uuid id, const char *why);

/* bundle_records.c */
/* "{3,17,…}" */
struct str bundle_numbers_text(struct arena *a, const int64_t *numbers, size_t n);
CH_CHECK enum err bundle_records_write(struct writing *k);

#endif
