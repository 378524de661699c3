"""The replay that an agent's settings ask for."""

from typing import Any

from throughtime.core import require
from throughtime.rl import SequenceReplay


def sized_replay(config: Any, made_of: str, *, exponent: float = 0.0, correction: float = 0.0) -> SequenceReplay:
    """A replay of about `config.replay_steps` steps of all environments together.

    Args:
        config: has `replay_steps`, `num_envs`, `period` and `length`.
        made_of: what adds up to `length`, in settings.
        exponent: α of the priorities; 0 draws all sequences alike.
        correction: β of the importance weights.

    Raises:
        ConfigError: no sequence would ever be whole.
    """
    capacity = config.replay_steps // config.num_envs // config.period * config.period
    least = -(-config.length // config.period) * config.period
    require(
        capacity >= least,
        f"replay_steps = {config.replay_steps} is too few.",
        f"A sequence has {made_of} = {config.length} steps, in each of {config.num_envs} environments.",
        f"Raise replay_steps to {least * config.num_envs} or more.",
    )
    return SequenceReplay(capacity, config.period, config.length, exponent, correction)
