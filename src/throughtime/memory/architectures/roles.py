"""Reading words twice: for what they mean, and for the role that the others give them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory._checks import check_sizes
from throughtime.memory.architectures._generation import Context
from throughtime.memory.architectures._states import flatten_state, state_size
from throughtime.memory.architectures.ragged import check_features, memory_dtype, read, valid_steps
from throughtime.memory.base import Memory


class RoleReader(eqx.Module):
    r"""A word's meaning is the same wherever it stands; its role is what stands around it, and not what it is.

        m_j = x_j W_m                        the meaning of word j
        e_j = x_j W_e + σ ε_j                its sign for the others, noisy in training, ε_j ~ N(0, 1)
        r_j = [→h_{j−1}; ←h_{j+1}]           its role; →h and ←h are two memories over e, one in each direction
        v = [→s_S; ←s_1]                     the context vector: both states after all words

    Beyond the first and the last word →h and ←h are zero. The noise, and a penalty on the size of the signs
    (`sign_energy`), leave a sign no more than the syntax needs: words that are used alike come to look alike.

    References: Russin et al. 2019, arXiv 1904.09708, equations 1 and 2; Li, Zhao, Wang & Hestness 2019,
    "Compositional generalization for primitive substitutions", arXiv 1910.02612 (noise and penalty).
    """

    signs: Float[Array, "I E"]
    meanings: Float[Array, "I M"]
    forward: Memory
    backward: Memory
    noise: float = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __init__(
        self,
        forward: Memory,
        backward: Memory,
        input_size: int,
        meaning_size: int,
        *,
        noise: float = 0.0,
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """Builds a reader around two memories, each with a state.

        Args:
            forward: reads the signs from first to last; its inputs are their E features.
            backward: reads them from last to first; its inputs are the same.
            input_size: I, the different words, which come one-hot.
            meaning_size: M.
            noise: σ, in training.
            dropout: share of the features of meanings and signs that a training step leaves out.
            key: for the random weights.

        Raises:
            ConfigError: sizes or dtypes that do not fit, or a memory without a state.
        """
        check_sizes(input_size=input_size, meaning_size=meaning_size)
        if not 0 <= dropout < 1 or not noise >= 0:
            raise ConfigError(
                f"dropout is {dropout}, noise is {noise}", "A share is in [0, 1), and noise is not negative."
            )
        dtype = memory_dtype(forward)
        if forward.input_size != backward.input_size or memory_dtype(backward) != dtype:
            raise ConfigError(
                f"memories of {forward.input_size} and {backward.input_size} inputs, {dtype}, {memory_dtype(backward)}",
                "Both read the same signs.",
                "Build them with one input_size and one dtype.",
            )
        if not all(state_size(m.initial_state(1)) for m in (forward, backward)):
            raise ConfigError(
                "a memory without a state in a reader of roles",
                "What stands around a word is known from the state alone.",
                "Take a memory with a state, for example gru.",
            )
        key_signs, key_meanings = jax.random.split(key)
        self.forward, self.backward, self.noise, self.dropout = forward, backward, noise, dropout
        self.signs = jax.random.normal(key_signs, (input_size, forward.input_size), dtype) * 0.3
        self.meanings = jax.random.normal(key_meanings, (input_size, meaning_size), dtype) * 0.3

    @property
    def role_size(self) -> int:
        """R, features of a role."""
        return self.forward.output_size + self.backward.output_size

    @property
    def context_size(self) -> int:
        """C, features of the context vector."""
        return sum(state_size(m.initial_state(1)) for m in (self.forward, self.backward))

    @property
    def meaning_size(self) -> int:
        """M."""
        return self.meanings.shape[1]

    def check(self, memory: Memory) -> None:
        """Raises ConfigError unless the memory reads roles, of the reader's dtype."""
        if memory.input_size != self.role_size or memory_dtype(memory) != self.signs.dtype:
            raise ConfigError(
                f"a memory of {memory.input_size} inputs ({memory_dtype(memory)}) behind roles of {self.role_size} "
                f"features ({self.signs.dtype})",
                "Its inputs are roles: the outputs of both memories side by side.",
                f"Build it with an input_size of {self.role_size}, and of the same dtype.",
            )

    def __call__(self, xs: Any, lengths: Any = None, *, key: PRNGKeyArray | None = None) -> Context:
        """The context vector, and roles and meanings side by side as the source.

        Args:
            xs: one-hot words `[S, B, I]`; the padding may be anything, even NaN.
            lengths: `[B]` whole numbers or a mask `[S, B]`; None where all sources are S long.
            key: for noise and dropout; None in evaluation.

        Raises:
            ConfigError: another rank, width or dtype, no steps, or ragged sources without lengths.
        """
        xs, lengths = check_features(xs, lengths, self.signs.shape[0], self.signs.dtype)
        S, B = xs.shape[:2]
        lengths = jnp.full(B, S, jnp.int32) if lengths is None else lengths
        signs, meanings = xs @ self.signs, xs @ self.meanings
        if key is not None:
            key_noise, *keys = jax.random.split(key, 3)
            signs = signs + self.noise * jax.random.normal(key_noise, signs.shape, signs.dtype)
            signs, meanings = (_drop(a, self.dropout, k) for a, k in zip((signs, meanings), keys, strict=True))
        ahead = read(self.forward, signs, lengths)
        back = read(self.backward, _turn_round(signs, lengths), lengths)
        later = _turn_round(back.outputs, lengths)
        before = jnp.concatenate([jnp.zeros_like(ahead.outputs[:1]), ahead.outputs[:-1]])
        after = jnp.concatenate([later[1:], jnp.zeros_like(later[:1])])
        source = jnp.concatenate([before, after, meanings], axis=-1)
        source = jnp.where(valid_steps(lengths, S)[..., None], source, jnp.zeros_like(source))
        vector = jnp.concatenate([flatten_state(ahead.state), flatten_state(back.state)], axis=-1)
        return Context(vector, source, lengths)

    def sign_energy(self) -> Float[Array, ""]:
        """The mean over words of |W_e's row|², what to add to a loss, times a weight."""
        return jnp.mean(jnp.sum(self.signs**2, axis=-1))


def _turn_round(a: Float[Array, "S B F"], lengths: Int[Array, " B"]) -> Float[Array, "S B F"]:
    """Each sequence from its last step to its first; the padding stays behind, as zeros."""
    S = a.shape[0]
    steps = jnp.arange(S, dtype=lengths.dtype)[:, None]
    turned = jnp.take_along_axis(a, jnp.maximum(lengths[None] - 1 - steps, 0)[..., None], axis=0)
    return jnp.where(valid_steps(lengths, S)[..., None], turned, jnp.zeros_like(turned))


def _drop(a: Float[Array, "S B F"], share: float, key: PRNGKeyArray) -> Float[Array, "S B F"]:
    if share == 0.0:
        return a
    kept = jax.random.bernoulli(key, 1.0 - share, a.shape)
    return jnp.where(kept, a / (1.0 - share), jnp.zeros_like(a))
