"""Checkpoints are whole or refused, run no code, and bring everything back to the bit."""

import os
import pickle

import numpy as np
import pytest
import torch

from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.checkpoint import CheckpointError, fingerprint, load, save

STATE = {
    "weights": {"0.bias": torch.tensor([1.5, -0.0])},
    "generator": np.random.default_rng(3).bit_generator.state,
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), dtype=np.float32),
    "scalar": np.float32(0.1),
    "names": ["a", ("b", None, 2**100)],
}


def test_everything_comes_back_to_the_bit(tmp_path):
    save(tmp_path / "state.ckpt", STATE)
    state = load(tmp_path / "state.ckpt")
    assert repr(state["weights"]["0.bias"].tolist()) == "[1.5, -0.0]"
    assert state["generator"] == STATE["generator"]
    assert (state["flags"].dtype, state["flags"].tolist()) == (np.bool_, [True, False])
    assert (state["empty"].dtype, state["empty"].shape) == (np.float32, (0, 3))
    assert state["scalar"] == float(np.float32(0.1))
    assert state["names"] == ["a", ("b", None, 2**100)]


def test_an_older_one_is_replaced_whole_and_nothing_is_left_beside(tmp_path):
    path = tmp_path / "deep" / "state.ckpt"
    save(path, {"n": 1})
    save(path, {"n": 2})
    assert load(path) == {"n": 2}
    assert os.listdir(path.parent) == ["state.ckpt"]


def test_a_writer_that_dies_leaves_the_older_one(tmp_path, monkeypatch):
    path = tmp_path / "state.ckpt"
    save(path, {"n": 1})

    def dies(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"n": 2})
    assert load(path) == {"n": 1}


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:40], lambda data: b"", lambda data: b"x"])
def test_a_cut_file_is_refused(tmp_path, spoil):
    path = tmp_path / "state.ckpt"
    save(path, STATE)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointError, match="state.ckpt is no whole checkpoint.*Remove it to begin anew"):
        load(path)


def test_any_flipped_bit_is_found(tmp_path):
    path = tmp_path / "state.ckpt"
    save(path, {"n": 1})
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(CheckpointError):
            load(path)


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch hacked",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "packed", lambda state: state)
    save(tmp_path / "state.ckpt", {"n": Hostile()})
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load(tmp_path / "state.ckpt")
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("value", [{1, 2}, Hostile(), lambda: 0])
def test_what_cannot_be_loaded_again_is_not_saved(tmp_path, value):
    with pytest.raises(TypeError, match="a checkpoint cannot hold"):
        save(tmp_path / "state.ckpt", {"deep": [value]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 2.0]), "b": 2},
        {"a": torch.tensor([1.0, 2.0], dtype=torch.float64), "b": 1},
        {"a": torch.tensor([[1.0, 2.0]]), "b": 1},
        {"a": torch.tensor([1.0, 2.0000002]), "b": 1},
        {"a": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([1.0, 2.0]), "c": 1},
    ],
)
def test_a_fingerprint_differs_where_anything_does(other):
    state = {"a": torch.tensor([1.0, 2.0]), "b": 1}
    assert fingerprint(state) == fingerprint({"b": 1, "a": torch.tensor([1.0, 2.0])})
    assert fingerprint(state) != fingerprint(other)
