"""What validates and writes a contract is built late, its parts first, once, in any thread."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json

from contracts.base import Frozen, Slim

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


class Leaf(Slim):
    number: int = 1


class Branch(Frozen):
    leaf: Leaf
    others: "tuple[Tree, ...]" = ()


class Tree(Slim):
    branches: dict[str, Branch] = {}
    parent: "Tree | None" = None


def test_an_import_builds_no_whole_plan() -> None:
    code = (
        "import contracts.plans as p, contracts.teams as t, contracts.tools as o\n"
        "print([c.__name__ for c in (p.Plan, p.PlanPage, t.TeamSpec, o.ToolOutcome)"
        " if c.__pydantic_complete__])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert out.stdout.strip() == "[]"


def test_a_whole_builds_its_parts_also_where_they_hold_each_other() -> None:
    given = {"branches": {"a": {"leaf": {"number": 2}, "others": [{"parent": {}}]}}}
    (tree,) = TypeAdapter(list[Tree]).validate_python([given])
    assert all(one.__pydantic_complete__ for one in (Tree, Branch, Leaf))
    branch = tree.branches["a"]
    assert to_json(tree) == to_json(given)
    assert to_json(branch.leaf) == b'{"number":2}'
    assert to_json(branch.others[0].parent) == b"{}"
    assert branch.model_copy() == branch


def test_many_threads_may_need_the_same_contract_first() -> None:
    for _ in range(20):
        part = type("Part", (Slim,), {"__annotations__": {"leaf": Leaf}, "__module__": __name__})
        whole = type("Whole", (Frozen,), {"__annotations__": {"part": part, "parts": list[part]}})
        start = threading.Barrier(4)

        def load(
            hint: object = whole, start: threading.Barrier = start, kind: type = whole
        ) -> tuple[bytes, bytes]:
            start.wait(60)
            value = TypeAdapter(hint).validate_python({"part": {"leaf": {}}, "parts": []})
            assert type(value) is kind
            return to_json(value), to_json(value.part)

        with ThreadPoolExecutor(4) as pool:
            found = {f.result() for f in [pool.submit(load) for _ in range(4)]}
        assert found == {(b'{"part":{"leaf":{}},"parts":[]}', b'{"leaf":{}}')}
        assert whole.__pydantic_complete__
        assert part.__pydantic_complete__
