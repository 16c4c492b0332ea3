"""What packaging, links, layers and imports promise."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
PACKAGE_DIR = SETUPTOOLS["package-dir"]
LINKED = {name.removeprefix("bagged_envs."): folder for name, folder in PACKAGE_DIR.items()}


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-W", "error", "-c", code)


def folder_of(package: str) -> Path:
    """Where the mapping says that a package stands: its own row, or its parent's."""
    if package in PACKAGE_DIR:
        return ROOT / PACKAGE_DIR[package]
    parent, _, name = package.rpartition(".")
    return folder_of(parent) / name if parent else ROOT / name


class TestMapping:
    def test_every_package_is_listed_and_every_listed_package_exists(self):
        found = {
            ".".join(file.parent.relative_to(ROOT).parts)
            for top in ("bagged_envs", *LINKED.values())
            for file in (ROOT / top).rglob("__init__.py")
        }
        # As seen from below: a folder behind a link stands under bagged_envs.
        found = {name if name.split(".")[0] == "bagged_envs" else f"bagged_envs.{name}" for name in found}
        assert sorted(SETUPTOOLS["packages"]) == sorted(found)

    @pytest.mark.parametrize("package", SETUPTOOLS["packages"])
    def test_the_mapping_leads_to_a_package(self, package):
        assert (folder_of(package) / "__init__.py").is_file()

    @pytest.mark.parametrize(("name", "folder"), LINKED.items())
    def test_the_links_are_relative_and_lead_to_the_mapped_folder(self, name, folder):
        link = ROOT / "bagged_envs" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / folder
        assert link.resolve() == ROOT / folder

    def test_every_folder_of_modules_is_a_package(self):
        tops = [ROOT / top for top in ("bagged_envs", *LINKED.values())]
        modules = [file for top in tops for file in top.rglob("*.py")]
        assert [str(file) for file in modules if not (file.parent / "__init__.py").is_file()] == []

    def test_all_leaves_out_what_is_heavy(self):
        extras = PYPROJECT["project"]["optional-dependencies"]
        assert not {"envpool", "test", "docs", "dev"} & set(re.findall(r"\w+", extras["all"][0]))

    def test_the_readme_names_every_extra_for_users_once(self):
        said = re.search(r"extras are (.*?) for everything", (ROOT / "README.md").read_text(), re.DOTALL)
        extras = {*PYPROJECT["project"]["optional-dependencies"]} - {"test", "docs", "dev"}
        assert sorted(re.findall(r"`(\w+)`", said[1])) == sorted(extras)

    def test_every_required_version_is_the_tested_one_or_below(self):
        """A requirement without a pin would be installed untested; pip itself checks that the pin fits."""
        pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
        project = PYPROJECT["project"]
        requirements = sum(project["optional-dependencies"].values(), project["dependencies"])
        names = {re.match(r"[\w-]+", requirement)[0] for requirement in requirements} - {"bagged_envs"}
        assert names - pinned == set()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, its links kept as links, for the linter to read."""
    for folder in ("bagged_envs", "wrappers", "baselines"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> tuple[int, str]:
    """The linter's exit status, and its report on one line: it wraps and colors its text for terminals."""
    program = Path(sys.executable).with_name("lint-imports")
    result = run(str(program), "--no-cache", "--no-logo", cwd=tree)
    return result.returncode, " ".join(re.sub(r"\x1b\[\d*m", "", result.stdout).split())


class TestLayers:
    def test_every_module_stands_in_a_layer(self):
        (contract,) = [c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
        placed = re.findall(r"\w+", " ".join(contract["layers"]))
        files = {path.stem for path in (ROOT / "bagged_envs").glob("*.py")} - {"__init__"}
        folders = {path.parent.name for path in (ROOT / "bagged_envs").glob("*/__init__.py")}
        assert sorted(placed) == sorted(files | folders)

    def test_the_tree_as_it_stands_passes(self, tree):
        status, report = lint_imports(tree)
        assert status == 0, report

    @pytest.mark.parametrize(
        ("importer", "imported", "chain"),
        [
            ("wrappers/planted.py", "bagged_envs.registration", "wrappers.planted -> bagged_envs.registration"),
            ("wrappers/planted.py", "bagged_envs.baselines", "wrappers.planted -> bagged_envs.baselines"),
            ("wrappers/planted.py", "pettingzoo", "wrappers.planted -> pettingzoo"),
            ("bagged_envs/suites/planted.py", "bagged_envs.baselines", "suites.planted -> bagged_envs.baselines"),
            ("baselines/planted.py", "bagged_envs.cli", "baselines.planted -> bagged_envs.cli"),
        ],
    )
    def test_a_planted_upward_import_is_found(self, tree, importer, imported, chain):
        (tree / importer).write_text(f"import {imported}\n")
        status, report = lint_imports(tree)
        assert status == 1, report
        assert chain in report

    def test_a_planted_circle_is_found(self, tree):
        (tree / "wrappers/planted_one.py").write_text("import bagged_envs.wrappers.planted_two\n")
        (tree / "wrappers/planted_two.py").write_text("import bagged_envs.wrappers.planted_one\n")
        status, report = lint_imports(tree)
        assert status == 1, report
        assert "No circles inside a floor BROKEN" in report
        assert "planted_one" in report

    def test_a_module_without_a_layer_is_found(self, tree):
        (tree / "bagged_envs/planted.py").write_text("")
        status, report = lint_imports(tree)
        assert status == 1, report
        assert "planted" in report

    def test_the_wrappers_import_only_what_they_may(self):
        allowed = {"gymnasium", "numpy", "bagged_envs"} | sys.stdlib_module_names
        for file in (ROOT / "wrappers").rglob("*.py"):
            may = allowed | {"pettingzoo"} if file.name == "parallel.py" else allowed
            assert {name.split(".")[0] for name in imported_names(file)} <= may, file


def imported_names(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    return names


class TestRuff:
    @pytest.mark.parametrize(
        ("code", "rule"),
        [
            ("import wrappers", "TID251"),
            ("from wrappers.schedule import RewardSchedule", "TID251"),
            ("import baselines", "TID251"),
            ("from . import schedule", "TID252"),
        ],
    )
    def test_imports_that_load_second_copies_are_banned(self, code, rule):
        ruff = Path(sys.executable).with_name("ruff")
        result = subprocess.run(
            [ruff, "check", "--output-format", "concise", "--stdin-filename", "wrappers/planted.py", "-"],
            cwd=ROOT,
            input=f"{code}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert rule in result.stdout


class TestImport:
    def test_importing_the_package_is_cheap(self):
        heavy = {
            *("torch", "mujoco", "dm_control", "shimmy", "pettingzoo", "envpool", "stable_baselines3"),
            *("matplotlib", "tyro", "rich", "hypothesis"),
        }
        # What Gymnasium brings along by itself is not ours to answer for.
        code = "import gymnasium, sys; before = set(sys.modules); import bagged_envs, json; "
        result = python(code + "print(json.dumps(sorted(set(sys.modules) - before)))")
        assert result.returncode == 0, result.stderr
        assert heavy & {name.split(".")[0] for name in json.loads(result.stdout)} == set()

    def test_importing_and_reloading_registers_once_and_warns_of_nothing(self):
        result = python(
            "import gymnasium, importlib, bagged_envs\n"
            "before = dict(gymnasium.registry)\n"
            "importlib.reload(bagged_envs)\n"
            "assert list(gymnasium.registry) == list(before), 'a reload changed the registry'\n"
        )
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""

    def test_the_typing_marker_exists(self):
        assert (ROOT / "bagged_envs" / "py.typed").is_file()


def test_the_project_names_no_path_of_a_machine():
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    if listed.returncode:
        pytest.skip("not a git checkout")
    # An absolute path that begins in somebody's home or workplace; a path inside an address is none.
    host_path = re.compile(r"(?<![\w.:/~$}*-])/(?:home|root|Users|work|mnt|opt|workspace)(?:/[\w.-]+)+")
    found = []
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.is_symlink() or not file.is_file():
            continue
        text = file.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{name}: {match[0]}" for match in host_path.finditer(text)]
    assert found == []
