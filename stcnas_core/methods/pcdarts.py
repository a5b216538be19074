"""PC-DARTS (Xu et al., ICLR 2020): DARTS on one in K channels, with weights between the edges of a node as well."""

import torch
from torch import Tensor, nn

from stcnas_core.config import SearchConfig
from stcnas_core.methods.darts import Darts
from stcnas_core.randomness import stream
from stcnas_core.topology import Topology


class PcDarts(Darts):
    """Partial channels and edge normalisation; alphas and betas rest in the first epochs (15 of the paper's 50)."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self.partial = config.partial_channels
        start = 1e-3 * torch.randn(tuple(self.alpha.shape[:2]), generator=stream(config.seed, "beta"))
        self.beta = nn.Parameter(start.to(device))
        node = [n for n, edges in enumerate(topology.edges_by_node) for _ in edges]
        self.same_node = (torch.tensor(node)[:, None] == torch.tensor(node)[None]).to(device)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Alphas (T, E, K) of the operations and betas (T, E) of the edges."""
        return {"alpha": self.alpha, "beta": self.beta}

    def edge_weights(self) -> Tensor:
        """Softmax of beta over the edges that enter a node (T, E)."""
        exponentials = (self.beta - self.beta.detach().amax(dim=1, keepdim=True)).exp()
        return exponentials / (exponentials @ self.same_node.to(exponentials.dtype))

    def weights(self) -> Tensor:
        """Softmax over the operations of an edge, times the edge's own weight."""
        return super().weights() * self.edge_weights()[:, :, None]
