"""The report on trained policies, as one page."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from throughtime.reports.credit import credit_section
from throughtime.reports.data import Ceilings, Curve, Episode, Report, Row
from throughtime.reports.episode import episode_figure
from throughtime.reports.evidence import NOTES as EVIDENCE_NOTES
from throughtime.reports.evidence import evidence_section
from throughtime.reports.figures import final_returns, known_ceilings, learning_curves, line_styles
from throughtime.reports.flow import NOTES as FLOW_NOTES
from throughtime.reports.flow import training_section
from throughtime.reports.numbers import formatter
from throughtime.reports.page import bullets, command_line, figure, key, page, paragraph, section, table_of, write_page
from throughtime.reports.verdict import verdict

_ROLES = {
    "memory": "with memory",
    "memoryless": "without memory",
    "window": "short window",
    "state": "no memory, sees what is hidden",
    "behaviour": "random, not a policy",
}


def render(report: Report) -> str:
    """The report as a self-contained HTML page. The same report gives the same bytes."""
    said = verdict(report.rows, report.ceilings)
    sections = [
        section(
            said.headline,
            paragraph(" ".join(said.sentences), lead=True),
            _returns_figure(report.rows, report.ceilings) if report.rows else "",
            _table(report.rows, report.ceilings) if report.rows else "",
        )
    ]
    if report.evidence is not None:
        sections.append(evidence_section(report.evidence))
    if report.curves:
        sections.append(section("Learning curves", _curves_figure(report.curves, report.ceilings)))
    if report.episode is not None:
        sections.append(section("One episode, step by step", _episode_figure(report.episode)))
    if report.credit is not None:
        sections.append(credit_section(report.credit))
    for number, flow in enumerate(report.flows):
        sections.append(training_section(flow.label, flow.steps, flow.records, f"training-{number}"))
    sections.append(section("How to reproduce", *_reproduction(report)))
    sections.append(section("How this was measured", _notes(report)))
    return page(report.title, report.task_description, sections)


def write_report(report: Report, path: str | os.PathLike[str]) -> Path:
    """Writes the page: all of it or, where something fails, nothing, and what was there before stays.

    Args:
        report: what to show.
        path: the file, in a folder that exists.

    Returns:
        `path`.

    Raises:
        RunFolderError: if the folder is missing or cannot be written.
    """
    return write_page(render(report), path)


def _returns_figure(rows: Sequence[Row], ceilings: Ceilings) -> str:
    wide, narrow = (final_returns(rows, ceilings, narrow=narrow) for narrow in (False, True))
    return figure(wide, narrow, "Mean return of the final policies; the bar is the 95% interval (see below).")


def _curves_figure(curves: Sequence[Curve], ceilings: Ceilings) -> str:
    wide, narrow = (learning_curves(curves, ceilings, narrow=narrow) for narrow in (False, True))
    seeds = {len(curve.returns) for curve in curves}
    if seeds == {1}:
        caption = "One training seed each, so the spread over seeds is not shown: it was not measured."
    else:
        count = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{max(seeds)}"
        caption = (
            f"Mean over {count} training seeds; the band is the 95% t interval of that mean (cut at the "
            "frame), thin lines are the seeds." + (" A curve of one seed has no band." if 1 in seeds else "")
        )
    caption += (
        " These are returns while training, with exploration, and in imitation with the steps that the expert acts "
        "itself, ever fewer; the table has the final policies."
    )
    entries = [
        (f"{curve.role}{'' if style == 'solid' else ' dashed'}", curve.label)
        for curve, style in zip(curves, line_styles(curves), strict=True)
    ]
    show = formatter([value for _, value in known_ceilings(ceilings)])
    entries += [("ceiling", f"{name} {show(value)}") for name, value in known_ceilings(ceilings)]
    return figure(wide, narrow, caption, key(entries))


def _episode_figure(episode: Episode) -> str:
    wide, narrow = (episode_figure(episode, narrow=narrow) for narrow in (False, True))
    total = formatter([float(episode.rewards.sum())])(float(episode.rewards.sum()))
    T = len(episode.rewards)
    caption = f"{episode.title}: {T} step{'s' if T != 1 else ''}, return {total}. All panels share the time axis."
    if episode.hidden is not None and episode.hidden.size:
        caption += " Units of the hidden state that behave alike stand together; white is zero."
    return figure(wide, narrow, caption)


def _table(rows: Sequence[Row], ceilings: Ceilings) -> str:
    known = known_ceilings(ceilings)
    show = formatter([*(v for row in rows for v in (row.mean_return, *row.interval)), *(v for _, v in known)])
    heads = ("Return", "95% interval", "Episodes", "Seeds", "Parameters", "Env steps", "Steps/s", "Seconds")
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in heads)
    body = ""
    for row in rows:
        cells = (
            f"<strong>{show(row.mean_return)}</strong>",
            f"{show(row.interval[0])} to {show(row.interval[1])}",
            *(f"{n:,}" for n in (row.episodes, row.seeds, row.parameters, row.env_steps)),
            f"{row.steps_per_second:,.0f}",
            f"{row.seconds:,.1f}",
        )
        body += (
            f'<tr><th scope="row"><i class="{row.role}"></i>{escape(row.label)} '
            f"<small>{_ROLES[row.role]}</small></th>"
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + "</tr>\n"
        )
    for name, value in known:
        body += (
            f'<tr class="reference"><th scope="row"><i class="ceiling"></i>{name}</th>'
            f'<td class="number">{show(value)}</td><td colspan="{len(heads) - 1}"></td></tr>\n'
        )
    return table_of("Final policies", f'<th scope="col">Policy</th>{head}', body)


def _reproduction(report: Report) -> list[str]:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in report.environment.items()
    )
    return [
        command_line(report.command),
        f"<dl>{facts}</dl>" if facts else "",
        "<details><summary>The config, resolved</summary>"
        f"<pre><code>{escape(report.config_toml.strip())}</code></pre></details>",
    ]


def _notes(report: Report) -> str:
    notes = [
        "The table is about the final policy of each training, not the best checkpoint, on fresh episodes "
        "that played no part in training.",
        "Returns are undiscounted, except where the environment's definition has a discount (tiger). With several "
        "training seeds the interval is Student's t over them; with one it is over evaluation episodes, and "
        "says how well that policy is measured, not how another training would turn out.",
        "Seconds are wall clock, compilation included; steps/s are environment steps.",
        *(EVIDENCE_NOTES if report.evidence is not None else ()),
        *(FLOW_NOTES if report.flows else ()),
        *report.notes,
    ]
    if known_ceilings(report.ceilings):
        notes.insert(
            1,
            "The memoryless ceiling is the best return of any policy that sees the present observation only, "
            "the optimum that of any policy; both come from the environment's definition, not from training.",
        )
    return bullets(notes)
