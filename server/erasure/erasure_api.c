#include "commonhold/erasure.h"
#include "commonhold/routes.h"

/* Requests for deletion over JSON. */

const struct route erasure_routes[] = {
	ROUTE_TABLE_END
};
