/* import.h - streaming importers: bytes of somebody else's format in, contributions in contribution.json's shape out.
 *
 * Memory is constant whatever the size of the input: one value (a line, an array's element, a CSV record) at a time, and for OpenAssistant's flat
 * messages a window of open trees. Gzip is recognised by its first bytes. A bad row gets a verdict with its line and the rest goes on. No database, no
 * files, no network: the caller brings a source and a sink.
 *
 * What an importer must never do: emit a row marked deleted, or anything whose content would hold one; guess a licence; pass on a source's user ids
 * (authors are pseudonyms under the caller's key; struct import_item tells the caller alone who it was).
 *
 * Who contributes: the importing member is the contributor of everything imported. The people who wrote it at the source are recorded as authors, by
 * pseudonym, beside the ids of the rows that they wrote (`source.ids` and `source.authors`, same order), so that a later claim or erasure finds them.
 *
 * OpenAssistant, from flat messages or nested trees, which give the same contributions:
 *   live        a message that is not deleted and whose every ancestor is there and live
 *   chat        one for every live message without a live reply whose path holds an assistant's turn: the path from the root to it. A question
 *               left without an answer at the end stays, as follow-up.
 *   preference  for every live message, each pair of its live assistant replies that have different ranks; chosen is the better (lower) rank.
 *               Counted over the raw rows - any parent id, deleted or not - this gives import_counts.pairs_ranked.
 *   signal      one per live message and emoji: +1 thumbs_up, -1 thumbs_down, red_flag flag, with the count. _skip_* say how the queue was
 *               used and others have no meaning here: import_counts.ignored.
 *   feedback    one per live message with labels: a rating per label.
 * Flat messages are gathered by message_tree_id. The window holds IMPORT_WINDOW bytes of open trees; when it is full, the tree that has waited
 * longest is finished. A message that comes later than that has no parent any more and is refused (parent_missing), as are the rows of a tree larger than
 * IMPORT_TREE_MESSAGES or IMPORT_TREE_BYTES (tree_too_large).
 */
#ifndef COMMONHOLD_IMPORT_H
#define COMMONHOLD_IMPORT_H

#include "contribution.h"

#define IMPORT_VALUE_BYTES (4 * MIB)    /* one line, array element or CSV record; an account's longest conversation fits */
#define IMPORT_TREE_BYTES (4 * MIB)     /* one conversation tree */
#define IMPORT_TREE_MESSAGES 10000      /* messages in one tree */
#define IMPORT_WINDOW (16 * MIB)        /* all open trees together */
#define IMPORT_TREE_ITEMS 100000        /* contributions made of one tree: pairs grow with the square of the replies */
#define IMPORT_COLUMNS 200              /* columns of a CSV file */

/* X(name, word, what it is) */
#define IMPORT_FORMATS(X) \
	X(JSONL, "jsonl", "our own: a contribution a line") \
	X(OPENASSISTANT, "openassistant", "OpenAssistant messages or trees") \
	X(SHAREGPT, "sharegpt", "ShareGPT conversations, or role and content messages") \
	X(PREFERENCE, "preference", "pairs with prompt, chosen and rejected") \
	X(OPENAI, "openai", "conversations.json of an OpenAI account export") \
	X(ANTHROPIC, "anthropic", "conversations.json of an Anthropic account export") \
	X(CSV, "csv", "CSV with a mapping of its columns")

enum import_format {
#define X(name, word, what) IMPORT_##name,
	IMPORT_FORMATS(X)
#undef X
	IMPORT_FORMAT_COUNT
};
const char *import_format_word(unsigned format);
int import_format_find(struct str word);

/* Where the bytes come from. */
struct import_source {
	ptrdiff_t (*read)(void *arg, void *to, size_t n); /* up to n bytes; 0 at the end, -1 on a fault */
	void *arg;                                        /* for read */
	uint64_t size;                                    /* bytes it will give, when known: for progress only; 0 when not */
};
/* A source over memory; `at` starts at 0. */
struct import_memory { struct str bytes; size_t at; };
struct import_source import_from_memory(struct import_memory *m);
/* A source over an open file descriptor; regular files have a size. */
struct import_source import_from_fd(const int *fd);

/* One contribution; everything in it lives only until the sink returns. */
struct import_item {
	struct str json;              /* canonical JSON, valid under contribution.json */
	enum policy_kind kind;        /* its kind */
	struct str source_user;       /* the source's id of its author: of a chat, of its last message; STR_NONE where nobody or many */
	const struct str *source_ids; /* ids of the rows that it was made of, in order */
	size_t source_id_count;       /* how many */
	uint64_t line;                /* where it stood: line of its last row, from 1 */
};

/* Why a row was not taken. X(name, word, sentence) */
#define IMPORT_REASONS(X) \
	X(BAD_JSON, "bad_json", "It is not well-formed JSON.") \
	X(BAD_CSV, "bad_csv", "It is not well-formed CSV.") \
	X(TOO_LARGE, "too_large", "It is larger than one row may be.") \
	X(INVALID, "invalid", "Some fields are missing or not right.") \
	X(DELETED, "deleted", "The source marks it as deleted.") \
	X(UNDER_DELETED, "under_deleted", "It answers something that the source marks as deleted.") \
	X(PARENT_MISSING, "parent_missing", "The message it answers is not in the file, or stood too far before it.") \
	X(DUPLICATE_ID, "duplicate_id", "The same id came before.") \
	X(TREE_TOO_LARGE, "tree_too_large", "Its conversation tree is larger than one may be.") \
	X(EMPTY, "empty", "There is no conversation in it.")

enum import_reason {
#define X(name, word, sentence) IMPORT_REASON_##name,
	IMPORT_REASONS(X)
#undef X
	IMPORT_REASON_COUNT
};
const char *import_reason_word(unsigned reason);
const char *import_reason_text(unsigned reason);

/* A row that was not taken. */
struct import_verdict {
	uint64_t line;             /* its line, from 1; an element's first line */
	enum import_reason reason; /* why, for machines */
	struct str pointer;        /* JSON Pointer or column of the first fault; may be absent */
	struct str message;        /* what is wrong, for a person, to be read after the pointer; never quotes content */
	struct str source_id;      /* the row's id at the source, when it has one: a deletion can be passed on by it */
};

/* How far it got. */
struct import_counts {
	uint64_t bytes;                        /* bytes read from the source, compressed ones where it is compressed */
	uint64_t size;                         /* bytes expected, 0 when unknown */
	uint64_t rows;                         /* rows seen: messages, conversations, records */
	uint64_t emitted;                      /* contributions given to the sink */
	uint64_t by_kind[POLICY_KIND_COUNT];   /* of them */
	uint64_t refused[IMPORT_REASON_COUNT]; /* rows not taken, by reason */
	uint64_t ignored;                      /* marks without a meaning here (emojis that steer the source's queue) */
	uint64_t pairs_ranked;                 /* OpenAssistant: pairs of ranked answers in the file, whether or not they could be emitted */
	uint64_t pairs_withheld;               /* of them, not emitted since a row under them is deleted or missing */
};

/* Where it goes. An error from `item` ends the import with that error. verdict and progress may be NULL. */
struct import_sink {
	enum err (*item)(void *arg, const struct import_item *item, struct error *e);
	void (*verdict)(void *arg, const struct import_verdict *verdict);
	void (*progress)(void *arg, const struct import_counts *counts); /* about once per MiB read, and at the end */
	void *arg;
};

struct import_options {
	enum import_format format;                  /* said by the caller, never guessed */
	const struct contribution_schemas *schemas; /* what everything emitted is checked against */
	const struct json *mapping;                 /* CSV: as schemas/import_mapping.json says; NULL otherwise */
	struct str lang;                            /* for rows that do not say; STR_NONE: left out */
	struct str licence;                         /* SPDX id for everything; STR_NONE: left out, so that the member's default applies */
	struct str attribution;                     /* as in contribution.json; STR_NONE: left out */
	uint8_t pseudonym_key[32];                  /* authors are HMAC-SHA-256 under it: stable for who holds the key, meaningless to others */
};

/* Runs an import to its end. Fails only when the source does, the mapping is wrong, or the sink says so; bad rows are verdicts. */
CH_CHECK enum err import_run(const struct import_options *options, const struct import_source *source, const struct import_sink *sink,
	struct import_counts *counts, struct error *e);

#endif
