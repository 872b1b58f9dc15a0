"""What is shown: the activations of a VGG layer, pooled over the picture.

Reads   outputs/images.h5
Writes  outputs/content.h5   image_ids (N,), embeddings (N, 512); with content.n_components also the fitted PCA
Run     python extract_content.py            settings: vgg, content
Source  Simonyan & Zisserman 2015 (VGG); pooled activations as a descriptor: Sharif Razavian et al. 2014
Cost    on 2 cores about 60 works/s where the processor computes in bfloat16, 9 works/s in float32
"""

import time
from pathlib import Path

import numpy as np

from artatlas import cli, shards, store, vgg, weights
from artatlas.config import Config
from artatlas.reduce import fit_pca

SEED = 0  # of the PCA's random start; the result does not depend on it beyond rounding


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    settings = config.content
    network = weights.resolve(config.vgg.network, config.vgg.weights, needs_top=settings.layer in vgg.DENSE)
    vgg.check_layer(settings.layer, "content.layer", network, config.images.network_px, dense=True)
    with store.open_output(config, "images") as images:
        tf = vgg.start_tensorflow(config)
        precision = vgg.resolve_precision(config.vgg.precision, tf)
        recipe = {"settings": config.settings(("vgg", "content")), **vgg.provenance(network, precision)}
        inputs = {"images": str(images.attrs["fingerprint"])}
        if network.notice:
            cli.notice(network.notice)

        # 2. Compute
        output = config.outputs / "content.h5"
        image_ids = store.read_ids(images)
        parts = shards.folder_for(output, store.fingerprint("content", recipe, inputs))
        head = vgg.Pooled(settings.layer, settings.pooling)
        forward = vgg.build(network, [head], precision, config.images.network_px, tf)

        def activations(rows):
            for batch in vgg.batches(images["pixels"], rows, config.machine.batch_size):
                yield forward(batch)[0]

        start = time.perf_counter()
        paths = shards.compute(parts, len(image_ids), activations, "content")
        rate = len(image_ids) / (time.perf_counter() - start)

    embeddings = np.concatenate([shards.load(path) for path in paths])  # (N, C)
    pca = None
    if settings.n_components:
        vectors = embeddings
        pca = fit_pca(lambda: [vectors], settings.n_components, np.random.default_rng(SEED))
        embeddings = pca.transform(vectors)

    # 3. Write
    with store.create(output, "content", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["embeddings"] = embeddings
        if pca:
            store.write_pca(h5, pca)
    shards.remove(parts)
    kept = f" ({pca.explained_variance_ratio:.1%} of the variance)" if pca else ""
    return output, (
        f"{cli.count(len(image_ids), 'work')}, {embeddings.shape[1]} dimensions{kept} from {settings.layer} of"
        f" {network.network.upper()} at {rate:.0f} works/s ({precision}, {vgg.device_name(tf)})"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
