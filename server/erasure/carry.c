#include "commonhold/erasure.h"

/* What follows from a request that is effective. */

const struct job_kind erasure_jobs[] = {
	JOB_TABLE_END,
};
