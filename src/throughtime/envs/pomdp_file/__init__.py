"""Environments from files in Cassandra's .POMDP format."""

from throughtime.envs.pomdp_file.ceilings import Ceilings as Ceilings
from throughtime.envs.pomdp_file.environment import PREFIX as PREFIX
from throughtime.envs.pomdp_file.environment import PomdpFile as PomdpFile
from throughtime.envs.pomdp_file.model import Model as Model
from throughtime.envs.pomdp_file.parser import parse_model as parse_model
from throughtime.envs.pomdp_file.parser import read_model as read_model
