"""Search methods behind one protocol, one file each; a method chooses paths and weighs them, and owns the alphas."""

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Method
from stcnas_core.methods.darts import Darts
from stcnas_core.methods.darts2 import Darts2
from stcnas_core.methods.data import Data
from stcnas_core.methods.dsnas import Dsnas
from stcnas_core.methods.enas import Enas
from stcnas_core.methods.fairdarts import FairDarts
from stcnas_core.methods.gdas import Gdas
from stcnas_core.methods.nasp import Nasp
from stcnas_core.methods.pcdarts import PcDarts
from stcnas_core.methods.pdarts import PDarts
from stcnas_core.methods.proxylessnas import ProxylessNas
from stcnas_core.methods.random import Random
from stcnas_core.methods.rsps import Rsps
from stcnas_core.methods.sdarts import SdartsAdv
from stcnas_core.methods.setn import Setn
from stcnas_core.methods.sgas import Sgas
from stcnas_core.methods.snas import Snas
from stcnas_core.methods.stc import Stc
from stcnas_core.topology import Topology

METHODS: dict[str, type[Method]] = {
    "stc": Stc,
    "darts": Darts,
    "darts2": Darts2,
    "snas": Snas,
    "gdas": Gdas,
    "pcdarts": PcDarts,
    "fairdarts": FairDarts,
    "nasp": Nasp,
    "sgas": Sgas,
    "pdarts": PDarts,
    "sdarts-adv": SdartsAdv,
    "random": Random,
    "rsps": Rsps,
    "setn": Setn,
    "enas": Enas,
    "data": Data,
    "proxylessnas": ProxylessNas,
    "dsnas": Dsnas,
}


def build(config: SearchConfig, topology: Topology, device: str) -> Method:
    """The method that a configuration names, with fresh alphas on `device`."""
    return METHODS[config.method](config, topology, device)
