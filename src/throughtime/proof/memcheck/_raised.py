"""Where somebody else's code raised."""

import traceback
from pathlib import PurePath


def place_of(error: BaseException) -> str:
    """File and line of the innermost frame outside of installed packages, such as `agent.py:12`."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{PurePath(own[-1].filename).name}:{own[-1].lineno}" if own else "an unknown place"
