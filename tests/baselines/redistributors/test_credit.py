"""Who earned it, and when: one of three agents acts, the others only seem to, and all is paid at the end."""

import pytest
import torch

from bagged_envs.baselines.api import BagBatch, Redistributor
from bagged_envs.baselines.judging.fit import hidden
from bagged_envs.baselines.random_bags import drawn
from bagged_envs.baselines.redistributors import make_redistributor
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
    "lare_rrd_unbiased": ({"learning_rate": 1e-3, "steps": 4, "factors": EVERYTHING}, 300),
    "imputer": ({"learning_rate": 1e-3}, 200),
    # With fewer steps than a bag has, who did not act is paid a little of what was left out.
    "rrd": ({"learning_rate": 1e-3, "steps": STEPS}, 400),
    "grd": ({"learning_rate": 1e-3}, 250),
}
# Which find out when.
OVER_TIME = {**OVER_TIME_AND_AGENTS, "arel": ({**ATTENTION, "variance_weight": 0.0}, 100)}


def affordable(names):
    """The names as parameters; GRD's updates take longer than all others together."""
    return [pytest.param(name, marks=pytest.mark.slow) if name == "grd" else name for name in sorted(names)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bags(count: int, seed: int, worst: float = -1.0) -> BagBatch:
    """Bags in which one agent's action earns 1 or `worst` in each step, and the others' earn nothing.

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
    dense = acts * (action + worst * (1 - action))
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
            known[name] = fitted(name, store).relabel(held_out)
        return known[name]

    return ask


def fitted(name: str, store: BagBatch) -> Redistributor:
    settings, updates = OVER_TIME[name]
    redistributor = make_redistributor(name, OBSERVATION, ACTION, agents=AGENTS, **settings)
    generator = torch.Generator().manual_seed(1)
    for number in range(updates):
        batch = store.select(torch.randint(store.num_bags, (32,), generator=generator))
        redistributor.update(drawn(batch, redistributor.sampling, number))
    return redistributor


@pytest.fixture(scope="module")
def truth():
    return bags(200, seed=2).dense


@pytest.mark.long
@pytest.mark.parametrize("name", affordable(OVER_TIME))
def test_when_it_was_earned(name, found, truth):
    assert correlation(found(name).sum(dim=2), truth.sum(dim=2)) >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("name", affordable(OVER_TIME_AND_AGENTS))
def test_who_earned_it(name, found, truth):
    assert correlation(found(name), truth) >= 0.9


@pytest.mark.long
def test_shares_of_a_return_go_to_who_earned_it_where_nothing_is_lost():
    """What TAR2 pays has the sign of the return: losses on the way to a gain are paid as gains."""
    asked = {worst: bags(200, seed=2, worst=worst) for worst in (0.0, -1.0)}
    paid = {worst: fitted("tar2", bags(2048, seed=1, worst=worst)).relabel(batch) for worst, batch in asked.items()}
    assert correlation(paid[0.0], asked[0.0].dense) >= 0.95
    assert correlation(paid[-1.0], asked[-1.0].dense) < 0.7
