"""Grids of trainings: agents × memories × environments × seeds."""

from throughtime.runs.results.grid import Cell as Cell
from throughtime.runs.results.grid import EnvironmentVariant as EnvironmentVariant
from throughtime.runs.results.grid import Grid as Grid
from throughtime.runs.results.grid import Variant as Variant
from throughtime.runs.results.grid import cells as cells
from throughtime.runs.results.grid import combinations as combinations
from throughtime.runs.results.grid import jobs as jobs
from throughtime.runs.results.grid import refuse_changes as refuse_changes
from throughtime.runs.results.read import SUITES as SUITES
from throughtime.runs.results.read import read_grid as read_grid
