"""LaRe: what its decoder sees, that it is RD and RRD over that, and which programs it takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.latent_rewards.cage.errors import RefusedError
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of, drawn, with_padding
from bagged_envs.baselines.redistributors import make_redistributor, reads_factors, settings_on
from bagged_envs.baselines.redistributors.factor_inputs import FactorScale
from bagged_envs.baselines.redistributors.fitting import Inputs
from bagged_envs.baselines.redistributors.rd import RD, RDConfig
from bagged_envs.baselines.redistributors.rrd import RRDConfig, RRDUnbiased
from tests.baselines.programs import EVERYTHING, REWARD

SIZE = OBSERVATION + ACTION
BOTH = pytest.mark.parametrize("name", ["lare_rd", "lare_rrd_unbiased"])


def made(name="lare_rd", factors=EVERYTHING, **settings):
    return make_redistributor(name, OBSERVATION, ACTION, factors=factors, hidden=(8,), **settings)


def seen_and_done(batch):
    together = torch.cat((batch.observations, batch.actions), dim=3)
    return torch.where(batch.mask[..., None], together, 0.0)


def updated(redistributor, times=4):
    for number in range(times):
        redistributor.update(drawn(bags_of([5, 3, 9, 2], seed=number), redistributor.sampling, number))
    return redistributor


class TestScale:
    def test_mean_and_deviation(self):
        scale = FactorScale.none(2).after(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
        assert (scale.count, scale.mean, scale.squares) == (2, (2.0, 7.0), (2.0, 0.0))
        assert scale.deviation == (1.0, 1.0)  # of what does not move, it is left at that
        scale = scale.after(torch.tensor([[8.0, 4.0]]))
        assert (scale.count, scale.mean, scale.squares) == (3, (4.0, 6.0), (26.0, 6.0))
        assert scale.standardize(torch.tensor([4.0, 6.0])).tolist() == [0.0, 0.0]
        assert scale.standardize(torch.tensor([1e6, -1e6])).tolist() == [20.0, -20.0]
        (one, other) = scale.standardize(torch.tensor([4.0 + (26 / 3) ** 0.5, 6.0 - 2**0.5])).tolist()
        assert (one, other) == pytest.approx((1.0, -1.0))

    @given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9), min_size=1, max_size=6))
    def test_parts_are_the_whole(self, parts):
        scale, values = FactorScale.none(1), np.concatenate(parts)
        for part in parts:
            scale = scale.after(torch.tensor(part, dtype=torch.float32)[:, None])
        assert scale.count == len(values)
        assert scale.mean == pytest.approx([values.mean()], abs=1e-9)
        assert scale.squares == pytest.approx([values.var() * len(values)], rel=1e-6, abs=1e-5)

    def test_what_all_but_stands_still_is_left_at_that(self):
        small = FactorScale(4, (0.0, 0.0, 100.0, 100.0), (4e-22, 4e-26, 4e-6, 4e-10))
        assert small.deviation == pytest.approx((1e-11, 1.0, 1e-3, 1.0))

    def test_nothing_seen_changes_nothing(self):
        scale = FactorScale.none(1).after(torch.tensor([[3.0]]))
        assert scale.after(torch.zeros(0, 1)) == scale


class TestDecoder:
    """With factors that are everything, LaRe is its base method, whose network sees these."""

    @pytest.mark.parametrize(
        ("name", "base", "config"),
        [("lare_rd", RD, RDConfig(hidden=(8,))), ("lare_rrd_unbiased", RRDUnbiased, RRDConfig(hidden=(8,)))],
    )
    def test_it_is_the_base_method_over_factors(self, name, base, config):
        other = base(OBSERVATION, ACTION, config, inputs=Inputs(SIZE, seen_and_done))
        own = updated(made(name, standardize_factors=False))
        batch = bags_of([4, 6], seed=9)
        assert torch.equal(own.relabel(batch), updated(other).relabel(batch))

    @BOTH
    def test_it_sees_standardized_factors(self, name):
        own, seen = made(name), []
        own._model.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0].clone()))
        batch = drawn(bags_of([50, 40], seed=1), own.sampling)
        own.update(batch)
        everything = seen[0].view(*batch.mask.shape, SIZE)
        assert not everything[~batch.mask].any()
        rows = everything[batch.mask]
        torch.testing.assert_close(rows.mean(dim=0), torch.zeros(SIZE), atol=1e-6, rtol=0)
        torch.testing.assert_close(rows.std(dim=0, correction=0), torch.ones(SIZE), atol=1e-5, rtol=0)

    @BOTH
    def test_units_of_a_factor_make_no_difference(self, name, tmp_path):
        other = tmp_path / "in_other_units.txt"
        with open(EVERYTHING) as file:
            text = file.read().replace("return seen + done", "return [1000.0 * one - 7.0 for one in seen + done]")
        other.write_text(text)
        batch = bags_of([4, 6], seed=9)
        one, far = (updated(made(name, factors)).relabel(batch) for factors in (EVERYTHING, str(other)))
        torch.testing.assert_close(one, far, rtol=1e-2, atol=1e-3)

    @BOTH
    def test_what_a_store_has_computed_is_taken(self, name):
        batch = bags_of([5, 3], seed=3)
        brought = replace(batch, factors=2 * seen_and_done(batch) + 1)  # other numbers, to see that they are taken
        one, other = made(name, standardize_factors=False), made(name, standardize_factors=False)
        twice = replace(batch, observations=2 * batch.observations + 1, actions=2 * batch.actions + 1)
        assert torch.equal(one.relabel(brought), other.relabel(twice))
        one.update(drawn(brought, one.sampling))
        other.update(drawn(twice, other.sampling))
        assert torch.equal(one.relabel(brought), other.relabel(twice))

    @BOTH
    def test_only_labeled_steps_count_for_the_scale(self, name):
        own = made(name)
        batch = with_padding(bags_of([5, 3], seed=3, agents=2, labeled=[True, False]), 1e5)
        own = make_redistributor(name, OBSERVATION, ACTION, agents=2, factors=EVERYTHING)
        own.update(drawn(batch, own.sampling))
        assert own.state_dict()["factors"]["scale"]["count"] == int(drawn(batch, own.sampling).mask[0].sum())

    @BOTH
    def test_without_agent_decomposition_agents_share_their_step(self, name):
        batch = bags_of([2], seed=16, agents=3)
        assert batch.mask[0].tolist() == [[True, True, True], [True, False, True]]
        settings = {"agents": 3, "factors": EVERYTHING, "hidden": (8,)}
        each, together = (
            make_redistributor(name, OBSERVATION, ACTION, agent_decomposition=decomposed, **settings).relabel(batch)[0]
            for decomposed in (True, False)
        )
        assert len(set(each[batch.mask[0]].tolist())) == 5
        first, second = each.sum(dim=1).tolist()
        expected = torch.tensor([[first / 3] * 3, [second / 2, 0.0, second / 2]])
        torch.testing.assert_close(together, expected)

    def test_another_number_of_factors_is_refused(self):
        batch = bags_of([5, 3])
        with pytest.raises(ValueError, match=f"{SIZE} of each step, as .*everything.txt says them, got 2"):
            made().relabel(replace(batch, factors=torch.zeros(*batch.mask.shape, 2)))

    @pytest.mark.parametrize("name", ["lare_rd", "lare_sign"])
    def test_whole_bags_are_asked_for_by_its_own_name(self, name):
        own = make_redistributor(name, OBSERVATION, ACTION, factors=EVERYTHING)
        with pytest.raises(ValueError, match=f"{name} needs whole bags"):
            own.update(drawn(bags_of([5, 3]), made("lare_rrd_unbiased").sampling))
        assert own.state_dict()["factors"]["scale"]["count"] == 0  # it was not counted in

    @BOTH
    def test_a_state_of_another_program_is_refused(self, name, tmp_path):
        other = tmp_path / "other.txt"
        with open(EVERYTHING) as file:
            other.write_text(file.read() + "\n# other\n")
        before = updated(made(name)).state_dict()
        loaded = made(name, str(other))
        with pytest.raises(ValueError, match="name the program that it was trained with"):
            loaded.load_state_dict(before)


class TestProgram:
    @BOTH
    def test_none_is_refused_with_words(self, name):
        with pytest.raises(ValueError, match=f"{name} needs factors, got none: name a task .*'HalfCheetah'"):
            made(name, None)

    def test_a_task_has_its_own(self):
        assert make_redistributor("lare_rd", 11, 3, factors="Hopper").factors.program.origin == "Hopper"

    def test_a_task_of_other_sizes_is_refused(self):
        with pytest.raises(ValueError, match="factors of Hopper are for observations of 11 elements, got 12"):
            make_redistributor("lare_rd", 12, 3, factors="Hopper")

    def test_an_unknown_one_names_the_nearest(self):
        with pytest.raises(ValueError, match="HalfCheetah"):
            made(factors="HalfCheeta")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="mine.txt"):
            made(factors=str(tmp_path / "mine.txt"))

    def test_a_hostile_one_is_refused_before_it_runs(self, tmp_path):
        file = tmp_path / "mine.txt"
        file.write_text("import os\n\n\ndef evaluation_func(observation, action):\n    return [observation]\n")
        with pytest.raises(RefusedError, match="line 1"):
            made(factors=str(file))

    def test_ids_have_programs(self):
        assert settings_on("lare_rd", {}, "BaggedReacher-v0") == {"factors": "Reacher"}
        assert settings_on("lare_sign", {"factors": None}, "EpisodicAnt-v0") == {"factors": "Ant"}
        assert settings_on("lare_rd", {"factors": "mine.txt"}, "BaggedReacher-v0") == {"factors": "mine.txt"}
        assert settings_on("lare_rd", {}, "BaggedCheetahRun-v0") == {}
        assert settings_on("reward_design", {}, "BaggedReacher-v0") == {}
        assert settings_on("lare_rd", {}, "EpisodicTriangleArea-v0") == {}  # of a joint controller
        assert settings_on("rd", {"bags": 3}, "BaggedReacher-v0") == {"bags": 3}
        assert not reads_factors("vib")


class TestRewardDesign:
    def test_it_pays_what_the_program_says(self):
        batch = bags_of([3, 2], seed=4, agents=2)
        batch = replace(batch, actions=1e3 * batch.actions)
        paid = make_redistributor("reward_design", OBSERVATION, ACTION, agents=2, factors=REWARD).relabel(batch)
        said = 2 * batch.actions[..., 0] - batch.observations[..., 0]
        torch.testing.assert_close(paid, torch.where(batch.mask, said, 0.0))

    def test_a_state_of_another_program_is_refused(self, tmp_path):
        other = tmp_path / "other.txt"
        other.write_text(Path(REWARD).read_text() + "\n# other\n")
        one, another = (
            make_redistributor("reward_design", OBSERVATION, ACTION, factors=f) for f in (REWARD, str(other))
        )
        with pytest.raises(ValueError, match="name the program that it was trained with"):
            another.load_state_dict(one.state_dict())

    def test_several_numbers_are_refused(self):
        with pytest.raises(ValueError, match="reward_design needs factors, got none: name the file of a program"):
            make_redistributor("reward_design", OBSERVATION, ACTION)
        with pytest.raises(ValueError, match="one number, the reward, got 6 of .*everything.txt: use lare_rd"):
            make_redistributor("reward_design", OBSERVATION, ACTION, factors=EVERYTHING)
