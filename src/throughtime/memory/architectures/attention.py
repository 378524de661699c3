"""Attention over the outputs of an encoder (Luong et al. 2015)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import affine
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes


class Attention(eqx.Module):
    r"""Global attention with the "general" score.

        score(h_t, s) = h_tᵀ W_hs s            for each encoder output s
        a_t = softmax over the valid source steps of score(h_t, ·)
        c_t = Σ_s a_ts s
        h̃_t = tanh([c_t; h_t] W_c + b_c)

    The decoder's state does not depend on h̃ (no input feeding), so that teacher forcing computes it for all steps in
    one product.

    Reference: Luong, Pham & Manning 2015, "Effective approaches to attention-based neural machine translation", arXiv
    1508.04025, equations 5, 7 and 8.
    """

    weight_hs: Float[Array, "H A"]
    weight_c: Float[Array, "AH H"]
    bias_c: Float[Array, " H"]

    def __init__(self, hidden_size: int, source_size: int, *, dtype: DTypeLike = jnp.float32, key: PRNGKeyArray):
        """Builds attention with Glorot weights and a zero bias.

        Args:
            hidden_size: H, the decoder's outputs.
            source_size: A, the encoder's outputs.
            dtype: dtype of the parameters.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1.
        """
        check_sizes(hidden_size=hidden_size, source_size=source_size)
        key_hs, key_c = jax.random.split(key)
        self.weight_hs = initialisers.glorot(key_hs, (hidden_size, source_size), dtype)
        self.weight_c = initialisers.glorot(key_c, (source_size + hidden_size, hidden_size), dtype)
        self.bias_c = jnp.zeros(hidden_size, dtype)

    def weights(
        self, h: Float[Array, "T B H"], source: Float[Array, "S B A"], mask: Bool[Array, "S B"]
    ) -> Float[Array, "T B S"]:
        """How much each step looks at each source step; exactly 0 where the mask is false.

        Args:
            h: the decoder's outputs.
            source: the encoder's outputs, finite in the padding.
            mask: true at the valid source steps, at least one for each row.
        """
        scores = jnp.einsum("tba,sba->tbs", h @ self.weight_hs, source)
        return jax.nn.softmax(jnp.where(mask.T[None], scores, -jnp.inf))

    def __call__(
        self, h: Float[Array, "T B H"], source: Float[Array, "S B A"], mask: Bool[Array, "S B"]
    ) -> Float[Array, "T B H"]:
        """h̃; the arguments are those of `weights`."""
        c = jnp.einsum("tbs,sba->tba", self.weights(h, source, mask), source)
        return jnp.tanh(affine(jnp.concatenate([c, h], axis=-1), self.weight_c, self.bias_c))
