"""What every entry of the table of redistributors promises; a new entry is tested by standing there."""

import io
import math
import random
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from bagged_envs.baselines.api import Context, Sampling, Schedule
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, add_up, bags_of, columns_of, drawn, with_padding
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, config_class, make_redistributor
from tests.baselines.programs import program_of

NAMES = sorted(REDISTRIBUTORS)
LENGTHS = [5, 1, 7, 3, 7, 2]

RBT = {"width": 32, "dropout": 0.0, "score_scale": "root", "first_rate": 1e-3, "rate_warm_up": 100}
# Which methods find linear rewards in bags of ten steps: name -> (settings, bags per update, updates).
FINDS_LINEAR_REWARDS = {
    "rd": ({"learning_rate": 1e-3}, 64, 120),
    "rrd_unbiased": ({"learning_rate": 1e-3, "steps": 5}, 64, 250),
    "imputer": ({"learning_rate": 1e-3}, 64, 120),
    "lare_rd": ({"learning_rate": 1e-3}, 64, 120),
    "lare_rrd_unbiased": ({"learning_rate": 1e-3, "steps": 5}, 64, 250),
    "rbt": (
        {**RBT, "layers": 1, "sequence": 20, "peak_rate": 1e-2, "rate_decay": 400}, 48, 400
    ),
    # Observations that are drawn independently say nothing by their differences.
    "rudder": ({"learning_rate": 1e-2, "inputs": "raw", "final_observation": False}, 64, 400),
}  # fmt: skip
# An update draws something for each bag that came: a mixed batch then moves it otherwise than its labeled bags would.
DRAWS_PER_BAG: set[str] = set()
# Nor where it learns nothing.
LOOKS_AT_NO_OBSERVATION = {"identity", "labels_only", "oracle", "uniform", "constant", "ircr", "reward_design"}

SHORT_BURSTS = {
    "diaster": {"cuts": 4, "step_updates": 3, "hidden": 8},
    "grd": {"hidden": (8,), "mixtures": 2},
    "rbt": {"width": 8, "layers": 2},
    "vib": {"hidden": (8,)},
    "arel": {"width": 8, "layers": 2},
    "stas": {"width": 8, "layers": 2},
    "tar2": {"width": 8, "layers": 2},
}

every_method = pytest.mark.parametrize("name", NAMES)
every_team = pytest.mark.parametrize("agents", [1, 3])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(name, agents=1, seed=0, **settings):
    settings = {**program_of(name), **SHORT_BURSTS.get(name, {}), **settings}
    return make_redistributor(name, OBSERVATION, ACTION, seed=seed, agents=agents, **settings)


def sized(name, observation, action, agents):
    return make_redistributor(name, observation, action, agents=agents, **program_of(name))


def trained(name, agents=1, seed=0, updates=3):
    redistributor = made(name, agents, seed)
    for number in range(updates):
        redistributor.update(drawn(bags_of(LENGTHS, seed=number, agents=agents), redistributor.sampling, number))
    return redistributor


def leaves(state, path=""):
    """What stands in a nested state, by path."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in leaves(value, f"{path}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return leaves(dict(enumerate(state)), path)
    return {path: state}


def same_state(one, other):
    """Equal to the bit."""
    one, other = leaves(one), leaves(other)
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


@every_method
class TestFacts:
    def test_it_declares_what_the_protocol_asks(self, name):
        redistributor = made(name)
        assert redistributor.name == name
        assert redistributor.context in get_args(Context)
        assert all(isinstance(getattr(redistributor, fact), bool) for fact in ("exact", "stored", "only_labeled"))
        assert redistributor.sampling is None or isinstance(redistributor.sampling, Sampling)
        assert isinstance(redistributor.schedule, Schedule)

    def test_its_settings_can_be_named_and_unknown_ones_are_refused(self, name):
        config = config_class(name)
        assert type(config()) is config
        with pytest.raises(ValueError, match="no_such_setting"):
            made(name, no_such_setting=1)

    @pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
    def test_empty_sizes_are_refused(self, name, sizes):
        observation_size, action_size, agents = sizes
        with pytest.raises(ValueError, match="at least 1"):
            make_redistributor(name, observation_size, action_size, agents=agents, **program_of(name))


@every_method
@every_team
class TestRelabel:
    def test_rewards_are_finite_detached_and_zero_in_padding(self, name, agents):
        redistributor = trained(name, agents)
        batch = bags_of(LENGTHS, seed=9, agents=agents, labeled=[True, True, False, True, False, True])
        rewards = redistributor.relabel(batch)
        assert rewards.shape == (6, 7, agents)
        assert rewards.dtype == torch.float32
        assert not rewards.requires_grad
        assert rewards.isfinite().all()
        assert torch.equal(rewards[~batch.mask], torch.zeros(int((~batch.mask).sum())))

    def test_what_stands_in_padding_does_not_matter(self, name, agents):
        redistributor = trained(name, agents)
        batch = bags_of(LENGTHS, seed=9, agents=agents)
        assert torch.equal(redistributor.relabel(batch), redistributor.relabel(with_padding(batch, -3.0)))

    def test_a_permuted_batch_permutes_the_rewards(self, name, agents):
        redistributor = trained(name, agents)
        batch = bags_of(LENGTHS, seed=9, agents=agents)
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        torch.testing.assert_close(
            redistributor.relabel(batch.select(order)), redistributor.relabel(batch)[order], rtol=1e-5, atol=1e-6
        )

    def test_a_method_of_single_steps_takes_any_steps_in_any_order(self, name, agents):
        redistributor = trained(name, agents)
        if redistributor.context == "bag":
            pytest.skip("needs the whole bag")
        batch = bags_of([6, 6], seed=9, agents=agents)
        columns = torch.tensor([[5, 0, 3, 0], [2, 4, 1, 1]])
        torch.testing.assert_close(
            redistributor.relabel(columns_of(batch, columns)),
            redistributor.relabel(batch)[torch.arange(2)[:, None], columns],
            rtol=1e-5,
            atol=1e-6,
        )

    @pytest.mark.parametrize("updates", [0, 3])
    def test_an_exact_method_pays_each_label(self, name, agents, updates):
        redistributor = trained(name, agents, updates=updates)
        if not redistributor.exact:
            pytest.skip("not exact")
        for seed in range(20):
            lengths = np.random.default_rng(seed).integers(1, 30, size=8).tolist()
            batch = bags_of(
                lengths, seed=seed, agents=agents, labels=[-3.0, 0.0, 1e-3, 1e4, -1e4, 7.7, -0.1, float(seed)]
            )
            assert add_up(redistributor.relabel(batch), batch)

    def test_other_sizes_are_refused(self, name, agents):
        batch = bags_of(LENGTHS, agents=agents)
        for other, expected, came in (
            (sized(name, OBSERVATION + 5, ACTION, agents), OBSERVATION + 5, OBSERVATION),
            (sized(name, OBSERVATION, ACTION + 7, agents), ACTION + 7, ACTION),
            (sized(name, OBSERVATION, ACTION, agents + 10), agents + 10, agents),
        ):
            before = other.state_dict()
            for call in (other.relabel, other.update):
                with pytest.raises(ValueError, match=rf"\b{expected}\b.*\b{came}\b"):
                    call(batch)
            assert same_state(before, other.state_dict())


@every_method
@every_team
class TestUpdate:
    def test_what_has_a_loss_tells_it(self, name, agents):
        redistributor = trained(name, agents)
        metrics = redistributor.update(drawn(bags_of(LENGTHS, seed=9, agents=agents), redistributor.sampling))
        learns = redistributor.sampling is not None and name != "ircr"
        assert ("loss" in metrics) == learns
        assert all(math.isfinite(value) for value in metrics.values())

    def test_unlabeled_bags_move_nothing_and_the_metrics_say_so(self, name, agents):
        redistributor = trained(name, agents)
        before = redistributor.state_dict()
        batch = drawn(bags_of(LENGTHS, seed=9, agents=agents, labeled=[False] * 6), redistributor.sampling)
        assert redistributor.update(batch)["labeled"] == 0
        assert same_state(before, redistributor.state_dict())

    def test_a_mixed_batch_moves_it_as_its_labeled_bags_do(self, name, agents):
        if name in DRAWS_PER_BAG:
            pytest.skip("draws noise for each bag of the batch")
        shown = [True, False, True, True, False, False]
        mixed, alone = trained(name, agents), trained(name, agents)
        batch = drawn(bags_of(LENGTHS, seed=9, agents=agents, labeled=shown), mixed.sampling)
        assert mixed.update(batch)["labeled"] == 3
        alone.update(batch.select(batch.labeled))
        assert same_state(mixed.state_dict(), alone.state_dict())

    def test_what_stands_in_padding_does_not_matter(self, name, agents):
        one, other = trained(name, agents), trained(name, agents)
        batch = drawn(bags_of(LENGTHS, seed=9, agents=agents), one.sampling)
        assert one.update(batch) == other.update(with_padding(batch, -3.0))
        assert same_state(one.state_dict(), other.state_dict())

    def test_what_is_not_a_number_changes_nothing(self, name, agents):
        redistributor, clean = trained(name, agents), trained(name, agents)
        before = redistributor.state_dict()
        batch = drawn(bags_of(LENGTHS, seed=9, agents=agents), redistributor.sampling)
        step = torch.nonzero(batch.mask)[0].unbind()
        broken = {field: getattr(batch, field).clone() for field in ("observations", "next_observations")}
        for values in broken.values():  # some see only one of them
            values[step] = math.nan
        if name in LOOKS_AT_NO_OBSERVATION:
            redistributor.update(replace(batch, **broken))
            clean.update(batch)
            assert same_state(clean.state_dict(), redistributor.state_dict())
        else:
            with pytest.raises(FloatingPointError, match=name):
                redistributor.update(replace(batch, **broken))
            assert same_state(before, redistributor.state_dict())

    def test_a_label_that_is_not_finite_changes_nothing(self, name, agents):
        redistributor = trained(name, agents)
        before = redistributor.state_dict()
        batch = drawn(bags_of(LENGTHS, seed=9, agents=agents), redistributor.sampling)
        label = batch.label.clone()
        label[2] = math.inf
        if redistributor.sampling is None:
            redistributor.update(replace(batch, label=label))
        else:
            with pytest.raises(FloatingPointError, match=name):
                redistributor.update(replace(batch, label=label))
        assert same_state(before, redistributor.state_dict())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_method
def test_on_a_gpu_it_takes_bags_from_the_cpu_and_gives_rewards_back(name):
    redistributor = make_redistributor(name, OBSERVATION, ACTION, device="cuda", **program_of(name))
    redistributor.update(drawn(bags_of(LENGTHS), redistributor.sampling))
    rewards = redistributor.relabel(bags_of(LENGTHS, seed=9))
    assert rewards.device.type == "cpu"
    assert rewards.isfinite().all()


@every_method
class TestReproducible:
    def test_saved_loaded_and_gone_on_equals_gone_on(self, name):
        going = trained(name)
        buffer = io.BytesIO()
        torch.save(going.state_dict(), buffer)
        saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
        loaded = made(name, seed=123)
        loaded.load_state_dict(saved)
        for number in range(3, 6):
            batch = drawn(bags_of(LENGTHS, seed=number), going.sampling, number)
            assert going.update(batch) == loaded.update(batch)
        assert same_state(going.state_dict(), loaded.state_dict())
        assert same_state(saved, torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)), "a shared tensor moved"
        batch = bags_of(LENGTHS, seed=9)
        assert torch.equal(going.relabel(batch), loaded.relabel(batch))

    def test_a_saved_state_stays_as_it_was(self, name):
        redistributor, other = trained(name), trained(name)
        saved = redistributor.state_dict()
        redistributor.update(drawn(bags_of(LENGTHS, seed=9), redistributor.sampling))
        assert same_state(saved, other.state_dict())

    def test_what_updates_change_is_in_the_state(self, name):
        redistributor = trained(name)
        before, batch = redistributor.state_dict(), bags_of(LENGTHS, seed=9)
        rewards = redistributor.relabel(batch)
        redistributor.update(drawn(bags_of([9, 9], labels=[90.0, -80.0]), redistributor.sampling))
        assert torch.equal(redistributor.relabel(batch), rewards) == same_state(before, redistributor.state_dict())
        redistributor.load_state_dict(before)
        assert torch.equal(redistributor.relabel(batch), rewards)

    def test_two_of_one_seed_agree_to_the_bit(self, name):
        one, other = trained(name, seed=5), trained(name, seed=5)
        assert same_state(one.state_dict(), other.state_dict())

    def test_global_random_states_stay_untouched(self, name):
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        trained(name).relabel(bags_of(LENGTHS))
        after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
        assert torch.equal(before[0], after[0])
        assert np.array_equal(before[1], after[1])
        assert before[2] == after[2]

    def test_global_random_states_make_no_difference(self, name):
        one = trained(name).state_dict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(999)
            other = trained(name).state_dict()
        assert same_state(one, other)


@every_method
@pytest.mark.parametrize(
    ("lengths", "labeled"),
    [
        ([1] * 8, [True] * 8),
        ([1] * 8, [True, False] * 4),
        ([1, 4, 2, 9], [True] * 4),
        ([30, 25], [True] * 2),
        ([20] * 4, [False, True, False, False]),
        ([6], [True]),
    ],
    ids=["one step", "one step, some labeled", "random lengths", "whole episodes", "few labeled", "one bag"],
)
def test_every_schedule_can_be_learned_from(name, lengths, labeled):
    redistributor = made(name)
    for number in range(3):
        metrics = redistributor.update(
            drawn(bags_of(lengths, seed=number, labeled=labeled), redistributor.sampling, number)
        )
        assert metrics["labeled"] == sum(labeled)
        assert all(math.isfinite(value) for value in metrics.values())
    assert redistributor.relabel(bags_of(lengths, seed=9, labeled=labeled)).isfinite().all()


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(FINDS_LINEAR_REWARDS))
def test_linear_rewards_are_found(name):
    assert correlation_of(name, *FINDS_LINEAR_REWARDS[name]) >= 0.95


@pytest.mark.long
def test_linear_rewards_are_found_through_two_layers():
    """As above, with as many layers as RBT has by default."""
    settings = {**RBT, "layers": 2, "sequence": 40, "peak_rate": 8e-3, "rate_decay": 700}
    assert correlation_of("rbt", settings, 96, 700) >= 0.95


def correlation_of(name, settings, bags, updates):
    """How well the rewards of unseen bags correlate with the dense ones after so many updates."""
    redistributor = made(name, **settings)
    store = bags_of([10] * 4096, seed=1)
    generator = torch.Generator().manual_seed(2)
    for number in range(updates):
        batch = store.select(torch.randint(store.num_bags, (bags,), generator=generator))
        redistributor.update(drawn(batch, redistributor.sampling, number))
    held_out = bags_of([10] * 64, seed=3)
    rewards = redistributor.relabel(held_out)
    return torch.corrcoef(torch.stack((rewards[held_out.mask], held_out.dense[held_out.mask])))[0, 1]
