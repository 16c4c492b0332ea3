"""Who earned it, and when: one of three agents acts, the others only seem to, and all is paid at the end."""

import pytest
import torch

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.judging.fit import hidden
from bagged_envs.baselines.redistributors import make_redistributor
from tests.baselines.batches import drawn
from tests.baselines.programs import EVERYTHING
from tests.baselines.redistributors.sequence_bags import correlation

STEPS, AGENTS = 6, 3
OBSERVATION, ACTION = 4, 2
ATTENTION = {"width": 32, "layers": 1, "learning_rate": 3e-3}

# Which methods find out who: name -> (settings, updates).
OVER_TIME_AND_AGENTS = {
    "rd": ({"learning_rate": 1e-3}, 200),
    "rrd_unbiased": ({"learning_rate": 1e-3, "steps": 4}, 300),
    # With more coalitions at once, whoever sees the one who acts is paid nearly as well.
    "stas": ({**ATTENTION, "draws": 1}, 300),
    "tar2": ({**ATTENTION, "draws": 1}, 200),
    "lare_rd": ({"learning_rate": 1e-3, "factors": EVERYTHING}, 200),
}
# Which find out when.
OVER_TIME = {**OVER_TIME_AND_AGENTS, "arel": ({**ATTENTION, "variance_weight": 0.0}, 100)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bags(count: int, seed: int) -> BagBatch:
    """Bags in which one agent's action earns 1 or -1 in each step, and the others' earn nothing.

    Each agent observes whether it is the one, its last action, and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (count, STEPS, AGENTS)
    action = torch.randint(2, shape, generator=generator)
    acts = torch.nn.functional.one_hot(torch.randint(AGENTS, (count,), generator=generator), AGENTS)
    acts = acts[:, None].expand(shape)
    noise = torch.randn(*shape, 2, generator=generator)
    last = torch.cat((torch.zeros_like(action[:, :1]), action[:, :-1]), dim=1)
    before, after = (torch.cat((torch.stack((acts, one), dim=3).float(), noise), dim=3) for one in (last, action))
    dense = acts * (2.0 * action - 1.0)
    there, label = torch.ones(shape, dtype=torch.bool), dense.sum(dim=(1, 2))
    return BagBatch(
        before, torch.nn.functional.one_hot(action, ACTION).float(), after, there, label,
        torch.ones(count, dtype=torch.bool), torch.full((count,), STEPS), there, torch.zeros(shape), dense,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found():
    """What each method says of held-out bags, whose labels it does not see, once it is asked for."""
    known: dict[str, torch.Tensor] = {}
    store, held_out = bags(2048, seed=1), hidden(bags(200, seed=2))

    def ask(name: str) -> torch.Tensor:
        if name not in known:
            settings, updates = OVER_TIME[name]
            redistributor = make_redistributor(name, OBSERVATION, ACTION, agents=AGENTS, **settings)
            generator = torch.Generator().manual_seed(1)
            for number in range(updates):
                batch = store.select(torch.randint(store.num_bags, (32,), generator=generator))
                redistributor.update(drawn(batch, redistributor.sampling, number))
            known[name] = redistributor.relabel(held_out)
        return known[name]

    return ask


@pytest.fixture(scope="module")
def truth():
    return bags(200, seed=2).dense


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(OVER_TIME))
def test_when_it_was_earned(name, found, truth):
    assert correlation(found(name).sum(dim=2), truth.sum(dim=2)) >= 0.9


@pytest.mark.parametrize("name", sorted(OVER_TIME_AND_AGENTS))
def test_who_earned_it(name, found, truth):
    assert correlation(found(name), truth) >= 0.9
