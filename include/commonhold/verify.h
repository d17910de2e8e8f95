/* verify.h - checking a release artefact as an outsider would: offline, without a database, trusting nothing but a public key.
 *
 * The order is that of a careful reader: the list of files and their hashes, the signature over it, the manifest, the envelope over the manifest, every shard row by row,
 * tombstones, licences, the report, and the proof that the log knows this release. Shards are streamed: memory does not grow with them.
 * Everything in the folder is hostile until shown otherwise: names are checked, symbolic links are refused, lines and documents have a maximum.
 */
#ifndef COMMONHOLD_VERIFY_H
#define COMMONHOLD_VERIFY_H

#include "arena.h"
#include "check.h"
#include "crypto.h"
#include "error.h"
#include "str.h"

/* Media type of the manifest inside its DSSE envelope. */
#define RELEASE_PAYLOAD_TYPE "application/vnd.commonhold.manifest+json"

struct keychain;

/* What a verification remembers of the files that it hashed. In the next one with the same memory a file whose inode, size and times are what they were is not read again: for
 * whoever checks what they have just written, and again when the seals are on it. */
struct verify_memory;
struct verify_memory *verify_memory_new(struct arena *a);

struct verify_options {
	const uint8_t *public_key; /* 32 bytes that the reader got elsewhere; NULL: the manifest's own key, and the result says so */
	const struct keychain *keys; /* the chain that the reader got elsewhere; NULL: none. Without it the folder's own keys.json leads from public_key to the key that signed */
	const char *base;          /* folder of the release that this one is a redaction of: its patch is then applied to it; may be NULL */
	bool staged;               /* before the release has entered the log: SHA256SUMS, its signature, checkpoint and proof may be absent and are then not looked at */
	bool (*known)(void *arg, struct str path, struct sha256 sha256); /* rows of a shard with these bytes were checked before: its file hash is checked, its rows are not read again; may be NULL */
	/* The hash of a file that the caller has checked and knows to be what it was: it is not read for its hash. Together with known, what did not change costs nothing. May be NULL. */
	bool (*hashed)(void *arg, struct str path, struct sha256 *sha256);
	void *arg;                 /* for both */
	struct verify_memory *memory; /* may be NULL: every file is read */
};

struct verify_result {
	bool ok;                      /* every check holds */
	bool pinned;                  /* the key came from the reader, not from the artefact */
	struct str release;           /* federated id and version, when the manifest could be read */
	struct str version;
	int64_t rows;                 /* rows read */
	struct check *checks;  /* in order */
};

/* Checks the folder. ERR_OK when it could be looked at, whatever the result; an error (ERR_IO, ERR_NOT_FOUND) only when it could not. */
CH_CHECK enum err verify_release(struct arena *a, const char *dir, const struct verify_options *options, struct verify_result *out, struct error *e);

/* `commonhold verify DIR [--key KEY] [--json]`: one line per check; 0 all hold, 1 something does not, 2 wrong usage. */
int verify_main(int argc, char **argv);

#endif
