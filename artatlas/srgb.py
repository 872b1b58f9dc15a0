"""Colours: a picture in any of Pillow's modes, with or without a colour profile, becomes 8-bit sRGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

_SRGB = ImageCms.createProfile("sRGB")


def averageable(image: Image.Image) -> Image.Image:
    """The picture in a mode whose pixels may be averaged: no palettes, bits, or colours under transparency."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I;16"):
        return image.convert("I")
    if image.mode in ("P", "PA", "L", "RGB", "La", "RGBa") and image.has_transparency_data:
        return image.convert("LA" if image.mode in ("L", "La") else "RGBA")  # which Pillow averages premultiplied
    return image.convert("RGB") if image.mode == "P" else image


def convert(small: Image.Image, image: Image.Image) -> Image.Image:
    """`small`, the shrunk `image`, as sRGB: numbers scaled to 8 bits, over white, its colour profile applied."""
    if small.mode in ("I", "F"):
        small = _scale_numbers(np.asarray(small, np.float64), 65535 if image.mode.startswith("I;16") else None)
    if small.mode in ("LA", "RGBA"):
        opaque = small.convert(small.mode[:-1])
        small = Image.composite(opaque, Image.new(opaque.mode, opaque.size, "white"), small.getchannel("A"))
    profile = image.info.get("icc_profile")
    if small.mode == "LAB":
        converted = ImageCms.profileToProfile(small, ImageCms.createProfile("LAB"), _SRGB, outputMode="RGB")
        return converted or small
    if profile:
        small = _apply_profile(small, profile)
    return small if small.mode == "RGB" else small.convert("RGB")


def _scale_numbers(values: np.ndarray, white: float | None) -> Image.Image:
    """(h, w) numbers as 8-bit grey. Without a `white` level 0..1 is taken as it is and any other range stretched."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if white or (low >= 0 and high <= 1):
        low, high = 0.0, white or 1.0
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    shares = (values - low) / max(high - low, 1e-300)
    return Image.fromarray(np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8))


def _apply_profile(small: Image.Image, profile: bytes) -> Image.Image:
    """To sRGB. A profile that is broken, or for other colours than the picture has, is ignored, as browsers do."""
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" not in ImageCms.getProfileDescription(parsed):
            return ImageCms.profileToProfile(small, parsed, _SRGB, outputMode="RGB") or small
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        pass
    return small
