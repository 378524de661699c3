"""The main program of a worker process: it steps its environments until its parent is gone."""

import faulthandler
import json
import mmap
import os
import signal
import socket
import sys

from throughtime.envs.adapters._arrays import Shapes, arrays_in, bytes_needed
from throughtime.envs.adapters._build import Recipe, build
from throughtime.envs.adapters._group import Group
from throughtime.envs.adapters._layout import action_layout
from throughtime.envs.adapters._mask import MaskReader
from throughtime.envs.adapters._sight import make_sight


def main() -> None:
    """Reads its set-up from the command line."""
    setup = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which saves and then ends this
    with os.fdopen(setup["crash_log"], "wb", buffering=0) as log:
        faulthandler.enable(log)
        faulthandler.register(signal.SIGUSR1, log, all_threads=False)
        sys.path[:] = setup["path"]
        os.dup2(2, 1)  # what environments print must not look like the parent's output
        _serve(setup, socket.socket(fileno=setup["socket"]))


def _serve(setup: dict, connection: socket.socket) -> None:
    kind, id, arguments, *rest = setup["recipe"]
    recipe = Recipe(kind, id, tuple((name, value) for name, value in arguments), *rest)
    mask = None if setup["mask"] is None else MaskReader(*setup["mask"])
    batch_size, observation_size, action_shape, continuous = setup["shapes"]
    shapes = Shapes(batch_size, observation_size, tuple(action_shape), continuous)
    arrays = arrays_in(memoryview(mmap.mmap(setup["memory"], bytes_needed(shapes))), shapes)
    first, end = setup["rows"]
    group = None
    with connection, connection.makefile("rwb") as stream:
        for line in stream:
            if group is None:
                env = build(recipe)
                sight = make_sight(env.observation_space, recipe.hide, mask, recipe.name)
                actions = action_layout(env.action_space, recipe.name)
                env.close()
                group = Group(lambda: build(recipe), first, arrays.rows(slice(first, end)), sight, actions)
            failures = group.run(line.decode().strip())
            try:
                stream.write(json.dumps(failures).encode() + b"\n")
                stream.flush()
            except BrokenPipeError:
                break
    if group is not None:
        group.close()
