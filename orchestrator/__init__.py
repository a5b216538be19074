"""The sweep engine: specification, plan, ledger, Ray Tune scheduler and command line."""
