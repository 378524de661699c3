"""`check_rollout` on real libraries' rollouts, on next-step autoreset, and on bad input."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from boundary import Clock, initial, random_policy
from environment_samples import Walks
from rollout_samples import GRUPolicy, correct, gae, stack
from throughtime.agents import PPOConfig
from throughtime.agents.network import NetworkConfig
from throughtime.agents.ppo import PPO
from throughtime.proof.memcheck.rollout._arrays import row_errors
from throughtime.proof.memcheck.rollout.check import check_rollout
from throughtime.proof.memcheck.rollout.data import Rollout, Sequences
from throughtime.proof.memcheck.rollout.from_ppo import rollout_from_ppo
from throughtime.proof.memcheck.rollout.laws import ROLLOUT_LAWS

OF_LOSSES = {"burn-in-has-no-gradient", "padding-leaves-loss", "nan-padding-leaves-loss"}


def statuses(findings):
    return {f.law.id.removeprefix("rollout/"): f.status for f in findings}


@pytest.mark.parametrize("previous", [False, True])
def test_our_own_rollout_satisfies_every_law(previous):
    env = Clock(shortest=3)
    network = {"memory": "gru", "hidden_size": 3, "encoder": (3,)}
    network |= {"previous_action": previous, "previous_reward": previous}
    config = PPOConfig(num_envs=4, rollout_length=24, bptt_length=2, minibatches=1, discount=0.9, gae_lambda=0.8)
    ppo = PPO(env, config, NetworkConfig(**network))
    state = initial(ppo, random_policy(env, **network))
    state = state._replace(actors=jax.jit(ppo.gather)(state).actors)  # on from within episodes
    findings = check_rollout(*rollout_from_ppo(ppo, state))
    assert not findings.broken, findings.broken
    assert {law for law, status in statuses(findings).items() if status == "not checked"} == OF_LOSSES


def test_a_fault_in_our_own_rollout_is_found(monkeypatch):
    """The same check, with a fault put into the library."""
    collect = __import__("throughtime.agents.ppo", fromlist=["collect"]).collect

    def broken(*args):
        actors, rollout, *rest = collect(*args)
        return actors, rollout._replace(resets=rollout.terminated | rollout.truncated), *rest

    monkeypatch.setattr("throughtime.agents.ppo.collect", broken)
    env = Clock(shortest=3)
    config = PPOConfig(num_envs=4, rollout_length=24, bptt_length=4, minibatches=1)
    ppo = PPO(env, config, NetworkConfig(memory="gru", hidden_size=3, encoder=(3,)))
    findings = check_rollout(
        *rollout_from_ppo(ppo, initial(ppo, random_policy(env, memory="gru", hidden_size=3, encoder=(3,))))
    )
    assert [f.law.id for f in findings.broken] == ["rollout/resets-at-first-observations"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_sb3_contrib(name):
    """Observed with sb3-contrib 2.9.2: every law that a rollout can show holds."""
    gymnasium, contrib = pytest.importorskip("gymnasium"), pytest.importorskip("sb3_contrib")
    from stable_baselines3.common.env_util import make_vec_env

    from throughtime.proof.memcheck.rollout.from_sb3 import rollout_from_sb3

    env = make_vec_env(lambda: gymnasium.make(name, max_episode_steps=15), 3)
    kwargs = {"lstm_hidden_size": 8}
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, n_steps=32, seed=0, device="cpu", policy_kwargs=kwargs)
    rollout, policy = rollout_from_sb3(model)
    findings = check_rollout(rollout, policy)
    assert not findings.broken, findings.broken
    assert {law for law, status in statuses(findings).items() if status == "not checked"} == OF_LOSSES
    # The check can go red on it: with truncation taken for termination.
    flags = {"truncated": 0 * rollout.truncated, "terminated": rollout.terminated | rollout.truncated}
    plain = gae(vars(rollout) | flags, rollout.last_values, rollout.discount, rollout.trace)
    old = check_rollout(replace(rollout, advantages=plain, returns=None, sequences=None), policy)
    assert [f.law.id for f in old.broken] == ["rollout/advantages-by-definition"]
    assert "truncation is treated as termination" in old.broken[0].got


def next_step_rollout(naive):
    """A loop over next-step environments; naive: every step is a transition, and `done` says that a reset comes."""
    env, policy = Walks("next-step", num_envs=3), GRUPolicy(inputs=2)
    obs, _ = env.reset(seed=0)
    state, over, fake = policy.initial_state(3), np.ones(3, bool), np.zeros(3, bool)
    rng, steps, states = np.random.default_rng(0), [], []
    for _ in range(40):
        reset = over if naive else over & ~fake
        states.append(state)
        state, out = policy.step(state, obs, reset)
        actions = rng.integers(2, size=3)
        following, rewards, terminated, truncated, _ = env.step(actions)
        step = {
            "observations": obs,
            "resets": reset,
            "actions": actions,
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
            "log_probs": policy.log_prob(out, actions),
            "values": policy.value(out),
            "mask": ~fake,
        }
        steps.append(step)
        obs = following
        ended = terminated | truncated
        over, fake = (ended, fake) if naive else (fake, ended)
    record = stack(steps)
    last = policy.value(policy.step(state, obs, over)[1])
    record["final_values"] = np.concatenate([record["values"][1:], last[None]])
    rollout = Rollout(
        **record | {"mask": None if naive else record["mask"]},
        states=stack(states),
        last_values=last,
        advantages=gae(record, last, 0.9, 0.8),
        discount=0.9,
        trace=0.8,
        autoreset="next-step",
    )
    return rollout, policy


def test_next_step_autoreset_done_right():
    findings = check_rollout(*next_step_rollout(naive=False))
    assert not findings.broken, findings.broken
    held = {law for law, status in statuses(findings).items() if status == "held"}
    assert held >= {"no-fake-steps", "resets-at-first-observations", "state-before-observation", "reset-clears-memory"}
    assert held >= {"log-probs-replay", "values-replay", "advantages-by-definition"}


def test_next_step_autoreset_trained_on_as_real():
    findings = check_rollout(*next_step_rollout(naive=True))
    assert [f.law.id for f in findings.broken] == ["rollout/no-fake-steps"]


# Bad input.


def test_without_anything_each_law_says_what_it_needs():
    findings = check_rollout(Rollout(observations=np.zeros((3, 2, 1)), resets=np.zeros((3, 2), bool)))
    assert tuple(f.law for f in findings) == ROLLOUT_LAWS
    assert {f.status for f in findings} == {"held", "not checked"}
    assert all(f.note for f in findings if f.status == "not checked")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"rewards": [[1, 2], [3]]}, "rewards"),
        ({"rewards": "many"}, None),
        ({"rewards": np.zeros((24, 3, 1))}, "rewards"),
        ({"resets": np.full((24, 3), 0.5)}, "resets"),
        ({"resets": np.zeros(24)}, "resets"),
        ({"state_steps": [0, 6, 12]}, "states"),
        ({"state_steps": [6, 0, 12, 18]}, "state_steps"),
        ({"observations": np.array([[object()]])}, "observations"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, where):
    rollout, policy = correct()
    findings = check_rollout(replace(rollout, **change), policy)
    assert [f.law.id for f in findings.broken] == ["rollout/shapes"]
    if where:
        assert findings[0].where == where


class Raises(GRUPolicy):
    def step(self, state, obs, reset):
        raise RuntimeError("no step today\nsecond line")


class OneResult(GRUPolicy):
    def step(self, state, obs, reset):
        return super().step(state, obs, reset)[1]


class OtherBatch(GRUPolicy):
    def value(self, out):
        return out[:1, 0]


class OtherState(GRUPolicy):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return (state,), out


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (Raises(), "policy.step raised RuntimeError: no step today"),
        (OneResult(), "policy.step returned ndarray, not (state, output)"),
        (OtherBatch(), "value returned shape (1,), not (3,)"),
        (object(), "needs policy.step"),
        (None, "needs policy"),
    ],
)
def test_a_policy_that_fails_leaves_the_other_laws_checked(policy, says):
    rollout, _ = correct()
    findings = check_rollout(rollout, policy, log_prob=GRUPolicy().log_prob, value=getattr(policy, "value", len))
    told = statuses(findings)
    assert told["advantages-by-definition"] == told["sequences-contiguous"] == "held"
    assert any(says in f.note for f in findings)


def test_states_of_another_structure_are_said():
    findings = check_rollout(correct(every_state=True)[0], OtherState())
    assert "structure" in next(f for f in findings if f.law.id == "rollout/state-before-observation").note


def test_observations_that_never_differ_tell_nothing_of_fake_steps():
    rollout, _ = correct(every_state=True)
    same = {"observations": np.ones((24, 3, 2)), "final_observations": np.ones((24, 3, 2)), "autoreset": None}
    flags = Rollout(**{n: getattr(rollout, n) for n in ("resets", "terminated", "truncated")}, **same)
    assert statuses(check_rollout(flags))["no-fake-steps"] == "not checked"


@pytest.mark.parametrize(("ends", "status"), [(2, "not checked"), (3, "broken")])
def test_fake_steps_need_three_ends(ends, status):
    obs = np.random.default_rng(0).normal(size=(12, 1, 2))
    final, over = np.zeros((12, 1, 2)), np.zeros((12, 1), bool)
    for t in range(2, 2 + 3 * ends, 3):
        final[t], over[t] = obs[t + 1], True
    resets = np.roll(over, 1, axis=0)
    rollout = Rollout(obs, resets, terminated=over, truncated=0 * over, final_observations=final)
    assert statuses(check_rollout(rollout))["no-fake-steps"] == status


@pytest.mark.parametrize(("dtype", "unit", "rounding"), [(np.complex64, 0.1 + 0.1j, 1e-7), (jnp.bfloat16, 0.01, 1e-4)])
def test_complex_and_bfloat16_states_may_differ_by_rounding(dtype, unit, rounding):
    right = np.full((3, 2), unit).astype(dtype)
    near, far = (np.full((3, 2), unit * (1 + size)).astype(dtype) for size in (60 * rounding, 1.0))
    assert (near != right).all()
    assert row_errors(near, right).max() <= 1e-4
    assert row_errors(far, right).min() > 1e-3


class NaN(GRUPolicy):
    def log_prob(self, out, actions):
        return np.nan * super().log_prob(out, actions)

    def value(self, out):
        return np.nan * super().value(out)


@pytest.mark.parametrize("first", [0, 6])
def test_outputs_that_are_nan_do_not_replay(first):
    rollout, _ = correct(every_state=True)
    states = jax.tree.map(lambda a: a[first:], rollout.states)
    rollout = replace(rollout, states=states, state_steps=range(first, 24), sequences=None)
    assert not check_rollout(rollout, GRUPolicy()).broken
    told = statuses(check_rollout(rollout, NaN()))
    assert told["log-probs-replay"] == told["values-replay"] == "broken"


def test_a_loss_that_fails_is_said():
    rollout, policy = correct()
    s = replace(rollout.sequences, mask=np.ones((6, 12), bool))

    def loss(sequences):
        raise KeyError("weights")

    told = check_rollout(replace(rollout, sequences=s), policy, loss=loss)
    assert "loss raised KeyError" in told[-1].note


def test_sequences_by_their_indices():
    rollout, policy = correct()
    steps, rows = np.meshgrid(np.arange(6), np.arange(3), indexing="ij")
    indexed = Sequences(steps=steps + 6, rows=rows, resets=rollout.resets[6:12])
    findings = check_rollout(replace(rollout, sequences=indexed), policy)
    assert statuses(findings)["sequences-contiguous"] == statuses(findings)["sequences-keep-episodes-apart"] == "held"
    broken = check_rollout(replace(rollout, sequences=replace(indexed, steps=steps[::-1])), policy).broken
    assert [f.law.id for f in broken] == ["rollout/sequences-contiguous"]
    assert broken[0].got == "(step 5, row 0), then (step 4, row 0)"


def test_jax_arrays_and_lists_are_taken_too():
    rollout, policy = correct()
    moved = replace(rollout, rewards=jnp.asarray(rollout.rewards), resets=rollout.resets.tolist())
    assert not check_rollout(moved, policy).broken
