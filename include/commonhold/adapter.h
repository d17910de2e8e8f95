/* adapter.h - publishing adapters: a mirror that the instance itself keeps in step, an S3-compatible bucket or a dataset repository of the Hugging Face Hub.
 *
 * A target belongs to a mirror (mirror.h) and says where releases go, with which credentials, and who can read what lies there. One job brings it in line with the co-op's releases: the
 * newest usable version is put there whole and only then named as the latest, versions that were withdrawn are erased, history and kept object versions included, and the place is asked
 * afterwards whether they are gone. What it said is the purge receipt, signed by the instance. Every step is told to the database before the next one begins, so that a run that was killed
 * is taken up where it stood; a place that asks for patience gets it.
 *
 * A release never goes to more people than it was decided for: a target that more can read than the release's audience is refused it, a gated one is checked from outside, without
 * credentials. Credentials are sealed under the instance's key; they are never in a job's arguments, a log, an error or an answer.
 */
#ifndef COMMONHOLD_ADAPTER_H
#define COMMONHOLD_ADAPTER_H

#include "call.h"
#include "job.h"
#include "policy_vocab.h"

enum adapter_kind { ADAPTER_S3, ADAPTER_HUB, ADAPTER_KIND_COUNT };
const char *adapter_kind_name(enum adapter_kind k); /* as mirrors are called: "s3", "huggingface" */

/* How a run ended last. */
#define ADAPTER_STATES(X) \
	X(WAITING, "waiting", "Nothing was done yet.") \
	X(WORKING, "working", "A run is under way.") \
	X(CURRENT, "current", "What should be there is there, and nothing else.") \
	X(RETRYING, "retrying", "The last run did not get through; it is repeated.") \
	X(REFUSED, "refused", "It may not go there as things stand; an admin has to change the target.") \
	X(DEAD, "dead", "It was tried as often as it may be; an admin may have it tried again.")
enum adapter_state {
#define X(name, text, sentence) ADAPTER_##name,
	ADAPTER_STATES(X)
#undef X
	ADAPTER_STATE_COUNT
};
const char *adapter_state_name(enum adapter_state s);

/* Where a mirror's copy lies. */
struct adapter_target {
	struct uuid coop, mirror;
	enum adapter_kind kind;
	struct str endpoint;      /* "https://s3.eu-central-1.amazonaws.com", "https://huggingface.co"; without a path */
	struct str place;         /* the bucket, or "namespace/name" of the repository */
	struct str prefix;        /* of S3: what comes before the versions, without slashes at its ends; may be empty */
	struct str region;        /* of S3: as requests are signed for */
	bool path_style;          /* of S3: the bucket is a part of the path, and not of the host */
	int64_t part_bytes;       /* of S3: size of a part; files over it go up in parts */
	bool recreate;            /* of the Hub: erase by deleting and making the repository again, and not by rewriting its history */
	uint8_t audience;         /* enum policy_audience: who can read what lies there, as an admin has confirmed */
	struct uuid confirmed_by; /* that admin's account */
	instant set_at;           /* when it was set, and confirmed */
	enum adapter_state state;
	struct str error;         /* what the last run met, a sentence; absent: nothing */
	int attempts;             /* runs in a row without progress */
	instant run_at;           /* when the last run ended; INSTANT_NONE: none yet */
	instant next_at;          /* not before; INSTANT_NONE: no run is planned */
	struct str latest;        /* the version that is named as the latest there; absent: none */
};

/* A version that was put there, or is being. */
#define ADAPTER_COPY_STATES(X) X(UPLOADING, "uploading") X(PUBLISHED, "published") X(ERASING, "erasing") X(ERASED, "erased")
enum adapter_copy_state {
#define X(name, text) ADAPTER_COPY_##name,
	ADAPTER_COPY_STATES(X)
#undef X
	ADAPTER_COPY_STATE_COUNT
};
const char *adapter_copy_state_name(enum adapter_copy_state s);
struct adapter_copy {
	struct uuid release;
	struct str version;
	enum adapter_copy_state state;
	struct str revision;      /* of the Hub: the commit that it was put there by; absent before */
	instant begun_at, published_at, erased_at; /* INSTANT_NONE until then */
	struct str checked;       /* what was asked after erasing, and answered: canonical JSON; absent before */
	int64_t files, files_done; /* how many it has, and how many of them are there */
};

/* Credentials, as an admin gives them: of S3 both, of the Hub the token in `secret`. Kept sealed and never told again. */
struct adapter_credentials { struct str key_id, secret; };

/* Admin: sets or replaces the target of a mirror, and has it tried at once. Absent credentials keep those there are, unless endpoint or place changed. ERR_REFUSED when the place leads into a private
 * network, or `confirm` (the admin's "who can read it is as I say") is missing. */
CH_CHECK enum err adapter_set(struct call *c, const struct adapter_target *in, const struct adapter_credentials *credentials, bool confirm, struct adapter_target *out);
/* Admin: the target, and what lies there, newest first. ERR_NOT_FOUND without one. */
CH_CHECK enum err adapter_read(struct call *c, struct uuid coop, struct uuid mirror, struct adapter_target *out, struct adapter_copy **copies, size_t *n);
/* Admin: forgets the target and its credentials; what lies there stays and is no longer looked after. With `erase` the copies go first, and the target then. */
CH_CHECK enum err adapter_end(struct call *c, struct uuid coop, struct uuid mirror, bool erase);
/* Admin: tries again at once, dead letters too. */
CH_CHECK enum err adapter_retry(struct call *c, struct uuid coop, struct uuid mirror, struct adapter_target *out);
/* "adapter.publish" and "adapter.redact" {coop, mirror}: something is new, queued by mirror.h; "adapter.run" {coop, mirror}: one run of a target, one at a time; "adapter.tick": of all that are
 * behind. */
extern const struct job_kind adapter_jobs[];

#endif
