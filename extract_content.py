"""What is shown: the activations of a VGG layer, pooled over the picture.

Reads   outputs/images.h5
Writes  outputs/content.h5   image_ids (N,), embeddings (N, 512); with content.n_components also the fitted PCA
Run     python extract_content.py            settings: vgg, content
Source  Simonyan & Zisserman 2015 (VGG); pooled activations as a descriptor: Sharif Razavian et al. 2014
Cost    the network up to content.layer, block5_pool being all of it: see docs/BENCHMARKS.md for rates.
        extract_features.py makes the same file and style.h5 in one pass.
"""

from pathlib import Path

from artatlas import cli, features
from artatlas.config import Config


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    vectors, speed = features.extract(config, ["content"], update)
    path, summary = features.write_content(config, vectors["content"])
    return path, f"{summary} {speed}"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
