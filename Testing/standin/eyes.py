"""How different two colours look to readers with and without colour blindness.

Dichromats see as Machado, Oliveira and Fernandes (IEEE TVCG 2009;15:1291) model them at full severity; the difference is CIEDE2000 (Sharma,
Wu and Dalal, Color Res Appl 2005;30:21), of which 1 is just seen side by side.
"""

import numpy as np

SEEN = {
    "all colours": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


_LESIONS = ("cel", "t2l", "necrosis", "cavity", "progression", "progression_cel")
_USUAL = ("RTOG", "EANO", "MODEL", "MODEL_LOW")  # what the panel ticks at first, and what a probability gives
_TOGETHER = (("RTOG", "RTOG_BOOST"), ("4600", "6000"), ("S3_RTOG", "S3_EORTC"))  # of one scheme or study


def groups() -> list[tuple[str, dict[str, str], float]]:
    """Contours of `resources.display` that are told apart from each other: what they are, colour by name, and the bar.

    Bars, chosen: lines are thin, so ten times what is just seen where they are drawn together; six times among all targets, which nobody
    draws at once.
    """
    from gliosuite.resources import display

    table = display()
    targets = table["targets"]
    usual = {name: table["regions"][name]["color"] for name in _LESIONS} | {name: targets[name] for name in _USUAL}
    return [
        ("lesions and usual targets", usual, 10.0),
        *((" and ".join(pair), {name: targets[name] for name in pair}, 10.0) for pair in _TOGETHER),
        ("structures without a colour of their own", {str(i): c for i, c in enumerate(table["palette"])}, 10.0),
        ("all targets", targets, 6.0),
    ]


def closest(colors: dict[str, str]) -> tuple[float, str, str, str]:
    """The two of some colours that are least apart: how far, to whom, and which."""
    pairs = ((*apart(colors[a], colors[b]), a, b) for i, a in enumerate(colors) for b in list(colors)[i + 1 :])
    return min(pairs)


def apart(first: str, second: str) -> tuple[float, str]:
    """The least difference between two colours (``#rrggbb``), and to whom."""
    found = {who: ciede2000(_lab(first, sees), _lab(second, sees)) for who, sees in SEEN.items()}
    who = min(found, key=found.get)
    return found[who], who


def _lab(color: str, sees: np.ndarray) -> np.ndarray:
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    ratio = _XYZ @ np.clip(sees @ linear, 0, 1) / _WHITE
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(first: np.ndarray, second: np.ndarray) -> float:
    """The difference of two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    middle = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    wide = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    cosine = lambda k, shift: np.cos(np.radians(k * middle + shift))
    t = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0) + 0.32 * cosine(3, 6) - 0.20 * cosine(4, -63)
    s_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    turned = (
        -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((middle - 275) / 25) ** 2))))
    )
    d_l, d_c, d_h = (l2 - l1) / s_l, (c2 - c1) / s_c, wide / s_h
    return float(np.sqrt(d_l**2 + d_c**2 + d_h**2 + turned * d_c * d_h))
