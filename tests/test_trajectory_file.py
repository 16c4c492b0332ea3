"""Trajectories in files: what comes back, and every way in which a file may be damaged."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from bagged_envs.trajectory import Trajectory
from bagged_envs.trajectory_file import TrajectoryFileError, load_trajectories, save_trajectories

FIELDS = ("observations", "actions", "rewards", "bag_ids", "labeled")


def episode(lengths, number=0, **fields):
    steps = sum(lengths)
    whole = {
        "observations": np.arange(2.0 * (steps + 1), dtype=np.float32).reshape(-1, 2) + number,
        "actions": np.arange(steps) % 3,
        "rewards": np.arange(float(steps)),
        "bag_ids": np.repeat(np.arange(len(lengths)), lengths),
        "labeled": np.array([True] * (len(lengths) - 1) + [False]),
        "terminated": number % 2 == 1,
        "extras": {"dense_rewards": np.ones(steps), "alive": np.ones((steps + 1, 2), dtype=bool)},
    }
    return Trajectory(**{**whole, **fields})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some" / "episodes.npz"
    save_trajectories(path, [episode([2, 3]), episode([1], 1), episode([4, 4], 2, closed=False)])
    return path


def rewrite(file, change):
    """Change the arrays of a file; what it says of itself stays as it was."""
    with np.load(file) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez_compressed(file, **arrays)


def test_everything_comes_back_to_the_bit(file):
    wanted = [episode([2, 3]), episode([1], 1), episode([4, 4], 2, closed=False)]
    found = load_trajectories(file)
    assert [(one.terminated, one.closed) for one in found] == [(False, True), (True, True), (False, False)]
    for one, other in zip(found, wanted, strict=True):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype
        assert one.extras.keys() == other.extras.keys()
        for name in one.extras:
            np.testing.assert_array_equal(one.extras[name], other.extras[name])


def test_the_same_content_has_the_same_sum(file, tmp_path):
    digest = save_trajectories(tmp_path / "again.npz", load_trajectories(file))
    with np.load(file) as archive:
        assert str(archive["sha256"]) == digest


def test_nothing_is_left_beside_it_and_an_older_file_is_replaced(file):
    save_trajectories(file, [episode([1])])
    assert [path.name for path in file.parent.iterdir()] == ["episodes.npz"]
    assert len(load_trajectories(file)) == 1


def test_what_cannot_be_written_leaves_the_older_file(file):
    with pytest.raises(ValueError, match="actions must be in all 2 trajectories"):
        save_trajectories(file, [episode([1]), episode([1], actions=np.zeros((1, 2)))])
    assert len(load_trajectories(file)) == 3
    assert [path.name for path in file.parent.iterdir()] == ["episodes.npz"]


class TestSaving:
    def test_none_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="at least one"):
            save_trajectories(tmp_path / "none.npz", [])

    def test_extras_of_some_only_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="dense_rewards must be in all 2"):
            save_trajectories(tmp_path / "x.npz", [episode([1]), episode([1], extras={})])

    @pytest.mark.parametrize("name", ["observations", "actions"])
    def test_nan_is_refused(self, tmp_path, name):
        one = episode([2, 1])
        values = np.full_like(getattr(one, name), np.nan, dtype=np.float64)
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            save_trajectories(tmp_path / "x.npz", [episode([2, 1], **{name: values})])

    def test_objects_are_refused(self, tmp_path):
        extras = {"note": np.array(["a", None], dtype=object)}
        with pytest.raises(ValueError, match="note must hold numbers, got Python objects"):
            save_trajectories(tmp_path / "x.npz", [episode([2], extras=extras)])


class TestDamage:
    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load_trajectories(tmp_path / "nonesuch.npz")

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
    def test_a_cut_file(self, file, share):
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(TrajectoryFileError, match=r"episodes\.npz: the archive cannot be read"):
            load_trajectories(file)

    def test_a_flipped_bit_names_the_field(self, file):
        content = bytearray(file.read_bytes())
        with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
            place = archive.getinfo("rewards.npy").header_offset + 90
        content[place] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(TrajectoryFileError, match=r"episodes\.npz: rewards cannot be read"):
            load_trajectories(file)

    def test_a_pickle_is_never_loaded(self, file):
        file.write_bytes(pickle.dumps({"anything": print}))
        with pytest.raises(TrajectoryFileError, match="no file of save_trajectories"):
            load_trajectories(file)

    def test_pickled_objects_inside_are_never_loaded(self, file):
        rewrite(file, lambda arrays: arrays.update(rewards=np.array([{"a": 1}] * 14, dtype=object)))
        with pytest.raises(TrajectoryFileError, match="rewards cannot be read"):
            load_trajectories(file)

    def test_a_text(self, file):
        file.write_text("Please find the recordings attached.")
        with pytest.raises(TrajectoryFileError, match=r"episodes\.npz: this is no file of save_trajectories"):
            load_trajectories(file)

    def test_one_bare_array(self, file):
        with file.open("wb") as stream:
            np.save(stream, np.zeros(3))
        with pytest.raises(TrajectoryFileError, match="no file of save_trajectories"):
            load_trajectories(file)

    @pytest.mark.parametrize("name", ["format", "sha256", "steps", "bags", "terminated", "closed", *FIELDS])
    def test_a_missing_field_is_named(self, file, name):
        rewrite(file, lambda arrays: arrays.pop(name))
        with pytest.raises(TrajectoryFileError, match=f"{name} must be .*, got nothing"):
            load_trajectories(file)

    @pytest.mark.parametrize("name", ["steps", "bags", "terminated", "closed", *FIELDS, "step_extras/dense_rewards"])
    def test_a_field_that_is_too_short_is_named(self, file, name):
        rewrite(file, lambda arrays: arrays.update({name: arrays[name][:-1]}))
        with pytest.raises(TrajectoryFileError, match="must have .* rows, got"):
            load_trajectories(file)

    @pytest.mark.parametrize(("name", "dtype"), [("rewards", np.int64), ("labeled", np.int64), ("steps", np.float64)])
    def test_a_wrong_kind_is_named(self, file, name, dtype):
        rewrite(file, lambda arrays: arrays.update({name: arrays[name].astype(dtype)}))
        with pytest.raises(TrajectoryFileError, match=f"{name} must be an array of kind"):
            load_trajectories(file)

    def test_changed_content_is_found_by_the_sum(self, file):
        rewrite(file, lambda arrays: arrays["rewards"].__setitem__(3, 99.0))
        with pytest.raises(TrajectoryFileError, match="sha256 does not fit"):
            load_trajectories(file)

    def test_another_format(self, file):
        rewrite(file, lambda arrays: arrays.update(format=np.array("bagged_envs trajectories 99")))
        with pytest.raises(TrajectoryFileError, match="format must be"):
            load_trajectories(file)

    def test_an_unknown_field(self, file):
        rewrite(file, lambda arrays: arrays.update(more=np.zeros(3)))
        with pytest.raises(TrajectoryFileError, match="more is no field"):
            load_trajectories(file)

    def test_steps_below_one(self, file):
        rewrite(file, lambda arrays: arrays.update(steps=np.array([15, 0, -1])))
        with pytest.raises(TrajectoryFileError, match="steps and bags must be at least 1"):
            load_trajectories(file)
