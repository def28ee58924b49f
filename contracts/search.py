"""Names and types of a run's search attributes: two keyword, one list, one double, two int.

The SQL visibility stores have only a few columns of each type, so there are no others.
"""

TEAM = "CallboardTeam"
STATUS = "CallboardStatus"
PERSONAS = "CallboardPersonas"
COST = "CallboardCost"
TOKENS = "CallboardTokens"
BUDGET_USED = "CallboardBudgetUsed"

TYPES: dict[str, str] = {
    TEAM: "Keyword",
    STATUS: "Keyword",
    PERSONAS: "KeywordList",
    COST: "Double",
    TOKENS: "Int",
    BUDGET_USED: "Int",
}
"""Attribute name to Temporal's type name. `CallboardBudgetUsed` is 0, 50, 80 or 100 percent."""

NEWEST = "ExecutionStatus != 'ContinuedAsNew'"
"""The part of a query that leaves out histories which have gone on in a new one."""
