"""Exit codes other than 0, which is: all that was asked for is done."""

BUG, BAD_INPUT, FAILED_TRIALS, INTERRUPTED, CHECK_FAILED = 1, 2, 3, 4, 5
