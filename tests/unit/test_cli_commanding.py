"""Commands that the server took and no worker has carried out."""

import pytest
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from client.cli.commanding import _commanded
from client.runs import NoWorker

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("error", [TimeoutError(), WorkflowUpdateRPCTimeoutOrCancelledError()])
async def test_a_command_that_nobody_answers_may_still_be_carried_out(error: Exception) -> None:
    async def command() -> None:
        raise error

    with pytest.raises(NoWorker, match="may have been taken"):
        await _commanded(command())
