/* merge_kit.h - bundles for tests, written line by line as an imagined home would send them, past exporting and checking: tests of applying say exactly what arrives, in which order, how often. */
#ifndef COMMONHOLD_TESTS_MERGE_KIT_H
#define COMMONHOLD_TESTS_MERGE_KIT_H

#include "pool_world.h"

#include "commonhold/agreement.h"
#include "commonhold/bundle.h"
#include "commonhold/merge.h"

/* A co-op somewhere else: a name, a key and a log that is only as long as it says. */
struct mkit_home { struct sign_key key; struct keychain keys; struct str name; int64_t size; int64_t tombstones; struct sha256 tombstone; };
/* Memory of c. */
void mkit_home(struct call *c, struct mkit_home *out);

/* An agreement in effect between a co-op here and a home, that lets everything that the charter allows come in. `more`: members of the draft ("\"moderation\":\"both\""), or "". */
struct mkit_agreement { struct uuid coop, id; struct mkit_home *home; int64_t seq; };
void mkit_agree(struct call *c, struct uuid coop, struct mkit_home *home, const char *more, struct mkit_agreement *out);

/* A bundle as it is being written: lines of each sort. */
struct mkit_bundle { struct call *c; struct mkit_home *home; struct buf tombstones, statements, records, labels; struct bundle_counts counts; };
void mkit_begin(struct call *c, struct mkit_home *home, struct mkit_bundle *b);
void mkit_end(struct mkit_bundle *b);
/* Words of contributor `no`: consent to research, and `effect` on train.gen (NULL: nothing said); `spoken`: what home says for them (NULL: nothing). */
void mkit_words(struct mkit_bundle *b, unsigned no, int64_t rev, const char *effect, const char *spoken);
/* A record of contributor `no`: id and content as given. */
void mkit_record(struct mkit_bundle *b, unsigned no, struct uuid id, const char *input, const char *licence);
/* The same of any kind, with its content as canonical JSON. */
void mkit_record_json(struct mkit_bundle *b, unsigned no, struct uuid id, const char *kind, const char *content, const char *licence);
void mkit_erase(struct mkit_bundle *b, struct uuid id);
void mkit_passing(struct mkit_bundle *b, struct uuid id, bool out, int64_t rev);
/* `value` NULL: a signal. */
void mkit_label(struct mkit_bundle *b, unsigned by, struct uuid id, const char *label, const char *value, instant at);

/* Puts it into files and gives it as a checked bundle of number `seq` under an agreement. It may be applied any number of times; `no` makes its digest. */
struct bundle *mkit_bundle(struct call *c, const struct mkit_agreement *g, const struct mkit_bundle *b, int64_t seq, unsigned no);
/* The next of an agreement, applied: must succeed. */
struct merge_report mkit_apply(struct call *c, struct mkit_agreement *g, const struct mkit_bundle *b);

#endif
