"""Exit codes other than 0, which is: all that was asked for is done; and 1, Python's own after a traceback: a bug."""

BAD_INPUT, FAILED_TRIALS, INTERRUPTED, CHECK_FAILED = 2, 3, 4, 5
