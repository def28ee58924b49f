"""Where the user's own Temporal server is, if there is one.

`temporalio.envconfig` decides, but importing it takes half a second: it is asked only where
something of its own is there, a variable beside the address or a file of profiles.
"""

import os
from collections.abc import Mapping


def configured_address(env: Mapping[str, str] = os.environ) -> str | None:
    """Return the address that the environment or a profile names, or None for none at all."""
    own = env.get("CALLBOARD_TEMPORAL_ADDRESS")
    if own:
        return own
    if not _anything_of_temporal(env):
        return None
    from temporalio.envconfig import ClientConfig

    return ClientConfig.load_client_connect_config(override_env_vars=dict(env)).get("target_host")


def _anything_of_temporal(env: Mapping[str, str]) -> bool:
    """Tell whether there is a variable or, in the user's folder for it, a file of profiles."""
    if any(name.startswith("TEMPORAL_") for name in env):
        return True
    import platformdirs

    return platformdirs.user_config_path("temporalio", appauthor=False, roaming=True).exists()
