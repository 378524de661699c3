"""An episode as a film: frames of coloured text, at the terminal, as a GIF, or as a strip of pictures."""

from throughtime.reports.watch.frame import Frame as Frame
from throughtime.reports.watch.frame import Span as Span
from throughtime.reports.watch.picture import write_gif as write_gif
from throughtime.reports.watch.picture import write_strip as write_strip
from throughtime.reports.watch.terminal import as_text as as_text
from throughtime.reports.watch.view import Shown as Shown
from throughtime.reports.watch.view import episode_frames as episode_frames
