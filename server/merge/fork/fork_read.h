/* fork_read.h - an export as it was read and checked, for founding from it. Of server/merge only. */
#ifndef COMMONHOLD_FORK_READ_H
#define COMMONHOLD_FORK_READ_H

#include "server/merge/fork/fork_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/ledger.h"

#define FORK_CLAIMS_MAX (64 * MIB)

struct fork_claimed { struct sha256 claim; uint8_t contributor[16]; };
struct fork_read {
	const char *dir;               /* where its files are */
	struct str manifest, signature;
	const struct json *json;       /* manifest */
	struct str parent, parent_title, parent_url; /* key name, as its charter calls it, base address */
	struct uuid offer, to;         /* to: id that the fork will have */
	struct str title, to_name;     /* as it was offered; key name of the fork */
	instant at;
	int64_t size;                  /* leaves of the parent's log */
	struct sha256 root;
	struct lineage_node *lineage;  /* the parent's own, eldest first */
	size_t n_lineage;
	struct lineage_charter *charters; /* in the order of the log: those of the ancestors, then the parent's */
	size_t n_charters;
	struct fork_claimed *claims;
	size_t n_claims;
	struct bundle *bundle;         /* checked */
};
/* Reads a folder or .tar (which is unpacked into a folder of ours for as long as the arena lives) and checks all of it. Outside a transaction. */
CH_CHECK enum err fork_read(struct call *c, const char *path, struct fork_read *out);
void fork_read_report(const struct fork_read *x, struct fork_report *out);
/* The leaves of the parent's log, in order. */
CH_CHECK enum err fork_events(struct call *c, struct fork_read *x, enum err (*leaf)(void *arg, struct str entry), void *arg);
/* Takes the words and items of an export into a fork that is being founded, in its transaction: as of an agreement that nobody made, the offer. */
CH_CHECK enum err fork_take(struct call *c, struct uuid coop, struct fork_read *x);

#endif
