"""Redistributors of one's own: how they become known, what is checked of them, and that everything takes them."""

import math
import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from bagged_envs import cli
from bagged_envs.baselines import redistributors
from bagged_envs.baselines.api import Sampling
from bagged_envs.baselines.check import check_redistributor
from bagged_envs.baselines.cite import cite
from bagged_envs.baselines.collect import collect
from bagged_envs.baselines.experiments.offline_run import OfflineRun, late
from bagged_envs.baselines.judging.case import no_function
from bagged_envs.baselines.judging.diagnose import diagnose
from bagged_envs.baselines.judging.fit import fit, predictions
from bagged_envs.baselines.judging.report import _all_methods
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.offline import OfflineConfig, OfflineTraining
from bagged_envs.baselines.recorded_rewards import redistributed
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, make_redistributor, register_redistributor
from bagged_envs.baselines.redistributors.fitting import NO_SETTINGS, NoSettings
from bagged_envs.baselines.redistributors.oracle import Oracle
from bagged_envs.baselines.redistributors.rd import RD
from bagged_envs.baselines.redistributors.uniform import Uniform
from bagged_envs.baselines.runs import reopen
from bagged_envs.baselines.training import Training, TrainingConfig
from bagged_envs.datasets import delayed, record
from bagged_envs.testing import BaggedError
from bagged_envs.wrappers import RewardSchedule
from tests.baselines.contracts.test_redistributors import SHORT_BURSTS
from tests.baselines.judging.episodes import episodes, spaces
from tests.baselines.programs import program_of

MODULE = "tests.baselines.own"


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """The table as it is, again after the test; the module of the test's redistributor is imported anew."""
    before = dict(REDISTRIBUTORS)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield REDISTRIBUTORS
    REDISTRIBUTORS.clear()
    REDISTRIBUTORS.update(before)


@pytest.fixture
def slope():
    Method.named(f"{MODULE}:slope-td3")
    return REDISTRIBUTORS["slope"]


class TestRegistering:
    def test_a_module_in_front_of_a_name_registers_it(self, table):
        with pytest.raises(ValueError, match="redistributor must be .*got 'slope'"):
            Method.named("slope-td3")
        method = Method.named(f"{MODULE}:slope-td3", {"rate": 0.1})
        assert (method.name, method.resolved()["redistributor"]) == ("slope-td3", {"rate": 0.1, "most": None})
        assert type(make_redistributor("slope", 3, 1)) is table["slope"]
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            Method.named("no_such_module:slope-td3")

    def test_defined_anew_it_takes_its_own_place(self, slope, monkeypatch):
        register_redistributor(slope)
        monkeypatch.delitem(sys.modules, MODULE)
        Method.named(f"{MODULE}:slope-td3")
        assert REDISTRIBUTORS["slope"] is not slope

    def test_a_name_that_another_has_is_refused(self, slope):
        class Other(slope):
            pass

        with pytest.raises(
            ValueError, match=r"Other.name must be new, got 'slope', which tests.baselines.own.Slope has"
        ):
            register_redistributor(Other)
        with pytest.raises(ValueError, match="'rd', which .*RD has"):
            register_redistributor(type("Mine", (RD,), {"name": "rd"}))

    def test_a_subclass_of_ours_needs_a_name_only(self):
        register_redistributor(type("Mine", (RD,), {"name": "my_rd"}))
        assert make_redistributor("my_rd", 3, 1, hidden=(4,)).config.hidden == (4,)

    @pytest.mark.parametrize("name", ["my-rd", "My", "", "a:b", None, 3])
    def test_a_name_that_is_none(self, name):
        with pytest.raises(ValueError, match=r"Mine.name must be lower-case letters, digits and underscores.*got"):
            register_redistributor(type("Mine", (RD,), {"name": name}))

    @pytest.mark.parametrize(
        ("changed", "error", "message"),
        [
            ({"update": None}, TypeError, "Mine must have a method update"),
            ({"load_state_dict": 3}, TypeError, "Mine must have a method load_state_dict"),
            (
                {"context": "episode"},
                ValueError,
                "context of Mine must be one of 'step', 'label', 'bag', got 'episode'",
            ),
            ({"exact": 1}, TypeError, "exact of Mine must be a bool, got 1"),
            ({"only_labeled": None}, TypeError, "only_labeled of Mine must be a bool, got None"),
        ],
    )
    def test_what_is_missing_is_named(self, changed, error, message):
        with pytest.raises(error, match=message):
            register_redistributor(type("Mine", (RD,), {"name": "mine", **changed}))
        assert "mine" not in REDISTRIBUTORS

    def test_what_an_instance_lacks_is_named(self, slope):
        class Scheduled(slope):
            name = "scheduled"

            def __init__(self, *sizes, config: NoSettings = NO_SETTINGS, **others):
                super().__init__(*sizes, **others)
                del self.schedule

        with pytest.raises(TypeError, match="schedule of .*Scheduled must be a Schedule, got none"):
            register_redistributor(Scheduled)

    def test_settings_need_defaults_and_an_annotation(self, slope):
        @dataclass(frozen=True)
        class Needy:
            rate: float

        class Mine(slope):
            name = "mine"

            def __init__(self, *sizes, config=None, **others): ...

        with pytest.raises(TypeError, match="The constructor of 'mine' must annotate `config` with a dataclass"):
            register_redistributor(Mine)
        Mine.__init__.__annotations__["config"] = Needy
        with pytest.raises(TypeError, match=r"Needy must have a default for every setting: .*'rate'"):
            register_redistributor(Mine)
        Mine.__init__.__annotations__["config"] = "NowhereConfig"
        with pytest.raises(
            TypeError, match="'mine' has an annotation that is nowhere .*NowhereConfig.*outside of functions"
        ):
            register_redistributor(Mine)

    def test_a_script_may_be_imported_by_its_name(self, slope):
        again = type("Slope", (slope,), {"__module__": "__main__"})
        register_redistributor(again)
        register_redistributor(slope)
        assert REDISTRIBUTORS["slope"] is slope
        with pytest.raises(ValueError, match="'rd', which .*RD has"):
            register_redistributor(type("RD", (RD,), {"__module__": "__main__"}))

    def test_where_nothing_is_imported_that_is_said(self):
        with pytest.raises(
            ValueError, match="got 'tests.baselines.own:slope': import tests.baselines.own, then name 'sl"
        ):
            make_redistributor(f"{MODULE}:slope", 3, 1)

    @pytest.mark.parametrize("name", [":slope-td3", "..own:slope-td3", "a b:slope-td3"])
    def test_what_is_no_module_is_refused(self, name):
        with pytest.raises(ValueError, match="before the colon must be a module, such as my_module, got"):
            Method.named(name)

    def test_nobody_knows_whom_to_cite(self, slope):
        with pytest.raises(ValueError, match="who wrote 'slope' is not known here. Ask for identity-td3"):
            cite("EpisodicHopper-v0", "slope-td3")

    def test_only_classes(self):
        with pytest.raises(TypeError, match="kind must be a class"):
            register_redistributor(RD(3, 1))


class TestChecking:
    @pytest.mark.parametrize("name", [name for name in redistributors.REDISTRIBUTORS if name != "oracle"])
    def test_all_of_ours_keep_what_they_promise(self, name):
        check_redistributor(name, **program_of(name), **SHORT_BURSTS.get(name, {}))

    def test_a_class_that_is_not_registered(self, slope):
        check_redistributor(type("Mine", (slope,), {"name": "mine"}), rate=0.1)
        assert "mine" not in REDISTRIBUTORS

    @pytest.mark.parametrize(
        ("method", "body", "message"),
        [
            (
                "relabel",
                lambda self, batch: self.plain(batch) + batch.actions.zero_().sum(),
                "leaves the batch as it is",
            ),
            ("relabel", lambda self, batch: batch.mask.tolist(), "returns a tensor. Came: <class 'list'>"),
            ("relabel", lambda self, batch: self.plain(batch).double(), "returns float32.*Came: torch.float64"),
            ("relabel", lambda self, batch: self.plain(batch)[..., 0], r"shape \[B, L, A\], here \[6, 7, 1\]"),
            ("relabel", lambda self, batch: self.plain(batch) * torch.ones(1, requires_grad=True), "with gradients"),
            (
                "relabel",
                lambda self, batch: self.plain(batch) / (batch.length > 2)[:, None, None],
                "Rewards are finite",
            ),
            ("relabel", lambda self, batch: self.plain(batch) + 1.0, r"Rewards are 0.0 in padding. Came: \[1.0"),
            (
                "relabel",
                lambda self, batch: self.plain(batch) * batch.label.mean(),
                "do not depend on the other bags of the batch",
            ),
            (
                "relabel",
                lambda self, batch: self.plain(batch) * batch.mask.sum(dim=1, keepdim=True),
                "With context 'step' a step's reward does not depend on which others",
            ),
            (
                "relabel",
                lambda self, batch: self.plain(batch) + torch.where(batch.mask, batch.label[:, None, None], 0.0),
                "With context 'step' the reward of a step does not depend on its bag's label or length",
            ),
            (
                "relabel",
                lambda self, batch: self.plain(batch) / batch.length[:, None, None],
                "With context 'step' the reward of a step does not depend on its bag's label or length",
            ),
            (
                "relabel",
                lambda self, batch: self.plain(batch) + batch.dense,
                "Rewards do not depend on the dense rewards",
            ),
            (
                "relabel",
                lambda self, batch: self.plain(batch) + torch.where(batch.mask, batch.paid, 0.0),
                "Rewards do not depend on what unlabeled bags hide",
            ),
            (
                "relabel",
                lambda self, batch: self.plain(batch) + torch.where(batch.mask, batch.observations.mean(), 0.0),
                "The rewards of a bag do not depend on the other bags",
            ),
            (
                "relabel",
                lambda self, batch: torch.where(batch.mask, batch.observations[..., 0] * self.slope, 0.0),
                "relabel.. refuses observations of another size with a ValueError. Came: no error",
            ),
        ],
    )
    def test_rewards(self, slope, method, body, message):
        mine = type("Mine", (slope,), {"name": "mine", "plain": slope.relabel, method: body})
        with pytest.raises(BaggedError, match=message):
            check_redistributor(mine, agents=(1,))

    def test_rewards_that_go_wrong_with_the_first_update(self, slope):
        class Later(slope):
            name = "later"

            def relabel(self, batch):
                fresh = torch.rand(1, generator=torch.Generator().manual_seed(0))
                return super().relabel(batch) + (0.0 if torch.equal(self.slope, fresh) else 1.0)

        with pytest.raises(BaggedError, match="Rewards are 0.0 in padding"):
            check_redistributor(Later, agents=(1,))

    def test_rewards_that_go_wrong_with_several_agents(self, slope):
        class Alone(slope):
            name = "alone"

            def rewards(self, batch):
                someone = batch.mask.any(dim=2, keepdim=True)
                return torch.where(someone, batch.observations[..., 0] * self.slope, 0.0)

        check_redistributor(Alone, agents=(1,))
        with pytest.raises(BaggedError, match="Rewards are 0.0 in padding"):
            check_redistributor(Alone)

    def test_sums_of_one_that_says_it_is_exact(self, slope):
        with pytest.raises(
            BaggedError, match=r"exact redistributor add up to the labels. Came: .* of \[-3.0, 0.0, 10000.0"
        ):
            check_redistributor(type("Mine", (slope,), {"name": "mine", "exact": True}))

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (lambda self, batch: None, "returns a dict of finite Python numbers.*Came: None"),
            (lambda self, batch: {"labeled": batch.labeled.sum()}, r"Python numbers.*Came: .*tensor\(4\)"),
            (lambda self, batch: {**self.plain(batch), "one": batch.paid.zero_().sum().item()}, "leaves the batch"),
            (lambda self, batch: {}, "how many bags were 'labeled', here 4. Came: {}"),
            (lambda self, batch: {**self.plain(batch), "loss": math.nan}, "returns a dict of finite Python numbers"),
            (lambda self, batch: {**self.plain(batch), "spread": batch.dense.std().item()}, "Updates .*dense rewards"),
            (
                lambda self, batch: {**self.plain(batch), "all": batch.label.sum().item()},
                "Updates .*unlabeled bags hide",
            ),
            (lambda self, batch: self.drift(batch), "A batch without labels changes nothing"),
            (lambda self, batch: self.forgiving(batch), "infinite label with a FloatingPointError. Came: no error"),
            (lambda self, batch: self.hasty(batch), "infinite label with a FloatingPointError, and changes nothing"),
            (
                lambda self, batch: self.counted(batch),
                r"Loaded from its state_dict\(\), it goes on as it would have, to the bit. Came: metrics",
            ),
            (lambda self, batch: self.noisy(batch), "Global random states stay as they were"),
            (lambda self, batch: self.restless(batch), "Two of one seed agree to the bit"),
            (lambda self, batch: self.in_place(batch), "A state that was returned is not changed by later updates"),
        ],
    )
    def test_updates(self, slope, body, message):
        class Broken(slope):
            name = "broken"
            plain = slope.update
            update = body
            count = 0

            def drift(self, batch):
                self.slope = self.slope + 1.0
                return self.plain(batch)

            def forgiving(self, batch):
                label = torch.nan_to_num(batch.label, posinf=0.0)
                return self.plain(replace(batch, label=label))

            def hasty(self, batch):
                if batch.num_bags and batch.labeled.any() and not batch.label.isfinite().all():
                    self.slope = self.slope + 1.0
                return self.plain(batch)

            def counted(self, batch):
                if batch.labeled.any() and batch.label.isfinite().all():
                    self.count += 1
                return {**self.plain(batch), "count": float(self.count)}

            def noisy(self, batch):
                told = self.plain(batch)
                if told["labeled"]:
                    self.slope = self.slope + torch.rand(1)
                return told

            def restless(self, batch):
                self.slope = self.slope + 0.001 * (id(self) % 997)
                return self.plain(batch)

            def in_place(self, batch):
                before = self.slope
                told = self.plain(batch)
                self.slope = before.copy_(self.slope)
                return told

            def state_dict(self):
                return {"slope": self.slope} if "in_place" in body.__code__.co_names else super().state_dict()

        with pytest.raises(BaggedError, match=message):
            check_redistributor(Broken, agents=(1,))

    def test_a_state_that_moves_with_what_it_is_compared_with(self, slope):
        class Sly(slope):
            name = "sly"

            def update(self, batch):
                if not batch.label.isfinite().all():
                    self.slope += 1.0
                return super().update(batch)

            def state_dict(self):
                return {"slope": self.slope}

        with pytest.raises(BaggedError, match="infinite label with a FloatingPointError, and changes nothing"):
            check_redistributor(Sly, agents=(1,))

    def test_a_state_that_only_pickle_could_read(self, slope):
        class Pickled(slope):
            name = "pickled"

            def state_dict(self):
                return {"slope": self.slope.clone(), "sampling": self.sampling}

        with pytest.raises(BaggedError, match="lists and dicts of them only. Came: a checkpoint cannot hold Sampling"):
            check_redistributor(Pickled)

    def test_a_state_may_have_what_checkpoints_have(self, slope):
        class Counting(slope):
            name = "counting"

            def __init__(self, *sizes, config: NoSettings = NO_SETTINGS, **others):
                super().__init__(*sizes, **others)
                self.counts = np.zeros(2)

            def update(self, batch):
                told = super().update(batch)
                self.counts = self.counts + np.array([1.0, told["labeled"]]) * (told["labeled"] > 0)
                return told

            def state_dict(self):
                return {**super().state_dict(), "counts": self.counts.copy(), "sum": self.counts.sum(), "none": None}

            def load_state_dict(self, state):
                super().load_state_dict(state)
                self.counts = state["counts"].copy()

        check_redistributor(Counting)

    @pytest.mark.parametrize(
        ("kind", "arguments", "error", "message"),
        [
            (RD, {"hiden": (8,)}, ValueError, "A setting of 'rd'.*'hiden'. Did you mean 'hidden'"),
            ("rd", {"hiden": (8,)}, ValueError, "A setting of 'rd'.*'hiden'. Did you mean 'hidden'"),
            ("rdd", {}, ValueError, "got 'rdd'"),
            (3, {}, TypeError, "kind must be a class .*got 3"),
            ("rd", {"agents": ()}, TypeError, "agents must be a tuple of ints, at least one, got"),
            ("rd", {"agents": 1}, TypeError, "agents must be a tuple of ints, at least one, got 1"),
            ("rd", {"agents": (0,)}, ValueError, "each of agents must be an int of at least 1, got 0"),
        ],
    )
    def test_wrong_arguments(self, kind, arguments, error, message):
        with pytest.raises(error, match=message):
            check_redistributor(kind, **arguments)

    @pytest.mark.parametrize("draw", [np.random.rand, random.random, lambda: torch.rand(1)])
    def test_a_global_random_state_that_moves(self, slope, draw):
        class Rolling(slope):
            name = "rolling"

            def relabel(self, batch):
                draw()
                return super().relabel(batch)

        draw()  # from here on NumPy's state moves within its block of numbers
        with pytest.raises(BaggedError, match="Global random states stay as they were"):
            check_redistributor(Rolling)

    def test_the_oracle_is_what_it_says(self):
        with pytest.raises(BaggedError, match="do not depend on the dense rewards"):
            check_redistributor("oracle")


class TestUsing:
    CONFIG = TrainingConfig(random_steps=20, batch_size=8, evaluate_every=40, evaluation_episodes=1)

    def test_it_trains(self, slope):
        training = Training("slope-sac", "BaggedInvertedPendulum-v0", {"bag_len": 5}, self.CONFIG, seed=0)
        for _ in training.run(until=80):
            pass
        assert training.redistributor.slope != slope(4, 1).slope
        training.close()

    def test_the_command_line_trains_it_and_the_run_comes_back(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [*sys.path])
        small = [
            "training.random_steps=20",
            "training.batch_size=8",
            "training.evaluate_every=40",
            "learner.hidden=[8]",
        ]
        words = [
            f"{MODULE}:slope-sac",
            "BaggedInvertedPendulum-v0",
            "bag_len=5",
            *small,
            "training.evaluation_episodes=1",
        ]
        for steps in ("40", "80"):  # and goes on
            assert cli.main(["train", *words, "--steps", steps, "--out", "run"]) == 0
        training = reopen(tmp_path / "run")
        assert (training.total_steps, training.redistributor.name) == (80, "slope")
        training.close()
        del REDISTRIBUTORS["slope"]
        with pytest.raises(ValueError, match="got 'slope'"):
            reopen(tmp_path / "run")

    def test_the_command_line_judges_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setenv("BAGGED_ENVS_CACHE", str(tmp_path))
        words = ["redistribute", "BaggedPocketWatch-v0", "--methods", f"{MODULE}:slope", "uniform", "--updates", "20"]
        out = tmp_path / "rows.csv"
        assert cli.main([*words, "--episodes", "3", "--steps", "100", "--seeds", "1", "--out", str(out)]) == 0
        assert [line.split(",").count("slope") for line in out.read_text().splitlines()[1:]] == [1, 0]

    def test_wrong_modules_and_names_are_a_line(self, capsys):
        for name, message in (
            ("no_such_module:slope-sac", "there is no module 'no_such_module' in the current folder"),
            (f"{MODULE}:slop-sac", "slope"),
        ):
            assert cli.main(["train", name, "BaggedInvertedPendulum-v0"]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert message in line


def test_sampling_may_be_none_where_nothing_is_learned(slope):
    class Still(slope):
        name = "still"

        def __init__(self, *sizes, config: NoSettings = NO_SETTINGS, **others):
            super().__init__(*sizes, **others)
            self.sampling: Sampling | None = None

        def update(self, batch):
            self.sizes.check(self.name, batch)
            return {"labeled": float(batch.labeled.sum())}

    check_redistributor(Still)
    register_redistributor(Still)
    env = gym.make("BaggedInvertedPendulum-v0", bag_len=3)
    assert make_redistributor("still", *env.observation_space.shape, 1).sampling is None


@pytest.fixture
def heirs():
    """Subclasses of two controls, under names of their own."""
    for kind in (Oracle, Uniform):
        register_redistributor(type("Mine", (kind,), {"name": f"my_{kind.name}"}))


def test_what_a_control_says_of_itself_its_subclasses_say(heirs):
    recorded = episodes(12)
    found = diagnose("my_uniform", recorded[:8], recorded[8:], spaces(), steps=5, bootstraps=0)
    assert "cannot be judged without the truth: it shares the label out" in found.warnings[0]
    one = fit("my_uniform", spaces().store(recorded), 5, 0).redistributor
    assert "what was paid or earned" in no_function(one)
    with pytest.raises(ValueError, match="my_uniform predicts no label: it shares the label out"):
        predictions(one, spaces().store(recorded))
    assert "my_uniform" not in _all_methods()


def test_a_subclass_of_the_oracle_is_shown_the_dense_rewards(heirs):
    training = Training("my_oracle-sac", "BaggedInvertedPendulum-v0", {"bag_len": 5}, TestUsing.CONFIG, seed=0)
    for _ in training.run(until=80):
        pass
    steps = training.store.sample_transitions(50, np.random.default_rng(0))[0]
    assert set(training.store.relabel(training.redistributor, steps).flatten().tolist()) <= {0.0, 1.0}
    training.close()


def test_a_subclass_of_the_oracle_learns_offline_without_labels(heirs):
    env = gym.make("PartiallyLabeledInvertedPendulum-v0", label_fraction=1e-9, expose_reward=True)
    recorded = collect(env, lambda observation: env.action_space.sample(), episodes=3, seed=0)
    config = OfflineConfig(keep_labels=True, evaluation_episodes=1)
    training = OfflineTraining(
        "my_oracle-td3_bc", "PartiallyLabeledInvertedPendulum-v0", recorded, config=config, seed=0
    )
    for _ in training.run(until=1):
        pass
    for own, one in zip(training._recorded.given(), recorded, strict=True):
        assert own.tolist() == one.extras["dense_rewards"].tolist()


def test_a_subclass_of_the_oracle_says_the_rewards_of_a_dataset(heirs):
    dense = record("InvertedPendulum-v5", None, "some/random-v0", episodes=3, seed=0)
    few = delayed(dense, RewardSchedule(bag_len=1), seed=0, exact_count=1)
    told = zip(few.trajectories, dense.trajectories, strict=True)
    told = [replace(one, extras={"dense_rewards": true.rewards}) for one, true in told]
    said = redistributed(replace(few, trajectories=tuple(told)), "my_oracle")
    for one, true in zip(said.trajectories, dense.trajectories, strict=True):
        assert one.rewards.tolist() == true.rewards.tolist()
    run = OfflineRun(Method.named("my_oracle-bc"), Path("nowhere"), RewardSchedule(bag_len=1), 0.5, {}, 0)
    assert [one.extras["dense_rewards"].tolist() for one in late(run, dense)] == [
        one.rewards.tolist() for one in dense.trajectories
    ]


def test_rewards_that_are_not_finite_are_what_is_told(slope):
    register_redistributor(
        type("Mine", (slope,), {"name": "mine", "relabel": lambda self, batch: batch.paid * math.nan})
    )
    recorded = episodes(12)
    found = diagnose("mine", recorded[:8], recorded[8:], spaces(), steps=20, bootstraps=0)
    assert found.refused.startswith("relabel() of the redistributor 'mine' must return finite rewards, got nan among")
