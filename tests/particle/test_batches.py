"""What holds for every task of the particle world."""

import copy
import pickle

import numpy as np
import pytest

from tests.particle.starting import MAKERS, begun, generators, random_actions

STEPS = 12


def trace(batch, steps, first=0):
    """Everything that comes out of an episode."""
    batch.reset(np.arange(batch.num_envs), generators(batch.num_envs, first))
    rows = [[batch.observe(), *batch.info().values()]]
    for actions in steps:
        rewards, ended = batch.step(actions)
        rows.append([batch.observe(), *batch.info().values(), rewards, ended])
    return rows


@pytest.mark.parametrize("name", MAKERS)
class TestEveryTask:
    def test_worlds_together_do_what_each_does_alone(self, name):
        together = MAKERS[name](3)
        steps = random_actions(together, STEPS)
        for k, rows in enumerate(trace(MAKERS[name](1), steps[:, [k]], first=k) for k in range(3)):
            for ours, theirs in zip(trace(together, steps), rows, strict=True):
                for several, one in zip(ours, theirs, strict=True):
                    assert np.array_equal(several[[k]], one)

    def test_a_reset_of_one_world_leaves_the_others_alone(self, name):
        batch, twin = (begun(MAKERS[name](3)) for _ in range(2))
        steps = random_actions(batch, STEPS)
        for actions in steps[:5]:
            batch.step(actions)
            twin.step(actions)
        batch.reset(np.array([1]), generators(1, 7))
        alone = MAKERS[name](1)
        alone.reset(np.array([0]), generators(1, 7))
        assert np.array_equal(batch.observe()[[1]], alone.observe())
        for actions in steps[5:]:
            rewards = [b.step(a)[0] for b, a in ((batch, actions), (twin, actions), (alone, actions[[1]]))]
            assert np.array_equal(rewards[0][[0, 2]], rewards[1][[0, 2]])
            assert np.array_equal(rewards[0][[1]], rewards[2])
            assert np.array_equal(batch.observe()[[0, 2]], twin.observe()[[0, 2]])
            assert np.array_equal(batch.observe()[[1]], alone.observe())

    def test_only_reset_draws(self, name):
        batch, sources = MAKERS[name](2), generators(2)
        batch.reset(np.arange(2), sources)
        before = [source.bit_generator.state for source in sources]
        for actions in random_actions(batch, 3):
            batch.step(actions)
            batch.observe(), batch.info(), batch.render(0, "rgb_array")
        assert [source.bit_generator.state for source in sources] == before

    def test_as_much_is_drawn_for_a_given_start_as_for_an_ordinary_one(self, name):
        batch, sources, others = MAKERS[name](2), generators(2), generators(2)
        batch.reset(np.arange(2), sources)
        world = batch._hunt.world if hasattr(batch, "_hunt") else batch._world
        batch.reset(np.arange(2), others, {"positions": np.zeros((world.num_bodies, 2))})
        assert [s.bit_generator.state for s in sources] == [s.bit_generator.state for s in others]

    def test_shapes_dtypes_and_names(self, name):
        batch = begun(MAKERS[name](2))
        count = len(batch.agents)
        assert sum(batch.teams.values(), ()) == batch.agents
        observed = batch.observe()
        assert (observed.shape, observed.dtype) == ((2, count, *batch.observation_space.shape), np.float32)
        assert batch.observation_space.contains(observed[0, 0])
        assert batch.action_space.n == 5
        rewards, ended = batch.step(np.zeros((2, count), dtype=np.int64))
        assert (rewards.shape, rewards.dtype) == ((2, count), np.float64)
        assert (ended.tolist(), ended.dtype) == ([False, False], np.bool_)
        assert all(value.shape == (2,) for value in batch.info().values())
        assert batch.metadata["render_modes"] == ["rgb_array"]

    def test_what_comes_out_is_ours_to_keep(self, name):
        batch = begun(MAKERS[name](1))
        kept = [batch.observe(), *batch.info().values(), *batch.step(random_actions(batch, 1)[0])]
        copies = [array.copy() for array in kept]
        for actions in random_actions(batch, 3, seed=1):
            batch.step(actions)
            batch.observe(), batch.info()
        assert all(map(np.array_equal, kept, copies))

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
    def test_a_copy_goes_on_alone(self, name, copied):
        batch = begun(MAKERS[name](2))
        steps = random_actions(batch, 4)
        batch.step(steps[0])
        twin = copied(batch)
        before = batch.observe()
        ahead = [(twin.step(actions)[0], twin.observe()) for actions in steps[1:]]
        assert np.array_equal(batch.observe(), before)
        for actions, (rewards, observed) in zip(steps[1:], ahead, strict=True):
            assert np.array_equal(batch.step(actions)[0], rewards)
            assert np.array_equal(batch.observe(), observed)
        assert not np.array_equal(before, observed)
        for either in (batch, twin):
            begun(either)
        assert np.array_equal(batch.observe(), twin.observe())

    def test_a_reset_of_no_world_does_nothing(self, name):
        batch = begun(MAKERS[name](2))
        before = batch.observe()
        batch.reset(np.arange(0), [])
        assert np.array_equal(batch.observe(), before)

    def test_nothing_is_ever_not_a_number(self, name):
        """Shortened: the full 10,000 episodes of 30 agents were run by hand."""
        batch = MAKERS[name](16)
        for episode in range(3):
            for row in trace(batch, random_actions(batch, 25, seed=episode), first=16 * episode):
                assert all(np.isfinite(array).all() for array in row)

    def test_a_picture_is_a_picture(self, name):
        picture = begun(MAKERS[name](2)).render(1, "rgb_array")
        assert (picture.shape, picture.dtype) == ((480, 480, 3), np.uint8)
        with pytest.raises(ValueError, match="render_mode must be one of 'rgb_array', got 'human'"):
            MAKERS[name](1).render(0, "human")


START = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ([1], TypeError, r"options must be a mapping with any of \('positions', 'velocities'\), got \[1\]"),
        (
            {"position": START},
            ValueError,
            "a key of options must be one of .* got 'position'. Did you mean 'positions'",
        ),
        (
            {"positions": START[:5]},
            ValueError,
            r'options\["positions"\] must have shape \(6, 2\), or .* got shape \(5, 2\)',
        ),
        (
            {"velocities": START},
            ValueError,
            r'options\["velocities"\] must have shape \(3, 2\), or .* got shape \(6, 2\)',
        ),
        ({"positions": START * np.nan}, ValueError, r'options\["positions"\] must be finite, got nan'),
        ({"positions": "here"}, TypeError, r'options\["positions"\] must be an array of numbers'),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_anything_is_drawn(options, error, message):
    batch, sources = MAKERS["triangle-area"](1), generators(1)
    before = sources[0].bit_generator.state
    with pytest.raises(error, match=message):
        batch.reset(np.arange(1), sources, options)
    assert sources[0].bit_generator.state == before


def test_a_start_may_be_given_for_each_world_and_in_part():
    batch = MAKERS["triangle-area"](3)
    begun(batch)
    drawn = batch._world.positions.copy()
    batch.reset(np.array([0, 2]), generators(2), {"positions": np.stack([START, -START])})
    assert np.array_equal(batch._world.positions, np.stack([START, drawn[1], -START]))
    batch.reset(np.array([1]), generators(1, 1), {"velocities": np.ones((3, 2))})
    assert np.array_equal(batch._world.positions[1], drawn[1])
    assert batch._world.velocities.tolist() == [[[0.0, 0.0]] * 3, [[1.0, 1.0]] * 3, [[0.0, 0.0]] * 3]
