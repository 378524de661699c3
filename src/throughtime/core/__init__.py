"""Floor 0: arrays, trees and errors. Imports nothing of throughtime."""

from throughtime.core.arrays import affine as affine
from throughtime.core.arrays import pad_right as pad_right
from throughtime.core.arrays import select_rows as select_rows
from throughtime.core.arrays import sigmoid as sigmoid
from throughtime.core.errors import CheckpointError as CheckpointError
from throughtime.core.errors import ConfigError as ConfigError
from throughtime.core.errors import EnvironmentStepError as EnvironmentStepError
from throughtime.core.errors import NonFiniteError as NonFiniteError
from throughtime.core.errors import PreflightError as PreflightError
from throughtime.core.errors import RunFolderError as RunFolderError
from throughtime.core.errors import ThroughtimeError as ThroughtimeError
from throughtime.core.errors import did_you_mean as did_you_mean
from throughtime.core.errors import require as require
from throughtime.core.tree import named_arrays as named_arrays
from throughtime.core.tree import real_numbers as real_numbers
from throughtime.core.tree import replace_arrays as replace_arrays
