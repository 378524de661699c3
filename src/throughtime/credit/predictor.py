"""A memory that predicts an episode's return at each of its steps."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.credit.episodes import Episodes, differences, paid
from throughtime.memory import Memory, Readout


class PredictionLoss(NamedTuple):
    """What a predictor is trained on, in units of its return scale squared."""

    total: Float[Array, ""]
    main: Float[Array, " N"]  # at each episode's end
    continuous: Float[Array, " N"]  # mean over all of its steps


def spread_of(returns: Float[Array, " N"], present: Bool[Array, " N"]) -> Float[Array, ""]:
    """The standard deviation of the returns that are there; 0 for none."""
    n = jnp.maximum(jnp.sum(present), 1).astype(jnp.float32)
    mean = jnp.sum(jnp.where(present, returns, 0.0)) / n
    return jnp.sqrt(jnp.sum(jnp.where(present, jnp.square(returns - mean), 0.0)) / n)


class ReturnPredictor(eqx.Module):
    """ĝ_t = s (W y_t + b), with y the outputs of any memory that reads the differences up to step t.

    Inputs are divided by `input_scale`, the return by s = `return_scale`; both come from the first lessons and are
    not trained. One that knows what was paid adds Σ_{k<t} r_k to that, and has only the rest to predict.
    """

    memory: Memory
    readout: Readout
    input_scale: Float[Array, " I"]
    return_scale: Float[Array, ""]
    knows_paid: bool = eqx.field(static=True)

    def __init__(self, memory: Memory, key: PRNGKeyArray, knows_paid: bool = False):
        """A fresh predictor with scales of 1.

        Args:
            memory: any; its input size is that of `differences`.
            key: for the readout's weights.
            knows_paid: whether Σ_{k<t} r_k is added to what it predicts at step t.
        """
        self.memory, self.knows_paid = memory, knows_paid
        self.readout = Readout(memory.output_size, 1, key=key)
        self.input_scale, self.return_scale = jnp.ones(memory.input_size), jnp.ones(())

    def scaled_by(self, episodes: Episodes) -> "ReturnPredictor":
        """This predictor with the scales of these episodes: the largest |input| of each feature, the returns' spread.

        A feature that is always 0 keeps a scale of 1, and so do returns that are all alike.
        """
        largest = jnp.max(jnp.abs(differences(episodes)), axis=(0, 1))
        spread = spread_of(episodes.returns, episodes.lengths > 0)
        scales = jnp.where(largest > 0, largest, 1.0), jnp.where(spread > 0, spread, 1.0)
        return eqx.tree_at(lambda p: (p.input_scale, p.return_scale), self, scales)

    def scaled(self, episodes: Episodes) -> Float[Array, "T1 N"]:
        """ĝ_t / s."""
        inputs = differences(episodes)
        inputs = inputs / jnp.broadcast_to(jax.lax.stop_gradient(self.input_scale), inputs.shape)
        state = self.memory.initial_state(inputs.shape[1])
        _, ys = self.memory.unroll(state, inputs, jnp.zeros(inputs.shape[:2], bool))
        predictions = self.readout(ys)[..., 0]
        if not self.knows_paid:
            return predictions
        return predictions + paid(episodes) / jax.lax.stop_gradient(self.return_scale)

    def __call__(self, episodes: Episodes) -> Float[Array, "T1 N"]:
        """ĝ_0 … ĝ_L in units of the return: ĝ_t has seen obs_0 … obs_t and a_0 … a_t. Behind the end, ĝ_L."""
        predictions = self.scaled(episodes) * self.return_scale
        last = jnp.take_along_axis(predictions, episodes.lengths[None], axis=0)
        seen = jnp.arange(predictions.shape[0], dtype=jnp.int32)[:, None] <= episodes.lengths[None]
        return jnp.where(seen, predictions, last)

    def loss(
        self,
        episodes: Episodes,
        weights: Float[Array, " N"],
        auxiliary: float,
        trace: float = 1.0,
        bootstrap: "ReturnPredictor | None" = None,
    ) -> PredictionLoss:
        """(ĝ_L − G)² at the end, plus `auxiliary` times the mean of (ĝ_t − target_t)² over all steps.

        The first makes the prediction right; the second makes it right as early as it can be, and so moves what is
        redistributed forward to the step that decided it. With `trace` λ = 1 its target is the return G, as in the
        paper; below, it is the λ-return of predictions, (1 − λ) ĝ_{t+1} + λ target_{t+1}, which knows less of the
        chance that is still to come.

        Args:
            episodes: N of them.
            weights: of each episode in the total.
            auxiliary: of the continuous prediction, 0 or more.
            trace: λ in [0, 1].
            bootstrap: whose predictions the targets are made of; this predictor's where None. No gradient flows there.
        """
        predictions = self.scaled(episodes)
        scale = jax.lax.stop_gradient(self.return_scale)
        returns = (episodes.returns / scale)[None]
        lengths = episodes.lengths[None]
        now = jnp.arange(predictions.shape[0], dtype=jnp.int32)[:, None]
        targets = jnp.broadcast_to(returns, predictions.shape)
        if trace < 1:
            own = predictions if bootstrap is None else bootstrap.scaled(episodes)
            targets = _lambda_targets(jax.lax.stop_gradient(own), returns, now < lengths, trace)
        squares = jnp.where(now <= lengths, jnp.square(predictions - targets), 0.0)
        main = jnp.take_along_axis(squares, lengths, axis=0)[0]
        continuous = jnp.sum(squares, axis=0) / (episodes.lengths + 1).astype(jnp.float32)
        return PredictionLoss(jnp.mean(weights * (main + auxiliary * continuous)), main, continuous)


def _lambda_targets(
    predictions: Float[Array, "T1 N"], returns: Float[Array, "1 N"], before: Bool[Array, "T1 N"], trace: float
) -> Float[Array, "T1 N"]:
    """The return at the end, (1 − λ) ĝ_{t+1} + λ target_{t+1} at each step `before` it; the end's ĝ is the return."""
    known = jnp.where(before, predictions, returns)
    following = jnp.concatenate([known[1:], returns])

    def body(target: Array, inputs: Any) -> tuple[Array, Array]:
        after, inside, end = inputs
        target = jnp.where(inside, (1.0 - trace) * after + trace * target, end)
        return target, target

    ends = jnp.broadcast_to(returns, predictions.shape)
    return jax.lax.scan(body, returns[0], (following, before, ends), reverse=True)[1]
