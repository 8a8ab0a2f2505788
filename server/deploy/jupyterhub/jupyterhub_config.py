"""JupyterHub with one htmlgraph-nb for all teams: a group of the Hub shares its agents.

    pip install jupyterhub 'htmlgraph-nb[jupyterhub]'
    jupyterhub --config jupyterhub_config.py

Add your authenticator and spawner, and name your groups in the role "team".
"""

c = get_config()  # noqa: F821

scopes = ["custom:htmlgraph:read", "custom:htmlgraph:write", "custom:htmlgraph:admin"]
service = "access:services!service=htmlgraph"
c.JupyterHub.custom_scopes = {scope: {"description": scope} for scope in scopes}
c.JupyterHub.services = [
    {
        "name": "htmlgraph",
        "url": "http://127.0.0.1:10101",
        "command": ["htmlgraph-nb", "serve", "--jupyterhub"],
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": scopes,
    }
]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", service]},
    {"name": "team", "scopes": scopes[:2], "groups": ["team-a", "team-b"]},
]
# Hooks and notebooks of single-user servers report to the service with the server's own token.
c.Spawner.server_token_scopes = [
    *("access:servers!server", "users:activity!user", service),
    *("custom:htmlgraph:read", "custom:htmlgraph:write"),
]
c.Spawner.environment = {
    "HTMLGRAPH_URL": "http://127.0.0.1:8000/services/htmlgraph",
    "HTMLGRAPH_TOKEN": lambda spawner: spawner.api_token,
}
