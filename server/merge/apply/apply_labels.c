/* apply_labels.c - labels and signals of a bundle: sets, of which the latest word of each labeller stands. */
#include "server/merge/merge_internal.h"

SQL(labels_table,
	"CREATE TEMPORARY TABLE label_in (item_id uuid, home text, by_home text, by bytea, label text, value text, at timestamptz) ON COMMIT DROP");
/* Of two words of the same instant the greater stands: any rule does that everybody follows. Nothing is kept about what was erased. */
SQL(labels_put,
	"INSERT INTO merge_label AS l (coop_id, item_id, home, by_home, by, label, value, at, agreement_id) "
	"SELECT DISTINCT ON (i.item_id, i.by_home, i.by, i.label, i.home) $1, i.item_id, i.home, i.by_home, i.by, i.label, i.value, i.at, $2 FROM label_in i "
	"WHERE NOT EXISTS (SELECT FROM onward_word w WHERE w.coop_id = $1 AND w.home = i.home AND w.id = i.item_id AND w.counts AND w.kind IN ('erase', 'correct')) "
	"AND NOT EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.id = i.item_id AND (c.word & 4096) <> 0) "
	"ORDER BY i.item_id, i.by_home, i.by, i.label, i.home, i.at DESC, i.value COLLATE \"C\" DESC NULLS LAST "
	"ON CONFLICT (coop_id, item_id, by_home, by, label, home) DO UPDATE SET value = excluded.value, at = excluded.at, agreement_id = excluded.agreement_id "
	"WHERE (excluded.at, coalesce(excluded.value, '') COLLATE \"C\") > (l.at, coalesce(l.value, '') COLLATE \"C\") "
	"RETURNING l.value IS NULL");

static enum err labels_copy(struct applying *a, struct bundle_lines *lines)
{
	struct call *c = a->call;
	struct copy_in *s;
	TRY(db_copy_in_begin(c, "COPY label_in (item_id, home, by_home, by, label, value, at) FROM STDIN (FORMAT binary)", &s));
	struct arena_mark mark = arena_mark(c->arena);
	for (;;) {
		struct str line;
		struct bundle_label l;
		TRY(bundle_lines_next(lines, &line, &c->error));
		if (!line.p)
			return db_copy_in_end(s, NULL);
		TRY(bundle_label_read(c->arena, line, &l, &c->error));
		copy_in_row(s, 7);
		copy_in_uuid(s, l.id);
		copy_in_str(s, l.home);
		copy_in_str(s, l.by_home);
		copy_in_str(s, str_make(l.by, 16));
		copy_in_str(s, l.label);
		copy_in_str(s, l.value);
		copy_in_time(s, l.at);
		TRY(copy_in_flush(s));
		arena_rewind(c->arena, mark);
	}
}

enum err apply_labels(struct applying *a)
{
	struct call *c = a->call;
	struct bundle_lines *lines;
	struct rows r;
	if (a->bundle->counts.labels == 0)
		return ERR_OK;
	TRY(db_query0(c, labels_table, NULL));
	TRY(bundle_lines_open(c->arena, a->bundle, BUNDLE_LABELS, &lines, &c->error));
	TRY(labels_copy(a, lines));
	TRY(db_query(c, labels_put, &r, A_UUID(a->coop), A_UUID(a->agreement.id)));
	for (int i = 0; i < r.n; i++)
		*(row_bool(&r, i, 0) ? &a->report.signals : &a->report.labels) += 1;
	return ERR_OK;
}
