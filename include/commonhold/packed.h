/* packed.h - the small numbers by which the pool's packed words name languages, regions, applications and lengths.
 *
 * The pool packs them beside every item and charters' rules compare them (policy.h, POLICY_ATTRIBUTES); both must mean the same. The numbers are stored: tables are
 * appended to, never renumbered. Pure.
 */
#ifndef COMMONHOLD_PACKED_H
#define COMMONHOLD_PACKED_H

#include "str.h"

#define PACKED_OTHER 255u      /* a language that the table does not have */
#define PACKED_LENGTH_UNIT 64u /* bytes of text that one step of length stands for */

/* By the first subtag of a BCP 47 tag, from ISO 639-1; 0 where nothing was said ("" or "und"), PACKED_OTHER for others. */
unsigned packed_language(struct str tag);
/* ISO 3166-1 alpha-2, any case; 0 for anything else. */
unsigned packed_region(struct str code);
/* 1 to 65535 from the name, without regard to case and white space around it; two names may share a number. 0 where there is no name. */
unsigned packed_application(struct str name);
/* Text length in steps of PACKED_LENGTH_UNIT, rounded up, at most 65535. */
unsigned packed_length(uint64_t bytes);

#endif
