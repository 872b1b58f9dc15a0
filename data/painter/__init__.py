"""The hand behind the sample collection: subjects describe a scene once, styles paint any scene.

    canvas.py       shapes and outlines, and the arrays that a style paints from
    palettes.py     the colours of eight times of day
    backdrops.py    the sky and the room that several subjects share
    brushes.py      styles made with brush and chalk: impasto, points, watercolour, pastel
    presses.py      styles made with line, block and lead: engraving, colour_print, linocut, glass

and one module per subject: boat, mountains, village, bird, fruit, flowers, portrait, cat.
"""
