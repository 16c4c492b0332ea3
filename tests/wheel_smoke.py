"""Build the wheel, install it into a clean environment, and use it there from an empty folder: `make wheel`.

A link, a missing row of the package list, or a module found only through the checkout would pass every other test.
"""

import importlib
import math
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: object, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def build_and_install(folder: Path) -> Path:
    """Return the clean environment's interpreter."""
    # What lies under build/ from an earlier version of the tree would go into the wheel: build from a copy.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "bagged_envs", "wrappers", "baselines"):
        run("cp", "-R", "-P", ROOT / name, source)
    run(sys.executable, "-m", "build", "--quiet", "--wheel", "--outdir", folder / "dist", source)
    (wheel,) = (folder / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "-c", ROOT / "constraints.txt", f"bagged_envs[mujoco] @ {wheel.as_uri()}")
    return python


def check_installed() -> None:
    """What a user of the wheel does; runs inside the clean environment."""
    # This form first: it is how a worker that never imported the package gets at its IDs.
    env = importlib.import_module("gymnasium").make("bagged_envs:BaggedWalker2d-v0", bag_len=20)

    bagged_envs = importlib.import_module("bagged_envs")
    home = Path(bagged_envs.__file__).parent
    assert home.is_relative_to(sys.prefix), home
    assert (home / "py.typed").is_file()
    for name in ("bagged_envs.wrappers", "bagged_envs.wrappers.vector", "bagged_envs.baselines"):
        assert Path(importlib.import_module(name).__file__).is_relative_to(home), name

    paid, earned = episode(env, bagged_envs.dense(env))
    assert paid == earned, (paid, earned)
    print(f"{len(paid)} bags pay {math.fsum(paid):.3f}, bag by bag what the dense twin earned")


def episode(env, dense) -> tuple[list[float], list[float]]:
    """One episode of random actions in both: what each bag paid, and the sum of its dense rewards in step order."""
    env.action_space.seed(0)
    env.reset(seed=0)
    dense.reset(seed=0)
    paid, earned, open_sum, over = [], [], 0.0, False
    while not over:
        action = env.action_space.sample()
        _, reward, terminated, truncated, info = env.step(action)
        open_sum += float(dense.step(action)[1])
        over = terminated or truncated
        if info["bag_end"]:
            paid.append(reward)
            earned.append(open_sum)
            open_sum = 0.0
        else:
            assert reward == 0.0, reward
    return paid, earned


def check_command(python: Path, cwd: Path) -> None:
    """Without its extra, the command says what to install."""
    result = subprocess.run(
        [python.with_name("bagged-envs"), "list"], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result
    assert 'pip install "bagged_envs[cli]"' in result.stdout + result.stderr, result
    assert "Traceback" not in result.stderr, result


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = folder / "empty"
        empty.mkdir()
        python = build_and_install(folder)
        # -I keeps this script's own folder, and with it the checkout, off the path.
        run(python, "-I", "-W", "error", Path(__file__).resolve(), "--installed", cwd=empty)
        check_command(python, empty)
    print("the wheel works")


if __name__ == "__main__":
    check_installed() if "--installed" in sys.argv else main()
