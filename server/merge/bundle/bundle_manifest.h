/* bundle_manifest.h - members that the manifests of bundles and of forks' exports have in common. Of server/merge only. */
#ifndef COMMONHOLD_MERGE_BUNDLE_MANIFEST_H
#define COMMONHOLD_MERGE_BUNDLE_MANIFEST_H

#include "commonhold/bundle.h"
#include "commonhold/json.h"
#include "commonhold/zst.h"

/* Where a log stands, as member `key`: {"root","size"}. */
void manifest_head_write(struct json_writer *w, struct arena *a, const char *key, int64_t size, struct sha256 root);
/* "counts" */
void manifest_counts_write(struct json_writer *w, const struct bundle_counts *n);
/* One of "files": how many lines it has, and what it is, packed and not. */
void manifest_file_write(struct json_writer *w, struct arena *a, struct str path, int64_t lines, const struct zst_result *r);

#endif
