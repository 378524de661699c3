"""The bytes of a checkpoint: safetensors, with every byte covered by a checksum.

    8 bytes   length of the header, little-endian
    header    JSON: where each leaf lies, its dtype and shape; `__metadata__` (strings): format, version,
              step, config, sha256 of all tensor bytes, crc32 of each leaf, and `header_sha256`
    tensors   the bytes of each leaf, one after another

`header_sha256` covers the length and the header, with the digest itself read as 64 zeros. Any safetensors
reader opens the file; the digests are ours, for safetensors has none. Equal arrays give equal bytes, which is
why the header is written here (safetensors orders its metadata at random); reading goes through safetensors,
which checks the layout. Nothing is ever unpickled or evaluated.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors

from throughtime.core import CheckpointError

FORMAT = "throughtime"
VERSION = 1

_DTYPES = {
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(jnp.bfloat16),
    **{f"F{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_DIGEST = re.compile(rb'"header_sha256":"([0-9a-f]{64})"')
_STRANGERS = {
    b"PK": "It is a zip archive, as PyTorch, NumPy and Stable-Baselines3 write.",
    b"\x80": "It looks like a pickle, which could run code when loaded; throughtime never opens one.",
    b"\x89HDF": "It is an HDF5 file.",
}
_MEND = "Restore the file from a copy, or go on from an older checkpoint."


class Metadata(NamedTuple):
    """What a checkpoint says about itself."""

    version: int  # of the file format
    step: int  # environment steps so far
    config: str  # TOML
    sha256: str  # of the tensor bytes


class Checkpoint(NamedTuple):
    """What is in a checkpoint."""

    arrays: dict[str, np.ndarray]  # by dotted path; typed keys as their uint32 data
    metadata: Metadata


def encode(arrays: Mapping[str, np.ndarray], config: str, step: int) -> list[bytes]:
    """The file's header and the bytes of each leaf, to be written one after another.

    Raises:
        CheckpointError: a leaf of a dtype that cannot be saved.
    """
    for name, array in arrays.items():
        if array.dtype not in _CODES:
            raise CheckpointError(
                f"Leaf {name!r} is of dtype {array.dtype}, which cannot be saved.",
                f"A checkpoint holds {', '.join(str(dtype) for dtype in _CODES)}.",
            )
    # Wide dtypes first, as safetensors itself does: so each leaf lies aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))
    blocks = [array.tobytes() for array in arrays.values()]
    sha256, crc32, leaves, end = hashlib.sha256(), {}, {}, 0
    for (name, array), block in zip(arrays.items(), blocks, strict=True):
        sha256.update(block)
        crc32[name] = zlib.crc32(block)
        offsets = [end, end := end + len(block)]
        leaves[name] = {"dtype": _CODES[array.dtype], "shape": array.shape, "data_offsets": offsets}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "step": str(step),
        "config": config,
        "sha256": sha256.hexdigest(),
        "crc32": json.dumps(crc32),
        "header_sha256": "0" * 64,
    }
    text = json.dumps({"__metadata__": metadata, **leaves}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    return [_with_digest(head, hashlib.sha256(head).hexdigest()), *blocks]


def decode(path: Path, data: bytes) -> Checkpoint:
    """What `encode` was given, every byte verified.

    Args:
        path: where the bytes are from, for messages.
        data: the whole file.

    Raises:
        CheckpointError: empty, truncated, damaged (names the leaf and its bytes, or the header's), of another
            format version, or nothing that `encode` wrote.
    """
    header, start = _read_header(path, data)
    try:
        metadata = header.pop("__metadata__")
        known = Metadata(VERSION, int(metadata["step"]), metadata["config"], metadata["sha256"])
        crc32 = json.loads(metadata["crc32"])
        spans = {name: [start + offset for offset in leaf["data_offsets"]] for name, leaf in header.items()}
        _verify_tensors(path, data, start, spans, known.sha256, crc32)
        arrays = {
            name: np.frombuffer(leaf["data"], _DTYPES[leaf["dtype"]]).reshape(leaf["shape"])
            for name, leaf in safetensors.deserialize(data)
        }
    except CheckpointError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, safetensors.SafetensorError) as error:
        # Its digest is right, so it is not damaged: something other than `encode` made it.
        what = f"The header of {path} is impossible (bytes 0 to {start})."
        raise CheckpointError(what, f"{type(error).__name__}: {error}.", _MEND) from error
    return Checkpoint(arrays, known)


def _with_digest(head: bytes, digest: str) -> bytes:
    return _DIGEST.sub(b'"header_sha256":"' + digest.encode() + b'"', head)


def _read_header(path: Path, data: bytes) -> tuple[dict[str, Any], int]:
    """The header, verified, and where the tensors start."""
    if not data:
        raise CheckpointError(f"The checkpoint {path} is empty.", "It has 0 bytes.", _MEND)
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or start > len(data):
        for magic, why in _STRANGERS.items():
            if data.startswith(magic):
                raise _foreign(path, why)
        what = f"The checkpoint {path} is truncated, or damaged in bytes 0 to 8."
        raise CheckpointError(what, f"Its header would end at byte {start}; the file has {len(data)}.", _MEND)
    head = data[:start]
    digest = _DIGEST.search(head)
    whole = digest is not None and (hashlib.sha256(_with_digest(head, "0" * 64)).hexdigest().encode() == digest[1])
    try:
        header = json.loads(head[8:])
        metadata = header.get("__metadata__") or {}
        marked, version = metadata.get("format") == FORMAT, metadata.get("version")
    except (ValueError, RecursionError, AttributeError) as error:
        offset = getattr(error, "pos", getattr(error, "start", None))  # of invalid JSON, or of invalid UTF-8
        where = f"bytes 0 to {start}" if offset is None else f"seen at byte {8 + offset}"
        raise CheckpointError(f"The header of {path} is damaged ({where}).", f"{error}.", _MEND) from error
    if digest is None and not marked:
        raise _foreign(path, "It is a safetensors file that throughtime did not write.")
    # Another version may have another digest, or none; a wrong digest of the kind that we know is damage.
    if version != str(VERSION) and (whole or digest is None):
        raise CheckpointError(
            f"The checkpoint {path} has format version {version}.",
            f"This throughtime reads version {VERSION}.",
            "Load it with the throughtime that wrote it.",
        )
    if not whole:
        what = f"The header of {path} is damaged (bytes 0 to {start})."
        raise CheckpointError(what, "Its sha256 is not the one it had when it was written.", _MEND)
    return header, start


def _verify_tensors(
    path: Path, data: bytes, start: int, spans: dict[str, list[int]], sha256: str, crc32: dict[str, int]
) -> None:
    """Raises if the tensor bytes are not those that were saved, naming the first leaf that differs."""
    size = max((end for _, end in spans.values()), default=start)
    if len(data) < size:
        name, (begin, end) = next(item for item in spans.items() if item[1][1] > len(data))
        raise CheckpointError(
            f"The checkpoint {path} is truncated at byte {len(data)}, in leaf {name!r} ({begin} to {end}).",
            f"It had {size} bytes when it was written.",
            _MEND,
        )
    if len(data) > size:
        what = f"The checkpoint {path} has {len(data) - size} bytes too many, from byte {size} on."
        raise CheckpointError(what, "Something was appended to it.", _MEND)
    tensors = memoryview(data)
    if hashlib.sha256(tensors[start:]).hexdigest() == sha256:
        return
    where = f"(bytes {start} to {size})"
    for name, (begin, end) in spans.items():
        if zlib.crc32(tensors[begin:end]) != crc32[name]:
            where = f"in leaf {name!r} (bytes {begin} to {end})"
            break
    why = "The sha256 of its tensors is not the one it had when it was written."
    raise CheckpointError(f"The checkpoint {path} is damaged {where}.", why, _MEND)


def _foreign(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is no checkpoint of throughtime.", why, "Name a step-….safetensors of a run.")
