"""Every scenario of mpe2, the multi-agent particle environments."""

from __future__ import annotations

from collections.abc import Mapping

from bagged_envs.suites.row import Task

HORIZON = 25
_ADVERSARIES = {"adversaries": ("adversary_",), "agents": ("agent_",)}
_GOOD_FIRST = {"agents": ("agent_",), "adversaries": ("adversary_",)}
_COVERED = "mpe2's own is_terminal: every landmark has an agent within its capture radius"
_PLACED = "mpe2's own is_terminal: every agent is within its distance threshold of its place"


def _task(
    name: str,
    module: str,
    summary: str,
    *,
    teams: Mapping[str, tuple[str, ...]] | None = None,
    solved: str = "",
) -> Task:
    return Task(
        name=name,
        suite="mpe",
        summary=summary,
        factory="bagged_envs.suites.mpe_env:MPE",
        kwargs={"scenario": module},
        agents=True,
        teams=teams or {},
        max_episode_steps=HORIZON,
        success="solved" if solved else None,
        threshold=1.0 if solved else None,
        success_source=solved,
        # Where a scenario pays for what solves it, `solved` tells of the reward.
        reward_info_keys=("agent_rewards", "benchmark_data", "solved"),
        extra="marl",
        source=f"mpe2, {module}; Lowe et al. 2017 (arXiv 1706.02275), Terry et al. 2021 (arXiv 2009.14471)",
        bibtex="lowe2017multi",
        tags=("multi-agent", "discrete", *(("competitive",) if teams else ("cooperative",))),
    )


TASKS: tuple[Task, ...] = (
    _task("Simple", "simple_v3", "one agent goes to a landmark"),
    _task(
        "SimpleAdversary",
        "simple_adversary_v3",
        "agents cover a target without giving it away to an adversary",
        teams=_GOOD_FIRST,
    ),
    _task(
        "SimpleCrypto",
        "simple_crypto_v3",
        "two agents exchange a message that a third must not read",
        teams={"cooperators": ("alice_", "bob_"), "eavesdroppers": ("eve_",)},
    ),
    _task("SimpleFormation", "simple_formation_v1", "agents form a circle around a landmark", solved=_PLACED),
    _task("SimpleLine", "simple_line_v1", "agents line up between two landmarks", solved=_PLACED),
    _task(
        "SimplePush",
        "simple_push_v3",
        "an agent goes to a landmark from which an adversary keeps it away",
        teams=_GOOD_FIRST,
    ),
    _task("SimpleReference", "simple_reference_v3", "two agents tell each other where to go"),
    _task("SimpleSpeakerListener", "simple_speaker_listener_v4", "a speaker tells a listener where to go"),
    _task("SimpleSpread", "simple_spread_v3", "agents cover landmarks without colliding", solved=_COVERED),
    _task(
        "SimpleTag",
        "simple_tag_v3",
        "slow predators chase faster prey around obstacles",
        teams=_ADVERSARIES,  # one team's success is the other's failure: no Sparse variant
    ),
    _task(
        "SimpleWorldComm",
        "simple_world_comm_v3",
        "predators with a leader who speaks chase prey among food and forests",
        teams={"adversaries": ("leadadversary_", "adversary_"), "agents": ("agent_",)},
    ),
    _task("CollectTreasure", "collect_treasure_v1", "collectors bring treasures to the deposit of their color"),
)
