#include "commonhold/coop.h"

enum err member_is_admin(struct call *c, struct uuid coop, bool *admin)
{
	struct member me;
	*admin = c->actor.kind == AUTH_SYSTEM;
	if (*admin || uuid_is_nil(c->actor.account))
		return ERR_OK;
	enum err e = member_of_actor(c, coop, &me);
	if (e == ERR_NOT_FOUND) {
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	*admin = me.is_admin && in_good_standing(me.state);
	return ERR_OK;
}

enum err member_require_admin(struct call *c, struct uuid coop)
{
	bool admin;
	TRY(member_is_admin(c, coop, &admin));
	if (admin)
		return ERR_OK;
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	return fail(c, ERR_FORBIDDEN, "Only an admin of the co-op may do this.");
}
