"""Searching for good settings: a space, and a study that can be stopped and gone on with."""

from throughtime.runs.sweep.config import TUNING_SEED as TUNING_SEED
from throughtime.runs.sweep.config import SweepConfig as SweepConfig
from throughtime.runs.sweep.space import Range as Range
from throughtime.runs.sweep.space import default_space as default_space
from throughtime.runs.sweep.space import read_space as read_space
from throughtime.runs.sweep.study import Found as Found
from throughtime.runs.sweep.study import Tried as Tried
from throughtime.runs.sweep.study import sweep as sweep
