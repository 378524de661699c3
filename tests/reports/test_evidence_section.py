"""The section on evidence of memory use, on a record that is made up, as a browser shows it."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium, faults, find

from throughtime.reports.evidence import evidence_section
from throughtime.reports.page import page

T = 51


def point(mean: float, half: float = 0.04, **at: float) -> dict:
    return {"mean": mean, "interval": [mean - half, mean + half], **at}


def record(gradient: bool = True) -> dict:
    """A T-maze of 50 steps, solved with memory."""
    random, lags = np.random.default_rng(0), np.arange(T)
    ratios = {"lag": 50, "censored": True, "log10_ratios": (-0.01 * lags).tolist()}
    kl = np.where(lags == 50, 8.8, 1e-6 * (1 + random.random(T))).tolist()
    return {
        "verdict": {"headline": "The agent uses its memory", "sentences": ["It reaches back 50 steps, and needs 50."]},
        "share": None,
        "reach": {"lag": 50, "low": 50, "high": 50, "required": 50},
        "ablations": {
            "intact": point(1.0, 0.0),
            "reset_every": [point(0.45, k=k) for k in (1, 2, 4, 8, 16, 32, 50)] + [point(1.0, 0.0, k=51)],
            "frozen": point(0.0, 0.0),
            "swapped": point(0.516),
            "noise": [point(mean, size=size) for mean, size in ((1.0, 0.03), (0.98, 0.1), (0.4, 0.3), (0.0, 1.0))],
        },
        "horizon": {
            "lag": 50,
            "interval": None,
            "threshold": 0.01,
            "decision_steps": [0, 50],
            "kl": kl,
            "kl_at_decisions": [None] * 50 + [8.8],
            "flips": None,
        },
        "gradient_horizon": ratios if gradient else None,
        "saliency": {
            "shown": 50,
            "sources": lags.tolist(),
            "effects": kl[::-1],
            "shares": [(np.ones(t + 1) / (t + 1)).tolist() for t in range(T)],
            "observations": random.random((T, 2)).tolist(),
            "observation_labels": ["goal sign", "junction"],
            "actions": [0] * T,
        },
        "replay_parity": {"error": 2e-6, "tolerance": 1e-3},
        "lambda_discrepancy": None,
    }


def keys(html: str) -> list[list[tuple[str, str]]]:
    """The keys of the page's figures: class of the sample, and name."""
    found = re.findall(r'<ul class="key">(.*?)</ul>', html)
    return [re.findall(r'<li><i class="([^"]*)"></i>([^<]*)</li>', one) for one in found]


def test_lines_that_a_phone_has_no_room_to_name_stand_in_a_key():
    ablations, horizon = keys(evidence_section(record()))
    assert ablations[1:] == [
        ("memory dashed", "intact 1.000"),
        ("memoryless dotted", "swapped 0.516"),
        ("ceiling", "frozen 0.000"),
    ]
    assert [classes for classes, _ in horizon] == ["memory", "window", "ceiling"]
    assert horizon[2][1] == "threshold 0.01 nats, 1% of lag 0"
    assert keys(evidence_section(record() | {"ablations": None})) == [horizon]
    assert [name for _, name in keys(evidence_section(record(gradient=False)))[1]] == [
        "all steps (dots: decisions)",
        "threshold 0.01 nats",
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(find()) as browser:
        yield browser


@pytest.mark.parametrize("width", [1100, 390])
def test_figures_are_drawn_and_nothing_overlaps(browser: Chromium, tmp_path: Path, width: int):
    path = tmp_path / "report.html"
    path.write_text(page("Evidence", "A test.", [evidence_section(record())]))
    seen = browser.visit(path, width)
    assert len(seen.figures) == 3
    assert faults(seen) == []
