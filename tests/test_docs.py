"""The documentation says what is so: every stage, setting, error, link and command in it is held against the code."""

import ast
import functools
import importlib
import re
import shlex
import shutil

import pytest
import yaml
from conftest import REPO

from artatlas import cli, config
from artatlas.config import DEFAULT_FILE
from artatlas.errors import UserError
from artatlas.stages import ON_REQUEST, STAGES, TOGETHER

PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").glob("*.md")])
CODE = sorted([*REPO.glob("*.py"), *(REPO / "artatlas").glob("*.py"), *(REPO / "data").glob("*.py")])


def text_of(name):
    return (REPO / name).read_text(encoding="utf-8")


def without_code(text):
    """Markdown without its fenced and indented blocks."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.sub(r"^(    .*\n)+", "", text, flags=re.M)


# Stages and files


def table_rows(text, heading):
    """Cells of the first table below a heading, without its head."""
    lines = text.partition(f"\n## {heading}\n")[2].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_the_readme_names_every_script_with_what_it_really_writes():
    rows = {row[0].strip("`").split(" ")[0]: row for row in table_rows(text_of("README.md"), "The stages")}
    stages = {stage.script: stage for stage in (*STAGES, *ON_REQUEST)}
    assert set(rows) == {*stages, *TOGETHER, "run_all.py"}
    for script, stage in stages.items():
        assert f"`{stage.output}" in rows[script][2], f"{script}: README has {rows[script][2]}"
    order = [script for script in rows if script in {stage.script for stage in STAGES}]
    assert order == [stage.script for stage in STAGES], "the README lists stages in another order than they are run in"


def test_every_output_is_explained():
    explained = text_of("docs/FILES.md")
    for stage in (*STAGES, *ON_REQUEST):
        assert f"`{stage.output}" in explained, f"docs/FILES.md says nothing of {stage.output}"


def test_every_stage_is_explained():
    scripts = {stage.script for stage in (*STAGES, *ON_REQUEST)} | {*TOGETHER, "run_all.py"}
    assert set(re.findall(r"^## (.+)$", text_of("docs/STAGES.md"), flags=re.M)) == scripts


def test_the_readme_fits_on_three_screens():
    assert len(text_of("README.md").splitlines()) <= 150


# Settings


def settings_of(values):
    """section -> its keys; `maps` has names of its own."""
    return {section: set() if section == "maps" else set(keys) for section, keys in values.items()}


def documented():
    found = {}
    for part in re.split(r"^## ", text_of("docs/SETTINGS.md"), flags=re.M)[1:]:
        section, _, body = part.partition("\n")
        found[section] = set(re.findall(r"^\| `(\w+)` \|", body, flags=re.M))
    return found


def test_every_setting_is_documented_and_none_that_is_gone():
    assert documented() == settings_of(yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8")))


def test_every_picture_of_the_docs_is_shown_and_small():
    shown = set()
    for page in PAGES:
        links = re.findall(r"!\[[^]]*]\(([^)]+)\)", page.read_text("utf-8"))
        shown |= {(page.parent / link).resolve() for link in links}
    there = {path.resolve() for path in (REPO / "docs" / "images").rglob("*") if path.is_file()}
    assert shown == there
    assert sum(path.stat().st_size for path in there if "settings" in path.parts) < 1_500_000


# Errors


def template(node):
    """A message as a regular expression: its fixed words, and anything where it has a value. None if not a text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(".+?" if isinstance(part, ast.FormattedValue) else template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return "".join(template(side) or ".+?" for side in (node.left, node.right))
    return None


def fixed(pattern):
    return len(re.sub(r"\W", "", pattern.replace(".+?", "")))


@functools.cache
def messages():
    """(place, template) of everything that can be told as a UserError.

    A message is an argument of UserError or what a function of the same file returns for one, or is gathered in a list
    `problems`, or is what config.py makes of pydantic's findings, the ValueErrors of its own validators among them.
    """
    found = []
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        makers = {"_explain", *re.findall(r"UserError\((\w+)\(", text)}
        for function in functions:
            for node in ast.walk(function):
                nodes = []
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    if name == "UserError" or (name == "append" and ast.unparse(node.func.value) == "problems"):
                        nodes = node.args
                    elif name == "ValueError" and path.name == "config.py":
                        found.append((path.name, f".+?: .+? {template(node.args[0])}."))
                elif isinstance(node, ast.Assign) and "problems" in ast.unparse(node.targets[0]):
                    nodes = [each.elt for each in ast.walk(node.value) if isinstance(each, ast.ListComp)]
                elif isinstance(node, ast.Return) and function.name in makers:
                    nodes = [node.value]
                for each in nodes:
                    pattern = template(each)
                    if pattern and fixed(pattern) >= 8:  # with fewer letters it hands on what another has said
                        found.append((f"{path.relative_to(REPO)}:{each.lineno}", pattern))
    return found


def told():
    """The error lines of docs/TROUBLESHOOTING.md, without "error: "."""
    return re.findall(r"^    error: (.+)$", text_of("docs/TROUBLESHOOTING.md"), flags=re.M)


def test_every_error_is_in_troubleshooting():
    lines = told()
    lacking = [
        f"{place}: " + re.sub(r"\\(.)", r"\1", pattern.replace(".+?", "..."))
        for place, pattern in messages()
        if not any(re.fullmatch(pattern, line) for line in lines)
    ]
    assert not lacking, "docs/TROUBLESHOOTING.md lacks an example of:\n" + "\n".join(lacking)


def test_troubleshooting_has_no_error_that_nothing_tells():
    patterns = [pattern for _, pattern in messages()]
    assert len(patterns) > 90  # the control: the collector above finds them at all
    stale = [line for line in told() if not any(re.fullmatch(pattern, line) for pattern in patterns)]
    assert not stale, "docs/TROUBLESHOOTING.md tells of errors that are gone:\n" + "\n".join(stale)


# Links


def anchor(heading):
    """GitHub's name of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")


def anchors(page):
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", without_code(page.read_text("utf-8")), flags=re.M)}


def broken(page, text):
    found = []
    for link in re.findall(r"]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"https?://", link):
            if not re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/\S*)?", link):
                found.append(f"{link} is no https address")
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            found.append(f"{link} leads nowhere")
        elif fragment and fragment not in anchors(target):
            found.append(f"{link}: {target.name} has no heading of that name")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    assert broken(page, page.read_text("utf-8")) == []


def test_a_broken_link_is_seen():
    page = REPO / "README.md"
    for link in ("docs/NOWHERE.md", "docs/GRIDS.md#no-such-heading", "#no-such-heading", "http://example"):
        assert len(broken(page, f"[x]({link})")) == 1, link


def test_every_page_is_reached_from_the_readme():
    reached, queue = set(), [REPO / "README.md"]
    while queue:
        page = queue.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"]\(([^)#\s]+)", without_code(page.read_text("utf-8")))
        queue += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert reached >= set(PAGES)


# Commands


def commands(text):
    """Every command line of a page: of its indented blocks, and in backquotes of its tables and sentences."""
    text = re.sub(r"\\\n\s+", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    for name, value in re.findall(r'^    ([A-Z]+)="?([^"\n]+?)"?$', text, flags=re.M):
        text = re.sub(rf"\${name}\b", value, text)
    lines = re.findall(r"^    (\S.*)$", text, flags=re.M)
    lines += re.findall(r"`((?:python|make) [^`]+)`", text)
    found = [re.split(r"\s+#\s", line)[0] for line in lines]
    return [part for line in found for part in re.split(r" && ", line) if re.match(r"(python|make|artatlas) ", part)]


class _Parsed(Exception):
    pass


def parse(words):
    """argparse on the words after a script's name, by the script's own parser; --set values are checked too."""
    script = REPO / words[0]
    assert script.is_file(), f"there is no {words[0]}"
    if script.parent == REPO:
        module = importlib.import_module(script.stem)
        parsed = cli._parser("", getattr(module, "add_arguments", None)).parse_args(words[1:])
        file = parsed.config if parsed.config is None or parsed.config.exists() else None
        config.load(file and (REPO / file).resolve(), tuple(parsed.set))
        return
    for option in [word for word in words[1:] if word.startswith("--")]:
        assert option in script.read_text("utf-8"), f"{words[0]} has no {option}"


def runnable(command):
    """Raises where a command of the docs could not be run as it stands, for its form alone."""
    words = shlex.split(command)
    if words[0] == "make":
        for target in words[1:]:
            assert re.search(rf"^{target}:", text_of("Makefile"), flags=re.M), f"the Makefile has no {target}"
    elif words[0] == "artatlas":
        parse([f"{words[1]}.py", *words[2:]])
    elif words[0] == "python" and words[1] not in ("-m", "-c") and words[1] != "STAGE.py":
        parse([word for word in words[1:] if not re.fullmatch(r"\[.*|.*\]", word)])


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_command_can_be_typed(page, monkeypatch, capsys):
    monkeypatch.chdir(REPO)
    monkeypatch.syspath_prepend(str(REPO))
    for command in commands(page.read_text("utf-8")):
        try:
            runnable(command)
        except (SystemExit, UserError) as error:
            pytest.fail(f"{page.name}: {command}\n{error}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("command", [
    "python no_such.py", "python build_tsne.py --perplexity 5", "python build_tsne.py --set tsne.perplxity=5",
    "make nothing", "python find_similar.py --set 'maps={a: {contnt: 1}}'",
])  # fmt: skip
def test_a_command_that_is_wrong_is_seen(command, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO))
    with pytest.raises((AssertionError, SystemExit, UserError)):
        runnable(command)


# Blocks


def blocks(language):
    for page in PAGES:
        for block in re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), flags=re.M | re.S):
            yield page.name, block


def test_every_yaml_block_is_a_config_file(tmp_path):
    checked = 0
    for page, block in blocks("yaml"):
        file = tmp_path / "own.yaml"
        file.write_text(block.replace("base: config.yaml", f"base: {DEFAULT_FILE}"), encoding="utf-8")
        try:
            config.load(file)
        except UserError as error:
            pytest.fail(f"{page}: {error}")
        checked += 1
    assert checked >= 3


def test_every_python_block_runs(finished, painted, tmp_path, monkeypatch, capsys):
    """The blocks of a page one after the other, where outputs/ is that of a whole run and data/ ours."""
    shutil.copyfile(next((painted / "images").rglob("*.jpg")), tmp_path / "some.jpg")
    (tmp_path / "outputs").symlink_to(finished)
    (tmp_path / "data").symlink_to(REPO / "data")
    monkeypatch.chdir(tmp_path)
    names = {page: {} for page, _ in blocks("python")}
    assert names
    for page, block in blocks("python"):
        try:
            exec(compile(block, page, "exec"), names[page])
        except UserError as error:
            if not str(error).startswith("vgg.weights: the ImageNet weights"):  # cannot be had everywhere
                raise
