"""How a belief forms, as a section of a page and as a table of a terminal."""

from throughtime.reports.lines import Axis, Line, lines_figure
from throughtime.reports.page import figure, paragraph, section
from throughtime.runs.belief import Row
from throughtime.runs.belief_curve import BeliefCurve

DIFFERENT = (
    "Trained again, the run did not end in the policy that it holds (another machine, another version, or a run that "
    "was given more steps later): the curve is that of the training just made."
)


def measure(curve: BeliefCurve) -> str:
    """What the curve is of: the most that is known of the task."""
    row = curve.points[0].rows[0]
    if row.belief_kl is not None:
        return "KL to the exact belief, nats"
    return "hidden state, R²" if row.state_accuracy is None else "hidden state, accuracy"


def value(row: Row) -> float:
    """That figure of one probe."""
    if row.belief_kl is not None:
        return row.belief_kl
    if row.state_accuracy is not None:
        return row.state_accuracy
    return float("nan") if row.mean_r2 is None else row.mean_r2


def curve_section(curve: BeliefCurve) -> str:
    """The section of the page."""
    logarithmic = curve.points[0].rows[0].belief_kl is not None
    lines = [
        Line(row.source, [point.step for point in curve.points], [value(point.rows[i]) for point in curve.points])
        for i, row in enumerate(curve.points[0].rows)
    ]
    x, y = Axis("environment steps"), Axis(measure(curve), log=logarithmic)
    wide, narrow = (
        lines_figure(lines, x, y, "belief-curve", "How the belief forms", marks=True, narrow=narrow)
        for narrow in (False, True)
    )
    caption = (
        "Linear probes, fitted anew at each point on episodes of the policy as it then was. The controls read the same "
        "episodes, so that they move where the policy sees other things than before."
    )
    notes = "" if curve.repeated else paragraph(DIFFERENT)
    return section("How the belief forms", figure(wide, narrow, caption), notes)


def curve_table(curve: BeliefCurve) -> tuple[list[str], list[list[str]]]:
    """Head and rows for a terminal."""
    head = ["Steps", *(row.source for row in curve.points[0].rows)]
    return head, [[f"{point.step:,}", *(f"{value(row):.2g}" for row in point.rows)] for point in curve.points]
