"""The ledger's faults in recorded rollouts: memcheck breaks exactly the right law for each, and names the fault.

Each fault is put into a rollout that is right (`tests/rollout_samples.py`); "exactly" means that no other law is
broken, and that on the unbroken rollout none is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rollout_samples as samples
from rollout_samples import at_steps, chunks, correct, episodes, gae, tree
from throughtime.proof.memcheck.rollout_check import check_rollout
from throughtime.proof.memcheck.rollout_laws import ROLLOUT_LAWS


def broken(rollout, policy, **arguments):
    return {finding.law.id: finding for finding in check_rollout(rollout, policy, **arguments).broken}


# Stored states.


def store_the_state_after_the_observation(r, p):
    """The state each stored step's observation leads to; the sequences carry it too."""
    steps = at_steps(r)
    after = [
        p.step(tree(lambda a: a[s], r.states), tree(lambda a: a[t], r.observations), r.resets[t])[0]  # noqa: B023
        for s, t in enumerate(steps)
    ]
    r = replace(r, states=samples.stack(after))
    return replace(r, sequences=chunks(r, 6))


def store_zeros(r, p):
    r = replace(r, states=tree(np.zeros_like, r.states))
    return replace(r, sequences=chunks(r, 6))


def act_without_resets(r, p):
    """PufferLib v3: the flags are right, and acting never looks at them."""
    return act_again(r, p, np.zeros_like(r.resets))


def act_without_memory(r, p):
    """sb3 #678: `predict` without the state of the step before; stored states are those of a right loop."""
    acted = act_again(r, p, np.ones_like(r.resets))
    r = replace(r, log_probs=acted.log_probs)
    return replace(r, sequences=chunks(r, 6))


def act_again(r, p, resets):
    """Acts once more on the same observations and actions, with other resets."""
    state = tree(lambda a: a[0], r.states)
    kept, values, log_probs, finals, steps = [], [], [], [], at_steps(r)
    for t in range(len(r.resets)):
        if t in steps:
            kept.append(state)
        state, out = p.step(state, tree(lambda a: a[t], r.observations), resets[t])  # noqa: B023
        values.append(p.value(out))
        log_probs.append(p.log_prob(out, r.actions[t]))
        final = tree(lambda a: a[t], r.final_observations)  # noqa: B023
        finals.append(p.value(p.step(state, final, np.zeros(len(values[0]), bool))[1]))
    last = p.value(p.step(state, r.next_observation, (r.terminated | r.truncated)[-1])[1])
    r = replace(
        r,
        states=samples.stack(kept),
        values=np.stack(values),
        log_probs=np.stack(log_probs).astype(np.float32),
        final_values=np.where(r.truncated & ~r.terminated, np.stack(finals), 0).astype(np.float32),
        last_values=last,
    )
    return with_advantages(r)


def with_advantages(r, made=None):
    fields = {name: getattr(r, name) for name in ("rewards", "values", "terminated", "truncated", "final_values")}
    made = gae(fields, r.last_values, r.discount, r.trace) if made is None else made
    r = replace(r, advantages=made.astype(np.float32), returns=(made + r.values).astype(np.float32))
    return replace(r, sequences=chunks(r, 6))


# Flags.


def flag_the_last_step_instead_of_the_first(r, p):
    r = replace(r, resets=r.terminated | r.truncated)
    return replace(r, sequences=chunks(r, 6))


def flag_one_step_late_in_acting_too(r, p):
    late = np.concatenate([np.zeros_like(r.resets[:1]), r.resets[:-1]])
    r = replace(act_again(r, p, late), resets=late)
    return replace(r, sequences=chunks(r, 6))


def never_flag(r, p):
    r = act_again(r, p, np.zeros_like(r.resets))
    r = replace(r, resets=np.zeros_like(r.resets))
    return replace(r, sequences=chunks(r, 6))


def train_on_the_reset_step(r, p):
    """cleanrl #499: after each end the final observation is acted on once more, for nothing."""
    T, B = r.resets.shape
    columns = []
    for b in range(B):
        column = []
        for t in range(T):
            column.append((t, False))
            if (r.terminated | r.truncated)[t, b]:
                column.append((t, True))
        columns.append(column[:T])

    def lay(a, fake):
        made = np.zeros_like(a)
        for b, column in enumerate(columns):
            for t, (source, is_fake) in enumerate(column):
                made[t, b] = fake(source, b) if is_fake else a[source, b]
        return made

    none = lambda t, b: 0  # noqa: E731
    return replace(
        r,
        observations=lay(r.observations, lambda t, b: r.final_observations[t, b]),
        resets=lay(r.resets, lambda t, b: True),
        rewards=lay(r.rewards, none),
        terminated=lay(r.terminated, none),
        truncated=lay(r.truncated, none),
        final_observations=lay(r.final_observations, lambda t, b: r.observations[min(t + 1, T - 1), b]),
        final_values=lay(r.final_values, none),
        actions=lay(r.actions, none),
        log_probs=None,
        values=None,
        states=None,
        state_steps=None,
        advantages=None,
        returns=None,
        sequences=None,
        autoreset=None,
    )


def train_on_the_reset_step_as_the_mode_tells(r, p):
    return replace(train_on_the_reset_step(r, p), autoreset="next-step", final_observations=None)


# Outputs.


def store_clipped_actions(r, p):
    """The action that was carried out, not the one drawn; continuous libraries clip, here 2 becomes 1."""
    r = replace(r, actions=np.minimum(r.actions, 1))
    return replace(r, sequences=chunks(r, 6))


def values_of_the_next_step(r, p):
    r = replace(r, values=np.concatenate([r.values[1:], r.last_values[None]]))
    return with_advantages(r)


def value_the_final_observation_with_a_fresh_memory(r, p):
    B = r.resets.shape[1]
    values = [
        p.value(p.step(p.initial_state(B), tree(lambda a: a[t], r.final_observations), np.ones(B, bool))[1])  # noqa: B023
        for t in range(len(r.resets))
    ]
    return with_advantages(replace(r, final_values=np.stack(values)))


def value_the_last_step_in_place_of_the_final_observation(r, p):
    return with_advantages(replace(r, final_values=r.values))


def value_the_next_first_observation_in_place_of_the_final(r, p):
    return with_advantages(replace(r, final_values=np.concatenate([r.values[1:], r.last_values[None]])))


# Advantages: the arrays are right, and what is made of them is not.


def advantages_by(dead=None, cut=None, following=None, last=None):
    def fault(r, p):
        terminated, truncated = r.terminated, r.truncated
        nexts = np.concatenate([r.values[1:], (r.last_values if last is None else last(r))[None]])
        nexts = np.where(truncated, r.final_values, nexts) if following is None else following(r, nexts)
        dead_now = terminated if dead is None else dead(r)
        cut_now = terminated | truncated if cut is None else cut(r)
        delta = r.rewards + r.discount * np.where(dead_now, 0, nexts) - r.values
        made, running = np.zeros_like(delta), np.zeros(delta.shape[1])
        for t in reversed(range(len(delta))):
            running = delta[t] + r.discount * r.trace * np.where(cut_now[t], 0, running)
            made[t] = running
        return with_advantages(r, made)

    return fault


def either(r):
    return r.terminated | r.truncated


def late(flags, first=False):
    return np.concatenate([np.full_like(flags[:1], first), flags[:-1]])


def standardised_advantages(r, p):
    return with_advantages(r, (r.advantages - r.advantages.mean()) / r.advantages.std())


def targets_of_other_values(r, p):
    r = replace(r, returns=r.advantages + 2 * r.values)
    return replace(r, sequences=chunks(r, 6))


# Sequences.


def reshape_into_strided_sequences(r, p):
    T, B = r.resets.shape
    fields = {f: tree(lambda a: a.reshape(6, T * B // 6, *a.shape[2:]), getattr(r, f)) for f in samples.FIELDS}
    return replace(r, sequences=replace(r.sequences, **fields))


def reshape_the_other_way(r, p):
    T, B = r.resets.shape
    bare = lambda a: a.reshape(T * B // 6, 6, *a.shape[2:]).swapaxes(0, 1)  # noqa: E731
    fields = {f: tree(bare, getattr(r, f)) for f in samples.FIELDS}
    return replace(r, sequences=replace(r.sequences, **fields))


def shuffle_steps(r, p):
    order = np.random.default_rng(0).permutation(6)
    fields = {f: tree(lambda a: a[order], getattr(r.sequences, f)) for f in samples.FIELDS}
    return replace(r, sequences=replace(r.sequences, **fields))


def shuffle_advantages_alone(r, p):
    s = r.sequences
    order = np.random.default_rng(0).permutation(s.advantages.shape[1])
    return replace(r, sequences=replace(s, advantages=s.advantages[:, order], returns=s.returns[:, order]))


def windows_across_episodes(r, p):
    return replace(r, sequences=replace(r.sequences, resets=None))


def flags_lost_in_the_sequences(r, p):
    return replace(r, sequences=replace(r.sequences, resets=np.zeros_like(r.sequences.resets)))


def start_from_zeros(r, p):
    return replace(r, sequences=replace(r.sequences, states=tree(np.zeros_like, r.sequences.states)))


def start_by_a_flag(r, p):
    resets = r.sequences.resets.copy()
    resets[0] = True
    return replace(r, sequences=replace(r.sequences, resets=resets))


def join_states_in_another_order(r, p):
    states = tree(lambda a: np.roll(a, 1, axis=0), r.sequences.states)
    return replace(r, sequences=replace(r.sequences, states=states))


def batch_major_rewards(r, p):
    return replace(r, rewards=r.rewards.T)


def a_nan_reward(r, p):
    rewards = r.rewards.copy()
    rewards[5, 1] = np.nan
    return with_advantages(replace(r, rewards=rewards))


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Callable[[Any, Any], Any]
    origin: str
    law: str
    says: str = ""
    settings: dict = field(default_factory=dict)

    def __str__(self):
        return self.name


def fault(inject, origin, law, says="", name="", **settings):
    return Fault(name or inject.__name__, inject, origin, f"rollout/{law}", says, settings)


EVERY = {"every_state": True}
ADVANTAGES = "advantages-by-definition"
FAULTS = [
    fault(store_the_state_after_the_observation, "Acme #259; Stoix", "state-before-observation", "after the obs"),
    fault(
        store_the_state_after_the_observation,
        "the same, every state stored",
        "state-before-observation",
        "after the observation was read",
        "store_every_state_after",
        **EVERY,
    ),
    fault(
        store_the_state_after_the_observation,
        "the same, one state stored",
        "state-before-observation",
        "after the observation was read",
        "store_one_state_after",
        piece=24,
    ),
    fault(store_zeros, "zero states in place of stored ones", "state-before-observation", "the initial one"),
    fault(store_zeros, "the same", "state-before-observation", "the initial one", "store_zeros_everywhere", **EVERY),
    fault(act_without_resets, "PufferLib v3", "reset-clears-memory", "acting carried it on"),
    fault(act_without_resets, "PufferLib v3", "reset-clears-memory", "carried it on", "act_without_resets_2", **EVERY),
    fault(act_without_memory, "sb3 #678", "log-probs-replay", "without memory"),
    fault(
        flag_the_last_step_instead_of_the_first,
        "JaxMARL #119, Mava #1006, purejaxrl #23",
        "resets-at-first-observations",
        "one step early",
    ),
    fault(flag_one_step_late_in_acting_too, "the same, acting agrees", "resets-at-first-observations", "step late"),
    fault(never_flag, "PufferLib v3, replay agrees", "resets-at-first-observations", "never goes up"),
    fault(train_on_the_reset_step, "Gymnasium 1.x; cleanrl #499", "no-fake-steps", "the final observation"),
    fault(train_on_the_reset_step_as_the_mode_tells, "the same", "no-fake-steps", "trained on"),
    fault(store_clipped_actions, "clipped actions", "log-probs-replay", "a first ratio of"),
    fault(values_of_the_next_step, "values one step off", "values-replay", "the next step's"),
    fault(value_the_final_observation_with_a_fresh_memory, "a reset too early", "bootstrap-values", "fresh memory"),
    fault(
        value_the_last_step_in_place_of_the_final_observation, "skrl, rsl_rl: recorded", "bootstrap-values", "V(obs_t)"
    ),
    fault(
        value_the_next_first_observation_in_place_of_the_final,
        "the next episode's first value: recorded",
        "bootstrap-values",
        "next episode's first",
    ),
    fault(
        advantages_by(dead=either),
        "AMAGO #67; Memorax's Gymnasium wrapper",
        ADVANTAGES,
        "truncation is treated as termination",
        "truncation_as_termination",
    ),
    fault(
        advantages_by(following=lambda r, nexts: np.where(r.truncated, r.values, nexts)),
        "skrl, rsl_rl",
        ADVANTAGES,
        "V(s_t) is used for V(s_final)",
        "same_step_bootstrap",
    ),
    fault(
        advantages_by(following=lambda r, nexts: nexts),
        "the next episode's value",
        ADVANTAGES,
        "the next episode's first observation",
        "next_episode_bootstrap",
    ),
    fault(
        advantages_by(dead=lambda r: late(either(r)), cut=lambda r: late(either(r)), following=lambda r, nexts: nexts),
        "Stoix, rec_ppo",
        ADVANTAGES,
        "one step late",
        "done_one_step_late",
    ),
    fault(
        advantages_by(
            dead=lambda r: late(r.terminated, True),
            cut=lambda r: late(either(r), True),
            following=lambda r, nexts: np.where(r.truncated, r.final_values, nexts),
        ),
        "the same, flags apart",
        ADVANTAGES,
        "one step late",
        "flags_one_step_late",
    ),
    fault(advantages_by(cut=lambda r: r.terminated), "", ADVANTAGES, "on after truncation", "trace_over_truncation"),
    fault(advantages_by(cut=lambda r: 0 * r.truncated), "", ADVANTAGES, "never cut", "trace_never_cut"),
    fault(
        advantages_by(dead=lambda r: r.terminated & ~r.truncated),
        "",
        ADVANTAGES,
        "both flags",
        "both_flags_as_truncated",
    ),
    fault(
        advantages_by(last=lambda r: 0 * r.last_values), "", ADVANTAGES, "after the last step", "no_bootstrap_at_end"
    ),
    fault(standardised_advantages, "", ADVANTAGES, "standardised"),
    fault(targets_of_other_values, "", "returns-by-definition"),
    fault(reshape_into_strided_sequences, "Stoix, Mava", "sequences-contiguous", "strides over rows and time"),
    fault(reshape_the_other_way, "the same", "sequences-contiguous", "strides over rows and time"),
    fault(shuffle_steps, "steps shuffled like a feed-forward batch", "sequences-contiguous"),
    fault(shuffle_advantages_alone, "advantages of other steps", "sequences-aligned", "advantages, returns"),
    fault(windows_across_episodes, "rl-blox #213, mbrl-lib #95", "sequences-keep-episodes-apart", "no resets"),
    fault(flags_lost_in_the_sequences, "the same", "sequences-keep-episodes-apart", "none"),
    fault(start_from_zeros, "zero starts in mid-episode", "sequences-start-states", "fresh memory"),
    fault(start_by_a_flag, "the same, by a flag", "sequences-start-states", "fresh memory"),
    fault(join_states_in_another_order, "states beside other sequences", "sequences-start-states", "of sequence"),
    fault(batch_major_rewards, "batch-major beside time-major", "shapes", "(3, 24)"),
    fault(a_nan_reward, "a NaN", "finite", "nan"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_exactly_the_right_law_is_broken(fault, seed):
    rollout, policy = correct(seed, **fault.settings)
    assert not broken(rollout, policy)
    found = broken(fault.inject(rollout, policy), policy)
    assert set(found) == {fault.law}, found
    assert fault.says in found[fault.law].got
    assert found[fault.law].where


# Burn-in and padding: a loss, and its gradient by JAX.


def loss_of(policy, burn_in=0, stop=True, mask="where", mean="real"):
    """A training loss of sequences, in JAX: log-probabilities weighted by advantages, plus squared value errors."""
    weights = jax.tree.map(jnp.asarray, (policy.wx, policy.wh, policy.b, policy.out))

    def loss(observations, s):
        wx, wh, b, out = weights
        h = jnp.asarray(s.states.h)
        total, count = 0.0, 0.0
        real = jnp.ones(s.resets.shape, bool) if s.mask is None else jnp.asarray(s.mask)
        for t in range(s.resets.shape[0]):
            x = observations[t]
            h = jnp.where(s.resets[t][:, None], 0.0, h)
            if t == burn_in and stop:
                h = jax.lax.stop_gradient(h)
            z = jax.nn.sigmoid(x @ wx[0] + h @ wh[0] + b[0][None])
            r = jax.nn.sigmoid(x @ wx[1] + h @ wh[1] + b[1][None])
            n = jnp.tanh(x @ wx[2] + r * (h @ wh[2]) + b[2][None])
            h = (1.0 - z) * n + z * h
            if t < burn_in:
                continue
            y = h @ out
            log_prob = jax.nn.log_softmax(y[:, : samples.A])[jnp.arange(y.shape[0]), s.actions[t]]
            term = -log_prob * s.advantages[t] + (y[:, samples.A] - s.returns[t]) ** 2
            if mask == "where":
                term = jnp.where(real[t], term, 0.0)
            elif mask == "multiply":
                term = term * real[t].astype(term.dtype)
            total = total + term.sum()
            count = count + (real[t].sum().astype(jnp.float32) if mean == "real" else float(term.size))
        return total / count

    return loss


def padded(seed=0):
    rollout, policy = correct(seed, every_state=True)
    return replace(rollout, sequences=episodes(rollout)), policy


def value_of(policy, **settings):
    made = loss_of(policy, **settings)
    return lambda s: float(made(jnp.asarray(s.observations), s))


@pytest.mark.parametrize(
    ("settings", "law"),
    [
        ({}, None),
        ({"mask": "none"}, "rollout/padding-leaves-loss"),  # ray #21392, sb3-contrib #75
        ({"mean": "all"}, "rollout/padding-leaves-loss"),  # pytorch/rl #3711
        ({"mask": "multiply"}, "rollout/nan-padding-leaves-loss"),  # memax
    ],
    ids=str,
)
def test_padding_in_the_loss(settings, law):
    rollout, policy = padded()
    found = broken(rollout, policy, loss=value_of(policy, **settings))
    assert set(found) == ({law} if law else set())


@pytest.mark.parametrize("stop", [True, False])
def test_gradient_through_burn_in(stop):
    """Acme's R2D2."""
    rollout, policy = correct(0)
    made = loss_of(policy, burn_in=2, stop=stop)
    gradients = jax.grad(made)(jnp.asarray(rollout.sequences.observations), rollout.sequences)
    sequences = replace(rollout.sequences, burn_in=2, observation_gradients=np.asarray(gradients))
    found = broken(replace(rollout, sequences=sequences), policy)
    assert set(found) == (set() if stop else {"rollout/burn-in-has-no-gradient"})


# No false alarm.


def random_correct(seed):
    rng = np.random.default_rng([seed, 7])
    piece = int(rng.choice([1, 2, 3, 5, 8]))
    settings = {
        "T": piece * int(rng.integers(1, 7)),
        "B": int(rng.integers(1, 6)),
        "piece": piece,
        "shortest": int(rng.integers(1, 4)),
        "longest": int(rng.integers(4, 12)),
        "discount": float(rng.choice([0.0, 0.5, 0.9, 0.99, 1.0])),
        "trace": float(rng.choice([0.0, 0.5, 0.95, 1.0])),
        "fresh": bool(rng.integers(2)),
        "every_state": bool(rng.integers(2)),
        "nest": bool(rng.integers(2)),
        "dtype": np.float64 if rng.integers(2) else np.float32,
    }
    rollout, policy = correct(seed, **settings)
    order = rng.permutation(rollout.sequences.resets.shape[1]) if rng.integers(2) else None
    rollout = replace(rollout, sequences=chunks(rollout, piece, order))
    if settings["every_state"] and rng.integers(2):
        rollout = replace(rollout, sequences=episodes(rollout))
    left_out = rng.choice(["states", "final_observations", "autoreset", "next_observation", "sequences", ""])
    if left_out:
        rollout = replace(rollout, **{str(left_out): None})
    if left_out == "states":
        rollout = replace(rollout, state_steps=None)
    return rollout, policy


def test_correct_rollouts_raise_no_alarm():
    for seed in range(20):
        found = broken(*random_correct(seed))
        assert not found, (seed, found)


@pytest.mark.slow
def test_two_hundred_correct_rollouts_raise_no_alarm():
    checked = set()
    for seed in range(20, 220):
        findings = check_rollout(*random_correct(seed))
        assert not findings.broken, (seed, findings.broken)
        checked |= {f.law.id for f in findings if f.status == "held"}
    assert len(checked) >= 15


def test_each_law_of_rollouts_is_proven_able_to_break():
    elsewhere = {"burn-in-has-no-gradient", "padding-leaves-loss", "nan-padding-leaves-loss"}
    assert {law.id for law in ROLLOUT_LAWS} == {f.law for f in FAULTS} | {f"rollout/{name}" for name in elsewhere}


def test_faults_are_found_with_random_settings():
    """What has to show: states stored after the observation, wherever any state lies within an episode."""
    for seed in range(20):
        rollout, policy = correct(seed, piece=4, every_state=seed % 2 == 0, fresh=seed % 3 == 0)
        found = broken(replace(store_the_state_after_the_observation(rollout, policy), sequences=None), policy)
        assert set(found) == {"rollout/state-before-observation"}, seed
