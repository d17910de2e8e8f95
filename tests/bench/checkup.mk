# A part of bench-ballot: the checkup page, from the program without sanitizers.

$(BUILD)/bench/checkup: tests/bench/checkup.mjs $(BUILD)/commonhold
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nCOMMONHOLD_BINARY=%s exec node tests/bench/checkup.mjs\n' "$(abspath $(BUILD)/commonhold)" >$@ && chmod +x $@
