"""Whom to cite: BibTeX of an environment, of a method on it, and of this library."""

from __future__ import annotations

import re
from importlib import resources

import bagged_envs
from bagged_envs.baselines.benchmark.arms import ARMS
from bagged_envs.baselines.benchmark.suite import preset_arms
from bagged_envs.baselines.methods import Method
from bagged_envs.registration import spec_of, task_of

# Keys of references.bib. Controls have no source of their own.
PARTS: dict[str, tuple[str, ...]] = {
    "identity": (),
    "labels_only": (),
    "oracle": (),
    "uniform": (),
    "constant": (),
    "ircr": ("gangwani2020ircr",),
    "rd": ("efroni2021trajectory",),
    "rrd": ("ren2022rrd",),
    "rrd_unbiased": ("ren2022rrd",),
    "grd": ("zhang2023grd",),
    "diaster": ("lin2024diaster",),
    "rbt": ("tang2025bagged",),
    "rudder": ("arjona2019rudder",),
    "arel": ("xiao2022arel",),
    "stas": ("chen2024stas",),
    "tar2": ("kapoor2025tar2",),
    "lare_rd": ("qu2025latent", "efroni2021trajectory"),
    "lare_rrd_unbiased": ("qu2025latent", "ren2022rrd"),
    "lare_sign": ("qu2025latent",),
    "vib": ("qu2025latent", "ren2022rrd"),
    "reward_design": ("qu2025latent",),
    "imputer": ("romeo2024imputed",),
    "td3": ("fujimoto2018td3",),
    "ddpg": ("lillicrap2016ddpg",),
    "sac": ("haarnoja2018sac",),
    "ppo": ("schulman2017ppo",),
    "td3_bc": ("fujimoto2021minimalist", "fujimoto2018td3"),
    "iql": ("kostrikov2021iql",),
    "bc": (),
    "ippo": ("dewitt2020ippo", "schulman2017ppo"),
    "mappo": ("yu2022mappo", "schulman2017ppo"),
    "qmix": ("rashid2018qmix",),
}
LIBRARIES: dict[str, tuple[str, ...]] = {
    "sb3_agents": ("raffin2021sb3",),
    "torchrl_agents": ("bou2024torchrl",),
    "single_file_agents": ("huang2022cleanrl",),
}
ENGINES: dict[str, tuple[str, ...]] = {
    "mujoco": ("todorov2012mujoco",),
    "dmc": ("todorov2012mujoco",),
    "marl": ("terry2021pettingzoo",),
}

OURS = """@software{{bagged_envs,
  author = {{{{The bagged\\_envs authors}}}},
  title = {{bagged\\_envs: {{Gymnasium}} Environments Whose Rewards Arrive Late}},
  version = {{{version}}},
  year = {{2026}},
}}"""


def cite(id: str, method: str | None = None) -> str:
    """Return BibTeX entries of an environment, of a method, and of this library.

    Args:
        id: An ID with a delay.
        method: `<redistributor>-<learner>`, or a method of a benchmark, such as "sb3-td3".

    Raises:
        ValueError: There is no such method.
        gymnasium.error.Error: The ID is not registered.

    Example:
        >>> print(cite("EpisodicHopper-v0", "rrd-td3").count("author = "))
        5
    """
    task = task_of(spec_of(id))
    keys = [task.bibtex, *ENGINES.get(task.extra or "", ()), *(() if method is None else keys_of(method))]
    entries = bibliography()
    chosen = [entries[key] for key in dict.fromkeys(keys) if key]
    return "\n\n".join([*chosen, OURS.format(version=bagged_envs.__version__)])


def keys_of(method: str) -> list[str]:
    """Return the keys of what a method is made of.

    Raises:
        ValueError: There is no such method.
    """
    arm = {**preset_arms(), **ARMS}.get(method)
    if arm is not None and arm.kind == "redistribution":
        return list(PARTS[arm.method])
    if arm is None or arm.kind in ("training", "offline"):
        made = Method.named(method if arm is None else arm.method)
        if made.redistributor not in PARTS:
            raise ValueError(
                f"method must be of ours, got {method!r}: who wrote {made.redistributor!r} is not known here. Ask for "
                f"identity-{made.learner}, and cite its authors yourself."
            )
        return [*PARTS[made.redistributor], *PARTS[made.learner]]
    module, _, learner = arm.method.rpartition(".")[2].partition(":")
    redistributor = arm.learner.get("redistributor", {}).get("name", "identity")
    return [*PARTS[redistributor], *PARTS[learner], *LIBRARIES[module]]


def bibliography() -> dict[str, str]:
    """Return the entries of references.bib by their keys."""
    text = resources.files(bagged_envs).joinpath("references.bib").read_text(encoding="utf-8")
    entries = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in entries}
