"""What recurrent Q-learning minimises: the TD errors of replayed sequences, after a burn-in without gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.agents.network import NetworkState
from throughtime.agents.off_policy import Start, Step, at_finals, network_start, sequence_inputs
from throughtime.agents.policy import Policy
from throughtime.agents.q_network import QNetwork
from throughtime.agents.r2d2_config import R2D2Config
from throughtime.rl import double_q_values, n_step_targets, rescale, unscale


class Batch(NamedTuple):
    """Sequences after their burn-in: k steps to learn from and one to bootstrap from."""

    start: NetworkState  # of the online network, before the first of them
    target_start: NetworkState  # of the target network
    inputs: Float[Array, "L N I"]  # L = k + 1
    finals: Float[Array, "L N I"]
    steps: Step  # [L, N, ...]


def burn_in(policy: Policy, network: QNetwork, target: QNetwork, stored: Start, steps: Step, length: int) -> Batch:
    """Brings the memory up to date over the head of each sequence, without gradient.

    Args:
        policy: makes the inputs.
        network: the online network.
        target: the target network.
        stored: before the first step, leaves `[N, ...]`.
        steps: leaves `[length + k + 1, N, ...]`.
        length: steps of burn-in; 0 for none.
    """
    inputs, finals = sequence_inputs(policy, stored, steps)
    state = target_state = network_start(policy, stored)
    if length:
        state, _ = network.unroll_q(state, inputs[:length], steps.reset[:length])
        target_state, _ = target.unroll_q(target_state, inputs[:length], steps.reset[:length])
        state, target_state = jax.lax.stop_gradient((state, target_state))
    rest = jax.tree.map(lambda x: x[length:], (inputs, finals, steps))
    return Batch(state, target_state, *rest)


def td_loss(
    network: QNetwork, target: QNetwork, batch: Batch, weights: Float[Array, " N"], config: R2D2Config
) -> tuple[Float[Array, ""], tuple[Float[Array, "k N"], dict[str, Array]]]:
    """`loss_of` the online network, unrolled over the sequences."""
    _, q = network.unroll_q(batch.start, batch.inputs, batch.steps.reset)
    return loss_of(q, network, target, batch, weights, config)


def loss_of(
    q: Float[Array, "L N A"],
    network: QNetwork,
    target: QNetwork,
    batch: Batch,
    weights: Float[Array, " N"],
    config: R2D2Config,
) -> tuple[Float[Array, ""], tuple[Float[Array, "k N"], dict[str, Array]]]:
    """½ Σ w δ² over sequences, its mean over steps: δ_t = h(G_t) − Q(x_t, a_t); and δ, and what is measured.

    Args:
        q: of the online network, with gradient; the last step's is only bootstrapped from.
        network: the online network, for final observations; no gradient flows into it here.
        target: the target network.
        batch: the sequences.
        weights: of each sequence.
        config: n, γ, double Q-learning and rescaling.
    """
    # A one-hot sum, where a gather's backward pass would be a scatter.
    taken = jax.nn.one_hot(batch.steps.action[:-1], q.shape[-1], dtype=bool)
    chosen = jnp.sum(jnp.where(taken, q[:-1], 0.0), axis=-1)
    frozen = jax.lax.stop_gradient((q, network))
    errors = jax.lax.stop_gradient(targets(*frozen, target, batch, config)) - chosen
    loss = 0.5 * jnp.mean(weights * jnp.mean(jnp.square(errors), axis=0))
    size = jnp.abs(jax.lax.stop_gradient(errors))
    info = {"loss": loss, "td_error": jnp.mean(size), "q_mean": jnp.mean(_unscaled(chosen, config))}
    return loss, (size, info)


def targets(
    q: Float[Array, "L N A"], network: QNetwork, target: QNetwork, batch: Batch, config: R2D2Config
) -> Float[Array, "k N"]:
    """h(G_t), the n-step double-Q targets of the first k steps."""
    steps = batch.steps
    _, q_target = target.unroll_q(batch.target_start, batch.inputs, steps.reset)
    cut = steps.truncated & ~steps.terminated

    def finals() -> tuple[Array, Array]:
        def one(net: QNetwork, state: NetworkState) -> Array:
            def unroll(s: Any, x: Array, r: Array) -> Array:
                return net.unroll_q(s, x, r)[1]

            return at_finals(unroll, state, batch.inputs, batch.finals, steps.reset, cut)

        return one(network, batch.start), one(target, batch.target_start)

    def none() -> tuple[Array, Array]:
        return jnp.zeros_like(q[1:]), jnp.zeros_like(q[1:])

    at_end = jax.lax.cond(jnp.any(cut[:-1]), finals, none)
    online, valued = (
        jnp.where(cut[:-1, :, None], end, following[1:]) for end, following in zip(at_end, (q, q_target), strict=True)
    )
    values = double_q_values(online, valued)[0] if config.double else jnp.max(valued, axis=-1)
    returns = n_step_targets(
        steps.reward[:-1],
        _unscaled(values, config),
        steps.terminated[:-1],
        steps.truncated[:-1],
        discount=config.discount,
        n=config.n_step,
    )
    return rescale(returns) if config.rescale else returns


def _unscaled(q: Array, config: R2D2Config) -> Array:
    return unscale(q) if config.rescale else q
