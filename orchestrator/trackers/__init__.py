"""Finished trials told to experiment trackers: afterwards, from the ledger, as often as one likes.

A setting is a group and each of its trials a run of it. What a tracker has already is left as it is, so that telling it
again adds what is new and doubles nothing.
"""
