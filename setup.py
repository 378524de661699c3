"""Compiles the native kernels, one version for each instruction set; goes on without them where that fails.

THROUGHTIME_BUILD in the environment: "auto" (the default), "require" (a failure ends the installation) or "skip".
Everything else is in pyproject.toml.
"""

import hashlib
import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("src/throughtime/kernels/native")
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-ffp-contract=fast", "-fvisibility=hidden", "-Wno-psabi"]
ISAS = {"portable": (16, [])}  # name: bytes of a vector, flags
if platform.machine() in ("x86_64", "AMD64"):
    ISAS |= {
        "avx2": (32, ["-mavx2", "-mfma"]),
        "avx512": (64, ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]),
    }


class BuildKernels(build_ext):
    """isa.cc once for each instruction set with its own flags, which one Extension cannot say."""

    def build_extension(self, ext: Extension) -> None:
        """Compiles and links; a failure is told and, unless it was required, left at that."""
        wanted = os.environ.get("THROUGHTIME_BUILD", "auto")
        if wanted not in ("auto", "require", "skip"):
            raise SystemExit(f"THROUGHTIME_BUILD is {wanted!r}; it is auto, require or skip")
        if wanted == "skip":
            return
        try:
            self._compile(ext)
        except Exception as error:
            if wanted == "require":
                raise
            print(f"throughtime: no native kernels ({error}); the pure XLA path will be used", file=sys.stderr)

    def _compile(self, ext: Extension) -> None:
        import jax.ffi  # its headers are all that is needed

        x86 = [("THROUGHTIME_X86", "1")] if "avx2" in ISAS else []
        include = ["-isystem", jax.ffi.include_dir()]
        build = Path(self.build_temp)

        def compiled(source: str, folder: str, macros: list, flags: list) -> list[str]:
            return self.compiler.compile(
                [str(NATIVE / source)],
                output_dir=str(build / folder),
                macros=macros,
                extra_postargs=[*FLAGS, *flags],
                depends=ext.depends,
            )

        files = sorted([*NATIVE.glob("*.h"), *NATIVE.glob("*.cc")])
        checksum = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        sources = [("THROUGHTIME_SOURCES", f'"{checksum}"')]
        # The plainest objects first: of functions that several have in common the linker takes the first.
        objects = compiled("ffi.cc", "common", sources, include) + compiled("instruction_set.cc", "common", x86, [])
        for name, (size, flags) in ISAS.items():
            macros = [("THROUGHTIME_ISA", name), ("THROUGHTIME_VECTOR_BYTES", str(size))]
            objects += compiled("isa.cc", name, macros, flags)
        target = self.get_ext_fullpath(ext.name)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(objects, target, target_lang="c++")


setup(
    ext_modules=[
        Extension(
            "throughtime.kernels._native",
            sources=[str(NATIVE / name) for name in ("ffi.cc", "instruction_set.cc", "isa.cc")],
            depends=[str(path) for path in sorted(NATIVE.glob("*.h"))],
            optional=True,
            language="c++",
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
