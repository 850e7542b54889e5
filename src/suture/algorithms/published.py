"""What was published: fields and settings of each method, by domain, with their sources.

Where nothing was published for a domain there is no entry, and asking for it is an error (`presets.find`).
"""

import dataclasses
from typing import Any, Literal, TypeAlias

from suture.algorithms.table import ALGORITHMS

Domain: TypeAlias = Literal["generic", "locomotion", "sparse", "dexterous"]
MEANINGS: dict[Domain, str] = {
    "generic": "the method's own defaults",
    "locomotion": "dense rewards, continuous control, mixed quality (D4RL's MuJoCo tasks)",
    "sparse": "0 or 1 at the goal alone, long fragments to be stitched (D4RL's AntMaze)",
    "dexterous": "human or cloned demonstrations of a hand with many joints (D4RL's Adroit)",
}
IQL, CORL = (
    "Kostrikov et al. 2021 (arXiv:2110.06169)",
    "Tarasov et al. 2022 (arXiv:2210.07105), CORL's settings",
)
BEAR = "Kumar et al. 2019 (arXiv:1906.00949), the settings of the authors' code for D4RL"
REBRAC, CAL_QL = "Tarasov et al. 2023 (arXiv:2305.09836)", "Nakamoto et al. 2023 (arXiv:2303.05479)"
EDAC, FQL = "An et al. 2021 (arXiv:2110.01548)", "Park et al. 2025 (arXiv:2502.02538)"
BRAC, BCQ = "Wu et al. 2019 (arXiv:1911.11361)", "Fujimoto et al. 2019 (arXiv:1812.02900)"
AWR, TD3_BC = "Peng et al. 2019 (arXiv:1910.00177)", "Fujimoto & Gu 2021 (arXiv:2106.06860)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """fields: of the algorithm.   settings: of the run.   source: where they were published.

    note: what was published otherwise, or differs from task to task.
    """

    fields: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    settings: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    source: str = ""
    note: str = ""


def _of(source: str, settings: dict[str, Any] | None = None, note: str = "", /, **fields: Any) -> Preset:
    return Preset(fields=fields, settings=settings or {}, source=source, note=note)


WIDE = (256, 256, 256)
BOTH = "in ours the policy is as wide as the critics, because one `hidden` is of both"
PRESETS: dict[Domain, dict[str, Preset]] = {
    "generic": {name: Preset() for name in ALGORITHMS},
    "locomotion": {
        "iql": _of(IQL, {"reward_rule": "return-range"}, expectile=0.7, inverse_temperature=3.0),
        "cql": _of(CORL, conservative_weight=10.0, hidden=WIDE, actor_learning_rate=3e-5),
        "td3_bc": _of(TD3_BC, alpha=2.5),
        "rebrac": _of(REBRAC, None, "penalties were tuned for each log, from 0.001 to 0.1 and to 0.5",
                      batch_size=1024, actor_penalty=0.01, critic_penalty=0.01,
                      actor_learning_rate=1e-3, critic_learning_rate=1e-3),
        "awac": _of(CORL, temperature=0.333, batch_size=256, hidden=WIDE),
        "awr": _of(AWR, None, "SGD with momentum was used: its step sizes are not Adam's, and are not set; "
                   "nor is the fixed `std`, 0.2 to 0.4 by the task", hidden=(128, 64)),
        "sac_n": _of(EDAC, None, "the cheetah's; walker 20 critics, hopper 200 to 500",
                     critics=10, hidden=WIDE),
        "edac": _of(EDAC, None, "hopper: 50 critics; expert data: a weight of 5", critics=10,
                    diversity_weight=1.0, hidden=WIDE),
        "bc": _of(CORL, head="deterministic"),
        "filtered_bc": _of(CORL, top=0.1, head="deterministic"),
        "bear": _of(BEAR, None, "hopper's and walker's; the cheetah's kernel is gaussian",
                    kernel="laplacian", sigma=20.0),
        "brac": _of(BRAC, None, "the temperature (0.1 to 30) and the policy's step size (3e-6 to 3e-4) were "
                    "tuned for each task and are not set, nor are 300,000 updates of the behaviour model and "
                    f"20,000 of warm-up; the policy was 200-200: {BOTH}", hidden=(300, 300),
                    critic_learning_rate=1e-3, behaviour_hidden=(200, 200), behaviour_learning_rate=5e-4),
        "bcq": _of(BCQ, batch_size=100, perturbation=0.05, hidden=(400, 300), critic_learning_rate=1e-3,
                   actor_learning_rate=1e-3),
    },
    "sparse": {
        "iql": _of(IQL, {"reward_shift": -1.0}, expectile=0.9, inverse_temperature=10.0),
        "cql": _of(CORL, {"reward_scale": 10.0, "reward_shift": -5.0},
                   f"a lower limit of -200 of the gap has no field; {BOTH}", conservative_weight=5.0,
                   target_gap=0.8, max_target_backup=True, hidden=(256,) * 5),
        "cal_ql": _of(CAL_QL, {"reward_scale": 10.0, "reward_shift": -5.0},
                      f"widths are the critics'; {BOTH}", conservative_weight=5.0,
                      target_gap=0.8, max_target_backup=True, hidden=(256,) * 4),
        "td3_bc": _of(CORL, {"reward_shift": -1.0}, alpha=2.5),
        "rebrac": _of(REBRAC, {"reward_scale": 100.0}, "penalties were tuned for each maze: 0.001 to 0.003, "
                      "0 to 0.002", actor_penalty=0.002, critic_penalty=0.001,
                      discount=0.999, actor_learning_rate=3e-4, critic_learning_rate=5e-5),
        "awac": _of(CORL, {"reward_shift": -1.0}, temperature=0.1, batch_size=256, hidden=WIDE),
        "bc": _of(CORL, head="deterministic"),
        "filtered_bc": _of(CORL, top=0.1, head="deterministic"),
        "fql": _of(FQL, {"reward_shift": -1.0}, "large mazes: a weight of 3", bc_weight=10.0,
                   normalise_q=False),
        "ifql": _of(FQL, {"reward_shift": -1.0}, expectile=0.9),
    },
    "dexterous": {
        "iql": _of(IQL, expectile=0.7, inverse_temperature=0.5, dropout=0.1),
        "bc": _of(f"{IQL}, of its policy, a weighted clone", dropout=0.1),
        "filtered_bc": _of(CORL, top=0.1, head="deterministic"),
        "cql": _of(CORL, conservative_weight=1.0),
        "cal_ql": _of(CAL_QL, {"reward_scale": 10.0, "reward_shift": 5.0},
                      "20,000 updates before fine-tuning; critics of 512-512-512, as here, and a policy of "
                      f"512-512: {BOTH}", conservative_weight=1.0, max_target_backup=True,
                      hidden=(512, 512, 512)),
        "td3_bc": _of(CORL, alpha=2.5),
        "awac": _of(CORL, temperature=0.1, batch_size=256, hidden=WIDE),
        "rebrac": _of(REBRAC, None, "of pen-human; on pen-cloned the policy pays 0.05", batch_size=256,
                      actor_penalty=0.1, critic_penalty=0.5),
        "fql": _of(FQL, None, "a weight of 1,000 to 30,000, by the task", bc_weight=10_000.0,
                   normalise_q=False, spread=None),
    },
}  # fmt: skip
