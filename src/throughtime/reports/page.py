"""The skeleton that all reports share: one HTML file that asks for nothing, neither script nor font nor image.

    html = page("Title", "What this is.", [section("Verdict", paragraph("…"), figure(wide, narrow, "caption"))])
    write_page(html, "report.html")

What these functions take as text is escaped here; what they take as HTML or SVG comes from them or from `inline_svg`.
"""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from throughtime.core import RunFolderError
from throughtime.reports.style import CSS
from throughtime.runs.atomic import atomic_write

# Makes the promise binding: the browser itself refuses whatever is not in the file.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, subtitle: str, sections: Sequence[str]) -> str:
    """A self-contained HTML page. The same arguments give the same bytes.

    Args:
        title: the heading, text.
        subtitle: one or two sentences under it, text.
        sections: as `section` returns them.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · throughtime</title>
<link rel="icon" href="data:,">
<style>{CSS}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
<p class="task">{escape(subtitle)}</p>
</header>
{"".join(sections)}</main>
</body>
</html>
"""


def write_page(html: str, path: str | os.PathLike[str]) -> Path:
    """Writes a page: all of it or, where something fails, nothing, and what was there before stays.

    Args:
        html: as `page` returns it.
        path: the file, in a folder that exists.

    Returns:
        `path`.

    Raises:
        RunFolderError: if the folder is missing or cannot be written.
    """
    path = Path(path)
    content = html.encode("utf-8", "replace")
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise RunFolderError(
            f"The report {str(path)!r} cannot be written.",
            f"{error.strerror}.",
            "Name a file in a writable folder.",
        ) from error
    return path


def section(heading: str, *parts: str) -> str:
    """A titled part of the page; empty parts are left out.

    Args:
        heading: text.
        *parts: HTML, as the functions below return it.
    """
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>\n"


def paragraph(text: str, *, lead: bool = False) -> str:
    """A paragraph of text; `lead` for the one right under a page's first heading."""
    start = '<p class="lead">' if lead else "<p>"
    return f"{start}{escape(text)}</p>"


def figure(wide: str, narrow: str, caption: str, key: str = "") -> str:
    """A figure in the two drawings of which the page shows the one that fits its window.

    Args:
        wide: an `<svg>` as `inline_svg` returns it.
        narrow: the same for windows about as wide as a phone.
        caption: text.
        key: HTML shown above the narrow drawing.
    """
    return (
        f'<figure>{key}<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def key(entries: Sequence[tuple[str, str]]) -> str:
    """Names a figure's lines where the window is too narrow to name them beside the frame.

    Args:
        entries: classes of the style sheet for a sample of the line (a role or "ceiling", then "dashed" or "dotted";
            none for one in ink), and its name, text.
    """
    items = (f'<li><i class="{classes}"></i>{escape(name)}</li>' for classes, name in entries)
    return f'<ul class="key">{"".join(items)}</ul>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], label: str) -> str:
    """A table whose first column names the rows and whose other columns are numbers, flush right.

    Args:
        head: names of the columns, text.
        rows: the cells of each row, text.
        label: what the table is, for those who cannot see it.
    """
    first, *others = (escape(name) for name in head)
    names = f'<th scope="col">{first}</th>' + "".join(f'<th scope="col" class="number">{o}</th>' for o in others)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f'<td class="number{_wraps(cell)}">{escape(cell)}</td>' for cell in cells)
        + "</tr>\n"
        for first, *cells in rows
    )
    return table_of(label, names, body)


def _wraps(cell: str) -> str:
    """The class of a cell that may take several lines: a list would push the columns after it out of sight."""
    return " list" if cell.count(", ") > 1 else ""


def table_of(label: str, head: str, body: str) -> str:
    """A table from the HTML of its head's cells and of its body's rows; it scrolls sideways where it has to."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>"
    )


def bullets(notes: Sequence[str]) -> str:
    """A list of sentences."""
    return "<ul>\n" + "".join(f"<li>{escape(note)}</li>\n" for note in notes) + "</ul>"


def command_line(command: str) -> str:
    """A command as it is typed."""
    return f'<pre class="command"><code>{escape(command)}</code></pre>'
