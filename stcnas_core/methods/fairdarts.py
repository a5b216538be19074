"""FairDARTS (Chu et al., ECCV 2020): operations do not compete, and a loss drives their weights to zero or one.

Each operation has the sigmoid of its own alpha as weight; the alphas' objective has w times the zero-one loss
-mean (sigma(alpha) - 1/2)^2 added, w = 10. The paper then drops operations whose weight is below 0.85, and a node may
be left with fewer edges; cells of these spaces always have as many as the space says, so that derivation is DARTS's,
by the same weights. The authors' program trains weights with `lr` 0.005 and `batch_size` 128; those are the sweep's.
"""

import torch
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Method
from stcnas_core.methods.darts import Darts
from stcnas_core.path import Choices
from stcnas_core.topology import Topology


class FairDarts(Darts):
    """Sigmoid weights over the whole supernet, with the zero-one loss."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self.penalty_weight = config.zero_one_weight

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """`alpha_start` everywhere; at 0 every weight is 1/2, where the zero-one loss has no gradient yet."""
        return Method.initial(self, shape)

    def weights(self) -> Tensor:
        """Sigmoid of each alpha by itself."""
        return self.logits().sigmoid()

    def penalty(self, cell: Choices) -> Tensor:
        """The zero-one loss over all operations: 0 where all weights are 1/2, -1/4 where each is zero or one."""
        return -torch.square(self.weights() - 0.5).mean()
