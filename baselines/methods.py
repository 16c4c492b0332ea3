"""Methods: a redistributor with a learner and their settings, named `<redistributor>-<learner>`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from gymnasium.spaces import Space

from bagged_envs.baselines.api import Learner
from bagged_envs.baselines.learners.bc import BC, BCConfig
from bagged_envs.baselines.learners.ippo import IPPO
from bagged_envs.baselines.learners.iql import IQL, IQLConfig
from bagged_envs.baselines.learners.ppo import PPO, PPOConfig
from bagged_envs.baselines.learners.qmix import QMIX, QMIXConfig
from bagged_envs.baselines.learners.sac import SAC, SACConfig
from bagged_envs.baselines.learners.td3 import DDPG, TD3, TD3Config
from bagged_envs.baselines.learners.td3_bc import TD3BCConfig, td3_bc
from bagged_envs.baselines.promises import pays_dense
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, config_class
from bagged_envs.baselines.redistributors.own import imported
from bagged_envs.wrappers.arguments import known


class LearnerRow(NamedTuple):
    """A learner that can be named.

    Attributes:
        make: Its class, which takes (observation_size, action_space, config, seed, device).
        config: Its settings where nothing else is asked for.
        team: Whether it trains the agents of a team, each of which acts on its own observation.
        sees_all: Whether its critic sees the observations of all of them.
        replays: Whether it learns from stored episodes of a team; it then takes the space of all agents' actions.
        offline: Whether it learns from recorded episodes, and never plays.
        training: Settings of its runs where nothing else is asked for.
    """

    make: Callable[..., Any]
    config: Any
    team: bool = False
    sees_all: bool = False
    replays: bool = False
    offline: bool = False
    training: Mapping[str, Any] = MappingProxyType({})


LEARNERS: dict[str, LearnerRow] = {
    "td3": LearnerRow(TD3, TD3Config()),
    "ddpg": LearnerRow(TD3, DDPG),
    "sac": LearnerRow(SAC, SACConfig()),
    "ppo": LearnerRow(PPO, PPOConfig()),
    "td3_bc": LearnerRow(td3_bc, TD3BCConfig(), offline=True),
    # The authors' code scales the rewards of MuJoCo tasks: beta means something only on a known scale.
    "iql": LearnerRow(IQL, IQLConfig(), offline=True, training={"scale_rewards": True}),
    "bc": LearnerRow(BC, BCConfig(), offline=True),
    "ippo": LearnerRow(PPO, IPPO, team=True),
    "mappo": LearnerRow(PPO, IPPO, team=True, sees_all=True),
    # A round of episodes at a time: what is played is learned from soon, and often.
    "qmix": LearnerRow(QMIX, QMIXConfig(), team=True, replays=True, training={"worlds": 8, "rollout": 1}),
}
TEAM_LEARNERS = tuple(name for name, row in LEARNERS.items() if row.team)
OFFLINE_LEARNERS = tuple(name for name, row in LEARNERS.items() if row.offline)


@dataclass(frozen=True)
class Method:
    """A redistributor, a learner, and what of their settings is not the default.

    Attributes:
        redistributor: One of `REDISTRIBUTORS`.
        learner: One of `LEARNERS`.
        redistributor_settings: Fields of the redistributor's configuration.
        learner_settings: Fields of the learner's configuration.

    Example:
        >>> Method.named("rrd-td3", redistributor={"bags": 8}).name
        'rrd-td3'
    """

    redistributor: str
    learner: str
    redistributor_settings: Mapping[str, Any] = field(default_factory=dict)
    learner_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ValueError: A redistributor or learner of this name does not exist.
        """
        known("redistributor", self.redistributor, list(REDISTRIBUTORS))
        known("learner", self.learner, list(LEARNERS))

    @classmethod
    def named(
        cls, name: str, redistributor: Mapping[str, Any] | None = None, learner: Mapping[str, Any] | None = None
    ) -> Method:
        """Return the method of a name such as "rrd_unbiased-td3", with some settings of its two parts.

        As in Gymnasium's IDs, `my_module:` in front has the module imported first, which registers a redistributor.

        Raises:
            ImportError: There is no such module.
            ValueError: There is no such method, or the module's name is none.
        """
        first, dash, second = imported(name).partition("-")
        if not dash:
            raise ValueError(
                f"method must be <redistributor>-<learner>, such as rrd-td3, got {name!r}: redistributors are "
                f"{', '.join(REDISTRIBUTORS)}; learners are {', '.join(LEARNERS)}."
            )
        return cls(first, second, dict(redistributor or {}), dict(learner or {}))

    @property
    def name(self) -> str:
        """`<redistributor>-<learner>`."""
        return f"{self.redistributor}-{self.learner}"

    @property
    def team(self) -> bool:
        """Whether it trains the agents of a team rather than one controller."""
        return LEARNERS[self.learner].team

    @property
    def pays_dense(self) -> bool:
        """Whether the learner is given the dense rewards, which must be shown then."""
        return pays_dense(REDISTRIBUTORS[self.redistributor])

    @property
    def offline(self) -> bool:
        """Whether it learns from recorded episodes rather than from playing."""
        return LEARNERS[self.learner].offline

    @property
    def discount(self) -> float:
        """The learner's; 1.0 of one that looks at no reward, and has none."""
        return float(self.learner_settings.get("discount", getattr(LEARNERS[self.learner].config, "discount", 1.0)))

    def resolved(self) -> dict[str, dict[str, Any]]:
        """Return all settings of the redistributor and of the learner, defaults included.

        Raises:
            TypeError: A setting is of another type.
            ValueError: There is no such setting, or a value is out of range.
        """
        kind, row = config_class(self.redistributor), LEARNERS[self.learner].config
        for whose, settings, config in (
            (self.redistributor, self.redistributor_settings, kind),
            (self.learner, self.learner_settings, row),
        ):
            for setting in settings:
                known(f"A setting of {whose!r}", setting, [one.name for one in fields(config)])
        return {
            "redistributor": asdict(kind(**self.redistributor_settings)),
            "learner": asdict(replace(row, **self.learner_settings)),
        }

    def make_learner(
        self,
        observation_size: int,
        action_space: Space[Any],
        seed: int,
        device: torch.device | str = "cpu",
        critic_size: int | None = None,
    ) -> Learner:
        """Return the learner: a `Learner`, or one that `replays` with an interface of its own, such as `QMIX`.

        Args:
            observation_size: D.
            action_space: In which it acts.
            seed: Of everything random.
            device: Where its networks live.
            critic_size: Elements of what its critic sees, where that is not the observation; of PPO.

        Raises:
            TypeError: It cannot act in the space.
            ValueError: It has no such setting, or a value is out of range.
        """
        row = LEARNERS[self.learner]
        for setting in self.learner_settings:
            known(f"A setting of {self.learner!r}", setting, [one.name for one in fields(row.config)])
        config = replace(row.config, **self.learner_settings)
        critic = {} if critic_size is None else {"critic_size": critic_size}
        learner: Learner = row.make(observation_size, action_space, config, seed=seed, device=device, **critic)
        return learner
