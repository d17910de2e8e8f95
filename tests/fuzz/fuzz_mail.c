/* Any bytes as a delivery report, and as what people write into a mail. A report's texts lie inside it; whatever is written, the head of a message keeps its lines, no line is
 * long, and all of it is ASCII. First byte: which. */
#include "tests/fuzz/fuzz.h"
#include "server/notify/message.h"
#include "server/notify/report.h"

static void read_report(struct arena *a, struct str text)
{
	struct mail_report r;
	struct error e = { 0 };
	if (mail_report_read(a, text, &r, &e) != ERR_OK)
		return;
	FUZZ_CHECK(r.has_status && r.n_tags <= MAIL_REPORT_TAGS && r.status.n >= 5);
	for (size_t i = 0; i < r.n_tags; i++)
		FUZZ_CHECK(r.tags[i].n == 52);
	struct str said = mail_words_only(a, r.diagnostic);
	FUZZ_CHECK(said.n < 200 && str_index(said, '@') < 0);
}

/* Name, subject, address, text and HTML, with a NUL between them. */
static void compose(struct arena *a, struct str all)
{
	struct str part[5] = { STR(""), STR(""), STR(""), STR(""), STR("") }, out, line;
	struct error e = { 0 };
	for (size_t i = 0; i < 5 && str_split(&all, '\0', &part[i]); i++)
		;
	struct mail_message m = {
		.from_name = part[0], .from = STR("mail@coop.example"), .to = mail_address_ok(part[2]) ? part[2] : STR("a@example.org"), .subject = part[1],
		.id = STR("x@coop.example"), .boundary = STR("b"), .at = 0, .text = part[3], .html = part[4],
	};
	if (mail_compose(a, &m, &out, &e) != ERR_OK) {
		FUZZ_CHECK(e.code == ERR_TOO_LARGE);
		return;
	}
	bool head = true, ascii_address = str_is(m.to, "a@example.org");
	int fields = 0, boundaries = 0;
	while (str_split(&out, '\n', &line) && out.p) {
		FUZZ_CHECK(line.n && line.p[line.n - 1] == '\r' && line.n < 400);
		for (size_t i = 0; i + 1 < line.n; i++)
			FUZZ_CHECK(line.p[i] != '\r' && line.p[i] != '\0' && (!ascii_address || (unsigned char)line.p[i] < 0x80));
		head = head && line.n > 1;
		fields += head && line.p[0] != ' ';
		boundaries += str_starts(line, "--=_b");
	}
	FUZZ_CHECK(fields == 8 && boundaries == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(64 * MIB);
	if (a && size > 0 && size < 65536) {
		struct str rest = str_make(data + 1, size - 1);
		if (data[0] % 2)
			compose(a, rest);
		else
			read_report(a, rest);
	}
	arena_free(a);
	return 0;
}
