"""The dependency rule of the design, read off the imports themselves."""

import ast
import re
import resource
import subprocess
import sys

import pytest
from conftest import REPO

from artatlas.stages import ON_REQUEST, STAGES, TOGETHER

SCRIPTS = sorted(path for path in REPO.glob("*.py"))
MODULES = sorted((REPO / "artatlas").glob("*.py"))


def imports(path, top_level_only=False):
    """Names of the modules that a file imports, `artatlas.store` for `from artatlas import store`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def attribute_calls(path, pattern):
    return re.findall(pattern, path.read_text(encoding="utf-8"))


def test_every_stage_of_the_table_is_a_script_and_the_other_way_round():
    table = {stage.script for stage in (*STAGES, *ON_REQUEST)} | {*TOGETHER, "run_all.py"}
    assert table == {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_the_package_and_never_each_other(path):
    scripts = {script.stem for script in SCRIPTS}
    assert not {name.split(".")[0] for name in imports(path)} & scripts


def test_arrows_inside_the_package_point_one_way():
    graph = {}
    for path in MODULES:
        names = {name.split(".")[1] for name in imports(path) if name.startswith("artatlas.") and name.count(".") == 1}
        graph[path.stem] = names & {other.stem for other in MODULES} - {path.stem}
    done: set[str] = set()

    def visit(module, trail):
        assert module not in trail, f"imports go round in a circle: {' -> '.join([*trail, module])}"
        if module not in done:
            for needed in graph[module]:
                visit(needed, [*trail, module])
            done.add(module)

    for module in graph:
        visit(module, [])


def test_one_module_writes_hdf5_one_reads_yaml_one_decodes_images():
    files = [*SCRIPTS, *MODULES]
    writers = [path.name for path in files if attribute_calls(path, r"h5py\.File\([^)]*\"[wax]\+?-?\"")]
    assert writers == ["store.py"]
    assert [path.name for path in files if "yaml" in imports(path)] == ["config.py"]
    decoders = [path.name for path in files if attribute_calls(path, r"Image\.open\(")]
    assert set(decoders) <= {"images.py", "render_grid.py"}  # render_grid decodes our own thumbnails


def test_heavy_libraries_are_imported_where_they_are_used():
    """Nothing slow to import, as TensorFlow is, at the top of a file: `--help` has to be instant."""
    heavy = {"tensorflow", "keras", "sklearn", "openTSNE", "matplotlib", "rasterfairy", "scipy", "faiss"}
    for path in [*SCRIPTS, *MODULES]:
        assert not {name.split(".")[0] for name in imports(path, top_level_only=True)} & heavy, path.name


def test_no_pickle_and_no_swallowed_exceptions():
    for path in [*SCRIPTS, *MODULES, *(REPO / "data").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*except( Exception| BaseException)?:", text, re.M), path.name
        assert not re.search(r"^\s*(import|from) (pickle|joblib|dill)", text, re.M), path.name
        assert "allow_pickle=True" not in text, path.name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_help_teaches_and_is_quick(path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # a busy machine only adds waiting
    assert result.returncode == 0 and result.stderr == ""
    for word in ("Reads ", "Writes ", "Run ", "Cost ", "--config", "--set"):
        assert word in result.stdout, f"{path.name} --help says nothing of {word}"
    assert took < 2, f"{path.name} --help took {took:.1f} s of processor time"
