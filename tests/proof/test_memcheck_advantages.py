"""`check_advantages`: which fixtures a wrong function breaks, and that it is named."""

import jax.numpy as jnp
import numpy as np
import pytest

from rollout_samples import gae
from throughtime.proof.memcheck.advantages import VARIANTS, advantages_of
from throughtime.proof.memcheck.advantages_check import advantage_fixtures, check_advantages
from throughtime.rl import generalised_advantages, true_next_values

# What each wrong variant breaks: by hand, from the numbers of the fixtures.
BREAKS = {
    "truncation is treated as termination": {"truncated"},
    "V(s_t) is used for V(s_final) at truncation": {"truncated"},
    "at truncation it bootstraps from the next episode's first observation": {"truncated"},
    "the end of an episode is used one step late": {"terminated", "both", "episode-boundary"},
    "the end of an episode, as one `done`, is used one step late": {
        "terminated",
        "truncated",
        "both",
        "episode-boundary",
    },
    "the end of an episode is used one step early": {"terminated", "both", "episode-boundary"},
    "the end of an episode, as one `done`, is used one step early": {
        "terminated",
        "truncated",
        "both",
        "episode-boundary",
    },
    "the λ-trace runs on after truncation": {"episode-boundary"},
    "the λ-trace runs on after termination": {"episode-boundary"},
    "the λ-trace is never cut": {"episode-boundary"},
    "a step with both flags is treated as truncated only": {"both"},
    "termination is ignored in the bootstrap": {"terminated", "both"},
    "the value after the last step is left out": {
        *("inside-an-episode", "terminated", "truncated", "both", "lambda-0", "lambda-1", "bootstrap-at-end"),
    },
    "the last value V(obs_{T−1}) is used for V(obs_T)": {
        *("inside-an-episode", "terminated", "truncated", "both", "lambda-0", "lambda-1", "bootstrap-at-end"),
    },
    "λ is taken for 1": {"inside-an-episode", "terminated", "truncated", "both", "lambda-0", "bootstrap-at-end"},
    "λ is taken for 0": {"inside-an-episode", "episode-boundary", "lambda-1", "bootstrap-at-end"},
    "the trace decays by λ without γ": {"inside-an-episode", "episode-boundary", "lambda-1", "bootstrap-at-end"},
    "the returns are handed over in place of the advantages": {
        *("inside-an-episode", "terminated", "truncated", "both", "lambda-0", "lambda-1", "bootstrap-at-end"),
    },
}


def by_name(findings):
    return {f.law.id.removeprefix("advantages/"): f for f in findings}


def test_the_fixtures_agree_with_a_plain_loop():
    """The numbers in them are derived by hand; this loop is of the tests, and knows nothing of them."""
    for fixture in advantage_fixtures():
        case = fixture.case
        np.testing.assert_array_equal(
            gae(case._asdict(), case.last_values, case.discount, case.trace), fixture.expected
        )


def test_the_definition_and_our_own_function_pass():
    assert check_advantages(advantages_of).passed

    def ours(case):
        arrays = [jnp.asarray(a, jnp.float32) for a in (case.rewards, case.values, case.last_values, case.final_values)]
        flags = jnp.asarray(case.terminated), jnp.asarray(case.truncated)
        nexts = true_next_values(arrays[1], arrays[2], arrays[3], flags[1])
        return generalised_advantages(*arrays[:2], nexts, *flags, discount=case.discount, trace=case.trace)

    findings = check_advantages(ours)
    assert findings.passed
    assert len(findings) == 8


@pytest.mark.parametrize("name", VARIANTS)
def test_a_wrong_variant_is_named_and_breaks_what_it_must(name):
    found = {law: f for law, f in by_name(check_advantages(VARIANTS[name])).items() if f.status == "broken"}
    assert set(found) == BREAKS[name]
    assert all(name in finding.got for finding in found.values())


def test_a_variant_of_nobody_is_broken_without_a_name():
    findings = check_advantages(lambda case: np.cos(advantages_of(case)) + 50)
    assert len(findings.broken) == 8
    assert all(";" not in finding.got for finding in findings.broken)


def test_a_function_that_raises_or_returns_other_shapes():
    raising = check_advantages(lambda case: 1 / 0)
    assert {f.status for f in raising} == {"not checked"}
    assert not raising.passed
    assert "ZeroDivisionError" in raising[0].note
    flat = check_advantages(lambda case: advantages_of(case).ravel())
    assert by_name(flat)["truncated"].got == "shape (3,)"
    strange = check_advantages(lambda case: [[1], [2, 3]])
    assert strange[0].status == "not checked"


def test_a_function_that_changes_its_arguments_harms_no_one():
    def careless(case):
        case.rewards[:] = 0
        return advantages_of(case)

    assert check_advantages(careless).broken
    assert check_advantages(advantages_of).passed
