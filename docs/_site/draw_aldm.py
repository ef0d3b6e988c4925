"""The drawing of how ALDM works: python docs/_site/draw_aldm.py (needs nothing but Python)."""

from __future__ import annotations

from draw_systems import IMAGE, LEARNED, SHARED, SOFT, Drawing


def aldm() -> None:
    """Codec, switchable generator, denoiser, detail."""
    d = Drawing(980, 470, "ALDM: codec, switchable generator, denoiser of latents, and the detail of the source")
    d.text(20, 32, "ALDM: any contrast to any other, in the latent of one codec", 16, bold=True, side="start")
    d.box(20, 150, 100, 80, "the scan", "any contrast,|whole head", IMAGE)
    d.box(160, 150, 120, 80, "encoder", "VQ autoencoder,|a quarter the size")
    d.arrow((120, 190), (160, 190))
    d.box(320, 160, 90, 60, "z source", "unit variance", IMAGE)
    d.arrow((280, 190), (320, 190))
    d.box(320, 60, 190, 60, "MS-SPADE", "four residual blocks,|norms switched by target", SHARED)
    d.arrow((365, 160), (365, 120))
    d.box(560, 60, 112, 60, "z like target", "the preview", IMAGE)
    d.arrow((510, 90), (560, 90))
    d.box(560, 160, 190, 70, "denoiser", "U-Net; told level and target;|2 to 3 steps", SHARED)
    d.arrow((410, 190), (560, 190))
    d.arrow((610, 120), (610, 160))
    d.box(560, 285, 190, 50, "z noisy", "first noise alone, from the seed", IMAGE)
    d.arrow((625, 285), (625, 230))
    d.arrow((690, 230), (690, 285), dashed=True)
    d.text(700, 262, "next step: less noise", 12, SOFT, side="start")
    d.box(800, 150, 160, 80, "decoder", "of the codec,|in slabs without seams")
    d.arrow((750, 190), (800, 190))
    d.arrow((672, 90), (880, 90), (880, 150), dashed=True)
    d.text(776, 80, "preview: no step at all", 12, SOFT)
    d.box(790, 290, 170, 60, "detail", "small U-Net: what the|codec lost, the scan knows", SHARED)
    d.arrow((880, 230), (880, 290))
    d.arrow((140, 190), (140, 260), (10, 260), (10, 372), (840, 372), (840, 350))
    d.text(420, 390, "the scan itself, at full resolution", 12, SOFT)
    d.box(800, 395, 160, 50, "the target", "on the same voxels", IMAGE)
    d.arrow((900, 350), (900, 395))
    d.box(20, 290, 150, 60, "which target", "T1w, T1w+Gd, T2w,|FLAIR, PD, CT", IMAGE)
    d.text(180, 325, "switches what is green", 12, SOFT, side="start")
    for x, (fill, edge), name in (
        (40, IMAGE, "image or latent"),
        (190, LEARNED, "learned, the same for all"),
        (400, SHARED, "learned, switched by the target"),
    ):
        d.parts.append(f'<rect x="{x}" y="444" width="16" height="14" rx="3" fill="{fill}" stroke="{edge}"/>')
        d.text(x + 23, 456, name, 12, SOFT, side="start")
    d.save("how-aldm-works.svg")


if __name__ == "__main__":
    aldm()
