"""Our own small tasks, whose optimal returns are known exactly."""

from __future__ import annotations

from typing import Any

from bagged_envs.suites.row import Task

_ENDS = "our choice: the task's own end, which only success brings about"


def _task(name: str, module: str, summary: str, **fields: Any) -> Task:
    tags = fields.pop("tags", ())
    return Task(
        name=name,
        suite="symbolic",
        summary=summary,
        factory=f"bagged_envs.envs.{module}:{name}",
        batch=f"bagged_envs.envs.{module}:{name}Batch",
        ours=True,
        tags=("discrete", "tabular", "terminates", *tags),
        **fields,
    )


TASKS: tuple[Task, ...] = (
    _task(
        "KeyDoor",
        "key_door",
        "fetch the key, open the door, walk a corridor to the treasure",
        kwargs={"size": 5, "delay": 10, "distractors": 0},
        max_episode_steps=100,
        success="terminated",
        success_source=_ENDS,
        source="ours; the idea is RUDDER's (arXiv 1806.07857)",
        bibtex="arjona2019rudder",
    ),
    _task(
        "PocketWatch",
        "pocket_watch",
        "repair a watch or not: whether it pays shows 50 noisy steps later",
        source="RUDDER's official demonstration (arXiv 1806.07857)",
        bibtex="arjona2019rudder",
        tags=("stochastic",),
    ),
    _task(
        "HiddenDoor",
        "hidden_door",
        "a lamp that goes with success but pays nothing, and the hidden button that opens the door",
        kwargs={"length": 8},
        max_episode_steps=50,
        success="terminated",
        success_source=_ENDS,
        source="ours; the idea is LaRe's (arXiv 2412.11120)",
        bibtex="qu2025latent",
    ),
    _task(
        "TraceBack",
        "trace_back",
        "only the first two of many steps matter",
        kwargs={"delay": 20, "noise": 0.0},
        success="return",
        threshold=9.0,
        success_source="our choice: 90 % of the optimal return without noise",
        source="ours; inspired by RUDDER's task III (arXiv 1806.07857)",
        bibtex="arjona2019rudder",
    ),
    _task(
        "ChargeDischarge",
        "charge_discharge",
        "give up a small reward now for a large one in the next step",
        kwargs={"delay": 10},
        success="return",
        threshold=45.0,
        success_source="our choice: 90 % of the optimal return with the default delay",
        source="ours; inspired by the task of that name in RUDDER (arXiv 1806.07857)",
        bibtex="arjona2019rudder",
    ),
)
