"""The offline loop: who sees which rewards, that a run goes on to the bit, and what is refused."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch

from bagged_envs.baselines import checkpoint, recorded_rewards
from bagged_envs.baselines.benchmark.arms import Arm
from bagged_envs.baselines.checkpoint import CheckpointError, fingerprint
from bagged_envs.baselines.imputation import agreement
from bagged_envs.baselines.methods import OFFLINE_LEARNERS, Method
from bagged_envs.baselines.offline import OfflineConfig, OfflineTraining, offline_config
from bagged_envs.baselines.recorded import labeled_steps, reward_scale
from bagged_envs.baselines.team_training import TeamTraining
from bagged_envs.baselines.training import Training
from tests.baselines.point import ID, register
from tests.baselines.point import recorded as record
from tests.baselines.runs import SETTINGS

SMALL = OfflineConfig(
    batch_size=16, fit_updates=20, fit_batch=8, fit_check_every=5, evaluate_every=10, evaluation_episodes=2
)


@pytest.fixture(scope="module", autouse=True)
def task():
    undo = register()
    yield
    undo()


@pytest.fixture(scope="module")
def recorded(task):
    return record(20, label_fraction=0.2)


@pytest.fixture(scope="module")
def bagged(task):
    return record(12, label_fraction=0.8, id=ID.replace("PartiallyLabeled", "Bagged"), bag_len=4)


def training(name, trajectories, config=SMALL, seed=3, id=ID, **learner):
    redistributor, _ = name.split("-")
    settings = {"hidden": (8,), **learner}
    return OfflineTraining(
        Method.named(name, SETTINGS.get(redistributor, {}), settings), id, trajectories, config=config, seed=seed
    )


def after(one, updates):
    for _ in one.run(updates):
        pass
    return one


def learned(one, updates):
    """The batches of so many updates that move nothing."""
    seen = []
    one.learner.update = lambda batch: seen.append(batch) or {"loss": 1.0}
    after(one, updates)
    return seen


def flat(arrays):
    return np.concatenate(arrays)


def true_rewards(trajectories):
    return flat([one.extras["dense_rewards"] for one in trajectories])


class TestRewards:
    def test_labeled_transitions_keep_their_reward_and_others_get_the_networks(self, recorded):
        one = training("rd-td3_bc", recorded)
        one.fit()
        labeled, said = flat(list(map(labeled_steps, recorded))), flat(one.rewards())
        predicted = flat(one.predictions())
        np.testing.assert_allclose(said[labeled], true_rewards(recorded)[labeled], rtol=1e-6)
        np.testing.assert_array_equal(said[~labeled], predicted[~labeled])
        assert 20 < labeled.sum() < 60
        assert not np.isclose(predicted, true_rewards(recorded)).any()

    def test_unless_they_are_not_to_keep_it(self, recorded):
        one = training("rd-td3_bc", recorded, dataclasses.replace(SMALL, keep_labels=False))
        one.fit()
        predicted = flat(one.predictions())
        np.testing.assert_array_equal(flat(one.rewards()), predicted)

    def test_rewards_of_several_agents_are_added_up_for_one_controller(self, recorded):
        parted = [changed(one, rewards=one.rewards[:, None] * [0.25, 0.75]) for one in recorded]
        one, other = training("rd-td3_bc", recorded), training("rd-td3_bc", parted)
        one.fit()
        other.fit()
        np.testing.assert_allclose(flat(other.rewards()), flat(one.rewards()), rtol=1e-4, atol=1e-5)

    def test_the_constant_is_the_mean_of_labeled_rewards_for_all(self, recorded):
        one = training("constant-td3_bc", recorded, dataclasses.replace(SMALL, fit_updates=500))
        one.fit()
        said, labeled = flat(one.rewards()), flat(list(map(labeled_steps, recorded)))
        assert len(set(said)) == 1
        assert said[0] == pytest.approx(true_rewards(recorded)[labeled].mean(), abs=0.02)
        assert one.imputation.made == 500

    def test_the_oracle_gets_the_dense_rewards(self, recorded):
        one = training("oracle-td3_bc", recorded)
        one.fit()
        np.testing.assert_allclose(flat(one.rewards()), true_rewards(recorded), rtol=1e-6)

    def test_labels_only_draws_labeled_transitions_alone(self, recorded):
        batches = learned(training("labels_only-td3_bc", recorded), 20)
        labeled = flat(list(map(labeled_steps, recorded)))
        wanted = set(np.float32(true_rewards(recorded)[labeled]))
        assert {reward for batch in batches for reward in batch.rewards.numpy()} == wanted

    def test_the_learner_is_given_the_rewards_of_its_steps(self, recorded):
        one = training("oracle-td3_bc", recorded, dataclasses.replace(SMALL, standardize=False))
        for batch in learned(one, 3):
            expected = -(batch.next_observations[:, 0] - 0.6).abs()
            torch.testing.assert_close(batch.rewards, expected, atol=1e-5, rtol=0.0)

    def test_labels_of_longer_bags_are_redistributed(self, bagged):
        one = training("uniform-iql", bagged, dataclasses.replace(SMALL, scale_rewards=False))
        one.fit()
        for episode, said in zip(bagged, one.rewards(), strict=True):
            sums = np.bincount(episode.bag_ids, said)
            shown = np.bincount(episode.bag_ids, episode.rewards)
            np.testing.assert_allclose(sums, np.where(episode.labeled, shown, 0.0), atol=1e-5)

    def test_steps_of_open_bags_are_not_learned_from(self, bagged):
        cut = []
        for one in bagged:
            ids = one.bag_ids[:9]
            labeled = one.labeled & (np.arange(3) < 2)
            rewards = one.rewards[:9].copy()
            rewards[8] = 0.0
            cut.append(
                dataclasses.replace(
                    one, observations=one.observations[:10], actions=one.actions[:9], rewards=rewards, bag_ids=ids,
                    labeled=labeled, terminated=False, closed=False, extras={},
                )
            )  # fmt: skip
        seen = flat([batch.observations.numpy() for batch in learned(training("uniform-bc", cut, NO_SCALING), 40)])
        assert set(seen[:, 0]) == set(flat([one.observations[:8, 0] for one in cut]))


NO_SCALING = dataclasses.replace(SMALL, standardize=False)


class TestLeaks:
    @pytest.mark.parametrize("name", ["rd-td3_bc", "labels_only-iql", "constant-iql"])
    def test_hidden_rewards_change_nothing(self, name, recorded):
        """Those of unlabeled transitions, in whatever place a recording may have them."""
        poisoned = []
        for one in recorded:
            rewards = np.where(one.labeled[one.bag_ids], one.rewards, np.nan)
            extras = {name: np.full_like(array, np.nan, dtype=float) for name, array in one.extras.items()}
            poisoned.append(dataclasses.replace(one, rewards=rewards, extras=extras))
        config = dataclasses.replace(SMALL, scale_rewards=True)
        states = [after(training(name, data, config), 10).state_dict() for data in (recorded, poisoned)]
        assert fingerprint(states[0]) == fingerprint(states[1])

    def test_held_out_labels_are_not_fitted_to(self, recorded):
        one, shown = training("rd-td3_bc", recorded, dataclasses.replace(SMALL, held_out=0.5)), set()
        update = one.redistributor.update

        def watched(batch):
            assert batch.labeled.all()
            shown.update(batch.label.tolist())
            return update(batch)

        one.redistributor.update = watched
        one.fit()
        labels = int(sum(episode.labeled.sum() for episode in recorded))
        assert len(shown) <= labels - round(labels / 2)

    def test_all_labels_are_fitted_to_where_none_is_held_out(self, recorded):
        one = training("rd-td3_bc", recorded, dataclasses.replace(SMALL, held_out=0.0))
        one.fit()
        assert one.imputation.made == one.imputation.updates == 20
        assert one.imputation.error is None


class TestPredictions:
    def test_they_are_compared_with_rewards_that_were_hidden(self, recorded):
        """The truth of unlabeled transitions, against what a run that never saw it says of them."""
        shown = [changed(one, extras={}) for one in recorded]
        method = Method.named("imputer-td3_bc", {"hidden": (32,), "learning_rate": 1e-2}, {"hidden": (8,)})
        config = dataclasses.replace(SMALL, fit_updates=200, fit_check_every=20)
        one = OfflineTraining(method, ID, shown, config=config, seed=3)
        one.fit()
        hidden = [~labeled_steps(episode) for episode in recorded]
        true = [episode.extras["dense_rewards"] for episode in recorded]
        found = agreement(one.predictions(), true, hidden)
        mask, said, truth = flat(hidden), flat(one.predictions()), true_rewards(recorded)
        assert found.steps == mask.sum() > 100
        assert found.error == pytest.approx(np.abs(said - truth)[mask].mean())
        assert found.r2 == pytest.approx(1.0 - np.mean((said - truth)[mask] ** 2) / truth[mask].var())
        assert 0.2 < found.r2 < 1.0
        # Where labels are kept, the learner's rewards agree with all labels; the predictions do not.
        assert agreement(one.rewards(), true, [~of for of in hidden]).error < 1e-6
        assert agreement(one.predictions(), true, [~of for of in hidden]).error > 1e-3

    def test_of_a_constant_they_explain_nothing(self, recorded):
        one = training("constant-td3_bc", recorded, dataclasses.replace(SMALL, fit_updates=200))
        one.fit()
        hidden = [~labeled_steps(episode) for episode in recorded]
        assert agreement(one.predictions(), [e.extras["dense_rewards"] for e in recorded], hidden).r2 <= 0.0

    def test_a_run_that_was_loaded_says_the_same(self, recorded):
        one, again = (training("rd-td3_bc", recorded) for _ in range(2))
        with pytest.raises(ValueError, match="must be fitted before it predicts"):
            one.predictions()
        one.fit()
        again.load_state_dict(one.state_dict())
        np.testing.assert_array_equal(flat(again.predictions()), flat(one.predictions()))

    def test_there_must_be_something_to_compare(self):
        with pytest.raises(ValueError, match="of must have steps to compare, got none"):
            agreement([np.zeros(2)], [np.zeros(2)], [np.zeros(2, dtype=bool)])


@pytest.mark.parametrize(("name", "updates"), [("rd", 10_000), ("rudder", 1000), ("rbt", 1140), ("stas", 100)])
def test_updates_are_those_of_a_methods_own_schedule_where_no_number_is_given(name, updates, recorded, monkeypatch):
    def noted(redistributor, store, generator, most, *others):
        raise RuntimeError(most)

    monkeypatch.setattr(recorded_rewards, "impute", noted)
    config = dataclasses.replace(SMALL, fit_updates=None)
    with pytest.raises(RuntimeError, match=f"^{updates}$"):
        OfflineTraining(Method.named(f"{name}-bc"), ID, recorded, config=config, seed=0).fit()


class TestScale:
    def test_of_the_range_of_returns(self):
        every = [np.array([True, True])] * 3
        assert reward_scale([np.array([1.0, 2.0]), np.array([-5.0, 0.0]), np.array([2.0, 3.0])], every) == 100.0

    def test_steps_without_a_reward_count_as_the_mean_of_the_others(self):
        given = [np.array([True, False]), np.array([True, True]), np.array([False, False])]
        assert reward_scale([np.array([1.0, 99.0]), np.array([1.0, 2.0]), np.array([7.0, 7.0])], given) == 1000.0

    def test_returns_that_are_alike_are_not_blown_up(self):
        assert reward_scale([np.array([0.1, 0.2]), np.array([0.2, 0.1])], [np.array([True, True])] * 2) == 1.0

    def test_of_the_rewards_that_the_learner_is_given(self, recorded):
        config = dataclasses.replace(SMALL, scale_rewards=True)
        plain, scaled = training("rd-iql", recorded), training("rd-iql", recorded, config)
        plain.fit()
        scaled.fit()
        returns = [one.sum() for one in plain.rewards()]
        expected = 1000.0 * flat(plain.rewards()) / np.ptp(returns)
        np.testing.assert_allclose(flat(scaled.rewards()), expected, rtol=1e-5)

    def test_it_is_iqls_default(self):
        assert [offline_config(name).scale_rewards for name in OFFLINE_LEARNERS] == [False, True, False]
        assert not offline_config("iql", {"scale_rewards": False}).scale_rewards


class TestObservations:
    def test_the_learner_sees_them_standardized(self, recorded):
        one = training("oracle-td3_bc", recorded)
        steps = flat([episode.observations[:-1] for episode in recorded]).astype(np.float64)
        batch = learned(one, 1)[0]
        raw = batch.observations.double() * (steps.std() + 1e-3) + steps.mean()
        np.testing.assert_allclose(one.standardization.mean, steps.mean(axis=0))
        assert all(np.isclose(steps, value, atol=1e-5).any() for value in raw.numpy()[:, 0])

    def test_the_policy_that_is_evaluated_too(self, recorded):
        one, seen = training("oracle-td3_bc", recorded), []
        act = one.learner.act
        one.learner.act = lambda observations, explore: (
            seen.append((observations, explore)) or act(observations, explore)
        )
        one.act(np.array([0.25], np.float32))
        ((observation, explore),) = seen
        mean, deviation = one.standardization.mean[0], one.standardization.deviation[0]
        assert observation.item() == pytest.approx((0.25 - mean) / deviation)
        assert not explore

    def test_a_time_limit_ends_no_task_but_termination_does(self, recorded):
        ended = [dataclasses.replace(one, terminated=place % 2 == 0) for place, one in enumerate(recorded)]
        assert not any(batch.terminated.any() for batch in learned(training("oracle-td3_bc", recorded), 20))
        stopped = flat([batch.terminated.numpy() for batch in learned(training("oracle-td3_bc", ended), 40)])
        assert 0.02 < stopped.mean() < 0.09  # one of twenty steps


@pytest.mark.parametrize("name", ["rd-td3_bc", "labels_only-iql", "oracle-bc", "rudder-td3_bc"])
@pytest.mark.parametrize("stop", [0, 7])
def test_a_run_that_was_stopped_goes_on_to_the_bit(name, stop, tmp_path, recorded):
    whole, first = after(training(name, recorded), 20), after(training(name, recorded), stop)
    checkpoint.save(tmp_path / "checkpoint.pt", first.state_dict())
    second = training(name, recorded)
    second.load_state_dict(checkpoint.load(tmp_path / "checkpoint.pt"))
    assert fingerprint(second.state_dict()) == fingerprint(first.state_dict())
    assert second.fitted == first.fitted == (stop > 0)
    after(second, 20)
    assert fingerprint(second.state_dict()) == fingerprint(whole.state_dict())
    assert second.progress().evaluation == whole.progress().evaluation


def test_a_state_of_other_episodes_is_refused(recorded):
    state = after(training("rd-td3_bc", recorded), 3).state_dict()
    with pytest.raises(CheckpointError, match="must have had these trajectories"):
        training("rd-td3_bc", recorded[1:]).load_state_dict(state)


def test_what_progress_tells(recorded):
    (first, second) = training("rd-iql", recorded).run(until=20)
    assert (first.step, second.step, first.episodes) == (10, 20, 20)
    assert len(first.evaluation.returns) == 2
    assert first.evaluation != second.evaluation
    learner = {f"learner/{name}" for name in ("critic_loss", "policy_loss", "value_loss")}
    assert {"redistributor/loss", "redistributor/held_out_error", *learner} < set(first.means)
    assert set(second.means) == learner


def test_seeds_decide_everything(recorded):
    one, same, other = (fingerprint(after(training("rd-td3_bc", recorded, seed=n), 4).state_dict()) for n in (1, 1, 2))
    assert one == same != other


def changed(one, **columns):
    return dataclasses.replace(one, **columns)


class TestRefusals:
    def test_no_labels(self, recorded):
        unlabeled = [changed(one, labeled=one.labeled & False) for one in recorded]
        for name in ("rd-td3_bc", "labels_only-bc", "identity-iql"):
            with pytest.raises(ValueError, match=f"labeled bags for {name}, got 200 without: label some"):
                training(name, unlabeled)
        for name in ("identity-bc", "oracle-iql"):  # need none
            assert training(name, unlabeled).episodes == 20

    def test_one_label_cannot_be_held_out(self, recorded):
        labeled = [changed(one, labeled=one.labeled & False) for one in recorded]
        labeled[3].labeled[0] = True
        with pytest.raises(
            ValueError, match=r"held_out=0.1 needs two labeled bags, got 1: use held_out=0, or show more"
        ):
            training("rd-td3_bc", labeled).fit()

    def test_no_episode(self):
        with pytest.raises(ValueError, match="trajectories must be at least one episode, got none"):
            training("rd-td3_bc", [])

    @pytest.mark.parametrize(
        ("column", "values", "message"),
        [
            ("observations", np.zeros((11, 2)), "must be of the environment's space, got"),
            ("actions", np.zeros((10, 2)), "must be of the environment's space, got"),
            ("observations", np.full((11, 1), np.nan), r"must be finite, got \[nan\] in row 0"),
            ("actions", np.full((10, 1), 1.5), r"must be within Box.*, got 1.5 to 1.5: give them"),
        ],
    )
    def test_episodes_of_another_environment(self, column, values, message, recorded):
        with pytest.raises(ValueError, match=f"{column} of trajectory 1 {message}"):
            training("rd-td3_bc", [recorded[0], changed(recorded[1], **{column: values})])

    def test_a_label_that_is_not_finite(self, recorded):
        one = recorded[0]
        spoiled = changed(one, labeled=one.labeled | True, rewards=np.where(np.arange(10) == 4, np.nan, one.rewards))
        with pytest.raises(
            ValueError, match="rewards of labeled bags of trajectory 0 must be finite, got nan in row 4"
        ):
            training("rd-td3_bc", [spoiled])

    def test_an_oracle_that_is_told_nothing(self, recorded):
        with pytest.raises(ValueError, match=r"trajectory 0 must have extras\['dense_rewards'\] for oracle, got none"):
            training("oracle-iql", [changed(one, extras={}) for one in recorded])

    def test_discrete_actions(self):
        with pytest.raises(TypeError, match=r"Box of floats for this learner, got Discrete"):
            training("rd-td3_bc", [], id="BaggedKeyDoor-v0")

    def test_an_environment_without_a_delay(self, recorded):
        with pytest.raises(
            gymnasium.error.Error, match="KeyDoor-v0 is dense and has no schedule: take BaggedKeyDoor-v0"
        ):
            training("rd-td3_bc", recorded, id="KeyDoor-v0")

    @pytest.mark.parametrize("learner", OFFLINE_LEARNERS)
    def test_offline_learners_do_not_play(self, learner):
        with pytest.raises(ValueError, match=f"{learner} learns from recorded episodes: use OfflineTraining"):
            Training(f"rd-{learner}", "BaggedHopper-v0", seed=0)
        with pytest.raises(ValueError, match="the learner of a team must be one of"):
            TeamTraining(f"rd-{learner}", "EpisodicCooperativeNavigation-v0", seed=0)
        assert Arm("x", f"rd-{learner}", "a test", trials=0).kind == "offline"

    def test_others_do(self, recorded):
        with pytest.raises(ValueError, match="td3 learns while it plays: use Training, or name one of td3_bc, iql, bc"):
            training("rd-td3", recorded)

    @pytest.mark.parametrize("name", ["batch", "td3"])
    def test_unknown_settings(self, name):
        with pytest.raises(
            ValueError, match="A setting of offline training must be one of|an offline learner must be one"
        ):
            offline_config("iql" if name == "batch" else name, {"batch": 3})


@pytest.mark.long
def test_imputed_rewards_are_better_than_one_for_all_and_nearly_as_good_as_the_true_ones(task):
    """400 random transitions, a tenth of them labeled; who stays where it begins has about -6.8."""
    trajectories = record(40, label_fraction=0.1)
    config = OfflineConfig(
        batch_size=64, fit_updates=200, fit_batch=32, fit_check_every=50, evaluate_every=300, evaluation_episodes=20
    )
    learner = {"hidden": (32,), "discount": 0.9, "tau": 0.05}
    learner |= {f"{name}_learning_rate": 2e-3 for name in ("actor", "critic")}
    found = {}
    for name in ("constant", "rd", "oracle"):
        redistributor = {"hidden": (32,), "learning_rate": 3e-3} if name == "rd" else {}
        method = Method.named(f"{name}-td3_bc", redistributor, learner)
        (progress,) = OfflineTraining(method, ID, trajectories, config=config, seed=0).run(until=300)
        found[name] = progress.evaluation.mean
    assert found["rd"] > found["constant"] + 1.5  # of seeds 0 to 2: -2.8 against -5.7, with true rewards -2.8
    assert found["rd"] > found["oracle"] - 1.0
