"""`python -m orchestrator` is `stcnas`."""

from orchestrator.cli import main

main()
