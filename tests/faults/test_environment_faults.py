"""Faults in environments: memcheck breaks exactly the right law for each; the unbroken ones break none."""

import random
import time
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

from environment_samples import Walk, Walks
from throughtime.envs import Box, make
from throughtime.envs.suite import CartPole
from throughtime.proof.memcheck._time_limit import TookTooLong, within
from throughtime.proof.memcheck.check import memcheck
from throughtime.proof.memcheck.environment.check import check_environment
from throughtime.proof.memcheck.environment.laws import ENVIRONMENT_LAWS
from throughtime.proof.memcheck.environment.stateful import NumpySpace, StatefulEnvironments


def broken(env, **settings):
    settings = {"steps": 300, "timeout": 5.0, "time_limit": getattr(env, "limit", 8)} | settings
    findings = check_environment(env, **settings)
    assert tuple(f.law for f in findings) == ENVIRONMENT_LAWS
    return {finding.law.id.removeprefix("environment/"): finding for finding in findings.broken}


class Raises(Walk):
    def noise(self):
        return self.rng.normal() / (100 - self.total)


class Hangs(Walk):
    def noise(self):
        if self.total == 60:
            time.sleep(3)
        return super().noise()


class OldStep(Walk):
    def returned(self, obs, reward, terminated, truncated, info):
        return obs, reward, terminated or truncated, info


class OldReset(Walk):
    def reset(self):
        return super().reset()


class NoInfo(Walk):
    def reset(self, *, seed=None):
        return super().reset(seed=seed)[0]


class DoublePrecision(Walk):
    def observe(self):
        return super().observe().astype(np.float64)


class OutOfBounds(Walk):
    def __init__(self):
        super().__init__()
        self.observation_space = NumpySpace(Box(-10.0, 7.0, (2,)))


class ExtraAxis(Walk):
    def observe(self):
        return super().observe()[None]


class NaNObservation(Walk):
    def observe(self):
        return super().observe() * np.float32(np.nan if self.place > 2 else 1)


class InfiniteReward(Walk):
    def returned(self, obs, reward, *rest):
        return obs, np.inf if self.place > 2 else reward, *rest


class ArrayReward(Walk):
    def returned(self, obs, reward, *rest):
        return obs, np.array([reward]), *rest


class IntegerFlags(Walk):
    def returned(self, obs, reward, terminated, truncated, info):
        return obs, reward, int(terminated), int(truncated), info


class DoneTwice(Walk):
    def ends(self):
        done = any(super().ends())
        return done, done


class LimitTerminates(Walk):
    """Memorax's Gymnasium wrapper, AMAGO #67."""

    def ends(self):
        return any(super().ends()), False


class NoLimit(Walk):
    def ends(self):
        return super().ends()[0] and self.steps > 20, False


class GlobalNoise(Walk):
    def noise(self):
        return random.gauss(0, 0.5)


class CarriesOver(Walk):
    """The reset keeps half of where the last episode was."""

    def start(self):
        place = self.place / 2
        super().start()
        self.place += place


class SeedsAnew(Walk):
    last = 0

    def seed(self, seed):
        self.last = seed
        super().seed(seed)

    def start(self):
        super().seed(self.last)
        super().start()


class Shared(Walk):
    def observe(self):
        if not hasattr(self, "buffer"):
            self.buffer = np.zeros(2, np.float32)
        self.buffer[:] = super().observe()
        return self.buffer


class ResetsItself(Walk):
    """A single environment that resets in `step`, and tells the final observation in the info."""

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            info, obs = {"final_observation": obs}, self.reset()[0]
        return obs, reward, terminated, truncated, info


class ResetsItselfSilently(ResetsItself):
    """The same, and tells nothing; its episodes begin at one place."""

    def start(self):
        super().start()
        self.place = 0.0

    def step(self, action):
        return *super().step(action)[:4], {}


class TellsNextStep(Walks):
    def told(self, mode):
        return "next-step"


class TellsSameStep(Walks):
    def told(self, mode):
        return "same-step"


class NoFinal(Walks):
    def final(self, *_):
        return None


class FinalIsFirst(Walks):
    def final(self, before, obs, first):
        return first


class FinalIsStale(Walks):
    def final(self, before, obs, first):
        return before


class FakeReward(Walks):
    def fake_reward(self):
        return 1.0


class OneSeedForAll(Walks):
    def seed_of(self, seed, b):
        return seed


class SharedBuffer(Walks):
    def returned_observation(self):
        return self.observations


@dataclass(frozen=True)
class Fault:
    make: object
    law: str
    says: str = ""
    mode: str = ""

    def __str__(self):
        return self.make.__name__ + self.mode

    def env(self):
        return self.make(self.mode) if self.mode else self.make()


FAULTS = [
    Fault(Raises, "runs", "step raised ZeroDivisionError"),
    Fault(Hangs, "runs", "did not return within"),
    Fault(OldStep, "runs", "a tuple of 4"),
    Fault(OldReset, "runs", "unexpected keyword argument 'seed'"),
    Fault(NoInfo, "runs", "not (observation, info)"),
    Fault(DoublePrecision, "observations-in-space", "dtype float64, the space has float32"),
    Fault(OutOfBounds, "observations-in-space", "8.0 at [1], the space allows -10.0 … 7.0"),
    Fault(ExtraAxis, "observations-in-space", "shape (1, 2), the space has (2,)"),
    Fault(NaNObservation, "observations-finite", "nan at [0]"),
    Fault(InfiniteReward, "rewards-finite", "inf"),
    Fault(ArrayReward, "rewards-are-numbers", "float64 of shape (1,)"),
    Fault(IntegerFlags, "flags-are-booleans", "terminated is int 0"),
    Fault(DoneTwice, "flags-apart", "both flags at each of"),
    Fault(LimitTerminates, "time-limit-truncates", "terminated, at each of the"),
    Fault(NoLimit, "episodes-end", "an episode of"),
    Fault(GlobalNoise, "seed-decides", "two fresh instances"),
    Fault(CarriesOver, "reset-leaves-nothing-behind", "after earlier episodes"),
    Fault(SeedsAnew, "episodes-differ", "in a row with the same first observation"),
    Fault(Shared, "observations-not-shared"),
    Fault(ResetsItself, "autoreset-mode", "the environment has reset itself"),
    Fault(ResetsItselfSilently, "final-observation", "the first one of the next episode"),
    Fault(TellsNextStep, "autoreset-mode", "takes its action; a final observation", "same-step"),
    Fault(TellsSameStep, "autoreset-mode", "next-step", "next-step"),
    Fault(NoFinal, "final-observation", "none", "same-step"),
    Fault(FinalIsFirst, "final-observation", "the first one of the next episode", "same-step"),
    Fault(FinalIsStale, "final-observation", "the one before it", "same-step"),
    Fault(FakeReward, "fake-step", "a reward of 1", "next-step"),
    Fault(OneSeedForAll, "episodes-differ", "rows with the same first", "same-step"),
    Fault(SharedBuffer, "observations-not-shared", "", "next-step"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_exactly_the_right_law_is_broken(fault):
    settings = {"timeout": 1.0} if fault.make is Hangs else {}
    found = broken(fault.env(), **settings)
    assert set(found) == {fault.law}, found
    assert fault.says in found[fault.law].got
    assert found[fault.law].where


@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if f.law in ("seed-decides", "reset-leaves-nothing-behind")], ids=str
)
def test_a_function_that_makes_the_environment_serves_as_well(fault):
    assert set(broken(fault.env)) == {fault.law}


def test_each_law_of_environments_is_proven_able_to_break():
    assert {f"environment/{fault.law}" for fault in FAULTS} == {law.id for law in ENVIRONMENT_LAWS}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mode", ["single", "same-step", "next-step", "disabled"])
def test_right_environments_raise_no_alarm(mode, seed):
    assert not broken(Walk() if mode == "single" else Walks(mode, num_envs=1 + seed), seed=seed)


@pytest.mark.slow
def test_more_right_environments_raise_no_alarm():
    for seed in range(100, 108):
        for mode in ("single", "same-step", "next-step", "disabled"):
            env = Walk() if mode == "single" else Walks(mode, num_envs=1 + seed % 5)
            found = broken(env, seed=seed, steps=150)
            assert not found, (mode, seed, found)


def test_what_came_before_a_failure_is_still_checked():
    findings = check_environment(Raises(), steps=300, time_limit=8)
    held = {f.law.id for f in findings if f.status == "held"}
    assert {"environment/observations-in-space", "environment/time-limit-truncates"} <= held
    raised = next(f for f in findings if f.law.id == "environment/runs")
    assert raised.where == "step 100"


class Declares(Walk):
    max_episode_steps = Walk.limit


class DeclaresAndTerminates(Declares, LimitTerminates):
    pass


class DeclaresAndRunsOn(Declares, NoLimit):
    pass


@pytest.mark.parametrize(
    ("env", "law"),
    [(Declares, None), (DeclaresAndTerminates, "time-limit-truncates"), (DeclaresAndRunsOn, "episodes-end")],
)
def test_a_limit_that_the_class_declares_is_checked(env, law):
    """Without a `time_limit` from the caller, and without a `spec` as Gymnasium's registry gives one."""
    findings = {f.law.id.removeprefix("environment/"): f for f in check_environment(env(), steps=300)}
    assert {name for name, f in findings.items() if f.status == "broken"} == ({law} if law else set())
    if law is None:
        assert findings["time-limit-truncates"].status == "held"
        assert f"reached {Walk.limit} steps" in findings["time-limit-truncates"].note
    assert {f.law.id: f.status for f in check_environment(Walk())}["environment/time-limit-truncates"] == "not checked"


@pytest.mark.parametrize("mode", ["single", "same-step"])
def test_laws_that_no_step_was_made_for_are_not_checked(mode):
    """Every step raises: only what the reset returned can be held against a law."""

    class AlwaysRaises(Walk):
        def step(self, action):
            raise RuntimeError("no simulator")

    findings = check_environment(AlwaysRaises() if mode == "single" else Walks(mode, walk=AlwaysRaises), time_limit=8)
    status = {f.law.id.removeprefix("environment/"): f.status for f in findings}
    assert [name for name, said in status.items() if said == "broken"] == ["runs"]
    held = {"observations-in-space", "observations-finite"} | ({"episodes-differ"} if mode != "single" else set())
    assert {name for name, said in status.items() if said == "held"} <= held
    assert all(f.note for f in findings if f.status == "not checked")


def test_an_environment_that_never_returns_leaves_the_rest_unchecked_and_ends_in_time():
    class Never(Walk):
        def reset(self, *, seed=None):
            time.sleep(4)

    start = time.perf_counter()
    findings = check_environment(Never(), timeout=0.3)
    assert time.perf_counter() - start < 3
    assert [f.law.id for f in findings.broken] == ["environment/runs"]
    assert "did not return within 0.3 s" in findings[0].got


@pytest.mark.parametrize("nothing", [3, None, lambda: 1 / 0])
def test_what_is_no_environment_is_said_in_words(nothing):
    findings = check_environment(nothing)
    assert [f.law.id for f in findings.broken] == ["environment/runs"]


@pytest.mark.parametrize(("name", "options"), [("t-maze", {"length": 4}), ("tiger", {}), ("cartpole-positions", {})])
def test_our_own_environments_satisfy_every_law(name, options):
    findings = check_environment(StatefulEnvironments(make(name, **options), 3), steps=200, timeout=60.0)
    assert not findings.broken, findings.broken


class EndsLate(CartPole):
    """Declares a limit that it does not keep."""

    @property
    def max_episode_steps(self):
        return self.time_limit - 10


class DiesOfTime(CartPole):
    """`terminated = failed or steps >= limit`."""

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, info = super().step_env(key, state, action, params)
        return obs, state, reward, terminated | (state.time >= self.time_limit), info

    def is_truncated(self, state, params):
        return jnp.zeros((), bool)


@pytest.mark.parametrize(("fault", "law"), [(EndsLate, "episodes-end"), (DiesOfTime, "time-limit-truncates")])
def test_the_time_limit_of_functional_environments_is_checked(fault, law):
    report = memcheck(env=fault(time_limit=20))
    assert f"environment/{law}" in {finding.law.id for finding in report.broken}


def test_a_horizon_that_is_the_task_s_own_is_no_time_limit():
    findings = check_environment(StatefulEnvironments(make("repeat-previous"), 2), steps=160, timeout=60.0)
    assert not findings.broken, findings.broken
    assert "horizon" in {f.law.id: f.note for f in findings}["environment/time-limit-truncates"]


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP", "DISABLED"])
def test_gymnasium_in_its_modes(mode):
    gymnasium = pytest.importorskip("gymnasium")
    autoreset = gymnasium.vector.AutoresetMode[mode]
    make_one = lambda: gymnasium.make("CartPole-v1", max_episode_steps=15)  # noqa: E731
    env = gymnasium.vector.SyncVectorEnv([make_one] * 3, autoreset_mode=autoreset)
    findings = check_environment(env, steps=200)
    assert not findings.broken, findings.broken
    assert {f.law.id: f.status for f in findings}["environment/time-limit-truncates"] == "held"
    env.close()


@pytest.mark.parametrize("name", ["Pendulum-v1", "Taxi-v4", "Blackjack-v1", "FrozenLake-v1", "dict"])
def test_gymnasium_with_other_spaces(name):
    gymnasium = pytest.importorskip("gymnasium")
    if name == "dict":
        env = gymnasium.wrappers.TimeAwareObservation(gymnasium.make("CartPole-v1"), flatten=False)
    else:
        env = gymnasium.make(name)
    assert not check_environment(env, steps=300).broken
    env.close()


def test_a_time_out_that_a_bare_except_swallows_comes_again():
    def stubborn():
        for _ in range(4):
            try:
                time.sleep(0.5)
            except:  # noqa: E722
                continue

    start = time.perf_counter()
    with pytest.raises(TookTooLong):
        within(0.2, stubborn)
    assert time.perf_counter() - start < 1.5


def test_a_call_that_returns_after_its_time_took_too_long():
    def late():
        try:
            time.sleep(2)
        except:  # noqa: E722
            return "a result"

    with pytest.raises(TookTooLong):
        within(0.2, late)
