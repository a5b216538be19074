"""A uniformly drawn cell: what any search has to beat. Nothing is trained, and the cell is a function of the seed.

Every operation and every kept edge is as likely as any other, as in the cells that random search draws (Li and
Talwalkar, UAI 2019); NAS-Bench-201's `none` is among them only with `sample_none`.
"""

from torch import nn

from stcnas_core.methods.base import Method
from stcnas_core.path import Choices
from stcnas_core.randomness import stream


class Random(Method):
    """Draws one cell. No supernet is built for it (`UNTRAINED`), so that it has nothing to sample or weigh."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """None: nothing is learned."""
        return {}

    def derived(self) -> Choices:
        """The cell of the seed."""
        return self.uniform(stream(self.config.seed, "cell")).cell
