"""What this machine is, and how fast it multiplies matrices: the measure for everything else."""

import os
import platform
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from throughtime.bench.timing import Work
from throughtime.kernels import native_here

SGEMM_SIZE = 1024
SGEMM_FLOPS = 2 * SGEMM_SIZE**3


def sgemm() -> dict[str, Work]:
    """A square float32 product of `SGEMM_SIZE` by XLA and, where it is installed, by torch; the faster one counts."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(SGEMM_SIZE, SGEMM_SIZE)).astype(np.float32) for _ in range(2))
    xa, xb, product = jnp.asarray(a), jnp.asarray(b), jax.jit(jnp.matmul)
    work: dict[str, Work] = {"sgemm xla": lambda: product(xa, xb).block_until_ready()}
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return work
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    return work | {"sgemm torch": lambda: ta @ tb}


def facts(*packages: str) -> dict[str, str]:
    """Processor, cores, versions, and which kernels run."""
    versions = {}
    for name in ("jax", "numpy", *packages):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "python": platform.python_version(),
        **versions,
        "kernels": native_here()[1],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
