"""What a benchmark compares: methods with their settings, and how those were come by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from bagged_envs.baselines.description import as_settings
from bagged_envs.baselines.methods import OFFLINE_LEARNERS, Method
from bagged_envs.baselines.offline import OfflineConfig, offline_config
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, config_class, pinned
from bagged_envs.baselines.redistributors.rd import PARTICLE
from bagged_envs.baselines.runs import config_of
from bagged_envs.baselines.training import TrainingConfig
from bagged_envs.wrappers.arguments import int_between, known, string

Kind = Literal["training", "agent", "redistribution", "offline"]
GROUPS: Mapping[Kind, tuple[str, ...]] = {  # of settings
    "training": ("redistributor", "learner", "training"),
    "agent": ("learner",),
    "redistribution": ("redistributor",),
    "offline": ("redistributor", "learner", "training"),
}
OFF_POLICY = ("random_steps", "batch_size", "updates", "n_step")  # settings of a run that no other learner has


@dataclass(frozen=True)
class Arm:
    """A method as it is run, under a name.

    Attributes:
        name: What tables call it.
        method: `<redistributor>-<learner>`, which is trained, on recorded episodes where its learner never plays, with
            `module:` before it where that module registers the redistributor; `module:function` of a factory of agents
            (see `agents`); or a redistributor of ours alone, whose rewards are judged.
        source: Where its settings come from.
        trials: How many other settings were tried, on tuning seeds, before these were chosen.
        redistributor: Settings of the redistributor that are not its defaults.
        learner: The same of the learner, or what the factory is given.
        training: The same of the run.

    Example:
        >>> Arm("far-sighted td3", "identity-td3", "ours", 0, learner={"discount": 0.999}).made().name
        'identity-td3'
    """

    name: str
    method: str
    source: str
    trials: int
    redistributor: Mapping[str, Any] = field(default_factory=dict)
    learner: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what would only fail once it is run. Nothing is imported for it: rows of others name modules, too.

        Raises:
            ValueError: There is no such method or setting, the source is empty, or the trials are negative.
        """
        for group in GROUPS["training"]:
            if group not in GROUPS[self.kind] and getattr(self, group):
                where = GROUPS[self.kind][0]
                raise ValueError(
                    f"{group} of {self.name!r} must be empty for kind {self.kind!r}: name settings in {where}."
                )
        if not string(f"source of {self.name!r}", self.source).strip():
            raise ValueError(f"source of {self.name!r} must say where its settings come from, got {self.source!r}.")
        int_between(f"trials of {self.name!r}", self.trials, 0, 10**9)
        for name in self.training:
            if name.startswith("evaluat"):
                raise ValueError(f"training of {self.name!r} must leave {name} to the protocol.")
        if ":" in self.method and not all(self.method.rpartition(":")[::2]):
            raise ValueError(
                f"method of {self.name!r} must be module:function, or module:<redistributor>-<learner>, "
                f"got {self.method!r}."
            )
        self.known_settings()
        idle = [name for name in OFF_POLICY if name in self.training]
        if idle and (self.method.endswith("-ppo") or self._stand_in().team):
            learner = self._stand_in().learner
            raise ValueError(f"training of {self.name!r} must not have {idle[0]}: {learner} does without.")

    @property
    def kind(self) -> Kind:
        """What is done with it: our training, another library's, judging its rewards, or learning offline."""
        if is_agent(self.method):
            return "agent"
        if self.method in REDISTRIBUTORS:
            return "redistribution"
        return "offline" if self.method.partition("-")[2] in OFFLINE_LEARNERS else "training"

    @property
    def module(self) -> str:
        """What is imported for it: the factory's module, or that of a redistributor that is not ours; else nothing."""
        return self.method.rpartition(":")[0]

    @property
    def is_control(self) -> bool:
        """Whether it learns from rewards as they are paid."""
        if self.kind == "agent":
            return not self.learner.get("redistributor")
        return self.kind in ("training", "offline") and self.method.startswith("identity-")

    def made(self) -> Method:
        """Return the method that is trained.

        Raises:
            ImportError: Its module does not exist.
            ValueError: There is no such method or setting.
        """
        return Method.named(self.method, self.redistributor, self.learner)

    def _stand_in(self) -> Method:
        """Return the method, and nothing imported: Identity in the place of a redistributor that is not ours."""
        if not self.module:
            return self.made()
        learner = self.method.rpartition(":")[2].partition("-")[2]
        return Method.named(f"identity-{learner}", learner=self.learner)

    def config(self, **settings: Any) -> TrainingConfig:
        """Return the settings of a run of it, with some more of them.

        Raises:
            TypeError: A setting has a wrong type.
            ValueError: There is no such setting, or a value is out of range.
        """
        return config_of(self._stand_in(), {**self.training, **settings})

    def offline_config(self, **settings: Any) -> OfflineConfig:
        """Return the settings of a run on recorded episodes, with some more of them.

        Raises:
            TypeError: A setting has a wrong type.
            ValueError: There is no such setting, or a value is out of range.
        """
        return offline_config(self._stand_in().learner, {**self.training, **settings})

    def settings(self) -> dict[str, Any]:
        """Return all that results depend on, defaults included: neither its name nor how it was chosen.

        Raises:
            ImportError: Its module does not exist.
            TypeError: A setting has a wrong type.
            ValueError: There is no such method or setting, or a value is out of range.
        """
        told = self.known_settings()
        if self.module and self.kind != "agent":
            told["redistributor"] = pinned(self.made().resolved()["redistributor"])
        return told

    def known_settings(self) -> dict[str, Any]:
        """Return `settings` without importing anything: only those given of a redistributor that is not ours.

        Raises:
            TypeError: A setting has a wrong type.
            ValueError: There is no such method or setting, or a value is out of range.
        """
        told = {"method": self.method, "redistributor": {}, "learner": dict(self.learner), "training": {}}
        if self.kind == "agent":
            return told
        if self.kind == "redistribution":
            kind = config_class(self.method)
            for name in self.redistributor:
                known(f"A setting of {self.method!r}", name, [one.name for one in fields(kind)])
            return {**told, "redistributor": pinned(asdict(kind(**self.redistributor)))}
        config = self.offline_config() if self.kind == "offline" else self.config()
        training = {name: value for name, value in asdict(config).items() if not name.startswith("evaluat")}
        resolved = self._stand_in().resolved()
        resolved["redistributor"] = dict(self.redistributor) if self.module else pinned(resolved["redistributor"])
        return {"method": self.method, **resolved, "training": training}


def is_agent(method: str) -> bool:
    """Return whether a method is the factory of an agent, `module:function`: what is ours has a dash, or no module."""
    module, _, name = method.rpartition(":")
    return bool(module) and "-" not in name


def arm_of(result: Mapping[str, Any]) -> Arm:
    """Return the arm of a result, with those of its settings that are not defaults.

    Raises:
        TypeError: A setting has a wrong type.
        ValueError: There is no such method or setting.
    """
    arm, changed = result["arm"], as_settings(changed_of(result["job"]))
    return Arm(arm["name"], result["job"]["method"], arm["source"], arm["trials"], **changed)


def changed_of(job: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of a job that are not its method's defaults, by group.

    Of a redistributor that is not ours these are all it has, but for those that are None: suites have no word for that,
    so it is what they are when nothing is said.
    """
    defaults, theirs = defaults_of(job), ":" in job["method"] and not is_agent(job["method"])
    unknown = {"redistributor": None} if theirs else {}
    return {
        group: {
            name: value
            for name, value in job[group].items()
            if defaults[group].get(name, unknown.get(group, ...)) != value
        }
        for group in GROUPS["training"]
    }


def defaults_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default settings of a job's method, as JSON carries them; none where it is unknown here.

    Nothing is imported for it: a redistributor that is not ours has none.
    """
    try:
        told = Arm("its defaults", job["method"], "none", trials=0).known_settings()
    except ValueError:  # of another version
        return {group: {} for group in GROUPS["training"]}
    found: dict[str, Any] = json.loads(json.dumps(told))
    return found


SB3 = "Stable-Baselines3's defaults"
TD3 = "TD3 as by its authors' code (arXiv:1802.09477), both learning rates 3e-4"
SAC = "SAC with a learned temperature (arXiv:1812.05905), as Diaster's authors use it"
PPO = "PPO as in table 3 of arXiv:1707.06347, and CleanRL for what that leaves open"
RRD = "RRD as in its authors' code (arXiv:2111.13485)"
LARE = "LaRe as in thu-rllab/LaRe's MuJoCo code (arXiv:2412.11120), with the package's hand-written programs"
SOURCES = {
    "identity": "a control: the rewards as they are paid",
    "labels_only": "a control: the rewards as they are paid, where they are shown",
    "uniform": "a control: an equal share of its bag's label for each step",
    "ircr": "IRCR as in arXiv:2010.12718",
    "rd": "RD as in thu-rllab/LaRe's MuJoCo code",
    "rrd": RRD,
    "rrd_unbiased": RRD,
    "grd": "GRD as in its authors' code (arXiv:2305.18427)",
    "diaster": "Diaster as in its authors' code (arXiv:2312.10642), with bursts that cost less",
    "rbt": "the Reward Bag Transformer, smaller than in arXiv:2402.03771",
    "rudder": "RUDDER as in its authors' demonstration (arXiv:1806.07857)",
    "arel": "AREL as in its authors' code (arXiv:2201.04612), wider, paid in equal shares, with fewer updates",
    "stas": "STAS as in its authors' code (arXiv:2304.07520), alike for all agents, smaller, with fewer updates",
    "tar2": "TAR2 as in arXiv:2502.04864, with shares by softmax and fewer updates",
    "lare_rd": f"{LARE}, factors standardized",
    "lare_rrd_unbiased": f"{LARE}, factors standardized",
    "lare_sign": f"{LARE}, without its reward model, whose procedure is ours",
    "vib": "the bottleneck of thu-rllab/LaRe's MuJoCo code, on RRD's unbiased loss",
    "oracle": "a control: the dense rewards",
}

IPPO = (
    "IPPO with PPO's settings (table 3 of arXiv:1707.06347), minibatches of 512 and entropy 0.01; discount 1, a finite "
    "horizon and 41 worlds are ours"
)
TEAM_SOURCES = {
    "rd": "RD as in thu-rllab/LaRe's particle code, updated more often, labels standardized",
    "lare_rd": "LaRe as in thu-rllab/LaRe's particle code, updated more often, labels and factors standardized, with "
    "the package's hand-written programs",
}

OFFLINE = {
    "td3_bc": "TD3+BC as by its authors' code (arXiv:2106.06860)",
    "iql": "IQL as by its authors' code (arXiv:2110.06169), its actor's rate decayed over 1,000,000 updates; ours: "
    "weights begin as PyTorch's, and observations are standardized",
}
OFFLINE_SOURCES = {
    **{name: SOURCES[name] for name in ("identity", "labels_only", "uniform", "rd", "rrd", "oracle")},
    "constant": "a control: the mean label per step for every step",
    "imputer": "reward imputation (arXiv:2407.10839), with two hidden layers of 256, Adam at 3e-4 and batches of 256",
}

SAC_OF_TORCHRL = "SAC as by TorchRL's example (sota-implementations/sac)"
TD3_OF_CLEANRL = "TD3 as by CleanRL's td3_continuous_action.py"

# Agents of other libraries, and what makes them learn from redistributed rewards.
HERE = "bagged_envs.baselines.benchmark"
STABLE, TORCHRL, SINGLE = f"{HERE}.sb3_agents", f"{HERE}.torchrl_agents", f"{HERE}.single_file_agents"
LATER: Mapping[str, Any] = {"redistributor": {"name": "rrd", "warm_up": 2000}}
RRD_AT_2000 = f"{RRD}, both from step 2,000 on"


def _agent(name: str, method: str, source: str, **settings: Any) -> Arm:
    return Arm(name, method, source, trials=0, learner=settings)


def _of_a_team(name: str, settings: Mapping[str, Any] = MappingProxyType({}), told: str = "") -> Arm:
    """Return IPPO with a redistributor; 41 worlds make an iteration of two rounds where episodes have 25 steps."""
    source = IPPO if name in CONTROLS else f"{IPPO}; {TEAM_SOURCES.get(name, SOURCES[name])}"
    training = {"worlds": 41, "finite_horizon": True}
    return Arm(f"{name}-ippo{told}", f"{name}-ippo", source, 0, settings, {"discount": 1.0}, training)


LEARNED = {"td3": TD3, "sac": SAC, "ppo": PPO}
CONTROLS = ("identity", "labels_only", "uniform", "oracle")  # what they are is in their names
FAR_SIGHTED: dict[str, dict[str, Any]] = {
    "discount=0.999": {"learner": {"discount": 0.999}},
    "n_step=10": {"training": {"n_step": 10}},
}


def _source(redistributor: str, learner: str) -> str:
    return learner if redistributor in CONTROLS else f"{learner}; {SOURCES[redistributor]}"


ROWS = (
    *(
        Arm(f"{name}-{learner}", f"{name}-{learner}", _source(name, source), trials=0)
        for learner, source in LEARNED.items()
        for name in SOURCES
    ),
    *(
        Arm(f"{name}-{learner}", f"{name}-{learner}", source if name in CONTROLS else f"{source}; {told}", trials=0)
        for learner, source in OFFLINE.items()
        for name, told in OFFLINE_SOURCES.items()
    ),
    # Redistributors alone: how good their rewards are.
    *(Arm(name, name, source, trials=0) for name, source in SOURCES.items()),
    *(_agent(f"sb3-{name}", f"{STABLE}:{name}", SB3) for name in ("ppo", "sac", "td3")),
    *(
        _agent(f"rrd-sb3-{name}", f"{STABLE}:{name}", f"{SB3}; {RRD_AT_2000}", **LATER, **waits)
        for name, waits in (("ppo", {}), ("sac", {"learning_starts": 2000}), ("td3", {"learning_starts": 2000}))
    ),
    _agent("torchrl-sac", f"{TORCHRL}:sac", f"{SAC_OF_TORCHRL}, from step 1,000 on"),
    _agent("rrd-torchrl-sac", f"{TORCHRL}:sac", f"{SAC_OF_TORCHRL}; {RRD_AT_2000}", **LATER, random_steps=2000),
    _agent("cleanrl-style-td3", f"{SINGLE}:td3", f"{TD3_OF_CLEANRL}, from step 1,000 on"),
    _agent("rrd-cleanrl-style-td3", f"{SINGLE}:td3", f"{TD3_OF_CLEANRL}; {RRD_AT_2000}", **LATER, learning_starts=2000),
    # Controls that could do without redistribution: they look further.
    *(
        Arm(f"identity-{learner} {setting}", f"identity-{learner}", source, trials=0, **settings)
        for learner, source in LEARNED.items()
        for setting, settings in FAR_SIGHTED.items()
        if learner != "ppo" or "training" not in settings  # PPO's returns are of many steps anyway
    ),
    Arm("identity-ppo discount=1", "identity-ppo", PPO, trials=0, learner={"discount": 1.0, "gae_lambda": 1.0}),
    *(_of_a_team(name) for name in ("identity", "oracle", "uniform", "ircr", "arel", "stas", "tar2")),
    *(_of_a_team(name, PARTICLE) for name in ("rd", "lare_rd")),
    _of_a_team("lare_rd", {**PARTICLE, "agent_decomposition": False}, " without AD"),
)
ARMS: dict[str, Arm] = {arm.name: arm for arm in ROWS}
