"""The tasks on our particle world."""

from __future__ import annotations

from typing import Any

from bagged_envs.suites.row import Task

HORIZON = 25
_LARE = "LaRe (arXiv 2412.11120)"


def _task(name: str, module: str, summary: str, reward_info_keys: tuple[str, ...], **fields: Any) -> Task:
    tags = fields.pop("tags")
    return Task(
        name=name,
        suite="particle",
        summary=summary,
        batch=f"bagged_envs.particle.{module}:{name}",
        agents=True,
        ours=True,
        max_episode_steps=HORIZON,
        reward_info_keys=("agent_rewards", *reward_info_keys),
        extra="marl",
        tags=("multi-agent", "discrete", *tags),
        **fields,
    )


TASKS: tuple[Task, ...] = (
    _task(
        "CooperativeNavigation",
        "navigation",
        "3 to 30 agents spread over landmarks without colliding",
        ("covered",),
        kwargs={"num_agents": 6, "reward": "individual", "dynamics": "legacy", "contact": "true"},
        success="covered",
        threshold=1.0,
        success_source="our choice: every landmark's center lies under an agent at the end",
        source=f"{_LARE}; AREL, STAS",
        bibtex="qu2025latent",
        tags=("cooperative",),
    ),
    _task(
        "PredatorPrey",
        "predator_prey",
        "6, 15 or 30 slow predators chase fast scripted prey around obstacles",
        ("captures", "caught"),
        kwargs={"num_agents": 6, "prey": "flee", "reward": "individual", "dynamics": "legacy", "contact": "true"},
        success="caught",
        threshold=1.0,
        success_source="our choice: every prey was touched at least once",
        source=f"{_LARE}; AREL, STAS; the scripted prey are ours",
        bibtex="qu2025latent",
        tags=("cooperative",),
    ),
    _task(
        "CompetitivePredatorPrey",
        "predator_prey",
        "6 slow predators and 2 fast prey, both of which learn",
        ("captures", "caught"),
        # One team's success is the other's failure: no Sparse variant.
        kwargs={"dynamics": "legacy", "contact": "true", "opponents": "scripted"},
        source=_LARE,
        bibtex="qu2025latent",
        tags=("competitive",),
    ),
    _task(
        "TriangleArea",
        "triangle_area",
        "three agents span a large triangle around obstacles",
        ("area",),
        kwargs={"reward": "individual", "dynamics": "legacy", "contact": "true"},
        success="area",
        threshold=10.0,
        success_source="our choice: about half of what fits into 25 steps; one random policy in 1,000 reaches 6.7",
        source=_LARE,
        bibtex="qu2025latent",
        tags=("cooperative",),
    ),
)
