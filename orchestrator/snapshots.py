"""After which epochs of a search its alphas are recorded."""

ALPHA_SNAPSHOTS = 10
"""Alphas are recorded after the first epoch, after the last, and at about so many points in between."""


def snapshot_epochs(epochs: int) -> set[int]:
    """Counts of done epochs after which the alphas are recorded."""
    step = max(1, epochs // ALPHA_SNAPSHOTS)
    return {1, *range(step, epochs, step), epochs}
