"""The stages in the order they run: which script writes which output, from what, under which settings.

This is a table, not machinery: `store` needs it to name the command that repairs a file, `run_all.py` to know
the order, and a reader to see the whole pipeline at a glance.
"""

from dataclasses import dataclass

# The embeddings that a map may be drawn from; "own" are features made elsewhere, which import_features.py brings in.
SOURCES = ("content", "style", "color", "own")


@dataclass(frozen=True)
class Stage:
    name: str  # also the `stage` attribute of the output
    script: str
    output: str  # below paths.outputs: a file, or a folder holding a recipe.json
    reads: tuple[str, ...]  # names of earlier stages; only sources that `maps:` and the like mention are really opened
    sections: tuple[str, ...]  # of config.yaml: a change there makes the output out of date


STAGES = (
    Stage("images", "prepare_images.py", "images.h5", (), ("images",)),
    Stage("content", "extract_content.py", "content.h5", ("images",), ("vgg", "content")),
    Stage("style", "extract_style.py", "style.h5", ("images",), ("vgg", "style")),
    Stage("color", "extract_color.py", "color.h5", ("images",), ("color",)),
    Stage("neighbors", "find_similar.py", "neighbors.h5", (*SOURCES, "images"), ("similar",)),
    Stage("variants", "find_variants.py", "variants.h5", ("neighbors", "images"), ("variants",)),
    Stage("clusters", "cluster_works.py", "clusters.h5", (*SOURCES, "images"), ("clusters", "similar")),
    Stage("tsne", "build_tsne.py", "tsne.h5", SOURCES, ("maps", "tsne")),
    Stage("parametric_tsne", "train_parametric_tsne.py", "parametric_tsne.h5", (*SOURCES, "tsne"),
          ("parametric_tsne",)),
    Stage("grid", "tsne_to_grid.py", "grid.h5", ("tsne",), ("grid",)),
    Stage("pictures", "render_grid.py", "pictures", ("grid", "tsne", "images"), ("render",)),
    Stage("report", "evaluate_maps.py", "faithfulness.h5", (*SOURCES, "tsne", "grid", "parametric_tsne", "images"),
          ("evaluate",)),
    Stage("viewer", "build_viewer.py", "viewer", ("grid", "tsne", "neighbors", "images", "report", "clusters"),
          ("viewer",)),
)  # fmt: skip

# Run by hand, so not part of run_all.py: with files of the user's own, or because they need labels that not every
# collection has.
ON_REQUEST = (
    Stage("placed", "place_images.py", "placed.h5", (*SOURCES, "tsne", "parametric_tsne"), ("placement",)),
    Stage("verifier", "train_verifier.py", "verifier.h5", (*SOURCES, "images", "variants"), ("verifier",)),
    Stage("scores", "verify_pairs.py", "scores.csv", ("verifier",), ()),
    Stage("own", "import_features.py", "own.h5", ("images",), ()),
    Stage("imported_map", "import_map.py", "tsne.h5", (*SOURCES, "images"), ("maps", "tsne")),
    Stage("export", "export_embeddings.py", "embeddings.h5",
          (*SOURCES, "tsne", "images", "grid", "report", "neighbors", "clusters", "parametric_tsne"), ("export",)),
    Stage("exports", "convert_embeddings.py", "exports", ("export",), ()),
)  # fmt: skip

# Makes the outputs of several stages in one pass; each of them also has a script of its own.
TOGETHER = {"extract_features.py": ("content", "style")}

BY_NAME = {stage.name: stage for stage in (*STAGES, *ON_REQUEST)}
