"""RUDDER: its formulas by literal numbers, and what it promises of any bags."""

import copy
import dataclasses
import math

import pytest
import torch

from bagged_envs.baselines.random_bags import add_up
from bagged_envs.baselines.redistributors.rudder import (
    RUDDER,
    PrefixLSTM,
    RUDDERConfig,
    differences,
    gated_sum,
    positions,
    rudder_loss,
)
from tests.baselines.bags import batch, random_batch

FAST = RUDDERConfig(learning_rate=1e-2, weight_decay=0.0)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def double_sums(rewards):
    return rewards.double().sum(dim=(1, 2))


class TestFormulas:
    def test_the_loss_by_literal_numbers(self):
        """L = mean_i (g_end - R)^2 + 0.5 mean_it (g_t - R)^2, the published codes' losses as they are meant."""
        predictions = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 9.0]])
        present = torch.tensor([[True, True, True], [True, True, False]])
        loss, main = rudder_loss(predictions, torch.tensor([2.0, 1.0]), present, 0.5)
        # Errors -1 0 1 and -1 -2; the ends' squares are 1 and 4, the sum of all squares is 7 of five positions.
        assert main.item() == 2.5
        assert loss.item() == pytest.approx(2.5 + 0.5 * 7 / 5)

    def test_errors_of_different_bags_do_not_cancel(self):
        predictions = torch.tensor([[3.0], [1.0]])
        loss, main = rudder_loss(predictions, torch.tensor([2.0, 2.0]), torch.ones(2, 1, dtype=torch.bool), 0.5)
        assert (main.item(), loss.item()) == (1.0, 1.5)  # the square of the mean error would be 0

    def test_the_cell_by_hand(self):
        cells = gated_sum(torch.tensor([0.5, -0.25, 1.0]).reshape(3, 1, 1), torch.tensor([[2.0]]), torch.tensor([-1.0]))
        first = 0.5 * sigmoid(-1.0)
        second = first - 0.25 * sigmoid(2.0 * first - 1.0)
        third = second + sigmoid(2.0 * second - 1.0)
        assert cells.flatten().tolist() == pytest.approx([first, second, third])

    def test_gates_see_all_cells_by_row(self):
        cells = gated_sum(
            torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([[0.0, 3.0], [0.0, 0.0]]), torch.zeros(2)
        )
        assert cells[1, 0].tolist() == pytest.approx([0.5, sigmoid(1.5)])

    def test_the_derivatives_by_hand_are_those_of_differences(self):
        generator = torch.Generator().manual_seed(0)
        shapes = ((4, 3, 2), (2, 2), (2,))
        values = [torch.randn(shape, generator=generator, dtype=torch.double).requires_grad_() for shape in shapes]
        assert torch.autograd.gradcheck(gated_sum, values)

    def test_a_network_of_one_unit_by_hand(self):
        network = PrefixLSTM(2, RUDDERConfig(units=1), torch.Generator().manual_seed(0))
        numbers = {"input_weight": [[1.0], [-2.0]], "input_bias": [0.25], "gate_weight": [[0.5]], "gate_bias": [-1.0]}
        numbers |= {"output_weight": [3.0], "output_bias": 0.5}
        network.load_state_dict({name: torch.tensor(value) for name, value in numbers.items()})
        inputs = torch.tensor([[[1.0, 0.0], [5.0, 5.0], [0.0, 1.0]]])
        predictions = network(inputs, torch.tensor([[True, False, True]]))
        first = math.tanh(1.25) * sigmoid(-1.0)
        third = first + math.tanh(-1.75) * sigmoid(0.5 * first - 1.0)  # the second position is not there
        assert predictions[0].tolist() == pytest.approx([3 * first + 0.5, 3 * first + 0.5, 3 * third + 0.5])

    def test_first_weights(self):
        network = PrefixLSTM(400, RUDDERConfig(units=400), torch.Generator().manual_seed(0))
        drawn = [(tensor.mean().item(), tensor.std().item()) for tensor in list(network.parameters())[:4]]
        for found, wanted in zip(drawn, ((0.0, 0.1), (0.0, 1.0), (0.0, 0.1), (-3.0, 1.0)), strict=True):
            assert found == pytest.approx(wanted, abs=0.2 * wanted[1])
        assert 0.045 < network.output_weight.abs().max() <= 0.05

    def test_differences(self):
        predictions = torch.tensor([1.0, 3.0, 2.5, 2.5]).reshape(1, 4, 1)
        present = torch.tensor([True, True, True, False]).reshape(1, 4, 1)
        assert differences(predictions, present).flatten().tolist() == [1.0, 2.0, -0.5, 0.0]

    def test_differences_of_an_agent_that_comes_late_begin_with_its_first_prediction(self):
        predictions, present = torch.tensor([9.0, 4.0, 5.0]), torch.tensor([False, True, True])
        changes = differences(predictions.reshape(1, 3, 1), present.reshape(1, 3, 1))
        assert changes.flatten().tolist() == [0.0, 4.0, 1.0]


class TestPositions:
    bag = batch(
        torch.tensor([1.0, 3.0, 99.0]).reshape(1, 3, 1, 1),
        torch.tensor([7.0, 8.0, 99.0]).reshape(1, 3, 1, 1),
        [0.0],
        following=torch.tensor([3.0, 4.0, 99.0]).reshape(1, 3, 1, 1),
        mask=torch.tensor([True, True, False]).reshape(1, 3, 1),
    )

    def test_differences_with_the_final_observation(self):
        inputs, present = positions(self.bag)
        assert present.flatten().tolist() == [True, True, True, False]
        assert inputs[0, :, 0].tolist() == [[1.0, 7.0], [2.0, 8.0], [1.0, 0.0], [0.0, 0.0]]

    def test_raw_without_it(self):
        inputs, present = positions(self.bag, "raw", final_observation=False)
        assert present.flatten().tolist() == [True, True, False]
        assert inputs[0, :, 0].tolist() == [[1.0, 7.0], [3.0, 8.0], [0.0, 0.0]]


class TestSums:
    @pytest.mark.parametrize("agents", [1, 3])
    @pytest.mark.parametrize("correction", ["uniform", "last"])
    @pytest.mark.parametrize("final_observation", [True, False])
    def test_corrected_rewards_add_up_to_labels(self, agents, correction, final_observation):
        bags = random_batch(0, agents=agents)
        rudder = RUDDER(3, 2, RUDDERConfig(correction=correction, final_observation=final_observation), agents=agents)
        assert rudder.exact
        for _ in range(3):
            rudder.update(bags)
        assert add_up(rudder.relabel(bags), bags)

    @pytest.mark.parametrize("correction", ["uniform", "last"])
    def test_small_labels_are_met_as_near_as_large_ones(self, correction):
        bags = dataclasses.replace(random_batch(0), label=torch.tensor([1e-3, 0.1, 1.0, -1e-2, 1.0]))
        rudder = RUDDER(3, 2, RUDDERConfig(correction=correction, learning_rate=1e-2))
        for _ in range(50):
            rudder.update(bags)
        rewards = rudder.relabel(bags)
        assert double_sums(rewards).tolist() == pytest.approx(bags.label.double().tolist(), rel=1e-6, abs=0.0)

    def test_the_last_step_alone_takes_the_gap(self):
        bags = random_batch(0, agents=2)
        plain, last = (
            RUDDER(3, 2, RUDDERConfig(correction=correction), agents=2).relabel(bags) for correction in ("none", "last")
        )
        moved = ((plain - last).abs() > 1e-6).any(dim=2)  # another may take what float32 cannot say
        assert moved.sum(dim=1).tolist() == [1] * 5
        assert moved.int().argmax(dim=1).tolist() == (bags.length - 1).tolist()

    @pytest.mark.parametrize("final_observation", [True, False])
    def test_uncorrected_rewards_telescope_to_the_last_prediction(self, final_observation):
        bags = random_batch(1)
        config = RUDDERConfig(correction="none", label_scale=10.0, final_observation=final_observation)
        rudder = RUDDER(3, 2, config)
        assert not rudder.exact
        inputs, present = positions(bags, final_observation=final_observation)
        with torch.no_grad():
            predictions = rudder.network(inputs[:, :, 0], present[:, :, 0])
        assert predictions[:, -1].std() > 0.01
        torch.testing.assert_close(rudder.relabel(bags).sum(dim=(1, 2)), predictions[:, -1] * 10.0)

    def test_an_unlabeled_bag_is_paid_what_is_predicted(self):
        bags = random_batch(1)
        open_label = dataclasses.replace(bags, labeled=torch.tensor([True, False, True, True, True]))
        none, uniform, last = (
            RUDDER(3, 2, RUDDERConfig(correction=correction)).relabel(open_label)
            for correction in ("none", "uniform", "last")
        )
        assert torch.equal(none[1], uniform[1])
        assert torch.equal(none[1], last[1])
        assert not torch.equal(none[0], uniform[0])


class TestPadding:
    @pytest.mark.parametrize("inputs", ["differences", "raw"])
    @pytest.mark.parametrize("padding", [0.0, 1e6, math.nan])
    def test_padding_does_not_matter(self, inputs, padding):
        """Neither for rewards nor for learning, whatever stands in it."""
        short = random_batch(2, steps=4, ragged=False)
        pad = torch.nn.functional.pad
        longer = batch(
            pad(short.observations, (0, 0, 0, 0, 0, 3), value=padding),
            pad(short.actions, (0, 0, 0, 0, 0, 3), value=padding),
            short.label,
            following=pad(short.next_observations, (0, 0, 0, 0, 0, 3), value=padding),
            mask=pad(short.mask, (0, 0, 0, 3)),
        )
        one, other = (RUDDER(3, 2, dataclasses.replace(FAST, inputs=inputs)) for _ in range(2))
        for _ in range(5):
            assert one.update(short) == pytest.approx(other.update(longer), rel=1e-5)
        paid = other.relabel(longer)
        torch.testing.assert_close(one.relabel(short), paid[:, :4], rtol=1e-4, atol=1e-4)
        assert not paid[:, 4:].any()

    def test_what_is_masked_is_paid_nothing(self):
        bags = random_batch(3, agents=2)
        mask = bags.mask.clone()
        mask[0, 3:, 1] = False  # an agent that dies
        bags = dataclasses.replace(bags, mask=mask, context=mask)
        rewards = RUDDER(3, 2, agents=2).relabel(bags)
        assert not rewards[~mask].any()
        assert (rewards[mask] != 0).all()

    @pytest.mark.parametrize("final_observation", [True, False])
    def test_whoever_died_still_counts_for_the_bag(self, final_observation):
        """What is learned from is the sum of all that is paid, the dead agent's part with it."""
        bags = random_batch(3, agents=2)
        mask = bags.mask.clone()
        mask[:, 3:, 1] = False
        bags = dataclasses.replace(bags, mask=mask, context=mask)
        config = RUDDERConfig(correction="none", label_scale=1.0, final_observation=final_observation)
        rudder = RUDDER(3, 2, config, agents=2)
        missed = rudder.relabel(bags).sum(dim=(1, 2)) - bags.label
        assert rudder.update(bags)["main"] == pytest.approx(missed.square().mean().item(), rel=1e-5)

    def test_a_team_s_prediction_is_the_sum_of_its_agents(self):
        one = random_batch(4, ragged=False)
        team = batch(*(value.expand(-1, -1, 2, -1) for value in (one.observations, one.actions)), one.label,
                     following=one.next_observations.expand(-1, -1, 2, -1))  # fmt: skip
        alone, both = (RUDDER(3, 2, RUDDERConfig(correction="none"), agents=agents) for agents in (1, 2))
        torch.testing.assert_close(both.relabel(team), alone.relabel(one).expand(-1, -1, 2))
        # Its loss, too: twice the prediction for the label is as far off as the prediction for half the label.
        half = dataclasses.replace(one, label=one.label / 2)
        config = RUDDERConfig(label_scale=1.0)
        losses = [RUDDER(3, 2, config, agents=bags.mask.shape[2]).update(bags)["loss"] for bags in (team, half)]
        assert losses[0] == pytest.approx(4 * losses[1], rel=1e-5)


class TestUpdate:
    def test_unlabeled_bags_move_nothing(self):
        bags = random_batch(5)
        labeled = torch.tensor([True, True, False, True, False])
        spoiled = dataclasses.replace(bags, labeled=labeled, label=torch.where(labeled, bags.label, torch.tensor(1e9)))
        one, other = RUDDER(3, 2), RUDDER(3, 2)
        assert one.update(spoiled) == other.update(bags.select(labeled))
        assert torch.equal(one.relabel(bags), other.relabel(bags))

    def test_labels_are_scaled_by_their_root_mean_square(self):
        rudder = RUDDER(3, 2)
        assert rudder.label_scale == 1.0
        rudder.update(dataclasses.replace(random_batch(0, bags=2, ragged=False), label=torch.tensor([3.0, -4.0])))
        assert rudder.label_scale == pytest.approx(math.sqrt(12.5))
        rudder.update(dataclasses.replace(random_batch(0, bags=1, ragged=False), label=torch.tensor([5.0])))
        assert rudder.label_scale == pytest.approx(math.sqrt(50 / 3))

    def test_scaled_labels_and_scaled_back_rewards(self):
        bags = random_batch(6)
        tenfold = dataclasses.replace(bags, label=bags.label * 10)
        ones, tens = (RUDDER(3, 2, dataclasses.replace(FAST, label_scale=scale)) for scale in (1.0, 10.0))
        for _ in range(5):
            assert ones.update(bags)["loss"] == pytest.approx(tens.update(tenfold)["loss"], rel=1e-5)
        torch.testing.assert_close(ones.relabel(bags) * 10, tens.relabel(tenfold), rtol=1e-4, atol=1e-4)

    def test_what_is_not_finite_changes_nothing(self):
        rudder = RUDDER(3, 2)
        rudder.update(random_batch(0))
        before = rudder.state_dict()
        bad = random_batch(1)
        with pytest.raises(FloatingPointError, match="rudder: the loss is (nan|inf)"):
            rudder.update(dataclasses.replace(bad, label=torch.full((5,), math.inf)))
        after = rudder.state_dict()
        assert (after["labels"], after["square"]) == (before["labels"], before["square"])
        assert all(torch.equal(after["network"][name], value) for name, value in before["network"].items())

    @pytest.mark.parametrize(
        ("bags", "message"),
        [
            (random_batch(0, size=4), "3 elements, actions of 2 and 1 agents, got 4, 2 and 1"),
            (random_batch(0, choices=1), "got 3, 1 and 1"),
            (dataclasses.replace(random_batch(0), length=torch.full((5,), 20)), "whole bags"),
        ],
    )
    def test_refusals(self, bags, message):
        with pytest.raises(ValueError, match=message):
            RUDDER(3, 2).update(bags)

    @pytest.mark.parametrize(
        "wrong", [{"inputs": "difference"}, {"correction": "first"}, {"units": 0}, {"label_scale": 0.0}]
    )
    def test_settings_that_cannot_be_meant(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RUDDERConfig(**wrong)

    def test_a_saved_state_goes_on_to_the_bit(self):
        one, other = RUDDER(3, 2, FAST), RUDDER(3, 2, FAST, seed=1)
        for seed in range(3):
            one.update(random_batch(seed))
        other.load_state_dict(copy.deepcopy(one.state_dict()))
        for seed in range(3, 6):
            assert one.update(random_batch(seed)) == other.update(random_batch(seed))
        assert torch.equal(one.relabel(random_batch(9)), other.relabel(random_batch(9)))

    def test_a_saved_state_stays_as_it_was(self):
        rudder = RUDDER(3, 2, FAST)
        rudder.update(random_batch(0))
        state = rudder.state_dict()
        kept = copy.deepcopy(state)
        rudder.update(random_batch(1))
        assert all(torch.equal(kept["network"][name], value) for name, value in state["network"].items())
        moments = [saved["optimizer"]["state"][0]["exp_avg"] for saved in (kept, state)]
        assert torch.equal(*moments)

    def test_seeds_decide_and_torch_s_own_random_numbers_do_not(self):
        torch.manual_seed(0)
        one = RUDDER(3, 2, seed=1).relabel(random_batch(0))
        assert torch.equal(one, RUDDER(3, 2, seed=1).relabel(random_batch(0)))
        assert not torch.equal(one, RUDDER(3, 2, seed=2).relabel(random_batch(0)))


def correlation(one, other):
    """Of two rewards, up to what all bags are paid alike at a step: the label that is expected before anything happened
    is paid with the first one."""
    centered = [(value - value.mean(dim=0)).flatten() for value in (one, other)]
    return torch.corrcoef(torch.stack(centered))[0, 1].item()


class TestCredit:
    @pytest.mark.slow
    def test_the_one_early_step_that_decides_gets_the_credit(self):
        """Bags of 10 steps; the second step's action decides the label, and the observations never show it."""
        generator = torch.Generator().manual_seed(0)
        actions = torch.eye(2)[torch.randint(2, (256, 10, 1), generator=generator)]
        time = torch.eye(10)[None, :, None].expand(256, -1, -1, -1)
        dense = torch.zeros(256, 10, 1)
        dense[:, 1, 0] = 6.0 * actions[:, 1, 0, 1]
        bags = batch(time, actions, dense.sum(dim=(1, 2)))
        rudder = RUDDER(10, 2, FAST)
        for _ in range(1000):
            rudder.update(bags.select(torch.randint(200, (16,), generator=generator)))
        held_out = bags.select(torch.arange(200, 256))
        paid = rudder.relabel(held_out)
        decided = held_out.label > 0
        by_choice = paid[decided].mean(dim=0)[:, 0] - paid[~decided].mean(dim=0)[:, 0]
        assert by_choice[1] == pytest.approx(6.0, abs=0.6)
        assert correlation(paid, dense[200:]) >= 0.95

    @pytest.mark.long
    def test_rewards_linear_in_features_are_found(self):
        generator = torch.Generator().manual_seed(0)
        features = torch.rand(512, 10, 1, 3, generator=generator)
        dense = features @ torch.tensor([2.0, -1.0, 1.0])
        bags = batch(features, torch.zeros(512, 10, 1, 1), dense.sum(dim=(1, 2)))
        rudder = RUDDER(3, 1, dataclasses.replace(FAST, inputs="raw", final_observation=False))
        for _ in range(1200):
            rudder.update(bags.select(torch.randint(400, (16,), generator=generator)))
        held_out = bags.select(torch.arange(400, 512))
        assert correlation(rudder.relabel(held_out), dense[400:]) >= 0.95
