/* Delivery reports that come back later. What is believed of them is only what finds a mail of ours by an id that we signed: whoever can show that has had the mail, or
 * carried it. */
#include "server/notify/notify_internal.h"
#include "server/notify/report.h"

SQL(mail_of, "SELECT state, address_hash FROM mail WHERE id = $1 FOR UPDATE");
SQL(refuse, "UPDATE mail SET state = 'refused', said = $2 WHERE id = $1");

static enum err mail_of_report(struct call *c, const struct mail_report *report, struct uuid *mail)
{
	for (size_t i = 0; i < report->n_tags; i++)
		if (mail_tag_read(report->tags[i], mail))
			return ERR_OK;
	return fail(c, ERR_NOT_FOUND, "The report is about no mail of this instance.");
}

enum err notify_bounce(struct call *c, struct str message, bool *recorded)
{
	struct mail_report report;
	struct uuid mail;
	struct rows r;
	*recorded = false;
	TRY(mail_report_read(c->arena, message, &report, &c->error));
	TRY(mail_of_report(c, &report, &mail));
	if (!report.failed)
		return ERR_OK;
	struct str said = mail_words_only(c->arena, report.diagnostic);
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, mail_of, &r, A_UUID(mail)));
	if (!r.n)
		return fail(c, ERR_NOT_FOUND, "The mail that the report is about was forgotten.");
	if (str_is(row_str(&r, 0, 0), "sent") && !row_null(&r, 0, 1)) {
		struct mail_refusal refusal = { .status = report.status, .said = said, .told_by = "report", .nobody = mail_status_is_nobody(report.status, 0) };
		TRY(mail_address_refused(c, sha256_load(row_bytes(&r, 0, 1)), &refusal));
		TRY(db_exec(c, refuse, A_UUID(mail), A_STR(said)));
		*recorded = true;
	}
	return db_commit(c);
}
