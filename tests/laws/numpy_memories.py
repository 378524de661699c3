"""The memories once more, in NumPy and float64, from the equations: what the library is compared with.

Plain loops over rows and time, one vector at a time; nothing of the library's arithmetic is used. A reference
is a function `(memory, options) -> (initial, step)`, where `initial` is a list of vectors and
`step(state, x) -> (state, y)`.
"""

import numpy as np

ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
    "softplus": lambda x: np.log(1.0 + np.exp(x)),
    "tanh": np.tanh,
}
sigmoid = ACTIVATIONS["sigmoid"]


def numbers(array):
    return np.asarray(array, np.float64)


def start(learned, size):
    return np.zeros(size) if learned is None else numbers(learned)


def gates(memory):
    """Each gate's parameters by name."""
    return {g: {name: numbers(a) for name, a in memory.gate(g).items()} for g in memory.gates}


def readout(layer, g):
    weight_hy, bias_y = numbers(layer.weight_hy), numbers(layer.bias_y)
    return lambda h: ACTIVATIONS[g](h @ weight_hy + bias_y)


def elman(memory, options):
    f = ACTIVATIONS[options.get("f", "tanh")]
    weight_xh, weight_hh, bias_h = map(numbers, (memory.weight_xh, memory.weight_hh, memory.bias_h))
    out = readout(memory.readout, options.get("g", "identity")) if "output_size" in options else None

    def step(state, x):
        h = f(x @ weight_xh + state[0] @ weight_hh + bias_h)
        return [h], (h if out is None else out(h))

    return [start(memory.initial_h, bias_h.size)], step


def jordan(memory, options):
    f = ACTIVATIONS[options.get("f", "tanh")]
    weight_xh, weight_yh, bias_h = map(numbers, (memory.weight_xh, memory.weight_yh, memory.bias_h))
    out = readout(memory.readout, options.get("g", "identity"))

    def step(state, x):
        y = out(f(x @ weight_xh + state[0] @ weight_yh + bias_h))
        return [y], y

    return [start(memory.initial_y, weight_yh.shape[0])], step


def lstm(memory, options):
    W = gates(memory)

    def total(name, x, h, c):
        w = W[name]
        peephole = w["weight_ch"] * c if options.get("peepholes") and name != "candidate" else 0.0
        return x @ w["weight_xh"] + h @ w["weight_hh"] + w["bias_h"] + peephole

    def step(state, x):
        h, c = state
        i = sigmoid(total("input", x, h, c))
        f = sigmoid(total("forget", x, h, c))
        n = np.tanh(total("candidate", x, h, c))
        c = f * c + i * n
        o = sigmoid(total("output", x, h, c))
        h = o * np.tanh(c)
        return [h, c], h

    size = memory.output_size
    return [start(memory.initial_h, size), start(memory.initial_c, size)], step


def gru(memory, options):
    W = gates(memory)

    def step(state, x):
        (h,) = state
        W_r, W_z, W_n = W["reset"], W["update"], W["candidate"]
        r = sigmoid(x @ W_r["weight_xh"] + h @ W_r["weight_hh"] + W_r["bias_h"])
        z = sigmoid(x @ W_z["weight_xh"] + h @ W_z["weight_hh"] + W_z["bias_h"])
        if options.get("reset", "after") == "after":
            recurrent = r * (h @ W_n["weight_hh"] + W_n["bias_hn"])
        else:
            recurrent = (r * h) @ W_n["weight_hh"]
        n = np.tanh(x @ W_n["weight_xh"] + W_n["bias_h"] + recurrent)
        h = (1.0 - z) * n + z * h
        return [h], h

    return [start(memory.initial_h, memory.output_size)], step


def lru(memory, options):
    """In complex numbers, where the library has pairs of real ones."""
    weights = {name: numbers(a) for name, a in vars(memory).items() if hasattr(a, "shape")}
    W_xh = weights["weight_xh_re"] + 1j * weights["weight_xh_im"]
    W_hy = weights["weight_hy_re"] + 1j * weights["weight_hy_im"]
    eigenvalue = np.exp(-np.exp(weights["nu_log"]) + 1j * np.exp(weights["theta_log"]))
    gamma = np.exp(weights["gamma_log"])

    def step(state, x):
        h = eigenvalue * (state[0] + 1j * state[1]) + gamma * (x @ W_xh)
        return [h.real, h.imag], (h @ W_hy).real + x @ weights["weight_xy"]

    return [start(memory.initial_h_re, gamma.size), start(memory.initial_h_im, gamma.size)], step


def mingru(memory, options):
    W = gates(memory)

    def step(state, x):
        z = sigmoid(x @ W["update"]["weight_xh"] + W["update"]["bias_h"])
        n = x @ W["candidate"]["weight_xh"] + W["candidate"]["bias_h"]
        h = (1.0 - z) * state[0] + z * n
        return [h], h

    return [start(memory.initial_h, memory.output_size)], step


def minlstm(memory, options):
    W = gates(memory)

    def step(state, x):
        f, i = (sigmoid(x @ W[g]["weight_xh"] + W[g]["bias_h"]) for g in ("forget", "input"))
        n = x @ W["candidate"]["weight_xh"] + W["candidate"]["bias_h"]
        h = f / (f + i) * state[0] + i / (f + i) * n
        return [h], h

    return [start(memory.initial_h, memory.output_size)], step


def tdnn(memory, options):
    f = ACTIVATIONS[options.get("f", "tanh")]
    taps, dilation = options.get("taps", 4), options.get("dilation", 1)
    weight, bias = numbers(memory.weight_xh), numbers(memory.bias_h)
    delay = (taps - 1) * dilation

    def step(state, x):
        seen = [*state[0], x]  # the present input last
        total = bias
        for k in range(taps):
            total = total + seen[len(seen) - 1 - k * dilation] @ weight[k]
        return [np.array(seen[1:]).reshape(delay, x.size)], f(total)

    return [start(memory.initial_window, (delay, weight.shape[1]))], step


def none(memory, options):
    f = ACTIVATIONS[options.get("f", "tanh")]
    weight_xh, bias_h = numbers(memory.weight_xh), numbers(memory.bias_h)
    return [], lambda state, x: (state, f(x @ weight_xh + bias_h))


REFERENCES = {
    "elman": elman,
    "jordan": jordan,
    "lstm": lstm,
    "gru": gru,
    "lru": lru,
    "mingru": mingru,
    "minlstm": minlstm,
    "tdnn": tdnn,
    "none": none,
}


def stack(layers, residual):
    """`layers`: the `(initial, step)` of each."""
    sizes = [len(initial) for initial, _ in layers]

    def step(state, x):
        states, y, first = [], x, 0
        for (_, layer_step), size in zip(layers, sizes, strict=True):
            layer_state, out = layer_step(state[first : first + size], y)
            states += layer_state
            first += size
            y = out + y if residual and out.size == y.size else out
        return states, y

    return [vector for initial, _ in layers for vector in initial], step


def with_readout(inner, layer, g):
    initial, inner_step = inner
    out = readout(layer, g)

    def step(state, x):
        state, h = inner_step(state, x)
        return state, out(h)

    return initial, step


def run(reference, xs, resets):
    """`xs [T, B, I]`, `resets [T, B]` -> final states (a list of vectors for each row), `ys [T, B, O]`."""
    initial, step = reference
    T, B = resets.shape
    ys, finals = [[] for _ in range(B)], []
    for b in range(B):
        state = initial
        for t in range(T):
            if resets[t, b]:
                state = initial
            state, y = step(state, np.asarray(xs[t, b], np.float64))
            ys[b].append(y)
        finals.append(state)
    return finals, np.array(ys).swapaxes(0, 1)
