"""The microscope's figures, on records as the library makes them and as a browser shows them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from chromium import Chromium, faults, find
from report_samples import maze_report

from throughtime.gradients.flow import measure_flow
from throughtime.memory import make_memory
from throughtime.reports import FlowHistory, render
from throughtime.reports.flow import figures_table, flow_page, heat_map
from throughtime.reports.flow.lags import horizon_over_training, lag_curves

pytestmark = pytest.mark.usefixtures("quick_compiler")


@cache
def record(name: str, steps: int = 40, needed: int | None = 24, last: bool = False, **options) -> dict:
    """A small memory on four random sequences, with an episode's start in the middle of each."""
    memory = make_memory(name, 2, 4, key=jax.random.key(0), **options)
    xs = jax.random.normal(jax.random.key(1), (steps, 4, 2))
    d_ys = jnp.zeros((steps, 4, 4)).at[-1 if last else slice(None)].set(1.0)
    resets = jnp.zeros((steps, 4), bool).at[steps // 3].set(True)
    return measure_flow(memory, memory.initial_state(4), xs, resets, d_ys, required_lag=needed).record()


@cache
def pages() -> dict[str, str]:
    lstm, growing = record("lstm"), record("elman", f="identity", spectral_radius=1.5)
    steps = [0, 4_096, 250_000]
    looks = [lstm, record("lstm", forget_bias=3.0), record("lstm", forget_bias=5.0)]
    return {
        "lstm": flow_page("LSTM", "A test.", {"network": lstm}, "throughtime flow"),
        "explodes": flow_page("Elman", "A test.", {"network": growing}, "throughtime flow"),
        "two-networks": flow_page("Both", "A test.", {"actor": lstm, "critic": growing}, "throughtime flow"),
        "last-step": flow_page("Elman", "A test.", {"network": record("elman", last=True, needed=None)}, "x"),
        "nothing": flow_page("None", "A test.", {"network": record("none", steps=3)}, "x"),
        "training": render(replace(maze_report(), flows=[FlowHistory("LSTM, seed 0", steps, looks)])),
    }


FIGURES = {
    "lstm": 4,
    "explodes": 4,
    "two-networks": 8,
    "last-step": 3,
    "nothing": 2,
    "training": 3 + 5,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(find()) as browser:
        yield browser


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_and_nothing_overlaps(browser: Chromium, tmp_path: Path, name: str, width: int):
    path = tmp_path / "report.html"
    path.write_text(pages()[name])
    page = browser.visit(path, width)
    assert len(page.figures) == FIGURES[name]
    assert all(figure["marks"] >= 4 for figure in page.figures)  # a heat map is an image and a few lines
    assert [fault for fault in faults(page) if not fault.startswith("empty")] == []


def test_the_page_says_what_was_found():
    page = pages()["lstm"]
    assert f"Gradients vanish at lag {record('lstm')['horizon']}, the task needs 24" in page
    assert "through c alone" in page
    assert "Gradients explode: growth 1.5 per step" in pages()["explodes"]
    assert "Actor: Gradients" in pages()["two-networks"]
    assert "Critic: Gradients" in pages()["two-networks"]
    assert "Gradient flow, LSTM, seed 0" in pages()["training"]
    assert "bootstrap over the sequences" in pages()["training"]
    assert "bootstrap" not in render(maze_report())


def test_the_table_has_every_single_figure():
    rows = dict(figures_table(record("lstm")))
    assert rows["Lag that the task needs"] == "24"
    assert "Horizon through c alone" in rows
    assert rows["Spectral radius of weight_hh[forget]"] == "1"
    share = record("lstm")["saturation"]["forget"]
    assert rows["Gate forget: closed (< 0.05), open (> 0.95)"] == f"0.0%, {share['open']:.1%}"
    growing = record("elman", f="identity", spectral_radius=1.5)
    assert dict(figures_table(growing))["Gradient horizon"] == "at least 26"  # and no interval from 26 to 26
    unsure = dict(figures_table(growing | {"horizon_interval": [20, 26]}))
    assert unsure["Gradient horizon"] == "at least 26 (95%: 20 to 26, the last lag)"


def test_what_is_not_finite_is_said_and_drawn():
    broken = record("lstm") | {"not_finite_from": 5, "path_not_finite_from": {"h": None, "c": 6}}
    rows = dict(figures_table(broken))
    assert rows["Gradient not finite"] == "from lag 5 on"
    assert "not finite from lag 6 on" in rows["Horizon through c alone"]
    assert "not finite" not in rows["Horizon through h alone"]
    assert "In the grey area it is not finite." in flow_page("LSTM", "A test.", {"network": broken}, "x")
    assert "not finite from 5" in lag_curves(broken, "a")
    older = {name: value for name, value in record("lstm").items() if "not_finite" not in name}
    assert lag_curves(older, "a") == lag_curves(record("lstm"), "a") != lag_curves(broken, "a")
    drawn = horizon_over_training([0, 10], [record("lstm"), broken], "a")
    assert drawn != horizon_over_training([0, 10], [record("lstm"), older], "a")


def test_the_same_record_gives_the_same_bytes():
    assert heat_map(record("lstm"), "a") == heat_map(record("lstm"), "a") != heat_map(record("lstm"), "b")
