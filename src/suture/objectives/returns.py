"""How values are backed up."""

from jaxtyping import Array, Float


def one_step_target(
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_value: Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    """`reward + discount * next_value`.   discount: gamma, and 0 at true termination only.

    Source: Bellman 1957; a time limit is no termination (Pardo et al. 2018, arXiv:1712.00378).
    """
    return reward + discount * next_value
