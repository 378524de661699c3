"""Encoder and memory for environments that say what is to be done: the sentence is read once, and kept.

    a_k = softmax_j (r_j · w_k),   s_k = Σ_j a_kj m_j      slots: roles r_j and meanings m_j of the words (`RoleReader`)
    c_t = [s_1; …; s_K] where a sentence is said at t, else c_{t−1}
    q_k, θ_k = c_t W_k + b_k                               filters for what is seen, each with a threshold
    u_ik = relu(v_i · q_k + θ_k),   v_i a cell in view     which cells match what was said
    h_t = memory(h_{t−1}, encoder([v; extra; c_t; u]))

Which word fills a slot is decided by the order of the words alone, what it means by the word alone; so "open the blue
box" can be understood where "open", "blue" and "box" were learned in other sentences. That what was said makes a
filter for what is seen is Perez et al. 2018, "FiLM", arXiv 1709.07871, and Chevalier-Boisvert et al. 2019, "BabyAI".
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents.network import ActorCritic, NetworkBuilder, NetworkConfig, Tower, encoder_and_memory
from throughtime.core import select_rows
from throughtime.envs import Environment, InstructionLayout
from throughtime.memory import Memory, Readout, make_memory, per_row
from throughtime.memory.architectures import RoleReader, valid_steps
from throughtime.memory.initialisers import glorot

SIGN, MEANING, ROLE = 16, 16, 24  # features of a word for its neighbours, of its meaning, of each half of a role
SLOTS, FILTERS = 6, 8
FORGETFUL = ("none", "tdnn")
"""Memories that hold no more than a window: with them the sentence is not kept beyond it either."""


class InstructedState(NamedTuple):
    """What was said, and what the memory remembers of what was seen and done since."""

    said: Float[Array, "B C"]  # the slots, one behind the other
    memory: Any


class Projected(NamedTuple):
    """One input: the sentence's slots, whether there is a sentence, and the rest of it."""

    said: Float[Array, "*batch C"]
    says: Float[Array, "*batch"]  # 1 or 0: a number, for it has to have a (zero) cotangent
    rest: Float[Array, "*batch R"]


class SentenceReader(eqx.Module):
    """Words → K slots of M features."""

    roles: RoleReader
    queries: Float[Array, "K R"]

    def __init__(self, vocabulary: int, key: PRNGKeyArray):
        """Builds it on two GRUs.

        Args:
            vocabulary: the different words.
            key: for the random weights.
        """
        key_forward, key_backward, key_words, key_queries = jax.random.split(key, 4)
        memories: tuple[Memory, Memory] = (
            make_memory("gru", SIGN, ROLE, key=key_forward),
            make_memory("gru", SIGN, ROLE, key=key_backward),
        )
        self.roles = RoleReader(*memories, vocabulary, MEANING, key=key_words)
        self.queries = glorot(key_queries, (SLOTS, self.roles.role_size), jnp.float32)

    def __call__(self, words: Float[Array, "N S V"], says: Bool[Array, " N"]) -> Float[Array, "N C"]:
        """The slots of N sentences, zeros where nothing is said.

        Most steps say nothing: where no more than a quarter of the rows do, only so many are read.
        """
        N = words.shape[0]
        most = N // 4

        def some(words: Array) -> Array:
            rows = jnp.nonzero(says, size=most, fill_value=0)[0]
            place = jnp.clip(jnp.cumsum(says) - 1, 0, most - 1)
            return self.read(words[rows])[place]

        said = jax.lax.cond(jnp.sum(says) <= most, some, lambda w: self.read(w), words) if most else self.read(words)
        return select_rows(says, said, jnp.zeros_like(said))

    def read(self, words: Float[Array, "N S V"]) -> Float[Array, "N C"]:
        """The slots of N sentences; of one without a word they mean nothing."""
        words = jnp.moveaxis(words, 1, 0)
        lengths = jnp.maximum(1, jnp.sum(jnp.any(words != 0, axis=2), axis=0, dtype=jnp.int32))
        source = self.roles(words, lengths).source
        assert source is not None
        R = self.roles.role_size
        scores = source[..., :R] @ self.queries.T  # [S, N, K]
        valid = valid_steps(lengths, words.shape[0])[..., None]
        weights = jax.nn.softmax(jnp.where(valid, scores, -jnp.inf), axis=0)
        slots = jnp.einsum("snk,snm->nkm", weights, source[..., R:])
        return slots.reshape(slots.shape[0], -1)


class InstructedTower(Tower):
    """A tower whose state holds the sentence beside what the memory remembers. See the module's docstring."""

    reader: SentenceReader
    filters: Readout
    layout: InstructionLayout = eqx.field(static=True)
    keeps: bool = eqx.field(static=True)

    def __init__(self, input_size: int, config: NetworkConfig, key: PRNGKeyArray, *, layout: InstructionLayout):
        """Builds it.

        Args:
            input_size: features of one input: words, cells, and the extra ones (previous action and so on).
            config: encoder and memory.
            key: for the random weights.
            layout: of the observation.
        """
        key_reader, key_filters, key_rest = jax.random.split(key, 3)
        self.layout, self.keeps = layout, config.memory not in FORGETFUL
        self.reader = SentenceReader(layout.vocabulary, key_reader)
        self.filters = Readout(SLOTS * MEANING, FILTERS * (layout.features + 1), key=key_filters)
        width = input_size - layout.words * layout.vocabulary + SLOTS * MEANING + FILTERS * layout.cells
        self.encoder, self.memory = encoder_and_memory(width, config, key_rest)
        self.input_size, self.output_size = input_size, self.memory.output_size

    def initial_state(self, batch_size: int) -> InstructedState:
        """Nothing said, and the memory's."""
        return InstructedState(jnp.zeros((batch_size, SLOTS * MEANING)), self.memory.initial_state(batch_size))

    def project(self, x: Float[Array, "*batch I"]) -> Projected:
        """Reads the sentence, where there is one."""
        S, V = self.layout.words, self.layout.vocabulary
        lead = x.shape[:-1]
        words, says = x[..., : S * V], jnp.any(x[..., : S * V] != 0, axis=-1)
        said = self.reader(words.reshape(-1, S, V), says.reshape(-1)).reshape(*lead, -1)
        return Projected(said, says.astype(x.dtype), x[..., S * V :])

    def advance(self, state: InstructedState, projected: Projected) -> tuple[InstructedState, Any]:
        """Keeps the sentence, sees by it, and lets the memory go on."""
        before = state.said if self.keeps else jnp.zeros_like(state.said)
        said = select_rows(projected.says > 0, projected.said, before)
        memory, hidden = self.memory.advance(state.memory, self.memory.project(self._see(said, projected.rest)))
        return InstructedState(said, memory), hidden

    def _see(self, said: Float[Array, "*batch C"], rest: Float[Array, "*batch R"]) -> Float[Array, "*batch E"]:
        cells, F = self.layout.cells, self.layout.features
        seen = rest[..., : cells * F].reshape(*rest.shape[:-1], cells, F)
        filters = self.filters(said).reshape(*said.shape[:-1], FILTERS, F + 1)
        match = jnp.einsum("...cf,...kf->...ck", seen, filters[..., :F]) + filters[..., None, :, F]
        match = jax.nn.relu(match).reshape(*rest.shape[:-1], -1)
        return self._encode(jnp.concatenate([rest, said, match], axis=-1))

    def gate_activations(self, state: InstructedState, projected: Projected) -> dict[str, Float[Array, "B H"]]:
        """The memory's."""
        before = state.said if self.keeps else jnp.zeros_like(state.said)
        said = select_rows(projected.says > 0, projected.said, before)
        return self.memory.gate_activations(state.memory, self.memory.project(self._see(said, projected.rest)))

    def unroll(
        self, state: InstructedState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any = None
    ) -> tuple[InstructedState, Float[Array, "T B H"]]:
        """All steps: what is known of the sentence at each of them does not wait for the memory."""
        if taps is not None or xs.shape[0] == 0:
            return Memory.unroll(self, state, xs, resets, taps)
        projected = per_row((self, xs), InstructedTower.project)
        said = self._said(state.said, projected, resets)
        z = per_row((self, (said, projected.rest)), lambda tower, rows: tower._see(*rows))
        memory, hidden = self.memory.unroll(state.memory, z, resets)
        return InstructedState(said[-1], memory), hidden

    def _said(
        self, before: Float[Array, "B C"], projected: Projected, resets: Bool[Array, "T B"]
    ) -> Float[Array, "T B C"]:
        """What was last said, at each step; nothing after a reset without a sentence."""
        T = resets.shape[0]
        said = projected.said
        if not self.keeps:
            return said
        steps = jnp.arange(T, dtype=jnp.int32)[:, None]
        last = jax.lax.cummax(jnp.where((projected.says > 0) | resets, steps, -1), axis=0)
        kept = jnp.take_along_axis(said, jnp.maximum(last, 0)[..., None], axis=0)
        return select_rows(last < 0, jnp.broadcast_to(before[None], kept.shape), kept)


def network_for(env: Environment) -> NetworkBuilder:
    """What builds an actor-critic for an environment: with a reader of sentences where it says any."""
    layout = env.instruction_layout
    return ActorCritic if layout is None else partial(ActorCritic, tower=partial(InstructedTower, layout=layout))
