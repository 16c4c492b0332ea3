"""Batches for learners that need some."""

import torch

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners.ppo import Rollout

SIZE, ACTIONS = 3, 2


def transitions(seed, rows=8, size=SIZE, actions=ACTIONS):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return Transitions(
        normal(rows, size),
        normal(rows, actions).clamp(-1.0, 1.0),
        normal(rows),
        normal(rows, size),
        (normal(rows) > 1.0).float(),
    )


def rollout(seed, rows=8):
    made = transitions(seed, rows)
    last = made.terminated.bool()
    last[rows // 2] = True
    return Rollout(**vars(made), last=last)


def linear(learner_network, weights, biases):
    """Give a network without hidden layers its weights, member by member where there are some."""
    with torch.no_grad():
        learner_network.weights[0].copy_(torch.tensor(weights).reshape(learner_network.weights[0].shape))
        learner_network.biases[0].copy_(torch.tensor(biases).reshape(learner_network.biases[0].shape))


def near(values):
    return torch.as_tensor(values, dtype=torch.float32)
