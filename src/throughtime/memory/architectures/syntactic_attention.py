"""An encoder-decoder that keeps what words mean apart from how they are put together (Russin et al. 2019)."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes
from throughtime.memory.architectures._generation import Context, Generated, run_freely
from throughtime.memory.architectures._states import add_to_state, state_size
from throughtime.memory.architectures.ragged import memory_dtype, valid_steps
from throughtime.memory.architectures.roles import RoleReader
from throughtime.memory.architectures.tokens import BOS, FIRST_SYMBOL, PAD, check_tokens
from throughtime.memory.base import Memory
from throughtime.memory.readout import Readout


class PointerState(NamedTuple):
    """Where a decoder is in the source."""

    memory: Any
    attended: Float[Array, "B R"]
    """The role that was attended to last."""


class PointerDecoder(eqx.Module):
    r"""Says what the words mean that it looks at, one after the other, and knows of its progress only their roles.

        s_0 = memory's initial state + tanh(v W_b + b_b)     v: the context vector
        s_t, q_t = memory(s_{t−1}, c_{t−1})                  c_0 = 0
        a_tj = softmax over the valid j of (q_t W_q) · r_j
        c_t = Σ_j a_tj r_j
        p(y_t) = softmax(Σ_j a_tj m_j W_y + b_y)

    Roles r and meanings m are those of `RoleReader`. PAD and BOS have probability zero.
    """

    memory: Memory
    bridge: Readout
    weight_query: Float[Array, "Q R"]
    readout: Readout
    num_tokens: int = eqx.field(static=True)

    def __init__(self, memory: Memory, num_tokens: int, context_size: int, meaning_size: int, *, key: PRNGKeyArray):
        """Builds a decoder around a memory.

        Args:
            memory: any memory with a state; its inputs are a role.
            num_tokens: V, with PAD, BOS and EOS.
            context_size: features of the context vector.
            meaning_size: M.
            key: for the random weights.

        Raises:
            ConfigError: a vocabulary or a size that is too small, or a memory without a state.
        """
        check_sizes(context_size=context_size, meaning_size=meaning_size)
        total = state_size(memory.initial_state(1))
        if num_tokens <= FIRST_SYMBOL or not total:
            raise ConfigError(
                f"num_tokens is {num_tokens}, and the decoder's memory has a state of {total} numbers",
                f"A vocabulary has more than {FIRST_SYMBOL} tokens, and the plan is kept in the state.",
                "Take a memory with a state, for example gru.",
            )
        keys, dtype = jax.random.split(key, 3), memory_dtype(memory)
        self.memory, self.num_tokens = memory, num_tokens
        self.bridge = Readout(context_size, total, "tanh", dtype=dtype, key=keys[0])
        self.weight_query = initialisers.glorot(keys[1], (memory.output_size, memory.input_size), dtype)
        self.readout = Readout(meaning_size, num_tokens, dtype=dtype, key=keys[2])

    def start(self, context: Context) -> PointerState:
        """The state before the first token."""
        B = context.vector.shape[0]
        state = add_to_state(self.memory.initial_state(B), self.bridge(context.vector))
        return PointerState(state, jnp.zeros((B, self.memory.input_size), context.vector.dtype))

    def step(
        self, state: PointerState, token: Int[Array, " B"] | None, context: Context
    ) -> tuple[PointerState, Float[Array, "B V"]]:
        """One step, which reads no token: the next state, and the logits of the next token."""
        del token
        memory, q = self.memory.step(state.memory, state.attended)
        role, meaning = look(q @ self.weight_query, context)
        logits = self.readout(meaning)
        never = np.isin(np.arange(self.num_tokens), (PAD, BOS))
        return PointerState(memory, role), jnp.where(jnp.broadcast_to(never, logits.shape), -jnp.inf, logits)


def look(query: Float[Array, "B R"], context: Context) -> tuple[Float[Array, "B R"], Float[Array, "B M"]]:
    """The role and the meaning that a query finds; the padding has no part in them."""
    assert context.source is not None
    assert context.lengths is not None
    roles = context.source[..., : query.shape[1]]
    scores = jnp.einsum("br,sbr->bs", query, roles)
    weights = jax.nn.softmax(jnp.where(valid_steps(context.lengths, roles.shape[0]).T, scores, -jnp.inf))
    seen = jnp.einsum("bs,sbf->bf", weights, context.source)
    return seen[:, : query.shape[1]], seen[:, query.shape[1] :]


class SyntacticAttention(eqx.Module):
    """Where to look is decided by the order of the words alone, and what is said by the word that is looked at.

    A `RoleReader` and a `PointerDecoder`. The decoder reads none of its own outputs, so that a word whose meaning was
    learned in one sentence means the same in every other, wherever its role has been seen.

    References: Russin, Jo, O'Reilly & Bengio 2019, "Compositional generalization in a deep seq2seq model by separating
    syntax and semantics", arXiv 1904.09708 (here one layer for its two).
    """

    reader: RoleReader
    decoder: PointerDecoder

    def __init__(self, reader: RoleReader, memory: Memory, num_tokens: int, *, key: PRNGKeyArray):
        """Builds the decoder around a memory.

        Args:
            reader: reads the source.
            memory: the decoder's, with a state; its inputs are a role, of `reader.role_size` features.
            num_tokens: V of the targets, with PAD, BOS and EOS.
            key: for the random weights of the decoder.

        Raises:
            ConfigError: sizes that do not fit.
        """
        reader.check(memory)
        self.reader = reader
        self.decoder = PointerDecoder(memory, num_tokens, reader.context_size, reader.meaning_size, key=key)

    def __call__(
        self, xs: Any, lengths: Any, tokens: Any, *, own: None = None, key: PRNGKeyArray | None = None
    ) -> Float[Array, "T B V"]:
        """The logits of each token of a target, none of which it reads: training is as free as running.

        Args:
            xs: as for `RoleReader`.
            lengths: as for `RoleReader`.
            tokens: the target, whole numbers `[T, B]`, which says how many steps there are.
            own: scheduled sampling has nothing to replace here.
            key: for noise and dropout; None in evaluation.

        Raises:
            ConfigError: a source or a target of another shape or dtype.
        """
        del own
        tokens = jnp.asarray(tokens)
        check_tokens(tokens, self.decoder.num_tokens)
        context = self.reader(xs, lengths, key=key)

        def body(state, _):
            return self.decoder.step(state, None, context)

        return jax.lax.scan(body, self.decoder.start(context), length=tokens.shape[0])[1]

    def generate(self, xs: Any, lengths: Any, max_length: int, *, key: PRNGKeyArray | None = None) -> Generated:
        """Runs freely: the most probable tokens, or with a key drawn ones.

        Args:
            xs: as for `RoleReader`.
            lengths: as for `RoleReader`.
            max_length: T, the most tokens of a sequence, EOS included.
            key: to draw the tokens.
        """
        check_sizes(max_length=max_length)
        context = self.reader(xs, lengths)
        return run_freely(self.decoder, context, max_length, key, jnp.ones((), context.vector.dtype))

    def sign_energy(self) -> Float[Array, ""]:
        """`RoleReader.sign_energy`."""
        return self.reader.sign_energy()
