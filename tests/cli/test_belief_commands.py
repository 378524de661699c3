"""`throughtime belief` and `throughtime estimate`: words in; words, files and an exit status out. Tiny sizes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from throughtime.agents.estimator import EstimatorConfig
from throughtime.cli import main
from throughtime.core import ConfigError, RunFolderError, named_arrays
from throughtime.runs import default_config, load_run
from throughtime.runs.belief_curve import belief_curve
from throughtime.runs.estimation import ARMS, EstimationConfig, compare_estimation, learn_estimator, load_frozen

TINY = ["--ppo.num-envs", "2", "--ppo.rollout-length", "16", "--ppo.epochs", "1", "--ppo.minibatches", "1"]
TINY += ["--network.hidden-size", "4", "--network.encoder", "4", "--steps", "96", "--episodes", "4"]


pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiger"
    assert main(["train", "tiger", *TINY, "--out", str(out)]) == 0
    return out


def test_belief_prints_scores_beside_controls_and_writes_the_page(trained, capsys):
    capsys.readouterr()
    assert main(["belief", str(trained), "--linear", "--rows", "4", "--steps", "20", "--curve", "2", "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert [row["source"] for row in told["rows"]] == [
        "memory",
        "untrained",
        "observation",
        "observation and action",
        "shuffled",
    ]
    assert (told["held_out_steps"], told["step"], told["features"]) == (80, 96, 4)
    assert told["curve"]["repeated"] is True
    assert [point["step"] for point in told["curve"]["points"]] == [0, 64, 96]
    first = told["curve"]["points"][0]["rows"]
    assert first[0]["belief_kl"] == first[1]["belief_kl"]  # before the first update the memory is the untrained one
    assert "How the belief forms" in captured.err
    assert "What the GRU knows on tiger" in captured.err
    page = (trained / "belief" / "report.html").read_text()
    assert "<h1>What the GRU knows on tiger</h1>" in page
    assert told["report"] == str(trained / "belief" / "report.html")
    assert "How the belief forms" in page


def test_a_run_that_its_training_does_not_give_is_noticed(trained):
    run = load_run(trained)
    other = load_run(trained)
    object.__setattr__(other.config, "seed", 5)
    assert not belief_curve(other, 1, rows=2, steps=5).repeated
    assert run.config.seed == 0
    with pytest.raises(ConfigError, match="0 looks"):
        belief_curve(run, 0)


PLAN = replace(default_config("tiger-ends-on-open"), total_steps=96, evaluation_episodes=4)
PLAN = replace(
    PLAN,
    network=replace(PLAN.network, hidden_size=4, encoder=()),
    ppo=replace(PLAN.ppo, num_envs=2, rollout_length=16, epochs=1, minibatches=1),
)
PLAN = EstimationConfig(PLAN, EstimatorConfig(rows=8, length=8, updates=2, batch_rows=4), encoder=())


@pytest.fixture(scope="module")
def estimated(tmp_path_factory):
    out = tmp_path_factory.mktemp("estimated") / "tiger"
    compare_estimation(PLAN, (3,), out, arms=("frozen", "frozen, untrained"))
    return out


def test_the_frozen_memory_is_not_trained_by_ppo(estimated):
    """What PPO saw is, number for number, what learning by prediction left; what acts on it has no memory."""
    learned, fresh, _ = learn_estimator(PLAN.run.env.build(), PLAN.run.network, PLAN.estimator, 3)
    for wanted, arm in ((learned, "frozen"), (fresh, "frozen-untrained")):
        seen = load_frozen(estimated / arm / "seed-3")
        kept = named_arrays(seen.estimator)
        for name, array in named_arrays(wanted).items():
            np.testing.assert_array_equal(array, kept[name], err_msg=f"{arm}: {name}")
        run = load_run(estimated / arm / "seed-3", env=seen)
        assert (run.config.network.memory, run.policy.network.actor.input_size, run.steps) == ("none", 4, 96)
    assert any(np.any(a != named_arrays(fresh)[name]) for name, a in named_arrays(learned).items())


def test_all_arms_share_environment_budget_and_settings():
    for arm in ARMS:
        config = PLAN.config(arm, 7)
        assert (config.ppo, config.total_steps, config.seed) == (PLAN.run.ppo, 96, 7)
        assert config.network.memory == ("gru" if arm == "end to end" else "none")
        assert ("frozen memory" in config.env.name) == arm.startswith("frozen")


def test_nothing_is_compared_where_nothing_was_asked_for(estimated):
    for seeds, arms in (((), ARMS), ((0,), ())):
        with pytest.raises(ConfigError, match="nothing to compare"):
            compare_estimation(PLAN, seeds, estimated / "x", arms=arms)
    with pytest.raises(RunFolderError, match="exists already"):
        compare_estimation(PLAN, (0,), estimated)


@pytest.mark.slow
def test_estimate_trains_all_four_and_tells_their_returns(capsys, tmp_path):
    words = ["estimate", "tiger-ends-on-open", "--steps", "8192", "--seeds", "1", "--episodes", "4", "--seed", "3"]
    words += ["--predict.rows", "8", "--predict.length", "8", "--predict.updates", "2", "--predict.batch-rows", "4"]
    assert main([*words, "--out", str(tmp_path / "all"), "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert [row["arm"] for row in told["rows"]] == list(ARMS)
    assert {row["steps"] for row in told["rows"]} == {8192}
    assert told["random_steps"] == 64
    assert "raw observations" in captured.err


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["estimate", "tigre"], "There is no environment 'tigre'"),
        (["estimate", "tiger", "--seeds", "0"], "--seeds 0"),
        (["estimate", "tiger", "--steps", "10"], "total_steps = 10"),
        (["estimate", "tiger", "--memory", "grru"], "There is no memory 'grru'"),
        (["estimate", "tiger", "--predict.rows", "0"], "rows = 0"),
        (["belief", "nowhere"], "There is no run folder at nowhere"),
        (["belief", "nowhere", "--rows", "0"], "--rows 0"),
        (["belief", "nowhere", "--curve", "0"], "--curve 0"),
    ],
)
def test_bad_input_is_named(capsys, argv, hint):
    try:
        status = main(argv)
    except SystemExit as exit:
        status = exit.code
    assert status not in (0, None)
    assert hint in " ".join(capsys.readouterr().err.split())
