/* Runs tests/sql/ with pgTAP in a migrated database: what the schema promises by itself. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* Runs one file through psql and fails with the lines that are not ok. */
static void run_file(const char *file)
{
	char command[2048], line[4096];
	int ok = 0, wrong = 0;
	fixture_sql("CREATE EXTENSION IF NOT EXISTS pgtap");
	/* The superuser's connection, to the test's own database. */
	const char *name = fixture_text("SELECT current_database()");
	setenv("COMMONHOLD_TEST_URL", fixture_admin_url(name), 1);
	snprintf(command, sizeof(command), "psql -X -q -A -t -v ON_ERROR_STOP=1 -d \"$COMMONHOLD_TEST_URL\" -f '%s' 2>&1", file);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	while (fgets(line, sizeof(line), p)) {
		if (strncmp(line, "ok ", 3) == 0) {
			ok++;
		} else if (line[0] != '\n' && strncmp(line, "1..", 3) != 0 && !strchr(line, '|')) {
			wrong += strncmp(line, "not ok", 6) == 0 || strstr(line, "ERROR") != NULL;
			print_message("%s", line);
		}
	}
	assert_int_equal(pclose(p), 0);
	assert_int_equal(wrong, 0);
	assert_true(ok > 0);
}

static void the_schema_keeps_its_promises(void **state)
{
	(void)state;
	if (fixture_int("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgtap'") == 0)
		skip();
	run_file("tests/sql/invariants.sql");
}

int main(void)
{
	const struct CMUnitTest tests[] = { fixture_test(the_schema_keeps_its_promises) };
	return fixture_run(tests, CH_LEN(tests));
}
