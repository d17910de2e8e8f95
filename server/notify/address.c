/* What is known of addresses: refusals are counted until a delivery, or the person's own word, takes them away. */
#include "server/notify/notify_internal.h"

#define REFUSALS_MAX 3 /* for reasons that may pass, such as a full mailbox: then the address counts as unreachable too */

SQL(refuse,
	"INSERT INTO mail_trouble (address_hash, refusals, first_at, last_at, status, said, told_by, unreachable)"
	" VALUES ($1, 1, commonhold_now(), commonhold_now(), $2, $3, $4, $5)"
	" ON CONFLICT (address_hash) DO UPDATE SET refusals = mail_trouble.refusals + 1, last_at = excluded.last_at, status = excluded.status, said = excluded.said,"
	" told_by = excluded.told_by, unreachable = mail_trouble.unreachable OR excluded.unreachable OR mail_trouble.refusals + 1 >= $6");
SQL(forgive, "DELETE FROM mail_trouble WHERE address_hash = $1");
SQL(forget_notices_of, "DELETE FROM notice WHERE account_id = $1");
SQL(forget_settings_of, "DELETE FROM notice_setting WHERE account_id = $1");
SQL(forget_mail_of, "DELETE FROM mail WHERE account_id = $1 OR address_hash = $2");
/* Names stand in the data as JSON has them. A pseudonym is nobody else's; what people call themselves may be a part of any word, so it is looked for where names are told. */
SQL(forget_named,
	"WITH gone AS (DELETE FROM notice n WHERE n.about_coop = $1 AND (strpos(n.data, btrim(to_json($2)::text, '\"')) > 0 OR (n.kind LIKE 'delegation.%' AND strpos(n.data, btrim(to_json($3)::text, '\"')) > 0)) RETURNING n.id) "
	"DELETE FROM mail m USING gone WHERE m.notice_id = gone.id");

/* What says that there is no such mailbox, rather than that it is full or that the server has a policy. */
bool mail_status_is_nobody(struct str status, int code)
{
	return str_starts(status, "5.1.") || (status.n == 3 && (code == 550 || code == 551 || code == 553));
}

enum err mail_address_refused(struct call *c, struct sha256 hash, const struct mail_refusal *r)
{
	return db_queue(c, refuse, A_BYTES(str_make(hash.b, sizeof(hash.b))), A_STR(r->status), A_STR(r->said), A_Z(r->told_by), A_BOOL(r->nobody), A_INT(REFUSALS_MAX));
}

enum err mail_address_delivered(struct call *c, struct str address)
{
	struct sha256 hash = mail_address_hash(c->arena, address);
	return db_queue(c, forgive, A_BYTES(str_make(hash.b, sizeof(hash.b))));
}

enum err notify_forget(struct call *c, struct uuid account, struct str address)
{
	struct sha256 hash = mail_address_hash(c->arena, address);
	TRY(db_queue(c, forget_notices_of, A_UUID(account)));
	TRY(db_queue(c, forget_settings_of, A_UUID(account)));
	TRY(db_queue(c, forget_mail_of, A_UUID(account), A_BYTES(str_make(hash.b, sizeof(hash.b)))));
	return mail_address_delivered(c, address);
}

enum err notify_forget_named(struct call *c, struct uuid coop, struct str pseudonym, struct str public_name)
{
	return db_queue(c, forget_named, A_UUID(coop), A_STR(pseudonym), A_STR(public_name));
}
