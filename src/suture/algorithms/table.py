"""Every algorithm by its name on the command line."""

from typing import Any

from suture.algorithms.awac import AWAC
from suture.algorithms.awr import AWR
from suture.algorithms.base import Algorithm
from suture.algorithms.bc import BC, FilteredBC
from suture.algorithms.bcq import BCQ
from suture.algorithms.bear import BEAR
from suture.algorithms.brac import BRAC
from suture.algorithms.cql import CQL, CalQL
from suture.algorithms.crr import CRR
from suture.algorithms.edac import EDAC, SACN
from suture.algorithms.fql import FQL
from suture.algorithms.ifql import IFQL
from suture.algorithms.iql import IQL
from suture.algorithms.qlearning import DQN
from suture.algorithms.qt_opt import QTOpt
from suture.algorithms.rebrac import ReBRAC
from suture.algorithms.sac import SAC
from suture.algorithms.td3 import TD3
from suture.algorithms.td3_bc import TD3BC
from suture.config import nearest
from suture.errors import ConfigError

ALGORITHMS: dict[str, type[Algorithm[Any]]] = {
    kind.name: kind
    for kind in (
        BC,
        FilteredBC,
        IQL,
        DQN,
        QTOpt,
        FQL,
        IFQL,
        AWAC,
        AWR,
        BCQ,
        BEAR,
        BRAC,
        CQL,
        CalQL,
        CRR,
        EDAC,
        ReBRAC,
        SAC,
        SACN,
        TD3,
        TD3BC,
    )
}


def algorithm_named(name: str) -> type[Algorithm[Any]]:
    """The class of an algorithm's name; an unknown name is refused with the nearest one."""
    if name not in ALGORITHMS:
        raise ConfigError(f"There is no algorithm {name!r}.{nearest(name, ALGORITHMS)}")
    return ALGORITHMS[name]
