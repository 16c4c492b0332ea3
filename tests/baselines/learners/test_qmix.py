"""QMIX: its equations by literal numbers, its targets by plain loops, and agents that know nothing of each other."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.checkpoint import fingerprint
from bagged_envs.baselines.learners.qmix import (
    QMIX,
    QMIX_PYMARL2,
    QMIX_STAS,
    Mixer,
    QMIXConfig,
    best,
    double_values,
    lambda_targets,
    masked_loss,
    mixed,
)
from tests.baselines.learners.episodes import AGENTS, CHOICES, SIZE, episodes

SPACE = spaces.MultiDiscrete([CHOICES] * AGENTS)
SMALL = QMIXConfig(hidden=8, embed=4, hypernet=(6,), target_every=3)


def learner(seed=0, **settings):
    return QMIX(SIZE, SPACE, replace(SMALL, **settings), seed=seed)


def seen(worlds=5, seed=0, agents=AGENTS):
    return torch.rand(worlds, agents, SIZE, generator=torch.Generator().manual_seed(seed))


def chosen(actions):
    return actions.argmax(dim=2).tolist()


def test_the_mixer_in_numbers():
    # Rashid et al. 2018, figure 2: 1 + 2 * 2 + 0.5 = 5.5, and 1 + 2 * 0.5 - 3 = -1, of which ELU is exp(-1) - 1.
    first = torch.tensor([[[1.0, -1.0], [-2.0, 0.5]]])
    total = mixed(
        torch.tensor([[1.0, 2.0]]),
        first,
        torch.tensor([[0.5, -3.0]]),
        torch.tensor([[-1.0, 2.0]]),
        torch.tensor([0.25]),
    )
    assert total.tolist() == pytest.approx([5.5 + 2.0 * (np.exp(-1.0) - 1.0) + 0.25])


@pytest.mark.law
@given(
    st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3),
    st.integers(0, 2),
    st.floats(0, 50, width=32),
    st.sampled_from([(), (6,)]),
    st.integers(0, 2**32),
)
def test_the_teams_value_never_falls_when_an_agents_rises(values, agent, rise, hypernet, seed):
    draw = torch.Generator().manual_seed(seed)
    mixer = Mixer(5, 3, replace(SMALL, hypernet=hypernet), draw).double()
    states = 3.0 * torch.randn(1, 5, generator=draw, dtype=torch.float64)
    before = torch.tensor([values], dtype=torch.float64)
    after = before.clone()
    after[0, agent] += rise
    with torch.no_grad():
        low, high = mixer(before, states).item(), mixer(after, states).item()
    assert high >= low - 1e-9 * (1.0 + abs(low))


def test_the_best_actions_are_allowed_ones():
    values = torch.tensor([[1.0, 5.0, 3.0], [-9.0, -2.0, -3.0], [4.0, 6.0, 5.0]])
    allowed = torch.tensor([[True, False, True], [True, False, False], [False, False, False]])
    assert best(values, allowed).tolist() == [2, 0, 1]  # where nothing is allowed, everything is


def test_double_q_in_numbers():
    online = torch.tensor([[[1.0, 2.0, 9.0], [3.0, 2.0, 1.0]]])
    target = torch.tensor([[[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]])
    everything = torch.ones(1, 2, 3, dtype=torch.bool)
    assert double_values(online, target, everything).tolist() == [[30.0, 40.0]]
    assert double_values(online, target, everything & torch.tensor([True, True, False])).tolist() == [[20.0, 40.0]]


class TestTargets:
    REWARDS = torch.tensor([[1.0, 2.0, 4.0]])
    NEXT = torch.tensor([[10.0, 20.0, 40.0]])
    TRUNCATED, TERMINATED = torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]])

    def targets(self, lam, terminated=TRUNCATED, learned=(True, True, True)):
        return lambda_targets(self.REWARDS, self.NEXT, terminated, torch.tensor([learned]), 0.5, lam).tolist()

    def test_of_one_step(self):
        assert self.targets(0.0) == [[6.0, 12.0, 24.0]]  # 1 + 10 / 2, 2 + 20 / 2, 4 + 40 / 2
        assert self.targets(0.0, self.TERMINATED) == [[6.0, 12.0, 4.0]]

    def test_of_several_steps(self):
        # 4 + 40 / 2 = 24; 2 + (20 + 24) / 4 = 13; 1 + (10 + 13) / 4 = 6.75.
        assert self.targets(0.5) == [[6.75, 13.0, 24.0]]
        # 4; 2 + (20 + 4) / 4 = 8; 1 + (10 + 8) / 4 = 5.5.
        assert self.targets(0.5, self.TERMINATED) == [[5.5, 8.0, 4.0]]
        # Whole returns: 4 + 20, 2 + 12, 1 + 7.
        assert self.targets(1.0) == [[8.0, 14.0, 24.0]]

    def test_a_step_that_is_not_learned_from_ends_what_is_looked_at(self):
        assert self.targets(1.0, learned=(True, False, True))[0][0] == 6.0
        assert self.targets(1.0, learned=(True, True, False))[0][:2] == [7.0, 12.0]  # padding: 2 + 10, and 1 + 6

    @given(st.integers(0, 2**32), st.booleans(), st.sampled_from([0.0, 0.6, 1.0]))
    def test_they_are_those_of_the_recursion_from_behind(self, seed, ends, lam):
        """G_T = V_T where the task goes on; G_t = lam d G_{t+1} + r_t + (1 - lam) d (1 - end_t) V_{t+1}."""
        draw = torch.Generator().manual_seed(seed)
        rewards, values = torch.rand(2, 1, 6, generator=draw, dtype=torch.float64)
        terminated = torch.zeros(1, 6, dtype=torch.float64)
        terminated[0, -1] = float(ends)
        expected, after = [], 0.0 if ends else values[0, -1].item()
        for reward, value, end in zip(*(one[0].tolist()[::-1] for one in (rewards, values, terminated)), strict=True):
            after = lam * 0.9 * after + reward + (1.0 - lam) * 0.9 * (1.0 - end) * value
            expected.append(after)
        found = lambda_targets(rewards, values, terminated, torch.ones(1, 6, dtype=torch.bool), 0.9, lam)
        assert found[0].tolist() == pytest.approx(expected[::-1])


def test_the_loss_is_a_mean_over_steps_that_are_learned_from():
    learned = torch.tensor([[True, True], [True, False]])
    values = torch.tensor([[1.0, 2.0], [3.0, torch.nan]])
    assert masked_loss(values, torch.tensor([[1.0, 4.0], [8.0, 0.0]]), learned).item() == pytest.approx((4 + 25) / 3)


def plain_values(network, batch, row):
    """Values `[T + 1, A, U]` of one episode, agent by agent and step by step."""
    length, found = int(batch.learned[row].sum()), []
    for agent in range(AGENTS):
        hidden, last, told = torch.zeros(1, SMALL.hidden), torch.zeros(CHOICES), []
        for step in range(length + 1):
            number = torch.eye(AGENTS)[agent]
            inputs = torch.cat((batch.observations[row, step, agent], last, number))
            values, hidden = network(inputs[None, None], hidden)
            told.append(values[0, 0])
            last = batch.actions[row, step, agent] if step < length else last
        found.append(torch.stack(told))
    return torch.stack(found, dim=1)


@torch.no_grad()
def plain_targets(one, batch, row):
    """One-step targets of one episode: the last observation counts unless the task itself ended."""
    online, target = (plain_values(network, batch, row) for network in (one.agent, one.target_agent))
    found = []
    for step in range(len(online) - 1):
        after, values = step + 1, torch.zeros(AGENTS)
        for agent in range(AGENTS):
            legal = [u for u in range(CHOICES) if batch.allowed[row, after, agent, u]] or range(CHOICES)
            choice = max(legal, key=lambda u, agent=agent, after=after: online[after, agent, u])
            values[agent] = target[after, agent, choice] * batch.present[row, after, agent]
        total = one.target_mixer(values[None], batch.observations[row, after].flatten()[None])
        goes_on = 1.0 - batch.terminated[row, step]
        found.append((batch.rewards[row, step] + one.config.discount * goes_on * total[0]).item())
    return found


def trained(**settings):
    """A learner whose target networks are not the others."""
    one = learner(learning_rate=0.03, **settings)
    for seed in range(2):
        one.update(episodes(seed=seed))
    return one


def test_targets_are_those_of_plain_loops():
    one, batch = trained(), episodes(seed=5)
    found = one.targets(batch)
    for row, learned in enumerate(batch.learned):
        assert found[row][learned].tolist() == pytest.approx(plain_targets(one, batch, row), abs=1e-5)
    assert one.targets(replace(batch, terminated=torch.zeros_like(batch.terminated)))[0, 2] != found[0, 2]


def test_the_values_of_absent_agents_do_not_matter():
    one, batch = learner(), episodes()
    present, values = batch.present.clone(), torch.rand(3, 5, AGENTS, generator=torch.Generator().manual_seed(0))
    present[..., 1] = False
    alone, steps = replace(batch, present=present), slice(None, -1)
    without = one._totals(one.mixer, values, alone, steps)
    assert torch.equal(without, one._totals(one.mixer, values * torch.tensor([1.0, 9.0]), alone, steps))
    assert not torch.equal(without, one._totals(one.mixer, values, batch, steps))


@pytest.mark.parametrize("td_lambda", [0.0, 0.6])
def test_padding_never_counts(td_lambda):
    one, two, three = (learner(td_lambda=td_lambda) for _ in range(3))
    first = one.update(episodes(padding=0.0))
    assert two.update(episodes(padding=50.0)) == pytest.approx(first, rel=1e-5)
    assert three.update(episodes(padding=50.0, columns=9)) == pytest.approx(first, rel=1e-5)
    for name, value in one.agent.state_dict().items():
        torch.testing.assert_close(value, three.agent.state_dict()[name])


def test_only_steps_that_are_learned_from_move_anything():
    batch = episodes()
    learned = batch.learned.clone()
    learned[0, 1] = False
    rewards = batch.rewards.clone()
    rewards[0, 1] = 1e6
    one, two = learner(), learner()
    expected = one.update(replace(batch, learned=learned))
    assert two.update(replace(batch, learned=learned, rewards=rewards)) == expected
    assert fingerprint(one.state_dict()) == fingerprint(two.state_dict())


def test_targets_become_the_networks_after_so_many_updates():
    one, same = learner(), []
    for seed in range(6):
        one.update(episodes(seed=seed))
        pairs = ((one.agent, one.target_agent), (one.mixer, one.target_mixer))
        same.append([fingerprint(a.state_dict()) == fingerprint(b.state_dict()) for a, b in pairs])
    assert same == [[False] * 2, [False] * 2, [True] * 2] * 2


@pytest.mark.long
def test_updates_fit_what_was_paid():
    one, batch = learner(learning_rate=0.01, discount=0.0), episodes()
    losses = [one.update(batch)["loss"] for _ in range(200)]
    assert losses[-1] < 0.05 * losses[0]


def greedy(favorite=0, **settings):
    """A learner that likes one action best, whatever it sees."""
    one = learner(**settings)
    with torch.no_grad():
        one.agent.last.biases[0].zero_()[favorite] = 100.0
    return one


def test_each_agent_explores_by_itself():
    """One draw for all would let both deviate or none, but for random actions that are the best: in 0.1875 of worlds.

    With a draw each an agent deviates with probability 0.5 * 0.75, exactly one of two in 2 * 0.375 * 0.625 of worlds.
    """
    actions, _ = greedy().act(seen(4000), epsilon=0.5)
    deviates = actions.argmax(dim=2) != 0
    assert deviates.float().mean(dim=0).tolist() == pytest.approx([0.375, 0.375], abs=0.03)
    assert (deviates.sum(dim=1) == 1).float().mean().item() == pytest.approx(2 * 0.375 * 0.625, abs=0.03)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_what_is_not_allowed_is_never_done(epsilon):
    allowed = torch.rand(300, AGENTS, CHOICES, generator=torch.Generator().manual_seed(0)) < 0.4
    allowed[..., 1] |= ~allowed.any(dim=2)
    actions, _ = greedy(favorite=3).act(seen(300), None, allowed, epsilon=epsilon)
    assert (actions.bool() & allowed).any(dim=2).all()
    assert actions.sum(dim=2).eq(1.0).all()
    tried = {int(action) for row in actions.argmax(dim=2).tolist() for action in row}
    assert tried == set(range(CHOICES))  # where the best is not allowed, others are done


def test_random_actions_are_all_as_likely():
    allowed = torch.tensor([True, False, True, True]).expand(6000, AGENTS, -1)
    actions, _ = greedy().act(seen(6000), None, allowed, epsilon=1.0)
    assert actions.mean(dim=(0, 1)).tolist() == pytest.approx([1 / 3, 0.0, 1 / 3, 1 / 3], abs=0.02)


def test_agents_that_are_gone_do_not_explore():
    present = torch.tensor([True, False]).expand(200, -1)
    actions, _ = greedy().act(seen(200), None, torch.ones(200, 2, CHOICES, dtype=torch.bool), present, 1.0)
    assert actions[:, 1].argmax(dim=1).unique().tolist() == [0]
    assert actions[:, 0].argmax(dim=1).unique().tolist() == [0, 1, 2, 3]


def test_without_exploring_nothing_is_drawn():
    one = learner()
    before = one.generator.get_state()
    first, _ = one.act(seen())
    again, _ = one.act(seen())
    assert torch.equal(first, again)
    assert torch.equal(one.generator.get_state(), before)
    one.act(seen(), epsilon=0.1)
    assert not torch.equal(one.generator.get_state(), before)


def played(one, worlds):
    """Greedy actions `[T][W][A]` of worlds, `[W, T, A, D]`, whose episodes begin."""
    memory, found = None, []
    for observations in worlds.unbind(dim=1):
        actions, memory = one.act(observations, memory)
        found.append(actions)
    return torch.stack(found)


def test_worlds_and_episodes_know_nothing_of_each_other():
    one = trained()
    worlds = 3.0 * torch.randn(6, 9, AGENTS, SIZE, generator=torch.Generator().manual_seed(1))
    together, order = played(one, worlds), [3, 0, 5, 1, 4, 2]
    assert torch.equal(played(one, worlds[order]), together[:, order])
    assert torch.equal(played(one, worlds), together)  # the memory begins anew
    assert torch.equal(torch.cat([played(one, world[None]) for world in worlds], dim=1), together)
    forgetful = torch.stack([one.act(step)[0] for step in worlds.unbind(dim=1)])
    assert not torch.equal(forgetful, together)  # so there is something that could be mixed up


def test_agents_are_told_apart_and_share_the_rest():
    one = trained()
    observations = seen()[:, :1].expand(-1, AGENTS, -1)
    values, _ = one.agent(one._inputs(observations, torch.zeros(5, AGENTS, CHOICES)).flatten(0, 1)[None], one._blank(5))
    first, second = values[0].view(5, AGENTS, CHOICES).unbind(dim=1)
    assert not torch.allclose(first, second)


def test_the_values_that_are_learned_are_those_that_are_acted_on():
    one, batch = trained(), episodes((6, 6), padding=0.0)
    values, memory = one._values(one.agent, batch), None
    for step in range(7):
        actions, after = one.act(batch.observations[:, step], memory)
        assert chosen(actions) == values[:, step].argmax(dim=2).tolist()
        memory = after._replace(actions=batch.actions[:, step] if step < 6 else after.actions)


def test_exploring_goes_down_in_a_straight_line():
    config = QMIXConfig(epsilon=0.9, final_epsilon=0.1, epsilon_steps=100)
    assert [config.epsilon_at(steps) for steps in (0, 50, 100, 1000)] == pytest.approx([0.9, 0.5, 0.1, 0.1])


def test_published_settings():
    assert (QMIX_STAS.hypernet, QMIX_STAS.batch, QMIX_STAS.learning_rate, QMIX_STAS.epsilon_steps) == (
        (), 128, 5e-4, 30_000,
    )  # fmt: skip
    assert (QMIX_PYMARL2.td_lambda, QMIX_PYMARL2.learning_rate, QMIX_PYMARL2.epsilon_steps) == (0.6, 1e-3, 100_000)
    linear, deep = (Mixer(5, 3, config, torch.Generator().manual_seed(0)) for config in (QMIX_STAS, QMIXConfig()))
    assert [weight.shape for weight in linear.first.weights] == [(96, 5)]
    assert [weight.shape for weight in deep.first.weights] == [(64, 5), (96, 64)]
    assert [weight.shape for weight in deep.offset.weights] == [(32, 5), (1, 32)]


def go_on(one, count=4):
    """Updates and actions; returns all that was seen."""
    return [(one.update(episodes(seed=seed)), chosen(one.act(seen(), epsilon=0.5)[0])) for seed in range(count)]


def test_seeds_decide_everything_and_global_random_states_nothing():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, other = learner(), learner(1)
    expected = go_on(one)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        same = learner()
        assert go_on(same) == expected
    assert fingerprint(same.state_dict()) == fingerprint(one.state_dict()) != fingerprint(other.state_dict())


def test_saving_and_going_on_is_going_on():
    one, two = learner(), learner(7)
    go_on(one, 2)
    one.decay(0.5)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    two.load_state_dict(torch.load(file, weights_only=True))
    assert two.optimizer.param_groups[0]["lr"] == 0.5 * SMALL.learning_rate
    saved = one.state_dict()
    held = fingerprint(saved)
    assert go_on(two) == go_on(one)
    assert fingerprint(two.state_dict()) == fingerprint(one.state_dict()) != held == fingerprint(saved)


@pytest.mark.parametrize("name", ["observations", "rewards"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_changes_nothing(name, value):
    one, good = trained(), episodes(seed=9)
    before = fingerprint(one.state_dict())
    spoiled = getattr(good, name).clone()
    spoiled[0, 0] = value
    with pytest.raises(FloatingPointError, match="The loss of QMIX is .* changed nothing"):
        one.update(replace(good, **{name: spoiled}))
    assert fingerprint(one.state_dict()) == before


def test_a_gradient_that_is_not_finite_changes_nothing():
    one = trained()
    before = fingerprint(one.state_dict())
    one.mixer.offset.biases[0].register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(FloatingPointError, match="The gradient of QMIX is not finite"):
        one.update(episodes())
    assert fingerprint(one.state_dict()) == before


@pytest.mark.parametrize(
    ("space", "came"),
    [
        (spaces.Box(-1, 1, (2, 3)), r"Box\(-1.0, 1.0, \(2, 3\), float32\)"),
        (spaces.Discrete(3), r"Discrete\(3\)"),
        (spaces.MultiDiscrete([3, 4]), r"MultiDiscrete\(\[3 4\]\)"),
    ],
)
def test_other_actions_are_refused(space, came):
    with pytest.raises(TypeError, match=f"action_space must be MultiDiscrete, .* got {came}: .*use ippo or mappo for"):
        QMIX(SIZE, space, seed=0)


def test_episodes_of_other_sizes_are_refused():
    other = QMIX(SIZE + 1, SPACE, SMALL, seed=0)
    with pytest.raises(ValueError, match="observations of 4 elements, 4 actions and 2 agents, got 3, 4 and 2"):
        other.update(episodes())
    batch = episodes()
    with pytest.raises(ValueError, match="batch must have a step to learn from, got none"):
        learner().update(replace(batch, learned=torch.zeros_like(batch.learned)))
    for name, value in (("rewards", batch.rewards[:, 1:]), ("present", batch.present[:, 1:])):
        with pytest.raises(ValueError, match=rf"{name} must be \[3, "):
            replace(batch, **{name: value})
    with pytest.raises(ValueError, match="left must be from 0 to 1, got 2"):
        learner().decay(2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    ours, theirs = (QMIX(SIZE, SPACE, SMALL, seed=0, device=device) for device in ("cpu", "cuda"))
    assert chosen(ours.act(seen())[0]) == chosen(theirs.act(seen())[0])
    theirs.update(episodes().to("cuda"))
    ours.load_state_dict(theirs.state_dict())
    assert chosen(ours.act(seen())[0]) == chosen(theirs.act(seen())[0])
