"""What the report's figures mean, word by word: its last section, as HTML."""

TERMS = (
    (
        "k nearest, kept",
        "Of the k nearest on the map, the share that are among the k nearest by the features. Where no two"
        " distances are equal this is also the share of the k nearest by the features that the map keeps. Chance:"
        " k / (N − 1).",
    ),
    ("faithfulness", "The same of one work, at the k of <code>evaluate.n_neighbors</code>."),
    (
        "trustworthiness",
        "1 − 2 / (N k (2N − 3k − 1)) × the sum, over all works and those of their k nearest on the map that are"
        " not among their k nearest by the features, of (rank by the features − k) (Venna &amp; Kaski 2001).",
    ),
    ("continuity", "The same with map and features in each other's place."),
    (
        "ranks",
        "One more than the number of nearer works. Above 10,000 works they are counted among 2,000 drawn works and"
        " scaled up, which is without bias; neighbours themselves are always exact.",
    ),
    (
        "order of all distances",
        "Spearman's rank correlation of distance on the map with distance by the features, over all pairs of up to"
        " 1,000 drawn works.",
    ),
    (
        "drawn again",
        "Median over the works of the distance after orthogonal Procrustes alignment with scaling, over the longer"
        " side of the map; share of the nearest on the map that stay the nearest. Means over the seeds.",
    ),
    (
        "cost, least",
        "Mean squared displacement in the unit square. The least is over all ways to give the works the same"
        " cells: exact up to 4,000 works; above, a lower bound from each axis by itself.",
    ),
    ("DPQ16", "Distance preservation quality with p = 16 (Barthel et al. 2023); of many works, over drawn ones."),
    ("5-NN accuracy", "Share of works whose label wins the vote of their 5 nearest; ties go to the nearest."),
    ("mAP@10", "Precision at every rank up to 10 that holds the same label, summed, over the most there could be."),
    ("Recall@10", "Share of works of which at least one of the 10 nearest has their label."),
    ("asked about", "Works whose label another work has. A work without a label counts as a wrong neighbour."),
    (
        "within one ..., without the same ...",
        "Neighbours are looked for only among works that share the other column, or only among those that do not:"
        " is an artist told from others of one style, is a style known without other works of the same artist? Up"
        " to 2,000 works are asked about; within, labels are shuffled inside the other column.",
    ),
)
