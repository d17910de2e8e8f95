/* near.h - near duplicates: which texts of a collection say almost the same. MinHash with banding; advice for people, never a reason to remove anything.
 *
 * A text is the set of its shingles: NEAR_SHINGLE code points in a row, in lower case (ASCII), with everything that is no letter, mark or digit taken as one blank. Two texts are near when
 * the Jaccard index of their sets is NEAR_THRESHOLD or more, as estimated from NEAR_PLACES places of one-permutation MinHash (Li, Owen, Zhang 2012) with optimal densification
 * (Shrivastava 2017), a byte a place (Li, König 2010). Clusters are the connected parts of that relation.
 *
 * The answer depends on the texts and their keys alone: not on the order in which they came, how often the same key came, or how many threads worked. Pure: no database, no clock.
 */
#ifndef COMMONHOLD_NEAR_H
#define COMMONHOLD_NEAR_H

#include "crypto.h"
#include "error.h"
#include "str.h"

#define NEAR_SHINGLE 8
#define NEAR_PLACES 128
#define NEAR_THRESHOLD 0.7
#define NEAR_TEXTS_MAX 16000000 /* 2.6 GB */

/* What is kept of a text: 128 bytes. */
struct near_sketch { uint8_t place[NEAR_PLACES]; };
/* Of any UTF-8; what is no UTF-8 counts byte by byte. A text shorter than one shingle is one shingle. */
void near_sketch_of(struct str text, struct near_sketch *out);
/* The estimate of the Jaccard index of two texts, 0 to 1. */
double near_likeness(const struct near_sketch *a, const struct near_sketch *b);

/* A collection. Texts are given as they come, by one thread at a time; the same key again changes nothing. */
struct near;
struct near *near_new(void);
void near_free(struct near *n);
/* `key` is what the text is known by, such as the digest of its content. False when there is no memory, or too many. */
CH_CHECK bool near_add(struct near *n, struct sha256 key, struct str text);
/* The same for a sketch that was kept. */
CH_CHECK bool near_add_sketch(struct near *n, struct sha256 key, const struct near_sketch *sketch);

/* Texts that are near each other, two at least, by their keys in ascending order; clusters in ascending order of their first keys. */
struct near_cluster { const struct sha256 *keys; size_t n; };
/* Works on `threads` threads. The answer belongs to the collection, until it is freed. */
CH_CHECK enum err near_clusters(struct near *n, unsigned threads, const struct near_cluster **out, size_t *n_out, struct error *e);

/* ---- The gate: removing near duplicates must not empty a source (marin-community/marin#6854 saw whole sources lost) ---- */

#define NEAR_LOSS_MAX_PERCENT 20
/* Of one contributor or one co-op: what it has, and what it would lose if of every cluster only the text with the least key stayed. */
struct near_loss { int64_t texts, lost; };
static inline bool near_loss_is_fair(struct near_loss l) { return l.lost * 100 <= l.texts * NEAR_LOSS_MAX_PERCENT; }

#endif
