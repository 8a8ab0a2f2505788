"""Locators of the page at ``/``."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, WebSocketRoute, expect


def grid(page: Page) -> Locator:
    """Return the grid."""
    return page.locator(".htmlgraph-grid")


def card(page: Page, agent_id: str) -> Locator:
    """Return the card of an agent."""
    return page.locator(f'[data-agent-id="{agent_id}"]')


def cards(page: Page) -> Locator:
    """Return all cards in page order."""
    return page.locator("[data-agent-id]")


def expect_order(page: Page, *agent_ids: str) -> None:
    """Wait until these agents, and no others, have cards in this order."""
    expect(cards(page)).to_have_count(len(agent_ids))
    for index, agent_id in enumerate(agent_ids):
        expect(cards(page).nth(index)).to_have_attribute("data-agent-id", agent_id)


def field(page: Page, agent_id: str, name: str) -> Locator:
    """Return one value of an agent's card."""
    return card(page, agent_id).locator(f'[data-field="{name}"]')


def details(page: Page) -> Locator:
    """Return the details panel."""
    return page.locator("[data-panel=details]")


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


def routed_sockets(page: Page, path: str = "/ws/broadcasts") -> list[WebSocketRoute]:
    """Return the WebSockets to ``path`` that the page opens from now on, with their server."""
    sockets: list[WebSocketRoute] = []

    def on_socket(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket(f"**{path}*", on_socket)
    return sockets
