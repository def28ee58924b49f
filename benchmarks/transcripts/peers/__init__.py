"""The same agent on other libraries. Each module runs in the environment of `peers.txt`."""
