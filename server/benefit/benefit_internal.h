/* benefit_internal.h - what the files of benefit/ share. */
#ifndef COMMONHOLD_BENEFIT_INTERNAL_H
#define COMMONHOLD_BENEFIT_INTERNAL_H

#include "commonhold/benefit.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"

/* How admins and the person call a member, as a column: the public name, the pseudonym, or "anonymous"; m is the membership. */
#define BENEFIT_WHO "CASE m.attribution WHEN 'public' THEN m.public_name WHEN 'pseudonym' THEN m.pseudonym ELSE 'anonymous, number ' || m.number END"

/* Everything that changes what somebody is owed takes this lock of the co-op first; inside. */
CH_CHECK enum err benefit_lock(struct call *c, struct uuid coop);
/* One income; inside. */
CH_CHECK enum err benefit_get(struct call *c, struct uuid coop, struct uuid income, struct benefit_income *out);
/* Its shares; inside. Names, members and salts only where asked. */
CH_CHECK enum err benefit_shares_in(struct call *c, struct uuid coop, struct uuid income, bool names, struct benefit_share **out, size_t *n);
/* Data of a notice; `release` may be absent. */
struct str benefit_notice(struct arena *a, const char *title, struct str text, struct str slug, struct str amount, struct str release);

#endif
