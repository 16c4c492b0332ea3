"""Who learns from delayed rewards: the top floor of the library.

Redistributors turn the bags of an environment and their labels into a reward per step (`redistributors`); learners are
trained on them (`learners`); trajectories, a store of episodes, evaluation and checkpoints stand between. `training`
runs them together; `sb3` and `learned_reward` put redistributors inside other libraries. They may import `bagged_envs`
and `bagged_envs.wrappers`; nothing below may import them. All of it needs torch.
"""
