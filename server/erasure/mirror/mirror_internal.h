/* mirror_internal.h - what the files about mirrors share: registry (mirror.c), announcing (announce.c), delivering (push.c), receipts (receipt.c), what is owed (duty.c), and
 * what follows when it is not met (overdue.c). All inside an open transaction. */
#ifndef COMMONHOLD_MIRROR_INTERNAL_H
#define COMMONHOLD_MIRROR_INTERNAL_H

#include "commonhold/access.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"
#include "commonhold/mirror.h"
#include "commonhold/notify.h"
#include "commonhold/tombstone.h"

#define MIRROR_ERASURE_DONE "erasure.complete" /* the job that erasures are completed by */

/* One mirror, locked against others who would change it where asked. ERR_NOT_FOUND. */
CH_CHECK enum err mirror_get(struct call *c, struct uuid coop, struct uuid id, bool lock, struct mirror *out);
/* The actor must be its account or an admin; others are told that there is none. */
CH_CHECK enum err mirror_require_own(struct call *c, struct uuid coop, const struct mirror *m);
/* Whether this instance keeps it itself. */
static inline bool mirror_is_kept(enum mirror_kind k) { return k == MIRROR_S3 || k == MIRROR_HUGGINGFACE; }
/* The context that the secret of a webhook is sealed in. */
struct str mirror_secret_context(struct arena *a, struct uuid coop, struct uuid mirror);
/* What it holds from now on, and nothing else. */
CH_CHECK enum err mirror_hold(struct call *c, struct uuid coop, struct uuid mirror, const struct str *versions, size_t n);
/* Counts again how far behind a co-op's recipients are. */
CH_CHECK enum err mirror_measure(struct call *c, struct uuid coop);
/* Something has come up to tell: of one mirror, or with nil of every webhook that is active. */
CH_CHECK enum err push_news(struct call *c, struct uuid coop, struct uuid mirror);
/* Gives up what was under way to a mirror. */
CH_CHECK enum err push_drop(struct call *c, struct uuid coop, struct uuid mirror);
/* Queues the job that completes the erasures among `ids` of which nothing is owed any more. */
CH_CHECK enum err duty_settle(struct call *c, struct uuid coop, const struct uuid *ids, size_t n);
/* Where nothing is overdue any more that an account is blocked for: lifts it. */
CH_CHECK enum err overdue_lift(struct call *c, struct uuid coop, struct uuid account);
/* Who looks after a co-op: accounts of its admins, and the co-op's name in addresses. */
CH_CHECK enum err mirror_admins(struct call *c, struct uuid coop, struct uuid **accounts, size_t *n, struct str *slug);
/* Data of a notice about what is owed. */
struct str mirror_notice(struct arena *a, const char *title, struct str text, struct str slug);

#endif
