/* hub.h - the writing side of the Hugging Face Hub's protocol, as an adapter needs it. (The reading side, which this instance itself speaks, is access/hub_api.c.) The token goes to the endpoint alone:
 * never along with a link to storage, which has its own signature in it, and no link is ever repeated in an error. */
#ifndef COMMONHOLD_ADAPTER_HUB_H
#define COMMONHOLD_ADAPTER_HUB_H

#include "adapter_internal.h"
#include "commonhold/json.h"

/* One file of a revision. */
struct hub_entry { struct str path; struct str oid /* git's */, lfs /* SHA-256 in hex; absent: an ordinary file */; int64_t size; };
struct hub_tree { struct hub_entry *entries; size_t n; };
struct hub_info { bool exists, is_private; struct str gated /* "auto", "manual", "" */, head; };
struct hub_ref { struct str name, ref, commit; };
struct hub_refs { struct hub_ref *tags, *others; size_t n_tags, n_others; /* branches but main, pull requests, converted copies */ };

/* One exchange with the endpoint, by a path of its own; `body` is JSON unless `type` says otherwise. */
CH_CHECK enum err hub_ask(struct adapter_run *run, const char *method, struct str path, struct str body, const char *type, struct fetch_answer *out, const char *what);
/* The same, and requires 2xx. `json` may be NULL. */
CH_CHECK enum err hub_do(struct adapter_run *run, const char *method, struct str path, struct str body, const struct json **json, const char *what);
enum err hub_odd(struct adapter_run *run, const struct fetch_answer *answer, const char *what);
/* "/api/datasets/<namespace>/<name><rest>" */
struct str hub_path(struct adapter_run *run, struct str rest);

CH_CHECK enum err hub_info_read(struct adapter_run *run, struct hub_info *out);
/* All files of a revision; `known` is false for a revision that there is not. */
CH_CHECK enum err hub_tree_read(struct adapter_run *run, struct str revision, struct hub_tree *out);
CH_CHECK enum err hub_revision_is_there(struct adapter_run *run, struct str revision, bool *there);
CH_CHECK enum err hub_refs_read(struct adapter_run *run, struct hub_refs *out);
/* Stored LFS files: their SHA-256 in hex. */
CH_CHECK enum err hub_lfs_list(struct adapter_run *run, struct str **out, size_t *n);
CH_CHECK enum err hub_untag(struct adapter_run *run, struct str tag);
/* Sets the tag to the commit. */
CH_CHECK enum err hub_tag(struct adapter_run *run, struct str tag, struct str commit, struct str message);
const struct hub_entry *hub_entry_find(const struct hub_tree *t, struct str path);

/* hub_push.c: makes main show exactly the version's files, uploads what the repository lacks, and gives the commit that does. */
CH_CHECK enum err hub_show(struct adapter_run *run, struct adapter_version *v, struct str *commit);
/* Commits lines of NDJSON, each ended, on `parent`. */
CH_CHECK enum err hub_commit(struct adapter_run *run, struct str parent, struct str summary, struct str lines, struct str *commit);
/* hub_lfs.c: uploads the files that are to be kept in LFS and are not there. */
CH_CHECK enum err hub_lfs_upload(struct adapter_run *run, struct adapter_version *v, const bool *in_lfs);

#endif
