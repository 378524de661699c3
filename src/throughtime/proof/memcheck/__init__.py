"""memcheck: does a policy, a rollout or an environment, in any framework, handle its state correctly?"""
