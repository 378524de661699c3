"""Floor 9: the command line. One file per verb."""

from throughtime.cli.main import main as main
