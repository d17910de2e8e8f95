/* policy_cli.h - the policy engine on the command line, from files, without a database. */
#ifndef COMMONHOLD_POLICY_CLI_H
#define COMMONHOLD_POLICY_CLI_H

/* `commonhold explain FILE`: why an item is decided as it is. Exit status 0 ok, 1 refused or failed, 2 usage. */
int explain_main(int argc, char **argv);
/* `commonhold policy check|diff|what-if …`. */
int policy_main(int argc, char **argv);

#endif
