"""The command `bagged-envs`: environments, training, redistribution, datasets and benchmarks, one function for each."""

from __future__ import annotations

import functools
import importlib
import operator
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import gymnasium as gym

MISSING_EXTRA = 'bagged-envs needs the cli extra: pip install "bagged_envs[cli]"'
DESCRIPTION = "Gymnasium environments whose rewards arrive late."


def list_command(suite: str | None = None, variant: str | None = None, tag: str | None = None) -> int:
    """List the registered IDs; as plain lines where the output is no terminal.

    Args:
        suite: Only this suite's.
        variant: Only this variant's.
        tag: Only tasks with this tag.
    """
    from rich.console import Console

    from bagged_envs.describe import id_table
    from bagged_envs.make import list_ids

    console, ids = Console(), list_ids(suite, variant, tag)
    if console.is_terminal:
        console.print(id_table(ids))
    else:
        print("\n".join(ids))
    return 0


def describe_command(id: str, /, bag_len: int | None = None) -> int:
    """Describe an ID: spaces, horizon, schedule, criterion, source, versions, missing extra.

    Args:
        id: An ID, such as BaggedWalker2d-v0.
        bag_len: Another bag length than the default.
    """
    from rich.console import Console

    from bagged_envs.describe import description

    Console().print(description(id, {} if bag_len is None else {"bag_len": bag_len}))
    return 0


def check_command(id: str, /, full: bool = False, workers: int = 2) -> int:
    """Run Gymnasium's check_env and check_bagged on an ID, or on all of them.

    Args:
        id: An ID, `my_module:` in front if that registers it, or "all".
        full: Play episodes up to the registered time limit, not up to 45 steps.
        workers: How many processes.
    """
    from rich.console import Console

    from bagged_envs.check import check_ids
    from bagged_envs.make import list_ids
    from bagged_envs.registration import spec_of

    if id != "all":
        spec_of(id)  # an unknown ID is said before processes are started
    return check_ids(list_ids() if id == "all" else [id], full, workers, Console())


def demo_command(out: Path = Path("demo"), quick: bool = False) -> int:
    """Show on real rollouts that bags pay their dense rewards, train PPO on late rewards, draw a picture.

    Args:
        out: The folder for the CSV files and the picture.
        quick: Train hardly at all, only to see that everything runs.
    """
    from rich.console import Console

    from bagged_envs.demo import run_demo

    return run_demo(out, quick, Console())


def train_command(
    method: str,
    id: str,
    settings: tuple[str, ...] = (),
    /,
    steps: int = 1_000_000,
    seed: int = 0,
    out: Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_every: int = 25_000,
    tensorboard: bool = False,
) -> int:
    """Train a method on an ID, or go on with a run that was stopped.

    Args:
        method: A redistributor and a learner, such as rrd-td3; my_module: in front if that registers it.
        id: An ID with a delay, such as EpisodicHalfCheetah-v0.
        settings: Of the environment, such as bag_len=20; with redistributor., learner. or training. in front, of those.
        steps: Environment steps in all.
        seed: Of everything random.
        out: The run's folder; without it, one in runs, named after the run.
        device: Where networks live: cpu, cuda, or one of several such as cuda:1.
        threads: Of torch.
        checkpoint_every: Environment steps between two checkpoints.
        tensorboard: Write evaluations for TensorBoard, too, into the run's folder.
    """
    train = _baselines("command").train_from_command
    return int(train(method, id, settings, steps, seed, out, device, threads, checkpoint_every, tensorboard))


def redistribute_command(
    id: str,
    /,
    bag_len: int | None = None,
    methods: tuple[str, ...] = (),
    seeds: int = 3,
    seed: int = 0,
    updates: int = 5_000,
    steps: int = 20_000,
    episodes: int = 20,
    shift: tuple[int, ...] = (),
    out: Path | None = None,
    factors: str | None = None,
    allow_weaker_sandbox: bool = False,
) -> int:
    """Fit redistributors to recorded episodes, and score their rewards against the true dense ones.

    Args:
        id: An ID whose rewards come late, such as BaggedReacher-v0.
        bag_len: Another bag length than the default.
        methods: Names of redistributors, my_module: in front of those it registers; without any, all.
        seeds: How many seeds; each has recordings, a split and weights of its own.
        seed: The first of them.
        updates: Environment steps whose worth of updates each method makes, by its own schedule.
        steps: How long the policy that is recorded half way and at the end is trained; at least 4,000 for SAC.
        episodes: How many episodes each of three policies plays: random, half way, trained.
        shift: Bag lengths to score on as well, without fitting anew.
        out: A CSV file for the rows; methods that it has are not run again.
        factors: The file of a program for LaRe's methods, in place of the task's own.
        allow_weaker_sandbox: Run programs also where the system cannot be kept from them by seccomp.
    """
    judging = _baselines("judging.redistribute")
    config = _baselines("judging.recordings").RecordingConfig(steps=steps, episodes=episodes)
    arguments = {} if bag_len is None else {"bag_len": bag_len}
    chosen = range(seed, seed + seeds)
    console = _wide_console()
    rows = judging.run_redistribute(
        id, arguments, methods, chosen, updates, config, shift, out, console, factors, allow_weaker_sandbox
    )
    return int(not rows)


def factors_command(
    id: str,
    settings: tuple[str, ...] = (),
    /,
    model: str | None = None,
    ask: bool = False,
    base_url: str | None = None,
    prompt: bool = False,
    reward: bool = False,
    candidates: int = 5,
    rounds: int = 5,
    answers: Path | None = None,
    seed: int = 0,
    out: Path | None = None,
    allow_weaker_sandbox: bool = False,
) -> int:
    """Print the program that says LaRe's factors of a task: the hand-written one, or one that a language model writes.

    Args:
        id: An ID, such as EpisodicHalfCheetah-v0.
        settings: Of the environment.
        model: Who writes it; without it, the hand-written one is taken.
        ask: Ask the model what is not kept yet. Its key is taken from OPENAI_API_KEY.
        base_url: Of any server that speaks OpenAI's chat completions; without it, OPENAI_BASE_URL, or OpenAI's own.
        prompt: Only print what a model is told.
        reward: Have it write the reward itself, for the method reward_design.
        candidates: How many answers are asked for and then made into one; 1 for none of that.
        rounds: How often a program is tried at most; what is wrong with it is told to the model.
        answers: The folder of kept answers; without it, the folder answers in ~/.cache/bagged_envs.
        seed: Of the steps that programs are tried on, and of the answers: another one asks anew.
        out: The file to write, such as my_factors.txt.
        allow_weaker_sandbox: Try programs also where the system cannot be kept from them by seccomp.
    """
    factors, generation = _baselines("factors_command"), _baselines("latent_rewards.generation")
    config = generation.GenerationConfig(
        candidates=candidates, rounds=rounds, seed=seed, allow_weaker_sandbox=allow_weaker_sandbox
    )
    return int(
        factors.factors_from_command(id, settings, model, ask, base_url, prompt, reward, config, answers, seed, out)
    )


def diagnose_command(
    data: Path,
    /,
    methods: tuple[str, ...] = (),
    updates: int = 5_000,
    bootstraps: int = 3,
    seed: int = 0,
    out: Path | None = None,
) -> int:
    """Say which redistributors can be trusted on recorded bags whose true rewards nobody knows.

    Args:
        data: A file that `bagged_envs.trajectory_file.save_trajectories` wrote.
        methods: The same; without any, all that can be judged without the truth.
        updates: Environment steps whose worth of updates is made in each fit, by the method's own schedule.
        bootstraps: Of how many fits to resampled episodes the stability is taken.
        seed: Of the split of the episodes, of weights and of draws.
        out: A folder for a CSV file and a picture of each method's rewards over an episode.
    """
    _baselines("judging.report").run_diagnose(data, methods, updates, bootstraps, seed, out, _wide_console())
    return 0


def cite_command(id: str, method: str | None = None, /) -> int:
    """Print BibTeX entries of an environment, of a method, and of this library.

    Args:
        id: An ID with a delay.
        method: Such as rrd-td3, or one of a benchmark, such as sb3-td3.
    """
    print(_baselines("cite").cite(id, method))
    return 0


def dataset_list_command() -> int:
    """List the recipes of datasets, one per line: what they are made of."""
    for name, recipe in _baselines("recipes").RECIPES.items():
        print(f"{name}: {' and '.join(recipe.parts)} of {recipe.task}")
    return 0


def dataset_make_command(
    name: str,
    settings: tuple[str, ...] = (),
    /,
    steps: int = 200_000,
    seed: int = 0,
    out: Path = Path("datasets"),
    medium: int = 200_000,
    expert: int = 400_000,
    threads: int = 1,
    checkpoint_every: int = 25_000,
) -> int:
    """Make a dataset by a recipe, or go on where that was stopped: train SAC, and record what it does.

    Args:
        name: A recipe, such as halfcheetah-medium; `bagged-envs dataset list` lists them.
        settings: Of SAC and of its run, such as learner.hidden=[64,64].
        steps: Transitions of the dataset; at most so many of a replay buffer, which has what it has.
        seed: Of everything random.
        out: The folder of datasets, and of SAC's runs, which the recipes of a task share.
        medium: After how many environment steps SAC is half trained.
        expert: After how many it is trained; recipes without an expert do not go so far.
        threads: Of torch.
        checkpoint_every: Environment steps of SAC between two checkpoints.
    """
    made = _baselines("dataset_command").make_from_command
    return int(made(name, settings, steps, seed, out, medium, expert, threads, checkpoint_every))


def bench_run_command(
    suite: str,
    /,
    out: Path = Path("benchmark"),
    workers: int = 2,
    checkpoint_every: int = 25_000,
    dry_run: bool = False,
    executor: Literal["local", "ray", "slurm"] = "local",
    address: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    time: int | None = None,
    memory: int | None = None,
    tensorboard: bool = False,
    method: str | None = None,
) -> int:
    """Make the runs of a suite that are not whole yet, and write its tables.

    Args:
        suite: One of ours, such as quick, or a TOML file.
        out: The folder of all runs; several suites may share one.
        workers: Runs at once.
        checkpoint_every: Environment steps between two checkpoints of a run.
        dry_run: Only print a shell command for each run that is not whole, to be made anywhere, by any executor.
        executor: Who makes them: processes of this machine, a Ray cluster, or SLURM.
        address: Of the Ray cluster; without it, the one that this machine belongs to, or a new one on it.
        partition: Of SLURM.
        account: Of SLURM.
        time: Minutes of a SLURM job, by default 240; a run that needs more is queued again and goes on.
        memory: GB of a SLURM job.
        tensorboard: Write evaluations for TensorBoard, too, into the folders of the runs.
        method: One more, beside the suite's: `my_module:factory` of a learner of yours, `my_module:my_rd-td3` of a
            redistributor that your module registers, or one of ours, such as rrd-sac.
    """
    choice = _baselines("benchmark.executors.choice")
    settings = {"address": address, "partition": partition, "account": account, "time": time, "memory": memory}
    choice.check(executor, workers, settings)
    runner, chosen = _baselines("benchmark.runner"), _baselines("benchmark.suite").Suite.load(suite, method)
    options = [*(["--tensorboard"] if tensorboard else []), *([] if method is None else ["--method", method])]
    if tensorboard:
        _baselines("tensorboard").Board(out)  # so that a missing package is said now
    if dry_run:
        for line in runner.commands(suite, chosen, out, checkpoint_every, options):
            print(line)
        return 0
    with closing(choice.chosen(executor, workers, out, **settings)) as made:
        return int(runner.run_suite(suite, chosen, out, made, checkpoint_every, _wide_console(), options))


def bench_estimate_command(suite: str, /, seconds: float = 60.0, workers: int = 2) -> int:
    """Measure for about a minute, and say how many runs, core-hours and bytes on disk a suite is.

    Args:
        suite: One of ours, such as quick, or a TOML file.
        seconds: How long to measure; methods that learn in rare bursts take as long as they need.
        workers: Runs at once, for the time that will pass.
    """
    estimating, console = _baselines("benchmark.estimate"), _wide_console()
    estimating.check(seconds, workers)
    chosen = _baselines("benchmark.suite").Suite.load(suite)
    with console.status("") as status:
        shares = estimating.estimate(chosen, seconds, lambda name: status.update(f"measuring {name}"))
    console.print(estimating.table(shares, workers))
    return 0


def bench_one_command(
    suite: str,
    key: str,
    /,
    out: Path = Path("benchmark"),
    checkpoint_every: int = 25_000,
    tensorboard: bool = False,
    method: str | None = None,
) -> int:
    """Make one run of a suite.

    Args:
        suite: One of ours, or a TOML file.
        key: The run's, as the name of its folder ends.
        out: The folder of all runs.
        checkpoint_every: Environment steps between two checkpoints.
        tensorboard: Write evaluations for TensorBoard, too, into the run's folder.
        method: One more beside the suite's, as in `bench run`.
    """
    return int(_baselines("benchmark.runner").work_on_one(suite, key, out, checkpoint_every, tensorboard, method))


def bench_validate_command(folder: Path, /, protocol: str = "v1") -> int:
    """Say of every run in a folder whether its result keeps the protocol.

    Args:
        folder: The folder of all runs, or that of one.
        protocol: One of ours, or a TOML file.
    """
    kept = _baselines("benchmark.protocol").Protocol.load(protocol)
    validate, is_run = _baselines("benchmark.validate"), _baselines("benchmark.result_file").is_run
    whole = folder.resolve()
    runs = [path for path in (whole, *sorted(whole.glob("*"))) if is_run(path)]
    if not runs:
        raise ValueError(f"folder must have runs in it, got {folder} without any: name that of bench run --out.")
    wrong = {run.name: found for run in runs if (found := [*validate.problems(run, kept), *validate.misplaced(run)])}
    for name, found in wrong.items():
        for line in found:
            print(f"{name}: {line}")
    print(f"{len(runs) - len(wrong)} of {len(runs)} runs keep protocol {kept.version} ({kept.hash})")
    return int(bool(wrong))


def bench_reproduce_command(run: Path, /, protocol: str = "v1") -> int:
    """Make a run again and say whether it came out the same, to the bit.

    Args:
        run: The folder of one run.
        protocol: What it was made under: one of ours, or a TOML file.
    """
    kept = _baselines("benchmark.protocol").Protocol.load(protocol)
    found = _baselines("benchmark.validate").reproduce(run, kept)
    for name, then, now in found.differs:
        print(f"{name} was {then}, is {now}")
    print("equal to the bit" if found.same else f"not equal: returns differ by up to {found.furthest:g}")
    return int(not found.same)


def bench_report_command(
    folder: Path,
    /,
    out: Path | None = None,
    suite: str | None = None,
    variant: str | None = None,
    method: tuple[str, ...] = (),
    with_: tuple[Literal["reference"], ...] = (),
    formats: tuple[str, ...] = (),
    protocol: str = "v1",
    episodes: bool = True,
) -> int:
    """Write a report of the runs in a folder: a page that needs no network, figures, tables, a methods paragraph.

    Args:
        folder: The folder of all runs.
        out: The folder of the report; without it, report in that of the runs.
        suite: Only tasks of this suite, such as mujoco.
        variant: Only this variant's IDs, such as Bagged.
        method: Only these methods, as the report calls them.
        with_: "reference" adds the results that come with the package.
        formats: Of html, png, pdf, svg, csv, npz, tex, txt; without any, all.
        protocol: What the runs were made under: one of ours, or a TOML file.
        episodes: Have trained policies play an episode each, from their checkpoints.
    """
    report, content = (_baselines(f"benchmark.report.{name}", "bench") for name in ("write", "content"))
    choice = content.Choice(suite, variant, method)
    written = report.write_report(
        folder, out, choice, formats or report.FORMATS, protocol, "reference" in with_, episodes
    )
    print(f"{len(written)} files in {folder / 'report' if out is None else out}; begin with {written[0].name}")
    return 0


def _wide_console() -> Any:
    """Return a console for wide tables: as wide as the terminal, and wide enough for a file."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=200)


def _baselines(module: str, extra: str = "baselines") -> Any:
    """Import a module of `bagged_envs.baselines`, or say which extra is missing."""
    try:
        return importlib.import_module(f"bagged_envs.baselines.{module}")
    except ImportError as error:
        raise gym.error.DependencyNotInstalled(
            f'this command needs the {extra} extra: pip install "bagged_envs[{extra}]" ({error})'
        ) from error


COMMANDS: dict[str, Callable[..., Any]] = {
    "list": list_command,
    "describe": describe_command,
    "check": check_command,
    "demo": demo_command,
    "train": train_command,
    "redistribute": redistribute_command,
    "factors": factors_command,
    "diagnose": diagnose_command,
    "cite": cite_command,
}
DATASET: dict[str, Callable[..., Any]] = {"list": dataset_list_command, "make": dataset_make_command}
BENCH: dict[str, Callable[..., Any]] = {
    "run": bench_run_command,
    "estimate": bench_estimate_command,
    "one": bench_one_command,
    "report": bench_report_command,
    "validate": bench_validate_command,
    "reproduce": bench_reproduce_command,
}


def _grouped(commands: Mapping[str, Callable[..., Any]], description: str) -> Callable[..., Any]:
    """Return a command that has commands of its own."""
    from tyro.conf import subcommand

    def group(command: Any) -> Any:
        return command  # what the chosen one returned

    kinds = tuple(Annotated[Any, subcommand(name=name, constructor=made)] for name, made in commands.items())
    group.__annotations__["command"] = functools.reduce(operator.or_, kinds)
    group.__doc__ = description
    return group


def _spelled(command: Callable[..., Any], argument: str, name: str) -> None:
    """Have an argument stand on the command line under a name that Python does not allow."""
    from tyro.conf import arg

    command.__annotations__[argument] = Annotated[get_type_hints(command)[argument], arg(name=name)]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, 1 where a check failed, 2 where the call was wrong, 130 where it was stopped."""
    try:
        import rich  # noqa: F401
        from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes
        from tyro.extras import subcommand_cli_from_dict
    except ImportError:
        print(MISSING_EXTRA, file=sys.stderr)
        return 2
    sys.path.insert(0, os.getcwd())  # so that my_module:ID finds what stands in the current folder, as python does
    try:
        _spelled(bench_report_command, "with_", "with")
        commands = {
            **COMMANDS,
            "dataset": _grouped(DATASET, "Make datasets for learning offline, by recipes."),
            "bench": _grouped(BENCH, "Run benchmarks: methods on environments with seeds."),
        }
        config = (OmitArgPrefixes, OmitSubcommandPrefixes)
        return int(
            subcommand_cli_from_dict(
                commands, prog="bagged-envs", description=DESCRIPTION, args=arguments, config=config
            )
        )
    except (ValueError, TypeError, OSError, gym.error.Error, ImportError) as error:
        print(f"bagged-envs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bagged-envs: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
