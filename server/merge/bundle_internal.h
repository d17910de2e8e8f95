/* bundle_internal.h - what the files about bundles share. Of server/merge only. */
#ifndef COMMONHOLD_BUNDLE_INTERNAL_H
#define COMMONHOLD_BUNDLE_INTERNAL_H

#include "commonhold/bundle.h"

/* Refuses, with a reason of BUNDLE_REASONS and a sentence; ERR_REFUSED. */
enum err bundle_refuse(struct error *e, enum bundle_reason r, const char *fmt, ...) CH_PRINTF(3, 4);
/* A small file of an open bundle as a whole; NUL-terminated. */
CH_CHECK enum err bundle_file_text(struct arena *a, const struct bundle *b, const struct bundle_file *f, size_t max, struct str *out, struct error *e);
/* The file with this path; NULL when the bundle has none. */
const struct bundle_file *bundle_file_find(const struct bundle *b, const char *path);
/* The origin in a note's first line. */
struct str bundle_note_origin(struct str note);
/* Which part a path belongs to by its name. */
enum bundle_part bundle_part_of(struct str path);
/* The leaf hashes of events as they are read, for whoever keeps them. */
struct sha256 bundle_leaf_hash(struct str entry);
/* A signed line of ours without its signature: `head` and `tail` are the parts before and behind it. */
struct str bundle_said_text(struct arena *a, struct str head, struct str tail);

#endif
