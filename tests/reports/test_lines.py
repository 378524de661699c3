"""Figures of lines: a tick's label is the value at its place, and every point is seen."""

import re

import numpy as np
import pytest

from throughtime.reports.lines import COLOURS, Axis, Line, lines_figure

DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def drawn(x: list, y: list, narrow: bool = False) -> str:
    axes = Axis("updates", low=0), Axis("loss", log=True)
    return lines_figure([Line("loss", x, y)], *axes, "a", "A figure", narrow=narrow)


def number(label: str) -> float:
    mantissa, power, exponent = re.fullmatch(r"([\d.]*?)(·?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", label).groups()
    return float(mantissa or 1) * (10.0 ** int(exponent.translate(DIGITS)) if power else 1)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    "losses", [(0.326, 0.311), (0.9, 0.2), (2.0, 1.1), (1e-4, 3e-6), (1.0, 1.00001), (2.5e11, 2.6e11), (1.0, 1e-5)]
)
def test_ticks_of_a_logarithmic_axis_name_the_values_where_they_stand(losses, narrow):
    svg = drawn([200, 400], list(losses), narrow)
    line = re.search(rf'd="M \S+ (\S+)\s+L \S+ (\S+)\s+"[^>]*stroke: {COLOURS[0]}', svg)
    places = [float(place) for place in line.groups()]
    grid = [float(y) for y in re.findall(r'd="M \S+ (\S+)\s+L \S+ \1\s+"[^>]*stroke: #eceff2', svg)]
    labels = re.findall(r'text-anchor: end; fill: #59636e" x="(?:56|42).5"[^>]*>([^<]*)<', svg)
    assert len(labels) == len(grid) >= 3
    assert len(set(labels)) == len(labels)
    slope = np.log10(losses[1] / losses[0]) / (places[1] - places[0])
    values = [losses[0] * 10 ** (slope * (y - places[0])) for y in grid]
    np.testing.assert_allclose([number(label) for label in labels], values, rtol=1e-4)


def test_one_point_is_a_dot_on_an_axis_from_0():
    svg = drawn([20], [0.5])
    assert f'style="fill: {COLOURS[0]}; stroke: {COLOURS[0]}' in svg
    ticks = re.findall(r'text-anchor: middle; fill: #59636e"[^>]*>([^<]*)<', svg)
    assert ticks[0] == "0"
    assert all(tick.isdecimal() and int(tick) <= 21 for tick in ticks)
    assert f'style="fill: {COLOURS[0]}' not in drawn([20, 40], [0.5, 0.4])
