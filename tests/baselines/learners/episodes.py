"""Episodes of teams for the tests of QMIX: of different lengths, with deaths, masks and garbage in the padding."""

import torch

from bagged_envs.baselines.api import TeamEpisodes

SIZE, AGENTS, CHOICES = 3, 2, 4


def episodes(lengths=(3, 5, 1), seed=0, padding=7.0, columns=None):
    """Random episodes; the first and every second one after it ends truly, the others by a time limit."""
    draw = torch.Generator().manual_seed(seed)
    count, longest = len(lengths), columns or max(lengths)
    length = torch.tensor(lengths)[:, None]
    there, seen = torch.arange(longest) < length, torch.arange(longest + 1) <= length
    drawn = max(lengths)

    def random(*shape):
        values = torch.rand(count, drawn + 1, AGENTS, *shape, generator=draw)
        return torch.cat((values, torch.zeros(count, longest - drawn, AGENTS, *shape)), dim=1)

    observations = torch.where(seen[..., None, None], random(SIZE), padding)
    chosen = random(CHOICES)[:, :-1].argmax(dim=3)
    actions = torch.nn.functional.one_hot(chosen, CHOICES).float()
    allowed = (random(CHOICES) < 0.6) & seen[..., None, None]
    present = (random() < 0.8) & seen[..., None]
    present[..., 0] = seen  # somebody is
    rewards = torch.where(there, 4.0 * random()[:, :-1, 0] - 2.0, padding)
    terminated = torch.where((torch.arange(longest) == length - 1) & (torch.arange(count) % 2 == 0)[:, None], 1.0, 0.0)
    return TeamEpisodes(observations, actions, allowed, present, rewards, terminated, there)
