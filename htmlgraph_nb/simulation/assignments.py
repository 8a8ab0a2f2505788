"""Who works on what in the simulation: tasks, places and accounts. Nothing of it exists."""

from __future__ import annotations

import random
import uuid
from typing import NamedTuple


class Task(NamedTuple):
    """What an agent works on; ``questions`` are the titles of its subagents."""

    project: str
    branch: str
    title: str
    feature_id: str | None = None
    pr: str | None = None
    worktree: str | None = None
    questions: tuple[str, ...] = ("Find the callers", "Read the tests", "Look for similar code")


TASKS = (
    Task(
        *("storefront", "checkout-retry", "Retry failed payments at checkout"),
        "feat-checkout",
        "https://github.com/example/storefront/pull/412",
        questions=("Map the payment flow", "Find tests of the checkout", "Compare retry libraries"),
    ),
    Task("billing-api", "invoice-export", "Export invoices as CSV", "feat-invoice-export", "#87"),
    Task("storefront", "fix/cart-rounding", "Fix the rounding of cart totals"),
    Task("docs-site", "main", "Rewrite the getting-started guide"),
    Task(
        *("search-service", "reindex-nightly", "Reindex the catalog every night"),
        "feat-search-index",
        worktree="reindex-nightly",
    ),
    Task("ml-pipeline", "vector-cache", "Cache embeddings between runs", "feat-vector-cache"),
    Task("billing-api", "fix/login-timeout", "Find out why logins time out"),
    Task(
        *("mobile-app", "push-settings", "Let users mute notifications"),
        "feat-push-settings",
        "https://github.com/example/mobile-app/pull/58",
        "push-settings",
    ),
    Task("ml-pipeline", "fix/flaky-loader", "Repair the flaky test of the data loader"),
    Task("docs-site", "dark-theme", "Add a dark theme", "feat-dark-theme", worktree="dark-theme"),
    Task("storefront", "product-reviews", "Show reviews on product pages", "feat-reviews", "#431"),
    Task("search-service", "fix/typo-ranking", "Rank results in spite of typing errors"),
)
"""About half of them belong to a feature."""

MODELS = {
    "claude": ("claude-opus-4-5", "claude-sonnet-4-5", "claude-sonnet-4-5"),
    "codex": ("gpt-5.2-codex", "gpt-5.1-codex"),
    "gemini": ("gemini-3-pro-preview", "gemini-2.5-pro"),
}
"""Kind of agent → models that it uses; all have a price."""
SUBAGENT_MODEL = "claude-haiku-4-5"
CONTEXT_WINDOWS = {"claude": 200_000, "codex": 258_400, "gemini": 1_048_576}
"""Kind of agent → context window of its models in tokens."""
PLACES = (("maria", "maria-laptop"), ("jonas", "build-2"))
"""Accounts, each with its host."""
_UUID7_EPOCH_MS = 1_779_500_000_000


def random_session_id(rng: random.Random, kind: str) -> str:
    """Return a session id as this kind of agent makes it: Codex uses UUIDs in order of time."""
    if kind != "codex":
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    timestamp_ms = _UUID7_EPOCH_MS + rng.getrandbits(32)
    low = 0b10 << 62 | rng.getrandbits(62)
    return str(uuid.UUID(int=timestamp_ms << 80 | 7 << 76 | rng.getrandbits(12) << 64 | low))


def folder_of(task: Task, user: str) -> str:
    """Return the working folder of a task."""
    if task.worktree is None:
        return f"/home/{user}/src/{task.project}"
    return f"/home/{user}/src/{task.project}/.worktrees/{task.worktree}"
