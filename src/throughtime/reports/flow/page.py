"""What the gradient microscope saw, as sections of a page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from throughtime.reports.flow.axes import Record
from throughtime.reports.flow.lags import heat_map, horizon_over_training, lag_curves
from throughtime.reports.flow.steps import recurrent_parameter, singular_values, step_shares
from throughtime.reports.page import bullets, command_line, figure, key, page, paragraph, section, table

NOTES = (
    "The gradient at lag k is that of the loss of step t with respect to what step t − k handed on (at lag 0: what "
    "step t put out). Lags that cross the start of an episode are left out, not counted as zeros.",
    "The horizon is the longest lag at which the norm, root mean square over steps and sequences, is at least 1% of "
    "lag 0's. Its interval is a bootstrap over the sequences: other data of the same kind would move it so far.",
)


def flow_page(title: str, subtitle: str, records: Mapping[str, Record], command: str) -> str:
    """A page on one look through the microscope.

    Args:
        title: what was measured.
        subtitle: on what.
        records: what was seen, as `Flow.record` returns it, by the name of the network (where there are several).
        command: the command line that makes it again.
    """
    sections = []
    for name, record in records.items():
        verdict = record["verdict"]
        heading = verdict["headline"] if len(records) == 1 else f"{name.capitalize()}: {verdict['headline']}"
        said = paragraph(" ".join(verdict["sentences"]), lead=True)
        sections.append(section(heading, said, *_figures(record, name)))
    sections.append(section("How to reproduce", command_line(command)))
    sections.append(section("How this was measured", bullets(NOTES)))
    return page(title, subtitle, sections)


def training_section(
    label: str, steps: Sequence[int], records: Sequence[Record], name: str, unit: str = "environment steps"
) -> str:
    """A section on the looks that were taken while training: the horizon over time, and the last look in full.

    Args:
        label: whose gradients.
        steps: how far training was at each look.
        records: one each, as `Flow.record` returns them.
        name: unique in the page.
        unit: what `steps` counts.
    """
    verdict = records[-1]["verdict"]
    over_time = ""
    if len(records) > 1:
        caption = (
            "The gradient horizon at each look; the band is its 95% interval over the sequences. A hollow triangle: "
            "the gradient reached the end of the data, so the horizon is that or more. A cross: beyond it the gradient "
            "was not finite."
        )
        over_time = _both(lambda narrow: horizon_over_training(steps, records, name, unit=unit, narrow=narrow), caption)
    return section(
        f"Gradient flow, {label}",
        paragraph(f"At the end of training: {verdict['headline'][:1].lower()}{verdict['headline'][1:]}."),
        paragraph(" ".join(verdict["sentences"])),
        over_time,
        *_figures(records[-1], name),
    )


def _figures(record: Record, name: str) -> list[str]:
    parts = [
        _both(
            lambda narrow: lag_curves(record, name, narrow=narrow),
            "How much of the gradient is left at each lag. The dot is the horizon, the band its 95% interval, the "
            "dashed grey line 1% of lag 0."
            + " In the grey area it is not finite." * (record.get("not_finite_from") is not None)
            + _path_words(record),
            _path_key(record),
        )
    ]
    if len(record["sources"]) > 1:
        needs = " The dashed line is the lag that the task needs." if record["required_lag"] is not None else ""
        parts.append(
            _both(
                lambda narrow: heat_map(record, name, narrow=narrow),
                "The gradient norm ‖∂Lₜ/∂hₜ₋ₖ‖, root mean square over the sequences; grey where step t − k is not in "
                f"the same episode (or the gradient is exactly zero, or not finite).{needs}",
            )
        )
    if record.get("singular_value_lags") and len(record["singular_value_lags"]) > 1:
        parts.append(
            _both(
                lambda narrow: singular_values(record, name, narrow=narrow),
                "Singular values of the product of the last k step Jacobians, whatever the loss: from the largest to "
                "the smallest (pale), the middle half (darker) and the median (line).",
            )
        )
    if (parameter := recurrent_parameter(record)) is not None:
        parts.append(
            _both(
                lambda narrow: step_shares(record, name, narrow=narrow),
                f"What each time step adds to the gradient of {parameter}, along it: the shares sum to 100%.",
            )
        )
    return [*parts, table(("Figure", "Value"), figures_table(record), "What was measured")]


def figures_table(record: Record) -> list[tuple[str, str]]:
    """Names and values of all single figures, for a page or a terminal."""
    rows = [("Gradient horizon", _horizon(record))]
    if record.get("not_finite_from") is not None:  # looks of older runs do not say
        rows.append(("Gradient not finite", f"from lag {record['not_finite_from']} on"))
    if record["required_lag"] is not None:
        rows.append(("Lag that the task needs", str(record["required_lag"])))
    if record["growth_per_step"] is not None:
        rows.append(
            ("Growth of the norm per step", _with_interval(record["growth_per_step"], record["growth_interval"]))
        )
    for path, lag in record["path_horizons"].items():
        growth, first = record["path_growths"][path], record.get("path_not_finite_from", {}).get(path)
        words = f"{lag}" if first is None else f"{lag}, not finite from lag {first} on"
        rows.append((f"Horizon through {path} alone", words + ("" if growth is None else f" (growth {growth:.3g})")))
    if record["jacobian_spectral_radius"] is not None:
        rows.append(("Spectral radius of a step's Jacobian, median", f"{record['jacobian_spectral_radius']:.4g}"))
    rows += [(f"Spectral radius of {name}", f"{radius:.4g}") for name, radius in record["spectral_radius"].items()]
    rows += [
        (f"Gate {name}: closed (< 0.05), open (> 0.95)", f"{share['closed']:.1%}, {share['open']:.1%}")
        for name, share in record["saturation"].items()
    ]
    return rows


def _horizon(record: Record) -> str:
    words = f"{'at least ' * record['censored']}{record['horizon']}"
    interval = record["horizon_interval"]
    if interval is None or (record["censored"] and interval[0] == record["horizon"]):
        return words  # nothing lies beyond the last lag: an interval there says no more
    capped = ", the last lag" * (interval[1] == record.get("measured_lags"))
    return f"{words} (95%: {interval[0]} to {interval[1]}{capped})"


def _with_interval(value: float, interval: Any) -> str:
    return f"{value:.4g}" if interval is None else f"{value:.4g} (95%: {interval[0]:.4g} to {interval[1]:.4g})"


def _path_words(record: Record) -> str:
    if not record["path_horizons"]:
        return ""
    return " Dashed: the gradient that travels through one array of the state alone, the others held fixed."


def _path_key(record: Record) -> str:
    """Names the curves where the window is too narrow to name them beside the frame."""
    names = ["all paths", *(f"through {path} alone" for path in record["path_horizons"])]
    classes = ("memory", "memoryless dashed", "window dashed")  # the colours of the first curves
    return key(list(zip(classes, names, strict=False))) if len(names) > 1 else ""


def _both(draw: Callable[[bool], str], caption: str, names: str = "") -> str:
    return figure(draw(False), draw(True), caption, names)
