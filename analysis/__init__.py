"""Reads the ledger and nothing else: statistics, rankings, the paper's tables and figures, the HTML report."""
