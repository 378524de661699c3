"""Probes: what can be read from features (a memory's state) by a linear map or a small network, fitted afterwards.

A probe is fitted on some episodes and scored on others. Its target is a distribution (a belief, or the true class as a
one-hot row), fitted by cross-entropy, which differs from KL(target ‖ probed) by the target's own entropy alone; or a
vector (a state, the mean of a belief), fitted by least squares.

Reference: Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes", arXiv 1610.01644.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from throughtime.core import ConfigError

Kind = Literal["distribution", "vector"]
"""What is probed for: rows that sum to one, or any numbers."""

Model = Literal["linear", "mlp"]

RIDGE = 1e-5  # of the mean loss, on standardised features: enough to make the solution unique, too little to be seen
HIDDEN, UPDATES, BATCH, RATE = 64, 1_500, 512, 3e-3  # of the small network


@dataclass(frozen=True)
class Probe:
    """Standardised features, then one layer (linear) or two (tanh between); softmax at the end for distributions."""

    kind: Kind
    centre: Float[np.ndarray, " F"]
    scale: Float[np.ndarray, " F"]
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]  # weight [I, O] and bias [O] of each

    def __call__(self, features: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N K"]:
        """What is read from each row of features."""
        x = (features - self.centre) * self.scale
        for weight, bias in self.layers[:-1]:
            x = np.tanh(x @ weight + bias)
        y = x @ self.layers[-1][0] + self.layers[-1][1]
        return softmax(y, axis=1) if self.kind == "distribution" else y


def fit_probe(
    features: Float[np.ndarray, "N F"],
    targets: Float[np.ndarray, "N K"],
    kind: Kind,
    model: Model = "linear",
    *,
    seed: int = 0,
) -> Probe:
    """Fits a probe.

    Args:
        features: N examples; a feature that does not vary is left out of account.
        targets: what is to be read from them.
        kind: "distribution" (softmax regression, by L-BFGS) or "vector" (ridge regression in closed form).
        model: "linear", or "mlp" for one hidden layer of 64 tanh units trained by Adam (1,500 batches of 512).
        seed: of the small network's weights and batches.

    Raises:
        ConfigError: no examples, or features or targets that are not finite or do not belong together.
    """
    _check(features, targets, kind)
    centre, spread = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    scale = np.where(spread > 1e-8, 1.0 / np.maximum(spread, 1e-8), 0.0)
    x, y = (features - centre) * scale, targets.astype(float)
    if model == "mlp":
        layers = _network(x, y, kind, seed)
    elif kind == "vector":
        layers = (_ridge(x, y),)
    else:
        layers = (_softmax_regression(x, y),)
    return Probe(kind, centre, scale, layers)


def _check(features: np.ndarray, targets: np.ndarray, kind: Kind) -> None:
    if len(features) != len(targets) or not len(features):
        raise ConfigError(
            f"{len(features)} rows of features, {len(targets)} of targets.", "A probe needs examples.", "Give as many."
        )
    for name, array in (("features", features), ("targets", targets)):
        if not np.isfinite(array).all():
            raise ConfigError(
                f"The {name} of a probe are not finite.",
                f"Row {int(np.argmin(np.isfinite(array).all(axis=1)))} holds a NaN or an infinity.",
                "Look where it comes from.",
            )
    if kind == "distribution" and (targets.min() < 0 or np.abs(targets.sum(axis=1) - 1).max() > 1e-3):
        raise ConfigError("A row of targets is no distribution.", "It has to sum to one.", 'Write kind="vector".')


def _ridge(x: Float[np.ndarray, "N F"], y: Float[np.ndarray, "N K"]) -> tuple[np.ndarray, np.ndarray]:
    """Least squares with a small penalty; x has mean zero, so that the bias is the targets' mean."""
    gram = x.T @ x / len(x) + RIDGE * np.eye(x.shape[1])
    return np.linalg.solve(gram, x.T @ (y - y.mean(axis=0)) / len(x)), y.mean(axis=0)


def _softmax_regression(x: Float[np.ndarray, "N F"], y: Float[np.ndarray, "N K"]) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression on soft targets: convex, so that there is one answer."""
    N, F, K = len(x), x.shape[1], y.shape[1]
    ones = np.concatenate([x, np.ones((N, 1))], axis=1)
    penalty = np.full((F + 1, 1), RIDGE)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(F + 1, K)
        logits = ones @ weights
        gradient = ones.T @ (softmax(logits, axis=1) - y) / N + penalty * weights
        value = -np.mean((y * log_softmax(logits, axis=1)).sum(axis=1)) + 0.5 * (penalty * weights**2).sum()
        return float(value), gradient.ravel()

    start = np.zeros((F + 1, K))
    start[-1] = np.log(np.maximum(y.mean(axis=0), 1e-6))
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-8})
    weights = found.x.reshape(F + 1, K)
    return weights[:-1], weights[-1]


def _network(x: Float[np.ndarray, "N F"], y: Float[np.ndarray, "N K"], kind: Kind, seed: int):
    """One hidden layer; vectors are learned in units of their own spread."""
    centre, spread = (y.mean(axis=0), np.maximum(y.std(axis=0), 1e-8)) if kind == "vector" else (0.0, 1.0)
    scaled = jnp.asarray((y - centre) / spread, jnp.float32)
    layers = jax.device_get(_train(jnp.asarray(x, jnp.float32), scaled, kind, seed))
    (w1, b1), (w2, b2) = (tuple(np.asarray(a, float) for a in layer) for layer in layers)
    return (w1, b1), (w2 * spread, b2 * spread + centre)


def _train(x: Float[Array, "N F"], y: Float[Array, "N K"], kind: Kind, seed: int):
    return _compiled(x, y, jnp.uint32(seed), kind == "distribution")


def _updates(x: Float[Array, "N F"], y: Float[Array, "N K"], seed: Array, distribution: bool):
    """Adam with a cosine schedule, all of it one compiled loop."""
    N, F, K = x.shape[0], x.shape[1], y.shape[1]
    key_1, key_2, key = jax.random.split(jax.random.key(seed), 3)
    layers = (
        (jax.random.normal(key_1, (F, HIDDEN)) / jnp.sqrt(F), jnp.zeros(HIDDEN)),
        (jax.random.normal(key_2, (HIDDEN, K)) / jnp.sqrt(HIDDEN), jnp.zeros(K)),
    )
    optimiser = optax.adam(optax.cosine_decay_schedule(RATE, UPDATES))

    def loss(layers, x, y):
        (w1, b1), (w2, b2) = layers
        z = jnp.tanh(x @ w1 + b1[None]) @ w2 + b2[None]
        if distribution:
            return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z), axis=1))
        return jnp.mean((z - y) ** 2)

    def body(i, carry):
        layers, state = carry
        rows = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), 0, N)
        gradient = jax.grad(loss)(layers, x[rows], y[rows])
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, state = optimiser.update(gradient, state)
        return jax.tree.map(jnp.add, layers, updates), state

    return jax.lax.fori_loop(0, UPDATES, body, (layers, optimiser.init(layers)))[0]


_compiled = jax.jit(_updates, static_argnums=3)
