"""Floor 8: figures, tables and one self-contained HTML report. It takes plain data, and knows no agent."""

from throughtime.reports.data import Ceilings as Ceilings
from throughtime.reports.data import Curve as Curve
from throughtime.reports.data import Episode as Episode
from throughtime.reports.data import FlowHistory as FlowHistory
from throughtime.reports.data import Report as Report
from throughtime.reports.data import Role as Role
from throughtime.reports.data import Row as Row
from throughtime.reports.episode import episode_figure as episode_figure
from throughtime.reports.figures import final_returns as final_returns
from throughtime.reports.figures import learning_curves as learning_curves
from throughtime.reports.html import render as render
from throughtime.reports.html import write_report as write_report
from throughtime.reports.page import page as page
from throughtime.reports.page import write_page as write_page
from throughtime.reports.terminal import summary as summary
from throughtime.reports.verdict import Verdict as Verdict
from throughtime.reports.verdict import verdict as verdict
