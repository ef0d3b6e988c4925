"""The drawing of how ALDM works: python docs/_site/draw_aldm.py (needs nothing but Python)."""

from __future__ import annotations

from draw_systems import IMAGE, LEARNED, SHARED, SOFT, Drawing


def aldm() -> None:
    """Codec, switchable generator, denoiser, detail."""
    d = Drawing(980, 500, "ALDM: tissue intensity mapping, codec, switchable generator, latent denoiser, detail")
    d.text(20, 32, "ALDM: any contrast to any other, in the latent of one codec", 16, bold=True, side="start")
    d.box(20, 150, 100, 80, "the scan", "any contrast,|whole head", IMAGE)
    d.box(170, 150, 120, 80, "encoder", "VQ autoencoder,|a quarter the size")
    d.arrow((120, 190), (170, 190))
    d.box(330, 130, 90, 50, "z source", "unit variance", IMAGE)
    d.arrow((290, 160), (330, 160))
    d.box(330, 200, 90, 50, "z mapped", "unit variance", IMAGE)
    d.arrow((290, 220), (330, 220))
    d.box(330, 50, 190, 60, "MS-SPADE", "four residual blocks,|norms switched by target", SHARED)
    d.arrow((375, 130), (375, 110))
    d.arrow((420, 225), (445, 225), (445, 110))
    d.box(570, 50, 112, 60, "z like target", "the preview", IMAGE)
    d.arrow((520, 80), (570, 80))
    d.box(570, 140, 190, 70, "denoiser", "U-Net; told level and target;|2 to 3 steps", SHARED)
    d.arrow((420, 155), (570, 155))
    d.arrow((620, 110), (620, 140))
    d.box(570, 265, 190, 50, "z noisy", "first noise alone, from the seed", IMAGE)
    d.arrow((635, 265), (635, 210))
    d.arrow((700, 210), (700, 265), dashed=True)
    d.text(710, 242, "next step: less noise", 12, SOFT, side="start")
    d.box(805, 130, 160, 80, "decoder", "of the codec,|in slabs without seams")
    d.arrow((760, 170), (805, 170))
    d.arrow((682, 80), (885, 80), (885, 130), dashed=True)
    d.text(784, 70, "preview: no step at all", 12, SOFT)
    d.box(795, 290, 170, 60, "detail", "small U-Net: what the|codec lost, the scan knows", SHARED)
    d.arrow((885, 210), (885, 290))
    d.box(20, 290, 130, 70, "tissue mapping", "tissues are found;|a curve for each", SHARED)
    d.arrow((70, 230), (70, 290))
    d.box(185, 295, 122, 60, "mapped scan", "tissues as bright|as is usual", IMAGE)
    d.arrow((150, 325), (185, 325))
    d.arrow((230, 295), (230, 230))
    d.arrow((245, 355), (245, 375), (825, 375), (825, 350))
    d.text(500, 367, "the mapped scan, and what the codec loses of it", 12, SOFT)
    d.arrow((30, 230), (30, 260), (10, 260), (10, 405), (855, 405), (855, 350))
    d.text(500, 398, "the scan itself, at full resolution", 12, SOFT)
    d.box(805, 425, 160, 50, "the target", "on the same voxels", IMAGE)
    d.arrow((920, 350), (920, 425))
    d.box(20, 415, 150, 50, "which target", "T1w, T2w, FLAIR ...", IMAGE)
    d.text(180, 445, "switches what is green", 12, SOFT, side="start")
    for x, (fill, edge), name in (
        (40, IMAGE, "image or latent"),
        (190, LEARNED, "learned, the same for all"),
        (400, SHARED, "learned, switched by the target"),
    ):
        d.parts.append(f'<rect x="{x}" y="476" width="16" height="14" rx="3" fill="{fill}" stroke="{edge}"/>')
        d.text(x + 23, 488, name, 12, SOFT, side="start")
    d.save("how-aldm-works.svg")


if __name__ == "__main__":
    aldm()
