"""Small bags for redistributors."""

import torch

from bagged_envs.baselines.api import BagBatch


def batch(observations, actions, labels, *, following=None, mask=None, labeled=None):
    """Bags of `[B, L, A, D]` observations and `[B, L, A, U]` actions; what is not given is whole, labeled and zero."""
    observations, actions = torch.as_tensor(observations).float(), torch.as_tensor(actions).float()
    mask = torch.ones(observations.shape[:3], dtype=torch.bool) if mask is None else torch.as_tensor(mask)
    labels = torch.as_tensor(labels).float()
    if following is None:
        following = torch.cat([observations[:, 1:], observations[:, -1:]], dim=1)
    return BagBatch(
        observations=observations,
        actions=actions,
        next_observations=torch.as_tensor(following).float(),
        mask=mask,
        label=labels,
        labeled=torch.ones(len(labels), dtype=torch.bool) if labeled is None else torch.as_tensor(labeled),
        length=mask.any(dim=2).sum(dim=1),
        context=mask,
        paid=torch.zeros(mask.shape),
    )


def random_batch(seed, bags=5, steps=7, agents=1, size=3, choices=2, ragged=True, **fields):
    """Bags of random numbers, of different lengths where ragged."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(bags, steps, agents, dtype=torch.bool)
    if ragged:
        for bag in range(bags):
            mask[bag, steps - bag % 3 :] = False
    seen = torch.randn(bags, steps + 1, agents, size, generator=generator)
    return batch(
        seen[:, :-1],
        torch.randn(bags, steps, agents, choices, generator=generator),
        torch.randn(bags, generator=generator) * 20 - 5,
        following=seen[:, 1:],
        **{"mask": mask, **fields},
    )
