"""Settings of PPO for the agents of a team, who share one policy and each learn from their own steps (IPPO, MAPPO)."""

from __future__ import annotations

from bagged_envs.baselines.learners.ppo import PPOConfig

# Only a discount of 1.0 keeps what redistribution promises of returns (learner.discount=1); where nothing but a time
# limit ends episodes it needs `TeamConfig.finite_horizon`. Agents' steps make a rollout large: minibatches of 512 take
# two thirds of the time of those of 256.
IPPO = PPOConfig(minibatch=512, entropy_weight=0.01)

# What the official code of STAS and LaRe has on particle tasks; its learning rate and clip also go to 0 over the run,
# which `TeamConfig.decay_steps` says, and the time limit ends the task, which `TeamConfig.finite_horizon` says. Unlike
# there: the entropy is the true one, a rollout is gone through in whole epochs, and values are not clipped.
IPPO_PAPER = PPOConfig(
    minibatch=128,
    entropy_weight=0.01,
    discount=1.0,
    learning_rate=1e-4,
    clip=0.5,
    value_loss="huber",
    max_grad_norm=10.0,
)
