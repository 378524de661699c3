"""Every test runs with shapes and dtypes checked at run time, and with no silent promotion."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jaxtyping import install_import_hook

# On in tests, free in production: each annotated function checks its arrays against its annotation.
install_import_hook("throughtime", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
