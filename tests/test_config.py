"""config.yaml is the only home of a default; every mistake in it is one line that names the fix."""

import pytest

from artatlas import config
from artatlas.errors import UserError


def messages(text=None, tmp_path=None, overrides=()):
    file = None
    if text is not None:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        config.load(file, tuple(overrides))
    return [message.replace(f"{tmp_path}/", "") for message in caught.value.messages]


def shipped():
    return config.DEFAULT_FILE.read_text(encoding="utf-8")


def test_the_shipped_file_loads_and_names_every_key_with_its_meaning():
    loaded = config.load()
    assert loaded.tsne.seed == 42
    keys = [line for line in shipped().splitlines() if line.startswith("  ") and not line.strip().startswith("#")]
    # A map's own entry says what it is; a line that goes on with the comment above holds no key.
    assert [line for line in keys if "#" not in line and "{" not in line] == []


def test_unknown_key_gets_the_closest_match():
    assert messages(overrides=["tsne.perplxty=3"]) == [
        "config.yaml: tsne.perplxty is not a setting. Did you mean tsne.perplexity?"
    ]
    assert messages(overrides=["tsn.perplexity=3"]) == ["config.yaml: tsn is not a setting. Did you mean tsne?"]


def test_all_problems_are_told_at_once():
    found = messages(overrides=["images.fit=stretch", "tsne.seed=1.5", "grid.methd=lap"])
    assert len(found) == 3
    assert "images.fit: 'stretch' should be 'squash', 'crop' or 'pad'." in found[0]


@pytest.mark.parametrize(
    "override, problem",
    [
        ("tsne.seed=012", "'012' should be a valid integer"),  # PyYAML alone reads octal 10
        ("tsne.seed='7'", "'7' should be a valid integer"),  # no coercion
        ("tsne.n_iter=true", "True should be a valid integer"),
        ("parametric_tsne.learning_rate=.nan", "'.nan' should be a"),
        ("tsne.perplexity=-1", "-1 should be greater than or equal to 1, or be 'auto'"),
        ("maps={a: {contnt: 1}}", "should be 'content', 'style', 'color' or 'own'"),
        ("maps={a b: {content: 1}}", "should match pattern"),
        ("maps={a: {content: 0}}", "should be greater than 0"),
        ("images.path_pattern=artist", "needs at least one {column}"),
    ],
)
def test_values_are_strict(override, problem):
    (message,) = messages(overrides=[override])
    assert problem in message and message.startswith(f"config.yaml: {override.split('=')[0].split('.')[0]}")


def test_numbers_that_pyyaml_alone_reads_as_text():
    loaded = config.load(None, ("parametric_tsne.learning_rate=1e-3", "grid.aspect_ratio=2"))
    assert loaded.parametric_tsne.learning_rate == 0.001 and loaded.grid.aspect_ratio == 2.0
    assert config.load(None, ("images.filename_column=yes",)).images.filename_column == "yes"  # not True


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (message,) = messages(shipped() + "\ntsne: {seed: 1}\n", tmp_path)
    assert "tsne stands twice" in message and ", line " in message


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "a: !!python/object:os.system x\n", "a: [1\n", "\t\n", "a: \x00"]
)
def test_aliases_tags_and_broken_yaml_are_one_line(text, tmp_path):
    (message,) = messages(text, tmp_path)
    assert message.startswith("config.yaml") and "\n" not in message


def test_deep_nesting_does_not_crash(tmp_path):
    (message,) = messages("[" * 100_000, tmp_path)
    assert "config.yaml" in message


def test_a_missing_key_is_told(tmp_path):
    text = shipped().replace("  early_exaggeration:", "  # early_exaggeration:")
    assert messages(text, tmp_path) == [
        "config.yaml: tsne.early_exaggeration is missing. Copy its line from the shipped config.yaml."
    ]


def test_a_preset_states_only_what_differs(tmp_path):
    (tmp_path / "base.yaml").write_text(shipped(), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        "base: base.yaml\ntsne: {perplexity: 50}\nmaps: {only: {content: 1}}\nparametric_tsne: {map: only}\n"
        "paths: {images: pictures}\n",
        encoding="utf-8",
    )
    loaded = config.load(tmp_path / "mine.yaml")
    assert loaded.tsne.perplexity == 50 and loaded.tsne.early_exaggeration == config.load().tsne.early_exaggeration
    assert list(loaded.maps) == ["only"]
    assert loaded.paths.images == str(tmp_path / "pictures")  # relative to the file that says it


def test_the_map_to_learn_must_exist():
    (message,) = messages(overrides=["parametric_tsne.map=mood"])
    assert message == (
        "config.yaml: parametric_tsne.map: mood is not one of the maps (content, style, combined). Name one of them."
    )


def test_presets_load():
    presets = sorted((config.DEFAULT_FILE.parent / "configs").glob("*.yaml"))
    assert len(presets) >= 2
    for preset in presets:
        config.load(preset)


def test_a_base_may_have_a_base_but_not_itself(tmp_path):
    (tmp_path / "base.yaml").write_text(shipped(), encoding="utf-8")
    (tmp_path / "preset.yaml").write_text("base: base.yaml\ntsne: {perplexity: 50, seed: 1}\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("base: preset.yaml\ntsne: {seed: 2}\n", encoding="utf-8")
    loaded = config.load(tmp_path / "mine.yaml")
    assert loaded.tsne.perplexity == 50 and loaded.tsne.seed == 2
    (tmp_path / "base.yaml").write_text("base: mine.yaml\n", encoding="utf-8")
    with pytest.raises(UserError, match="base: leads back to this file"):
        config.load(tmp_path / "mine.yaml")


def test_a_space_has_sources_and_perhaps_a_scaling(tmp_path):
    loaded = config.load(None, ("similar.spaces={plain: {style: 1, color: 2.5, scaling: none}, even: {color: 1}}",))
    assert loaded.similar.spaces["plain"].weights == {"style": 1, "color": 2.5}
    assert loaded.settings(("similar",))["similar"]["spaces"] == {
        "plain": {"style": 1, "color": 2.5, "scaling": "none"}, "even": {"color": 1},
    }  # fmt: skip
    assert messages(overrides=["similar.spaces={a: {scaling: none}}"]) == [
        "config.yaml: similar.spaces.a: {'scaling': 'none'} needs at least one source with its weight, for example"
        " {style: 1}."
    ]
    (message,) = messages(overrides=["similar.spaces={a: {colour: 1}}"])
    assert message.startswith("config.yaml: similar.spaces.a.colour is not a setting.")
