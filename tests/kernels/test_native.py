"""The C++ alone: under the address and undefined-behaviour sanitizers, and on arm64 in an emulator."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src" / "throughtime" / "kernels" / "native"
STRICT = ["-std=c++17", "-O1", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-pthread"]
SANITIZE = ["-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
CPUINFO = Path("/proc/cpuinfo")
FLAGS = CPUINFO.read_text().replace("avx512dq", "avx512") if CPUINFO.exists() else ""
ISAS = {
    "portable": (16, []),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "avx512": (64, ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]),
}


def build(compiler, isas, flags, folder):
    """tests/kernels/check.cc with these instruction sets: the program."""

    def compiled(source, name, *more):
        target = folder / f"{name}.o"
        subprocess.run([compiler, *STRICT, *flags, *more, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    x86 = ["-DTHROUGHTIME_X86"] if "avx2" in isas else []
    objects = [compiled(HERE / "check.cc", "check"), compiled(NATIVE / "instruction_set.cc", "instruction_set", *x86)]
    for name in isas:
        size, machine = ISAS[name]
        defines = [f"-DTHROUGHTIME_ISA={name}", f"-DTHROUGHTIME_VECTOR_BYTES={size}"]
        objects.append(compiled(NATIVE / "isa.cc", name, *defines, *machine))
    program = folder / "check"
    subprocess.run([compiler, *STRICT, *flags, *objects, "-o", str(program)], check=True)
    return str(program)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_sanitizers_find_nothing_and_results_are_right(tmp_path):
    isas = ["portable", "avx2", "avx512"] if platform.machine() == "x86_64" else ["portable"]
    program = build("g++", isas, SANITIZE, tmp_path)
    for isa in isas:
        run = subprocess.run([program], env=os.environ | {"THROUGHTIME_ISA": isa}, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        if isa == "portable" or isa in FLAGS:  # another one runs where the processor lacks it
            assert run.stdout.startswith(f"{isa}: 0 of "), run.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-g++") and shutil.which("qemu-aarch64-static")),
    reason="needs a compiler for arm64 and qemu",
)
def test_arm64_compiles_and_is_right(tmp_path):
    program = build("aarch64-linux-gnu-g++", ["portable"], ["-static"], tmp_path)
    run = subprocess.run(["qemu-aarch64-static", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "portable: 0 of " in run.stdout
