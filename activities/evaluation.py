"""CEL over large values, in a process that can be killed.

CEL's `filter` and `map` are quadratic and hold the interpreter's lock, so a large evaluation
must not share a process with anything that has to answer.
"""

import asyncio
import os
import sys

import orjson

from contracts.base import Json
from rules.conditions import ConditionError

_PROGRAM = """
import sys, orjson
from rules import conditions
job = orjson.loads(sys.stdin.buffer.read())
try:
    out = {"value": conditions.evaluate(job["source"], job["context"])}
except conditions.ConditionError as error:
    out = {"error": str(error)}
sys.stdout.buffer.write(orjson.dumps(out, default=str))
"""


async def evaluate_apart(source: str, context: dict[str, Json], timeout: float) -> Json:
    """Return the expression's value. Raises ConditionError, also after `timeout` seconds."""
    job = orjson.dumps({"source": source, "context": context}, default=str)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        async with asyncio.timeout(timeout):
            out, _ = await process.communicate(job)
    except TimeoutError:
        raise ConditionError(f"CEL: no result within {timeout:g} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ConditionError(f"CEL: the evaluation died with code {process.returncode}")
    answer = orjson.loads(out)
    if "error" in answer:
        raise ConditionError(answer["error"])
    return answer["value"]
