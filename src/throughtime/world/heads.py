"""Feed-forward parts of world models: what they predict, from what a memory puts out."""

import math

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

    def __call__(self, features: Float[Array, "*batch I"], moments: Moments) -> Likelihood:
        """The distribution, over any leading axes; of a mixture in units of `moments`.

        A number that never varied is said to stay what it is. Its density would become as narrow as it may, and the
        gradients of the least error there drown those of everything else.
        """
        y = self.layers(features)
        if self.kind == "categorical":
            return OneHot(y)
        if self.kind == "binary":
            return Bits(y)
        K, shape = self.components, (*y.shape[:-1], self.components, self.size)
        mean, log_std = (x.reshape(shape) for x in jnp.split(y[..., K:], 2, axis=-1))
        varies = jnp.broadcast_to(moments.varies(), mean.shape)
        log_std = LEAST_LOG_STD + jnp.where(varies, jax.nn.softplus(log_std - LEAST_LOG_STD), 0.0)
        return GaussianMixture(y[..., :K], jnp.where(varies, mean, 0.0), log_std)


class OutcomeHeads(eqx.Module):
    """Features at t + 1 → the reward that arrived there, and whether the episode goes on.

    Ends are rare, and the line between what ends an episode and what does not is learned from the few of them. A step
    that ends one may count `end_weight` times in the cross-entropy. Its optimum is then the logit of going on less
    log `end_weight`, which is added again: what is said are probabilities whatever the weight.
    """

    reward: Perceptron
    continuation: Perceptron
    reward_bins: int = eqx.field(static=True)
    end_weight: float = eqx.field(static=True)

    def __init__(
        self, input_size: int, width: int, key: PRNGKeyArray, *, reward_bins: int = 0, end_weight: float = 1.0
    ):
        """Builds the heads.

        Args:
            input_size: features.
            width: hidden units of each.
            key: for the random weights.
            reward_bins: K of `TwoHot`; 0 for an expected reward that is learned by its squared error.
            end_weight: how often a step that ends its episode counts.
        """
        key_reward, key_continuation = jax.random.split(key)
        self.reward_bins = reward_bins
        self.reward = Perceptron(input_size, width, reward_bins or 1, key_reward)
        self.continuation = Perceptron(input_size, width, 1, key_continuation)
        self.end_weight = end_weight

    def __call__(self, features: Float[Array, "*batch I"]) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """The expected reward in standardised units, and the logit of going on."""
        y = self.reward(features)
        reward = TwoHot(y).mean if self.reward_bins else y[..., 0]
        return reward, self.continuation(features)[..., 0] + math.log(self.end_weight)

    def losses(
        self, features: Float[Array, "T B I"], sequences: Sequences, moments: Moments
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The reward's loss (`Losses.reward`), and the weighted cross-entropy of going on; means over all steps.

        Args:
            features: of what followed step t.
            sequences: the steps.
            moments: of rewards.
        """
        target = (sequences.rewards - moments.mean) * moments.scale()
        y = self.reward(features)
        each = -TwoHot(y).log_prob(target) if self.reward_bins else 0.5 * jnp.square(y[..., 0] - target)
        weighted = self.continuation(features)[..., 0]
        ends = self.end_weight * jax.nn.softplus(weighted)
        entropy = jnp.where(sequences.terminated, ends, jax.nn.softplus(-weighted))
        return jnp.mean(each), jnp.mean(entropy)
