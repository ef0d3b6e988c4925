"""The drawings of how SA-UNIT and SASAN work: python docs/_site/draw_systems.py (needs nothing but Python)."""

from __future__ import annotations

from html import escape
from pathlib import Path

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
INK, SOFT, LINE = "#1b1f24", "#59636e", "#6b7480"
#: Fill and edge: what is an image, what is learned, what judges, what is shared by the contrasts.
IMAGE, LEARNED, JUDGE, SHARED = (
    ("#eef1f5", "#c3cad3"),
    ("#fff3df", "#e0a74a"),
    ("#f6e8f4", "#b07aa8"),
    ("#e2f0ec", "#5aa18f"),
)


class Drawing:
    """Boxes, arrows and words as SVG."""

    def __init__(self, width: int, height: int, about: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="system-ui, DejaVu Sans, sans-serif" role="img" aria-label="{escape(about)}">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            '<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>',
        ]

    def box(self, x: int, y: int, w: int, h: int, title: str, lines: str = "", kind: tuple[str, str] = LEARNED) -> None:
        """A box; ``lines`` below the title are parted by ``|``."""
        fill, edge = kind
        self.parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="7" fill="{fill}" stroke="{edge}"/>')
        below = [line for line in lines.split("|") if line]
        top = y + h / 2 + 5 - 8 * len(below)
        self.text(x + w / 2, top, title, 14, bold=True)
        for number, line in enumerate(below, 1):
            self.text(x + w / 2, top + 16 * number, line, 11.5, SOFT)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 12,
        colour: str = INK,
        *,
        bold: bool = False,
        side: str = "middle",
    ) -> None:
        weight = ' font-weight="700"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}" text-anchor="{side}"{weight}>'
            f"{escape(words)}</text>"
        )

    def arrow(
        self, *points: tuple[int, int], dashed: bool = False, words: str = "", at: tuple[int, int] | None = None
    ) -> None:
        path = " L".join(f"{x} {y}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.parts.append(
            f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="1.8"{dash} marker-end="url(#a)"/>'
        )
        if words and at is not None:
            self.text(*at, words, 11.5, SOFT)

    def key(self, x: int, y: int, *, shared: bool) -> None:
        for name, (fill, edge) in (
            ("image", IMAGE),
            ("learned", LEARNED),
            ("shared by both contrasts", SHARED),
            ("judges, in training only", JUDGE),
        ):
            if name.startswith("shared") and not shared:
                continue
            self.parts.append(
                f'<rect x="{x}" y="{y - 11}" width="16" height="14" rx="3" fill="{fill}" stroke="{edge}"/>'
            )
            self.text(x + 23, y + 1, name, 12, SOFT, side="start")
            x += 40 + 7 * len(name)

    def save(self, name: str) -> None:
        (PICTURES / name).write_text("\n".join([*self.parts, "</svg>"]) + "\n", encoding="utf-8")


def sa_unit() -> None:
    """Two contrasts about one latent space."""
    d = Drawing(980, 520, "SA-UNIT: two encoders, one latent space, two generators, two discriminators")
    for y, name in ((70, "T1w"), (290, "T2w")):
        d.box(20, y, 100, 70, name, "3 slices", IMAGE)
        d.box(160, y, 190, 70, f"encoder of {name}", "halves once; residual|blocks; self-attention")
        d.arrow((120, y + 35), (160, y + 35))
        d.box(620, y, 180, 70, f"generator of {name}", "residual blocks,|back to full size")
        d.box(850, y, 110, 70, f"{name}, made", "3 slices", IMAGE)
        d.arrow((800, y + 35), (850, y + 35))
        d.box(840, y + 105 if name == "T2w" else y - 62, 130, 44, "discriminator", f"{name}: true or not?", JUDGE)
    d.arrow((905, 70), (905, 52), dashed=True)
    d.arrow((905, 360), (905, 395), dashed=True)
    d.box(390, 168, 100, 94, "shared", "residual|block", SHARED)
    d.box(510, 168, 80, 94, "shared", "residual|block", SHARED)
    d.text(500, 156, "latent z (mean; variance 1)", 12, bold=True)
    d.arrow((350, 105), (378, 105), (378, 195), (390, 195))
    d.arrow((350, 325), (378, 325), (378, 235), (390, 235))
    d.arrow((490, 215), (510, 215))
    d.arrow((590, 195), (604, 195), (604, 105), (620, 105))
    d.arrow((590, 235), (604, 235), (604, 325), (620, 325))
    d.arrow((850, 130), (830, 152), (830, 450), (70, 450), (70, 362), dashed=True)
    d.text(
        420,
        470,
        "cycle, every eighth step: the made T1w is encoded again and must come back as the T2w it was made from",
        12,
        SOFT,
    )
    d.text(250, 390, "self: each contrast through its own generator", 12, SOFT)
    d.text(250, 406, "must come back as it was", 12, SOFT)
    d.key(60, 505, shared=True)
    d.text(
        20,
        32,
        "SA-UNIT: whatever contrast an anatomy is seen in, its latent code is the same",
        16,
        bold=True,
        side="start",
    )
    d.save("how-sa-unit-works.svg")


def sasan() -> None:
    """One direction: the attention maps steer the synthesis."""
    d = Drawing(980, 560, "SASAN: attention maps that segment also steer the normalisation of the synthesis")
    d.text(
        20,
        32,
        "SASAN: where attention lies decides, voxel by voxel, how features are scaled",
        16,
        bold=True,
        side="start",
    )
    d.box(20, 200, 100, 80, "T1w", "3 slices", IMAGE)
    d.box(170, 70, 170, 80, "attention module", "U-Net")
    d.box(390, 70, 150, 80, "8 maps", "each attends|elsewhere (orthogonal)")
    d.box(600, 50, 150, 50, "one convolution")
    d.box(810, 50, 150, 50, "segmentation", "background + 5 tissues", IMAGE)
    d.arrow((120, 225), (145, 225), (145, 110), (170, 110))
    d.arrow((340, 110), (390, 110))
    d.arrow((540, 75), (600, 75))
    d.arrow((750, 75), (810, 75))
    d.box(170, 260, 170, 80, "encoder", "full, half, quarter|resolution")
    d.arrow((120, 255), (145, 255), (145, 300), (170, 300))
    d.box(390, 270, 110, 60, "code", "features")
    d.arrow((340, 300), (390, 300))
    d.box(
        550,
        250,
        200,
        100,
        "decoder",
        "convolution, then at each level|features x (1 + gamma) + beta|after normalisation",
    )
    d.arrow((500, 300), (550, 300))
    d.box(545, 160, 210, 48, "gamma, beta per voxel", "two convolutions on the maps")
    d.arrow((465, 150), (465, 184), (545, 184))
    d.arrow((650, 208), (650, 250))
    d.box(810, 260, 150, 80, "CT, made", "3 slices", IMAGE)
    d.arrow((750, 300), (810, 300))
    d.box(810, 385, 150, 46, "discriminator", "CT: true or not?", JUDGE)
    d.arrow((885, 340), (885, 385), dashed=True)
    d.box(370, 385, 150, 46, "discriminator", "code of T1w or of CT?", JUDGE)
    d.arrow((445, 330), (445, 385), dashed=True)
    d.box(810, 135, 150, 46, "discriminator", "classes of T1w or CT?", JUDGE)
    d.arrow((885, 100), (885, 135), dashed=True)
    d.arrow((810, 320), (780, 345), (780, 478), (70, 478), (70, 284), dashed=True)
    d.text(
        425,
        468,
        "unpaired: back by the other direction's modules; image, maps and segmentation must come back",
        12,
        SOFT,
    )
    d.text(
        425,
        505,
        "paired, as trained here: distance to true CT (Charbonnier), segmentation, orthogonality, no discriminators",
        12,
        SOFT,
    )
    d.key(60, 545, shared=False)
    d.save("how-sasan-works.svg")


def plasticine() -> None:
    """Plasticine: structure map, motion and renderer."""
    d = Drawing(980, 500, "Plasticine: a structure map of no contrast is moved by a velocity and rendered by diffusion")
    d.text(20, 32, "Plasticine in 3D: a structure map, moved; then rendered as T2w", 16, bold=True, side="start")
    d.box(20, 150, 110, 80, "T1w", "2 mm", IMAGE)
    d.box(175, 65, 150, 70, "tissue network", "any contrast;|7 tissues")
    d.box(175, 160, 150, 60, "edges", "normalised: no gain,|no order of brightness", IMAGE)
    d.arrow((130, 175), (150, 175), (150, 100), (175, 100))
    d.arrow((130, 190), (175, 190))
    d.box(375, 110, 130, 80, "structure s", "what is where", IMAGE)
    d.arrow((325, 100), (350, 100), (350, 140), (375, 140))
    d.arrow((325, 190), (350, 190), (350, 165), (375, 165))
    d.box(175, 285, 150, 80, "deformation", "network with a switch:|sees the T1w alone")
    d.arrow((75, 230), (75, 325), (175, 325))
    d.arrow((440, 190), (440, 250), (250, 250), (250, 285))
    d.box(375, 285, 130, 80, "velocity v", "mm per 10 years,|times what is asked", IMAGE)
    d.arrow((325, 325), (375, 325))
    d.box(555, 285, 150, 80, "exp(v), exp(-v)", "motion, sampling field:|each other's inverse", IMAGE)
    d.arrow((505, 325), (555, 325))
    d.box(555, 110, 150, 80, "s moved", "s(y + u(y))", IMAGE)
    d.arrow((505, 150), (555, 150))
    d.arrow((630, 285), (630, 190))
    d.box(755, 100, 200, 100, "renderer", "diffusion in Haar space:|noise and s moved to T2w,|2 to 3 steps")
    d.arrow((705, 150), (755, 150))
    d.text(855, 62, "starts from the noised T1w", 12, SOFT)
    d.arrow((855, 70), (855, 100))
    d.box(755, 285, 200, 80, "T2w, older", "each voxel has a place|in the T1w", IMAGE)
    d.arrow((855, 200), (855, 285))
    d.box(175, 405, 330, 46, "training: the switch lets the target in", "alignment ties both first features", JUDGE)
    d.arrow((250, 405), (250, 365), dashed=True)
    d.box(
        555,
        405,
        400,
        46,
        "training: s moved onto the later s, and back",
        "no contrast in it, so T1w and T2w compare",
        JUDGE,
    )
    d.arrow((630, 405), (630, 365), dashed=True)
    d.key(60, 485, shared=False)
    d.save("how-plasticine-works.svg")


if __name__ == "__main__":
    plasticine()
    sa_unit()
    sasan()
