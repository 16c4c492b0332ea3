"""PPO in one file, in CleanRL's manner, on `gym.make_vec` of a late-rewarded ID."""

import argparse

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

import bagged_envs


def layer(inputs, outputs, gain=2**0.5):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        observations, actions = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
        self.critic = nn.Sequential(layer(observations, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0))
        self.mean = nn.Sequential(
            layer(observations, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, actions, 0.01)
        )
        self.log_std = nn.Parameter(torch.zeros(actions))

    def policy(self, observations):
        return Normal(self.mean(observations), self.log_std.exp())

    def value(self, observations):
        return self.critic(observations).squeeze(-1)


def tensor(array):
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)


def train(arguments):
    torch.manual_seed(arguments.seed)
    schedule = {} if arguments.bag_len is None else {"bag_len": arguments.bag_len}
    envs = gym.make_vec(f"bagged_envs:{arguments.id}", arguments.num_envs, vectorization_mode="sync", **schedule)
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=arguments.learning_rate, eps=1e-5)
    low, high = envs.single_action_space.low, envs.single_action_space.high
    observation = tensor(envs.reset(seed=arguments.seed)[0])
    only_reset = torch.zeros(arguments.num_envs, dtype=torch.bool)
    for iteration in range(1, arguments.total_timesteps // (arguments.num_steps * arguments.num_envs) + 1):
        steps, returns = [], []
        for _ in range(arguments.num_steps):
            with torch.no_grad():
                policy, value = agent.policy(observation), agent.value(observation)
                action = policy.sample()
            observation_before = observation
            observation, reward, terminated, truncated, infos = envs.step(np.clip(action.numpy(), low, high))
            observation = tensor(observation)
            ended = torch.as_tensor(terminated | truncated)
            log_prob = policy.log_prob(action).sum(-1)
            # With NEXT_STEP autoreset the step after an end only resets: it is no transition. The observation before
            # it is the episode's last, and its value is what a truncated episode is worth from there on.
            steps.append(
                (observation_before, action, log_prob, value, tensor(reward), tensor(terminated), ended, ~only_reset)
            )
            only_reset = ended
            if ended.any():
                returns += infos["episode"]["r"][ended.numpy()].tolist()
        update(agent, optimizer, [torch.stack(column) for column in zip(*steps, strict=True)], observation, arguments)
        if returns:
            print(f"{iteration * arguments.num_steps * arguments.num_envs} steps: paid return {np.mean(returns):.1f}")
    envs.close()
    return agent


def update(agent, optimizer, rollout, observation, arguments):
    observations, actions, log_probs, values, rewards, terminated, ended, valid = rollout
    with torch.no_grad():
        next_values = torch.cat([values[1:], agent.value(observation)[None]])
    errors = rewards + arguments.gamma * next_values * (1.0 - terminated) - values
    advantages, running = torch.zeros_like(errors), torch.zeros(errors.shape[1])
    for t in reversed(range(len(errors))):
        running = errors[t] + arguments.gamma * arguments.gae_lambda * running * ~ended[t]
        advantages[t] = running
    targets = (advantages + values)[valid]
    observations, actions, log_probs, advantages = (x[valid] for x in (observations, actions, log_probs, advantages))
    for _ in range(arguments.epochs):
        for batch in torch.randperm(len(targets)).split(arguments.batch_size):
            policy = agent.policy(observations[batch])
            ratio = (policy.log_prob(actions[batch]).sum(-1) - log_probs[batch]).exp()
            advantage = advantages[batch]
            advantage = (advantage - advantage.mean()) / (advantage.std(unbiased=False) + 1e-8)
            clipped = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
            loss = -clipped.mean() + 0.5 * (agent.value(observations[batch]) - targets[batch]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def evaluate(agent, id, episodes=5):
    """The mean dense return of the policy's mode."""
    env = bagged_envs.dense(id)
    returns = []
    for seed in range(episodes):
        observation, over, total = env.reset(seed=10_000 + seed)[0], False, 0.0
        while not over:
            with torch.no_grad():
                action = agent.mean(tensor(observation)).numpy()
            observation, reward, terminated, truncated, _ = env.step(
                np.clip(action, env.action_space.low, env.action_space.high)
            )
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return float(np.mean(returns))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", default="BaggedInvertedPendulum-v0")
    parser.add_argument("--bag-len", type=int, help="for Bagged IDs; left out, the ID's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--num-steps", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"dense return: {evaluate(train(chosen), chosen.id):.1f}")
