"""How it is painted: Gram matrices of VGG layers, reduced by PCA.

Reads   outputs/images.h5
Writes  outputs/style.h5   image_ids (N,), embeddings (N, 512), and the fitted PCA: pca/mean, pca/components
Run     python extract_style.py            settings: vgg, style
Source  Gatys, Ecker & Bethge 2016, "Image style transfer using convolutional neural networks"
Cost    on 2 cores about 70 works/s where the processor computes in bfloat16 (one layer of block 3), then the PCA;
        128 KB of disk a work for the Gram vectors while it runs

One pass over the network: Gram vectors (32,896 numbers a work for block3_conv1) go to the disk in shards, and the PCA
is fitted and applied in passes over those, so memory does not grow with the collection.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from artatlas import cli, shards, store, vgg, weights
from artatlas.config import Config
from artatlas.reduce import fit_pca

SEED = 0  # of the PCA's random start; the result does not depend on it beyond rounding
PCA_ROWS = 256  # Gram vectors in memory at a time: 33 MB for block3_conv1


def read_blocks(paths: list[Path]) -> Iterator[np.ndarray]:
    """One pass over the Gram vectors, (PCA_ROWS, P) at a time."""
    for path in paths:
        shard = shards.load(path)
        for rows in shards.slices(len(shard), PCA_ROWS):
            yield np.asarray(shard[rows])


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    settings = config.style
    network = weights.resolve(config.vgg.network, config.vgg.weights)
    for layer in settings.layers:
        vgg.check_layer(layer, "style.layers", network, config.images.network_px)
    with store.open_output(config, "images") as images:
        tf = vgg.start_tensorflow(config)
        precision = vgg.resolve_precision(config.vgg.precision, tf)
        recipe = {"settings": config.settings(("vgg", "style")), **vgg.provenance(network, precision)}
        inputs = {"images": str(images.attrs["fingerprint"])}
        if network.notice:
            cli.notice(network.notice)

        # 2. Compute
        output = config.outputs / "style.h5"
        image_ids = store.read_ids(images)
        parts = shards.folder_for(output, store.fingerprint("style", recipe, inputs))
        heads = [vgg.Gram(layer, settings.normalizer, settings.transform) for layer in settings.layers]
        forward = vgg.build(network, heads, precision, config.images.network_px, tf)

        def gram_vectors(rows):
            for batch in vgg.batches(images["pixels"], rows, config.machine.batch_size):
                yield np.hstack(forward(batch))  # (B, P)

        start = time.perf_counter()
        paths = shards.compute(parts, len(image_ids), gram_vectors, "style")
        rate = len(image_ids) / (time.perf_counter() - start)

    widths = [vgg.gram_length(layer) for layer in settings.layers]
    pca = fit_pca(lambda: read_blocks(paths), settings.n_components, np.random.default_rng(SEED), widths)
    embeddings = np.concatenate([pca.transform(block) for block in read_blocks(paths)])  # (N, D)

    # 3. Write
    with store.create(output, "style", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["embeddings"] = embeddings
        store.write_pca(h5, pca)
    shards.remove(parts)
    return output, (
        f"{cli.count(len(image_ids), 'work')}, {embeddings.shape[1]} dimensions ({pca.explained_variance_ratio:.1%} of"
        f" the variance) from Gram matrices of {', '.join(settings.layers)} of {network.network.upper()}"
        f" at {rate:.0f} works/s ({precision}, {vgg.device_name(tf)})"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
