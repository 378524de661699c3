"""The exact belief of a POMDP, and probes for what a memory knows of it."""

from throughtime.insight.belief.bayes import bayes_filter as bayes_filter
from throughtime.insight.belief.bayes import exact_belief as exact_belief
from throughtime.insight.belief.bayes import observation_indices as observation_indices
from throughtime.insight.belief.kalman import GaussianBelief as GaussianBelief
from throughtime.insight.belief.kalman import kalman_filter as kalman_filter
from throughtime.insight.belief.probe import Probe as Probe
from throughtime.insight.belief.probe import fit_probe as fit_probe
from throughtime.insight.belief.projection import Projection as Projection
from throughtime.insight.belief.projection import principal_plane as principal_plane
from throughtime.insight.belief.scores import accuracy as accuracy
from throughtime.insight.belief.scores import mean_gaussian_kl as mean_gaussian_kl
from throughtime.insight.belief.scores import mean_kl as mean_kl
from throughtime.insight.belief.scores import r_squared as r_squared
