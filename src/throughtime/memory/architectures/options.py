"""A plan of options: what to do, and how many times, subgoal by subgoal."""

from itertools import product
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes
from throughtime.memory.architectures._generation import Context, Generated
from throughtime.memory.architectures._states import add_to_state, state_size
from throughtime.memory.architectures.ragged import valid_steps
from throughtime.memory.architectures.roles import RoleReader
from throughtime.memory.architectures.syntactic_attention import PointerDecoder, look
from throughtime.memory.architectures.tokens import EOS, PAD, check_tokens, counted
from throughtime.memory.base import Memory
from throughtime.memory.readout import Readout

NEVER = -1e9
"""The log-probability of what cannot be; an infinity would make the gradients of its sums NaN."""


class Plan(NamedTuple):
    """What is planned before anything is done: C subgoals at most, N repetitions, options of L actions."""

    times: Float[Array, "C B N1"]
    """Log-probability of the number of repetitions of each subgoal; none at all ends the plan."""
    options: Float[Array, "L C B V"]
    """Log-probability of each token at each step of each option. EOS ends an option; it is not the first token, and
    after L tokens there is nothing to be said."""


class OptionDecoder(eqx.Module):
    r"""A memory plans subgoals; a second one, begun anew for each, says what to do for it; and that is done n times.

        s_c, q_c = planner(s_{c−1}, k_{c−1})      k_0 = 0,   s_0 = initial state + tanh(v W_b + b_b)
        k_c = Σ_j a_cj r_j                        a_cj = softmax over j of (q_c W_q) · r_j
        p(n_c) = softmax([q_c; k_c] W_n + b_n)    n_c = 0 … N; 0 ends the plan, as do C subgoals
        option c = PointerDecoder on [q_c; k_c]   1 to L tokens, and EOS where there are fewer than L
        y = option 1, n_1 times; option 2, n_2 times; …

    A target does not tell where its options begin, so its probability is a sum over all plans that come to it:

        α_0(0) = 1,   α_c(t + nℓ) = Σ_{t,n,ℓ} α_{c−1}(t) p(n_c = n) p(option c = y_{t+1} … y_{t+ℓ})
                                     wherever y goes on from t + ℓ with n − 1 copies of these ℓ tokens
        p(y) = Σ_c α_c(T) p(n_{c+1} = 0)     where p(n_{C+1} = 0) = 1

    Neither memory reads what is done, so all steps of all options are computed side by side, and the loop over time is
    as long as an option, not as the target.

    References: Sutton, Precup & Singh 1999, "Between MDPs and semi-MDPs", Artificial Intelligence 112 (options); Wang
    et al. 2017, "Sequence modeling via segmentations", arXiv 1702.07463 (the sum over segmentations); Sharma,
    Lakshminarayanan & Ravindran 2017, "Learning to repeat", arXiv 1702.06054 (an action and how many times).
    """

    reader: RoleReader
    planner: Memory
    bridge: Readout
    weight_query: Float[Array, "Q R"]
    times: Readout
    option: PointerDecoder
    subgoals: int = eqx.field(static=True)
    repeats: int = eqx.field(static=True)
    longest: int = eqx.field(static=True)

    def __init__(
        self,
        reader: RoleReader,
        planner: Memory,
        memory: Memory,
        num_tokens: int,
        *,
        subgoals: int = 3,
        repeats: int = 3,
        longest: int = 8,
        key: PRNGKeyArray,
    ):
        """Builds a planner and a decoder of options around two memories, each with a state, whose inputs are roles.

        Args:
            reader: reads the source.
            planner: makes a step for each subgoal.
            memory: makes a step for each action of an option.
            num_tokens: V of the targets, with PAD, BOS and EOS.
            subgoals: C, the most subgoals of a plan.
            repeats: N, the most repetitions of one.
            longest: L, the most actions of an option.
            key: for the random weights.

        Raises:
            ConfigError: sizes that do not fit, or a memory without a state.
        """
        check_sizes(subgoals=subgoals, repeats=repeats, longest=longest)
        reader.check(planner)
        reader.check(memory)
        total = state_size(planner.initial_state(1))
        if not total:
            raise ConfigError(
                "a planner without a state", "It would plan the same subgoal again and again.", "Take gru, for example."
            )
        keys, dtype = jax.random.split(key, 4), reader.signs.dtype
        told = planner.output_size + reader.role_size
        self.reader, self.planner = reader, planner
        self.bridge = Readout(reader.context_size, total, "tanh", dtype=dtype, key=keys[0])
        self.weight_query = initialisers.glorot(keys[1], (planner.output_size, reader.role_size), dtype)
        self.times = Readout(told, repeats + 1, dtype=dtype, key=keys[2])
        self.option = PointerDecoder(memory, num_tokens, told, reader.meaning_size, key=keys[3])
        self.subgoals, self.repeats, self.longest = subgoals, repeats, longest

    def plan(self, xs: Any, lengths: Any, *, key: PRNGKeyArray | None = None) -> Plan:
        """All that can be said before anything is done.

        Args:
            xs: as for `RoleReader`.
            lengths: as for `RoleReader`.
            key: for noise and dropout; None in evaluation.
        """
        context = self.reader(xs, lengths, key=key)
        B, C = context.vector.shape[0], self.subgoals

        def subgoal(carry, _):
            state, role = carry
            state, q = self.planner.step(state, role)
            role, _ = look(q @ self.weight_query, context)
            return (state, role), jnp.concatenate([q, role], axis=-1)

        state = add_to_state(self.planner.initial_state(B), self.bridge(context.vector))
        begin = (state, jnp.zeros((B, self.reader.role_size), context.vector.dtype))
        _, told = jax.lax.scan(subgoal, begin, length=C)
        times = jax.nn.log_softmax(self.times(told))

        assert context.source is not None
        assert context.lengths is not None
        each = Context(told.reshape(C * B, -1), jnp.tile(context.source, (1, C, 1)), jnp.tile(context.lengths, C))

        def step(state, _):
            return self.option.step(state, None, each)

        _, logits = jax.lax.scan(step, self.option.start(each), length=self.longest)
        logits = logits.reshape(self.longest, C, B, -1).at[0, ..., EOS].set(-jnp.inf)
        return Plan(times, jnp.maximum(jax.nn.log_softmax(logits), NEVER))

    def log_prob(
        self, xs: Any, lengths: Any, tokens: Any, *, brevity: float = 0.0, key: PRNGKeyArray | None = None
    ) -> Float[Array, " B"]:
        """The log-probability of each target, EOS included: the sum over all plans that come to it.

        Args:
            xs: as for `RoleReader`.
            lengths: as for `RoleReader`.
            tokens: the targets, whole numbers `[T, B]`.
            brevity: as for `plan_log_prob`; 0 for the probability itself.
            key: for noise and dropout; None in evaluation.

        Returns:
            In nats; about `NEVER` or less for a target that no plan comes to.
        """
        tokens = jnp.asarray(tokens)
        check_tokens(tokens, self.option.num_tokens)
        return plan_log_prob(self.plan(xs, lengths, key=key), tokens, brevity)

    def generate(self, xs: Any, lengths: Any, max_length: int) -> Generated:
        """Does what is most probable: at each subgoal the number of repetitions, at each step of its option the token.

        Args:
            xs: as for `RoleReader`.
            lengths: as for `RoleReader`.
            max_length: T, the most tokens of a sequence, EOS included.
        """
        check_sizes(max_length=max_length)
        return _carry_out(self.plan(xs, lengths), max_length)

    def sign_energy(self) -> Float[Array, ""]:
        """`RoleReader.sign_energy`."""
        return self.reader.sign_energy()


def plan_log_prob(plan: Plan, tokens: Int[Array, "T B"], brevity: float = 0.0) -> Float[Array, " B"]:
    """The probability of targets under a plan, by the forward recursion in `OptionDecoder`.

    Args:
        plan: what is planned.
        tokens: the targets.
        brevity: nats that each action of an option costs, once, however often the option is done; the option itself
            costs as much as L actions. A target that many plans come to does not tell which is meant; a cost, in
            training, prefers the fewest subgoals and then the shortest options.
    """
    (T, B), V = tokens.shape, plan.options.shape[-1]
    N, L = plan.times.shape[2] - 1, plan.options.shape[0]
    end = jnp.sum(counted(tokens), axis=0, dtype=jnp.int32) - 1  # [B], actions of each target
    # What stands at t + i: PAD, which no option says, behind the last action.
    actions = jnp.where(valid_steps(end, T), tokens, PAD)
    shifted = jnp.stack([jnp.pad(actions[i:], ((0, min(i, T)), (0, 0))) for i in range(L)])  # [L, T, B]
    said = jnp.einsum("itbv,icbv->citb", jax.nn.one_hot(shifted, V, dtype=plan.options.dtype), plan.options)
    ends = jnp.moveaxis(plan.options[1:, :, :, EOS], 0, 1)
    ends = jnp.concatenate([ends, jnp.zeros_like(plan.times[:, None, :, 0])], axis=1)
    cost = brevity * (L + jnp.arange(1, L + 1, dtype=said.dtype))[None, :, None, None]
    option = (
        jnp.cumsum(said, axis=1) + ends[:, :, None] - cost
    )  # [C, L, T, B]: 1 … L actions that begin at t, and the end

    copies = _copies(actions, end, L, N)

    def subgoal(alpha, planned):
        option, times = planned  # [L, T, B], [B, N1]
        ended = jnp.take_along_axis(alpha, end[None], axis=0)[0] + times[:, 0]
        ways = [jnp.full_like(alpha, NEVER)]
        for length, n in product(range(1, L + 1), range(1, N + 1)):
            if n * length < T:
                gone = alpha + option[length - 1] + times[None, :, n]
                gone = jnp.where(copies[length - 1, n - 1], gone, NEVER)[: T - n * length]
                ways.append(jnp.pad(gone, ((n * length, 0), (0, 0)), constant_values=NEVER))
        return jax.nn.logsumexp(jnp.stack(ways), axis=0), ended

    alpha = jnp.where(jnp.arange(T)[:, None] == 0, 0.0, jnp.full((T, B), NEVER, plan.times.dtype))
    alpha, ended = jax.lax.scan(subgoal, alpha, (option, plan.times))
    last = jnp.take_along_axis(alpha, end[None], axis=0)
    return jax.nn.logsumexp(jnp.concatenate([ended, last]), axis=0)


def _copies(actions: Int[Array, "T B"], end: Int[Array, " B"], L: int, N: int) -> Bool[Array, "L N T B"]:
    """Whether n = 1 … N copies of ℓ = 1 … L actions stand from t on, all of them before the end."""
    T, B = actions.shape
    later = jnp.stack([jnp.pad(actions[size:], ((0, min(size, T)), (0, 0))) for size in range(1, L + 1)])
    same = jnp.cumsum((actions[None] == later).astype(jnp.int32), axis=1)
    before = jnp.pad(same, ((0, 0), (1, 0), (0, 0)))[:, None]  # [L, 1, T + 1, B]: how many of those before t
    sizes, times, t = np.ogrid[1 : L + 1, 1 : N + 1, :T]
    reach = (times - 1) * sizes + 0 * t
    far = jnp.asarray(np.minimum(t + reach, T), jnp.int32)[..., None]
    more = jnp.take_along_axis(jnp.broadcast_to(before, (L, N, T + 1, B)), far, axis=2) - before[:, :, :T]
    behind = jnp.asarray(t + times * sizes, jnp.int32)[..., None]
    return (more == jnp.asarray(reach, jnp.int32)[..., None]) & (behind <= end[None, None, None])


@eqx.filter_jit
def _carry_out(plan: Plan, T: int) -> Generated:
    """The most probable number of repetitions of each subgoal, and token of each step of its option."""
    C, L = plan.times.shape[0], plan.options.shape[0]
    times = jnp.argmax(plan.times, axis=-1).astype(jnp.int32)  # [C, B]
    going = jnp.cumprod(times > 0, axis=0, dtype=jnp.int32)
    tokens = jnp.argmax(plan.options, axis=-1).astype(jnp.int32)  # [L, C, B]
    stops = jnp.concatenate([tokens == EOS, jnp.ones_like(tokens[:1], bool)])
    ends = jnp.argmax(stops, axis=0).astype(jnp.int32)  # [C, B], actions of each option
    spans = times * going * ends
    begins = jnp.cumsum(spans, axis=0) - spans
    t = jnp.arange(T, dtype=jnp.int32)[:, None]
    out = jnp.where(t == jnp.sum(spans, axis=0, dtype=jnp.int32)[None], EOS, PAD).astype(jnp.int32)
    for c in range(C):
        since, span, size = t - begins[c][None], spans[c][None], jnp.maximum(ends[c][None], 1)
        inside = (since >= 0) & (since < span)
        at = jnp.where(inside, since % size, 0)
        out = jnp.where(inside, jnp.take_along_axis(tokens[:, c], at, axis=0), out)
    asked = jnp.concatenate([jnp.ones_like(going[:1]), going[:-1]])  # also of the subgoal that ends the plan
    step = jnp.arange(L, dtype=jnp.int32)[:, None, None]
    said = jnp.where(step <= ends[None], jnp.max(plan.options, axis=-1), 0.0)
    chosen = jnp.where(asked > 0, jnp.max(plan.times, axis=-1), 0.0)
    log_prob = jnp.sum(chosen + jnp.where(going > 0, jnp.sum(said, axis=0), 0.0), axis=0)
    return Generated(out, jnp.sum(out != PAD, axis=0, dtype=jnp.int32), log_prob)
