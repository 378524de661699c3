"""A grid of trainings as tables: `results.md` and a self-contained page."""

from throughtime.reports.results.markdown import results_markdown as results_markdown
from throughtime.reports.results.page import write_results_page as write_results_page
from throughtime.reports.results.published import Published as Published
from throughtime.reports.results.published import published_on as published_on
from throughtime.reports.results.rows import bar_rows as bar_rows
from throughtime.reports.results.rows import head as head
from throughtime.reports.results.rows import overall_rows as overall_rows
from throughtime.reports.results.rows import rows as rows
from throughtime.reports.results.table import Results as Results
from throughtime.reports.results.table import collect as collect
