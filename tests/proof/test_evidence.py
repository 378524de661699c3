"""Evidence against policies whose memory is known by construction."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest
from hand_made import (
    Coins,
    Forgetting,
    ResettingAlways,
    ResettingNever,
    Turning,
    lag_reader,
    maze,
    maze_solver,
    policy_of,
    with_fault,
)
from numpy.testing import assert_allclose, assert_array_equal

import throughtime as tt
from throughtime.core import ConfigError
from throughtime.envs import Revealed, make, registry
from throughtime.memory import make_memory
from throughtime.proof.evidence import (
    Ablations,
    Parity,
    Reach,
    ablate,
    evidence_verdict,
    exact_lambda_discrepancy,
    lambda_discrepancy,
    memory_horizon,
    memory_share,
    record,
    replay_parity,
    saliency,
)
from throughtime.runs import record_episode


@pytest.mark.parametrize("k", [0, 1, 4])
def test_a_policy_that_reads_exactly_k_steps_back_has_the_horizon_k(k):
    env = Coins(lag=k)
    policy = lag_reader(env, k)
    recording = record(policy, env, episodes=32)
    horizon = memory_horizon(policy, recording)
    assert horizon.lag == k
    moved = np.flatnonzero(horizon.curve > 0)
    assert_array_equal(moved, [k])
    # From logits ∓3 to ±3: p = sigmoid(6), KL = (2p − 1) · 6 nats.
    p = 1 / (1 + np.exp(-6))
    assert horizon.curve[k] == pytest.approx((2 * p - 1) * 6, rel=1e-4)
    assert horizon.flips is not None
    assert horizon.flips[k] == 1.0


def test_complex_states_are_measured_as_complex_numbers():
    """i, −1, −i, 1, … has the mean 0 over twelve steps, and so the deviation 1, though |z| never moves."""
    env = Coins()
    policy = policy_of(env, Turning(), [[1.0, 0.0]], [0.0, 0.0])
    scales = [leaf for leaf in record(policy, env, episodes=4).scale if leaf.size]
    assert_allclose(scales[0], [1.0], atol=1e-6)
    hidden = record_episode(policy, env).hidden
    assert hidden is not None
    assert_allclose(hidden, np.tile([[0, 1], [-1, 0], [0, -1], [1, 0]], (3, 1)), atol=1e-6)


def test_below_the_threshold_nothing_is_remembered():
    env = Coins(lag=2)
    weak = lag_reader(env, 2, strength=0.03)  # KL = tanh(0.03) · 0.06, about 0.002 nats
    recording = record(weak, env, episodes=32)
    assert memory_horizon(weak, recording).lag == 0
    assert memory_horizon(weak, recording, threshold=1e-3).lag == 2


def test_saliency_points_at_the_step_that_was_read():
    env = Coins(lag=3)
    policy = lag_reader(env, 3)
    recording = record(policy, env, episodes=16)
    seen = saliency(policy, recording, memory_horizon(policy, recording))
    for t in range(3, 12):
        assert_allclose(seen.shares[t], np.eye(12)[t - 3], atol=1e-6)
    assert np.nanargmax(seen.effects) == seen.shown - 3


@pytest.fixture(scope="module")
def solved():
    env, policy = maze(6), maze_solver(6)
    recording = record(policy, env, episodes=32)
    return env, policy, recording, ablate(policy, env, recording.scale, episodes=64)


def test_a_reset_every_k_steps_hurts_exactly_up_to_the_lag(solved):
    """The cue is at step 0, the choice at step 6: a reset at step k ≤ 6 loses it, and one at 7 comes too late."""
    *_, ablations = solved
    assert ablations.periods == (1, 2, 4, 6, 7)
    assert_array_equal(ablations.intact, 1.0)
    for k, returns in zip(ablations.periods, ablations.reset_every, strict=True):
        assert np.isin(returns, (0.0, 1.0)).all()
        assert (returns.mean() == 1.0) == (k > 6)


def test_a_latch_survives_freezing_and_not_swapping(solved):
    *_, ablations = solved
    assert_array_equal(ablations.frozen, 1.0)
    assert 0.2 < ablations.swapped.mean() < 0.8
    assert ablations.noise[0].mean() == 1.0  # a tenth of the cue's own variation turns no sign
    assert ablations.noise[-1].mean() < 0.9


def test_the_cue_is_remembered_to_the_junction(solved):
    _, policy, recording, _ = solved
    horizon = memory_horizon(policy, recording)
    assert (horizon.lag, horizon.interval, horizon.decision_steps.tolist()) == (6, (6, 6), [6])


def verdict_of(env, policy):
    recording = record(policy, env, episodes=32)
    ablations = ablate(policy, env, recording.scale, episodes=64)
    reach = Reach.of([memory_horizon(policy, recording)], env.required_lag)
    share = memory_share(
        [ablations.intact], None, None, known_memoryless=env.memoryless_return, known_ceiling=env.optimal_return
    )
    return evidence_verdict([ablations], reach, replay_parity(policy, env, environments=4), share)


def test_a_good_agent_an_ignoring_one_and_broken_ones_get_three_verdicts(solved):
    env, good, *_ = solved
    said = verdict_of(env, good)
    assert (said.kind, said.uses_memory) == ("uses", True)
    assert said.headline == (
        "Uses its memory: yes; reaches back 6 steps, needs 6; 100% of the way from memoryless to optimal"
    )
    said = verdict_of(env, maze_solver(6, use=0.0))
    assert (said.kind, said.uses_memory) == ("ignores", False)
    assert "reaches back 0 steps, needs 6" in said.headline
    for fault in (Forgetting, ResettingAlways, ResettingNever):
        said = verdict_of(env, with_fault(good, fault))
        assert (said.kind, said.uses_memory) == ("broken", None), fault.__name__


def test_replay_parity_holds_for_the_right_policy(solved):
    env, policy, *_ = solved
    parity = replay_parity(policy, env, environments=4)
    assert parity.holds
    assert parity.steps >= 4 * 7


def test_share_by_hand():
    one = [np.array([0.8, 0.6])]
    share = memory_share(one, [np.array([0.1, 0.3])], [np.array([1.0, 1.4])])
    assert share.value == pytest.approx((0.7 - 0.2) / (1.2 - 0.2))
    assert (share.floor_from, share.ceiling_from) == ("twin", "twin")
    known = memory_share(one, [np.array([-9.0])], None, known_memoryless=0.5, known_ceiling=1.0)
    assert (known.value, known.floor_from, known.ceiling_from) == (pytest.approx(0.4), "known", "known")
    assert memory_share(one, None, None, known_ceiling=1.0) is None
    assert memory_share(one, None, None, known_memoryless=1.0, known_ceiling=1.0).value is None
    seeds = memory_share([np.array([0.6]), np.array([0.8])], None, None, known_memoryless=0.0, known_ceiling=1.0)
    half = 12.706 * 0.1  # t with one degree of freedom, standard error 0.1
    assert_allclose(seeds.interval, (0.7 - half, 0.7 + half), rtol=1e-3)


def test_lambda_discrepancy_estimated_from_episodes_agrees_with_the_tables():
    """Tiger under a memoryless policy that opens the left door on hearing it there, and else mostly listens."""
    env = make("tiger", time_limit=20)
    table = np.array([[0.9, 0.05, 0.05], [0.2, 0.79, 0.01], [0.9, 0.05, 0.05]])
    exact = exact_lambda_discrepancy(env.tables(), table, 0.95, 20)
    recording = record(table_policy(env, table), env, episodes=4096, deterministic=False, alone=True)
    estimate = lambda_discrepancy(recording, 0.95)
    assert estimate.shown
    assert estimate.interval[0] <= exact <= estimate.interval[1]
    assert estimate.value == pytest.approx(exact, rel=0.15)


def test_lambda_discrepancy_is_zero_where_the_observation_is_the_state():
    tables = make("tiger").tables()
    S = len(tables.initial)
    seen = tables._replace(
        observation=np.repeat(np.eye(S)[None], 3, axis=0), first_observation=np.eye(S), observations=np.eye(S)
    )
    table = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    assert exact_lambda_discrepancy(seen, table, 0.95, 30) < 1e-9
    env = Revealed(make("tiger", time_limit=20))
    table = np.array([[0.6, 0.2, 0.2], [0.7, 0.05, 0.25], [0.7, 0.25, 0.05], [0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    recording = record(table_policy(env, table), env, episodes=1024, deterministic=False, alone=True)
    assert not lambda_discrepancy(recording, 0.95).shown


def table_policy(env, table):
    """π(a | o) of a table, for one-hot observations."""
    n = len(table)
    memory = make_memory("none", n, n, f="identity", key=jax.random.key(0))
    memory = eqx.tree_at(lambda m: m.weight_xh, memory, jax.numpy.eye(n))
    return policy_of(env, memory, np.log(table), np.zeros(3))


def test_a_revealed_environment_shows_what_is_hidden():
    env = Revealed(make("tiger"))
    obs, state = env.reset(jax.random.key(3))
    assert obs.shape == env.observation_space.shape == (5,)
    assert_array_equal(obs[3:], np.eye(2)[int(env.hidden_state(state))])
    assert env.observation_labels[3:] == ("hidden state 0", "hidden state 1")
    maze_seen = Revealed(maze(3))
    obs, state = maze_seen.reset(jax.random.key(0))
    assert float(obs[2]) == float(maze_seen.hidden_state(state))
    with pytest.raises(ConfigError, match="revealed already"):
        Revealed(env)


TINY = {"num_envs": 2, "rollout_length": 16, "epochs": 1, "minibatches": 1, "hidden_size": 4, "encoder": (4,)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("evidence") / "run"
    agent = tt.PPO(tt.make("t-maze", length=3), "gru", **TINY)
    agent.config = replace(agent.config, evaluation_episodes=16)
    return agent.train(64, out=out)


def test_prove_says_of_an_untrained_agent_that_it_is_not_shown_to_use_its_memory(trained):
    evidence = tt.prove(trained, episodes=16)
    assert evidence.verdict.kind == "ignores"
    assert evidence.reach.lag == 0
    assert evidence.parity.holds
    told = evidence.record()
    assert told["scores"][0]["role"] == "memory"
    assert len(told["saliency"]["shares"]) == 4


def test_too_few_episodes_and_a_lost_environment_are_named(trained):
    with pytest.raises(ConfigError, match="episodes = 4"):
        tt.prove(trained, episodes=4)
    config = trained.path / "config.toml"
    text = config.read_text()
    checkpoint = next(trained.path.glob("checkpoints/*.safetensors"))
    with pytest.MonkeyPatch.context() as patch:
        left = {name: entry for name, entry in registry.ENVIRONMENTS.items() if name != "t-maze"}
        patch.setattr(registry, "ENVIRONMENTS", left)
        with pytest.raises(ConfigError, match=r"cannot be built.*\n.*\n.*tt\.prove\(path, env="):
            tt.prove(trained.path)
    checkpoint.rename(checkpoint.with_suffix(".away"))
    try:
        with pytest.raises(tt.CheckpointError):
            tt.prove(trained.path)
    finally:
        checkpoint.with_suffix(".away").rename(checkpoint)
    assert config.read_text() == text


def losses(swap, reset, noise=0.05, episodes=512, seed=0):
    """Ablations of an agent whose return of 1 falls by so much."""
    rng = np.random.default_rng(seed)

    def returns(loss):
        return np.ones(episodes) - loss + noise * rng.standard_normal(episodes)

    return Ablations(
        np.ones(episodes), (1,), returns(reset)[None], returns(reset), returns(swap), (1.0,), returns(0.0)[None]
    )


PARITY = Parity(0.0, 1e-3, 10, 4)


@pytest.mark.parametrize(
    ("seeds", "kind", "said"),
    [
        ([(0.5, 0.5), (0.9, 0.9)], "uses", ""),  # two seeds that differ, and both lose much
        ([(0.5, 0.5), (0.5, 0.5), (0.0, 0.0)], "uses", "2 of 3 training seeds show that loss."),
        ([(0.5, 0.5), (0.0, 0.0), (0.0, 0.0)], "ignores", "1 of 3 training seeds show that loss."),
        ([(0.0, 0.5)], "clock", ""),
        ([(-0.5, -0.5)], "harmful", ""),
    ],
)
def test_each_seed_is_a_witness_of_its_own(seeds, kind, said):
    several = [losses(*loss, seed=i) for i, loss in enumerate(seeds)]
    verdict = evidence_verdict(several, Reach(5, 5, 5, 5), PARITY, None)
    assert verdict.kind == kind
    assert said in " ".join(verdict.sentences)


def test_harm_shows_beside_an_ablation_that_says_nothing():
    noisy = losses(0.0, -0.3)._replace(swapped=1.0 + 30 * np.random.default_rng(1).standard_normal(512))
    assert evidence_verdict([noisy], Reach(5, 5, 5, 5), PARITY, None).kind == "harmful"
