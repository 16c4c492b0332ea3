"""PPO's equations by hand, its distributions, and two toys."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from bagged_envs.baselines.learners import ppo
from bagged_envs.baselines.learners.ppo import PPO, PPOConfig, Rollout
from tests.baselines.learners.batches import near, rollout, transitions

ONES, TWOS = near([1.0, 1.0, 1.0]), near([2.0, 2.0, 2.0])


class TestAdvantages:
    """Rewards 1, 2, 3, every value 1, every next value 2, discount and lambda one half."""

    def found(self, terminated, last):
        last = torch.tensor(last, dtype=torch.bool)
        return ppo.advantages(near([1.0, 2.0, 3.0]), ONES, TWOS, near(terminated), last, 0.5, 0.5).tolist()

    def test_termination_stops_bootstrapping(self):
        # deltas 1 + 1 - 1, 2 + 1 - 1, 3 - 1; A2 = 2, A1 = 2 + 2 / 4, A0 = 1 + 2.5 / 4
        assert self.found([0.0, 0.0, 1.0], [0, 0, 1]) == [1.625, 2.5, 2.0]

    def test_truncation_bootstraps_and_ends_the_run(self):
        # deltas 1, 2, 3; A1 = 2 alone, A0 = 1 + 2 / 4, and the next run's A2 = 3
        assert self.found([0.0, 0.0, 0.0], [0, 1, 1]) == [1.5, 2.0, 3.0]

    def test_the_rollouts_end_bootstraps_too(self):
        # deltas 1, 2, 3; A1 = 2 + 3 / 4, A0 = 1 + 2.75 / 4
        assert self.found([0.0, 0.0, 0.0], [0, 0, 0]) == [1.6875, 2.75, 3.0]

    def test_a_termination_in_between(self):
        # delta1 = 2 - 1; A1 = 1, A0 = 1 + 1 / 4
        assert self.found([0.0, 1.0, 0.0], [0, 1, 0]) == [1.25, 1.0, 3.0]


def test_clipped_surrogate():
    # min(1.5, 1.2), min(0.5, 0.8), min(-1.5, -1.2), min(-0.5, -0.8): a mean of -0.15
    log_ratio = near([1.5, 0.5, 1.5, 0.5]).log()
    assert ppo.clipped_surrogate(log_ratio, near([1.0, 1.0, -1.0, -1.0]), 0.2).item() == pytest.approx(0.15)


def test_value_loss():
    assert ppo.value_loss(near([1.0, 3.0]), near([3.0, 3.0]), "mse").item() == 1.0
    # 10 (20 - 5), and 0.5 * 2^2
    assert ppo.value_loss(near([0.0, 1.0]), near([20.0, 3.0]), "huber").item() == 76.0


def gaussian(low, high, log_std=0.0):
    return ppo.ClippedGaussian(spaces.Box(low, high, (1,)), log_std, torch.device("cpu"))


class TestClippedGaussian:
    def test_by_hand(self):
        found = gaussian(-1.0, 1.0).log_probs(torch.zeros(3, 1), near([[0.0], [1.0], [-1.0]]))
        # log phi(0); log Phi(-1) twice
        torch.testing.assert_close(found, near([-0.918939, -1.841022, -1.841022]))

    def test_all_probabilities_add_up_to_one(self):
        choice = gaussian(-1.0, 1.0, math.log(0.7))
        inside = torch.linspace(-1.0, 1.0, 20_001)[1:-1, None]
        mean = torch.full_like(inside, 0.4)
        mass = choice.log_probs(mean, inside).exp().sum() * 1e-4
        bounds = choice.log_probs(mean[:2], near([[-1.0], [1.0]])).exp().sum()
        assert (mass + bounds).item() == pytest.approx(1.0, abs=1e-3)

    @pytest.mark.parametrize(("low", "high"), [(0.1, 0.4), (-3.0, 1000.0), (-0.7, 0.1)])
    def test_bounds_are_known_in_any_units(self, low, high):
        choice = gaussian(np.float32(low), np.float32(high))
        actions = choice.mode(near([[5.0], [-5.0]]))
        found = choice.log_probs(torch.zeros(2, 1), actions)
        torch.testing.assert_close(found, near([-1.841022, -1.841022]))

    def test_gradients_are_finite_far_out(self):
        choice, mean = gaussian(-1.0, 1.0, -5.0), near([[30.0], [-30.0]]).requires_grad_()
        choice.log_probs(mean, near([[-1.0], [0.3]])).sum().backward()
        assert torch.isfinite(mean.grad).all()
        assert torch.isfinite(choice.log_std.grad).all()

    def test_entropy(self):
        assert gaussian(-1.0, 1.0).entropy(torch.zeros(2, 1)).tolist() == pytest.approx([1.418939] * 2)


class TestCategorical:
    logits = near([[0.0, math.log(3.0), 5.0, 5.0, 5.0]])

    def test_probabilities_by_hand(self):
        choice = ppo.Categorical([2, 3])
        actions = near([[0.0, 1.0, 1.0, 0.0, 0.0]])
        assert choice.log_probs(self.logits, actions).exp().item() == pytest.approx(0.75 / 3)
        entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) + math.log(3.0)
        assert choice.entropy(self.logits).item() == pytest.approx(entropy)

    def test_samples(self):
        choice, generator = ppo.Categorical([2, 3]), torch.Generator().manual_seed(0)
        actions = choice.sample(self.logits.expand(10_000, -1), generator)
        assert actions[:, :2].sum(dim=1).eq(1.0).all()
        assert actions[:, 2:].sum(dim=1).eq(1.0).all()
        torch.testing.assert_close(actions.mean(dim=0), near([0.25, 0.75, 1 / 3, 1 / 3, 1 / 3]), atol=0.02, rtol=0.0)

    def test_mode(self):
        assert ppo.Categorical([2]).mode(self.logits[:, :2]).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(3), spaces.Discrete(3, start=5), spaces.MultiDiscrete([2, 3]), spaces.Box(-2.0, 0.5, (3,))],
)
def test_actions_are_flattened_as_gymnasium_does_it(space):
    learner = PPO(2, space, seed=0)
    for row in learner.act(torch.zeros(20, 2), explore=True):
        action = spaces.unflatten(space, row.numpy())
        assert space.contains(action)
        assert spaces.flatten(space, action).tolist() == row.tolist()


def test_estimates_by_hand():
    """Values are zero at first: returns are advantages, and the truncated step has its own next value."""
    learner = PPO(1, spaces.Discrete(2), PPOConfig(hidden=(), gae_lambda=1.0, discount=0.5), seed=0)
    with torch.no_grad():
        for parameter in learner.value.parameters():
            parameter.zero_()
        learner.value.weights[0].fill_(1.0)  # V(s) = s
    batch = Rollout(
        near([[1.0], [2.0], [1.0]]), near([[1.0, 0.0]] * 3), near([1.0, 1.0, 1.0]), near([[2.0], [8.0], [4.0]]),
        near([0.0, 0.0, 1.0]), torch.tensor([False, True, True]),
    )  # fmt: skip
    log_probs, gains, returns = learner.estimates(batch)
    # 1 + 0.5 (1 + 0.5 * 8), 1 + 0.5 * 8, 1: what follows a truncation counts, what follows a termination does not.
    torch.testing.assert_close(returns, near([3.5, 5.0, 1.0]))
    raw = near([2.5, 3.0, 0.0])
    torch.testing.assert_close(gains, (raw - raw.mean()) / raw.std(correction=0))
    torch.testing.assert_close(log_probs, learner.log_probs(batch.observations, batch.actions))


def test_log_probs_of_another_policy_are_used():
    learner = PPO(3, spaces.Box(-1.0, 1.0, (2,)), seed=0)
    given = torch.zeros(8)
    assert learner.estimates(dataclasses.replace(rollout(0), log_probs=given))[0] is given


def test_the_loss_adds_its_parts():
    learner = PPO(3, spaces.Box(-1.0, 1.0, (2,)), PPOConfig(entropy_weight=0.1, value_weight=0.25), seed=0)
    batch = rollout(0)
    loss, parts = learner.loss(batch.observations, batch.actions, *learner.estimates(batch))
    policy, value, entropy, divergence = parts.tolist()
    assert loss.item() == pytest.approx(policy + 0.25 * value - 0.1 * entropy, rel=1e-5)
    assert policy == pytest.approx(0.0, abs=1e-6)  # a ratio of one and normalized advantages
    assert entropy == pytest.approx(2 * 1.418939, rel=1e-5)
    assert divergence == pytest.approx(0.0, abs=1e-6)


def test_every_step_is_seen_once_an_epoch():
    learner = PPO(3, spaces.Box(-1.0, 1.0, (2,)), PPOConfig(epochs=2, minibatch=3), seed=0)
    seen, loss = [], learner.loss

    def spy(observations, *others):
        seen.append(observations)
        return loss(observations, *others)

    learner.loss = spy
    batch = rollout(0)
    learner.update(batch)
    assert [len(part) for part in seen] == [3, 3, 2, 3, 3, 2]
    for epoch in (torch.cat(seen[:3]), torch.cat(seen[3:])):
        assert sorted(epoch.tolist()) == sorted(batch.observations.tolist())


def test_a_loss_that_fails_midway_changes_nothing():
    learner = PPO(3, spaces.Box(-1.0, 1.0, (2,)), PPOConfig(epochs=2, minibatch=4), seed=0)
    before, loss, calls = learner.state_dict(), learner.loss, []

    def failing(*arguments):
        calls.append(1)
        found, parts = loss(*arguments)
        return (found if len(calls) < 3 else found * float("nan")), parts

    learner.loss = failing
    with pytest.raises(FloatingPointError, match="changed nothing"):
        learner.update(rollout(0))
    after = learner.state_dict()
    assert all(torch.equal(value, after["policy"][name]) for name, value in before["policy"].items())
    assert torch.equal(before["choice"][0], after["choice"][0])
    assert torch.equal(before["generator"], after["generator"])
    assert len(calls) == 3


def test_errors_name_what_must_hold():
    learner = PPO(3, spaces.Box(-1.0, 1.0, (2,)), seed=0)
    with pytest.raises(TypeError, match="PPO learns from a Rollout"):
        learner.update(transitions(0))
    batch = rollout(0)
    with pytest.raises(ValueError, match="last must be"):
        learner.update(dataclasses.replace(batch, last=batch.last[:3]))
    with pytest.raises(ValueError, match="mark every terminated step"):
        learner.update(dataclasses.replace(batch, terminated=torch.ones(8), last=torch.zeros(8, dtype=torch.bool)))
    with pytest.raises(TypeError, match="Discrete or one-dimensional MultiDiscrete"):
        PPO(3, spaces.MultiBinary(2), seed=0)


FAST = PPOConfig(hidden=(16,), learning_rate=0.01, epochs=4, minibatch=64)


def test_it_solves_a_contextual_bandit():
    learner, generator = PPO(2, spaces.Discrete(2), FAST, seed=0), torch.Generator().manual_seed(0)
    for _ in range(15):
        contexts = torch.eye(2)[torch.randint(2, (128,), generator=generator)]
        actions = learner.act(contexts, explore=True)
        ends = torch.ones(128)
        learner.update(Rollout(contexts, actions, (contexts * actions).sum(dim=1), contexts, ends, ends.bool()))
    assert learner.act(torch.eye(2), explore=False).tolist() == torch.eye(2).tolist()


def test_it_solves_a_chain():
    """In the first state, action 0 ends with 0.2; action 1 leads to the second, where action 1 ends with 1.0."""
    learner = PPO(2, spaces.Discrete(2), FAST, seed=0)
    first, second = torch.eye(2)
    for _ in range(20):
        steps = []
        begun = learner.act(first.expand(64, 2), explore=True)[:, 1]
        followed = learner.act(second.expand(64, 2), explore=True)[:, 1]
        for went, then in zip(begun.tolist(), followed.tolist(), strict=True):
            steps.append((first, went, 0.2 * (1.0 - went), second, 1.0 - went))
            if went:
                steps.append((second, then, then, second, 1.0))
        here, chosen, rewards, after, ends = zip(*steps, strict=True)
        actions = torch.eye(2)[torch.tensor(chosen).long()]
        ended = torch.tensor(ends)
        learner.update(
            Rollout(torch.stack(here), actions, torch.tensor(rewards), torch.stack(after), ended, ended.bool())
        )
    assert learner.act(torch.eye(2), explore=False).argmax(dim=1).tolist() == [1, 1]


def test_it_solves_a_continuous_bandit():
    learner = PPO(1, spaces.Box(0.0, 2.0, (1,)), FAST, seed=0)
    here, ends = torch.zeros(128, 1), torch.ones(128)
    for _ in range(30):
        actions = learner.act(here, explore=True)
        learner.update(Rollout(here, actions, -(actions[:, 0] - 1.6).square(), here, ends, ends.bool()))
    assert learner.act(here[:1], explore=False).item() == pytest.approx(1.6, abs=0.15)


class TestCriticObservations:
    """A critic with inputs of its own."""

    def learner(self, **more):
        return PPO(3, spaces.Discrete(2), PPOConfig(hidden=(4,), epochs=2, minibatch=4), seed=0, **more)

    def batch(self, **more):
        made = rollout(0)
        actions = torch.eye(2)[torch.arange(8) % 2]
        return dataclasses.replace(made, actions=actions, **more)

    def test_the_value_of_what_the_critic_sees(self):
        learner = self.learner(critic_size=5)
        judged, after = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(1))
        batch = self.batch(critic_observations=judged, next_critic_observations=after)
        _, _, returns = learner.estimates(batch)
        values, following = learner.value(judged).squeeze(1), learner.value(after).squeeze(1)
        expected = ppo.advantages(batch.rewards, values, following, batch.terminated, batch.last, 0.99, 0.95) + values
        assert torch.equal(returns, expected.detach())

    def test_it_learns_from_them_and_the_policy_does_not_see_them(self):
        learner = self.learner(critic_size=5)
        before = [parameter.clone() for parameter in learner.value.parameters()]
        judged = torch.ones(8, 5)
        learner.update(self.batch(critic_observations=judged, next_critic_observations=judged))
        assert not any(map(torch.equal, before, learner.value.parameters()))
        assert learner.act(torch.zeros(2, 3), explore=False).shape == (2, 2)

    @pytest.mark.parametrize("name", ["critic_observations", "next_critic_observations"])
    def test_what_is_not_finite_changes_nothing(self, name):
        learner, judged = self.learner(critic_size=5), torch.ones(8, 5)
        before = [parameter.clone() for parameter in learner.value.parameters()]
        more = {"critic_observations": judged, "next_critic_observations": judged, name: judged * math.nan}
        with pytest.raises(FloatingPointError, match="changed nothing"):
            learner.update(self.batch(**more))
        assert all(map(torch.equal, before, learner.value.parameters()))

    def test_its_own_observations_given_again_change_no_bit(self):
        plain, told = self.learner(), self.learner(critic_size=3)
        batch = self.batch()
        also = {"critic_observations": batch.observations, "next_critic_observations": batch.next_observations}
        assert plain.update(batch) == told.update(dataclasses.replace(batch, **also))
        assert all(map(torch.equal, plain.value.parameters(), told.value.parameters()))

    @pytest.mark.parametrize(
        ("size", "given", "message"),
        [
            (5, None, r"critic_observations must be \(8, 5\) with critic_size=5, got None"),
            (5, 4, r"critic_observations must be \(8, 5\) with critic_size=5, got \(8, 4\)"),
            (None, 5, r"critic_observations must be None with critic_size=None, got \(8, 5\)"),
        ],
    )
    def test_other_sizes_are_refused(self, size, given, message):
        more = {} if given is None else {"critic_observations": torch.zeros(8, given)}
        with pytest.raises(ValueError, match=message):
            self.learner(critic_size=size).update(self.batch(**more))


class TestDecay:
    def test_learning_rate_and_clip_are_the_part_that_is_left(self):
        learner = PPO(3, spaces.Discrete(2), PPOConfig(learning_rate=0.5, clip=0.4), seed=0)
        learner.decay(0.5)
        assert [group["lr"] for group in learner.optimizer.param_groups] == [0.25]
        # A ratio of 1.5, advantage 1: clipped at 1.2; the entropy weighs nothing and values are judged apart.
        actions, seen = torch.eye(2)[:1], torch.zeros(1, 3)
        log_probs = learner.log_probs(seen, actions) - math.log(1.5)
        _, parts = learner.loss(seen, actions, log_probs, near([1.0]), near([0.0]))
        assert parts[0].item() == pytest.approx(-1.2)

    def test_nothing_left_changes_nothing(self):
        learner = PPO(3, spaces.Box(-1.0, 1.0, (2,)), seed=0)
        before = [parameter.clone() for parameter in learner.policy.parameters()]
        learner.decay(0.0)
        learner.update(rollout(0))
        assert all(map(torch.equal, before, learner.policy.parameters()))

    @pytest.mark.parametrize("left", [-0.1, 1.1, math.nan])
    def test_other_parts_are_refused(self, left):
        with pytest.raises(ValueError, match="left must be from 0 to 1, got .*: pass the part that is left"):
            PPO(3, spaces.Discrete(2), seed=0).decay(left)


def test_what_is_left_of_the_clip_is_in_the_state():
    learner, other = (PPO(3, spaces.Discrete(2), seed=0) for _ in range(2))
    learner.decay(0.25)
    other.load_state_dict(learner.state_dict())
    assert other._left == 0.25
    assert other.optimizer.param_groups[0]["lr"] == learner.optimizer.param_groups[0]["lr"]


class TestActionsThatAreNotAllowed:
    """Three actions, the second of which may not be chosen."""

    ALLOWED = torch.tensor([[True, False, True]])

    def made(self):
        return PPO(2, spaces.Discrete(3), PPOConfig(minibatch=50), seed=0)

    def seen(self, count=200):
        return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("explore", [True, False])
    def test_they_are_never_chosen(self, explore):
        learner, allowed = self.made(), self.ALLOWED.expand(200, -1)
        with torch.no_grad():
            learner.policy.biases[-1].copy_(torch.tensor([0.0, 9.0, 0.1]))
        assert learner.act(self.seen(), explore)[:, 1].mean() > 0.99
        chosen = learner.act(self.seen(), explore, allowed)
        assert not chosen[:, 1].any()
        assert chosen.sum(dim=1).tolist() == [1.0] * 200

    def test_probabilities_are_of_the_others(self):
        learner, seen = self.made(), self.seen(1)
        each = [learner.log_probs(seen, torch.eye(3)[[action]], self.ALLOWED).exp().item() for action in range(3)]
        logits = learner.policy(seen)[0].tolist()
        rest = math.exp(logits[0]) + math.exp(logits[2])
        assert each == pytest.approx([math.exp(logits[0]) / rest, 0.0, math.exp(logits[2]) / rest])

    @pytest.mark.long
    def test_an_update_learns_among_the_others(self):
        learner, seen, allowed = self.made(), self.seen(), self.ALLOWED.expand(200, -1)
        for _ in range(15):
            acted = learner.act(seen, True, allowed)
            steps = {"next_observations": seen, "terminated": torch.ones(200), "last": torch.ones(200).bool()}
            metrics = learner.update(Rollout(seen, acted, acted[:, 2], **steps, allowed=allowed))
        assert learner.act(seen, True, allowed)[:, 2].mean() > 0.8
        assert metrics["entropy"] < math.log(2)  # of two actions, not of three

    def test_where_none_is_allowed_any_is_chosen_and_learned_from(self):
        learner, seen, none = self.made(), self.seen(4), torch.zeros(4, 3).bool()
        acted = learner.act(seen, True, none)
        assert acted.sum(dim=1).tolist() == [1.0] * 4
        steps = {"next_observations": seen, "terminated": torch.ones(4), "last": torch.ones(4).bool()}
        assert learner.update(Rollout(seen, acted, torch.ones(4), **steps, allowed=none))["entropy"] > 0.0

    def test_what_cannot_be_is_refused(self):
        seen, last = self.seen(2), torch.ones(2).bool()
        steps = {"next_observations": seen, "terminated": torch.ones(2), "last": last}
        acted = torch.eye(3)[[0, 1]]
        with pytest.raises(ValueError, match="must have every action that was chosen"):
            self.made().update(Rollout(seen, acted, torch.zeros(2), **steps, allowed=self.ALLOWED.expand(2, -1)))
        with pytest.raises(ValueError, match=r"allowed must be \[2, 3\], of discrete actions, got \[2, 2\]"):
            self.made().update(Rollout(seen, acted, torch.zeros(2), **steps, allowed=torch.ones(2, 2).bool()))
        gaussian = PPO(2, spaces.Box(-1, 1, (3,)), seed=0)
        with pytest.raises(ValueError, match="of discrete actions"):
            gaussian.update(Rollout(seen, acted, torch.zeros(2), **steps, allowed=torch.ones(2, 3).bool()))
