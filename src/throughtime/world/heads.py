"""Feed-forward parts of world models: what they predict, from what a memory puts out."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.memory import Readout
from throughtime.rl import Moments
from throughtime.world.data import KINDS, Kind, Sequences
from throughtime.world.likelihoods import Bits, GaussianMixture, Likelihood, OneHot, TwoHot

LEAST_LOG_STD = -5.0  # of a density in standardised units: what never varies would otherwise have an infinite one


class Perceptron(eqx.Module):
    """One hidden layer: W₂ tanh(W₁ x + b₁) + b₂."""

    hidden: Readout
    output: Readout

    def __init__(self, input_size: int, width: int, output_size: int, key: PRNGKeyArray):
        key_hidden, key_output = jax.random.split(key)
        self.hidden = Readout(input_size, width, "tanh", key=key_hidden)
        self.output = Readout(width, output_size, key=key_output)

    def __call__(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch O"]:
        """Over any leading axes."""
        return self.output(self.hidden(x))


class ObservationHead(eqx.Module):
    """Features → the distribution of an observation: one-hot, bits, or a mixture of K diagonal normals."""

    layers: Perceptron
    kind: Kind = eqx.field(static=True)
    size: int = eqx.field(static=True)
    components: int = eqx.field(static=True)

    def __init__(self, input_size: int, width: int, size: int, kind: Kind, components: int, key: PRNGKeyArray):
        """Builds the head.

        Args:
            input_size: features.
            width: hidden units.
            size: O.
            kind: one of `KINDS`.
            components: K of a mixture; not read for the other kinds.
            key: for the random weights.

        Raises:
            ConfigError: no such kind.
        """
        if kind not in KINDS:
            raise ConfigError(f"observations = {kind!r}", "", did_you_mean(kind, KINDS))
        self.kind, self.size, self.components = kind, size, components
        outputs = components * (1 + 2 * size) if kind == "continuous" else size
        self.layers = Perceptron(input_size, width, outputs, key)

    def __call__(self, features: Float[Array, "*batch I"]) -> Likelihood:
        """The distribution, over any leading axes."""
        y = self.layers(features)
        if self.kind == "categorical":
            return OneHot(y)
        if self.kind == "binary":
            return Bits(y)
        K, shape = self.components, (*y.shape[:-1], self.components, self.size)
        mean, log_std = (x.reshape(shape) for x in jnp.split(y[..., K:], 2, axis=-1))
        return GaussianMixture(y[..., :K], mean, LEAST_LOG_STD + jax.nn.softplus(log_std - LEAST_LOG_STD))


class OutcomeHeads(eqx.Module):
    """Features at t + 1 → the reward that arrived there, and whether the episode goes on."""

    reward: Perceptron
    continuation: Perceptron
    reward_bins: int = eqx.field(static=True)

    def __init__(self, input_size: int, width: int, reward_bins: int, key: PRNGKeyArray):
        """Builds the heads.

        Args:
            input_size: features.
            width: hidden units of each.
            reward_bins: K of `TwoHot`; 0 for an expected reward that is learned by its squared error.
            key: for the random weights.
        """
        key_reward, key_continuation = jax.random.split(key)
        self.reward_bins = reward_bins
        self.reward = Perceptron(input_size, width, reward_bins or 1, key_reward)
        self.continuation = Perceptron(input_size, width, 1, key_continuation)

    def __call__(self, features: Float[Array, "*batch I"]) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """The expected reward in standardised units, and the logit of going on."""
        y = self.reward(features)
        reward = TwoHot(y).mean if self.reward_bins else y[..., 0]
        return reward, self.continuation(features)[..., 0]

    def losses(
        self, features: Float[Array, "T B I"], sequences: Sequences, moments: Moments
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The reward's loss (`Losses.reward`), and the cross-entropy of 1 − terminated; means over all steps.

        Args:
            features: of what followed step t.
            sequences: the steps.
            moments: of rewards.
        """
        target = (sequences.rewards - moments.mean) * moments.scale()
        y = self.reward(features)
        each = -TwoHot(y).log_prob(target) if self.reward_bins else 0.5 * jnp.square(y[..., 0] - target)
        logit = self.continuation(features)[..., 0]
        goes_on = (~sequences.terminated).astype(jnp.float32)
        entropy = goes_on * jax.nn.softplus(-logit) + (1.0 - goes_on) * jax.nn.softplus(logit)
        return jnp.mean(each), jnp.mean(entropy)
