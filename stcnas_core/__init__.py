"""STC-NAS: the search method, its spaces and its training loops; no cluster, no ledger, no command line."""

ALGORITHM_VERSION = 1
"""Raised by every change that alters what a configuration computes; part of each trial's id."""
