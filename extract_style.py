"""How it is painted: Gram matrices of VGG layers, reduced by PCA.

Reads   outputs/images.h5
Writes  outputs/style.h5   image_ids (N,), embeddings (N, 512), and the fitted PCA: pca/mean, pca/components
Run     python extract_style.py            settings: vgg, style
Source  Gatys, Ecker & Bethge 2016, "Image style transfer using convolutional neural networks"
Cost    the network up to the last of style.layers, block3_conv1 being a third of it, then the PCA; 128 KB of disk a
        work for the Gram vectors while it runs: see docs/BENCHMARKS.md for rates.
        extract_features.py makes the same file and content.h5 in one pass.

One pass over the network: Gram vectors (32,896 numbers a work for block3_conv1) go to the disk in shards, and the PCA
is fitted and applied in passes over those, so memory does not grow with the collection.
"""

from pathlib import Path

from artatlas import cli, features
from artatlas.config import Config


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    vectors, speed = features.extract(config, ["style"], update)
    path, summary = features.write_style(config, vectors["style"])
    return path, f"{summary} {speed}"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
