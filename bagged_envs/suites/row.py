"""A row of the table of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """What is to be done, apart from when it is paid.

    Attributes:
        name: CamelCase; IDs are `<Variant><name>-v0`.
        suite: The suite it belongs to.
        summary: What is to be done, in one line.
        base_id: The Gymnasium ID it is built on, or None where `factory` builds it.
        factory: "module:callable" that returns the dense environment (a PettingZoo `ParallelEnv` where it has agents),
            or None.
        batch: "module:class" of the same task as a `Batch` (an `AgentBatch` where it has agents), or None. Tasks with
            agents need no factory then.
        agents: Whether several agents act in it.
        teams: What the names of each team's agents begin with; none for a single team, or where the batch says it.
        ours: Whether it is defined here, and so has a dense ID of its own, `<name>-v0`.
        kwargs: Arguments for the base ID or the factory, JSON values.
        max_episode_steps: The time limit; None takes the base ID's.
        success: The name of the Sparse variant's criterion, or None where there is no Sparse variant.
        threshold: Its threshold.
        success_source: Where criterion and threshold come from.
        reward_info_keys: Info keys that give the dense reward, or terms of it, away.
        extra: The extra of bagged_envs that installs what it needs, or None.
        source: Paper or documentation of the task.
        bibtex: The key of its entry in the documents' bibliography.
        tags: Words to find it by.
        module: The module whose import registers it, for rows that `register_task` adds.
        needs: What it needs beyond packages, as a sentence's end, or an empty string.
    """

    name: str
    suite: str
    summary: str = ""
    base_id: str | None = None
    factory: str | None = None
    batch: str | None = None
    agents: bool = False
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ours: bool = False
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    success: str | None = None
    threshold: float | None = None
    success_source: str = ""
    reward_info_keys: tuple[str, ...] = ()
    extra: str | None = None
    source: str = ""
    bibtex: str = ""
    tags: tuple[str, ...] = ()
    module: str = ""
    needs: str = ""
