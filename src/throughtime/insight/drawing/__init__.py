"""Drawings of memories, folded and unfolded: read from the memory itself, as SVG and as Mermaid text."""

from throughtime.insight.drawing.figure import Format as Format
from throughtime.insight.drawing.figure import Forms as Forms
from throughtime.insight.drawing.figure import describe as describe
from throughtime.insight.drawing.figure import draw as draw
from throughtime.insight.drawing.graph import Drawing as Drawing
from throughtime.insight.drawing.graph import Edge as Edge
from throughtime.insight.drawing.graph import Graph as Graph
from throughtime.insight.drawing.graph import Node as Node
from throughtime.insight.drawing.graph import Weight as Weight
from throughtime.insight.drawing.subject import Architecture as Architecture
from throughtime.insight.drawing.subject import Model as Model
