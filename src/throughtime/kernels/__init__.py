"""Fused sequence kernels in C++, and the choice between them and pure XLA."""

from throughtime.kernels.choice import CHOICES, VARIABLE, chosen, kernels, native_here
from throughtime.kernels.fused import ACTIVATIONS, DTYPES, Kind, Layer, fused_layer
from throughtime.kernels.library import Library, library

__all__ = [
    "ACTIVATIONS",
    "CHOICES",
    "DTYPES",
    "VARIABLE",
    "Kind",
    "Layer",
    "Library",
    "chosen",
    "fused_layer",
    "kernels",
    "library",
    "native_here",
]
