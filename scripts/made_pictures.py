"""Ten pictures of ten kinds, drawn by code: window, terminal, chart, line art, map, dither, scan,
comic, icon with alpha, photograph with a caption. `scripts/any_picture.py` measures codecs on them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
WORDS = (
    "the range decoder reads words and gives decisions while the context model turns latents "
    "that are known into probabilities of those to come so nothing is sent twice and a picture "
    "of letters costs what letters cost"
).split()


def font(size: int, family: str = "DejaVu Sans", weight: str = "normal") -> ImageFont.FreeTypeFont:
    """One of the fonts that matplotlib brings."""
    properties = font_manager.FontProperties(family=family, weight=weight)
    return ImageFont.truetype(font_manager.findfont(properties), size)


def lines(rng: np.random.Generator, count: int, width: int) -> list[str]:
    """Lines of about so many letters."""
    out = []
    for _ in range(count):
        line = ""
        while len(line) < width * rng.uniform(0.6, 1):
            line += str(rng.choice(WORDS)) + " "
        out.append(line.strip())
    return out


def photograph(width: int, height: int) -> Image.Image:
    """A sample of the repository, enlarged or cut to a size."""
    path = sorted(path for path in SAMPLES.iterdir() if path.suffix in {".png", ".jpg", ".webp"})[0]
    with Image.open(path) as image:
        image = image.convert("RGB")
    scale = max(width / image.width, height / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.LANCZOS)
    return Image.fromarray(np.asarray(image)[:height, :width])  # without its profile


def window() -> Image.Image:
    """A window with menus, icons, a list, and a photograph in it."""
    rng = np.random.default_rng(1)
    image = Image.new("RGB", (1000, 800), (240, 240, 242))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 999, 35), fill=(52, 61, 84))
    draw.text((14, 8), "Photographs - 2026 - Harbour", fill="white", font=font(16))
    for n, colour in enumerate(("#e05050", "#e0b040", "#50b060")):
        draw.ellipse((985 - 26 * n - 14, 11, 985 - 26 * n, 25), fill=colour)
    for n, word in enumerate(("File", "Edit", "View", "Picture", "Tools", "Help")):
        draw.text((16 + 70 * n, 44), word, fill=(30, 30, 30), font=font(14))
    draw.line((0, 68, 999, 68), fill=(200, 200, 205))
    for n in range(14):
        x = 14 + 44 * n
        draw.rounded_rectangle((x, 76, x + 34, 106), 6, outline=(150, 150, 160), fill="white")
        draw.polygon([(x + 9, 98), (x + 17, 82 + n % 5), (x + 26, 98)], fill=(60, 110, 200))
    draw.rectangle((12, 118, 300, 780), fill="white", outline=(180, 180, 190))
    for n, line in enumerate(lines(rng, 27, 30)):
        if n == 4:
            draw.rectangle((13, 124 + 24 * n, 299, 148 + 24 * n), fill=(205, 222, 250))
        draw.text((22, 127 + 24 * n), line, fill=(20, 20, 20), font=font(13))
    draw.rectangle((316, 118, 985, 780), fill="white", outline=(180, 180, 190))
    image.paste(photograph(480, 320), (410, 140))
    for n, line in enumerate(lines(rng, 12, 80)):
        draw.text((336, 486 + 24 * n), line, fill=(40, 40, 40), font=font(13))
    return image


def terminal() -> Image.Image:
    """Coloured letters of one width on black."""
    rng = np.random.default_rng(2)
    image = Image.new("RGB", (960, 640), (18, 18, 24))
    draw = ImageDraw.Draw(image)
    mono, colours = font(14, "DejaVu Sans Mono"), ["#d0d0d0", "#80d080", "#6090f0", "#e0c060"]
    for n, line in enumerate(lines(rng, 36, 100)):
        at = 8.0
        for word in line.split():
            draw.text((at, 8 + 17 * n), word, fill=str(rng.choice(colours)), font=mono)
            at += mono.getlength(word + " ")
    return image


def chart() -> Image.Image:
    """Curves, points and bars by matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rng = np.random.default_rng(3)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5), dpi=100)
    x = np.linspace(0, 10, 200)
    for n in range(4):
        left.plot(x, np.sin(x + n) * np.exp(-x / (3 + n)), label=f"series {n}")
    left.scatter(rng.uniform(0, 10, 80), rng.normal(0, 0.3, 80), s=9, alpha=0.6)
    left.grid(visible=True)
    left.legend()
    left.set_title("Rate and distortion")
    right.bar(list("abcdefgh"), rng.uniform(1, 9, 8), color="tab:orange")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    plt.close(figure)
    return Image.fromarray(np.asarray(Image.open(out).convert("RGB")))  # without its resolution


def line_art() -> Image.Image:
    """Smooth black curves on white, grey at their edges."""
    image = Image.new("L", (2400, 1800), 255)
    draw = ImageDraw.Draw(image)
    t = np.linspace(0, 40 * np.pi, 6000)
    for n in range(5):
        r = (500 + 150 * n) * (0.6 + 0.4 * np.sin((2 + n / 7) * t / 9))
        points = np.stack((1200 + r * np.cos(t / 5), 900 + 0.8 * r * np.sin(t / 5)), 1)
        draw.line([tuple(p) for p in points.tolist()], fill=0, width=6)
    return image.resize((800, 600), Image.LANCZOS).convert("RGB")


def map_() -> Image.Image:
    """Areas of few colours, contours, roads and names."""
    rng = np.random.default_rng(5)
    noise = Image.fromarray(rng.integers(0, 256, (9, 11), dtype=np.uint8))
    ground = np.asarray(noise.resize((900, 700), Image.BICUBIC)).astype(int)
    palette = np.array([(170, 210, 240), (200, 225, 180), (225, 220, 170), (205, 180, 140)])
    rgb = palette[np.digitize(ground, (90, 140, 180))].astype(np.uint8)
    rgb[np.abs(ground % 16 - 8) < 1] = (150, 120, 90)
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        points = np.cumsum(rng.normal(0, 60, (12, 2)), 0) + rng.uniform(0, 1, 2) * (900, 700)
        path = [tuple(p) for p in points.tolist()]
        draw.line(path, fill=(120, 90, 60), width=7, joint="curve")
        draw.line(path, fill=(250, 240, 160), width=4, joint="curve")
    for n in range(40):
        at = tuple((rng.uniform(0, 1, 2) * (820, 680)).tolist())
        draw.text(at, WORDS[n % len(WORDS)].capitalize(), fill=(20, 20, 60), font=font(12 + n % 5))
    return image


def dither() -> Image.Image:
    """A photograph in black and white, by error diffusion."""
    return photograph(768, 512).convert("1").convert("RGB")


def scan() -> Image.Image:
    """A printed page, a little blurred, with the noise of paper and sensor."""
    rng = np.random.default_rng(7)
    page = Image.new("L", (1000, 1300), 244)
    draw = ImageDraw.Draw(page)
    for n, line in enumerate(lines(rng, 44, 78)):
        draw.text((90, 90 + 26 * n), line, fill=25, font=font(18, "DejaVu Serif"))
    blurred = page.rotate(0.4, Image.BICUBIC, fillcolor=244).filter(ImageFilter.GaussianBlur(0.8))
    noisy = np.asarray(blurred) + rng.normal(0, 2.5, (1300, 1000))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert("RGB")


def comic() -> Image.Image:
    """Panels of flat colour with black outlines, a shaded sky, and balloons."""
    rng = np.random.default_rng(8)
    image = Image.new("RGB", (1600, 1200), "white")
    draw = ImageDraw.Draw(image)
    for left, top in ((20, 20), (810, 20), (20, 610), (810, 610)):
        for y in range(570):
            draw.line((left, top + y, left + 770, top + y), fill=(120 + y // 6, 180 + y // 12, 250))
        for _ in range(9):
            x, y, r = (int(v) for v in rng.uniform((80, 260, 40), (690, 480, 90)))
            box = (left + x - r, top + y - r, left + min(x + r, 765), top + min(y + r, 565))
            colour = tuple(int(v) for v in rng.integers(40, 255, 3))
            draw.ellipse(box, fill=colour, outline="black", width=6)
        balloon = (left + 40, top + 30, left + 520, top + 150)
        draw.rounded_rectangle(balloon, 50, fill="white", outline="black", width=5)
        for n, line in enumerate(lines(rng, 2, 22)):
            draw.text((left + 80, top + 50 + 42 * n), line.upper(), fill="black", font=font(28))
    return image.resize((800, 600), Image.LANCZOS)


def icon() -> Image.Image:
    """A shaded button with a soft shadow, RGBA; noise where nothing is seen."""
    rng = np.random.default_rng(9)
    shadow = Image.new("L", (256, 256), 0)
    ImageDraw.Draw(shadow).rounded_rectangle((30, 38, 226, 234), 40, fill=140)
    shadow = shadow.filter(ImageFilter.GaussianBlur(9))
    shape = Image.new("L", (1024, 1024), 0)
    ImageDraw.Draw(shape).rounded_rectangle((104, 104, 920, 920), 160, fill=255)
    shape = shape.resize((256, 256), Image.LANCZOS)
    ramp = Image.linear_gradient("L")
    face = Image.merge("RGB", (ramp.point(lambda v: 40 + v // 4), ramp.point(lambda v: 90 + v // 3),
                               ramp.point(lambda v: 255 - v // 3)))  # fmt: skip
    ImageDraw.Draw(face).text((76, 60), "B", fill="white", font=font(130, weight="bold"))
    image = Image.merge("RGBA", (*Image.new("RGB", (256, 256)).split(), shadow))
    image.paste(face, (0, 0), shape)
    samples = np.array(image)
    samples[..., 3] = np.maximum(np.asarray(shadow), np.asarray(shape))
    hidden = samples[..., 3] == 0
    samples[hidden, :3] = rng.integers(0, 256, (int(hidden.sum()), 3))
    return Image.fromarray(samples)


def captioned() -> Image.Image:
    """A photograph with letters on a bar below it, and in it."""
    image = photograph(768, 512)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 440, 767, 511), fill=(20, 20, 20))
    draw.text((24, 450), "Harbour in the morning", fill="white", font=font(26))
    draw.text((24, 484), "taken from the old pier, 12 March", fill="#c0c0c0", font=font(16))
    draw.text((560, 20), "2026-03-12 07:41", fill="#ffd040", font=font(20, "DejaVu Sans Mono"))
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "window": window,
    "terminal": terminal,
    "chart": chart,
    "line art": line_art,
    "map": map_,
    "dither": dither,
    "scan": scan,
    "comic": comic,
    "icon": icon,
    "captioned": captioned,
}


def pictures() -> Iterator[tuple[str, Image.Image]]:
    """Name and picture, one after the other."""
    for name, draw in PICTURES.items():
        yield name, draw()
