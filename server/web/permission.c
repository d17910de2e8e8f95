/* Whether the caller may use the route at all. What they may do with a particular thing is for the operation to say. */
#include "server/web/web.h"

static bool is_account(const struct call *c)
{
	return c->actor.kind == AUTH_SESSION || c->actor.kind == AUTH_TOKEN;
}

static enum err role_missing(struct exchange *x, const char *sentence)
{
	if (!is_account(&x->call))
		return fail(&x->call, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	return fail(&x->call, ERR_FORBIDDEN, "%s", sentence);
}

enum err permission_check(struct exchange *x)
{
	struct call *c = &x->call;
	const struct coop_ref *coop = &x->rq.coop;
	switch (x->rq.route->permission) {
	case PERM_PUBLIC:
	case PERM_OPTIONAL:
		return ERR_OK;
	case PERM_ACCOUNT:
		return is_account(c) ? ERR_OK : fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	case PERM_MEMBER:
		return is_account(c) && coop->is_member ? ERR_OK : role_missing(x, "Only members of this co-op may do this.");
	case PERM_ACTIVE:
		return is_account(c) && coop->is_active ? ERR_OK : role_missing(x, "Only active members of this co-op may do this.");
	case PERM_ADMIN:
		return is_account(c) && coop->is_admin ? ERR_OK : role_missing(x, "Only admins of this co-op may do this.");
	case PERM_GRANT:
		if (c->actor.kind == AUTH_GRANT || (is_account(c) && coop->is_member))
			return ERR_OK;
		return role_missing(x, "Only members and holders of an access grant may do this.");
	}
	return fail(c, ERR_FORBIDDEN, "%s", err_text(ERR_FORBIDDEN));
}
