"""Model-predictive control: read what happened, plan from there, do the first action, and plan again."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from throughtime.core import ConfigError, select_rows
from throughtime.world.model import WorldModel
from throughtime.world.planning.planner import Planned, Planner


class ControllerState(NamedTuple):
    """What is carried from step to step, leaves `[B, ...]`."""

    model: Any  # what the model has made of everything so far
    plan: Any  # where the next search begins
    fresh: Bool[Array, " B"]  # nothing was read yet


class Controller(eqx.Module):
    """A world model and a planner, stepped along B episodes.

    The noise of a search is a function of the seed and of the numbers just observed: the same history gives the same
    action, whatever row of whatever batch it stands in.

    Args:
        model: has learned the environment, or knows it.
        planner: searches in it.
        seed: of the searches' noise.

    Raises:
        ConfigError: a planner that does not search the model's actions.
    """

    model: WorldModel
    planner: Planner
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        self.planner.check(self.model.action_space)

    def initial_state(self, batch_size: int) -> ControllerState:
        """Before the first observation of each of `batch_size` episodes."""
        plan = self.planner.no_plan(self.model.action_space)
        plans = jax.tree.map(lambda x: jnp.broadcast_to(x, (batch_size, *x.shape)), plan)
        return ControllerState(self.model.start(batch_size), plans, jnp.ones(batch_size, bool))

    def step(
        self, state: ControllerState, action_tm1: Array, observation_t: Float[Array, "B O"], reset_t: Bool[Array, " B"]
    ) -> tuple[ControllerState, Planned]:
        """Reads an observation and plans.

        Args:
            state: after the step before.
            action_tm1: the action that led here, as the environment took it, `[B, ...]`; not read where `reset_t`, or
                where the state has read nothing yet.
            observation_t: flattened.
            reset_t: the observation is the first of its episode: state and plan are replaced before it is read.

        Returns:
            The state, and what was planned, leaves `[B, ...]`.

        Raises:
            ConfigError: observations of another size than the model's.
        """
        if observation_t.shape[1:] != (self.model.observation_size,):
            raise ConfigError(
                f"The observations have shape {observation_t.shape}.",
                f"The world model reads batches of {self.model.observation_size} numbers, (B, O).",
                "Take a model of this environment, and observations with a batch axis.",
            )
        state = select_rows(reset_t, self.initial_state(reset_t.shape[0]), state)

        def one(state: ControllerState, action: Array, observation: Array) -> tuple[ControllerState, Planned]:
            key = jax.random.fold_in(jax.random.key(self.seed), _digest(observation))
            key_read, key_plan = jax.random.split(key)
            row: Any = jax.tree.map(lambda x: x[None], (state.model, action, observation, state.fresh))
            before, led_here, seen, fresh = row
            known = self.model.observe(before, led_here, seen, fresh, key_read)
            planned = self.planner(self.model, known, state.plan, key_plan)
            model = jax.tree.map(lambda x: x[0], known)
            return ControllerState(model, planned.plan, jnp.zeros((), bool)), planned

        return jax.vmap(one)(state, action_tm1, observation_t)


def _digest(x: Float[Array, " O"]) -> UInt32[Array, ""]:
    """A number that differs, as good as certainly, between two observations (FNV-1a over their bits)."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)

    def mix(h: Array, word: Array) -> tuple[Array, None]:
        return (h ^ word) * jnp.uint32(16777619), None

    return jax.lax.scan(mix, jnp.uint32(2166136261), bits)[0]
