"""Floor 8: benchmarks. Layers and recurrent PPO beside their peers, and how both grow with their sizes.

`throughtime bench` runs them. Nothing is imported here: a worker process imports no more than it measures.
"""
