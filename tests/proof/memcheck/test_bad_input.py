"""Policies that raise, hang or return nonsense: findings, never tracebacks, and the other checks still run."""

import threading
import time

import numpy as np
import pytest
from memcheck_faults import make
from memcheck_policies import GRU, ProjectedGRU

from throughtime.core import ConfigError
from throughtime.proof.memcheck import Settings, check_policy, memcheck


class Raises(ProjectedGRU):
    def step(self, state, obs, reset):
        raise RuntimeError("the robot is on fire\nand more")


class Exits(ProjectedGRU):
    def step(self, state, obs, reset):
        raise SystemExit("goodbye")


class ListOfLists(ProjectedGRU):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, out.tolist()


class ListOfListsAsState(ProjectedGRU):
    def step(self, state, obs, reset):
        state, out = super().step({"h": np.asarray(state["h"], self.dtype)}, obs, reset)
        return {"h": state["h"].tolist()}, out


class AnotherBatch(ProjectedGRU):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, out[:-1]


class AnotherBatchOfStates(ProjectedGRU):
    def sequence(self, state, obs, resets):
        state, out = super().sequence(state, obs, resets)
        return {"h": state["h"][:-1]}, out


class OnlyTheOutput(ProjectedGRU):
    def step(self, state, obs, reset):
        return super().step(state, obs, reset)[1]


class Words(ProjectedGRU):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, np.full(out.shape, "left")


class NothingButNone(ProjectedGRU):
    def step(self, state, obs, reset):
        return None


class BatchMajor(ProjectedGRU):
    def sequence(self, state, obs, resets):
        state, outs = super().sequence(state, obs, resets)
        return state, outs.swapaxes(0, 1)


class OtherStructures(ProjectedGRU):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, {"logits": out}


@pytest.mark.parametrize(
    ("cls", "law", "says"),
    [
        (Raises, "answers", "RuntimeError: the robot is on fire"),
        (Exits, "answers", "SystemExit: goodbye"),
        (ListOfLists, "shapes", "a float inside a list of 4"),
        (ListOfListsAsState, "state-keeps-form", "{'h': [[*"),
        (AnotherBatch, "shapes", "shape (3, 2)"),
        (AnotherBatchOfStates, "state-keeps-form", "shape (3, 8)"),
        (OnlyTheOutput, "shapes", "a ndarray"),
        (Words, "shapes", "holds no numbers"),
        (NothingButNone, "shapes", "None"),
        (BatchMajor, "shapes", "shape (4, 12, 2)"),
        (OtherStructures, "shapes", "* with [(2,)]"),
    ],
)
def test_nonsense_is_named_and_the_other_function_is_checked(cls, law, says):
    found = {finding.law.id: finding for finding in check_policy(make(cls))}
    assert [key for key, finding in found.items() if finding.status == "broken"] == [f"policy/{law}"]
    assert says in found[f"policy/{law}"].got
    assert sum(finding.status == "held" for finding in found.values()) >= 10
    assert "could not be compared" not in str(found)


def test_an_initial_state_that_raises_leaves_nothing_to_check():
    class NoStart(ProjectedGRU):
        def initial_state(self, batch):
            raise KeyError("h0")

    found = check_policy(make(NoStart))
    assert [finding.law.id for finding in found.broken] == ["policy/answers"]
    assert "KeyError: 'h0'" in found.broken[0].got
    assert not found.passed
    assert all(finding.status != "held" for finding in found)


class Hangs(ProjectedGRU):
    calls = 0

    def step(self, state, obs, reset):
        Hangs.calls += 1
        try:
            while True:
                time.sleep(0.01)
        except Exception:  # which would swallow an ordinary exception
            return state, obs


@pytest.mark.parametrize("in_main_thread", [True, False])
def test_a_hang_ends_in_a_message_and_is_not_tried_again(in_main_thread):
    Hangs.calls = 0
    found = []
    check = threading.Thread(target=lambda: found.extend(check_policy(make(Hangs), settings=Settings(timeout=0.3))))
    start = time.monotonic()
    check.run() if in_main_thread else (check.start(), check.join())
    assert time.monotonic() - start < 8
    outcomes = {finding.law.id: finding for finding in found}
    assert outcomes["policy/answers"].got == "none within 0.3 s (--timeout)"
    assert outcomes["policy/reset-is-a-fresh-start"].status == "held"  # of sequence
    assert "did not return within 0.3 s" in outcomes["policy/step-is-sequence"].note
    assert Hangs.calls == 1


def test_a_policy_that_refuses_nan_is_not_blamed_for_it():
    class Refuses(ProjectedGRU):
        def sequence(self, state, obs, resets):
            if not (np.isfinite(obs).all() and np.isfinite(state["h"]).all()):
                raise ValueError("NaN in the input")
            return super().sequence(state, obs, resets)

    found = {finding.law.id: finding for finding in check_policy(make(Refuses))}
    assert not [finding for finding in found.values() if finding.status == "broken"]
    assert "refuses NaN" in found["policy/reset-drops-nan"].note
    assert "NaN was not checked" in found["policy/padding-is-ignored"].note


def test_what_is_no_policy_is_a_usage_error():
    with pytest.raises(ConfigError, match="no policy that memcheck knows"):
        memcheck(object())
    with pytest.raises(ConfigError, match="nothing to check"):
        memcheck()
    with pytest.raises(ConfigError, match="are no sizes"):
        memcheck(make(GRU), time=5)
    policy = make(GRU)
    del policy.observation_shape
    with pytest.raises(ConfigError, match="observation_shape"):
        memcheck(policy)
    assert memcheck(policy, observation_shape=(3,)).passed


def test_observations_that_cannot_be_drawn_are_a_usage_error():
    policy = make(GRU)
    policy.observations = lambda rng, T, B: 1 / 0
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        memcheck(policy)
