"""TD3 in one file, to be read from top to bottom and copied, as CleanRL's are.

It needs torch and Gymnasium, and knows nothing of delayed rewards:

    python single_file.py --id bagged_envs:BaggedHopper-v0 --steps 100000

Source: Fujimoto et al. 2018, arXiv:1802.09477; settings are those of CleanRL's `td3_continuous_action.py`, which begins
to learn after 25,000 steps.
"""

import argparse
import copy
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn
from torch.nn.functional import mse_loss


@dataclass(frozen=True)
class Settings:
    """Of TD3; noise is in halves of the range of actions."""

    learning_rate: float = 3e-4
    buffer_size: int = 1_000_000
    gamma: float = 0.99
    tau: float = 0.005
    batch_size: int = 256
    policy_noise: float = 0.2
    noise_clip: float = 0.5
    exploration_noise: float = 0.1
    learning_starts: int = 1_000
    policy_frequency: int = 2
    hidden: int = 256


def network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return two hidden layers and a linear one."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class Actor(nn.Module):
    """A policy that stays within the bounds of actions."""

    def __init__(self, observations: int, low: Tensor, high: Tensor, hidden: int) -> None:
        super().__init__()
        self.body = network(observations, hidden, len(low))
        self.scale, self.bias = (high - low) / 2, (high + low) / 2  # [A]

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions, `[B, A]`."""
        return self.bias + self.scale * torch.tanh(self.body(observation))


class Critics(nn.Module):
    """Two values of an observation and an action."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(network(inputs, hidden, 1) for _ in range(2))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return both values, `[B, 2]`."""
        both = torch.cat([observation, action], dim=1)
        return torch.cat([body(both) for body in self.bodies], dim=1)


class Buffer:
    """The last steps: observation, action, reward, whether it was terminal, next observation."""

    def __init__(self, capacity: int, observations: int, actions: int, seed: int) -> None:
        sizes = (observations, actions, 1, 1, observations)
        self.columns = [np.zeros((capacity, size), np.float32) for size in sizes]
        self.capacity, self.added, self.generator = capacity, 0, np.random.default_rng(seed)

    def add(self, *step: Any) -> None:
        """Keep a step in place of the oldest."""
        for column, value in zip(self.columns, step, strict=True):
            column[self.added % self.capacity] = value
        self.added += 1

    def sample(self, size: int) -> list[Tensor]:
        """Return the columns of random steps, `[size, _]`."""
        rows = self.generator.integers(min(self.added, self.capacity), size=size)
        return [torch.from_numpy(column[rows]) for column in self.columns]


class TD3:
    """Trains on an environment with a vector to observe and a vector to act with."""

    def __init__(self, env: gym.Env[Any, Any], seed: int, verbose: bool = False, **settings: Any) -> None:
        if not isinstance(env.action_space, Box) or not isinstance(env.observation_space, Box):
            raise TypeError(f"env must have a Box to observe and to act, got {env}: take another agent.")
        torch.manual_seed(seed)
        self.env, self.seed, self.verbose, self.settings = env, seed, verbose, Settings(**settings)
        self.low, self.high = torch.tensor(env.action_space.low).float(), torch.tensor(env.action_space.high).float()
        observations, actions = int(np.prod(env.observation_space.shape)), len(self.low)
        self.actor = Actor(observations, self.low, self.high, self.settings.hidden)
        self.critics = Critics(observations + actions, self.settings.hidden)
        self.target_actor, self.target_critics = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=self.settings.learning_rate)
        self.critics_optimizer = torch.optim.Adam(self.critics.parameters(), lr=self.settings.learning_rate)
        self.buffer = Buffer(self.settings.buffer_size, observations, actions, seed)
        self.returns: list[float] = []  # of whole episodes, by Gymnasium's RecordEpisodeStatistics

    def learn(self, steps: int) -> None:
        """Make so many steps, and from `learning_starts` on an update after each."""
        self.env.action_space.seed(self.seed)
        observation, _ = self.env.reset(seed=self.seed)
        for step in range(steps):
            started = step >= self.settings.learning_starts
            action = self.explore(observation) if started else self.env.action_space.sample()
            next_observation, reward, terminated, truncated, info = self.env.step(action)
            self.buffer.add(observation.ravel(), action, reward, terminated, next_observation.ravel())
            observation = next_observation
            if terminated or truncated:
                self.log(step, info)
                observation, _ = self.env.reset()
            if started:
                self.update(step % self.settings.policy_frequency == 0)

    def log(self, step: int, info: dict[str, Any]) -> None:
        """Note what a whole episode was paid."""
        self.returns.append(float(info["episode"]["r"]))
        if self.verbose:
            print(f"global_step={step + 1}, episodic_return={self.returns[-1]:.3f}")

    def act(self, observation: Any) -> Any:
        """Return the best action."""
        with torch.no_grad():
            return self.actor(torch.as_tensor(observation, dtype=torch.float32).reshape(1, -1))[0].numpy()

    def explore(self, observation: Any) -> Any:
        """Return the best action with noise."""
        action = torch.from_numpy(self.act(observation))
        noise = torch.randn_like(action) * self.settings.exploration_noise * self.actor.scale
        return (action + noise).clamp(self.low, self.high).numpy()

    def update(self, with_policy: bool) -> None:
        """Fit the critics to a batch; with the policy, improve it and move the targets."""
        observation, action, *rest = self.buffer.sample(self.settings.batch_size)
        target = self.target(*rest)
        values = self.critics(observation, action)
        loss = mse_loss(values[:, :1], target) + mse_loss(values[:, 1:], target)
        self.descend(self.critics_optimizer, loss)
        if with_policy:
            self.descend(self.actor_optimizer, -self.critics(observation, self.actor(observation))[:, 0].mean())
            self.follow(self.target_actor, self.actor)
            self.follow(self.target_critics, self.critics)

    @torch.no_grad()
    def target(self, reward: Tensor, terminated: Tensor, next_observation: Tensor) -> Tensor:
        """Return what both critics are fitted to, `[B, 1]`: the lesser value of a smoothed action, if not terminal."""
        action = self.target_actor(next_observation)
        noise = (torch.randn_like(action) * self.settings.policy_noise).clamp(
            -self.settings.noise_clip, self.settings.noise_clip
        )
        action = (action + noise * self.actor.scale).clamp(self.low, self.high)
        value: Tensor = self.target_critics(next_observation, action).amin(dim=1, keepdim=True)
        return reward + self.settings.gamma * (1 - terminated) * value

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Make a step of gradient descent."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    @torch.no_grad()
    def follow(self, target: nn.Module, network: nn.Module) -> None:
        """Move a target network towards the network."""
        for old, new in zip(target.parameters(), network.parameters(), strict=True):
            old.lerp_(new, self.settings.tau)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--id", default="bagged_envs:BaggedHopper-v0")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--learning-starts", type=int, default=Settings.learning_starts)
    chosen = parser.parse_args()
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(chosen.id))
    TD3(env, chosen.seed, verbose=True, learning_starts=chosen.learning_starts).learn(chosen.steps)
    env.close()
