"""Labels: how wide they are, and how their sub- and superscripts are written."""

import re
from xml.sax.saxutils import escape

Px = int | float

# Widths in em of DejaVu Sans, among the widest of the fonts that a page may show, so that text always fits.
_NARROW = {**dict.fromkeys("ijl|'′", 0.29), **dict.fromkeys(" .,:;·", 0.33), **dict.fromkeys("[]()ftr-", 0.41)}
_WIDE = {**dict.fromkeys("mMWw", 0.97), **dict.fromkeys("×=+−…⋯■", 0.86)}
_SMALL = 0.74  # of a sub- or superscript


def runs(label: str) -> list[tuple[str, str]]:
    """A label as (where, text): where is "", "_" or "^"."""
    return [
        (match[1], match[2].replace("-", "−")) if match[1] else ("", match[3])
        for match in re.finditer(r"([_^])\{([^}]*)\}|([^_^]+|[_^])", label)
    ]


def plain(label: str) -> str:
    """A label without marks: `h_{t-1}^{2}` is "h_t-1^2"."""
    return re.sub(r"[{}]", "", label)


def width(label: str, size: Px) -> Px:
    """An upper bound of a label's width in px at a font size in px."""
    em = 0.0
    for where, text in runs(label):
        scale = _SMALL if where else 1
        em += scale * sum(_NARROW.get(c) or _WIDE.get(c) or (0.69 if c.isupper() else 0.64) for c in text)
    return em * size


def tspans(label: str, size: Px) -> str:
    """A label as the inside of an SVG `<text>` element."""
    parts, shift = [], 0.0
    for where, text in runs(label):
        rise = {"": 0.0, "_": 0.24 * size, "^": -0.38 * size}[where]
        attributes = f' dy="{rise - shift:.2f}"' if rise != shift else ""
        attributes += f' font-size="{_SMALL * size:.4g}"' if where else ""
        shift = rise
        parts.append(f"<tspan{attributes}>{escape(text)}</tspan>" if attributes else escape(text))
    return "".join(parts)
