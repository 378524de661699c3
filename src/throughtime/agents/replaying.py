"""What agents with a replay (R2D2, SAC, TD3, the planner) are alike in: how their runs go on, end and begin anew."""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from throughtime.agents.agent import run_iterations
from throughtime.agents.off_policy import break_off, undo
from throughtime.agents.preflight import Fault
from throughtime.agents.rollout import start
from throughtime.envs import VectorEnvironment
from throughtime.gradients import parameter_names
from throughtime.rl import SequenceReplay


def learn_where(ready: Bool[Array, ""], step: Any, learner: Any, keys: Array) -> tuple[Any, Any]:
    """A scan of `step` over `keys` where there is enough to learn from; else the learner as it is, and zeros.

    Args:
        ready: whether there is.
        step: (learner, key) → learner and what it measured.
        learner: what steps change.
        keys: one for each step, `[K]`.
    """

    def learn(learner: Any):
        return jax.lax.scan(step, learner, keys)

    shapes = jax.eval_shape(learn, learner)[1]

    def wait(learner: Any):
        return learner, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    return jax.lax.cond(ready, learn, wait, learner)


class Replaying:
    """An agent whose state holds a `policy`, `actors`, a `replay` and a `key`."""

    config: Any
    environments: VectorEnvironment
    spec: SequenceReplay

    @property
    def bptt_length(self) -> int:
        """Steps that gradients flow back through."""
        return self.config.bptt_length

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration, T · B."""
        return self.config.rollout_length * self.config.num_envs

    def parameter_names(self, state: Any) -> list[str]:
        """Of what the guard watches."""
        return parameter_names(state.policy.network)

    def with_new_episodes(self, state: Any) -> Any:
        """The same training at the start of new episodes, for environments that cannot be put back into old ones."""
        key_start, key = jax.random.split(state.key)
        return state._replace(
            replay=break_off(self.spec, state.replay, state.actors),
            actors=start(state.policy, self.environments, key_start),
            key=key,
        )

    @abstractmethod
    def iterate(self, state: Any, total: Int[Array, ""], first: Int[Array, ""]) -> tuple[Any, Any, Fault]:
        """One iteration: act, store, learn.

        Args:
            state: before it.
            total: iterations of the whole run, for what is annealed.
            first: the iteration in which this process began: the preflight runs there.
        """

    def run(
        self, state: Any, iterations: Int[Array, ""], total: Int[Array, ""], first: Int[Array, ""], buffer: int
    ) -> tuple[Any, Any, Int[Array, ""], Fault]:
        """Up to `iterations` iterations; stops early at a fault.

        Args:
            state: where to go on.
            iterations: how many, at most `buffer`.
            total: iterations of the whole run, for what is annealed.
            first: the iteration in which this process began; the preflight runs there.
            buffer: room for metrics (a static size).

        Returns:
            The state, the metrics `[buffer]` (the first `iterations` entries count), how many iterations were
            completed, and the fault. After a fault the state is the one from before the iteration it happened in, but
            that the replay has forgotten its oldest steps.
        """

        def choose(good: Bool[Array, ""], after: Any, before: Any) -> Any:
            replay = undo(self.spec, good, after.replay, before.replay)
            rest = [s._replace(replay=None) for s in (after, before)]  # never a copy of the replay's steps
            return jax.tree.map(lambda a, b: jnp.where(good, a, b), *rest)._replace(replay=replay)

        return run_iterations(lambda state: self.iterate(state, total, first), choose, state, iterations, buffer)
