#include "commonhold/assets.h"
#include "asset_entry.h"

static struct asset asset_at(size_t i)
{
	const struct asset_entry *entry = &asset_entries[i];
	return (struct asset){ entry->path, str_make(entry->begin, (size_t)(entry->end - entry->begin)) };
}

struct str asset_find(struct str path)
{
	size_t low = 0, high = asset_entry_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_cmp(str_of(asset_entries[middle].path), path);
		if (order == 0)
			return asset_at(middle).content;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return STR_NONE;
}

void asset_each(const char *folder, void (*fn)(void *arg, const struct asset *asset), void *arg)
{
	for (size_t i = 0; i < asset_entry_count; i++) {
		struct asset asset = asset_at(i);
		if (str_starts(str_of(asset.path), folder))
			fn(arg, &asset);
	}
}
