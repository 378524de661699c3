"""The gradient microscope on an agent: how its loss reaches back through its memory."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.agents.agent import Agent, AgentState
from throughtime.agents.network import NetworkState, Tower
from throughtime.gradients.flow import Flow, measure_flow


class Looked(NamedTuple):
    """The sequences that are looked at."""

    starts: NetworkState
    inputs: Float[Array, "k N I"]
    resets: Bool[Array, "k N"]


class Microscope:
    """Looks at the flow of the gradients of what an agent learns from next, and leaves the training state alone.

    The sequences and the loss are those of `Agent.learning`; for PPO the very rollout that the next iteration gathers
    (the same key, the same actors), with policy, value and entropy terms. The loss's gradient with respect to what the
    memory puts out gives the cotangents of every step at once, and these are followed back.

    Args:
        agent: the algorithm.
        sequences: at most so many sequences are looked at, spread evenly over all of them.
        max_sources: at most so many time steps' losses are followed back.
        jacobian_rows: sequences whose step Jacobians are looked at; 0 for none.
    """

    def __init__(self, agent: Agent, *, sequences: int = 16, max_sources: int = 32, jacobian_rows: int = 1):
        self.agent, self.sequences = agent, sequences
        self.max_sources, self.jacobian_rows = max_sources, jacobian_rows
        self._look = eqx.filter_jit(self._cotangents)

    def measure(self, state: AgentState) -> dict[str, Flow]:
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
                required_lag=self.agent.env.required_lag,
                bptt_length=self.agent.bptt_length,
                max_sources=self.max_sources,
                jacobian_rows=self.jacobian_rows,
            )
            for (name, (tower, start)), d_features in zip(towers.items(), cotangents, strict=True)
        }

    def _cotangents(self, state: AgentState) -> tuple[Looked, tuple[Float[Array, "k N H"], ...]]:
        """The chosen sequences, and ∂L/∂(features) of the whole loss in them, one for each tower."""
        network, batch = state.policy.network, self.agent.learning(state)
        towers = (network.actor,) if network.critic is None else (network.actor, network.critic)
        starts = (batch.starts.actor, batch.starts.critic)
        count = batch.resets.shape[1]
        rows = np.unique(np.linspace(0, count - 1, min(self.sequences, count)).round().astype(np.int32))

        def loss(features):
            return batch.loss(features[0], features[-1])

        features = tuple(
            tower.unroll(start, batch.inputs, batch.resets)[1] for tower, start in zip(towers, starts, strict=False)
        )
        d_features = jax.grad(loss)(features)
        starts = jax.tree.map(lambda x: x[rows], batch.starts)
        chosen = Looked(starts, batch.inputs[:, rows], batch.resets[:, rows])
        return chosen, tuple(d[:, rows] for d in d_features)
