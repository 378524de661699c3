"""What the agent with a world model minimises: the model's loss, and that of the value of its states."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.agents.off_policy import Step
from throughtime.agents.planning_config import PlanningConfig
from throughtime.agents.policy import Policy
from throughtime.world import LearnedModel, Sequences
from throughtime.world.planning import StateValue, value_targets
from throughtime.world.planning.state_value import numbers


class Learned(NamedTuple):
    """What gradient steps change."""

    model: Any  # the trainable part of the world model, as `trainable` gives it
    value: Any  # the networks of the value; None where there is none


def to_sequences(policy: Policy, steps: Step) -> Sequences:
    """Stored steps as a world model reads them, leaves `[T, N, ...]`."""
    flat = (*steps.reset.shape, -1)
    return Sequences(
        observations=steps.observation.reshape(flat),
        resets=steps.reset,
        actions=policy.to_environment(steps.action),
        rewards=steps.reward,
        terminated=steps.terminated,
        truncated=steps.truncated,
        successors=steps.final_observation.reshape(flat),
    )


def states_along(model: LearnedModel, sequences: Sequences, key: PRNGKeyArray) -> Any:
    """The model's state after each observation, leaves `[T, N, ...]`; the first is read with nothing known before."""
    T, N = sequences.resets.shape

    def read(state: Any, inputs: Any) -> tuple[Any, Any]:
        state = model.observe(state, *inputs)
        return state, state

    before = jnp.concatenate([sequences.actions[:1], sequences.actions[:-1]])  # the first one is not read
    first = jnp.zeros((T, N), bool).at[0].set(True)
    resets = sequences.resets | first
    keys = jax.random.split(key, T)
    return jax.lax.scan(read, model.start(N), (before, sequences.observations, resets, keys))[1]


def model_and_value_loss(
    learned: Learned,
    fixed: Any,
    value: StateValue | None,
    target: StateValue | None,
    sequences: Sequences,
    key: PRNGKeyArray,
    config: PlanningConfig,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The sum of both losses; the value's moves the value alone.

    Args:
        learned: the parameters.
        fixed: the rest of the model.
        value: gives the value's moments and unit.
        target: V⁻.
        sequences: `[l + m, N]`; the first l steps only bring the memory up to date.
        key: for latents and imagined outcomes.
        config: sizes.

    Returns:
        The loss, and for metrics its parts.
    """
    key_read, key_loss, key_pick, key_search = jax.random.split(key, 4)
    model = eqx.combine(learned.model, fixed)
    frozen = jax.lax.stop_gradient(model)
    states = states_along(frozen, sequences, key_read)
    later = jax.tree.map(lambda x: x[config.burn_in :], (sequences, states))
    start = jax.tree.map(lambda x: x[0], later[1])
    losses = model.loss(later[0], key_loss, start if config.burn_in else None)
    info = losses._asdict() | {"value": jnp.zeros(()), "value_mean": jnp.zeros(())}
    if value is None or target is None:
        return losses.total, info
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), later[1])
    count = config.bptt_length * sequences.resets.shape[1]
    rows = jax.random.randint(key_pick, (config.value_batch,), 0, count)
    chosen = jax.lax.stop_gradient(jax.tree.map(lambda x: x[rows], flat))
    aim = value_targets(frozen, target, chosen, key_search, discount=config.discount, depth=config.lookahead)
    said = eqx.tree_at(lambda v: v.members, value, learned.value).in_units(numbers(chosen))
    error = jnp.mean((said - (aim / value.unit)[None]) ** 2)  # each network by itself
    return losses.total + error, info | {"value": error, "value_mean": jnp.mean(aim)}
