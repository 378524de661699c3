"""Tables of results: what they say of the run folders, beside SciPy and the environments' own ceilings."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from throughtime.reports.results import collect, published_on, results_markdown, write_results_page
from throughtime.reports.results.figure import colours
from throughtime.runs import EnvConfig, to_toml
from throughtime.runs.jobs import Score
from throughtime.runs.jobs.score import write_score
from throughtime.runs.results import EnvironmentVariant, Grid, Variant, cells

RETURNS = {
    ("t-maze", "none"): [0.5, 0.44, 0.5, 0.5, 0.47],
    ("t-maze", "gru"): [1.0, 0.5, 1.0, 1.0, 0.99],
    ("tiger", "none"): [-20.0, -19.0, -21.0, -20.0, -20.5],
    ("tiger", "gru"): [19.3, 19.0, 18.0, 19.2, -20.0],
    ("pendulum-positions", "none"): [-1000.0, -900.0, -1100.0, -1200.0, -1001.0],
    ("pendulum-positions", "gru"): [-170.0, -180.0, -160.0, -175.0, -190.0],
}
GRID = Grid(
    environments=(
        EnvironmentVariant("t-maze", bar=0.99, note="Actions are drawn while training."),
        EnvironmentVariant("tiger", bar=18.0),
        EnvironmentVariant("pendulum-positions"),
    ),
    memories=(Variant("none"), Variant("gru")),
    seeds=(0, 1, 2, 3, 4),
    title="Three tasks",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run folders as trainings leave them, with made-up figures; of tiger without memory seed 4 is missing."""
    out = tmp_path_factory.mktemp("grid")
    for cell in cells(GRID):
        key, seed = (cell.environment.name, cell.memory.name), cell.config.seed
        path = out / cell.folder
        path.mkdir(parents=True)
        (path / "config.toml").write_text(to_toml(cell.config))
        if (key, seed) == (("tiger", "none"), 4):
            continue
        value = RETURNS[key][seed]
        score = Score(
            value, (value - 0.1, value + 0.1), 1000, 51.0, value + 0.25, 999_424, 30.0 + seed, 5e4, 12_345, 1, "0"
        )
        write_score(path, score)
        steps = [{"step": 8192 * i, "episodes": 3, "episode_return": value * i / 50} for i in range(1, 51)]
        (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in steps))
    return out


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    """A table of the page by its rows' first cells; numbers with plain signs."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [
        [c.strip().replace("−", "-") for c in line.strip("|").split("|")]
        for line in part.splitlines()
        if line[:1] == "|"
    ]
    return {row[0]: row[1:] for row in cells}


@pytest.fixture(scope="module")
def markdown(folder):
    failures = [("PPO, no memory, tiger, seed 4", "The reward is NaN.\nCorrect it.")]
    results = collect("Three tasks", cells(GRID), folder, "throughtime results x.toml", failures=failures, mmer=True)
    return results_markdown(results)


def test_rows_are_the_interquartile_means_of_the_seeds(markdown):
    for (env, memory), returns in RETURNS.items():
        label = {"none": "PPO, no memory", "gru": "PPO, GRU"}[memory]
        row = rows_of(markdown, env)[label]
        there = returns[:4] if (env, memory) == ("tiger", "none") else returns
        iqm, interval, mean, worst, best, mmer, seeds, steps, seconds = row
        assert float(iqm.replace(",", "")) == pytest.approx(stats.trim_mean(there, 0.25), rel=1e-3)
        assert float(mean.replace(",", "")) == pytest.approx(np.mean(there), rel=1e-3)
        assert [float(x.replace(",", "")) for x in (worst, best)] == pytest.approx([min(there), max(there)], rel=1e-3)
        assert float(mmer.replace(",", "")) == pytest.approx(np.mean(there) + 0.25, rel=2e-3)
        low, high = (float(x.replace(",", "")) for x in interval.split(" to "))
        assert min(there) - 1e-9 <= low <= float(iqm.replace(",", "")) <= high <= max(there) + 1e-9
        assert (seeds, steps) == ("4 of 5" if len(there) == 4 else "5", "999,424")
        assert float(seconds) == pytest.approx(np.median([30.0 + i for i in range(len(there))]), abs=0.5)


def test_ceilings_are_the_environments(markdown):
    assert rows_of(markdown, "t-maze")["best of all policies"][0] == "1.000"
    assert rows_of(markdown, "t-maze")["best without a memory"][0] == "0.500"
    assert rows_of(markdown, "tiger")["best of all policies"][0] == "19.37"
    assert "best of all policies" not in rows_of(markdown, "pendulum-positions")  # not known


def test_a_bar_is_reached_where_every_seed_reaches_it(markdown, folder):
    table = rows_of(markdown, "Bars")
    assert [key for key in table if key not in ("", "---") and not key.startswith("-")] == ["t-maze", "tiger"]
    bar, who, each, count, reached, steps, _ = table["t-maze"]
    assert (bar, who, count, reached, steps) == ("≥ 0.990", "PPO, GRU", "4 of 5", "no", "999,424")
    assert [float(value) for value in each.split(", ")] == RETURNS["t-maze", "gru"]
    assert table["tiger"][3:5] == ["4 of 5", "no"]  # 18.0 itself counts
    assert "Actions are drawn while training." in markdown
    environments = tuple(replace(e, bar=-30.0) if e.name == "tiger" else e for e in GRID.environments)
    lower = results_markdown(collect("t", cells(replace(GRID, environments=environments)), folder, "c"))
    assert rows_of(lower, "Bars")["tiger"][3:5] == ["5 of 5", "yes"]
    more = results_markdown(
        collect("t", cells(replace(GRID, environments=environments, seeds=(0, 1, 2, 3, 4, 5))), folder, "c")
    )
    assert rows_of(more, "Bars")["tiger"][3:5] == ["5 of 6", "not yet"]  # one seed is still to come


def test_over_all_tasks_returns_are_shares_of_the_way_from_memoryless_to_optimal(markdown):
    """Of the two tasks whose ceilings are known: t-maze 0.5 to 1, tiger −20 to 19.371 (exact values)."""
    shares = {}
    for memory, label in (("none", "PPO, no memory"), ("gru", "PPO, GRU")):
        maze = (np.array(RETURNS["t-maze", memory]) - 0.5) / 0.5
        tiger = np.array(RETURNS["tiger", memory][: 4 if memory == "none" else 5])
        floor = float(rows_of(markdown, "tiger")["best without a memory"][0])
        shares[label] = stats.trim_mean(np.concatenate([maze, (tiger - floor) / (19.3714 - floor)]), 0.25)
    table = rows_of(markdown, "All tasks")
    for label, share in shares.items():
        assert float(table[label][0]) == pytest.approx(share, abs=2e-3)
        assert table[label][2:] == ["2", "9" if label == "PPO, no memory" else "10"]


def test_published_numbers_stand_with_their_source(markdown):
    row = rows_of(markdown, "pendulum-positions")["published: RecurrentPPO, sb3-contrib"]
    assert (row[0], row[-2]) == ("-218", "100,000")  # as many digits as its column has
    assert (
        "sb3-contrib: -217.9 (± 140 over episodes, one run). rl-baselines3-zoo, benchmark.md, PendulumNoVel-v1."
        in markdown
    )


def test_published_numbers_are_for_the_very_same_task():
    assert published_on(EnvConfig("pendulum-positions"))
    assert not published_on(EnvConfig("pendulum-positions", reveal=True))
    changed = EnvConfig("cartpole-positions", {"time_limit": 9})
    assert published_on(EnvConfig("cartpole-positions"))
    assert not published_on(changed)


def test_failures_and_commands_are_told(markdown, folder):
    assert "- PPO, no memory, tiger, seed 4: The reward is NaN. Correct it." in markdown
    commands = re.findall(r"^NPROC=1 throughtime train --config (\S+) --out NEW$", markdown, re.MULTILINE)
    assert len(commands) == len(set(commands)) == 29
    assert all(str(folder) in command for command in commands)


def test_what_is_not_finished_is_counted(folder):
    more = cells(replace(GRID, seeds=(0, 1, 2, 3, 4, 5)))
    text = results_markdown(collect("t", more, folder, "c"))
    assert "7 runs are not finished" in text
    assert "MMER" not in text
    assert rows_of(text, "t-maze")["PPO, GRU"][-3] == "5 of 6"


def test_the_page_holds_the_same_figures(folder, tmp_path):
    results = collect("Three tasks", cells(GRID), folder, "throughtime results x.toml")
    page = write_results_page(results, tmp_path / "results.html").read_text()
    assert "0 of 2 bars are reached by some agent, on every seed." in page
    again = write_results_page(results, tmp_path / "again.html").read_text()
    assert page == again
    for label, row in rows_of(results_markdown(results), "t-maze").items():
        if label and not label.startswith("-"):
            assert f'<th scope="row">{label}</th>' in page
            assert f'<td class="number">{row[0]}</td>' in page
    assert page.count("<svg") == 2 * (1 + 2 * 3)
    assert len(set(re.findall(r'id="([^"]+)"', page))) == len(re.findall(r'id="([^"]+)"', page))


def test_a_policy_has_one_colour_in_all_figures(folder, tmp_path):
    page = write_results_page(collect("t", cells(GRID), folder, "c"), tmp_path / "results.html").read_text()
    maze = page.split("<h2>t-maze</h2>")[1].split("<section>")[0]
    dots, curves = maze.split("</figure>")[:2]
    for label, other in (("PPO, GRU", "PPO, no memory"), ("PPO, no memory", "PPO, GRU")):
        (colour,) = set(re.findall(rf"fill: (#\w+)[^>]*>{label}<", curves))  # the name at the line's end
        assert colour in dots
        assert colour not in re.findall(rf"fill: (#\w+)[^>]*>{other}<", curves)
    kinds = [("a", "memory"), ("b", "memoryless"), ("c", "memory"), ("d", "window"), ("e", "memory")]
    assert len(set(colours(kinds).values())) == 5


def test_tables_can_be_had_from_settings_and_scores_alone(folder, tmp_path):
    """What a repository keeps of a run: neither weights nor metrics."""
    for cell in cells(GRID):
        for name in ("config.toml", "score.json"):
            if (folder / cell.folder / name).exists():
                (tmp_path / cell.folder).mkdir(parents=True, exist_ok=True)
                (tmp_path / cell.folder / name).write_bytes((folder / cell.folder / name).read_bytes())
    few = collect("t", cells(GRID), tmp_path, "c")
    assert [task.entries[0].returns.tolist() for task in few.tasks] == [
        task.entries[0].returns.tolist() for task in collect("t", cells(GRID), folder, "c").tasks
    ]
    assert write_results_page(few, tmp_path / "results.html").read_text().count("<svg") == 2 * (1 + 3)


def test_nothing_finished_is_a_page_too(tmp_path):
    results = collect("Empty", cells(GRID), tmp_path, "c")
    text = results_markdown(results)
    assert text.count("No run is finished.") == 3
    assert rows_of(text, "Bars")["t-maze"][:5] == ["≥ 0.990", "none yet", "–", "–", "not yet"]
    write_results_page(results, tmp_path / "results.html")
