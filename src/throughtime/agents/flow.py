"""The gradient microscope on an agent: how PPO's loss reaches back through the agent's memory."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.agents.network import Tower
from throughtime.agents.ppo import PPO, TrainState
from throughtime.agents.rollout import Sequences
from throughtime.gradients.flow import Flow, measure_flow


class Microscope:
    """Looks at the flow of the gradients that the next iteration will use, and leaves the training state alone.

    The rollout is the very one that the next iteration gathers (the same key, the same actors). The loss is PPO's, over
    the whole rollout, with policy, value and entropy terms; its gradient with respect to what the memory puts out
    gives the cotangents of every step at once, and these are followed back.

    Args:
        ppo: the algorithm.
        sequences: at most so many sequences of the rollout are looked at, spread evenly over it.
        max_sources: at most so many time steps' losses are followed back.
        jacobian_rows: sequences whose step Jacobians are looked at; 0 for none.
    """

    def __init__(self, ppo: PPO, *, sequences: int = 16, max_sources: int = 32, jacobian_rows: int = 1):
        self.ppo, self.max_sources, self.jacobian_rows = ppo, max_sources, jacobian_rows
        count = ppo.config.num_envs * ppo.config.rollout_length // ppo.bptt_length
        self.rows = jnp.unique(jnp.linspace(0, count - 1, min(sequences, count)).round().astype(jnp.int32))
        self._look = eqx.filter_jit(self._cotangents)

    def measure(self, state: TrainState) -> dict[str, Flow]:
        """What the microscope sees: `{"network": …}`, or `{"actor": …, "critic": …}` where each has its own memory."""
        batch, cotangents = self._look(state)
        network = state.policy.network
        towers: dict[str, tuple[Tower, Any]] = {"network": (network.actor, batch.starts.actor)}
        if network.critic is not None:
            towers = {"actor": towers["network"], "critic": (network.critic, batch.starts.critic)}
        return {
            name: measure_flow(
                tower,
                start,
                batch.inputs,
                batch.resets,
                d_features,
                required_lag=self.ppo.env.required_lag,
                bptt_length=self.ppo.bptt_length,
                max_sources=self.max_sources,
                jacobian_rows=self.jacobian_rows,
            )
            for (name, (tower, start)), d_features in zip(towers.items(), cotangents, strict=True)
        }

    def _cotangents(self, state: TrainState) -> tuple[Sequences, tuple[Float[Array, "k N H"], ...]]:
        """The chosen sequences, and ∂L/∂(features) of the whole rollout's loss in them, one for each tower."""
        network, batch = state.policy.network, self.ppo.gather(state).sequences
        towers = (network.actor,) if network.critic is None else (network.actor, network.critic)
        starts = (batch.starts.actor, batch.starts.critic)

        def loss(features):
            return self.ppo.loss_of(*network.heads(features[0], features[-1]), batch)[0]

        features = tuple(
            tower.unroll(start, batch.inputs, batch.resets)[1] for tower, start in zip(towers, starts, strict=False)
        )
        d_features = jax.grad(loss)(features)
        chosen = Sequences(
            jax.tree.map(lambda x: x[self.rows], batch.starts),
            *jax.tree.map(lambda x: x[:, self.rows], tuple(batch[1:])),
        )
        return chosen, tuple(d[:, self.rows] for d in d_features)
