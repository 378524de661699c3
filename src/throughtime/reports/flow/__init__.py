"""The gradient microscope's figures and pages, from the records of `throughtime.gradients.flow`."""

from throughtime.reports.flow.axes import Record as Record
from throughtime.reports.flow.lags import heat_map as heat_map
from throughtime.reports.flow.lags import horizon_over_training as horizon_over_training
from throughtime.reports.flow.lags import lag_curves as lag_curves
from throughtime.reports.flow.page import NOTES as NOTES
from throughtime.reports.flow.page import figures_table as figures_table
from throughtime.reports.flow.page import flow_page as flow_page
from throughtime.reports.flow.page import training_section as training_section
from throughtime.reports.flow.steps import singular_values as singular_values
from throughtime.reports.flow.steps import step_shares as step_shares
