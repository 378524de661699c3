"""What the report says of memory, at the terminal and in numbers."""

import io
from dataclasses import replace

import numpy as np
import pytest
from report_samples import maze_report, maze_rows, pendulum_report
from rich.console import Console
from scipy import stats

from throughtime.reports import Ceilings, Row, summary, verdict
from throughtime.reports.numbers import formatter, mean_over_seeds, shorten, t_quantile

CEILINGS = Ceilings(optimal_return=1.0, memoryless_return=0.5)


def row(role, mean: float, half: float = 0.02, label: str = "", seeds: int = 3) -> Row:
    return Row(label or role, role, mean, (mean - half, mean + half), 1000, seeds, 100, 1000, 1.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "ceilings", "headline"),
    [
        ([row("memory", 0.9), row("memoryless", 0.5)], CEILINGS, "Memory helps"),
        ([row("memory", 0.51), row("memoryless", 0.5)], CEILINGS, "No benefit from memory is shown"),
        ([row("memory", 0.7, 0.3), row("memoryless", 0.5)], CEILINGS, "No benefit from memory is shown"),
        ([row("memory", 0.2), row("memoryless", 0.5)], CEILINGS, "Memory did worse than no memory"),
        # Beats a twin that failed to learn, but not what a policy without memory could reach.
        ([row("memory", 0.49), row("memoryless", 0.1)], CEILINGS, "That memory helps is not shown"),
        # Above it only by what the time limit cut off of a discounted return.
        ([row("memory", -19.88, 0.0)], Ceilings(19.37, -20.0), "That memory helps is not shown"),
        ([row("memory", 0.9), row("memoryless", 0.5)], Ceilings(), "With memory it did better"),
        ([row("memory", 0.9)], CEILINGS, "Memory helps"),
        ([row("memory", 0.9)], Ceilings(), "Whether memory helps is not shown"),
        ([row("memoryless", 0.5)], CEILINGS, "No policy with memory was evaluated"),
        ([], CEILINGS, "No policy with memory was evaluated"),
        ([row("memory", float("nan")), row("memoryless", 0.5)], CEILINGS, "No benefit from memory is shown"),
    ],
)
def test_headline(rows, ceilings, headline):
    assert verdict(rows, ceilings).headline == headline


def test_the_sentences_name_the_numbers():
    said = " ".join(verdict(maze_rows(seeds=1), CEILINGS).sentences)
    assert "With memory (GRU) the mean return is 0.998, without (no memory) 0.502" in said
    assert "with a short window (TDNN, window 16) 0.497" in said
    assert "The memoryless ceiling is 0.500 and the optimum 1.000." in said
    assert "One training seed each" in said
    assert "One training seed" not in " ".join(verdict(maze_rows(seeds=3), CEILINGS).sentences)


def test_a_policy_above_its_ceiling_is_called_out():
    said = " ".join(verdict([row("memory", 0.9), row("memoryless", 0.8)], CEILINGS).sentences)
    assert "memoryless is above the memoryless ceiling, which should not be possible" in said
    assert "above the optimum" in " ".join(verdict([row("memory", 1.2)], CEILINGS).sentences)
    assert "possible" not in " ".join(verdict([row("memory", 1.0, 0.0)], CEILINGS).sentences)


@pytest.mark.parametrize("report", [maze_report(), pendulum_report()])
def test_the_summary_fits_80_columns_without_colour(report):
    report = replace(
        report, rows=[replace(report.rows[0], label="[bold]a label that is [/x] far too long"), *report.rows]
    )
    out = io.StringIO()
    summary(report, Console(file=out, width=80, no_color=True, force_terminal=False))
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "\x1b" not in out.getvalue()
    assert any(line.startswith("[bold]a label") for line in lines)
    data = [line for line in lines if line.startswith("GRU")]
    assert len(data) == 1
    shown = {"t-maze, length 50": "0.998 ± 0.003 0.500 1.000 41,230 26.4"}.get(
        report.title, "−171.3 ± 8.9 – – 12,000 66.2"
    )
    assert data[0].split() == ["GRU", *shown.split()]


def test_the_band_is_the_t_interval_of_the_seeds_that_have_a_number():
    random = np.random.default_rng(0)
    returns = random.normal(size=(5, 4))
    returns[:3, 1], returns[:4, 2], returns[:, 3] = np.nan, np.nan, np.nan
    mean, lo, hi = mean_over_seeds(returns)
    for column in (0, 1):
        seen = returns[np.isfinite(returns[:, column]), column]
        expected = stats.t.interval(0.95, len(seen) - 1, loc=seen.mean(), scale=stats.sem(seen))
        np.testing.assert_allclose((lo[column], hi[column]), expected, rtol=2e-3)
        np.testing.assert_allclose(mean[column], seen.mean())
    np.testing.assert_allclose(mean[2], returns[4, 2])
    assert np.isnan([lo[2], hi[2], mean[3], lo[3]]).all()


@pytest.mark.parametrize("degrees", [1, 2, 9, 30, 31, 100])
def test_quantiles_are_students(degrees):
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=2e-3)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.998, 0.5, None], ["0.998", "0.500", "–"]),
        ([-171.34, -0.04], ["−171.3", "0.0"]),
        ([12345.6, float("nan")], ["12,346", "–"]),
        ([0.00123], ["0.00123"]),
        ([0.0], ["0.000"]),
        ([99.99, 5.0], ["99.99", "5.00"]),
        ([float("inf")], ["inf"]),
    ],
)
def test_numbers_that_stand_together_have_the_same_decimals(values, shown):
    show = formatter(values)
    assert [show(value) for value in values] == shown


def test_shorten():
    assert shorten("a  b\n\x1bc", 10) == "a b c"
    assert shorten("abcdefgh", 5) == "abcd…"
