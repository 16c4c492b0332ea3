"""N copies of a Gymnasium MuJoCo task, equal to N environments of Gymnasium's own to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium.envs.mujoco.mujoco_env import DEFAULT_SIZE, expand_model_path
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from gymnasium.envs.registration import load_env_creator
from gymnasium.spaces import Box
from gymnasium.utils import seeding

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.engines.actions import accepted
from bagged_envs.engines.crew import crew_size, effort_of
from bagged_envs.engines.row import Facts, Row
from bagged_envs.engines.simulators import Advance, Simulators
from bagged_envs.wrappers.arguments import positive_int

TABLE = "bagged_envs.engines.mujoco_tasks"  # where a task is found by its name
# Of every MuJoCo environment of Gymnasium.
RENDERING: dict[str, Any] = {
    "width": DEFAULT_SIZE,
    "height": DEFAULT_SIZE,
    "camera_id": None,
    "camera_name": None,
    "max_geom": 1000,
    "visual_options": None,
}


class MujocoBatch:
    """A `SimulatorBatch` of one task.

    As in Gymnasium, actions outside the action space are taken (MuJoCo clips them), options of a reset are ignored, and
    a simulation whose numbers run away is begun anew by MuJoCo itself, with a warning of its own. A copied or
    unpickled batch is made anew from its arguments and must be reset.
    """

    def __init__(self, row: Row, num_envs: int, num_threads: int | None = None, **arguments: Any) -> None:
        """Load the model and make the copies.

        Args:
            row: The task.
            num_envs: How many copies.
            num_threads: How many threads step them; None for as many as there are cores, if each has enough to do.
            **arguments: Those of Gymnasium's class.

        Raises:
            OSError: `xml_file` does not exist.
            TypeError: The task does not know an argument.
            ValueError: An argument has a value that cannot be meant.
        """
        self._made_of = (row.name, num_envs, num_threads, arguments)
        a = task_arguments(row, arguments)
        model = load(a)
        size = crew_size(num_threads, num_envs, effort_of(model, a.frame_skip))
        self.num_envs, self.num_threads = num_envs, size
        self._simulators = Simulators(
            model, num_envs, ("qpos", "qvel", *row.fields), advance(model, row, a.frame_skip), size
        )
        self._row, self._a, self._now = row, a, self._simulators.now
        self._describe(model, a.frame_skip)
        self.observation_space = Box(-np.inf, np.inf, row.observe(self._now, a).shape[1:], np.float64)
        low, high = model.actuator_ctrlrange.copy().astype(np.float32).T
        self.action_space = Box(low=low, high=high, dtype=np.float32)
        modes = ["rgb_array", "depth_array", "rgbd_tuple"]  # "human" opens windows, one per copy
        fps = int(np.round(1.0 / self._now.dt))
        self.metadata = {"render_modes": modes, "render_fps": fps, "num_threads": size}
        self._everyone = list(range(num_envs))
        self._facts: Facts = {}
        self._renderers: dict[int, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what it is made of: simulators cannot be."""
        return _made, self._made_of

    def generator(self, seed: int | None) -> tuple[np.random.Generator, int]:
        """Return a copy's random numbers, and the seed that they began with."""
        return seeding.np_random(seed)

    def accept(self, actions: Any, active: Bools | None) -> npt.NDArray[Any]:
        """Return the actions as an array; those of copies that are not `active` may be anything."""
        return accepted(actions, (self.num_envs, *self.action_space.shape), active)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the copies `slots`; options are ignored, as Gymnasium does."""
        model = self._simulators.model
        for slot, generator in zip(slots.tolist(), generators, strict=True):
            data = self._simulators.data[slot]
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:] = self._row.start(generator, self._now, self._a)
            mujoco.mj_forward(model, data)
        self._simulators.gather()

    def step(self, actions: Any, active: Bools | None = None) -> tuple[Floats, Bools]:
        """Make one step in every copy, or the `active` ones.

        Raises:
            SimulationError: MuJoCo could not.
        """
        row, now = self._row, self._now
        if row.position is not None:
            now.before = row.position(now, self._a)
        slots = self._everyone if active is None else np.flatnonzero(active).tolist()
        self._simulators.step(actions, slots)
        self._simulators.gather()
        reward, terminated, self._facts = row.judge(now, self._a, actions)
        return reward.astype(np.float64, copy=False), terminated

    def observe(self) -> npt.NDArray[Any]:
        """Return what each copy observes now, float64 `(N, ...)`."""
        return self._row.observe(self._now, self._a)

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return what Gymnasium's info tells after resets and steps."""
        return self._row.facts(self._now, self._a)

    def step_info(self) -> dict[str, npt.NDArray[Any]]:
        """Return what info tells of the last step alone, its terms of the reward among it."""
        return self._facts

    def render(self, slot: int, mode: str) -> Any:
        """Return a picture of one copy: an array, or for "rgbd_tuple" two."""
        if slot not in self._renderers:
            self._renderers[slot] = renderer(self._simulators.model, self._simulators.data[slot], self._a)
        return self._renderers[slot].render(mode)

    def close(self) -> None:
        """End the threads and free the renderers; a second call does nothing."""
        self._simulators.close()
        while self._renderers:
            self._renderers.popitem()[1].close()

    def _describe(self, model: Any, frame_skip: int) -> None:
        """Give `now` what never changes."""
        now = self._now
        index = cache(lambda name: model.body(name).id)
        now.body = lambda name: now.xpos[:, index(name)]
        now.init_qpos, now.init_qvel = now.qpos[0].copy(), now.qvel[0].copy()
        now.body_mass = model.body_mass
        now.timestep, now.dt = model.opt.timestep, model.opt.timestep * frame_skip


def _made(name: str, num_envs: int, num_threads: int | None, arguments: dict[str, Any]) -> MujocoBatch:
    create: Any = load_env_creator(f"{TABLE}:{name}")
    batch: MujocoBatch = create(num_envs=num_envs, num_threads=num_threads, **arguments)
    return batch


def task_arguments(row: Row, given: Mapping[str, Any]) -> SimpleNamespace:
    """Return all arguments of a task, its defaults filled in.

    Raises:
        TypeError: The task does not know one of those given; the message names it. `frame_skip` is no int.
        ValueError: Two of them contradict each other. `frame_skip` is below 1.
    """
    own = {"xml_file": row.model, "frame_skip": row.frame_skip, "default_camera_config": row.camera}
    known = {**own, **row.arguments, **RENDERING}
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"{row.name} got an unexpected argument {name}={value!r}: it takes {', '.join(known)}.")
    a = SimpleNamespace(**{**known, **given})
    a.frame_skip = positive_int("frame_skip", a.frame_skip)
    if a.camera_id is not None and a.camera_name is not None:
        raise ValueError(f"camera_id={a.camera_id!r} and camera_name={a.camera_name!r} exclude each other: give one.")
    return a


def load(a: SimpleNamespace) -> Any:
    """Return the model that `xml_file` names, its pictures as large as `width` and `height`."""
    model = mujoco.MjModel.from_xml_path(expand_model_path(a.xml_file))
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, a.width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, a.height)
    return model


def advance(model: Any, row: Row, frame_skip: int) -> Advance:
    """Return a function that makes one step of the environment.

    Where no contact forces are read, what computes them is left out: nothing else depends on it.
    """
    step = mujoco.mj_step
    if not row.contacts:
        return lambda data: step(model, data, frame_skip)
    contact_forces = mujoco.mj_rnePostConstraint

    def step_and_forces(data: Any) -> None:
        step(model, data, frame_skip)
        contact_forces(model, data)

    return step_and_forces


def renderer(model: Any, data: Any, a: SimpleNamespace) -> MujocoRenderer:
    """Return Gymnasium's renderer of one copy."""
    return MujocoRenderer(
        model,
        data,
        a.default_camera_config,
        a.width,
        a.height,
        a.max_geom,
        a.camera_id,
        a.camera_name,
        a.visual_options,
    )
