"""Mask methods: a batch of images in, masks in the batch's own layout out.

Every method is a function

    method(batch, enabled, xp, **settings) -> masks

``batch`` is an `ImageBatch` of images or of crops of objects; ``enabled``, bool (n, C), is False
for channels that a pre-mask filter failed (their masks stay empty); ``xp`` is the array module
(numpy, or cupy on a GPU rank); ``settings`` are keyword-only arguments, whose names, types and
defaults are what the config accepts. ``masks`` is uint8, 0 or 1, of ``batch.pixels``'s shape and
layout. There is no function for one image.
"""
