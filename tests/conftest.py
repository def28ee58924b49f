"""What all tests share."""

pytest_plugins = ["tests.support.layers", "tests.support.fixtures"]
