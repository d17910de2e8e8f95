#include "commonhold/erasure_statement.h"
#include "commonhold/routes.h"

/* The signed statement about a request, to keep. */

static enum err statement_read(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str envelope;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(erasure_statement(rq->call, rq->coop.id, id, &envelope));
	response_header(rs, "Content-Disposition", str_fmt(rq->call->arena, "attachment; filename=\"deletion-%.*s.dsse.json\"", STR_ARG(uuid_format(rq->call->arena, id))));
	buf_add_str(&rs->body, envelope);
	return ERR_OK;
}

const struct route erasure_statement_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/deletions/{deletion}/statement", "deletion_statement", PERM_ACCOUNT, 0, NULL, "dsse", 200, statement_read,
		"What was done about a request and what was not, signed by the co-op", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END,
};
