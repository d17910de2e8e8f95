/* banned.h - calls that are not used anywhere, with what to use instead. Included by every compilation (-include). */
#ifndef COMMONHOLD_BANNED_H
#define COMMONHOLD_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(name, instead) name is banned: use instead
#undef strcpy
#define strcpy(...) BANNED(strcpy, struct str)
#undef strcat
#define strcat(...) BANNED(strcat, struct buf)
#undef strncpy
#define strncpy(...) BANNED(strncpy, struct str)
#undef sprintf
#define sprintf(...) BANNED(sprintf, snprintf or str_fmt)
#undef strtok
#define strtok(...) BANNED(strtok, str_split)
#undef atoi
#define atoi(...) BANNED(atoi, str_to_i64)
#undef gmtime
#define gmtime(...) BANNED(gmtime, clock_civil)
#undef localtime
#define localtime(...) BANNED(localtime, clock_civil)
#undef time
#define time(...) BANNED(time, clock_now)
#undef mg_handle_form_request
#define mg_handle_form_request(...) BANNED(mg_handle_form_request, form_parse)
#undef mg_send_http_ok
#define mg_send_http_ok(...) BANNED(mg_send_http_ok, one buffered response)

#endif
