#include "access_internal.h"
#include "commonhold/routes.h"
const struct route access_page_routes[] = { ROUTE_TABLE_END };
