"""Floor 4: insight. What a memory is and what it does, made visible."""

from throughtime.insight.drawing import Drawing as Drawing
from throughtime.insight.drawing import describe as describe
from throughtime.insight.drawing import draw as draw
