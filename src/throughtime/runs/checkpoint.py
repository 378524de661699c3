"""Checkpoints: the arrays of a tree in one safetensors file (`_format.py`), atomic and verified."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from throughtime.core import CheckpointError, ConfigError
from throughtime.core.tree import named_arrays, replace_arrays
from throughtime.runs._format import Checkpoint, decode, encode
from throughtime.runs.atomic import atomic_write

Tree = TypeVar("Tree", bound=PyTree)

_NAME = re.compile(r"step-(\d+)\.safetensors")


class Latest(NamedTuple):
    """The newest checkpoint that can be loaded."""

    path: Path
    skipped: tuple[CheckpointError, ...]  # why each newer one could not be loaded, newest first


def save_checkpoint(path: str | os.PathLike[str], tree: PyTree, *, config: str, step: int) -> None:
    """Writes the arrays of a tree, atomically: after a crash `path` is what it was before, or the new file.

    Args:
        path: the file; its folder has to exist.
        tree: any pytree. Its arrays are saved by dotted path (typed keys as their data), nothing else is.
        config: TOML of the config that builds such a tree.
        step: environment steps so far.

    Raises:
        CheckpointError: a leaf of a dtype that cannot be saved, or the file system refuses (says why).
    """
    path = Path(path)
    blocks = encode({name: np.asarray(array) for name, array in named_arrays(tree).items()}, config, step)
    try:
        with atomic_write(path) as file:
            file.writelines(blocks)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be written.",
            f"{error.strerror or error}. What was at this path before is untouched.",
            "Mend the folder, its permissions or the space on its disk.",
        ) from error


def load_checkpoint(path: str | os.PathLike[str], like: Tree) -> Tree:
    """Puts the arrays of a checkpoint into a tree.

    Args:
        path: the file.
        like: a tree of the same structure, with arrays or `jax.ShapeDtypeStruct`s (from `jax.eval_shape`).

    Returns:
        `like` with each array as it was saved, bit for bit; JAX leaves stay JAX arrays, keys typed keys.

    Raises:
        CheckpointError: as `read_checkpoint`; or a leaf is missing, surplus or of another kind (named).
    """
    arrays = read_checkpoint(path).arrays
    try:
        return replace_arrays(jax.tree.map(_materialise, like), arrays)
    except ValueError as error:
        raise CheckpointError(
            f"The checkpoint {path} does not fit: {error}.",
            "It was saved by another version, or from another network, optimiser or environment.",
            "Build them from the checkpoint's own config, with the version that saved it.",
        ) from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """All arrays and the metadata of a checkpoint, every byte verified.

    Args:
        path: the file.

    Raises:
        CheckpointError: missing, empty, truncated, damaged (names the leaf and its bytes, or the header's),
            of another format version, or no checkpoint of throughtime.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read.", f"{error.strerror or error}.") from error
    return decode(path, data)


def checkpoint_name(step: int) -> str:
    """The file name of the checkpoint at `step`; names sort as their steps do."""
    return f"step-{step:012d}.safetensors"


def latest_checkpoint(folder: str | os.PathLike[str]) -> Latest:
    """The newest checkpoint of a folder that can be loaded.

    Args:
        folder: holds files named by `checkpoint_name`; others are not looked at.

    Returns:
        Its path, and the errors of the newer ones that had to be passed over: tell the user of them.

    Raises:
        CheckpointError: there is none, or none can be loaded (says why for each).
    """
    skipped = []
    for path in reversed(_checkpoints(Path(folder))):
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            skipped.append(error)
        else:
            return Latest(path, tuple(skipped))
    if skipped:
        why = "\n".join(error.what for error in skipped)
        raise CheckpointError(f"No checkpoint in {folder} can be loaded.", why, "Restore one from a copy.")
    what = f"There is no checkpoint in {folder}."
    raise CheckpointError(what, "The run ended before its first save.", "Train it anew.")


def prune_checkpoints(folder: str | os.PathLike[str], keep: int, *, newest: Path | None = None) -> None:
    """Deletes all but the newest checkpoints, and the temporary files that crashed saves left.

    Args:
        folder: as for `latest_checkpoint`. No other process may be saving into it.
        keep: how many to keep, at least 1.
        newest: the one that was just written: it stays, whatever damaged ones with later steps lie beside it.

    Raises:
        ConfigError: `keep` is less than 1.
    """
    if keep < 1:
        raise ConfigError(f"keep = {keep} is impossible.", "A run resumes from its newest checkpoint.", "Keep 1.")
    folder = Path(folder)
    others = [path for path in _checkpoints(folder) if path != newest]
    surplus = len(others) + (newest is not None) - keep
    for path in [*others[: max(surplus, 0)], *folder.glob(".step-*.tmp")]:
        path.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    """All files that are named as checkpoints, oldest first."""
    steps = {path: int(match[1]) for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))}
    return sorted(steps, key=lambda path: steps[path])


def _materialise(leaf: Any) -> Any:
    return jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
