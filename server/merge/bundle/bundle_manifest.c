#include "bundle_manifest.h"

void manifest_head_write(struct json_writer *w, struct arena *a, const char *key, int64_t size, struct sha256 root)
{
	jw_key(w, key);
	jw_object(w);
	jw_kstr(w, "root", sha256_hex(a, root));
	jw_kint(w, "size", size);
	jw_end_object(w);
}

void manifest_counts_write(struct json_writer *w, const struct bundle_counts *n)
{
	jw_key(w, "counts");
	jw_object(w);
	jw_kint(w, "back", n->back);
	jw_kint(w, "events", n->events);
	jw_kint(w, "labels", n->labels);
	jw_kint(w, "out", n->out);
	jw_kint(w, "records", n->records);
	jw_kint(w, "statements", n->statements);
	jw_kint(w, "tombstones", n->tombstones);
	jw_end_object(w);
}

void manifest_file_write(struct json_writer *w, struct arena *a, struct str path, int64_t lines, const struct zst_result *r)
{
	jw_object(w);
	jw_kint(w, "lines", lines);
	jw_kstr(w, "path", path);
	jw_kstr(w, "raw_sha256", sha256_hex(a, r->raw_sha256));
	jw_kint(w, "raw_size", r->raw_size);
	jw_kstr(w, "sha256", sha256_hex(a, r->sha256));
	jw_kint(w, "size", r->size);
	jw_end_object(w);
}
