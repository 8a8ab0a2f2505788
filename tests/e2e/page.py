"""Locators of the page at ``/``."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


def grid(page: Page) -> Locator:
    """Return the grid."""
    return page.locator(".htmlgraph-grid")


def card(page: Page, agent_id: str) -> Locator:
    """Return the card of an agent."""
    return page.locator(f'[data-agent-id="{agent_id}"]')


def cards(page: Page) -> Locator:
    """Return all cards in page order."""
    return page.locator("[data-agent-id]")


def field(page: Page, agent_id: str, name: str) -> Locator:
    """Return one value of an agent's card."""
    return card(page, agent_id).locator(f'[data-field="{name}"]')


def statistic(page: Page, name: str) -> Locator:
    """Return one number of the totals."""
    return page.locator(f'[data-stat="{name}"]')


def expect_connection(page: Page, state: str, timeout_ms: float = 20_000) -> None:
    """Wait until the connection of the page is in ``state``."""
    expect(grid(page)).to_have_attribute("data-connection", state, timeout=timeout_ms)


def control(page: Page, name: str) -> Locator:
    """Return a control of the toolbar: search, filter, view, sort, group, columns."""
    return page.locator(f'[data-control="{name}"]')


def choose_view(page: Page, view: str) -> None:
    """Select the view: cards, table or compact."""
    control(page, "view").locator(f'[data-value="{view}"]').click()
    expect(grid(page)).to_have_attribute("data-view", view)
