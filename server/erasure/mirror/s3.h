/* s3.h - the S3 protocol (REST, 2006-03-01) as an adapter needs it. Requests are signed by libcurl with the payload's hash in them; nothing is ever made public, and no body is repeated in an error. */
#ifndef COMMONHOLD_S3_H
#define COMMONHOLD_S3_H

#include "adapter_internal.h"

#define S3_FIELDS_MAX 8

/* One request about a key; an empty key is the bucket. */
struct s3_request {
	const char *method;
	struct str key;
	struct str query;                 /* encoded, in order of names, a '=' in each pair: as it is signed */
	struct fetch_header fields[S3_FIELDS_MAX];
	size_t n_fields;
	struct str body;                  /* absent: none */
	const struct fetch_part *part;    /* instead of body, with its digest in sha256 */
	struct sha256 sha256;             /* of the part */
	bool unsigned_;                   /* as anybody asks */
	long slow_seconds;
	struct adapter_watch *watch;      /* its hasher takes the body; NULL: it is collected */
	int64_t watch_max;                /* bytes of a body that is watched; more is ERR_TOO_LARGE */
};
void s3_field(struct s3_request *q, const char *name, struct str value);
CH_CHECK enum err s3_ask(struct adapter_run *run, struct s3_request *q, struct fetch_answer *out, const char *what);
/* The place's word for its refusal; absent when it says none. */
struct str s3_code(struct adapter_run *run, const struct fetch_answer *answer);
/* Says what is wrong with an answer, by its code: some of 4xx are worth another try. */
enum err s3_odd(struct adapter_run *run, const struct fetch_answer *answer, const char *what);
/* A key below the target's prefix. */
struct str s3_key(struct adapter_run *run, struct str version, struct str path);

/* One object, version or upload in a listing. */
struct s3_item { struct str key, id /* of the version or upload; absent */, etag; int64_t size; };
struct s3_list { struct s3_item *items; size_t n, cap; bool known; /* false: the service does not know this listing */ };
enum s3_listing { S3_OBJECTS, S3_VERSIONS, S3_UPLOADS };
/* Everything under a prefix, page by page, up to S3_LIST_MAX. */
#define S3_LIST_MAX 200000
CH_CHECK enum err s3_list_all(struct adapter_run *run, enum s3_listing which, struct str prefix, struct s3_list *out);
/* Deletes a key, or (id present) one of its versions; what is not there is gone. */
CH_CHECK enum err s3_delete(struct adapter_run *run, struct str key, struct str id);
/* Puts a small object; `if_match` absent: whatever is there; empty: only where nothing is. ERR_STALE: not as it was. *version_id absent where none are kept. */
CH_CHECK enum err s3_put_small(struct adapter_run *run, struct str key, struct str body, struct str if_match, struct str *etag, struct str *version_id);

#endif
