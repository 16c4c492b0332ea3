"""One run of a benchmark in its own folder: owned by one, resumed where it was stopped, and marked when it is whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym

from bagged_envs.baselines import runs
from bagged_envs.baselines.benchmark.agents import packages, train_agent
from bagged_envs.baselines.benchmark.arms import Arm
from bagged_envs.baselines.benchmark.form import read_counted
from bagged_envs.baselines.benchmark.on_recordings import train_on_recordings
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.provenance import machine, revision
from bagged_envs.baselines.benchmark.quality import scores_of
from bagged_envs.baselines.benchmark.result_file import (
    EVALUATED,
    FAILURE,
    FORMAT,
    Parts,
    key_of,
    name_of,
    write_failure,
    write_result,
)
from bagged_envs.baselines.lease import Taken, lease
from bagged_envs.registration import registered_id, spec_of, task_arguments, task_of
from bagged_envs.whole_file import remove_unfinished

Report = Callable[[int, Mapping[str, Any] | None], None]


@dataclass(frozen=True)
class Job:
    """A method on an environment with a seed, under a protocol: all that its result depends on.

    Attributes:
        arm: The method.
        id: A registered ID with a delay, as `registered_id` has it, however it was given.
        arguments: Of the environment.
        seed: Of everything random.
        steps: How long.
        protocol: What it is evaluated by.
        device: Where networks live.
        threads: Of torch.
    """

    arm: Arm
    id: str
    arguments: Mapping[str, Any]
    seed: int
    steps: int
    protocol: Protocol = field(repr=False)
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        """Check that there is something to score.

        Raises:
            ValueError: The run ends before its first evaluation, or what is no method of ours is to use another device.
            gymnasium.error.Error: The ID is not registered.
        """
        object.__setattr__(self, "id", registered_id(self.id))
        if self.arm.kind != "redistribution" and self.steps < self.protocol.every:
            raise ValueError(f"steps must be at least {self.protocol.every}, one evaluation, got {self.steps}.")
        if self.arm.kind != "training" and self.device != "cpu":
            raise ValueError(f"device must be 'cpu' for kind {self.arm.kind!r}, got {self.device!r}.")

    def run(self) -> runs.Run:
        """Return what is trained.

        Raises:
            ValueError: A setting is wrong, or there is no such device here.
        """
        evaluation = {"evaluate_every": self.protocol.every, "evaluation_episodes": self.protocol.episodes}
        config = self.arm.config(**evaluation)
        return runs.Run(self.arm.made(), self.id, self.arguments, config, self.seed, self.device, self.threads)

    def described(self) -> dict[str, Any]:
        """Return what the result depends on, defaults and versions of packages included, as JSON carries it."""
        own = {name: getattr(self, name) for name in ("id", "seed", "steps", "device", "threads")}
        own["arguments"] = self.differing
        told = {**self.arm.settings(), **own, "protocol": self.protocol.hash, "versions": self._versions()}
        described: dict[str, Any] = json.loads(json.dumps(told))
        return described

    @property
    def differing(self) -> dict[str, Any]:
        """The arguments that are not what the ID has anyway, by name: an environment is the same however it is told."""
        spec = spec_of(self.id)
        registered = json.loads(json.dumps({"max_episode_steps": spec.max_episode_steps, **spec.kwargs}))
        given = json.loads(json.dumps(dict(sorted(self.arguments.items()))))
        return {name: value for name, value in given.items() if registered.get(name, ...) != value}

    def _versions(self) -> dict[str, str | None]:
        return runs.versions(self.id) | (packages(self.arm.method) if self.arm.module else {})

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that are others as soon as anything that the result depends on is."""
        return key_of(self.described())

    @property
    def name(self) -> str:
        """What its folder is called: the method, whatever the arm is called, the environment, the seed and the key."""
        return name_of(
            {"method": self.arm.method, "id": self.id, "arguments": self.differing, "seed": self.seed}, self.key
        )

    def folder(self, out: Path) -> Path:
        """Return its folder among those of a benchmark."""
        return out / self.name

    def work(
        self, out: Path, checkpoint_every: int = 25_000, report: Report = lambda step, row: None
    ) -> dict[str, Any]:
        """Make the run, go on with it, or return what it came to.

        The folder has what `runs.train` writes (nothing for an agent, a redistributor that is judged, and learning
        offline: these begin anew after a stop), and `result.json`, which is there once the run is whole and whose hash
        says that it is. A run that fails leaves `failure.json`, and is tried again by the next one who works there.

        Args:
            out: Where the folders of the benchmark are.
            checkpoint_every: Environment steps between two checkpoints.
            report: As for `runs.train`.

        Returns:
            The result. Of training it has `rows`, one per evaluation, `final` and `normalized`; of a redistributor that
            is judged `scores` and, where it refused, the reason in `refused`.

        Raises:
            Taken: Somebody else works there.
            KeyboardInterrupt: It was interrupted, and has a checkpoint.
            OSError: A file could not be written.
            Exception: Whatever training raises.
        """
        folder = self.folder(out)
        with lease(folder) as held:
            found = read_counted(folder, self.key)
            if found is not None:
                return found
            remove_unfinished(folder)
            (folder / FAILURE).unlink(missing_ok=True)

            try:
                return self._whole(folder, held, checkpoint_every, report)
            except (OSError, KeyboardInterrupt, Taken):
                raise
            except Exception as error:
                write_failure(folder, error)
                raise

    def _whole(self, folder: Path, held: Callable[[], bool], checkpoint_every: int, report: Report) -> dict[str, Any]:
        """Make what is missing, as long as the folder is held, and write the result."""

        def check() -> None:
            if not held():
                raise Taken(f"{folder} was taken over by another process while this one was stopped.")

        def checked(step: int, row: Mapping[str, Any] | None) -> None:
            check()
            report(step, row)

        parts = Parts(folder, goes_on=(folder / runs.CHECKPOINT).exists())
        parts.begin({"revision": revision(), "machine": machine()})
        environment = self._environment()
        come_to = self._made(folder, checkpoint_every, checked)
        check()
        return write_result(folder, {**self._described(environment), "parts": parts.told, **come_to})

    def retell(self, out: Path, result: dict[str, Any]) -> dict[str, Any]:
        """Put into its result what the arm is called now, and what is said of how it was chosen; return the result."""
        told = self._told()
        return result if result["arm"] == told else write_result(self.folder(out), {**result, "arm": told})

    def _told(self) -> dict[str, Any]:
        return {"name": self.arm.name, "source": self.arm.source, "trials": self.arm.trials}

    def _described(self, environment: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": self.arm.kind,
            "key": self.key,
            "arm": self._told(),
            "job": self.described(),
            "task": task_of(spec_of(self.id)).name,
            "environment": environment,
        }

    def _made(self, folder: Path, checkpoint_every: int, report: Report) -> dict[str, Any]:
        if self.arm.kind == "redistribution":
            return self._judged(folder.parent, report)
        learned = self._offline if self.arm.kind == "offline" else self._trained
        rows = learned(folder, checkpoint_every, report)
        final, task = self.protocol.final([row["return"] for row in rows]), task_of(spec_of(self.id)).name
        # A task that was changed has another scale.
        known = task in self.protocol.references and not task_arguments(self.differing)
        return {
            "rows": [{name: row[name] for name in EVALUATED} for row in rows],
            "final": final,
            "normalized": self.protocol.normalized(task, final) if known else None,
            "seconds": rows[-1]["seconds"],
        }

    def _judged(self, out: Path, report: Report) -> dict[str, Any]:
        arm, protocol = self.arm, self.protocol
        own = (self.id, self.arguments, self.seed, self.steps, protocol.recording, out, self.threads)
        return scores_of(arm.method, arm.redistributor, *own, lambda step: report(step, None))

    def _offline(self, folder: Path, checkpoint_every: int, report: Report) -> list[runs.Row]:
        protocol = self.protocol
        config = self.arm.offline_config(evaluate_every=protocol.every, evaluation_episodes=protocol.episodes)
        own = (self.id, self.arguments, self.seed, self.steps, protocol.recording, folder.parent, self.threads)
        return train_on_recordings(self.arm.made(), config, *own, report)

    def _trained(self, folder: Path, checkpoint_every: int, report: Report) -> list[runs.Row]:
        if self.arm.kind == "training":
            return runs.train(self.run(), folder, self.steps, checkpoint_every, report, owned=True)
        own = (self.arm.method, self.arm.learner, self.id, self.arguments, self.seed, self.steps)
        return train_agent(*own, self.protocol.every, self.protocol.episodes, self.threads, report)

    def _environment(self) -> dict[str, Any]:
        env = gym.make(self.id, disable_env_checker=True, **self.arguments)
        env.close()
        spec: dict[str, Any] = {} if env.spec is None else json.loads(env.spec.to_json())
        return spec
