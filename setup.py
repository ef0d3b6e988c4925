"""What ``pyproject.toml`` cannot say: the bundled models go from ``Resources``, Slicer's place, into the wheel."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithModels(build_py):
    """Copies ``Resources/Models`` to ``SITTranslateLib/Models`` of a wheel; a checkout is used as it stands."""

    def _models(self) -> dict[Path, Path]:
        models = Path(__file__).resolve().parent / "Resources" / "Models"
        files = sorted(path for path in models.rglob("*") if path.is_file())
        target = Path(self.build_lib) / "SITTranslateLib" / "Models"
        return {target / path.relative_to(models): path for path in files}

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for target, source in self._models().items():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        added = [] if self.editable_mode else [str(target) for target in self._models()]
        return [*super().get_outputs(include_bytecode), *added]


setup(cmdclass={"build_py": BuildWithModels})
