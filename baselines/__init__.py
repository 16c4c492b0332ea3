"""Who learns from delayed rewards: the top floor of the library.

Reference learners arrive here: redistributors, which turn the bags of an environment and their labels into a reward
per step, and the learners trained on them. They may import `bagged_envs` and `bagged_envs.wrappers`; nothing below may
import them. There are none yet.
"""
