"""Settings of PPO for the agents of a team, who share one policy and each learn from their own steps (IPPO, MAPPO)."""

from __future__ import annotations

from bagged_envs.baselines.learners.ppo import PPOConfig

# A discount of 0.99 learns faster; only 1.0 keeps what redistribution promises of returns (learner.discount=1).
# Agents' steps make a rollout large: with minibatches of 256, ten epochs over equal shares made the policy worse in 30
# iterations of CooperativeNavigation with three agents, with 512 they made it better, in two thirds of the time.
IPPO = PPOConfig(minibatch=512, entropy_weight=0.01)

# What the official code of STAS and LaRe has on particle tasks; its learning rate and clip also go to 0 over the run,
# which `TeamConfig.decay_steps` says. Unlike there: the entropy is the true one, a rollout is gone through in whole
# epochs, values are not clipped, and the time limit does not count as an end of the task.
IPPO_PAPER = PPOConfig(
    minibatch=128,
    entropy_weight=0.01,
    discount=1.0,
    learning_rate=1e-4,
    clip=0.5,
    value_loss="huber",
    max_grad_norm=10.0,
)
