"""`python -m throughtime`: the command line."""

import sys

from throughtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
