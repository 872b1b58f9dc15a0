"""Content and style in one pass of the network: what run_all.py runs where both are wanted.

Reads   outputs/images.h5
Writes  outputs/content.h5 and outputs/style.h5, the same as extract_content.py and extract_style.py write
Run     python extract_features.py            settings: vgg, content, style
Source  those of the two scripts
Cost    that of extract_content.py, and the PCA of extract_style.py: the layers that style needs are on the way

Stopped, it goes on where it was; so do the two scripts, for the work already done is found by any of the three.
"""

from pathlib import Path

from artatlas import cli, features
from artatlas.config import Config


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    vectors, speed = features.extract(config, ["content", "style"], update)
    _, content = features.write_content(config, vectors["content"])
    _, style = features.write_style(config, vectors["style"])
    return config.outputs, f"content.h5 with {content}; style.h5 with {style}; {speed}"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
