"""Replay parity: the preflight of training, on a finished run."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.agents import Policy
from throughtime.agents.preflight import RESUMED_TOLERANCE, replay_error_of
from throughtime.agents.rollout import Sequences, collect, start
from throughtime.envs import Environment, VectorEnvironment
from throughtime.rl import cut, join_starts
from throughtime.runs.evaluation import give_back

PIECES = 2
LONGEST = 2048


class Parity(NamedTuple):
    """Whether acting and recomputing from stored sequences agree."""

    error: float  # the larger of max |Δ log π(a)| and max |ΔV| / max(1, |V|)
    tolerance: float
    steps: int  # of each environment
    environments: int

    @property
    def holds(self) -> bool:
        """Whether the error is within what rounding explains."""
        return self.error <= self.tolerance


def replay_parity(policy: Policy, env: Environment, *, seed: int = 0, environments: int = 16) -> Parity:
    """Acts through whole episodes and the resets between them, and recomputes it from the stored sequences.

    The same check that stops a training before its first update (`agents/preflight.py`), with actions drawn, in two
    sequences on end. Each holds two of the longest episodes whole, since what was never carried does not show in a
    piece of an episode that begins at its stored state; the second begins at such a state within an episode. It fails
    where acting carries another state than the stored sequences say: not carried, reset wrongly or never reset.

    Args:
        policy: acts.
        env: where.
        seed: of episodes and actions.
        environments: stepped side by side.
    """
    limit = env.max_episode_steps or 128
    piece = max(2, min(2 * limit + (limit + 1) // 2, LONGEST))
    error, states = _error(policy, VectorEnvironment(env, environments), piece, jax.random.key(seed))
    give_back(env, states)
    return Parity(float(error), RESUMED_TOLERANCE, PIECES * piece, environments)


@eqx.filter_jit
def _error(policy: Policy, env: VectorEnvironment, piece: int, key: PRNGKeyArray) -> tuple[Float[Array, ""], Any]:
    key_start, key = jax.random.split(key)
    actors = start(policy, env, key_start)
    actors, rollout, starts, _ = collect(policy, env, actors, key, PIECES * piece, piece)
    unused = jnp.zeros_like(rollout.values)
    recorded = (rollout.inputs, rollout.resets, rollout.actions, rollout.log_probs, rollout.values, unused, unused)
    return replay_error_of(policy, Sequences(join_starts(starts), *cut(recorded, piece))), actors.environment
