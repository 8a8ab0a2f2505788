"""``serve --jupyterhub``: the server as a service of JupyterHub, which authenticates its users."""
