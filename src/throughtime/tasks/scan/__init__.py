"""SCAN: the language, the published splits, a world for its actions, and the task of following instructions."""

from throughtime.tasks.scan.language import ACTIONS as ACTIONS
from throughtime.tasks.scan.language import WORDS as WORDS
from throughtime.tasks.scan.language import instructions as instructions
from throughtime.tasks.scan.language import interpret as interpret
from throughtime.tasks.scan.policy import follow as follow
from throughtime.tasks.scan.splits import SPLITS as SPLITS
from throughtime.tasks.scan.splits import Division as Division
from throughtime.tasks.scan.splits import divide as divide
from throughtime.tasks.scan.task import Followed as Followed
from throughtime.tasks.scan.task import Scan as Scan
from throughtime.tasks.scan.world import AHEAD as AHEAD
from throughtime.tasks.scan.world import Path as Path
from throughtime.tasks.scan.world import execute as execute
