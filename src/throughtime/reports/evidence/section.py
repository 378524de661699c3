"""What `prove` measured, as a section of a report."""

from collections.abc import Callable, Mapping
from typing import Any

from throughtime.reports.evidence.ablations import ablation_curves
from throughtime.reports.evidence.horizon import curve_name, horizon_curves
from throughtime.reports.evidence.saliency import saliency_strip
from throughtime.reports.numbers import formatter
from throughtime.reports.page import figure, key, paragraph, section, table

NOTES = (
    "Evidence of memory use: ablations replay the same episodes with the same weights, and only the state that a step "
    "hands to the next is tampered with. Its intervals are over seeds where there are several, else over episodes.",
    "The memory horizon: the observation of step t − k is replaced by another episode's at the same step, all other "
    "observations and all actions stay. It is the longest lag k ≥ 1 at which the action distribution moves by more "
    "than the threshold, on average over the steps at which episodes differ in what they do (where there are any).",
    "The gradient says what small changes would do while training; the intervention says what the trained agent does.",
)


def evidence_section(record: Mapping[str, Any]) -> str:
    """The verdict, its figures, and the single numbers.

    Args:
        record: as `Evidence.record` gives it, and `evidence.json` holds it.
    """
    verdict, horizon = record["verdict"], record["horizon"]
    parts = [paragraph(" ".join(verdict["sentences"]), lead=True)]
    if record["ablations"] is not None:
        parts.append(
            _both(
                lambda narrow: ablation_curves(record, narrow=narrow),
                "The return with the state tampered with. Intact: as trained. Swapped: before each step an episode "
                "gets another one's state. Frozen: what the first step has written is never written over. Bars: 95%.",
                _ablation_key(record),
            )
        )
    decisions = (
        "Dots: over decision steps alone, at which episodes differ in what they do; the horizon is read off them. "
        if horizon["decision_steps"]
        else "No step is a decision step: every episode does the same at each. "
    )
    gaps = " Where the line is missing, no step had another observation to put in." * (None in horizon["kl"])
    parts.append(
        _both(
            lambda narrow: horizon_curves(record, narrow=narrow),
            f"What the action at step t still has of what was seen at step t − k. {decisions}The band is the horizon's "
            f"95% interval.{gaps}",
            _horizon_key(record),
        )
    )
    parts.append(
        _both(
            lambda narrow: saliency_strip(record, narrow=narrow),
            "One episode. Blue: how far the action at the dotted line moves if what was seen at that step had been "
            "another episode's (small ticks: no episode saw anything else there). Green: the gradient of the chosen "
            "action's log-probability, its norm by step, as shares. A memory that has settled does not answer to "
            "small changes, so the two can differ.",
        )
    )
    parts.append(table(("Figure", "Value"), facts(record), "What was measured"))
    return section(verdict["headline"], *parts)


def facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of all single figures, for a page or a terminal."""
    rows = [("Memory's share", _share(record))]
    horizon, reach = record["horizon"], record["reach"]
    spread = "" if reach["low"] == reach["high"] else f" ({reach['low']} to {reach['high']})"
    rows.append(("Memory horizon, by intervention", f"{reach['lag']}{spread} step{'' if reach['lag'] == 1 else 's'}"))
    gradient = record["gradient_horizon"]
    if gradient is not None:
        rows.append(("Gradient horizon", f"{'at least ' * gradient['censored']}{gradient['lag']} steps"))
    rows.append(
        (
            "The task needs",
            "not known"
            if reach["required"] is None
            else f"{reach['required']} step{'' if reach['required'] == 1 else 's'}",
        )
    )
    flips = horizon["flips"]
    if flips is not None and horizon["lag"] and flips[horizon["lag"]] is not None:
        rows.append(("Actions that change at the horizon", f"{flips[horizon['lag']]:.1%}"))
    parity = record["replay_parity"]
    rows.append(("Replay parity: acted − recomputed", f"{parity['error']:.1e} (up to {parity['tolerance']:g})"))
    found = record["lambda_discrepancy"]
    if found is None:
        rows.append(("λ-discrepancy", "observations do not repeat"))
    else:
        show = formatter([found["value"], *found["interval"]])
        rows.append(
            ("λ-discrepancy", f"{show(found['value'])} ({show(found['interval'][0])} to {show(found['interval'][1])})")
        )
    return rows


def _share(record: Mapping[str, Any]) -> str:
    share = record["share"]
    if share is None:
        return "not known: no floor or no ceiling"
    show = formatter([share["floor"], share["ceiling"]])
    names = {"known": "known", "twin": "its twin's"}
    ends = f"from {show(share['floor'])} ({names[share['floor_from']]}) to {show(share['ceiling'])} "
    ends += f"({names[share['ceiling_from']]})"
    if share["value"] is None:
        return f"none: {ends}"
    low, high = share["interval"] or (share["value"], share["value"])
    return f"{share['value']:.1%} ({low:.1%} to {high:.1%}) of the way {ends}".replace("-", "−")


def _ablation_key(record: Mapping[str, Any]) -> str:
    """The curve, and the three lines in the colours and dashes that `ablation_curves` gives them."""
    means = {name: record["ablations"][name]["mean"] for name in ("intact", "swapped", "frozen")}
    show = formatter(list(means.values()))
    samples = {"intact": "memory dashed", "swapped": "memoryless dotted", "frozen": "ceiling"}
    lines = [(samples[name], f"{name} {show(mean)}") for name, mean in means.items()]
    return key([("", "reset, or with noise"), *lines])


def _horizon_key(record: Mapping[str, Any]) -> str:
    threshold = f"threshold {record['horizon']['threshold']:.2g} nats"
    curve = ("memory", curve_name(record))
    if record["gradient_horizon"] is None:
        return key([curve, ("ceiling", threshold)])
    return key([curve, ("window", "training's gradient"), ("ceiling", f"{threshold}, 1% of lag 0")])


def _both(draw: Callable[[bool], str], caption: str, names: str = "") -> str:
    return figure(draw(False), draw(True), caption, names)
