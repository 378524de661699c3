"""Slow: agents must learn, beyond what any policy without memory can reach. Shipped settings, fresh seeds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import Chromium, faults, find

import throughtime as tt
from throughtime.runs import exact_value

pytestmark = pytest.mark.slow
SEED = 500  # settings were tuned on seeds below 200, benchmarks start at 1000


def test_the_main_job_proves_that_memory_is_used(tmp_path):
    """`throughtime train`: GRU, memoryless twin and too short a window on the T-maze, and the report of it."""
    out = tmp_path / "maze"
    done = subprocess.run(
        [sys.executable, "-m", "throughtime", "train", "--seed", str(SEED), "--out", str(out), "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = {row["role"]: row for row in result["rows"]}
    assert result["memoryless_return"] == 0.5
    assert rows["memory"]["mean_return"] >= 0.99
    assert rows["memoryless"]["mean_return"] <= 0.55
    assert rows["window"]["mean_return"] <= 0.55
    assert result["verdict"]["kind"] == "uses"
    assert "reaches back 50 steps, needs 50" in result["verdict"]["headline"]
    with Chromium(find()) as browser:
        page = browser.visit(out / "report.html")
    assert len(page.figures) == 6  # three of them are the evidence
    assert faults(page) == []


def test_cartpole_without_velocities():
    """No memoryless policy balances on positions alone for long: the twin stays far below."""
    env = tt.make("cartpole-positions")
    assert tt.PPO(env).train(seed=SEED).evaluate(1000).mean >= 495
    assert tt.PPO(env, memory="none").train(500_000, seed=SEED).evaluate(1000).mean <= 250


def test_a_cue_that_has_to_be_fetched_first():
    """½ without memory, and without fetching the cue, which nobody does of themselves."""
    assert tt.PPO(tt.make("t-maze-active")).train(seed=SEED).evaluate(200).mean >= 0.95


def test_pendulum_without_velocities():
    """The full state reaches about −150 to −170; a memoryless policy cannot swing up and hold."""
    env = tt.make("pendulum-positions")
    assert tt.PPO(env).train(seed=SEED).evaluate(1000).mean >= -200
    assert tt.PPO(env, memory="none").train(500_000, seed=SEED).evaluate(1000).mean <= -500


def test_td3_swings_the_pendulum_up_in_few_steps():
    """30,000 steps, where PPO takes 1,500,000. A memoryless policy stays below −500, see above."""
    assert tt.TD3(tt.make("pendulum-positions")).train(30_000, seed=SEED).evaluate(300).mean >= -250


def test_tiger_is_near_its_exact_optimum():
    """At least 95% of 19.3714 by exact enumeration; the best memoryless policy has −20."""
    env = tt.make("tiger")
    score = exact_value(tt.PPO(env).train(seed=SEED).policy, env, max_nodes=1_000)
    assert score.value >= 0.95 * env.optimal_return


def test_a_pomdp_file_is_learned():
    """tmaze5 at 95% of the solver's lower bound, 4 · 0.9⁷ = 1.913; without memory no policy has more than 1.07."""
    env = tt.make(f"pomdp:{Path(__file__).parents[1] / 'data' / 'tmaze5.POMDP'}")
    ceilings = env.ceilings
    score = exact_value(tt.PPO(env).train(seed=SEED).policy, env, max_nodes=1_000)
    assert score.value >= 0.95 * ceilings.optimum.lower
    assert score.value > ceilings.memoryless.upper
    twin = tt.PPO(env, memory="none", previous_action=False).train(300_000, seed=SEED)
    assert exact_value(twin.policy, env, max_nodes=1_000).value <= ceilings.memoryless.upper
