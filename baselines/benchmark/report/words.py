"""What a report says in sentences: how it was done, in words that a paper can use, and what figures show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report.content import Content, methods_table
from bagged_envs.baselines.benchmark.report.control import Control, cells_of
from bagged_envs.baselines.benchmark.report.rows import Cell, Result, Run, counted
from bagged_envs.baselines.benchmark.report.scores import LEVEL, RESAMPLES

INTERVAL = f"{LEVEL:.0%}".replace("%", " %") + f" percentile intervals from {RESAMPLES:,} bootstrap resamples"


def under(protocol: Protocol) -> str:
    """Return which protocol something was made under.

    Example:
        >>> under(Protocol.load("v1"))
        'protocol 1 (hash 17b915f0633b)'
    """
    return f"protocol {protocol.version} (hash {protocol.hash})"


def methods_paragraph(content: Content) -> str:
    """Return how all this was done, as a paragraph of a paper."""
    trained = bool(content.runs)
    parts = (
        *((_setting(content), _evaluation(content.protocol), _scale(content), _statistics(content)) if trained else ()),
        control_words([content.against[cell] for cell in content.cells]),
        _judging(content),
        _sources(content),
        _software(content),
    )
    return " ".join(sentence for part in parts for sentence in part)


def _setting(content: Content) -> list[str]:
    environments = ", ".join(sorted({cell.label for cell in content.cells}))
    lengths = listed(_lengths(content.cells))
    seeds = spans(sorted({run.seed for run in content.runs}))
    offline = {run.method for run in content.runs if run.cell.offline}
    return [
        f"We trained {counted(len({run.method for run in content.runs}), 'method')} for {lengths} on "
        f"{counted(len(content.cells), 'environment')} with delayed rewards ({environments}), under "
        f"{under(content.protocol)} of bagged_envs, with the test seeds {seeds}: "
        f"{_runs_each(content.runs)}. {_apart(content.protocol)}",
        *_offline(sorted(offline), content.protocol),
    ]


def _offline(methods: Sequence[str], protocol: Protocol) -> list[str]:
    """Return what the steps of methods are that never played, and from what they learned."""
    if not methods:
        return []
    return [
        f"Without playing learned {listed(methods)}, whose steps are updates: from {recording(protocol)}; these "
        "episodes were paid as the environment pays."
    ]


def _judging(content: Content) -> list[str]:
    found, protocol = content.redistributions, content.protocol
    if not found:
        return []
    cells = cells_of(found)
    environments = ", ".join(sorted({cell.label for cell in cells}))
    told = [
        f"We judged the rewards of {counted(len({one.method for one in found}), 'redistributor')} on "
        f"{counted(len(cells), 'environment')} with delayed rewards ({environments}), without training a policy on "
        f"them, under {under(protocol)} of bagged_envs, with the test seeds "
        f"{spans(sorted({one.seed for one in found}))}, {counted(len(found), 'time')} in all.",
        f"Each was fitted to recorded episodes with as many updates as it makes in {listed(_lengths(cells))}, "
        "and its rewards were compared with the dense ones, which it does not see, the Oracle "
        f"excepted. Recorded were {recording(protocol)}. Numbers are means over seeds.",
    ]
    return told if content.runs else [*told, _apart(protocol)]


def _lengths(cells: Sequence[Cell]) -> list[str]:
    """Return for each unit how much of it, as words."""
    by_unit: dict[str, list[str]] = defaultdict(list)
    for length in sorted({cell.length for cell in cells}):
        by_unit[length.unit].append(f"{length.steps:,}")
    return [f"{listed(numbers)} {unit}" for unit, numbers in by_unit.items()]


def recording(protocol: Protocol) -> str:
    """Return which episodes redistributors are judged on."""
    one = protocol.recording
    return (
        f"{counted(one.episodes, 'episode')} of each of three policies: a random one, and one that is trained on the "
        f"dense rewards for {one.steps:,} steps, half way and at the end"
    )


def _apart(protocol: Protocol) -> str:
    tuning = f", {spans(sorted(protocol.tuning))}," if protocol.tuning else ""
    return f"The protocol keeps these seeds apart from those that settings are chosen on{tuning} and reports only them."


def _runs_each(runs: Sequence[Run]) -> str:
    counts: dict[tuple[str, object], int] = defaultdict(int)
    for run in runs:
        counts[run.method, run.cell] += 1
    return f"{over(list(counts.values()))} of each method in each environment where it was run, {len(runs):,} in all"


def over(counts: Sequence[int]) -> str:
    """Return how many runs there are, as words.

    Example:
        >>> over([3, 3]), over([1, 3]), over([1])
        ('3 runs', '1 to 3 runs', '1 run')
    """
    low, high = min(counts), max(counts)
    return counted(low, "run") if low == high else f"{low} to {counted(high, 'run')}"


def _evaluation(protocol: Protocol) -> list[str]:
    return [
        f"Every {protocol.every:,} steps the policy was evaluated on {counted(protocol.episodes, 'episode')} without "
        "exploring, by the return of the dense rewards, which methods do not see, the Oracle excepted. The score of a "
        f"run is the mean of the last {percent(protocol.final_share)} of its evaluations, never the best of them."
    ]


def _scale(content: Content) -> list[str]:
    scaled = {run.cell for run in content.runs if run.normalized is not None}
    if not scaled:
        return ["There is no scale for these tasks: returns are as the tasks give them, and none are put together."]
    some = "" if len(scaled) == len(content.cells) else f" {len(scaled)} of {len(content.cells)} environments have it."
    return [f"Scores are normalized so that 0 is a policy of random actions and 1 what dense rewards lead to.{some}"]


def _statistics(content: Content) -> list[str]:
    if not any(run.normalized is not None for run in content.runs):
        return [f"Means over runs and the probability of improvement come with {INTERVAL}, which resample runs."]
    return [
        "Over all runs in these environments together we report the interquartile mean (IQM), the median over "
        f"environments and the optimality gap, with {INTERVAL}, stratified by environment (Agarwal et al., 2021, "
        "arXiv:2108.13264)."
    ]


def control_words(found: Sequence[Control]) -> list[str]:
    """Return over what gains in some environments are stated, and how that was chosen, as sentences."""
    if not found:
        return []
    if not any(one.chosen or one.plain for one in found):
        return ["No Identity was run: gains over learning from what is paid cannot be stated."]
    told = [
        "Gains and probabilities of improvement (the probability that a run scores higher than one of the control, "
        "averaged over environments) are stated over Identity, which learns from rewards as they are paid, and leave "
        "out environments where a method is itself the control."
    ]
    best = [one for one in found if len(one.among) > 1]
    mixed = [one for one in found if one.untuned]
    without = sorted({name for one in mixed for name in one.untuned})
    sentences = {
        f"it is the best Identity, chosen on tuning seeds ({_tuned(best)})": len(best),
        "it is the only Identity that was run": sum(len(one.among) == 1 for one in found),
        f"not all Identities have runs on the same tuning seeds ({', '.join(without)} without), and it is the plain "
        "one": len(mixed),
        "there are no runs on tuning seeds to choose it by, and it is the plain one": sum(
            bool(one.plain) and not one.untuned for one in found
        ),
    }
    return [*told, *(f"In {_of(count, len(found))} {words}." for words, count in sentences.items() if count)]


def _tuned(found: Sequence[Control]) -> str:
    return spans(sorted({seed for one in found for seed in one.seeds}))


def _of(count: int, whole: int) -> str:
    if count == whole:
        return "the environment" if whole == 1 else "all environments"
    return f"{count} of {whole} environments"


def _sources(content: Content) -> list[str]:
    alike: dict[tuple[str, int], list[str]] = defaultdict(list)
    for one in methods_table(content):
        alike[one["source"], one["trials"]].append(one["label"])
    told = [f"{', '.join(names)}: {source} ({counted(trials, 'trial')})" for (source, trials), names in alike.items()]
    return [f"Settings, with the number of others that were tried: {'; '.join(told)}."]


def _software(content: Content) -> list[str]:
    packages = [f"{name} {listed(versions)}" for name, versions in versions_of(results_of(content)).items()]
    return [f"Software: {', '.join(packages)}."]


def results_of(content: Content) -> list[Result]:
    """Return all results that are shown."""
    return [*(run.result for run in content.runs), *(one.result for one in content.redistributions)]


def versions_of(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the versions of each package that results were made with."""
    found: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for name, version in result["job"]["versions"].items():
            if version:
                found[name].add(version)
    return {name: sorted(found[name]) for name in sorted(found)}


def machines_of(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return processors, systems, devices, and git commits that results were made with."""
    told: dict[str, set[str]] = {"processor": set(), "system": set(), "device": set(), "git commit": set()}
    for result in results:
        for part in result["parts"]:
            for name in ("processor", "system"):
                told[name].add(part["machine"].get(name, ""))
            told["git commit"].add(part["revision"] or "")
        job = result["job"]
        told["device"].add(f"{job['device']}, {counted(job['threads'], 'thread')}" if "device" in job else "")
    return {name: sorted(filter(None, values)) for name, values in told.items() if any(values)}


def percent(share: float) -> str:
    """Return a share in percent.

    Example:
        >>> percent(0.1)
        '10 %'
    """
    return f"{100 * share:.3g} %"


def spans(numbers: Sequence[int]) -> str:
    """Return ordered whole numbers, those that follow one another as spans.

    Example:
        >>> spans([0, 1, 2, 7, 9, 10])
        '0 to 2, 7, 9, 10'
    """
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return ", ".join(f"{one[0]} to {one[-1]}" if len(one) > 2 else ", ".join(map(str, one)) for one in groups)


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "none"
