"""Each seeded fault breaks exactly its own law; what is right breaks none."""

import jax
import numpy as np
import pytest
from memcheck_faults import FAULTS, make, torch_policy
from memcheck_policies import GRU, RIGHT, right_policy
from memcheck_zoo import random_policy

from throughtime.proof.memcheck import POLICY_LAWS, Settings, check_policy
from throughtime.proof.memcheck.policy._case import UNFORESEEN


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN in NumPy
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_breaks_its_law_and_no_other(fault):
    if fault.make.__name__ == "<lambda>" and "torch_policy" in fault.make.__code__.co_names:
        pytest.importorskip("torch")
    found = check_policy(fault.make())
    assert [finding.law.id for finding in found.broken] == [f"policy/{fault.law}"]
    assert [finding.law for finding in found] == list(POLICY_LAWS)
    (broken,) = found.broken
    assert broken.expected
    assert broken.got
    assert broken.where
    assert not any(UNFORESEEN in finding.note for finding in found)


def test_every_law_of_a_policy_has_a_fault_that_breaks_it():
    assert {f"policy/{fault.law}" for fault in FAULTS} == {law.id for law in POLICY_LAWS}


@pytest.mark.parametrize("cls", RIGHT)
def test_what_is_right_holds_in_every_law_that_can_be_checked(cls):
    found = check_policy(make(cls))
    assert found.passed
    memoryless = cls.__name__ == "Memoryless"
    open_ones = {"policy/reset-stops-gradient"} | (
        {"policy/state-changes", "policy/state-matters"} if memoryless else set()
    )
    assert {finding.law.id for finding in found if finding.status == "not checked"} == open_ones
    notes = {finding.law.id: finding.note for finding in found}
    assert ("makes no difference" in notes["policy/reset-acts"]) == memoryless


def test_the_right_torch_policy_holds_with_its_gradient():
    pytest.importorskip("torch")
    assert all(finding.status == "held" for finding in check_policy(torch_policy()))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("seeds", [range(first, first + 9) for first in (0, 90)])
def test_random_right_policies_break_nothing(seeds):
    for seed in seeds:
        found = check_policy(right_policy(seed))
        assert not found.broken, (seed, found.broken)
        assert not any(UNFORESEEN in finding.note for finding in found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in (0, 100)], ids=str)
def test_random_right_policies_of_all_kinds_break_nothing(seeds):
    """A fifth of them: `benchmarks/memcheck.py` goes through all 200, which takes many minutes."""
    with jax.numpy_dtype_promotion("standard"):  # as users have it: memories of float64 read observations of float32
        for seed in seeds:
            kind, policy = random_policy(seed)
            assert not check_policy(policy).broken, (kind, seed)


@pytest.mark.parametrize("missing", ["step", "sequence"])
def test_a_missing_function_leaves_its_laws_unchecked_and_the_others_checked(missing):
    policy = make(GRU)
    present = ({"step", "sequence"} - {missing}).pop()

    class Half:
        observation_shape = policy.observation_shape
        initial_state = staticmethod(policy.initial_state)

    setattr(Half, present, staticmethod(getattr(policy, present)))
    found = {finding.law.id: finding for finding in check_policy(Half())}
    assert found["policy/step-is-sequence"].status == "not checked"
    assert f"the policy has no {missing}" in found["policy/step-is-sequence"].note
    assert found["policy/reset-is-a-fresh-start"].status == "held"
    assert not any(finding.status == "broken" for finding in found.values())


def test_a_fault_behind_a_faulty_step_is_still_found_in_the_sequence():
    """Two faults in two functions: two laws."""

    class Both(GRU):
        def step(self, state, obs, reset):
            return state, super().step(state, obs, reset)[1]

        def sequence(self, state, obs, resets):
            outs = []
            for x in obs:  # never reset
                state, h = self.cell(state, x)
                outs.append(h @ self.w_y)
            return state, np.stack(outs)

    broken = [finding.law.id for finding in check_policy(make(Both)).broken]
    assert broken == ["policy/state-changes", "policy/reset-acts"]


@pytest.mark.parametrize(("time", "batch"), [(6, 2), (20, 5)])
def test_other_sizes_find_the_same(time, batch):
    settings = Settings(time=time, batch=batch, seed=3)
    assert check_policy(make(GRU), settings=settings).passed
    for fault in FAULTS:
        if fault.law in ("reset-acts", "reset-before-reading", "time-stays-time", "reset-at-last-step", "causal"):
            found = check_policy(fault.make(), settings=settings)
            assert [finding.law.id for finding in found.broken] == [f"policy/{fault.law}"], fault.name


def test_a_difference_within_the_tolerance_is_none():
    class Coarse(GRU):
        def sequence(self, state, obs, resets):
            state, outs = super().sequence(state, obs, resets)
            return state, outs * self.dtype(1.001)

    assert [f.law.id for f in check_policy(make(Coarse)).broken] == ["policy/step-is-sequence"]
    assert check_policy(make(Coarse), settings=Settings(tolerance=0.01)).passed
