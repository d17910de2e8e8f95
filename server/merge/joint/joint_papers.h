/* joint_papers.h - manifests and leaves of joint releases that are too long for a message: told by digest, got by the other. Of server/merge/joint only. */
#ifndef COMMONHOLD_JOINT_PAPERS_H
#define COMMONHOLD_JOINT_PAPERS_H

#include "commonhold/joint.h"

/* One of ours for the partner: "manifest" or "leaves"; ERR_NOT_FOUND where there is none, or the joint release is not made under this agreement. */
CH_CHECK enum err joint_paper(struct call *c, struct uuid coop, struct uuid agreement, struct uuid joint, struct str name, struct str *out);
/* "joint.fetch" {"coop","joint","leaves":HEX or "","manifest":HEX or ""}: gets what was told so, and refuses what has another digest. */
CH_CHECK enum err joint_fetch_job(struct call *c, const struct json *args);

#endif
