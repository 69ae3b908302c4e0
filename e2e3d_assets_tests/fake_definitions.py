"""The code location of tests: the real definitions over fake science."""

from e2e3d_assets_tests import fake_science

fake_science.install()

from e2e3d_assets.definitions import build_defs  # noqa: E402

defs = build_defs()
