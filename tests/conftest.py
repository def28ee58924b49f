"""What all tests share."""

from tests.support.cases import load_profiles

pytest_plugins = ["tests.support.layers", "tests.support.fixtures"]

load_profiles()
