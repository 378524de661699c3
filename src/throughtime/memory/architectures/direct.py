"""The architectures without a decoder: one-to-one, many-to-one and synchronised many-to-many."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures.ragged import check_sequences, memory_dtype, read, valid_steps
from throughtime.memory.base import Memory
from throughtime.memory.readout import Readout
from throughtime.memory.unroll import per_row


class _Direct(eqx.Module):
    """A memory and a readout of its output."""

    memory: Memory
    readout: Readout

    def __init__(self, memory: Memory, output_size: int, *, key: PRNGKeyArray):
        """Puts a readout on a memory.

        Args:
            memory: any memory with parameters; the readout takes their dtype.
            output_size: O, for example the number of classes.
            key: for the readout's weights.

        Raises:
            ConfigError: a size below 1.
        """
        self.memory = memory
        self.readout = Readout(memory.output_size, output_size, dtype=memory_dtype(memory), key=key)


class OneToOne(_Direct):
    """One input, one output: a memory that takes a single step, and so has nothing to remember.

    With `Memoryless` it is the standard feed-forward network.
    """

    __init__ = _Direct.__init__

    def __call__(self, x: Any) -> Float[Array, "B O"]:
        """The readout of one step from the initial state.

        Args:
            x: `[B, I]`, of the memory's dtype.

        Returns:
            `[B, O]`.

        Raises:
            ConfigError: another rank, width or dtype.
        """
        x = check_vectors(x, self.memory.input_size, memory_dtype(self.memory))
        return self.readout(self.memory.step(self.memory.initial_state(x.shape[0]), x)[1])


class ManyToOne(_Direct):
    """A sequence in, one output: the readout of the last valid step."""

    __init__ = _Direct.__init__

    def __call__(self, xs: Any, lengths: Any = None) -> Float[Array, "B O"]:
        """Reads each sequence to its end.

        Args:
            xs: `[T, B, I]`, of the memory's dtype; the padding may be anything, even NaN.
            lengths: `[B]` whole numbers or a mask `[T, B]`; None where all sequences are T long.

        Returns:
            `[B, O]`.

        Raises:
            ConfigError: another rank, width or dtype, no steps, or ragged sequences without lengths.
        """
        return self.readout(read(self.memory, *check_sequences(xs, lengths, self.memory)).last)


class ManyToMany(_Direct):
    """A sequence in, an output at every step (synchronised)."""

    __init__ = _Direct.__init__

    def __call__(self, xs: Any, lengths: Any = None, resets: Bool[Array, "T B"] | None = None) -> Float[Array, "T B O"]:
        """Reads all steps.

        Args:
            xs: `[T, B, I]`, of the memory's dtype; the padding may be anything, even NaN.
            lengths: `[B]` whole numbers or a mask `[T, B]`; None where all sequences are T long.
            resets: `[T, B]`, where a new sequence begins; None for none after step 0.

        Returns:
            `[T, B, O]`; zero in the padding.

        Raises:
            ConfigError: another rank, width or dtype, no steps, or ragged sequences without lengths.
        """
        xs, lengths = check_sequences(xs, lengths, self.memory)
        T, B = xs.shape[:2]
        if resets is None:
            resets = jnp.zeros((T, B), bool)
        elif resets.shape != (T, B) or resets.dtype != bool:
            raise ConfigError(
                f"expected resets bool[{T}, {B}], got {resets.dtype}{list(resets.shape)}",
                "There is one reset for each step of each sequence.",
            )
        _, hs = self.memory.unroll(self.memory.initial_state(B), xs, resets)
        ys = per_row((self.readout, hs), Readout.__call__)
        return ys if lengths is None else jnp.where(valid_steps(lengths, T)[..., None], ys, jnp.zeros_like(ys))


def check_vectors(x: Any, size: int, dtype: Any) -> Array:
    """`x` as an array.

    Raises:
        ConfigError: `x` is not `[B, size]` of `dtype`.
    """
    if x.ndim != 2 or x.shape[1] != size or x.dtype != dtype:
        raise ConfigError(
            f"expected {dtype}[B, {size}], got {x.dtype}{list(x.shape)}",
            "It is one vector for each row of the batch, in the dtype of the weights.",
            "For a single vector write x[None].",
        )
    return jnp.asarray(x)
