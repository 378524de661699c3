"""Bounds of finite POMDPs from their tables: the best policy with memory, and the best one without."""

from throughtime.envs.solver.bounds import Bounds as Bounds
from throughtime.envs.solver.bounds import solve as solve
from throughtime.envs.solver.memoryless import solve_memoryless as solve_memoryless
